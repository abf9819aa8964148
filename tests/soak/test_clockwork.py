"""What has to be found of a schedule that leaves a slot out, and of a switch that fires when it should not."""

import tomllib

import pytest

from tests.soak.clockwork import EVERY_S, HEARTS, SLACK_MS, Beat, audit_heart, audit_schedule, selection_of, tables

NAME = "engine-1"
SILENCE_MS = HEARTS[NAME].silence_s * 1000
LAST_MS = 20_000.0
END_MS = LAST_MS + 2 * (SILENCE_MS + SLACK_MS)
SLOT_MS = EVERY_S * 1000


def beats(*times: float, done: bool = True) -> list[Beat]:
    return [Beat(at_ms, at_ms + 1, done) for at_ms in times]


BEATS = beats(*range(10_000, int(LAST_MS) + 1, 500))
ON_TIME_MS = LAST_MS + SILENCE_MS + 500


def test_a_switch_that_fires_once_in_a_silence_is_clean() -> None:
    assert audit_heart(NAME, BEATS, [ON_TIME_MS], [], END_MS) == []


@pytest.mark.parametrize("done", [True, False])
def test_a_switch_that_fires_while_its_producer_beats_or_tries_to_is_found(done: bool) -> None:
    more = [*BEATS, *beats(LAST_MS + SILENCE_MS - 100, done=done)]

    assert any("its last beat was" in line for line in audit_heart(NAME, more, [ON_TIME_MS], [], END_MS))


def test_a_switch_that_fires_though_nothing_ever_beat_is_found() -> None:
    assert audit_heart(NAME, beats(1_000, done=False), [ON_TIME_MS], [], END_MS)
    assert audit_heart(NAME, [], [], [], END_MS) == []


def test_a_switch_that_fires_twice_in_a_silence_is_found() -> None:
    (line,) = audit_heart(NAME, BEATS, [ON_TIME_MS, ON_TIME_MS + 5_000], [], END_MS)

    assert "2 times" in line


def test_a_switch_that_does_not_fire_is_found_if_it_had_the_time() -> None:
    assert audit_heart(NAME, BEATS, [], [], END_MS)
    assert audit_heart(NAME, BEATS, [], [END_MS - SILENCE_MS], END_MS) == []
    assert audit_heart(NAME, BEATS, [], [], LAST_MS + SILENCE_MS + SLACK_MS) == []


def test_a_silence_between_beats_is_looked_at_too() -> None:
    again = [*BEATS, *beats(END_MS)]

    assert audit_heart(NAME, again, [], [], END_MS + 1_000)
    assert audit_heart(NAME, again, [ON_TIME_MS], [], END_MS + 1_000) == []


def test_a_slot_that_was_left_out_is_found() -> None:
    swept = [f"sweep-stale-{SLOT_MS * number}" for number in (1, 2, 4)]

    assert audit_schedule(swept, SLOT_MS - 1, SLOT_MS * 4) == []  # it has its time until the next
    assert audit_schedule(swept, SLOT_MS - 1, SLOT_MS * 5) == [f"schedule: the slot {SLOT_MS * 3} was not swept"]


def test_the_configuration_says_what_is_audited() -> None:
    read = tomllib.loads(tables())

    assert [each["name"] for each in read["heartbeats"]] == [*HEARTS]
    assert selection_of("sweep-stale-1") == {key: read["sweeps"][0][key] for key in selection_of("sweep-stale-1") or ()}
    assert selection_of(f"beat-{NAME}-1") == HEARTS[NAME].select
    assert selection_of("soak-1-0001") is None
