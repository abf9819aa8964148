"""Binance Spot as a table and pure functions; the only place that builds and reads its cancels."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.binance_calls import WEIGHT, build, read_usage, weighing
from connectors.binance_orders import ENDS, LISTS, NUMBERED, check_order, exact_value
from connectors.binance_reads import LISTINGS, OPEN_ORDERS, QUERIES
from connectors.binance_refusals import CODES, read_refusal, read_refusal_of_read
from connectors.calls import Answer, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, identity, parse_json, quantity, rows, text
from connectors.reads import CancelAll
from connectors.venue import Venue

# Path, and the parameter that the answer's field of the same name repeats.  Both calls take one order, or one list:
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#cancel-order-trade, 2026-11-20
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#cancel-order-list-trade, 2026-11-20
ADDRESSES: Final[Mapping[IdKind, tuple[str, str]]] = MappingProxyType(
    {
        IdKind.ORDER_ID: ("/api/v3/order", "orderId"),
        IdKind.CLIENT_ORDER_ID: ("/api/v3/order", "origClientOrderId"),
        IdKind.ORDER_LIST_ID: ("/api/v3/orderList", "orderListId"),
        IdKind.CLIENT_ORDER_LIST_ID: ("/api/v3/orderList", "listClientOrderId"),
    }
)


def build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel for the one order, or order list, of *orders*."""
    (order,) = orders
    path, name = ADDRESSES[order.kind]
    return build("DELETE", path, {"symbol": order.symbol or "", name: order.value}, credentials, stamp)


def read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, and what else the answer proves.  Never raises."""
    document = parse_json(response.body)
    if response.status != 200 or not isinstance(document, dict) or field(document, "code") is not None:
        return read_refusal(orders, response, document)
    outcomes = tuple(_outcome(order, document) for order in orders)
    named = all(outcome.evidence is Evidence.CANCEL_ANSWER for outcome in outcomes)
    return Answer(outcomes, siblings=_siblings(orders, document) if named else ())


def _build_cancel_all(symbol: str | None, credentials: Credentials, stamp: Stamp) -> Request:
    if not symbol:
        raise ValueError("a cancel-all needs its symbol")
    return build("DELETE", OPEN_ORDERS, {"symbol": symbol}, credentials, stamp)


def _read_cancel_all(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read the orders and lists that a symbol's cancel-all has ended; that there were none is an error here.

    Source: https://github.com/ccxt/ccxt/issues/14999, 2026-11-20.
    """
    document = parse_json(response.body)
    if response.status == 200 and isinstance(document, list):
        return Answer(tuple(_outcome_among(order, document) for order in orders))
    code, message = text(field(document, "code")), text(field(document, "msg"))
    if (response.status, code, message) != (400, "-2011", "Unknown order sent."):
        return refuse(orders, *read_refusal_of_read(response, document))
    return Answer(tuple(Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, code, message) for order in orders))


def _outcome_among(order: OrderRef, documents: list[object]) -> Outcome:
    """Read the one of *documents* that names *order*: an order object, or a list object."""
    outcomes = (_outcome(order, document) for document in documents)
    named = [outcome for outcome in outcomes if outcome.evidence is Evidence.CANCEL_ANSWER]
    return named[0] if len(named) == 1 else _nameless(order)


def read_clock(response: Response) -> int | None:
    """Read the venue's time in milliseconds since the epoch; None if the answer does not tell it."""
    return epoch_ms(field(parse_json(response.body), "serverTime")) if response.status == 200 else None


def _outcome(order: OrderRef, document: object) -> Outcome:
    """Read what a 200 says of *order*: an order object, or a list object with a report for each leg.

    Canceling a leg cancels its list, and then the list may answer:
    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-api.md#cancel-order-trade, 2026-11-20
    """
    places = [document] if order.kind in LISTS else [document, *rows(field(document, "orderReports"))]
    named = [place for place in places if _names(place, order)]
    if len(named) != 1:  # twice is as doubtful as never
        return _nameless(order)
    return _list_outcome(order, document) if order.kind in LISTS else _order_outcome(order, named[0])


def _nameless(order: OrderRef) -> Outcome:
    return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")


def _names(place: object, order: OrderRef) -> bool:
    """Tell whether *place* bears the name and the symbol of *order*.

    Its ``clientOrderId`` is the cancel's own name, never the order's, and so is not looked at.
    """
    named = identity(field(place, ADDRESSES[order.kind][1]))
    return named == exact_value(order) and field(place, "symbol") == order.symbol


