"""WEEX contract's protocol; the only place that knows how WEEX signs a cancel and what its answers mean."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, doubt_order, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, parse_json, text
from connectors.venue import Limit, Scope, Venue
from connectors.weex_api import SUCCESS_CODES, V2, Line

# https://www.weex.com/api-doc/contract/ErrorCodes/ExampleOfErrorCode, 2026-11-20, unless another source stands
# beside a line; POST is https://www.feixiaohao.com/news/14469809.html (WEEX's own), 2026-11-20.
CODES: Mapping[str, RefusalKind | Status] = MappingProxyType(
    {
        **dict.fromkeys(("40001", "40002", "40003", "40011"), RefusalKind.CREDENTIALS),  # a header is missing
        **dict.fromkeys(("40006", "40009", "40012"), RefusalKind.CREDENTIALS),  # key, signature, passphrase
        **dict.fromkeys(("40013", "40016", "40018"), RefusalKind.CREDENTIALS),  # frozen, no second factor (POST), IP
        **dict.fromkeys(("40014", "40022", "40753", "50004"), RefusalKind.CREDENTIALS),  # permissions of the key
        **dict.fromkeys(("40005", "40008"), RefusalKind.CLOCK),  # timestamp malformed, or more than 30 s off
        **dict.fromkeys(("40017", "40019", "40020", "40913"), RefusalKind.REFERENCE),  # parameters; no id (POST)
        "40912": RefusalKind.REFERENCE,  # too many orders in one call (POST): fewer will do
        "50003": RefusalKind.REFERENCE,  # no permission for one pair: the account's other pairs must go on
        "40007": RefusalKind.CALL,  # content type
        "429": RefusalKind.RATE_LIMIT,
        "40200": RefusalKind.UNAVAILABLE,  # server upgrade; in a peer's table only, not in the venue's
        "40015": RefusalKind.UNCERTAIN,  # "System error", unless the message says more: see SYSTEM_ERRORS
        "50005": Status.UNKNOWN,  # the order does not exist: filled, canceled or never there, only a read can tell
    }
)

# 40015 also wraps refusals that repeating cannot help, told apart by how the message starts.
# https://github.com/JannetEkka/smt-weex-trading-bot (v3/logs, 2026-02-21), 2026-11-20
SYSTEM_ERRORS: Mapping[str, RefusalKind | Status] = MappingProxyType(
    {
        "INVALID_ARGUMENT": RefusalKind.REFERENCE,
        "FAILED_PRECONDITION": Status.UNKNOWN,  # the state of an order, not the call, is in the way
        "NOT_FOUND": Status.UNKNOWN,
    }
)

# What a status says of a JSON answer without a code that is listed; nothing was executed.  404 is a wrong path (a
# retired API), not "no such order".
# https://www.weex.com/api-doc/contract/ErrorCodes/ExampleOfErrorCode, 2026-11-20
STATUS_KINDS: Mapping[int, RefusalKind] = MappingProxyType(
    {401: RefusalKind.CREDENTIALS, 403: RefusalKind.CREDENTIALS, 404: RefusalKind.CALL}
)

# "Wait 10 seconds before retrying."  https://www.weex.com/api-doc/contract/QuickStart/LIMITS, 2026-11-20
RATE_LIMIT_PAUSE_MS: Final = 10_000


API: Final = V2  # the one place to name another version


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None.  The form of an order_id is not documented: any may be sent."""
    if order.kind not in API.id_lists:
        return f"WEEX takes order_id or client_order_id, not {order.kind}"
    if not order.value:
        return f"an empty {order.kind} names no order"
    # https://www.weex.com/api-doc/contract/Transaction_API/PlaceOrder, 2026-11-20
    if order.kind is IdKind.CLIENT_ORDER_ID and len(order.value) > 40:
        return "a client_order_id of WEEX has at most 40 characters"
    return None


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 10 *orders* of one id kind; each id goes out once, as a string.

    Source: https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20.
    """
    ids = dict.fromkeys(order.value for order in orders)
    body = json.dumps({API.id_lists[orders[0].kind]: list(ids)}, separators=(",", ":")).encode()
    timestamp = str(stamp.now_ms)
    headers = {
        "ACCESS-KEY": credentials.api_key,
        "ACCESS-SIGN": _signature(f"{timestamp}{API.method}{API.cancel_path}", body, credentials.api_secret or ""),
        "ACCESS-PASSPHRASE": credentials.passphrase or "",
        "ACCESS-TIMESTAMP": timestamp,
        "Content-Type": "application/json",
        "locale": "en-US",  # messages come in this language, and SYSTEM_ERRORS reads them
    }
    return Request(API.method, API.cancel_path, headers, body)


def _signature(prefix: str, body: bytes, secret: str) -> str:
    """Sign timestamp, method, path with its query (together *prefix*) and the very bytes of the body.

    Source: https://www.weex.com/api-doc/ai/QuickStart/Signature, 2026-11-20.
    """
    return base64.b64encode(hmac.new(secret.encode(), prefix.encode() + body, hashlib.sha256).digest()).decode()


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    document = parse_json(response.body)
    given, data = field(document, "code"), field(document, "data")
    code = text(given)
    lines = API.read_lines(document if data is None else data)
    welcome = 200 <= response.status < 300 and (given is None or code in SUCCESS_CODES)
    if welcome and lines is not None:
        return Answer(tuple(_outcome(order, lines) for order in orders))
    if welcome or lines:  # nothing that can be read, or orders named in a refused call, which contradicts itself
        message = _message(document) or f"HTTP {response.status} without results that can be trusted"
        return refuse(orders, Refusal(RefusalKind.UNCERTAIN, code, message))
    return _read_refusal(orders, response, document, code)


def _outcome(order: OrderRef, lines: list[Line]) -> Outcome:
    """Read all lines of one order.  V2 has a state "canceling", so that a cancel that was taken is not yet done.

    What the venue says against it ("not found", filled, canceled) is no proof either: only a read is.
    """
    own = [line for line in lines if line.ids.get(order.kind) == order.value]
    if not own:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    told = {line.ids.get(IdKind.ORDER_ID) for line in own}
    order_id = next(iter(told)) if len(told) == 1 and told == set(map(text, told)) else None
    objections = [line for line in own if not line.taken]
    if not objections:
        return Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ANSWER, order_id=order_id)
    said = next((line for line in objections if line.message), objections[0])
    message = said.message or "the answer names this order without success"
    return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, said.code, message, order_id=order_id)


def _message(document: object) -> str | None:
    return text(field(document, "msg")) or text(field(document, "message"))


def _read_refusal(orders: tuple[OrderRef, ...], response: Response, document: object, code: str | None) -> Answer:
    """Read a call that failed as a whole: by its code, by the message of 40015, then by the HTTP status."""
    said = _message(document)
    listed = CODES.get(code or "")
    if code == "40015":
        listed = next((kind for start, kind in SYSTEM_ERRORS.items() if (said or "").startswith(start)), listed)
    message = said or f"HTTP {response.status} without an error that can be read"
    if listed is Status.UNKNOWN:
        return doubt_order(orders, code, message)
    kind = listed if isinstance(listed, RefusalKind) else _status_kind(response.status, document)
    pause_ms = max(response.retry_after_ms or 0, RATE_LIMIT_PAUSE_MS) if kind is RefusalKind.RATE_LIMIT else None
    return refuse(orders, Refusal(kind, code, message, pause_ms), unlisted=None if listed else code)


def _status_kind(status: int, document: object) -> RefusalKind:
    """Classify by the HTTP status.  A page that is not JSON comes from something before the venue."""
    if status == 429:
        return RefusalKind.RATE_LIMIT
    return STATUS_KINDS.get(status, RefusalKind.UNCERTAIN) if isinstance(document, dict) else RefusalKind.UNCERTAIN


def _read_clock(response: Response) -> int | None:
    """Read the venue's time, in milliseconds since the epoch.

    Source: https://www.weex.com/api-doc/contract/Market_API/GetServerTime, 2026-11-20.
    """
    document = parse_json(response.body)
    now_ms = field(document, "timestamp") or field(field(document, "data"), "timestamp")
    return epoch_ms(now_ms) if response.status == 200 else None


VENUE = Venue(
    name="weex",
    title="WEEX",
    base_url="https://api-contract.weex.com",  # https://www.weex.com/api-doc/contract/QuickStart/APIDomain, 2026-11-20
    id_kinds=tuple(API.id_lists),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key", "api_secret", "passphrase"}),),
    # V2 states none; V3 says 10, and an older post 50.
    # https://www.weikestg.info/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20
    max_orders_per_call=10,
    max_in_flight=4,  # ours: one second's calls
    limits=(
        # The pages disagree tenfold; these numbers keep within each of them.
        # 10 a second for "Cancel Order": https://www.wbacxsx.site/api-doc/ai/QuickStart/LIMITS, 2026-11-20
        Limit("cancel calls a second", Scope.ACCOUNT, units=4, per_ms=1000),
        # 50 a minute: https://stg-www.weex.tech/api-doc/contract/apifaq, 2026-11-20
        Limit("cancel calls a minute", Scope.ACCOUNT, units=45, per_ms=60_000),
        # 500 (or 1000) of weight in 10 s for each of UID and IP: https://www.wx26m0.info/api-doc/ai/QuickStart/LIMITS;
        # weights 10 and 5: https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20
        Limit("UID weight", Scope.ACCOUNT, units=500, per_ms=10_000, cost=10),
        Limit("IP weight", Scope.IP, units=500, per_ms=10_000, cost=5),
    ),
    # Plan orders show with a lag of about 2 s: https://github.com/JannetEkka/smt-weex-trading-bot, 2026-11-20
    settling_ms=3000,
    success_proves="the request was taken; the order may still be canceling or open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    clock_request=Request("GET", API.clock_path),
    read_clock=_read_clock,
    # https://www.weex.com/api-doc/contract/QuickStart/LIMITS and .../contract/changelog, 2026-11-20
    note='contract API V2, which WEEX retires for V3 ("V2 (Sunsets Sep 30)", no year); V3 is not built',
)
