"""Upbit's reads: what is open, and how orders stand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, iso_ms, parse_json, plain, quantity, text
from connectors.reads import Listing, OpenOrder, Page, Query, Side, unanswered
from connectors.upbit_calls import LIMIT, PARAMETERS, build
from connectors.upbit_refusals import read_refusal_of_read

# Both states, or stop orders stay hidden; a page has at most 100 rows.
# https://global-docs.upbit.com/reference/list-open-orders, 2026-11-20
STATES: Final = (("states[]", "wait"), ("states[]", "watch"))
PAGE_SIZE: Final = 100

# https://global-docs.upbit.com/reference/get-order, 2026-11-20.  `cancel` may have traded in part, and then says so.
ORDER_STATES: Final[Mapping[str, Status]] = MappingProxyType(
    {"wait": Status.OPEN, "watch": Status.OPEN, "done": Status.FILLED, "cancel": Status.CANCELED}
)
SIDES: Final[Mapping[str, Side]] = MappingProxyType({"bid": Side.BUY, "ask": Side.SELL})

# The parameter of the query for one order, and the field of every row, are named alike.
# https://global-docs.upbit.com/reference/get-order, 2026-11-20
NAMES: Final[Mapping[IdKind, str]] = MappingProxyType({IdKind.ORDER_ID: "uuid", IdKind.CLIENT_ORDER_ID: "identifier"})


def _build_listing(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
    """Ask for one page of open orders; *cursor* is its number, from 1.

    What ends between two pages moves later orders onto pages already read, so that only a listing of one page, or of
    an account at rest, shows all.
    """
    market = [("market", symbol)] if symbol else []
    pairs = [*market, *STATES, ("page", cursor or "1"), ("limit", str(PAGE_SIZE))]
    return build("GET", "/v1/orders/open", pairs, credentials, stamp)


def _read_listing(response: Response, cursor: str | None) -> Page:
    """Read all rows, or none: a row that cannot be read, or says that it is not open, spoils the page."""
    document = parse_json(response.body)
    if response.status != 200 or not isinstance(document, list):
        refusal, unlisted = read_refusal_of_read(response, document)
        return Page((), refusal=refusal, unlisted=unlisted)
    orders = tuple(order for row in document if (order := _open_order(row)))
    if len(orders) < len(document):
        return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message="a row of the listing names no open order"))
    return Page(orders, str(int(cursor or "1") + 1) if len(orders) >= PAGE_SIZE else None)


def _open_order(row: object) -> OpenOrder | None:
    order_id, state, side = plain(field(row, "uuid")), field(row, "state"), field(row, "side")
    if order_id is None or not isinstance(state, str) or ORDER_STATES.get(state, Status.OPEN) is not Status.OPEN:
        return None
    return OpenOrder(
        order_id,
        client_order_id=plain(field(row, "identifier")),
        symbol=plain(field(row, "market")),
        side=SIDES.get(side) if isinstance(side, str) else None,
        created_ms=iso_ms(field(row, "created_at")),
        filled_qty=quantity(field(row, "executed_volume")),
    )


def _build_list_query(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    pairs = [(PARAMETERS[order.kind], order.value) for order in orders]
    return build("GET", "/v1/orders/uuids", pairs, credentials, stamp)


def _read_list_query(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read the rows that the answer has for *orders*.

    What it says of an order by leaving it out is documented nowhere, so that it is no answer.
    """
    document = parse_json(response.body)
    if response.status != 200 or not isinstance(document, list):
        return unanswered(orders, *read_refusal_of_read(response, document))
    named: dict[tuple[IdKind, str], list[object]] = {}
    for row in document:
        for kind, name in NAMES.items():
            value = identity(field(row, name))
            if value is not None:
                named.setdefault((kind, _exact(kind, value)), []).append(row)
    return Answer(
        tuple(_outcome(order, named.get((order.kind, _exact(order.kind, order.value)), [])) for order in orders)
    )


def _build_order_query(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    (order,) = orders
    return build("GET", "/v1/order", [(NAMES[order.kind], order.value)], credentials, stamp)


def _read_order_query(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read the answer about the one order of *orders*; its 404 names no order, but was given to this query alone."""
    document = parse_json(response.body)
    if response.status == 200 and isinstance(document, dict) and field(document, "error") is None:
        return Answer(tuple(_outcome(order, [document] if _names(document, order) else []) for order in orders))
    refusal, unlisted = read_refusal_of_read(response, document)
    if refusal.code != "order_not_found" or not 400 <= response.status < 500:
        return unanswered(orders, refusal, unlisted)
    code, message = refusal.code, refusal.message
    return Answer(tuple(Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN, code, message) for order in orders))


def _names(row: object, order: OrderRef) -> bool:
    value = identity(field(row, NAMES[order.kind]))
    return value is not None and _exact(order.kind, value) == _exact(order.kind, order.value)


def _exact(kind: IdKind, value: str) -> str:
    """Give an id as it is compared: a uuid in lower case, an identifier as it is."""
    return value.lower() if kind is IdKind.ORDER_ID else value


def _outcome(order: OrderRef, named: list[object]) -> Outcome:
    """Read the one row that names *order*; twice is as doubtful as never."""
    if len(named) != 1:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    (row,) = named
    word, uuid = field(row, "state"), identity(field(row, "uuid"))
    status = ORDER_STATES.get(word) if isinstance(word, str) else None
    if status is None:
        message = text(f"order state {text(word) or 'missing'}")
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=message)
    order_id = uuid.lower() if uuid and UUID_FORM.fullmatch(uuid) else None
    filled_qty = quantity(field(row, "executed_volume"))
    return Outcome(order, status, Evidence.ORDER_QUERY, filled_qty=filled_qty, order_id=order_id)


# All three are of the group `default`, as cancels are: 30 a second together.
# https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
LISTINGS: Final = (Listing("open orders", (LIMIT,), _build_listing, _read_listing, pages_shift=True),)
QUERIES: Final = (
    # "Max. 100" of either.  https://global-docs.upbit.com/reference/list-orders-by-ids, 2026-11-20
    Query("orders by ids", tuple(NAMES), 100, (LIMIT,), _build_list_query, _read_list_query),
    Query("order", tuple(NAMES), 1, (LIMIT,), _build_order_query, _read_order_query),
)
