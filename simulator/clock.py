"""The simulator's own time; the only one of its modules that reads a clock."""

import time


class Clock:
    """Real time, and how far the venues' clocks are set off from it."""

    def __init__(self) -> None:
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Give the true time in milliseconds since the epoch, by which books settle."""
        return time.time_ns() // 1_000_000

    def venue_ms(self) -> int:
        """Give the time that the venues believe, by which they judge timestamps."""
        return time.time_ns() // 1_000_000 + self.skew_ms

    def steady_us(self) -> int:
        """Give microseconds that only go forward, by which limits are counted."""
        return time.monotonic_ns() // 1000
