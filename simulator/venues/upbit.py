"""Plays Upbit; the only place that knows its protocol from the venue's side.

Facts: https://global-docs.upbit.com/reference/cancel-orders-by-ids, /cancel-order, /auth, /rate-limits,
/list-open-orders, /list-orders-by-ids, /get-order, read 2026-11-20.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from simulator.accounts import Account
from simulator.book import Order, State
from simulator.http import Request
from simulator.limiter import Breach, Rule, Scope
from simulator.venue import Call, DeniedError, Purpose, Reply, Route, Usage, Venue, always

DIGESTS: Final = {"HS256": "sha256", "HS512": "sha512"}  # the pages show the one, the official SDK sends the other
MAX_CANCELS: Final = 20
MAX_QUERIES: Final = 100
PAGE_SIZE: Final = 100
STATES: Final[Mapping[State, str]] = {
    State.OPEN: "wait",
    State.PARTLY_FILLED: "wait",
    State.FILLED: "done",
    State.CANCELED: "cancel",
    State.EXPIRED: "cancel",
    State.REJECTED: "cancel",
}


def authenticate(request: Request, accounts: Mapping[str, Account], venue_ms: int) -> Account:
    """Check the JWT's signature, that its nonce is fresh, and that it hashes the very query that came."""
    del venue_ms  # there is no timestamp anywhere
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise DeniedError(_error(401, "no_authorization_token", "No authorization token was given."))
    unverified = DeniedError(_error(401, "jwt_verification", "Failed to verify the Jwt token."))
    claims, digest = _read_token(token)
    if scheme != "Bearer" or claims is None or digest is None:
        raise unverified
    account = accounts.get(str(claims.get("access_key")))
    if account is None:
        raise DeniedError(_error(401, "invalid_access_key", "The access key is not valid."))
    signed, _, signature = token.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(account.secret_bytes, signed.encode(), digest)).rstrip(b"=")
    if not hmac.compare_digest(expected, signature.encode()):
        raise DeniedError(unverified.reply, account)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise DeniedError(unverified.reply, account)
    if not account.used.use(nonce):
        raise DeniedError(_error(401, "nonce_used", "This temporary number has already been used."), account)
    if not _hashes(claims, request):
        raise DeniedError(_error(401, "invalid_query_payload", "Failed to verify the query of Jwt."), account)
    return account


def _read_token(token: str) -> tuple[dict[str, object] | None, str | None]:
    """Read claims and digest of a token in compact form, unverified."""
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        return None, None
    try:
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "===")) for part in parts[:2])
    except (binascii.Error, ValueError, RecursionError):
        return None, None
    if not isinstance(head, dict) or not isinstance(claims, dict):
        return None, None
    return claims, DIGESTS.get(str(head.get("alg")))


def _hashes(claims: Mapping[str, object], request: Request) -> bool:
    if request.body:  # "requesting with body is not supported" for DELETE, and GET has none
        return False
    if not request.query:
        return "query_hash" not in claims
    decoded = unquote(request.query).encode("utf-8", "surrogatepass")
    return claims.get("query_hash_alg") == "SHA512" and claims.get("query_hash") == hashlib.sha512(decoded).hexdigest()


def _cancel(call: Call) -> Reply:
    """Take the cancels; an order that is unknown is in neither list (observed nowhere, documented nowhere)."""
    pairs = call.request.pairs()
    names = _names(pairs, MAX_CANCELS)
    if names is None or len(names[1]) != len(pairs):
        return _invalid()
    kind, values = names
    success: list[object] = []
    failed: list[object] = []
    for value in dict.fromkeys(values):
        order = _find(call, kind, value)
        taken = call.cancel(value, order)
        if order is not None:
            (success if taken else failed).append(_brief(order))
    return Reply(
        200,
        {
            "success": {"count": len(success), "orders": success},
            "failed": {"count": len(failed), "orders": failed},
        },
    )


def _cancel_one(call: Call) -> Reply:
    """Take the cancel of one order, by ``uuid`` or ``identifier``; it still waits in the answer."""
    pairs = dict(call.request.pairs())
    if ("uuid" in pairs) == ("identifier" in pairs):
        return _invalid()
    (kind,) = {"uuid", "identifier"} & pairs.keys()
    order = call.cancel(pairs[kind], _find(call, f"{kind}s[]", pairs[kind]))
    return Reply(200, _row(order)) if order else _error(404, "order_not_found", "The order was not found.")


def _list_open(call: Call) -> Reply:
    """List `wait` orders, and `watch` orders only if they are asked for; newest first."""
    asked: dict[str, list[str]] = {}
    for name, value in call.request.pairs():
        asked.setdefault(name, []).append(value)
    states = asked.get("states[]") or asked.get("state") or ["wait"]
    page, limit = asked.get("page", ["1"])[-1], asked.get("limit", [str(PAGE_SIZE)])[-1]
    if ("state" in asked and "states[]" in asked) or not {"wait", "watch"}.issuperset(states):
        return _invalid()
    if not (_is_count(page) and _is_count(limit)) or int(limit) > PAGE_SIZE:
        return _invalid()
    market = asked.get("market", [None])[-1]
    orders = [order for kind in _kinds(states) for order in call.book.open(call.now_ms, kind, market)]
    orders.sort(key=lambda order: order.created_ms, reverse=asked.get("order_by") != ["asc"])
    start = (int(page) - 1) * int(limit)
    return Reply(200, [_row(order) for order in orders[start : start + int(limit)]])


