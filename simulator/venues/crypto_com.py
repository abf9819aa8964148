"""Plays Crypto.com Exchange v1; the only place that knows its protocol from the venue's side.

Facts: https://exchange-developer.crypto.com/exchange/v1/docs (OpenAPI, change log up to 2026-05-21), read 2026-11-20.
"""

import hmac
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from simulator.accounts import Account
from simulator.book import Order, State
from simulator.http import Request
from simulator.limiter import Breach, Rule, Scope
from simulator.venue import Call, DeniedError, Purpose, Reply, Route, Venue

NONCE_WINDOW_MS: Final = 60_000  # 40102: "Nonce value differs by more than 60 seconds"
MAX_ORDERS: Final = 10  # undocumented for cancels; create-order-list says 1-10, and so does the official CLI
NAMES: Final = {
    "cancel": "private/cancel-order-list",
    "advanced_cancel": "private/advanced/cancel-order-list",
    "open": "private/get-open-orders",
    "advanced_open": "private/advanced/get-open-orders",
    "detail": "private/get-order-detail",
    "advanced_detail": "private/advanced/get-order-detail",
    "cancel_all": "private/cancel-all-orders",
    "advanced_cancel_all": "private/advanced/cancel-all-orders",
}
ERRORS: Final[Mapping[int, tuple[int, str]]] = {  # code: (HTTP status, message), from "Response and Reason Codes"
    40001: (400, "BAD_REQUEST"),
    40002: (400, "METHOD_NOT_FOUND"),
    40003: (400, "INVALID_REQUEST"),
    40004: (400, "MISSING_OR_INVALID_ARGUMENT"),
    40006: (400, "DUPLICATE_REQUEST"),
    40101: (401, "UNAUTHORIZED"),
    40102: (400, "INVALID_NONCE"),
    40103: (401, "IP_ILLEGAL"),
    40401: (200, "NOT_FOUND"),
    42901: (429, "TOO_MANY_REQUESTS"),
    9010001: (503, "SYSTEM_MAINTENANCE"),  # not in the table; ccxt quotes it
}
STATUSES: Final[Mapping[State, str]] = {
    State.OPEN: "ACTIVE",
    State.PARTLY_FILLED: "ACTIVE",
    State.FILLED: "FILLED",
    State.CANCELED: "CANCELED",
    State.EXPIRED: "EXPIRED",
    State.REJECTED: "REJECTED",
}


def sign_text(value: object) -> str:
    """Give the text of params that is signed: keys sorted at every level, arrays as their elements, null in words."""
    if isinstance(value, dict):
        return "".join([key + sign_text(value[key]) for key in sorted(value)])
    if isinstance(value, list):
        return "".join([sign_text(each) for each in value])
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def authenticate(request: Request, accounts: Mapping[str, Account], venue_ms: int) -> Account:
    """Check the envelope, the key, the nonce's window and the signature."""
    document = request.document()
    if not isinstance(document, dict):
        raise DeniedError(_error(request, 40001))
    if request.method != "POST" or document.get("method") != request.path[1:]:
        raise DeniedError(_error(request, 40003))  # private calls are POST only
    number, nonce, params = document.get("id"), document.get("nonce"), document.get("params", {})
    account = accounts.get(str(document.get("api_key")))
    if account is None:
        raise DeniedError(_error(request, 40101))
    if type(number) is not int or not isinstance(params, dict):  # a string gives 40001 in production
        raise DeniedError(_error(request, 40001), account)
    nonce_ms = _whole(nonce)
    if nonce_ms is None:  # a fraction gives 40101 in production
        raise DeniedError(_error(request, 40101), account)
    text = f"{document['method']}{number}{account.api_key}{sign_text(params)}{nonce}"
    expected = hmac.digest(account.secret_bytes, text.encode("utf-8", "surrogatepass"), "sha256").hex()
    if not _same(expected, document.get("sig")):
        raise DeniedError(_error(request, 40101), account)
    if abs(venue_ms - nonce_ms) > NONCE_WINDOW_MS:
        raise DeniedError(_error(request, 40102), account)
    if "cancel" in request.path and not account.used.use(expected):
        raise DeniedError(_error(request, 40006), account)  # the very same request once more
    return account


