"""What to do after a refusal, and how long to wait; pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from connectors.calls import RefusalKind

FIRST_PAUSE_MS = 100
LONGEST_PAUSE_MS = 5_000
RATE_PAUSE_MS = 1_000  # a rate limit was hit and the venue does not say for how long
CREDENTIALS_PAUSE_MS = 15_000  # one call in this time is a trial, not hammering


class Step(StrEnum):
    """What follows an answer."""

    END = "end"  # the outcomes stand
    AGAIN = "again"  # the same call later
    HALVE = "halve"  # two calls with half of the orders each


STEPS: Mapping[RefusalKind, Step] = MappingProxyType(
    {
        RefusalKind.RATE_LIMIT: Step.AGAIN,
        RefusalKind.UNAVAILABLE: Step.AGAIN,
        RefusalKind.CLOCK: Step.AGAIN,
        RefusalKind.CREDENTIALS: Step.END,
        RefusalKind.REFERENCE: Step.HALVE,
        RefusalKind.CALL: Step.END,
        RefusalKind.UNCERTAIN: Step.END,
    }
)


def pause_ms(attempt: int, fraction: float) -> int:
    """Say how long to wait before the attempt after *attempt* (1, 2, …): doubling, half of it jitter.

    *fraction* is a roll of the dice, 0 up to 1.
    """
    full = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(attempt - 1, 10))
    return full // 2 + int(full / 2 * fraction)


def account_pause_ms(kind: RefusalKind, asked_ms: int | None) -> int | None:
    """Say for how long a refusal stops the whole account; None if it does not.

    *asked_ms* is what the venue asked for, where it did.
    """
    if kind is RefusalKind.CREDENTIALS:
        return CREDENTIALS_PAUSE_MS
    if kind is RefusalKind.RATE_LIMIT:
        return RATE_PAUSE_MS if asked_ms is None else asked_ms
    if kind is RefusalKind.UNAVAILABLE:
        return asked_ms
    return None
