from collections import deque
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from connectors.calls import Response
from connectors.transport import NotSent
from tasks.clock import SystemClock
from tests.connectors.peer import OK, answering, peer
from tests.end_to_end.stage import add_account, secrets_of, staged
from tests.end_to_end.waiting import until
from tests.tasks.stage import Stage
from worker.warmth import CLOCK_S, LONGEST_S, LOOK_S, MOST, Keeper, keep_warm


class FakeWarmLine:
    """A line that opens as many connections as it is told, or fails."""

    def __init__(self, *replies: int | NotSent) -> None:
        self.replies = deque(replies)
        self.wanted: list[int] = []

    def warm(self, connections: int) -> int:
        self.wanted.append(connections)
        reply = self.replies.popleft() if self.replies else 0
        if isinstance(reply, NotSent):
            raise reply
        return reply


def keeper(*replies: int | NotSent) -> tuple[Keeper, FakeWarmLine, Stage]:
    stage = Stage((Response(200, b"1764000000000"),))
    line = FakeWarmLine(*replies)
    return Keeper(stage.drain, line, cast("SystemClock", stage.clock), stage.log), line, stage


def test_as_many_are_kept_as_may_be_in_flight_and_no_more_than_most() -> None:
    keeps, line, stage = keeper(2)

    keeps.round()

    assert line.wanted == [min(stage.account.max_in_flight, MOST)]


def test_the_venue_is_asked_for_its_time_at_first_and_then_seldom() -> None:
    keeps, _, stage = keeper()

    for _ in range(5):
        stage.clock.sleep(keeps.round())
    assert len(stage.line.requests) == 1

    stage.clock.sleep(CLOCK_S)
    keeps.round()
    assert len(stage.line.requests) == 2


def test_a_failure_is_told_once_until_it_changes_and_so_is_its_end() -> None:
    away, other = NotSent("no connection: A"), NotSent("no connection: B")
    keeps, _, stage = keeper(away, away, other, other, 3, 0)

    for _ in range(6):
        keeps.round()

    assert [fields["error"] for fields in stage.log.named("venue.cold")] == [str(away), str(other)]
    assert len(stage.log.named("venue.connected")) == 1
    assert len(stage.line.requests) == 1  # nobody is asked for the time over a line that is not there


def test_rounds_that_have_to_open_something_come_ever_more_seldom() -> None:
    keeps, _, _ = keeper(*[4] * 8, 0, NotSent("no connection"))

    waits = [keeps.round() for _ in range(10)]

    assert waits[:2] == [2 * LOOK_S, 4 * LOOK_S]
    assert waits[7] == LONGEST_S
    assert waits[8:] == [LOOK_S, 2 * LOOK_S]


def test_threads_end_when_they_are_told() -> None:
    stage = Stage((Response(200, b"1"),))
    line, stop = FakeWarmLine(), Event()

    threads = keep_warm({"main": stage.drain}, {"main": line}, cast("SystemClock", stage.clock), stage.log, stop)
    assert until(lambda: line.wanted)
    stop.set()

    assert [thread.name for thread in threads] == ["warmth main"]
    assert until(lambda: not threads[0].is_alive())


@pytest.mark.processes
def test_a_first_cancel_finds_a_connection_that_is_open(tmp_path: Path) -> None:
    with staged(tmp_path) as stage, peer(answering(*[OK] * 3)) as venue:
        add_account(stage.config, "crypto_com-peer", "crypto_com", f"http://127.0.0.1:{venue.port}",
                    secrets_of("crypto_com", "crypto_com-sim"))  # fmt: skip
        stage.worker()
        assert until(lambda: venue.connections > 1)
        until(lambda: False, 0.3)
        opened = venue.connections

        given: dict[str, Any] = {"version": 1, "account": "crypto_com-peer", "orders": [{"order_id": "1"}]}
        stage.client.submit({**given, "deadline_s": 2, "batch_id": "first"})

        assert until(lambda: venue.requests)
        assert venue.connections == opened