def _order_outcome(order: OrderRef, report: object) -> Outcome:
    word = field(report, "status")
    status = ENDS.get(word, Status.UNKNOWN) if isinstance(word, str) else Status.UNKNOWN
    message = text(f"order status {text(word) or 'missing'}") if status is Status.UNKNOWN else None
    order_id = text(field(report, "orderId"))
    return Outcome(
        order, status, Evidence.CANCEL_ANSWER, None, message, quantity(field(report, "executedQty")), order_id
    )


def _list_outcome(order: OrderRef, document: object) -> Outcome:
    """Judge a list by its legs: canceled if any was, filled if all were, closed if they ended in other ways."""
    legs = [_order_outcome(order, report) for report in _legs(document)]
    statuses = {leg.status for leg in legs}
    if not legs or Status.UNKNOWN in statuses:
        message = "the answer does not show every leg of this list as ended"
        return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, message=message)
    ended = Status.FILLED if statuses == {Status.FILLED} else Status.CLOSED
    status = Status.CANCELED if Status.CANCELED in statuses else ended
    return Outcome(order, status, Evidence.CANCEL_ANSWER, filled_qty=_list_filled_qty([leg.filled_qty for leg in legs]))


def _legs(document: object) -> list[object]:
    """Give the reports of a list that is done; none unless each of its orders has exactly one report."""
    reports = rows(field(document, "orderReports"))
    orders = [identity(field(leg, "orderId")) for leg in rows(field(document, "orders"))]
    names = [(identity(field(report, "orderId")), _home(report)) for report in reports]
    whole = len(names) == len(set(names)) == len(orders) and set(names) == {(leg, _home(document)) for leg in orders}
    done = field(document, "listOrderStatus") == "ALL_DONE"
    return reports if whole and done and None not in orders and None not in _home(document) else []


def _home(place: object) -> tuple[str | None, str | None]:
    return identity(field(place, "orderListId")), identity(field(place, "symbol"))


def _list_filled_qty(quantities: list[str | None]) -> str | None:
    """Give the venue's own figure where one leg, or none, was filled: a sum would be ours, not the venue's."""
    filled = [quantity for quantity in quantities if quantity is None or quantity.strip("0.")]
    return (filled or quantities)[0] if len(filled) < 2 else None


def _siblings(orders: tuple[OrderRef, ...], document: object) -> tuple[Outcome, ...]:
    """Name the other orders and lists, and the other names of *orders*, whose end the answer shows.

    A client id is free again once its order is filled, so that it names a newer order unless this very cancel ended it:
    https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#new-order-trade, 2026-11-20
    """
    places = [document, *rows(field(document, "orderReports"))]
    named = ((kind, place, identity(field(place, name))) for place in places for kind, (_, name) in ADDRESSES.items())
    refs = dict.fromkeys(
        OrderRef(kind, value, identity(field(place, "symbol"))) for kind, place, value in named if value
    )
    others = (_outcome(ref, document) for ref in refs if ref not in orders and check_order(ref) is None)
    ends = {kind: set(ENDS.values()) if kind in NUMBERED else {Status.CANCELED} for kind in ADDRESSES}
    return tuple(other for other in others if other.status in ends[other.order.kind])


CANCEL_ALLS: Final = (
    # "Cancels all active orders on a symbol. This includes orders that are part of an order list."  It weighs 1:
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#trading-endpoints, 2026-11-20
    CancelAll(
        "open orders of a symbol", per_symbol=True, limits=weighing(1), build=_build_cancel_all, read=_read_cancel_all
    ),
)

VENUE: Final = Venue(
    name="binance",
    title="Binance Spot",
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#general-api-information, 2026-11-20
    base_url="https://api.binance.com",
    id_kinds=tuple(ADDRESSES),
    symbol_required=True,
    one_symbol_per_call=True,
    credential_sets=(frozenset({"api_key", "api_secret"}), frozenset({"api_key", "private_key"})),
    # Spot has no cancel of many ids:
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#trading-endpoints, 2026-11-20
    max_orders_per_call=1,
    max_in_flight=64,  # no documented number; ours: a kill of 40 lists takes one round
    limits=(WEIGHT,),
    # Reads come from memory or the database and lag the engine by an unsaid time; 1 s is ours:
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#data-sources, 2026-11-20
    settling_ms=1000,
    success_proves="the matching engine has ended the order: final",
    codes=CODES,
    check_order=check_order,
    build_cancel=build_cancel,
    read_cancel=read_cancel,
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#check-server-time, 2026-11-20
    clock_request=Request("GET", "/api/v3/time"),
    read_clock=read_clock,
    names_siblings=True,
    listings=LISTINGS,
    queries=QUERIES,
    cancel_alls=CANCEL_ALLS,
    read_usage=read_usage,
)
