"""Plays the calls of Binance Spot: who may call, what they cost, and what they do; the answers' rows are apart.

Facts: https://github.com/binance/binance-spot-api-docs (rest-api.md, errors.md; snapshot 2026-07-21), read 2026-11-20.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from simulator.book import Order, OrderList, State
from simulator.http import Request
from simulator.limiter import Breach, Costs, Rule, Scope
from simulator.venue import Call, Purpose, Reply, Route, Usage, Venue, always
from simulator.venues.binance_keys import Params, authenticate, error, illegal, is_number, missing, read_params
from simulator.venues.binance_rows import cancel_report, canceled_list_row, list_row, order_row

SYMBOLS: Final = ("LTCBTC", "BTCUSDT", "ETHUSDT")
WEIGHT_LIMIT: Final = 6000  # REQUEST_WEIGHT per minute and IP
SIGNED: Final = frozenset({"timestamp", "recvWindow", "signature"})


def _cancel_order(call: Call, params: Params) -> Reply:
    order = _find(call, params, ("orderId", "origClientOrderId"))
    if isinstance(order, Reply):
        return order
    name = params.get("orderId") or params.get("origClientOrderId", "")
    wanted = params.get("cancelRestrictions")
    if wanted not in (None, "ONLY_NEW", "ONLY_PARTIALLY_FILLED"):
        return error(-1145, "`cancelRestrictions` has to be either `ONLY_NEW` or `ONLY_PARTIALLY_FILLED`.")
    if order is not None and order.live and wanted and (order.state is State.OPEN) != (wanted == "ONLY_NEW"):
        call.asked.append(name)
        return error(-2011, "Order was not canceled due to cancel restrictions.")
    whole = call.book.lists.get(order.order_list_id) if order is not None and order.order_list_id else None
    taken = call.cancel_list(name, whole) if whole else call.cancel(name, order)
    if order is None or not taken:
        return error(-2011, "Unknown order sent.")
    cancel_id = _cancel_id(call, params)
    if whole is not None and call.behavior.leg_answers_list:  # to cancel a leg is to cancel its list
        return Reply(200, canceled_list_row(whole, cancel_id, call.venue_ms))
    return Reply(200, cancel_report(order, cancel_id, call.venue_ms))


def _cancel_list(call: Call, params: Params) -> Reply:
    found = _find_list(call, params, ("orderListId", "listClientOrderId"))
    if isinstance(found, Reply):
        return found
    order_list = found if found is not None and found.symbol == params["symbol"] else None
    name = params.get("orderListId") or params.get("listClientOrderId", "")
    if not call.cancel_list(name, order_list) or order_list is None:
        return error(-2011, "Unknown order list sent.")
    return Reply(200, canceled_list_row(order_list, _cancel_id(call, params), call.venue_ms))


def _cancel_symbol(call: Call, params: Params) -> Reply:
    """Cancel all of a symbol: an array of orders and of whole lists; nothing open is an error (ccxt issue 14999)."""
    rows: list[object] = []
    for order in call.book.open(call.now_ms, "normal", params["symbol"]):
        whole = call.book.lists.get(order.order_list_id) if order.order_list_id else None
        if not order.live:
            continue  # its list has been canceled with another leg
        cancel_id = _cancel_id(call, params)
        if whole is not None and call.cancel_list(whole.order_list_id, whole):
            rows.append(canceled_list_row(whole, cancel_id, call.venue_ms))
        elif whole is None and call.cancel(order.order_id, order):
            rows.append(cancel_report(order, cancel_id, call.venue_ms))
    return Reply(200, rows) if rows else error(-2011, "Unknown order sent.")


def _cancel_id(call: Call, params: Params) -> str:
    return params.get("newClientOrderId") or f"{call.dice.getrandbits(110):022x}"[:22]


def _find(call: Call, params: Params, names: tuple[str, str]) -> Order | Reply | None:
    """Find the order that *params* name: None if there is none in that symbol, a Reply if they are not well made."""
    by_id, by_client = (params.get(name) for name in names)
    if not by_id and not by_client:
        return error(-1102, f"Param '{names[1]}' or '{names[0]}' must be sent, but both were empty/null!")
    if by_id and not is_number(by_id):
        return illegal(names[0])
    order = call.order(by_id) if by_id else call.client_order(by_client or "")
    if order is None or order.symbol != params["symbol"]:
        return None
    if by_id and by_client and order.client_order_id != by_client:
        return error(-2039, "Client order ID is not correct for this order ID.")
    return order


def _find_list(call: Call, params: Params, names: tuple[str, str]) -> OrderList | Reply | None:
    by_id, by_client = (params.get(name) for name in names)
    if not by_id and not by_client:
        return error(-1102, f"Param '{names[0]}' or '{names[1]}' must be sent, but both were empty/null!")
    if by_id and not is_number(by_id):
        return illegal(names[0])
    found = call.book.lists.get(by_id) if by_id else call.book.lists_by_client.get(by_client or "")
    if found is not None and by_id and by_client and found.client_order_list_id != by_client:
        return error(-2039, "Client order ID is not correct for this order ID.")
    return found


def _query_order(call: Call, params: Params) -> Reply:
    order = _find(call, params, ("orderId", "origClientOrderId"))
    if isinstance(order, Reply):
        return order
    call.asked.append(params.get("orderId") or params.get("origClientOrderId", ""))
    return error(-2013, "Order does not exist.") if order is None else Reply(200, order_row(order))


def _query_list(call: Call, params: Params) -> Reply:
    order_list = _find_list(call, params, ("orderListId", "origClientOrderId"))  # not listClientOrderId here
    if isinstance(order_list, Reply):
        return order_list
    call.asked.append(params.get("orderListId") or params.get("origClientOrderId", ""))
    if order_list is None:
        return error(-2013, "Order does not exist.")
    return Reply(200, list_row(order_list))


def _open_orders(call: Call, params: Params) -> Reply:
    return Reply(200, [order_row(order) for order in call.book.open(call.now_ms, "normal", params.get("symbol"))])


def _open_orders_cost(request: Request) -> Costs:
    return (("weight", 6 if "symbol=" in request.query else 80),)


def _open_lists(call: Call, params: Params) -> Reply:
    del params
    lists = call.book.lists.values()
    return Reply(200, [list_row(each) for each in lists if any(leg.live for leg in each.legs)])


def _route(
    purpose: Purpose, weight: int, takes: Sequence[str], handle: Callable[[Call, Params], Reply], *, symbol: bool
) -> Route:
    """Make a route that reads its parameters, and refuses those that the call does not have."""
    known = SIGNED | set(takes)

    def checked(call: Call) -> Reply:
        params = read_params(call.request) or {}
        unread = len(params.keys() - known)
        if unread:
            read = len(params) - unread
            text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(params)}'."
            return error(-1104, text)
        if symbol and not params.get("symbol"):
            return missing("symbol")
        if params.get("symbol") and params["symbol"] not in SYMBOLS and params["symbol"] not in call.book.symbols:
            return error(-1121, "Invalid symbol.")
        return handle(call, params)

    # since 2026-04-02 a cancel that succeeds costs nothing (CHANGELOG.md, 2026-03-27)
    return Route(purpose, checked, ip_costs=(("weight", weight),), free_if_done=purpose is Purpose.CANCEL)


def _limited(request: Request, breach: Breach, venue_ms: int) -> Reply:
    del request
    wait = (("Retry-After", str(-(-breach.retry_ms // 1000))),)  # whole seconds
    tail = "Please use WebSocket Streams for live updates to avoid"
    if breach.banned:
        until = f"Way too much request weight used; IP banned until {venue_ms + breach.retry_ms}."
        return error(-1003, f"{until} {tail} bans.", 418, wait)
    used = f"Too much request weight used; current limit is {breach.rule.limit} request weight per 1 MINUTE."
    return error(-1003, f"{used} {tail} polling the API.", 429, wait)


def _usage(used: int, limit: int) -> tuple[tuple[str, str], ...]:
    del limit
    return (("X-MBX-USED-WEIGHT", str(used)), ("X-MBX-USED-WEIGHT-1M", str(used)))


def _items(payload: object) -> Sequence[list[object]]:
    if isinstance(payload, list):
        return [payload]
    reports = payload.get("orderReports") if isinstance(payload, dict) else None
    return [reports] if isinstance(reports, list) else []


def _new_order_id(dice: Random, number: int) -> str:
    del dice
    return str(28_000_000_000 + number)


ORDER: Final = ("symbol", "orderId", "origClientOrderId")
VENUE: Final = Venue(
    name="binance",
    root="/binance",
    routes={
        ("DELETE", "/api/v3/orderList"): _route(
            Purpose.CANCEL,
            1,
            ("symbol", "orderListId", "listClientOrderId", "newClientOrderId"),
            _cancel_list,
            symbol=True,
        ),
        ("DELETE", "/api/v3/order"): _route(
            Purpose.CANCEL, 1, (*ORDER, "newClientOrderId", "cancelRestrictions"), _cancel_order, symbol=True
        ),
        ("DELETE", "/api/v3/openOrders"): _route(Purpose.CANCEL, 1, ("symbol",), _cancel_symbol, symbol=True),
        ("GET", "/api/v3/order"): _route(Purpose.READ, 4, ORDER, _query_order, symbol=True),
        ("GET", "/api/v3/orderList"): _route(
            Purpose.READ, 4, ("orderListId", "origClientOrderId"), _query_list, symbol=False
        ),
        ("GET", "/api/v3/openOrderList"): _route(Purpose.READ, 6, (), _open_lists, symbol=False),
        ("GET", "/api/v3/openOrders"): replace(
            _route(Purpose.READ, 80, ("symbol",), _open_orders, symbol=False), ip_costs_of=_open_orders_cost
        ),
    },
    # going on after 429 bans the IP, from 2 minutes up to 3 days; how many calls that takes is not documented
    rules=(Rule("weight", Scope.IP, WEIGHT_LIMIT, 60_000, patience=10, ban_ms=120_000),),
    authenticate=authenticate,
    limited=_limited,
    not_found=always(Reply(404, b"<html><body><h2>404 Not found</h2></body></html>")),
    maintenance=always(error(-1016, "This service is no longer available.", 503)),
    forbidden=always(error(-2015, "Invalid API-key, IP, or permissions for action.", 401)),
    items=_items,
    new_order_id=_new_order_id,
    kinds=("normal",),
    symbols=SYMBOLS,
    quantities=("1.00000000", "0.40000000", "0.00000000"),
    settle_ms=0,  # "Data Source: Matching Engine": 200 is final
    time={("GET", "/api/v3/time"): (lambda venue_ms: {"serverTime": venue_ms}, (("weight", 1),))},
    usage=Usage("weight", Scope.IP, _usage),
    list_ids=True,
)
