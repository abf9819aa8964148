"""Kuna's reads: what is open in its three states, and how an order stands."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.kuna_calls import LIMIT, build_get
from connectors.kuna_refusals import errors_of, refusal_of, says_not_found
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, iso_ms, parse_json, plain, quantity, text
from connectors.reads import Listing, OpenOrder, Page, Query, Side, unanswered

# Older than the venue: without it a listing goes back two weeks only.  There are no pages, but an end.
# https://docs.kuna.io/docs/get-active-client-orders-private, 2026-11-20
START: Final = "2015-01-01T00:00:00.000Z"
PAGE_SIZE: Final = 100

# The history's filter names these seven.  What they mean is not said; peers read them so:
# https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20.  A `Closed` order counts as filled if its quantities agree.
STATES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "Open": Status.OPEN,
        "Pending": Status.OPEN,
        "WaitStop": Status.OPEN,
        "Canceled": Status.CANCELED,
        "Closed": Status.CLOSED,
        "Expired": Status.CLOSED,
        "Rejected": Status.CLOSED,
    }
)
SIDES: Final[Mapping[str, Side]] = MappingProxyType({"Bid": Side.BUY, "Ask": Side.SELL})


def _listing(name: str, path: str, state: str | None = None) -> Listing:
    """Make the listing that asks *path* for the open orders, or for those in one *state*."""

    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        """Ask for the newest orders of *symbol*, up to the time *cursor* (milliseconds since the epoch)."""
        pairs = {"status": state, "pairs": symbol, "limit": str(PAGE_SIZE), "sort": "desc", "start": START}
        asked = {name: value for name, value in pairs.items() if value} | ({"end": _iso(int(cursor))} if cursor else {})
        return build_get(f"{path}?{urlencode(asked, safe='', quote_via=quote)}", credentials, stamp)

    return Listing(name, (LIMIT,), build, _read_listing)


def _read_listing(response: Response, cursor: str | None) -> Page:
    """Read all rows, or none: a row that cannot be read, or says that it is not open, spoils the page.

    After a full page the next one ends a millisecond behind its oldest row, so that none is lost whether the venue
    counts its end in or not; rows of that time come twice.
    """
    document = parse_json(response.body)
    errors, listed = errors_of(document), field(document, "data")
    if errors or response.status != 200 or not isinstance(listed, list):
        refusal, unlisted = refusal_of(errors, response)
        return Page((), refusal=refusal, unlisted=unlisted)
    orders = tuple(order for row in listed if (order := _open_order(row)))
    if len(orders) < len(listed):
        return _no_page("a row of the listing names no open order")
    if len(orders) < PAGE_SIZE:
        return Page(orders)
    times = [order.created_ms for order in orders if order.created_ms is not None]
    end_ms = min(times) + 1 if len(times) == len(orders) else None
    if end_ms is None or (cursor is not None and end_ms >= int(cursor)):
        return _no_page("a full page of the listing does not tell how to go on", served=True)
    return Page(orders, str(end_ms))


def _no_page(message: str, *, served: bool = False) -> Page:
    return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message=message, served=served))


def _open_order(row: object) -> OpenOrder | None:
    order_id, state, side = plain(field(row, "id")), field(row, "status"), field(row, "side")
    if order_id is None or UUID_FORM.fullmatch(order_id) is None:
        return None
    if not isinstance(state, str) or STATES.get(state, Status.OPEN) is not Status.OPEN:
        return None
    return OpenOrder(
        order_id,
        symbol=plain(field(row, "pair")),
        side=SIDES.get(side) if isinstance(side, str) else None,
        created_ms=iso_ms(field(row, "createdAt")),
        filled_qty=quantity(field(row, "executedQuantity")),
    )


def _iso(at_ms: int) -> str:
    whole = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{at_ms % 1000:03d}Z"


def _build_query(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    (order,) = orders
    return build_get(f"/v4/order/private/details/{quote(order.value.lower(), safe='')}", credentials, stamp)


def _read_query(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read the answer about the one order of *orders*; "not found" was given to this query alone."""
    document = parse_json(response.body)
    errors, row = errors_of(document), field(document, "data")
    if not errors and response.status == 200 and isinstance(row, dict):
        return Answer(tuple(_outcome(order, row) for order in orders))
    refusal, unlisted = refusal_of(errors, response)
    if not says_not_found(errors) or row is not None or not 400 <= response.status < 500:
        return unanswered(orders, refusal, unlisted)
    code, message = refusal.code, refusal.message
    return Answer(tuple(Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN, code, message) for order in orders))


def _outcome(order: OrderRef, row: object) -> Outcome:
    order_id = identity(field(row, "id"))
    if order_id is None or order_id.lower() != order.value.lower():
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    word = field(row, "status")
    status = STATES.get(word) if isinstance(word, str) else None
    if status is None:
        message = text(f"order status {text(word) or 'missing'}")
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=message)
    filled_qty, asked_qty = quantity(field(row, "executedQuantity")), quantity(field(row, "quantity"))
    if word == "Closed" and filled_qty and asked_qty and Decimal(filled_qty) == Decimal(asked_qty) > 0:
        status = Status.FILLED
    return Outcome(order, status, Evidence.ORDER_QUERY, filled_qty=filled_qty, order_id=order_id.lower())


# Whether `active` shows Pending and WaitStop too is documented nowhere, so that the history is asked for each.  In the
# order in which an order passes its states: one that moves on meanwhile is met again.
# https://docs.kuna.io/docs/get-active-client-orders-private and, for the other paths,
# https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20
LISTINGS: Final = (
    _listing("pending orders", "/v4/order/private/history", "Pending"),
    _listing("stop orders", "/v4/order/private/history", "WaitStop"),
    _listing("active orders", "/v4/order/private/active"),
)
QUERIES: Final = (Query("order details", (IdKind.ORDER_ID,), 1, (LIMIT,), _build_query, _read_query),)
