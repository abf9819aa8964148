"""Plays Kuna v4; the only place that knows its protocol from the venue's side.

Facts: https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1,
https://docs.kuna.io/v4.0/reference/authorizing-requests, read 2026-11-20. The envelope of errors is not documented;
its shape here is the one that ccxt 4.4.80 reads. How a refused key or a breached limit looks is not known: made up.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final
from uuid import UUID

from simulator.accounts import Account
from simulator.book import Order, State
from simulator.http import Request
from simulator.limiter import Breach, Rule, Scope
from simulator.venue import Call, DeniedError, Purpose, Reply, Route, Venue, always

MAX_ORDERS: Final = 100  # undocumented for the call; an account has at most 100 active orders
TWO_WEEKS_MS: Final = 14 * 24 * 3600 * 1000  # where listings start unless they are told otherwise
UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
STATUSES: Final[Mapping[State, str]] = {
    State.OPEN: "Open",
    State.PARTLY_FILLED: "Open",
    State.FILLED: "Closed",
    State.CANCELED: "Canceled",
    State.EXPIRED: "Expired",
    State.REJECTED: "Rejected",
}


def authenticate(request: Request, accounts: Mapping[str, Account], venue_ms: int) -> Account:
    """Check the simple header, or the signature over path, nonce and body; no window is documented for the nonce."""
    del venue_ms
    simple = request.headers.get("api-key")
    if simple is not None:
        account = accounts.get(simple)
        if account is None or account.api_key != simple:
            raise DeniedError(_unauthorized())
        return account
    public_key = request.headers.get("public-key", "")
    account = accounts.get(public_key)
    if account is None or account.public_key != public_key:
        raise DeniedError(_unauthorized())
    nonce = request.headers.get("nonce", "")
    target = f"{request.path}?{request.query}" if request.query else request.path
    body = request.body or b"{}"  # a call without a body signs the empty object
    expected = hmac.digest(account.secret_bytes, f"{target}{nonce}".encode("latin-1") + body, "sha384").hex()
    given = request.headers.get("signature", "")
    if not (nonce.isascii() and nonce.isdigit()) or not hmac.compare_digest(
        expected.encode(), given.encode("utf-8", "replace")
    ):
        raise DeniedError(_unauthorized(), account)
    return account


def _cancel_many(call: Call) -> Reply:
    """Cancel what can be; one order that is done makes the answer a 400, which does not say which one it was."""
    document = call.request.document()
    if not isinstance(document, dict):
        return _error(500, "Internal Server Error", "Invalid JSON")
    ids = document.get("orderIds")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_ORDERS:
        return _error(400, "ARGUMENT_VALIDATION_ERROR", "orderIds must be an array of 1 to 100 elements")
    names = [_uuid(each) for each in ids]
    if None in names:
        return _error(500, "WrongRequestException", "each value in orderIds must be a UUID")
    orders = {name: call.order(name) for name in names if name is not None}
    done = next((order for order in orders.values() if order is not None and not order.live), None)
    if done is not None and not call.behavior.cancels_rest:
        call.asked.extend(orders)
        return _done(done)
    items: list[object] = []
    for name, order in orders.items():
        if call.cancel(name, order) is not None:
            items.append({"id": name, "success": True})  # an id that is not known: undocumented, here left out
    if done is not None:
        return _done(done)
    return Reply(200, items if call.behavior.bare_array else {"data": items})


def _cancel_one(call: Call) -> Reply:
    document = call.request.document()
    if not isinstance(document, dict):
        return _error(500, "Internal Server Error", "Invalid JSON")
    name = _uuid(document.get("orderId"))
    if name is None:
        return _error(400, "ARGUMENT_VALIDATION_ERROR", "orderId must be a UUID")
    order = call.order(name)
    if call.cancel(name, order) is None:
        return _done(order) if order is not None else _unknown()
    return Reply(200, {"data": {"success": True}})


def _active(call: Call) -> Reply:
    """List what is Open; whether Pending and WaitStop belong to it is not documented, and here they do not."""
    return _listed(call, [order for order in call.book.all(call.now_ms) if _status(order) == "Open"])


def _history(call: Call) -> Reply:
    wanted = dict(call.request.pairs()).get("status")
    orders = [order for order in call.book.all(call.now_ms) if _matches(_status(order), wanted)]
    return _listed(call, orders)


def _matches(status: str, wanted: str | None) -> bool:
    return status != "Open" if wanted is None else status == wanted


def _listed(call: Call, orders: list[Order]) -> Reply:
    params = dict(call.request.pairs())
    limit = params.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 100):
        return _error(400, "ARGUMENT_VALIDATION_ERROR", "limit must be from 1 to 100")
    try:
        start_ms = _ms(params["start"]) if "start" in params else call.venue_ms - TWO_WEEKS_MS
        end_ms = _ms(params["end"]) if "end" in params else None
    except ValueError:
        return _error(400, "ARGUMENT_VALIDATION_ERROR", "start and end must be ISO 8601 dates")
    pairs = params["pairs"].split(",") if params.get("pairs") else None
    chosen = [
        order
        for order in orders
        if order.created_ms >= start_ms
        and (end_ms is None or order.created_ms <= end_ms)
        and (pairs is None or order.symbol in pairs)
    ]
    chosen.sort(key=lambda order: order.created_ms, reverse=params.get("sort", "desc") == "desc")
    return Reply(200, {"data": [_row(order) for order in chosen[: int(limit)]]})


def _details(call: Call) -> Reply:
    name = _uuid(call.request.path.rpartition("/")[2])
    if name is None:
        return _error(400, "ARGUMENT_VALIDATION_ERROR", "id must be a UUID")
    call.asked.append(name)
    order = call.order(name)
    if order is None:
        return _unknown()
    closed = None if order.live else _iso(order.updated_ms)
    return Reply(200, {"data": {**_row(order), "closedAt": closed, "trades": []}})


def _uuid(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and UUID_TEXT.fullmatch(value) else None


def _status(order: Order) -> str:
    return order.kind if order.live and order.kind != "normal" else STATUSES[order.state]


def _row(order: Order) -> dict[str, object]:
    return {
        "id": order.order_id,
        "type": "StopLossLimit" if order.kind == "WaitStop" else "Limit",
        "quantity": order.qty,
        "executedQuantity": order.filled_qty,
        "cumulativeQuoteQty": "0",
        "cost": "0.05",
        "side": "Bid" if order.side == "buy" else "Ask",
        "pair": order.symbol,
        "price": order.price,
        "status": _status(order),
        "createdAt": _iso(order.created_ms),
        "updatedAt": _iso(order.updated_ms),
    }


def _iso(at_ms: int) -> str:
    whole = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{at_ms % 1000:03d}Z"


def _ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _time(venue_ms: int) -> object:
    return {"data": {"timestamp": venue_ms // 1000, "timestamp_miliseconds": venue_ms}}  # spelled so


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"errors": [{"code": code, "message": message, "extensions": {"code": code}}]})


def _done(order: Order) -> Reply:
    return _error(400, "BAD_REQUEST", f"Order with status {STATUSES[order.state]} can't be canceled")


def _unknown() -> Reply:
    return _error(404, "NOT_FOUND", "Order not found")


def _unauthorized() -> Reply:
    return _error(401, "UNAUTHORIZED", "Unauthorized")


def _limited(request: Request, breach: Breach, venue_ms: int) -> Reply:
    del request, breach, venue_ms
    return _error(429, "TOO_MANY_REQUESTS", "Too many requests")


def _items(payload: object) -> Sequence[list[object]]:
    data = payload.get("data") if isinstance(payload, dict) else payload
    return [data] if isinstance(data, list) else []


def _new_order_id(dice: Random, number: int) -> str:
    del number
    return str(UUID(int=dice.getrandbits(128), version=4))


COSTS: Final = (("key", 1),)
VENUE: Final = Venue(
    name="kuna",
    root="/kuna",
    routes={
        ("POST", "/v4/order/private/cancel/multi"): Route(Purpose.CANCEL, _cancel_many, COSTS),
        ("POST", "/v4/order/private/cancel"): Route(Purpose.CANCEL, _cancel_one, COSTS),
        ("GET", "/v4/order/private/active"): Route(Purpose.READ, _active, COSTS),
        ("GET", "/v4/order/private/history"): Route(Purpose.READ, _history, COSTS),
        ("GET", "/v4/order/private/details/*"): Route(Purpose.READ, _details, COSTS),
    },
    # undocumented; ccxt's comment has 200 ms between the calls of an authenticated user
    rules=(Rule("key", Scope.ACCOUNT, 5, 1000),),
    authenticate=authenticate,
    limited=_limited,
    not_found=always(_error(404, "NOT_FOUND", "Cannot find the path")),
    maintenance=always(Reply(503, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>")),
    forbidden=always(_error(400, "IP_NOT_IN_WHITE_LIST", "IP is not in the white list")),
    items=_items,
    new_order_id=_new_order_id,
    kinds=("normal", "Pending", "WaitStop"),
    symbols=("TRX_USDT", "BTC_USDT"),
    quantities=("5", "2", "0"),
    settle_ms=50,
    time={("GET", "/v4/public/timestamp"): (_time, ())},
    client_ids=False,
)
