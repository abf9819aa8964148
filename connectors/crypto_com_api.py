"""Crypto.com Exchange v1's envelope as pure functions; the only place that knows its signature and its codes."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.calls import Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind
from connectors.outcomes import Status
from connectors.reading import field, identity, parse_json, text

ID_FIELDS: Mapping[IdKind, str] = MappingProxyType(
    {IdKind.ORDER_ID: "order_id", IdKind.CLIENT_ORDER_ID: "client_oid"}  # either one names an order, never both
)
ADVANCED: Final = "advanced"  # the namespace of trigger, OCO, OTO and OTOCO orders

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
        "309": RefusalKind.MARKET_CLOSED,  # MARKET_IS_NOT_OPEN
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


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says as a whole: ``result`` if the venue took the call, else a ``refusal``.

    ``method`` is the call that the answer names, if it names one; ``unlisted`` a code that the table does not know.
    """

    method: object
    result: object
    refusal: Refusal | None = None
    unlisted: str | None = None


def param_text(value: object) -> str:
    """Write *value* as the signature wants it: objects by sorted key, arrays by element, nothing in between."""
    if isinstance(value, dict):
        return "".join(f"{key}{param_text(value[key])}" for key in sorted(value))
    if isinstance(value, list):
        return "".join(map(param_text, value))
    return value if isinstance(value, str) else json.dumps(value)  # null, true, false and numbers as in JSON


def sign(method: str, number: int, nonce: int, params: dict[str, object], credentials: Credentials) -> str:
    """Give the ``sig`` of a call as 64 lower-case hex digits.

    https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference ("Digital Signature"),
    2026-11-20.
    """
    signed = f"{method}{number}{credentials.api_key}{param_text(params)}{nonce}"
    return hmac.new((credentials.api_secret or "").encode(), signed.encode(), hashlib.sha256).hexdigest()


def build_call(method: str, params: dict[str, object], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one call of *method*; ``params`` go out even if they are empty."""
    body = {
        # The documentation shows id and nonce both as numbers and as strings; numbers satisfy all of it, and a
        # string id is answered with 40001: https://github.com/crypto-com/crypto-agent-trading, 2026-11-20.
        "id": stamp.number,
        "method": method,
        "api_key": credentials.api_key,
        "params": params,
        "nonce": stamp.now_ms,
        "sig": sign(method, stamp.number, stamp.now_ms, params, credentials),
    }
    compact = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Request("POST", f"/{method}", {"Content-Type": "application/json"}, compact.encode())


def read_call(method: str, response: Response) -> Said:
    """Read the envelope of an answer to *method*.  Never raises."""
    document = parse_json(response.body)
    named = field(document, "method")
    if named not in (None, "", method):
        return Said(named, None, Refusal(RefusalKind.UNCERTAIN, message="the answer is to another method"))
    code = field(document, "code")
    if identity(code) == "0" and response.status == 200:
        return Said(named, field(document, "result"))
    refusal, unlisted = _read_refusal(response, code, text(field(document, "message")))
    return Said(named, None, refusal, unlisted)


def _read_refusal(response: Response, code: object, message: str | None) -> tuple[Refusal, str | None]:
    name = identity(code)
    listed = CODES.get(name) if name is not None else None
    kind = WHOLE_CALL[listed] if isinstance(listed, Status) else listed
    if kind is None:  # the venue's page has HTTP 429 for exceeded rate limits alone; other statuses prove nothing
        kind = RefusalKind.RATE_LIMIT if response.status == 429 else RefusalKind.UNCERTAIN
    words = message or f"HTTP {response.status} and no message"
    refusal = Refusal(kind, text(code), words, response.retry_after_ms, _scope(kind, listed is not None))
    return refusal, text(code) if listed is None else None


def _scope(kind: RefusalKind, listed: bool) -> Scope:
    """Say who has to wait.  Limits count by method and API key; neither a pause nor a header of them is documented.

    A 429 without a code that is listed comes from something before the venue, which knows no keys.
    Source: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#rate-limits, 2026-11-20.
    """
    if kind is not RefusalKind.RATE_LIMIT:
        return Scope.ACCOUNT
    return Scope.KEY if listed else Scope.IP


def window(method: str, units: int = 3) -> tuple[Limit, ...]:
    """Give the window of *method*: limits are "per API method, per API key", and 3 in 100 ms unless it says otherwise.

    Source: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#rate-limits, 2026-11-20.
    """
    return (Limit(method, Scope.KEY, units, per_ms=100),)
