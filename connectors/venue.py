"""The record that describes a venue: a table of facts and pure functions.  Nothing is inherited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.calls import Answer, Limit, RefusalKind, Request, Response, Stamp, Usage
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status
from connectors.reads import CancelAll, Listing, Query


@dataclass(frozen=True, slots=True)
class Venue:
    """One venue.  Every number has its URL and date beside it, in the venue's own module.

    ``check_order`` says why a reference cannot name an order here, or None.  ``build_cancel`` signs one
    cancel for 1 to ``max_orders_per_call`` orders of one id kind (and one symbol if ``one_symbol_per_call``).
    ``read_cancel`` gives one outcome for each of these orders, in their order, and never raises.
    ``clock_request`` asks for the venue's time without credentials and ``read_clock`` reads it
    (milliseconds since the epoch, or None); None where the venue needs no time.

    ``listings`` together show every open order of an account, in all of the venue's namespaces; ``queries``
    ask for given orders; ``cancel_alls`` are the venue's own calls that cancel a whole selection.
    ``namespaces`` maps each namespace whose orders are canceled by a call of its own to the most orders of
    that call.  ``resend_safe`` are the id kinds that name one order for ever, so that a second cancel can
    only meet the same order.  ``read_usage`` reads what the headers of any answer tell of the limits.
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
    listings: tuple[Listing, ...] = ()
    queries: tuple[Query, ...] = ()
    cancel_alls: tuple[CancelAll, ...] = ()
    namespaces: Mapping[str, int] = field(default_factory=dict)
    resend_safe: frozenset[IdKind] = frozenset({IdKind.ORDER_ID, IdKind.ORDER_LIST_ID})
    read_usage: Callable[[Mapping[str, str]], tuple[Usage, ...]] | None = None