def _whole(nonce: object) -> int | None:
    if isinstance(nonce, str) and nonce.isascii() and nonce.isdigit() and len(nonce) <= 20:
        return int(nonce)
    return nonce if type(nonce) is int else None


def _same(expected: str, given: object) -> bool:
    return isinstance(given, str) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _cancel_list(kind: str) -> Route:
    method = NAMES["cancel" if kind == "normal" else "advanced_cancel"]

    def handle(call: Call) -> Reply:
        params = _params(call)
        orders = params.get("order_list")
        if kind == "normal" and params.get("contingency_type") != "LIST":
            return _error(call.request, 40004)
        if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_ORDERS or not all(map(_names_one, orders)):
            return _error(call.request, 40004)
        result = [_cancel_one(call, kind, index, item) for index, item in enumerate(orders)]
        return _ok(call.request, result)

    return Route(Purpose.CANCEL, handle, account_costs=((method, 1),))


def _names_one(item: object) -> bool:
    return isinstance(item, dict) and any(
        isinstance(item.get(name), str) and item[name] for name in ("order_id", "client_oid")
    )


def _cancel_one(call: Call, kind: str, index: int, item: Mapping[str, object]) -> dict[str, object]:
    """Cancel one item; the answer names it by its index alone, and 212 does not say what became of it."""
    order_id, symbol = item.get("order_id"), item.get("instrument_name")
    name = str(order_id or item.get("client_oid"))
    order = call.order(name) if order_id else call.client_order(name)
    if order is not None and (order.kind != kind or (symbol is not None and symbol != order.symbol)):
        order = None
    if call.cancel(name, order) is None:
        return {"code": 212, "index": index, "message": "INVALID_ORDERID"}
    return {"code": 0, "index": index}


def _cancel_all(kind: str) -> Route:
    method = NAMES["cancel_all" if kind == "normal" else "advanced_cancel_all"]

    def handle(call: Call) -> Reply:
        """Cancel every order of the instrument; of all instruments for any other parameter, which is ignored."""
        symbol = _params(call).get("instrument_name")
        for order in call.book.open(call.now_ms, kind, symbol if isinstance(symbol, str) else None):
            call.cancel(order.order_id, order)
        return Reply(200, {**_echo(call.request), "code": 0})  # "No result block is returned"

    return Route(Purpose.CANCEL, handle, account_costs=((method, 1),))


def _open(kind: str) -> Route:
    method = NAMES["open" if kind == "normal" else "advanced_open"]

    def handle(call: Call) -> Reply:
        symbol = _params(call).get("instrument_name")
        orders = call.book.open(call.now_ms, kind, symbol if isinstance(symbol, str) else None)
        return _ok(call.request, {"data": [_row(call, order) for order in orders]})  # there is no paging

    return Route(Purpose.READ, handle, account_costs=((method, 1),))


def _detail(kind: str) -> Route:
    method = NAMES["detail" if kind == "normal" else "advanced_detail"]

    def handle(call: Call) -> Reply:
        params = _params(call)
        order_id, client_oid = params.get("order_id"), params.get("client_oid")
        if (order_id is None) == (client_oid is None):
            return _error(call.request, 40004)
        call.asked.append(str(order_id or client_oid))
        order = call.order(str(order_id)) if order_id is not None else call.client_order(str(client_oid))
        if order is None or order.kind != kind:
            return _error(call.request, 40401)
        return _ok(call.request, _row(call, order))

    return Route(Purpose.READ, handle, account_costs=((method, 1),))


