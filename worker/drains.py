"""The drains of one worker: for each account one dispatcher at a time, and as many callers as have a call to make."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Event, Lock
from typing import Any, Final, Protocol

import redis

from tasks.clock import Clock
from tasks.drain import Drain
from tasks.errors import RipcordError
from tasks.ports import Claim, Log, Settlement, Wait, Why
from worker.gate import Gate, Place

SLICE_MS: Final = 1_000  # how long one drain works before others get a chance at its place
SETTLED_AT_ONCE: Final = 160  # what the answers that one script settles may weigh: about 5 ms, with what it claims
ANSWER_WEIGHS: Final = 9  # as much as so many orders
Answered = tuple[Claim, Settlement]


class Signal(Protocol):
    """What a dispatcher sleeps on: threading's Event, or one of another clock."""

    def set(self) -> None:
        """Wake the sleeper."""

    def clear(self) -> None:
        """Forget that it was set."""

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until it is set, at most *timeout* seconds."""


class Pool(Protocol):
    """What carries the callers: an executor of threads."""

    def submit(self, work: Callable[..., None], /, *arguments: Any) -> object:
        """Have *work* done with *arguments* soon."""


@dataclass(slots=True)
class _Lane:
    """One account in this worker, between its dispatcher and its callers.

    ``look`` says that there may be something to claim, ``next_ms`` when there may be, as callers were told.
    ``answers`` are to be settled by the caller that is ``settling``.
    """

    drain: Drain
    wake: Signal
    callers: int = 0
    answers: list[Answered] = field(default_factory=list)
    settling: bool = False
    dispatching: bool = False
    look: bool = False
    next_ms: int | None = None


@dataclass(slots=True)
class Drains:
    """Starts and bounds the calls of all accounts in this process.

    ``pool`` carries the callers, one for each call in flight; the dispatcher runs in the thread that calls ``drain``.
    """

    accounts: dict[str, Drain]
    pool: Pool
    clock: Clock
    log: Log
    stop: Event = field(default_factory=Event)
    signal: Callable[[], Signal] = Event
    gate: Gate = field(default_factory=Gate)
    _lock: Lock = field(default_factory=Lock)
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    def drain(self, account: str) -> bool:
        """Work on the lane of *account* for one slice.  Gives True if it may have work left.

        A second call while one runs only tells the first that there may be new work.  Calls that are still in
        flight when the slice is over go on.
        """
        drain = self.accounts.get(account)
        if drain is None:
            return False
        with self._lock:
            lane = self._lanes.get(account) or self._lanes.setdefault(account, _Lane(drain, self.signal()))
            lane.look = True
            if lane.dispatching:
                lane.wake.set()
                return False
            lane.dispatching = True
        left = True
        try:
            left = self._dispatch(lane, self.clock.now_ms() + SLICE_MS)
        except (redis.RedisError, RipcordError) as error:  # what was claimed is given back
            self.log.warning("drain.unreachable", account=account, error=str(error))
        finally:
            with self._lock:
                lane.dispatching = False
                left = left or lane.look
        return left

    def _dispatch(self, lane: _Lane, end_ms: int) -> bool:
        """Claim what can be claimed and hand it to callers, until *end_ms* or until nothing is to be had before it."""
        look, next_ms = True, None
        while not self.stop.is_set():
            now_ms = self.clock.now_ms()
            if now_ms >= end_ms:
                return True
            with self._lock:
                lane.wake.clear()
                look, lane.look = look or lane.look, False
                next_ms, lane.next_ms = _earlier(next_ms, lane.next_ms), None
                free = lane.drain.account.max_in_flight - lane.callers
                busy = lane.callers > 0
            due = look or (next_ms is not None and next_ms <= now_ms)
            places = self.gate.enter(free, lane.wake.set) if free > 0 and due else 0
            if places:
                wait = self._claim(lane, places, now_ms)
                look, next_ms = wait.why is Why.MORE, wait.until_ms
                continue
            if not busy and not due and (next_ms is None or next_ms >= end_ms):
                # What can be tried soon is worth another slice; what must wait for longer is woken by the watch.
                return next_ms is not None and next_ms < end_ms + SLICE_MS
            until_ms = end_ms if next_ms is None or due else min(next_ms, end_ms)
            lane.wake.wait((until_ms - now_ms) / 1000)
        return False

    def _claim(self, lane: _Lane, places: int, now_ms: int) -> Wait:
        """Claim as many chunks as there are *places* and have them called."""
        unused = places
        try:
            grant = lane.drain.store.claim(lane.drain.account.name, places, now_ms)
            for claim in grant.claims:
                self._start(lane, claim)
                unused -= 1
        finally:
            if unused:
                self.gate.leave(unused)
        return grant.wait

    def _start(self, lane: _Lane, claim: Claim) -> None:
        with self._lock:
            lane.callers += 1
        self._submit(lane, claim)

    def _submit(self, lane: _Lane, claim: Claim) -> None:
        waiting = [claim]
        try:
            self.pool.submit(self._call, lane, waiting)
        except RuntimeError:  # this process is about to end, or gets no more threads: one that it has may come to it
            if _taken(waiting) is None:
                return
            self.gate.leave()
            self._landed(lane, 1, Wait(Why.IDLE))
            try:
                lane.drain.store.release(claim, self.clock.now_ms())
            except redis.RedisError as error:  # the watch gives it back
                self.log.warning("drain.unreachable", account=claim.account, error=str(error))

    def _call(self, lane: _Lane, waiting: list[Claim]) -> None:
        """Carry out the claim that is *waiting*, unless it was given back, and what can be claimed behind it."""
        following = _taken(waiting)
        while following is not None:
            settlement = self._carry_out(lane, following)
            following = None if settlement is None else self._hand_in(lane, (following, settlement))

    def _carry_out(self, lane: _Lane, claim: Claim) -> Settlement | None:
        place = Place(self.gate)
        try:
            settlement = lane.drain.work_on(claim, place.leave)
            if settlement is not None:
                self.gate.widen()
                return settlement
            self.gate.narrow()
        except (redis.RedisError, RipcordError) as error:  # what was claimed is given back by the watch
            self.log.warning("drain.unreachable", account=claim.account, error=str(error))
        except Exception as error:  # noqa: BLE001  # it would be lost in the pool
            self.log.warning("drain.fault", account=claim.account, chunk=claim.chunk_id, error=repr(error))
        finally:
            place.leave()
        self._landed(lane, 1, Wait(Why.MORE))
        return None

    def _hand_in(self, lane: _Lane, answered: Answered) -> Claim | None:
        """Have an answer settled by who settles for the account already, or here, with all that come meanwhile.

        One script for many answers spares Redis and this process a round trip each.  Gives what to carry out next.
        """
        with self._lock:
            lane.answers.append(answered)
            if lane.settling:
                return None
            lane.settling = True
        following: Claim | None = None
        while True:
            with self._lock:
                some = _first_of(lane.answers)
                lane.settling = bool(some)
            if not some:
                return following
            if following is not None:  # its permission runs out, so it does not wait for what is settled now
                self._submit(lane, following)
            claims = self._settle(lane, some)
            for claim in claims[1:]:
                self._submit(lane, claim)
            following = claims[0] if claims else None

    def _settle(self, lane: _Lane, answers: list[Answered]) -> list[Claim]:
        """Settle *answers*, and claim what goes behind them; gives what was claimed."""
        places = 0 if self.stop.is_set() else self.gate.enter(len(answers))
        claims: list[Claim] = []
        wait = Wait(Why.MORE)
        try:
            grant = lane.drain.settle(answers, places)
            claims, wait = list(grant.claims), grant.wait
        except (redis.RedisError, RipcordError) as error:  # what was claimed is given back by the watch
            self.log.warning("drain.unreachable", account=lane.drain.account.name, error=str(error))
        except Exception as error:  # noqa: BLE001  # it would be lost in the pool
            self.log.warning("drain.fault", account=lane.drain.account.name, error=repr(error))
        finally:
            if places > len(claims):
                self.gate.leave(places - len(claims))
        self._landed(lane, len(answers) - len(claims), wait)
        return claims

    def _landed(self, lane: _Lane, callers: int, wait: Wait) -> None:
        """Note that so many *callers* have no call any more, and what to wait for before more can be claimed."""
        with self._lock:
            lane.callers -= callers
            lane.look = lane.look or wait.why is Why.MORE
            lane.next_ms = _earlier(lane.next_ms, wait.until_ms)
            lane.wake.set()


def _taken(waiting: list[Claim]) -> Claim | None:
    """Take the claim that is *waiting*, if nobody has; of two threads one gets it."""
    try:
        return waiting.pop()
    except IndexError:
        return None


def _first_of(answers: list[Answered]) -> list[Answered]:
    """Take those out of *answers* that one script is to settle."""
    weights = accumulate(ANSWER_WEIGHS + len(claim.places) for claim, _ in answers)
    taken = max(1, sum(weight <= SETTLED_AT_ONCE for weight in weights))
    first, answers[:] = answers[:taken], answers[taken:]
    return first


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
