"""Crypto.com Exchange v1 as data and pure functions; the only place that knows its cancel call, signature and codes."""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import REFUSED_AS, Answer, Refusal, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, parse_json, rows, text
from connectors.venue import Limit, Scope, Venue

# https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-cancel-order-list, 2026-11-20
METHOD: Final = "private/cancel-order-list"
ID_FIELDS: Mapping[IdKind, str] = MappingProxyType(
    {IdKind.ORDER_ID: "order_id", IdKind.CLIENT_ORDER_ID: "client_oid"}  # either one names an order, never both
)
CLIENT_OID_LENGTH: Final = 36  # same page, client_oid: "maximum 36 characters", 2026-11-20

# "Response and Reason Codes" of https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference,
# 2026-11-20, unless a line says otherwise.  The same code can stand in an item or be the answer to the whole call.
# A Status says what an item with the code means for its order.
CODES: Mapping[str, RefusalKind | Status] = MappingProxyType(
    {
        "0": Status.ACCEPTED,
        # Not open any more, unknown, or in the wrong state.  None of these tells which, so a read decides.
        "212": Status.UNKNOWN,  # INVALID_ORDERID; shown in an item of private/cancel-order-list
        "307": Status.UNKNOWN,  # INVALID_ORDSTATUS
        "316": Status.UNKNOWN,  # NO_ACTIVE_ORDER
        "40401": Status.UNKNOWN,  # NOT_FOUND, with HTTP 200
        "43012": Status.UNKNOWN,  # SELF_TRADE_PREVENTION: why an order was canceled, not an answer to a cancel
        "130008": Status.UNKNOWN,  # NON_APPLICABLE for the current state
        # Refused further in, and it is not said what happened there.
        "224": Status.UNKNOWN,  # REJ_BY_MATCHING_ENGINE
        "120009": Status.UNKNOWN,  # REJECTED by an upstream service
        # One order's own fault; repeating does not help.
        "206": Status.REJECTED,  # INSTRUMENT_EXPIRED
        "208": Status.REJECTED,  # INSTRUMENT_NOT_TRADABLE
        "209": Status.REJECTED,  # INVALID_INSTRUMENT
        "223": Status.REJECTED,  # NO_CLORDID
        # The account's fault.  401 and 408 are codes in the body here, not HTTP statuses.
        "202": RefusalKind.CREDENTIALS,  # ACCOUNT_IS_SUSPENDED
        "210": RefusalKind.CREDENTIALS,  # INVALID_ACCOUNT
        "401": RefusalKind.CREDENTIALS,  # ACCOUNT_DOES_NOT_EXIST
        "406": RefusalKind.CREDENTIALS,  # ACCOUNT_IS_NOT_ACTIVE
        "408": RefusalKind.CREDENTIALS,  # MARGIN_UNIT_IS_SUSPENDED
        "409": RefusalKind.CREDENTIALS,  # INVALID_USER
        "410": RefusalKind.CREDENTIALS,  # USER_IS_NOT_ACTIVE
        "40101": RefusalKind.CREDENTIALS,  # UNAUTHORIZED: key or signature
        "40103": RefusalKind.CREDENTIALS,  # IP_ILLEGAL
        "40104": RefusalKind.CREDENTIALS,  # USER_TIER_INVALID
        # API_DISABLED; https://github.com/crypto-com/crypto-agent-trading, 2026-11-20
        "140001": RefusalKind.CREDENTIALS,
        # Refused at the door.
        "40001": RefusalKind.CALL,  # BAD_REQUEST
        "40002": RefusalKind.CALL,  # METHOD_NOT_FOUND
        "40003": RefusalKind.CALL,  # INVALID_REQUEST
        "40004": RefusalKind.REFERENCE,  # MISSING_OR_INVALID_ARGUMENT: perhaps of a single item
        "40005": RefusalKind.CALL,  # INVALID_DATE
        "40102": RefusalKind.CLOCK,  # INVALID_NONCE: differs by more than 60 seconds
        "42901": RefusalKind.RATE_LIMIT,  # TOO_MANY_REQUESTS
        "309": RefusalKind.UNAVAILABLE,  # MARKET_IS_NOT_OPEN
        "9010001": RefusalKind.UNAVAILABLE,  # SYSTEM_MAINTENANCE; ccxt's cryptocom.py, 2026-11-20
        # Perhaps executed.
        "40006": RefusalKind.UNCERTAIN,  # DUPLICATE_REQUEST: an earlier copy was probably taken
        "40801": RefusalKind.UNCERTAIN,  # REQUEST_TIMEOUT
        "50001": RefusalKind.UNCERTAIN,  # ERR_INTERNAL, also INTERNAL_SERVER_ERROR
    }
)