def _kinds(states: Sequence[str]) -> list[str]:
    return [{"wait": "normal", "watch": "watch"}[state] for state in dict.fromkeys(states)]


def _list_by_ids(call: Call) -> Reply:
    pairs = call.request.pairs()
    names = _names(pairs, MAX_QUERIES)
    if names is None:
        return _invalid()
    kind, values = names
    market = dict(pairs).get("market")
    call.asked.extend(values)
    found = [_find(call, kind, value) for value in dict.fromkeys(values)]
    return Reply(200, [_row(order) for order in found if order and market in (None, order.symbol)])


def _get_order(call: Call) -> Reply:
    pairs = dict(call.request.pairs())
    if ("uuid" in pairs) == ("identifier" in pairs):
        return _invalid()
    (kind,) = {"uuid", "identifier"} & pairs.keys()
    call.asked.append(pairs[kind])
    order = _find(call, f"{kind}s[]", pairs[kind])
    return Reply(200, _row(order)) if order else _error(404, "order_not_found", "The order was not found.")


def _names(pairs: list[tuple[str, str]], at_most: int) -> tuple[str, list[str]] | None:
    """Give the one kind of id that is asked for, and the ids; None if both are mixed, or there are too many."""
    by_kind = {kind: [value for name, value in pairs if name == kind] for kind in ("uuids[]", "identifiers[]")}
    given = [(kind, values) for kind, values in by_kind.items() if values]
    return given[0] if len(given) == 1 and len(given[0][1]) <= at_most else None


def _find(call: Call, kind: str, value: str) -> Order | None:
    return call.order(value.lower()) if kind == "uuids[]" else call.client_order(value)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def _brief(order: Order) -> dict[str, object]:
    brief: dict[str, object] = {"uuid": order.order_id, "market": order.symbol}
    if order.client_order_id is not None:
        brief["identifier"] = order.client_order_id
    return brief


def _row(order: Order) -> dict[str, object]:
    created = datetime.fromtimestamp(order.created_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return {
        **_brief(order),
        "side": "bid" if order.side == "buy" else "ask",
        "ord_type": "limit",
        "price": order.price,
        "state": "watch" if order.kind == "watch" and order.live else STATES[order.state],
        "created_at": created,
        "volume": order.qty,
        "remaining_volume": f"{float(order.qty) - float(order.filled_qty):.8f}",
        "executed_volume": order.filled_qty,
        "reserved_fee": "0.0",
        "remaining_fee": "0.0",
        "paid_fee": "0.0",
        "locked": "0.0",
        "trades_count": 0 if float(order.filled_qty) == 0 else 1,
    }


def _error(status: int, name: str, message: str) -> Reply:
    return Reply(status, {"error": {"name": name, "message": message}})


def _invalid() -> Reply:
    return _error(400, "validation_error", "The request is not valid.")


def _limited(request: Request, breach: Breach, venue_ms: int) -> Reply:
    del request, venue_ms
    if not breach.banned:
        return _error(429, "too_many_requests", "Rate limit exceeded")
    seconds = -(-breach.retry_ms // 1000)  # the block's time is in the message; its exact words are not documented
    return _error(418, "rate_limit_exceeded_penalty", f"You have been temporarily blocked for {seconds} seconds")


def _usage(used: int, limit: int) -> tuple[tuple[str, str], ...]:
    return (("Remaining-Req", f"group=default; min=1800; sec={max(0, limit - used)}"),)


def _items(payload: object) -> Sequence[list[object]]:
    if isinstance(payload, list):
        return [payload]
    halves = [payload.get(name) for name in ("success", "failed")] if isinstance(payload, dict) else []
    return [half["orders"] for half in halves if isinstance(half, dict)]


def _new_order_id(dice: Random, number: int) -> str:
    del number
    return str(UUID(int=dice.getrandbits(128), version=4))


COSTS: Final = (("default", 1),)
VENUE: Final = Venue(
    name="upbit",
    root="/upbit",
    routes={
        ("DELETE", "/v1/orders/uuids"): Route(Purpose.CANCEL, _cancel, COSTS),
        ("DELETE", "/v1/order"): Route(Purpose.CANCEL, _cancel_one, COSTS),
        ("GET", "/v1/orders/open"): Route(Purpose.READ, _list_open, COSTS),
        ("GET", "/v1/orders/uuids"): Route(Purpose.READ, _list_by_ids, COSTS),
        ("GET", "/v1/order"): Route(Purpose.READ, _get_order, COSTS),
    },
    # group "default": 30 per second and account, shared by all five; going on after 429 leads to 418 and a block
    # that grows. After how many calls, and how long, is not documented
    rules=(Rule("default", Scope.ACCOUNT, 30, 1000, patience=10, ban_ms=10_000),),
    authenticate=authenticate,
    limited=_limited,
    not_found=always(_error(404, "not_found", "Not found")),
    maintenance=always(_error(503, "server_error", "The service is under maintenance.")),
    forbidden=always(_error(401, "out_of_scope", "This feature is not allowed.")),
    items=_items,
    new_order_id=_new_order_id,
    kinds=("normal", "watch"),
    symbols=("SGD-BTC", "SGD-ETH"),
    quantities=("0.01000000", "0.00400000", "0.0"),
    settle_ms=50,
    usage=Usage("default", Scope.ACCOUNT, _usage),
)
