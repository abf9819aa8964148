"""How long to wait, and what follows a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import REFUSED_AS, RefusalKind
from connectors.outcomes import Status
from tasks.retry import (
    CREDENTIALS_PAUSE_MS,
    FIRST_PAUSE_MS,
    LONGEST_PAUSE_MS,
    RATE_PAUSE_MS,
    STEPS,
    Step,
    account_pause_ms,
    pause_ms,
)

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


@pytest.mark.parametrize("asked_ms", [0, 1, 90_000])
def test_an_account_pauses_for_as_long_as_its_venue_asks(asked_ms: int) -> None:
    assert account_pause_ms(RefusalKind.RATE_LIMIT, asked_ms) == asked_ms
    assert account_pause_ms(RefusalKind.UNAVAILABLE, asked_ms) == asked_ms


def test_an_account_pauses_where_the_venue_does_not_say_for_how_long() -> None:
    assert {kind: account_pause_ms(kind, None) for kind in RefusalKind} == {
        RefusalKind.RATE_LIMIT: RATE_PAUSE_MS,
        RefusalKind.CREDENTIALS: CREDENTIALS_PAUSE_MS,
        RefusalKind.UNAVAILABLE: None,
        RefusalKind.CLOCK: None,
        RefusalKind.REFERENCE: None,
        RefusalKind.CALL: None,
        RefusalKind.UNCERTAIN: None,
    }


def test_bad_credentials_are_not_hammered_whatever_the_venue_asks() -> None:
    assert account_pause_ms(RefusalKind.CREDENTIALS, 1) == CREDENTIALS_PAUSE_MS