# What a code about orders says when it answers the whole call.  "Not open" then names no order, and the others
# may have been taken; a 0 comes here only with an HTTP status that contradicts it.
WHOLE_CALL: Mapping[Status, RefusalKind] = MappingProxyType(
    {
        Status.ACCEPTED: RefusalKind.UNCERTAIN,
        Status.UNKNOWN: RefusalKind.UNCERTAIN,
        Status.REJECTED: RefusalKind.REFERENCE,
    }
)


def _check_order(order: OrderRef) -> str | None:
    if order.kind not in ID_FIELDS:
        return f"Crypto.com names an order by order_id or client_order_id, not by {order.kind}"
    if not order.value:
        return f"the {order.kind} is empty"
    if order.kind is IdKind.CLIENT_ORDER_ID and len(order.value) > CLIENT_OID_LENGTH:
        return f"a client_order_id of Crypto.com has at most {CLIENT_OID_LENGTH} characters"
    if any("\ud800" <= character <= "\udfff" for character in order.value + (order.symbol or "")):
        return f"the {order.kind} or the symbol is not valid Unicode, so no request can carry it"
    return None


def _item(order: OrderRef) -> dict[str, str]:
    symbol = {"instrument_name": order.symbol} if order.symbol else {}
    return {**symbol, ID_FIELDS[order.kind]: order.value}


def _param_text(value: object) -> str:
    """Write *value* as the signature wants it: objects by sorted key, arrays by element, nothing in between."""
    if isinstance(value, dict):
        return "".join(f"{key}{_param_text(value[key])}" for key in sorted(value))
    if isinstance(value, list):
        return "".join(map(_param_text, value))
    return value if isinstance(value, str) else json.dumps(value)  # null, true, false and numbers as in JSON


def _sign(method: str, number: int, nonce: int, params: dict[str, object], credentials: Credentials) -> str:
    """Give the ``sig`` of a call as 64 lower-case hex digits.

    https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference ("Digital Signature"),
    2026-11-20.
    """
    signed = f"{method}{number}{credentials.api_key}{_param_text(params)}{nonce}"
    return hmac.new((credentials.api_secret or "").encode(), signed.encode(), hashlib.sha256).hexdigest()


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    params: dict[str, object] = {"contingency_type": "LIST", "order_list": [_item(order) for order in orders]}
    body = {
        # The documentation shows id and nonce both as numbers and as strings; numbers satisfy all of it, and a
        # string id is answered with 40001: https://github.com/crypto-com/crypto-agent-trading, 2026-11-20.
        "id": stamp.number,
        "method": METHOD,
        "api_key": credentials.api_key,
        "params": params,
        "nonce": stamp.now_ms,
        "sig": _sign(METHOD, stamp.number, stamp.now_ms, params, credentials),
    }
    compact = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Request("POST", f"/{METHOD}", {"Content-Type": "application/json"}, compact.encode())


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    document = parse_json(response.body)
    if field(document, "method") not in (None, "", METHOD):
        return refuse(orders, Refusal(RefusalKind.UNCERTAIN, message="the answer is to another method"))
    code = field(document, "code")
    if identity(code) == "0" and response.status == 200:
        return _read_items(orders, rows(field(document, "result")))  # the outer 0 itself says nothing of an order
    return _read_refusal(orders, response, code, text(field(document, "message")))


