"""One venue call as values: what goes out, what comes back, and what that says of every order asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status


class Scope(StrEnum):
    """What a rate limit is counted by, and who has to wait when it is breached."""

    ACCOUNT = "account"
    KEY = "key"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``units`` in any window of ``per_ms`` milliseconds, of which one call costs ``cost``.

    ``name`` says what the venue counts together: calls of accounts (or keys, or IPs) with the same name
    share the window.
    """

    name: str
    scope: Scope
    units: int
    per_ms: int
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What the headers of an answer tell of a limit: the venue counts ``left`` more units in its window.

    ``limit`` and ``per_ms`` are those of the Limit.  Calls made elsewhere with the same key or IP count too.
    """

    limit: str
    per_ms: int
    left: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time and the one-time number of one attempt, handed in so that building a call is pure.

    ``now_ms`` is the venue's time in milliseconds since the epoch; ``token`` is a fresh UUID (version 4) in
    its canonical text form.
    """

    now_ms: int
    token: str

    @property
    def number(self) -> int:
        """A fresh positive integer below 2**53, for venues that want a number."""
        return UUID(self.token).int >> 75 or 1


@dataclass(frozen=True, slots=True)
class Request:
    """One signed call.  ``target`` is the path and query exactly as they go out; ``body`` likewise.

    The path starts at the venue's documented REST root (``Venue.base_url``).  Everything but the method and
    the path may hold a credential, so ``repr`` shows those two alone.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Request({self.method} {self.target.partition('?')[0]})"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: HTTP status, whole body, and headers with lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after_ms(self) -> int | None:
        """How long the venue asks to be left alone by the Retry-After header, where that is in seconds.

        Source: RFC 9110, section 10.2.3; its other form, a date, is not used by our venues.
        """
        seconds = self.headers.get("retry-after", "").strip()
        return int(seconds) * 1000 if re.fullmatch("[0-9]{1,7}", seconds) else None


class RefusalKind(StrEnum):
    """Why a venue refused a call as a whole, and so what is to be done."""

    RATE_LIMIT = "rate_limit"  # not executed; wait, then again
    UNAVAILABLE = "unavailable"  # not executed: busy, maintenance; wait, then again
    MARKET_CLOSED = "market_closed"  # not executed, and it is one market: wait, then again; the account goes on
    CLOCK = "clock"  # not executed; measure the clock's offset, sign anew, again
    CREDENTIALS = "credentials"  # key, permission, account or IP: this account stops and says so
    REFERENCE = "reference"  # one of the references spoils the call: halve it
    CALL = "call"  # any other definite refusal; repeating will not help
    UNCERTAIN = "uncertain"  # may have been executed


REFUSED_AS: Mapping[RefusalKind, Status] = MappingProxyType(
    {
        RefusalKind.RATE_LIMIT: Status.NOT_SENT,
        RefusalKind.UNAVAILABLE: Status.NOT_SENT,
        RefusalKind.MARKET_CLOSED: Status.NOT_SENT,
        RefusalKind.CLOCK: Status.NOT_SENT,
        RefusalKind.CREDENTIALS: Status.REJECTED,
        RefusalKind.REFERENCE: Status.REJECTED,
        RefusalKind.CALL: Status.REJECTED,
        RefusalKind.UNCERTAIN: Status.UNKNOWN,
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A venue's refusal of a whole call, in its own words.

    ``pause_ms`` is how long the venue asks to be left alone, where it says so; ``scope`` is who has to wait:
    every account behind the same IP address, every one with the same key, or this account alone.  ``served`` is True
    if it is about an order, or about what a proper answer leaves open: the venue works, and other calls need not wait.
    """

    kind: RefusalKind
    code: str | None = None
    message: str | None = None
    pause_ms: int | None = None
    scope: Scope = Scope.ACCOUNT
    served: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a venue's answer to a cancel says: one outcome for each order asked, in their order.

    ``refusal`` is set when the call as a whole was refused or cannot be read.  ``siblings`` are orders that
    the answer names though nobody asked for them (the other legs of an order list).  ``unlisted`` is a code
    that the venue's table does not know, for the log.
    """

    outcomes: tuple[Outcome, ...]
    refusal: Refusal | None = None
    siblings: tuple[Outcome, ...] = ()
    unlisted: str | None = None


def doubt_order(orders: tuple[OrderRef, ...], code: str | None, message: str | None) -> Answer:
    """Read an error of the whole call about one order that may be gone already, such as "order not found".

    Asked alone, it is that order, and a read must tell.  Of several it names none, so the call is to be halved.
    """
    alone = len(orders) == 1
    evidence = Evidence.CANCEL_ANSWER if alone else Evidence.NO_ANSWER
    outcomes = tuple(Outcome(order, Status.UNKNOWN, evidence, code, message) for order in orders)
    return Answer(outcomes, None if alone else Refusal(RefusalKind.REFERENCE, code, message))


def refuse(orders: tuple[OrderRef, ...], refusal: Refusal, unlisted: str | None = None) -> Answer:
    """Give every one of *orders* the outcome that a refusal of the whole call allows."""
    status = REFUSED_AS[refusal.kind]
    evidence = Evidence.NO_ANSWER if refusal.kind is RefusalKind.UNCERTAIN else Evidence.CALL_REFUSED
    outcomes = tuple(Outcome(order, status, evidence, refusal.code, refusal.message) for order in orders)
    return Answer(outcomes, refusal, unlisted=unlisted)
