"""Binance's reads: what is open, and how an order stands."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.binance_calls import build, weighing
from connectors.binance_orders import ENDS, NUMBER, OPEN, exact_value
from connectors.binance_refusals import read_refusal_of_read
from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, identity, parse_json, plain, quantity, text
from connectors.reads import Listing, OpenOrder, Page, Query, Side, unanswered

OPEN_ORDERS: Final = "/api/v3/openOrders"
SIDES: Final[Mapping[str, Side]] = MappingProxyType({"BUY": Side.BUY, "SELL": Side.SELL})

# Parameter of the query, and the answer's field that repeats it.  A list is asked for under the name
# `origClientOrderId` though a cancel of it takes `listClientOrderId`; an order's own client id is `clientOrderId` here:
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#query-order-user_data, 2026-11-20
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#query-order-list-user_data, 2026-11-20
NAMES: Final[Mapping[IdKind, tuple[str, str]]] = MappingProxyType(
    {
        IdKind.ORDER_ID: ("orderId", "orderId"),
        IdKind.CLIENT_ORDER_ID: ("origClientOrderId", "clientOrderId"),
        IdKind.ORDER_LIST_ID: ("orderListId", "orderListId"),
        IdKind.CLIENT_ORDER_LIST_ID: ("origClientOrderId", "listClientOrderId"),
    }
)

# "Order does not exist." and "... over 90 days ago and has been archived": neither names the order, and both answer
# a query of this one alone.  https://github.com/binance/binance-spot-api-docs/blob/master/errors.md, 2026-11-20
NOT_KNOWN: Final = frozenset({"-2013", "-2026"})

# REJECT, the third word, "is responding to a failed action": it does not say how the list stands.
# https://github.com/binance/binance-spot-api-docs/blob/master/enums.md (listOrderStatus), 2026-11-20
LIST_STATES: Final[Mapping[str, Status]] = MappingProxyType({"EXECUTING": Status.OPEN, "ALL_DONE": Status.CLOSED})
ORDER_STATES: Final[Mapping[str, Status]] = MappingProxyType({**ENDS, **dict.fromkeys(OPEN, Status.OPEN)})


def _build_listing(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
    """Ask for all open orders of *symbol*, or of the account; there is one page."""
    del cursor
    return build("GET", OPEN_ORDERS, {"symbol": symbol} if symbol else {}, credentials, stamp)


def _read_listing(response: Response, cursor: str | None) -> Page:
    """Read all rows, or none: a row that cannot be read, or says that it is not open, spoils the page."""
    del cursor
    document = parse_json(response.body)
    if response.status != 200 or not isinstance(document, list):
        refusal, unlisted = read_refusal_of_read(response, document)
        return Page((), refusal=refusal, unlisted=unlisted)
    orders = tuple(order for row in document if (order := _open_order(row)))
    if len(orders) == len(document):
        return Page(orders)
    return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message="a row of the listing names no open order"))


def _open_order(row: object) -> OpenOrder | None:
    order_id, symbol, status = identity(field(row, "orderId")), plain(field(row, "symbol")), field(row, "status")
    if order_id is None or NUMBER.fullmatch(order_id) is None or symbol is None:
        return None
    if not isinstance(status, str) or status in ENDS:
        return None
    list_id, side = identity(field(row, "orderListId")), field(row, "side")
    return OpenOrder(
        order_id,
        client_order_id=plain(field(row, "clientOrderId")),
        order_list_id=list_id if list_id is not None and NUMBER.fullmatch(list_id) else None,  # -1 is no list
        symbol=symbol,
        side=SIDES.get(side) if isinstance(side, str) else None,
        created_ms=epoch_ms(field(row, "time")),
        filled_qty=quantity(field(row, "executedQty")),
    )


def _build_order_query(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    (order,) = orders
    asked = {"symbol": order.symbol or "", NAMES[order.kind][0]: order.value}
    return build("GET", "/api/v3/order", asked, credentials, stamp)


def _build_list_query(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    (order,) = orders
    return build("GET", "/api/v3/orderList", {NAMES[order.kind][0]: order.value}, credentials, stamp)


def _read_order_query(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    return _read_query(orders, response, ORDER_STATES, "status")


def _read_list_query(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read how a list stands: the answer has no state of its legs, so that one that is done ended in any way."""
    return _read_query(orders, response, LIST_STATES, "listOrderStatus")


def _read_query(orders: tuple[OrderRef, ...], response: Response, states: Mapping[str, Status], state: str) -> Answer:
    """Read the one order, or list, that the answer to a query names under *states*, by its field *state*."""
    document = parse_json(response.body)
    code = text(field(document, "code"))
    if code in NOT_KNOWN and 400 <= response.status < 500:
        message = text(field(document, "msg"))
        return Answer(tuple(Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN, code, message) for order in orders))
    if response.status != 200 or not isinstance(document, dict) or field(document, "code") is not None:
        return unanswered(orders, *read_refusal_of_read(response, document))
    return Answer(tuple(_outcome(order, document, states, state) for order in orders))


def _outcome(order: OrderRef, document: object, states: Mapping[str, Status], state: str) -> Outcome:
    named = identity(field(document, NAMES[order.kind][1])) == exact_value(order)
    if not named or field(document, "symbol") != order.symbol:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    word = field(document, state)
    status = states.get(word) if isinstance(word, str) else None
    if status is None:
        message = text(f"{state} {text(word) or 'missing'}")
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=message)
    order_id, filled_qty = text(field(document, "orderId")), quantity(field(document, "executedQty"))
    return Outcome(order, status, Evidence.ORDER_QUERY, filled_qty=filled_qty, order_id=order_id)


LISTINGS: Final = (
    # 6 for one symbol, 80 without.  Legs of order lists are rows with their orderListId, so that openOrderList, whose
    # rows have neither side nor quantity, would add nothing.
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#current-open-orders-user_data, 2026-11-20
    Listing("open orders", weighing(80), _build_listing, _read_listing, symbol_limits=weighing(6)),
)
QUERIES: Final = (
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#query-order-user_data, 2026-11-20
    Query("order", (IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID), 1, weighing(4), _build_order_query, _read_order_query),
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#query-order-list-user_data, 2026-11-20
    Query(
        "order list",
        (IdKind.ORDER_LIST_ID, IdKind.CLIENT_ORDER_LIST_ID),
        1,
        weighing(4),
        _build_list_query,
        _read_list_query,
    ),
)
