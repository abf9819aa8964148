"""The drain and time: slices, naps, stamps and the venue's clock."""

from dataclasses import replace

import pytest

from connectors.calls import Request, Response
from connectors.transport import MaybeSent
from tasks.drain import VenueClock
from tasks.ports import Claim, Wait, Why
from tests.fakes import PLAIN, START_MS, FakeClock, FakeStore, Reply, ids_of, refs, said
from tests.tasks.stage import CANCELED, MUCH_LATER_MS, Stage, not_sent


def test_a_slice_ends_with_its_time_and_with_work_left() -> None:
    def slow(request: Request) -> Response:
        stage.clock.ms += 400
        return CANCELED

    stage = Stage((slow,))

    assert stage.run(("a",), ("b",), ("c",), ("d",), until_ms=START_MS + 1_000) is None
    assert stage.sent() == [["a"], ["b"], ["c"]]


def test_a_slice_does_not_sleep_past_its_end() -> None:
    stage = Stage((said(refusal="rate_limit", pause_ms=5_000), CANCELED))

    wait = stage.run(("a",), until_ms=START_MS + 1_000)

    assert wait == Wait(Why.PAUSED, START_MS + 5_000)
    assert stage.clock.slept == []


def test_a_drain_that_is_told_to_stop_claims_nothing_more() -> None:
    stage = Stage((CANCELED,))
    stage.store.put(refs("a"))
    stage.store.put(refs("b"))

    stage.drain.run(MUCH_LATER_MS, lambda behind: None, lambda: bool(stage.line.requests))

    assert stage.sent() == [["a"]]
    assert stage.store.left == 1


def test_a_kill_that_comes_while_a_drain_waits_is_not_kept_waiting() -> None:
    stage = Stage((not_sent(), CANCELED), clock=FakeClock(dice=0.99))
    nap = stage.clock.sleep
    came_ms: list[int] = []

    def sleep(seconds: float) -> None:
        if not came_ms:
            came_ms.append(stage.clock.ms)
            stage.store.put(refs("b"))
        nap(seconds)

    stage.clock.sleep = sleep  # type: ignore[method-assign]  # something comes while it sleeps
    stage.run(("a",))

    (after_ms,) = [int(request.headers["time"]) for request in stage.line.requests if ids_of(request) == ["b"]]
    assert after_ms - came_ms[0] <= 30


def test_a_full_account_is_left_at_once() -> None:
    class Full(FakeStore):
        def claim(self, account: object, now_ms: int) -> Claim | Wait:
            return Wait(Why.FULL)

    stage = Stage((CANCELED,))
    drain = replace(stage.drain, store=Full(stage.account))

    assert drain.run(MUCH_LATER_MS, lambda behind: None, lambda: False) == Wait(Why.FULL)


# The venue's time


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
