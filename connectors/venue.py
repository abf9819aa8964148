"""The record that describes a venue: a table of facts and pure functions.  Nothing is inherited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from connectors.calls import Answer, RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status


class Scope(StrEnum):
    """What a rate limit is counted by."""

    ACCOUNT = "account"
    KEY = "key"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``units`` in any window of ``per_ms`` milliseconds, of which one cancel call costs ``cost``.

    ``name`` says what the venue counts together: calls of accounts (or keys, or IPs) with the same name
    share the window.
    """

    name: str
    scope: Scope
    units: int
    per_ms: int
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Venue:
    """One venue.  Every number has its URL and date beside it, in the venue's own module.

    ``check_order`` says why a reference cannot name an order here, or None.  ``build_cancel`` signs one
    cancel for 1 to ``max_orders_per_call`` orders of one id kind (and one symbol if ``one_symbol_per_call``).
    ``read_cancel`` gives one outcome for each of these orders, in their order, and never raises.
    ``clock_request`` asks for the venue's time without credentials and ``read_clock`` reads it
    (milliseconds since the epoch, or None); None where the venue needs no time.
    """

    name: str
    title: str
    base_url: str
    id_kinds: tuple[IdKind, ...]
    symbol_required: bool
    one_symbol_per_call: bool
    credential_sets: tuple[frozenset[str], ...]
    max_orders_per_call: int
    max_in_flight: int
    limits: tuple[Limit, ...]
    settling_ms: int
    success_proves: str
    codes: Mapping[str, RefusalKind | Status]
    check_order: Callable[[OrderRef], str | None]
    build_cancel: Callable[[tuple[OrderRef, ...], Credentials, Stamp], Request]
    read_cancel: Callable[[tuple[OrderRef, ...], Response], Answer]
    clock_request: Request | None = None
    read_clock: Callable[[Response], int | None] | None = None
    names_siblings: bool = False
    note: str | None = None
