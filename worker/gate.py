"""The gate of one process: how many claims may be on their way to being sent at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

WIDEST: Final = 16  # claims between their permission and their signed request


@dataclass(slots=True)
class Gate:
    """Lets few claims in at a time: one process computes one thing at a time, and a permission soon runs out.

    It halves when a permission has run out, and widens by one with each call that has left in time.
    """

    _width: int = WIDEST
    _inside: int = 0
    _waiting: list[Callable[[], None]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def enter(self, most: int, wake: Callable[[], None] | None = None) -> int:
        """Give how many may go in, at most *most*; if none may, *wake* is called once when half of it is free."""
        with self._lock:
            places = max(0, min(most, self._width - self._inside))
            self._inside += places
            if not places and wake is not None:
                self._waiting.append(wake)
            return places

    def leave(self, places: int = 1) -> None:
        """Give places back."""
        with self._lock:
            self._inside -= places
            if self._inside > self._width // 2:  # one claim each time would be one command each time
                return
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def narrow(self) -> None:
        """A permission ran out: let fewer in."""
        with self._lock:
            self._width = max(1, self._width // 2)

    def widen(self) -> None:
        """A call has left in time: let one more in."""
        with self._lock:
            self._width = min(WIDEST, self._width + 1)


@dataclass(slots=True)
class Place:
    """One claim's place inside; left once, however often that is said."""

    gate: Gate
    inside: bool = True

    def leave(self) -> None:
        """Give the place back, unless that was done."""
        if self.inside:
            self.inside = False
            self.gate.leave()
