"""The drain and time: stamps and the venue's clock."""

from dataclasses import replace

import pytest

from connectors.calls import Request, Response
from connectors.transport import MaybeSent
from tasks.clock import STEP_MS, VenueClock
from tests.fakes import PLAIN, FakeClock, Reply, said
from tests.tasks.stage import CANCELED, Stage, not_sent


def test_every_attempt_has_a_stamp_of_its_own() -> None:
    stage = Stage((not_sent(), not_sent(), CANCELED))

    stage.run(("a",))

    stamps = [(request.headers["time"], request.headers["nonce"]) for request in stage.line.requests]
    assert len({time for time, _ in stamps}) == len({nonce for _, nonce in stamps}) == 3


def test_no_two_stamps_have_the_same_time_though_the_clock_stands_still_or_steps_back() -> None:
    clock, venue_clock = FakeClock(), VenueClock()
    times = [venue_clock.stamp(clock).now_ms for _ in range(3)]
    clock.ms -= 5_000
    times += [venue_clock.stamp(clock).now_ms for _ in range(3)]

    assert times == sorted(set(times))


def test_after_a_step_of_the_venues_clock_stamps_follow_it_at_once() -> None:
    """A stamp from far ahead was refused; waiting until its time has come would have every call refused."""
    clock, venue_clock = FakeClock(), VenueClock()
    venue_clock.ahead_ms = 60_000
    assert venue_clock.stamp(clock).now_ms == clock.ms + 60_000

    venue_clock.ahead_ms = -500

    assert [venue_clock.stamp(clock).now_ms for _ in range(2)] == [clock.ms - 500, clock.ms - 499]


def test_a_small_correction_of_the_venues_clock_repeats_no_stamp() -> None:
    clock, venue_clock = FakeClock(), VenueClock()
    venue_clock.ahead_ms = STEP_MS
    first = venue_clock.stamp(clock).now_ms

    venue_clock.ahead_ms = 0

    assert venue_clock.stamp(clock).now_ms == first + 1


def test_a_refusal_for_the_clock_measures_it_and_signs_anew() -> None:
    def venues_time(request: Request) -> Response:
        stage.clock.ms += 20
        return replace(said(), body=str(stage.clock.ms - 10 + 7_000).encode())

    stage = Stage((said(refusal="clock"), venues_time, CANCELED))

    stage.run(("a",))

    assert [request.target for request in stage.line.requests] == ["/cancel", "/time", "/cancel"]
    assert stage.venue_clock.ahead_ms == 7_000
    assert int(stage.line.requests[2].headers["time"]) == stage.clock.ms + 7_000
    assert stage.store.statuses() == ["canceled"]


@pytest.mark.parametrize("reply", [not_sent(), MaybeSent("?"), ValueError("a bad header"), said()], ids=type)
def test_a_clock_that_cannot_be_read_stays_as_it_was(reply: Reply) -> None:
    stage = Stage((said(refusal="clock"), reply, CANCELED), replace(PLAIN, read_clock=lambda response: None))
    stage.venue_clock.ahead_ms = 5

    stage.run(("a",))

    assert stage.venue_clock.ahead_ms == 5
    assert stage.store.statuses() == ["canceled"]


def test_a_venue_without_a_clock_is_not_asked() -> None:
    stage = Stage((said(refusal="clock"), CANCELED), replace(PLAIN, clock_request=None))

    stage.run(("a",))

    assert [request.target for request in stage.line.requests] == ["/cancel", "/cancel"]