def _params(call: Call) -> Mapping[str, object]:
    document = call.request.document()
    params = document.get("params") if isinstance(document, dict) else None
    return params if isinstance(params, dict) else {}


def _row(call: Call, order: Order) -> dict[str, object]:
    row: dict[str, object] = {
        "account_id": call.account.name,
        "order_id": order.order_id,
        "client_oid": order.client_order_id or "",
        "order_type": "LIMIT",
        "time_in_force": "GOOD_TILL_CANCEL",
        "side": order.side.upper(),
        "exec_inst": [],
        "quantity": order.qty,
        "limit_price": order.price,
        "avg_price": "0.0",
        "cumulative_quantity": order.filled_qty,
        "cumulative_value": "0.000000",
        "cumulative_fee": "0.000000",
        "status": STATUSES[order.state],
        "instrument_name": order.symbol,
        "fee_instrument_name": "USD",
        "create_time": order.created_ms,
        "create_time_ns": f"{order.created_ms}000000",
        "update_time": order.updated_ms,
    }
    if order.kind == "advanced":
        row |= {"order_type": "STOP_LOSS", "list_id": order.order_list_id or "", "contingency_type": "OTO"}
    return row


def _ok(request: Request, result: object) -> Reply:
    return Reply(200, {**_echo(request), "code": 0, "result": result})


def _error(request: Request, code: int) -> Reply:
    status, message = ERRORS[code]
    return Reply(status, {**_echo(request), "code": code, "message": message})


def _echo(request: Request) -> dict[str, object]:
    document = request.document()
    number = document.get("id", -1) if isinstance(document, dict) else -1
    return {"id": number, "method": request.path[1:]}


def _not_found(request: Request) -> Reply:
    known = request.path[1:] in NAMES.values()  # then it is the verb that is wrong
    return _error(request, 40003 if known else 40002)


def _limited(request: Request, breach: Breach, venue_ms: int) -> Reply:
    del breach, venue_ms  # no header and no wait is documented
    return _error(request, 42901)


def _items(payload: object) -> Sequence[list[object]]:
    result = payload.get("result") if isinstance(payload, dict) else None
    if isinstance(result, dict):
        result = result.get("data")
    return [result] if isinstance(result, list) else []


def _new_order_id(dice: Random, number: int) -> str:
    return str(6142909902150000000 + number * 7 + dice.randrange(7))


def _rules() -> tuple[Rule, ...]:
    # "Rate limits", per API method and API key; all others 3 in 100 ms
    units = {NAMES["detail"]: 30, NAMES["cancel_all"]: 15}
    return tuple(Rule(method, Scope.ACCOUNT, units.get(method, 3), 100) for method in NAMES.values())


VENUE: Final = Venue(
    name="crypto_com",
    root="/crypto_com/exchange/v1",
    routes={
        ("POST", f"/{NAMES['cancel']}"): _cancel_list("normal"),
        ("POST", f"/{NAMES['advanced_cancel']}"): _cancel_list("advanced"),
        ("POST", f"/{NAMES['cancel_all']}"): _cancel_all("normal"),
        ("POST", f"/{NAMES['advanced_cancel_all']}"): _cancel_all("advanced"),
        ("POST", f"/{NAMES['open']}"): _open("normal"),
        ("POST", f"/{NAMES['advanced_open']}"): _open("advanced"),
        ("POST", f"/{NAMES['detail']}"): _detail("normal"),
        ("POST", f"/{NAMES['advanced_detail']}"): _detail("advanced"),
    },
    rules=_rules(),
    authenticate=authenticate,
    limited=_limited,
    not_found=_not_found,
    maintenance=lambda request: _error(request, 9010001),
    forbidden=lambda request: _error(request, 40103),
    items=_items,
    new_order_id=_new_order_id,
    kinds=("normal", "advanced"),
    symbols=("CRO_USD", "BTC_USD", "ETH_USD"),
    quantities=("100.0", "40.0", "0.0"),
    settle_ms=50,
)
