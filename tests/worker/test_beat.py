"""Schedules of sweeps: which slot of time is due, and that each is handed in once however many beats run."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tasks import keys
from tasks.client import Client, Submitted
from tasks.errors import DocumentRefused, Unreachable
from tests.end_to_end.stage import Process
from tests.end_to_end.waiting import until
from tests.fakes import START_MS, FakeClock, FakeLog
from worker.beat import LONGEST_NAP_S, MINUTE_MS, Sweeper, latest_slot_ms, nap_s
from worker.sweeps import Schedule, cron_of

DOCUMENT = {"version": 1, "select": {"accounts": ["*"], "all": True}, "priority": "cleanup"}
TIDY = Schedule("tidy", DOCUMENT, every_s=10)


@dataclass
class Inbox:
    """What the client would have taken; ``away`` counts the times that Redis does not answer."""

    taken: list[str] = field(default_factory=list)
    away: int = 0
    refuses: bool = False

    def hand_over(self, document: Any, accounts: frozenset[str]) -> Submitted:
        assert accounts == frozenset({"main"})
        if self.away:
            self.away -= 1
            raise Unreachable("away")
        if self.refuses:
            raise DocumentRefused(["no"])
        known = document["batch_id"] in self.taken
        self.taken.append(document["batch_id"])
        return Submitted(document["batch_id"], known)


def sweeper(inbox: Inbox, clock: FakeClock, *schedules: Schedule, log: FakeLog | None = None) -> Sweeper:
    return Sweeper(schedules or (TIDY,), inbox, ["main"], clock, log or FakeLog())  # type: ignore[arg-type]


@given(st.integers(1, 604_800), st.integers(START_MS, START_MS + 10**9))
def test_slots_of_seconds_are_the_same_for_everybody(every_s: int, now_ms: int) -> None:
    schedule = Schedule("x", DOCUMENT, every_s=every_s)
    slot_ms, nap = latest_slot_ms(schedule, now_ms), nap_s(schedule, now_ms)

    assert slot_ms % (every_s * 1000) == 0
    assert 0 <= now_ms - slot_ms < every_s * 1000
    assert slot_ms + every_s * 1000 == now_ms + round(nap * 1000)


fields_of_cron = st.tuples(
    st.sampled_from(["*", "*/7", "0", "1,31-33"]),
    st.sampled_from(["*", "*/5", "0", "9-17"]),
    st.sampled_from(["*", "1", "20-25"]),
    st.sampled_from(["*", "11", "1-11/2"]),
    st.sampled_from(["*", "mon-fri", "0", "6", "sun"]),
)


@given(fields_of_cron, st.integers(START_MS // MINUTE_MS, START_MS // MINUTE_MS + 100_000))
def test_a_minute_is_a_slot_of_a_cron_exactly_if_celerys_crontab_is_due_in_it(
    fields: tuple[str, ...], minute: int
) -> None:
    schedule = Schedule("x", DOCUMENT, cron=" ".join(fields))
    cron = cron_of(" ".join(fields))
    at = datetime.fromtimestamp(minute * 60 + 30, UTC)
    cron.nowfun = lambda: at

    due = cron.is_due(datetime.fromtimestamp(minute * 60 - 1, UTC)).is_due

    assert (latest_slot_ms(schedule, minute * MINUTE_MS + 30_000) == minute * MINUTE_MS) == due


@pytest.mark.parametrize(("field", "days"), [("*", 7), ("0", 1), ("sun", 1), ("6", 1), ("mon-fri", 5)])
def test_every_day_of_the_week_is_known(field: str, days: int) -> None:
    schedule = Schedule("x", DOCUMENT, cron=f"* * * * {field}")
    noons = [START_MS - START_MS % 86_400_000 + day * 86_400_000 + 43_200_000 for day in range(7)]

    assert sum(latest_slot_ms(schedule, noon) == noon for noon in noons) == days


def test_the_latest_slot_of_a_cron_is_found_though_its_minute_is_over() -> None:
    noon_ms = START_MS - START_MS % 86_400_000 + 43_200_000
    daily = Schedule("x", DOCUMENT, cron="0 12 * * *")

    assert latest_slot_ms(daily, noon_ms + 90_000) == noon_ms
    assert latest_slot_ms(Schedule("x", DOCUMENT, cron="0 12 1 1 *"), noon_ms) == 0
    assert nap_s(daily, noon_ms + 90_000) == 30


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9_000)), min_size=1, max_size=60))
def test_every_slot_is_handed_in_once_however_many_beats_run(steps: list[tuple[int, int]]) -> None:
    inbox, clock = Inbox(), FakeClock(START_MS)
    beats = [sweeper(inbox, clock) for _ in range(3)]
    for who, ms in steps:
        clock.ms += ms
        beats[who].tick()

    ticked = {latest_slot_ms(TIDY, START_MS + sum(ms for _, ms in steps[: n + 1])) for n in range(len(steps))}
    expected = {f"sweep-tidy-{slot}" for slot in ticked if slot > START_MS}
    assert set(inbox.taken) == expected
    assert all(count <= len(beats) for count in Counter(inbox.taken).values())


def test_the_slot_that_began_before_the_beat_is_not_its_own() -> None:
    inbox, clock = Inbox(), FakeClock(START_MS + 5_000)
    beat = sweeper(inbox, clock)

    assert (beat.tick(), inbox.taken) == (5, [])
    clock.ms += 5_000
    assert (beat.tick(), inbox.taken) == (10, [f"sweep-tidy-{START_MS + 10_000}"])
    assert (beat.tick(), len(inbox.taken)) == (10, 1)


def test_a_sweep_is_tried_again_while_redis_is_away_and_keeps_its_slot() -> None:
    inbox, clock, log = Inbox(away=2), FakeClock(START_MS), FakeLog()
    beat = sweeper(inbox, clock, log=log)
    clock.ms += 10_000

    naps = []
    for _ in range(3):
        naps.append(beat.tick())
        clock.ms += 1_000

    assert naps == [1, 1, 8]
    assert inbox.taken == [f"sweep-tidy-{START_MS + 10_000}"]
    assert len(log.named("sweep.not_handed_in")) == 2


def test_a_refused_sweep_is_told_and_stops_no_other() -> None:
    inbox, clock, log = Inbox(refuses=True), FakeClock(START_MS), FakeLog()
    beat = sweeper(inbox, clock, TIDY, Schedule("other", DOCUMENT, every_s=5), log=log)
    clock.ms += 10_000
    beat.tick()
    beat.tick()

    assert [told["sweep"] for told in log.named("sweep.refused")] == ["tidy", "other"]


def test_without_schedules_it_naps() -> None:
    assert Sweeper((), Inbox(), [], FakeClock(), FakeLog()).tick() == LONGEST_NAP_S  # type: ignore[arg-type]


@pytest.mark.processes
def test_two_beats_hand_each_slot_in_once(tmp_path: Path, redis_url: str, redis_client: Redis) -> None:
    config = tmp_path / "ripcord.toml"
    account = '[accounts.main]\nvenue = "upbit"\napi_key = "env:MADE_UP"\napi_secret = "env:MADE_UP"\n'
    sweep = '[[sweeps]]\nname = "tidy"\naccounts = ["main"]\nolder_than_s = 60\nevery_s = 1\n'
    config.write_text(f'[redis]\nurl = "{redis_url}"\n{account}{sweep}', encoding="utf-8")
    parts = ("celery", "-A", "worker.app", "beat")
    with (
        Client(redis_url) as client,
        Process(parts, tmp_path / "one.log", config, MADE_UP="made-up-key") as one,
        Process(parts, tmp_path / "two.log", config, MADE_UP="made-up-key") as other,
    ):
        assert until(lambda: other.events("sweep.handed_in") or other.events("sweep.known")), other.text()
        assert until(lambda: len(one.events("sweep.handed_in") + other.events("sweep.handed_in")) >= 3), one.text()
        assert [one.end(), other.end()] == [0, 0]
        handed_in = [event["batch"] for beat in (one, other) for event in beat.events("sweep.handed_in")]
        reports = client.latest(100)

    assert len(set(handed_in)) == len(handed_in) == redis_client.xlen(keys.INBOX)
    assert {report["batch_id"] for report in reports} == set(handed_in)
    assert {(report["priority"], report["requested_by"]) for report in reports} == {("cleanup", "schedule tidy")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.log", "ripcord.toml", "two.log"]
