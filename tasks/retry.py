"""What to do after a refusal, and how long to wait; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from connectors.calls import Refusal, RefusalKind

FIRST_PAUSE_MS = 100
LONGEST_PAUSE_MS = 5_000


class Step(StrEnum):
    """What follows an answer."""

    END = "end"  # the outcomes stand
    AGAIN = "again"  # the same call later
    HALVE = "halve"  # two calls with half of the orders each


STEPS: Mapping[RefusalKind, Step] = MappingProxyType(
    {
        RefusalKind.RATE_LIMIT: Step.AGAIN,
        RefusalKind.UNAVAILABLE: Step.AGAIN,
        RefusalKind.MARKET_CLOSED: Step.AGAIN,
        RefusalKind.CLOCK: Step.AGAIN,
        RefusalKind.CREDENTIALS: Step.END,
        RefusalKind.REFERENCE: Step.HALVE,
        RefusalKind.CALL: Step.END,
        RefusalKind.UNCERTAIN: Step.END,
    }
)


@dataclass(frozen=True, slots=True)
class Stop:
    """How long a failure stops its scope: ``wait_ms`` at first, doubling up to ``longest_ms`` when it comes again.

    With ``trial`` the first call afterwards goes alone.  ``patience`` failures in a row stop nobody yet.
    """

    wait_ms: int
    longest_ms: int
    trial: bool
    patience: int = 0


# All numbers are ours, for venues that do not say for how long.  A key that is refused is tried rarely: one call in
# this time is a trial, not hammering.  A venue that is down is tried soon, and less and less often.
STOPS: Mapping[RefusalKind, Stop] = MappingProxyType(
    {
        RefusalKind.RATE_LIMIT: Stop(wait_ms=1_000, longest_ms=300_000, trial=False),
        RefusalKind.UNAVAILABLE: Stop(wait_ms=100, longest_ms=5_000, trial=True, patience=2),
        RefusalKind.UNCERTAIN: Stop(wait_ms=100, longest_ms=5_000, trial=True, patience=2),
        RefusalKind.CREDENTIALS: Stop(wait_ms=15_000, longest_ms=60_000, trial=True),
    }
)


def pause_ms(attempt: int, fraction: float) -> int:
    """Say how long to wait before the attempt after *attempt* (1, 2, …): doubling, half of it jitter.

    *fraction* is a roll of the dice, 0 up to 1.
    """
    full = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(attempt - 1, 10))
    return full // 2 + int(full / 2 * fraction)


def stop_for(refusal: Refusal) -> Stop | None:
    """Say for how long *refusal* stops everyone whom it concerns; None if it stops nobody."""
    stop = None if refusal.served else STOPS.get(refusal.kind)
    if stop is None or refusal.pause_ms is None:
        return stop
    return replace(stop, wait_ms=max(refusal.pause_ms, 1), patience=0)
