"""Which of two outcomes of one order stands; pure, and independent of the order in which they arrive."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from connectors.outcomes import Evidence, Outcome, Status

# A stronger status never gives way to a weaker one.  What was never sent says least.  A refusal must not hide that
# another attempt may have been executed, or was accepted: batches may overlap, so it need not be an earlier one.  One
# that names the order says more than one of a whole call (see strength).  Whatever proves that an order is gone
# stands above all the rest.
STRENGTH: Mapping[Status, int] = MappingProxyType(
    {
        Status.PENDING: 0,
        Status.INVALID: 10,
        Status.NOT_SENT: 20,
        Status.REJECTED: 30,
        Status.UNKNOWN: 40,
        Status.ACCEPTED: 50,
        Status.OPEN: 70,
        Status.NOT_FOUND: 90,
        Status.CLOSED: 92,
        Status.CANCELED: 94,
        Status.FILLED: 96,
    }
)
NEVER_TRIED = 15  # not sent, and no attempt has anything to tell
REFUSED_BY_NAME = 35
GONE = 90  # at this strength and above nothing is left to do for an order


def strength(outcome: Outcome) -> int:
    """Say how much *outcome* proves (0 to 99); more stands against less, whichever came first."""
    if outcome.status is Status.REJECTED and outcome.evidence is Evidence.CANCEL_ANSWER:
        return REFUSED_BY_NAME
    return STRENGTH[outcome.status]


@dataclass(frozen=True, slots=True, order=True)
class Standing:
    """An outcome as it is stored: comparable, the greatest of several stands.

    ``details`` is its JSON, which makes the choice between equally strong ones of the same time definite.
    """

    strength: int
    at_ms: int
    status: Status
    details: str

    def text(self) -> str:
        """Write it as ``strength|at_ms|status|details``, digits padded so that texts compare like standings."""
        return f"{self.strength:02d}|{self.at_ms:015d}|{self.status}|{self.details}"

    @property
    def told(self) -> Mapping[str, Any]:
        """The details as a mapping: evidence, code, message, filled_qty, order_id, attempts, where there are any.

        Also updated_ms, where what is told is older than ``at_ms``.
        """
        found: dict[str, Any] = json.loads(self.details)
        return found

    @classmethod
    def read(cls, text: str) -> "Standing":
        """Read what ``text`` wrote."""
        strength_, at_ms, status, details = text.split("|", 3)
        return cls(int(strength_), int(at_ms), Status(status), details)


def fold(one: Standing, other: Standing) -> Standing:
    """Keep the stronger of two standings of one order; of equally strong ones the later."""
    return max(one, other)
