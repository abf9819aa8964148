"""Plays the WEEX contract API, V2; the only place that knows its protocol from the venue's side.

Facts: https://www.weex.com/api-doc/contract (V2 pages: authentication, Transaction_API, error codes, limits), read
2026-11-20. What a failed item's text is was never seen in V2: FAILED_ORDER_NOT_FOUND is that of the spot API.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from simulator.accounts import Account
from simulator.book import Order, State
from simulator.http import Request
from simulator.limiter import Breach, Costs, Rule, Scope
from simulator.venue import Call, DeniedError, Purpose, Reply, Route, Venue, always

WINDOW_MS: Final = 30_000  # requests that deviate by more than 30 s are refused
MAX_ORDERS: Final = 10  # V2 states none, its successor V3 takes 10 (the text of code 40912 speaks of 50)
PAGE_SIZE: Final = 100
STATUSES: Final[Mapping[State, str]] = {
    State.OPEN: "open",
    State.PARTLY_FILLED: "open",
    State.FILLED: "filled",
    State.CANCELED: "canceled",
    State.EXPIRED: "canceled",
    State.REJECTED: "canceled",
}
HEADERS: Final = (  # header, code and text if it is missing
    ("access-key", "40001", "ACCESS_KEY cannot be empty"),
    ("access-sign", "40002", "ACCESS_SIGN cannot be empty"),
    ("access-timestamp", "40003", "ACCESS_TIMESTAMP cannot be empty"),
    ("access-passphrase", "40011", "ACCESS_PASSPHRASE cannot be empty"),
)


def authenticate(request: Request, accounts: Mapping[str, Account], venue_ms: int) -> Account:
    """Check the headers one after the other, the timestamp's window and the signature."""
    headers = request.headers
    for name, code, text in HEADERS:
        if not headers.get(name):
            raise DeniedError(_error(code, text, venue_ms))
    account = accounts.get(headers["access-key"])
    if account is None:
        raise DeniedError(_error("40006", "Invalid ACCESS_KEY", venue_ms))
    if request.method == "POST" and not headers.get("content-type", "").startswith("application/json"):
        raise DeniedError(_error("40007", "Invalid Content_Type", venue_ms), account)
    timestamp = headers["access-timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) == 13):
        raise DeniedError(_error("40005", "Invalid ACCESS_TIMESTAMP", venue_ms), account)
    if abs(venue_ms - int(timestamp)) > WINDOW_MS:
        raise DeniedError(_error("40008", "Request timestamp expired", venue_ms), account)
    if headers["access-passphrase"] != account.passphrase:
        raise DeniedError(_error("40012", "apikey/passphrase is incorrect", venue_ms), account)
    target = f"{request.path}?{request.query}" if request.query else request.path
    text_bytes = f"{timestamp}{request.method}{target}".encode("latin-1") + request.body
    expected = base64.b64encode(hmac.digest(account.secret_bytes, text_bytes, "sha256"))
    if not hmac.compare_digest(expected, headers["access-sign"].encode("utf-8", "replace")):
        raise DeniedError(_error("40009", "API verification failed", venue_ms), account)
    return account


def _cancel_batch(call: Call) -> Reply:
    document = call.request.document()
    given = (
        [(kind, document[kind]) for kind in ("ids", "cids") if kind in document] if isinstance(document, dict) else []
    )
    if len(given) != 1:  # for both at once nothing is documented
        return _refuse(call, "40913", "Either orderId or clientId must be provided")
    kind, names = given[0]
    if not isinstance(names, list) or not names:
        return _refuse(call, "40019", f"Parameter {kind} cannot be empty")
    if not all(isinstance(name, str) and name for name in names):
        return _refuse(call, "40020", f"Parameter {kind} is invalid")
    if len(names) > MAX_ORDERS:
        return _refuse(call, "40912", f"Single cancellation cannot exceed {MAX_ORDERS}")
    done: list[object] = []
    failed: list[object] = []
    for name in dict.fromkeys(names):
        order = call.order(name) if kind == "ids" else call.client_order(name)
        taken = call.cancel(name, order if order is not None and order.kind == "normal" else None)
        order_id = name if kind == "ids" else (order.order_id if order is not None else "")
        item = {"order_id": order_id, "client_oid": name if kind == "cids" else "", "result": taken is not None}
        (done if taken else failed).append({"err_msg": "" if taken else "FAILED_ORDER_NOT_FOUND", **item})
    return Reply(
        200,
        {
            "result": True,
            "orderIds": names if kind == "ids" else [],  # "IDs to be cancelled": an echo of what was asked
            "clientOids": names if kind == "cids" else [],
            "cancelOrderResultList": done,
            "failInfos": failed,
        },
    )


def _cancel_plan(call: Call) -> Reply:
    document = call.request.document()
    name = document.get("orderId") if isinstance(document, dict) else None
    if not isinstance(name, str) or not name:
        return _refuse(call, "40019", "Parameter orderId cannot be empty")
    order = call.order(name)
    if call.cancel(name, order if order is not None and order.kind == "plan" else None) is None:
        return _refuse(call, "50005", "Order does not exist")
    return Reply(200, {"order_id": name, "client_oid": None, "result": True, "err_msg": None})


def _cancel_all(call: Call) -> Reply:
    document = call.request.document()
    chosen = document if isinstance(document, dict) else {}
    kind, symbol = chosen.get("cancelOrderType"), chosen.get("symbol")
    if kind not in ("normal", "plan"):
        return _refuse(call, "40020", "Parameter cancelOrderType is invalid")
    if symbol is not None and (not isinstance(symbol, str) or not symbol):
        return _refuse(call, "40020", "Parameter symbol is invalid")
    orders = call.book.open(call.now_ms, kind, symbol)
    taken = [call.cancel(order.order_id, order) is not None for order in orders]
    pairs = zip(orders, taken, strict=True)
    return Reply(200, [{"orderId": int(order.order_id), "success": success} for order, success in pairs])  # numbers


def _current(kind: str, costs: int) -> Route:
    def handle(call: Call) -> Reply:
        params = dict(call.request.pairs())
        limit, page = params.get("limit", str(PAGE_SIZE)), params.get("page", "0")
        if not (_is_count(limit) and _is_count(page)) or not 1 <= int(limit) <= PAGE_SIZE:
            return _refuse(call, "40020", "Parameter limit is invalid")
        orders = call.book.open(call.now_ms, kind, params.get("symbol"))
        if "orderId" in params:
            orders = [order for order in orders if order.order_id == params["orderId"]]
        start = int(page) * int(limit)  # pages count from 0
        rows = [_row(order) for order in orders[start : start + int(limit)]]
        if kind == "plan":  # the page's example has numbers here, in text, and does not say what they mean
            rows = [{**row, "status": "0"} for row in rows]
        return Reply(200, rows)

    return Route(Purpose.READ, handle, (("uid_weight", costs),), (("ip_weight", costs),))


def _detail(call: Call) -> Reply:
    name = dict(call.request.pairs()).get("orderId")
    if not name:
        return _refuse(call, "40019", "Parameter orderId cannot be empty")
    call.asked.append(name)
    order = call.order(name)
    return Reply(200, _row(order)) if order is not None else _refuse(call, "50005", "Order does not exist")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _row(order: Order) -> dict[str, object]:
    return {
        "symbol": order.symbol,
        "size": order.qty,
        "client_oid": order.client_order_id or "",
        "createTime": str(order.created_ms),
        "filled_qty": order.filled_qty,
        "fee": "0",
        "order_id": order.order_id,
        "price": order.price,
        "price_avg": "0",
        "status": _status(order),
        "type": "open_long" if order.side == "buy" else "open_short",
        "order_type": "normal",
        "totalProfits": "0",
        "contracts": 10000,
        "filledQtyContracts": 0,
        "presetTakeProfitPrice": None,
        "presetStopLossPrice": None,
    }


def _status(order: Order) -> str:
    if order.live and order.settle_ms is not None:
        return "canceling"
    return "untriggered" if order.live and order.kind == "plan" else STATUSES[order.state]


def _time(venue_ms: int) -> object:
    iso = datetime.fromtimestamp(venue_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"epoch": f"{venue_ms / 1000:.3f}", "iso": iso, "timestamp": venue_ms}


def _refuse(call: Call, code: str, message: str) -> Reply:
    return _error(code, message, call.venue_ms)


def _error(code: str, message: str, venue_ms: int, status: int = 400) -> Reply:
    return Reply(status, {"code": code, "msg": message, "requestTime": venue_ms, "data": None})


def _limited(request: Request, breach: Breach, venue_ms: int) -> Reply:
    del request, breach
    return _error("429", "Too many requests", venue_ms, 429)


def _items(payload: object) -> Sequence[list[object]]:
    if isinstance(payload, list):
        return [payload]
    names = ("cancelOrderResultList", "failInfos")
    lists = [payload.get(name) for name in names] if isinstance(payload, dict) else []
    return [each for each in lists if isinstance(each, list)]


def _new_order_id(dice: Random, number: int) -> str:
    return str(596471064600000000 + number * 11 + dice.randrange(11))


CANCEL_COSTS: Final[Costs] = (("cancels_per_s", 1), ("cancels_per_min", 1), ("uid_weight", 10))
# whether a cancel-all counts among the cancels is not said, so it does
ALL_COSTS: Final[Costs] = (("cancels_per_s", 1), ("cancels_per_min", 1), ("uid_weight", 50))
PLAN_COSTS: Final[Costs] = (("cancels_per_s", 1), ("cancels_per_min", 1), ("uid_weight", 3))
VENUE: Final = Venue(
    name="weex",
    root="/weex",
    routes={
        ("POST", "/capi/v2/order/cancel_batch_orders"): Route(
            Purpose.CANCEL, _cancel_batch, CANCEL_COSTS, (("ip_weight", 5),)
        ),
        ("POST", "/capi/v2/order/cancel_plan"): Route(Purpose.CANCEL, _cancel_plan, PLAN_COSTS, (("ip_weight", 2),)),
        ("POST", "/capi/v2/order/cancelAllOrders"): Route(Purpose.CANCEL, _cancel_all, ALL_COSTS, (("ip_weight", 40),)),
        ("GET", "/capi/v2/order/current"): _current("normal", 2),
        ("GET", "/capi/v2/order/currentPlan"): _current("plan", 3),
        ("GET", "/capi/v2/order/detail"): Route(Purpose.READ, _detail, (("uid_weight", 2),), (("ip_weight", 2),)),
    },
    rules=(
        # limits page: cancels at most 10 per second, then 429 and "wait 10 seconds before retrying"
        Rule("cancels_per_s", Scope.ACCOUNT, 10, 1000, lock_ms=10_000),
        # futures FAQ of 2026-04-14: cancel order, 50 a minute (the rest of the cell is cut in the copy read)
        Rule("cancels_per_min", Scope.ACCOUNT, 50, 60_000),
        # limits page: IP and UID count apart; one revision says 500 in 10 s, another 1000
        Rule("uid_weight", Scope.ACCOUNT, 500, 10_000),
        Rule("ip_weight", Scope.IP, 500, 10_000),
    ),
    authenticate=authenticate,
    limited=_limited,
    not_found=always(_error("404", "Not Found", 0, 404)),
    maintenance=always(_error("40200", "server is being upgraded", 0, 503)),
    forbidden=always(_error("40022", "Insufficient permissions", 0, 403)),
    items=_items,
    new_order_id=_new_order_id,
    kinds=("normal", "plan"),
    symbols=("cmt_btcusdt", "cmt_ethusdt"),
    quantities=("0.010000", "0.004000", "0"),
    settle_ms=50,
    time={("GET", "/capi/v2/market/time"): (_time, (("ip_weight", 1),))},
)
