"""How long to wait, and what follows a refusal."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import REFUSED_AS, Refusal, RefusalKind
from connectors.outcomes import Status
from tasks.retry import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, STEPS, STOPS, Step, pause_ms, stop_for

attempts = st.integers(1, 10_000)
dice = st.floats(0, 1, exclude_max=True)


@given(attempts, dice)
def test_a_pause_grows_with_the_attempts(attempt: int, roll: float) -> None:
    assert pause_ms(attempt, roll) <= pause_ms(attempt + 1, roll)


@given(attempts, dice, dice)
def test_half_of_a_pause_is_jitter(attempt: int, roll: float, other: float) -> None:
    least, pause = pause_ms(attempt, 0), pause_ms(attempt, roll)

    assert least <= pause < 2 * least
    assert (pause_ms(attempt, other) >= pause) or other < roll


@given(attempts, dice)
def test_a_pause_is_never_zero_and_never_longer_than_the_longest(attempt: int, roll: float) -> None:
    assert FIRST_PAUSE_MS // 2 <= pause_ms(attempt, roll) <= LONGEST_PAUSE_MS


def test_it_doubles_up_to_its_limit() -> None:
    assert [pause_ms(attempt, 0) for attempt in range(1, 10)] == [50, 100, 200, 400, 800, 1600, 2500, 2500, 2500]
    assert pause_ms(1, 0.5) == 75


def test_every_refusal_has_a_step() -> None:
    assert set(STEPS) == set(RefusalKind)


@pytest.mark.parametrize("kind", RefusalKind)
def test_only_what_was_not_executed_is_tried_again_whole(kind: RefusalKind) -> None:
    assert (STEPS[kind] is Step.AGAIN) == (REFUSED_AS[kind] is Status.NOT_SENT)


def test_doubt_is_never_sent_again() -> None:
    assert STEPS[RefusalKind.UNCERTAIN] is Step.END


@pytest.mark.parametrize(("asked_ms", "wait_ms"), [(0, 1), (1, 1), (90_000, 90_000)])
@pytest.mark.parametrize("kind", sorted(STOPS))
def test_a_stop_lasts_for_as_long_as_the_venue_asks_and_begins_at_once(
    kind: RefusalKind, asked_ms: int, wait_ms: int
) -> None:
    stop = stop_for(Refusal(kind, pause_ms=asked_ms))

    assert stop == replace(STOPS[kind], wait_ms=wait_ms, patience=0)


@pytest.mark.parametrize("kind", RefusalKind)
def test_where_the_venue_does_not_say_for_how_long_we_do(kind: RefusalKind) -> None:
    assert stop_for(Refusal(kind)) == STOPS.get(kind)


def test_trouble_of_the_venue_or_the_key_stops_and_trouble_of_a_call_does_not() -> None:
    assert set(STOPS) == {
        RefusalKind.RATE_LIMIT,
        RefusalKind.UNAVAILABLE,
        RefusalKind.UNCERTAIN,
        RefusalKind.CREDENTIALS,
    }
    assert stop_for(Refusal(RefusalKind.MARKET_CLOSED, pause_ms=5_000)) is None


@pytest.mark.parametrize("kind", RefusalKind)
def test_a_refusal_that_is_about_an_order_stops_nobody(kind: RefusalKind) -> None:
    assert stop_for(Refusal(kind, pause_ms=5_000, served=True)) is None


def test_a_rate_limit_alone_needs_no_trial() -> None:
    assert [kind for kind, stop in STOPS.items() if not stop.trial] == [RefusalKind.RATE_LIMIT]


def test_a_key_that_is_refused_is_tried_rarely_and_no_stop_is_longer_than_five_minutes() -> None:
    assert STOPS[RefusalKind.CREDENTIALS].wait_ms >= 10_000
    assert all(stop.wait_ms <= stop.longest_ms <= 300_000 for stop in STOPS.values())
    assert [kind for kind, stop in STOPS.items() if stop.patience] == [RefusalKind.UNAVAILABLE, RefusalKind.UNCERTAIN]
