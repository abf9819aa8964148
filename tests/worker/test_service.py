"""One worker's threads: what a drain does at the end of its slice."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from worker.service import Service
from worker.settings import Settings

NOBODY = "redis://127.0.0.1:1/0"


def service(hinted: list[tuple[str, str]], ready: Any, *, left: bool = True) -> Service:
    """Give a service that has not been started, and whose drains say whether there is work *left*."""
    found = Service(Settings(NOBODY, 1.0, {}), lambda *hint: hinted.append(hint), lambda *_: None)
    found.drains = SimpleNamespace(drain=lambda account: left)  # type: ignore[assignment]
    found._store = SimpleNamespace(ready=ready)  # type: ignore[assignment]
    return found


@pytest.mark.parametrize(("left", "ready", "told"), [(True, "kill", 1), (True, None, 0), (False, "kill", 0)])
def test_what_is_left_at_the_end_of_a_slice_is_told_on(left: bool, ready: str | None, told: int) -> None:
    hinted: list[tuple[str, str]] = []

    service(hinted, lambda *_: ready, left=left).work_on("main")

    assert hinted == [("main", "kill")] * told


@pytest.mark.parametrize("error", [redis.ConnectionError("gone"), redis.exceptions.BusyLoadingError("loading")])
def test_a_redis_that_is_away_at_the_end_of_a_slice_is_told_in_one_line(error: Exception) -> None:
    hinted: list[tuple[str, str]] = []

    def away(*_: object) -> None:
        raise error

    with capture_logs() as told:
        service(hinted, away).work_on("main")

    assert [(one["event"], one["account"]) for one in told] == [("drain.unreachable", "main")]
    assert hinted == []
