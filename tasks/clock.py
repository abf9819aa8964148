"""Time and randomness; the only module that reads a clock, sleeps or rolls dice."""

import random
import time
import uuid
from threading import Lock
from typing import Protocol

from connectors.calls import Stamp

STEP_MS = 1_000  # a clock that is set back by this is followed; less is a mistake of measuring


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
        self._last_ms = 0

    def now_ms(self) -> int:
        """Give the time in milliseconds since the epoch; it never runs backwards by less than a second."""
        now_ms = int(time.monotonic() * 1000 + self._offset_ms)
        if self._last_ms - STEP_MS < now_ms < self._last_ms:
            return self._last_ms
        self._last_ms = now_ms
        return now_ms

    def follow(self, there_ms: float, asked_at_s: float) -> None:
        """Take over a clock that said *there_ms* when asked at ``monotonic_s() == asked_at_s``.

        Half of the round trip is taken for the way back; what lies within that doubt changes nothing.
        """
        answered_at_s = time.monotonic()
        offset_ms = there_ms - (asked_at_s + answered_at_s) * 500
        if abs(offset_ms - self._offset_ms) > (answered_at_s - asked_at_s) * 500:
            self._offset_ms = offset_ms

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


class VenueClock:
    """An account's time as its venue sees it; shared by the account's callers."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._last_ms = 0
        self._lock = Lock()

    @property
    def ahead_ms(self) -> int:
        """How far the venue's clock is ahead of ours, in milliseconds."""
        return self._ahead_ms

    @ahead_ms.setter
    def ahead_ms(self, ahead_ms: int) -> None:
        with self._lock:
            if abs(ahead_ms - self._ahead_ms) > STEP_MS:
                self._last_ms = 0  # what was stamped by a clock so wrong was refused
            self._ahead_ms = ahead_ms

    def stamp(self, clock: Clock) -> Stamp:
        """Make the stamp of one attempt.  No two have the same time: some venues take it for a nonce."""
        token = clock.token()
        with self._lock:
            self._last_ms = max(self._last_ms + 1, clock.now_ms() + self._ahead_ms)
            return Stamp(self._last_ms, token)
