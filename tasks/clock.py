"""Time and randomness; the only module that reads a clock, sleeps or rolls dice."""

import random
import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """What the operation may know of time and chance."""

    def now_ms(self) -> int:
        """Give the time in milliseconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""

    def fraction(self) -> float:
        """Roll a number from 0 up to, but not including, 1."""

    def token(self) -> str:
        """Make a fresh UUID (version 4) in its canonical text form."""


class SystemClock:
    """This machine's clock, set by somebody else's (Redis') where ``follow`` was called.

    It runs on the monotonic clock, so a step of this machine's wall clock does not move it.
    """

    def __init__(self) -> None:
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000

    def now_ms(self) -> int:
        """Give the time in milliseconds since the epoch."""
        return int(time.monotonic() * 1000 + self._offset_ms)

    def follow(self, there_ms: float, asked_at_s: float) -> None:
        """Take over a clock that said *there_ms* when asked at ``monotonic_s() == asked_at_s``.

        Half of the round trip is taken for the way back.
        """
        answered_at_s = time.monotonic()
        self._offset_ms = there_ms - (asked_at_s + answered_at_s) * 500

    def monotonic_s(self) -> float:
        """Give seconds on a clock that never steps."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for *seconds*; not at all if they are over."""
        if seconds > 0:
            time.sleep(seconds)

    def fraction(self) -> float:
        """Roll a number from 0 up to, but not including, 1."""
        return random.random()  # noqa: S311  # jitter, not a secret

    def token(self) -> str:
        """Make a fresh UUID (version 4) in its canonical text form."""
        return str(uuid.uuid4())
