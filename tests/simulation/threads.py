"""One thread at a time, under one clock: greenlets that give way at every command, sleep and call."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

MOST_SWITCHES = 200_000  # a schedule that takes more goes round in circles


@dataclass(slots=True, eq=False)
class Process:
    """What can be killed or stopped as one: all of a worker's threads."""

    name: str
    worker: Any = None
    dead: bool = False
    stopped_until_ms: int = 0
    switches: int = 0


@dataclass(slots=True, eq=False)
class Thread:
    """One thread of a process; ``round`` tells its latest sleep from those that were cut short."""

    process: Process
    body: greenlet
    round: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Scheduler:
    """Runs threads one at a time, the earliest first; which of those that are due is a roll of the dice."""

    dice: Random
    now_ms: int
    on_fault: Callable[[str], None]
    going: Callable[[], bool]
    before_switch: Callable[[Process], None] = lambda _: None
    current: Thread | None = None
    switches: int = 0
    _until_ms: int = 0
    _left: Thread | Callable[[], None] | None = None  # by a thread to the hub: an event, or a thread that is to end
    _hub: greenlet = field(default_factory=getcurrent)
    _heap: list[tuple[int, float, int, Thread | None, Callable[[], None] | None, int]] = field(default_factory=list)
    _serial: int = 0
    _threads: set[Thread] = field(default_factory=set)

    def spawn(self, process: Process, work: Callable[..., object], *args: object, delay_ms: int = 0) -> Thread:
        """Start a thread of *process* that does *work*."""

        def body() -> None:
            try:
                work(*args)
            except GreenletExit:
                pass
            except Exception as error:  # noqa: BLE001  # a thread that ends so is a finding
                self.on_fault(f"{process.name}: {getattr(work, '__qualname__', work)} ended with {error!r}")
            finally:
                self._threads.discard(thread)

        thread = Thread(process, greenlet(body, self._hub))
        self._threads.add(thread)
        self._push(self.now_ms + delay_ms, thread, None, 0)
        return thread

    def at(self, at_ms: int, event: Callable[[], None]) -> None:
        """Have *event* happen at a time."""
        self._push(at_ms, None, event, 0)

    def _push(self, at_ms: int, thread: Thread | None, event: Callable[[], None] | None, round_: int) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (at_ms, self.dice.random(), self._serial, thread, event, round_))

    def sleep(self, ms: int) -> None:
        """Let others run for *ms* (0: those that are due)."""
        thread = self.current
        assert thread is not None
        thread.round += 1
        self._push(self.now_ms + max(0, ms), thread, None, thread.round)
        self.park()

    def park(self) -> None:
        """Let others run until somebody wakes this thread."""
        thread = self.current
        assert thread is not None
        self.before_switch(thread.process)
        if thread.process.dead:
            raise GreenletExit
        due = self._take()
        if not isinstance(due, Thread) or due.process.dead:
            self._left = due
            self._hub.switch()
        else:  # straight to the next thread, which may be this one
            self.current = due
            if due is not thread:
                due.body.switch()

    def wake(self, thread: Thread) -> None:
        """Cut a thread's sleep short."""
        thread.round += 1
        self._push(self.now_ms, thread, None, thread.round)

    def give_up_if_dead(self) -> None:
        """End this thread if its process is dead."""
        thread = self.current
        if thread is not None and thread.process.dead:
            raise GreenletExit

    def run(self, until_ms: int) -> None:
        """Run everything until a time, or until nothing is left."""
        self._until_ms = until_ms
        while (due := self._left or self._take()) is not None:
            self._left = None
            if not isinstance(due, Thread):
                due()
                continue
            self.current = due
            if due.process.dead:
                self._end(due)
            else:
                due.body.switch()
            self.current = None

    def _take(self) -> Thread | Callable[[], None] | None:
        """Bring the clock to what is due next, a thread or an event, and take it; None if nothing is."""
        while self._heap and self.going() and self._heap[0][0] <= self._until_ms:
            at_ms, _, _, thread, event, round_ = heapq.heappop(self._heap)
            self.now_ms = max(self.now_ms, at_ms)
            if thread is None:
                return event
            if round_ != thread.round or thread.body.dead:
                continue
            process = thread.process
            if process.stopped_until_ms > self.now_ms and not process.dead:
                self._push(process.stopped_until_ms, thread, None, round_)
                continue
            self.switches += 1
            if self.switches > MOST_SWITCHES:
                self.on_fault("too many switches: something goes round in circles")
                return None
            return thread
        return None

    def _end(self, thread: Thread) -> None:
        if thread.body:  # it has begun
            thread.body.throw(GreenletExit)
        self._threads.discard(thread)

    def close(self) -> None:
        """End every thread."""
        for thread in list(self._threads):
            thread.process.dead = True
        for thread in list(self._threads):
            self.current = thread
            self._end(thread)
        self.current = None


@dataclass(slots=True)
class SimSignal:
    """What threading's Event is, in this time."""

    scheduler: Scheduler
    _flag: bool = False
    _waiting: list[Thread] = field(default_factory=list)

    def is_set(self) -> bool:
        """Say whether it is set."""
        return self._flag

    def set(self) -> None:
        """Wake the sleepers."""
        self._flag = True
        for thread in self._waiting:
            self.scheduler.wake(thread)
        self._waiting.clear()

    def clear(self) -> None:
        """Forget that it was set."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until it is set, at most *timeout* seconds."""
        if self._flag:
            return True
        thread = self.scheduler.current
        assert thread is not None
        self._waiting.append(thread)
        if timeout is None:
            self.scheduler.park()
        else:
            self.scheduler.sleep(round(timeout * 1000))
        if thread in self._waiting:
            self._waiting.remove(thread)
        return self._flag


@dataclass(slots=True)
class SimClock:
    """A worker's clock: off by something, and now and then set."""

    scheduler: Scheduler
    offset_ms: int = 0
    tokens: int = 0

    def now_ms(self) -> int:
        """Give the time as this worker has it."""
        return self.scheduler.now_ms + self.offset_ms

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.scheduler.sleep(round(seconds * 1000))

    def fraction(self) -> float:
        """Roll the seed's dice."""
        return self.scheduler.dice.random()

    def token(self) -> str:
        """Make a token that no other attempt of this worker has."""
        self.tokens += 1
        return f"{self.tokens:032x}"
