"""What is known of one order; the only place that maps a status to a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from connectors.orders import OrderRef


class Status(StrEnum):
    """What is known of one order of a batch."""

    PENDING = "pending"  # not yet tried
    CANCELED = "canceled"  # the venue names this order as canceled (perhaps partly filled)
    FILLED = "filled"  # the venue names it as completely filled
    CLOSED = "closed"  # the venue names it as no longer open, without saying how
    ACCEPTED = "accepted"  # the venue took the request; the order may still be open
    NOT_FOUND = "not_found"  # asked for by itself and unknown, and in no listing either
    REJECTED = "rejected"  # the venue refuses, definitely, and repeating will not help
    OPEN = "open"  # the deadline came, and the last read showed it open
    NOT_SENT = "not_sent"  # proof that nothing was executed at the venue
    INVALID = "invalid"  # the reference cannot name an order on this venue
    UNKNOWN = "unknown"  # anything else


class Verdict(StrEnum):
    """Whether an order can still trade."""

    GONE = "gone"
    LIVE = "live"
    UNPROVEN = "unproven"


VERDICTS: Mapping[Status, Verdict] = MappingProxyType(
    {
        Status.PENDING: Verdict.UNPROVEN,
        Status.CANCELED: Verdict.GONE,
        Status.FILLED: Verdict.GONE,
        Status.CLOSED: Verdict.GONE,
        Status.ACCEPTED: Verdict.UNPROVEN,
        Status.NOT_FOUND: Verdict.GONE,
        Status.REJECTED: Verdict.LIVE,
        Status.OPEN: Verdict.LIVE,
        Status.NOT_SENT: Verdict.LIVE,
        Status.INVALID: Verdict.LIVE,
        Status.UNKNOWN: Verdict.UNPROVEN,
    }
)


class Evidence(StrEnum):
    """What a status rests on, in words for the report."""

    NONE = "none"  # nothing was tried
    REFERENCE = "reference"  # the reference itself, never sent
    NOT_SENT = "not sent"  # the transport, the deadline or a pause: nothing left the house
    CALL_REFUSED = "call refused"  # a definite refusal of the whole call, which names no order
    NO_ANSWER = "no answer"  # nothing that can be read: timeout, 5xx, HTML, an answer without this order
    CANCEL_ANSWER = "cancel answer"  # the answer to the cancel names this very order (by id or by its place)
    CANCEL_ALL = "cancel-all answer"  # the venue took a cancel of all that was open here; it names no order
    ORDER_QUERY = "order query"  # asked for, the venue names this very order
    LISTING = "listing"  # a listing of open orders shows it
    NOT_KNOWN = "not known"  # asked for this very order by itself, the venue does not know it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one answer says of one order.  Never raised, never mutated.

    ``code`` and ``message`` are the venue's own words, as strings.  ``filled_qty`` is the venue's own
    string.  ``order_id`` is the venue's id of the order where the answer tells it.
    """

    order: OrderRef
    status: Status
    evidence: Evidence
    code: str | None = None
    message: str | None = None
    filled_qty: str | None = None
    order_id: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the order can still trade, as far as this outcome knows."""
        return VERDICTS[self.status]
