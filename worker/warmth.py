"""Connections to every venue that are open before the first cancel, and stay so; one thread for each account."""

from collections.abc import Mapping
from threading import Event, Thread
from typing import Final, Protocol

from connectors.transport import NotSent
from tasks.clock import SystemClock
from tasks.drain import Drain
from tasks.ports import Log

MOST: Final = 16  # connections for each account; more are opened when more are needed at once
LOOK_S: Final = 5.0  # looking costs the venue nothing: only what it has closed is opened again
LONGEST_S: Final = 60.0  # between two rounds that each had to open something, so that nobody is hammered
CLOCK_S: Final = 300.0  # between two questions for the venue's time, which count in its limits


class WarmLine(Protocol):
    """A line whose connections can be opened before they are needed."""

    def warm(self, connections: int) -> int:
        """Have so many *connections* open and idle; give how many were opened.  Raises NotSent."""


def keep_warm(
    drains: Mapping[str, Drain], lines: Mapping[str, WarmLine], clock: SystemClock, log: Log, stop: Event
) -> list[Thread]:
    """Start a thread for each account that keeps its line warm until *stop* is set."""
    threads = []
    for name, drain in drains.items():
        keeper = Keeper(drain, lines[name], clock, log)
        threads.append(Thread(target=keeper.run, args=(stop,), name=f"warmth {name}", daemon=True))
        threads[-1].start()
    return threads


class Keeper:
    """Keeps the line of one account warm."""

    def __init__(self, drain: Drain, line: WarmLine, clock: SystemClock, log: Log) -> None:
        self._drain = drain
        self._line = line
        self._clock = clock
        self._log = log
        self._number = min(drain.account.max_in_flight, MOST)
        self._wait_s = LOOK_S
        self._asked_s: float | None = None  # when the venue was asked for its time, on the monotonic clock
        self._told: str | None = None  # the failure that was told of last

    def run(self, stop: Event) -> None:
        """Do round after round until *stop* is set."""
        wait_s = self.round()
        while not stop.wait(wait_s):
            wait_s = self.round()

    def round(self) -> float:
        """Open what is closed, ask for the time now and then, and give the seconds until the next round."""
        failure, opened = None, 0
        try:
            opened = self._line.warm(self._number)
        except NotSent as error:
            failure = str(error)
        if failure != self._told:
            tell = self._log.info if failure is None else self._log.warning
            tell(
                "venue.connected" if failure is None else "venue.cold", account=self._drain.account.name, error=failure
            )
            self._told = failure
        if failure is None:
            self._ask_for_time()
        self._wait_s = min(self._wait_s * 2, LONGEST_S) if failure or opened else LOOK_S
        return self._wait_s

    def _ask_for_time(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._asked_s is None or now_s - self._asked_s >= CLOCK_S:
            self._asked_s = now_s
            self._drain.measure_clock()
