"""The calls beside the cancel, as values: listings of open orders, queries, and the venue's own cancel-alls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from connectors.calls import Answer, Limit, Refusal, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, plain, quantity, text


class Side(StrEnum):
    """What an order does."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One row of a listing: an order that the venue shows as open.

    Ids, ``symbol`` and ``filled_qty`` are the venue's own strings; ``created_ms`` is milliseconds since the
    epoch.  What the row does not tell is None, and then no filter on it matches.  ``namespace`` is that of
    the call that cancels it (a key of ``Venue.namespaces``), or None for the ordinary cancel.
    """

    order_id: str
    client_order_id: str | None = None
    order_list_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    created_ms: int | None = None
    filled_qty: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer to a listing shows.

    ``cursor`` asks for the next page; None if this is the last.  With a ``refusal`` the answer is no proper
    listing: then ``orders`` is empty, and that says nothing.
    """

    orders: tuple[OpenOrder, ...]
    cursor: str | None = None
    refusal: Refusal | None = None
    unlisted: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A call that lists open orders, page by page.

    ``build`` takes a symbol or None for all, and the cursor of the page before or None for the first;
    ``read`` takes the answer and that same cursor, and never raises.  ``limits`` are the windows that one
    call of it counts in; ``symbol_limits`` are those of a call with a symbol, where it costs less.

    With ``pages_shift`` pages are counted from the front of a list that moves up as orders leave it: later pages may
    miss some.  Such a listing is complete only if its first page is its last; to empty it, cancel what the first page
    shows and ask for the first page again.
    """

    name: str
    limits: tuple[Limit, ...]
    build: Callable[[str | None, str | None, Credentials, Stamp], Request]
    read: Callable[[Response, str | None], Page]
    symbol_limits: tuple[Limit, ...] | None = None
    pages_shift: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A call that asks how 1 to ``max_orders`` orders of one id kind (and one symbol, and namespace) stand.

    ``read`` gives one outcome for each of the orders, in their order, and never raises: OPEN, CANCELED, FILLED
    or CLOSED with Evidence.ORDER_QUERY; UNKNOWN with Evidence.NOT_KNOWN where the venue says of this very order
    that it does not know it; UNKNOWN with Evidence.NO_ANSWER for anything else.
    """

    name: str
    id_kinds: tuple[IdKind, ...]
    max_orders: int
    limits: tuple[Limit, ...]
    build: Callable[[tuple[OrderRef, ...], Credentials, Stamp], Request]
    read: Callable[[tuple[OrderRef, ...], Response], Answer]
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class CancelAll:
    """A venue's own call that cancels every order of one symbol (``per_symbol``), or of the account.

    It touches exactly the orders that a listing with the same symbol (or None) shows in ``namespace``, and no
    other.  ``read`` is given orders in its reach and gives one outcome for each of them, in their order, and never
    raises.  Whatever it says, a listing decides what is still open.
    """

    name: str
    per_symbol: bool
    limits: tuple[Limit, ...]
    build: Callable[[str | None, Credentials, Stamp], Request]
    read: Callable[[tuple[OrderRef, ...], Response], Answer]
    namespace: str | None = None


def unanswered(orders: tuple[OrderRef, ...], refusal: Refusal, unlisted: str | None = None) -> Answer:
    """Give every one of *orders* the outcome of a query that was refused: a read that says nothing changes nothing."""
    outcomes = tuple(
        Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, refusal.code, refusal.message) for order in orders
    )
    return Answer(outcomes, refusal, unlisted=unlisted)


def read_standing(
    order: OrderRef, row: object, ids: Mapping[IdKind, str], states: Mapping[str, Status], filled: str
) -> Answer:
    """Read how *order* stands by a row that must name it, with its ids in the fields *ids* and its state in "status".

    *states* are the venue's words for it, and *filled* is the field of the quantity.  A word that is not among them is
    no answer, and told as unlisted.
    """
    named = identity(field(row, ids[order.kind])) == order.value
    state = identity(field(row, "status"))
    status = states.get(state or "")
    if not named or status is None:
        doubt = text(f"the order's status is {text(state)}") if named else "the answer does not name this order"
        return Answer((Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=doubt),), unlisted=text(state))
    filled_qty, order_id = quantity(field(row, filled)), plain(field(row, ids[IdKind.ORDER_ID]))
    return Answer((Outcome(order, status, Evidence.ORDER_QUERY, filled_qty=filled_qty, order_id=order_id),))
