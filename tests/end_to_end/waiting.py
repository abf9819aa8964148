"""Waiting for something to become true; the only place of these tests that sleeps."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0  # only a failing test takes this long


def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> bool:
    """Look again and again until *condition* holds; False if it does not in time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