def _read_refusal(orders: tuple[OrderRef, ...], response: Response, code: object, message: str | None) -> Answer:
    name = identity(code)
    listed = CODES.get(name) if name is not None else None
    kind = WHOLE_CALL[listed] if isinstance(listed, Status) else listed
    if kind is None:  # the venue's page has HTTP 429 for exceeded rate limits alone; other statuses prove nothing
        kind = RefusalKind.RATE_LIMIT if response.status == 429 else RefusalKind.UNCERTAIN
    refusal = Refusal(kind, text(code), message or f"HTTP {response.status} and no message", response.retry_after_ms)
    return refuse(orders, refusal, unlisted=text(code) if listed is None else None)


def _read_items(orders: tuple[OrderRef, ...], items: list[object]) -> Answer:
    """Match items to orders by ``index``, the place in the request: no ids come back.

    A false ACCEPTED proves nothing and is found out; a false REJECTED would leave a live order alone.  So an
    order's only item is enough for ACCEPTED, but REJECTED takes an answer whose indexes are exactly 0 to n-1.
    """
    places = [identity(field(item, "index")) for item in items]
    in_order = Counter(places) == Counter(str(place) for place in range(len(orders)))
    outcomes = []
    unlisted = None
    for place, order in enumerate(orders):
        found = [item for item, its_place in zip(items, places, strict=True) if its_place == str(place)]
        code = identity(field(found[0], "code")) if len(found) == 1 else None
        outcomes.append(_read_item(order, found, in_order))
        if code is not None and code not in CODES:
            unlisted = unlisted or text(code)
    return Answer(tuple(outcomes), unlisted=unlisted)


def _read_item(order: OrderRef, found: list[object], in_order: bool) -> Outcome:
    if len(found) != 1:
        message = f"the answer has {len(found) or 'no'} items for this order"
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=message)
    code = field(found[0], "code")
    status = _item_status(identity(code))
    if status is Status.REJECTED and not in_order:
        status = Status.UNKNOWN
    words = None if status is Status.ACCEPTED else text(code)
    return Outcome(order, status, Evidence.CANCEL_ANSWER, words, text(field(found[0], "message")))


def _item_status(code: str | None) -> Status:
    listed = CODES.get(code or "", Status.UNKNOWN)
    status = listed if isinstance(listed, Status) else REFUSED_AS[listed]
    # The call itself was taken, so an item that only asks for another try is no proof that nothing was executed.
    return Status.UNKNOWN if status is Status.NOT_SENT else status


VENUE = Venue(
    name="crypto_com",
    title="Crypto.com Exchange",
    # https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference, 2026-11-20
    base_url="https://api.crypto.com/exchange/v1",
    id_kinds=tuple(ID_FIELDS),
    symbol_required=False,  # instrument_name is "N"; https://exchange-docs.crypto.com/exchange/v1/rest-ws, 2026-11-20
    one_symbol_per_call=False,  # https://github.com/ccxt/ccxt/pull/22257, 2026-11-20
    credential_sets=(frozenset({"api_key", "api_secret"}),),
    # "Cancel up to 10 orders in one call": https://github.com/crypto-com/cdcx-cli, skills/cdcx-execution.md,
    # 2026-11-20.  The reference names no number for cancels, and 10 for private/create-order-list.
    max_orders_per_call=10,
    max_in_flight=8,  # ours: with answers in 250 ms, 8 calls use the whole of 30 calls a second
    # "All others: 3 requests per 100ms", of each method and API key:
    # https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#rate-limits, 2026-11-20
    limits=(Limit(METHOD, Scope.KEY, units=3, per_ms=100),),
    settling_ms=500,  # ours: the call is documented as asynchronous, without a figure
    success_proves="the request was accepted; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # No clock_request: the nonce may be 60 s off, and the reference has no call that tells the time.
    # Breaking change of 2025-12-17, https://exchange-developer.crypto.com/exchange/v1/docs, 2026-11-20
    note="trigger, OCO, OTO and OTOCO orders live in a namespace of their own, which this call does not reach",
)
