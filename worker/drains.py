"""The drains of one worker: at most one for each account, each with as many loops as have work."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

import redis

from tasks.clock import Clock
from tasks.drain import Drain
from tasks.errors import RipcordError
from tasks.ports import Log, Wait, Why

SLICE_MS: Final = 1_000  # how long one drain works before others get a chance at its place


@dataclass(slots=True)
class _Running:
    """A drain at work.  ``again`` is set when a hint comes while it runs: work may have come behind its back."""

    loops: int = 0
    again: bool = False


@dataclass(slots=True)
class Drains:
    """Starts and bounds the loops of all accounts in this process.

    ``pool`` carries the loops beside the first one, which runs in the caller's thread.
    """

    accounts: dict[str, Drain]
    pool: ThreadPoolExecutor
    clock: Clock
    log: Log
    stop: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _running: dict[str, _Running] = field(default_factory=dict)

    def drain(self, account: str) -> bool:
        """Work on the lane of *account* for one slice.  Gives True if it may have work left.

        A second call while one runs only tells the first that there may be new work.
        """
        drain = self.accounts.get(account)
        if drain is None:
            return False
        with self._lock:
            running = self._running.get(account)
            if running is not None:
                running.again = True
                return False
            running = self._running[account] = _Running(loops=1)
        left = True
        try:
            left = self._slice(drain, running)
        finally:
            with self._lock:
                del self._running[account]
                again = running.again
        return left or again

    def _slice(self, drain: Drain, running: _Running) -> bool:
        until_ms = self.clock.now_ms() + SLICE_MS
        futures: list[Future[Wait | None]] = []

        def claimed(behind: int) -> None:
            """Start more loops when there is more to do than loops to do it."""
            with self._lock:
                more = min(behind, drain.account.max_in_flight - running.loops)
                if self.stop.is_set() or more <= 0:
                    return
                running.loops += more
            started = [self.pool.submit(run) for _ in range(more)]
            with self._lock:
                futures.extend(started)

        def run() -> Wait | None:
            try:
                return drain.run(until_ms, claimed, self.stop.is_set)
            except (redis.RedisError, RipcordError) as error:  # what was claimed is given back by the watch
                self.log.warning("drain.unreachable", account=drain.account.name, error=str(error))
                return Wait(Why.IDLE)
            finally:
                with self._lock:
                    running.loops -= 1

        waits = [run()]
        while True:
            with self._lock:
                pending, futures[:] = futures[:], []
            if not pending:
                break
            waits += [future.result() for future in pending]
        # What can be tried soon is worth another slice; what must wait for longer is woken by the watch.
        soon_ms = self.clock.now_ms() + SLICE_MS
        return any(wait is None or (wait.until_ms is not None and wait.until_ms < soon_ms) for wait in waits)
