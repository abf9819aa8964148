"""WEEX's calls as pure functions; the only place that knows its signature, its codes and its limits."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.calls import Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.outcomes import Status
from connectors.reading import field, parse_json, text
from connectors.weex_api import SUCCESS_CODES, V2

API: Final = V2  # the one place to name another version

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


def build_call(
    method: str, target: str, document: dict[str, object] | None, credentials: Credentials, stamp: Stamp
) -> Request:
    """Sign one call of *target*, which has its query in it; *document* is the body, or None for none."""
    body = json.dumps(document, separators=(",", ":")).encode() if document is not None else b""
    timestamp = str(stamp.now_ms)
    headers = {
        "ACCESS-KEY": credentials.api_key,
        "ACCESS-SIGN": signature(f"{timestamp}{method}{target}", body, credentials.api_secret or ""),
        "ACCESS-PASSPHRASE": credentials.passphrase or "",
        "ACCESS-TIMESTAMP": timestamp,
        "Content-Type": "application/json",
        "locale": "en-US",  # messages come in this language, and SYSTEM_ERRORS reads them
    }
    return Request(method, target, headers, body)


def signature(prefix: str, body: bytes, secret: str) -> str:
    """Sign timestamp, method, path with its query (together *prefix*) and the very bytes of the body.

    Source: https://www.weex.com/api-doc/ai/QuickStart/Signature, 2026-11-20.
    """
    return base64.b64encode(hmac.new(secret.encode(), prefix.encode() + body, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says as a whole.

    ``payload`` is what it carries, ``bare`` or wrapped in "data"; ``welcome`` that neither its status nor a code speaks
    against it.  ``error`` is the table's word for its code and message, if it has one.
    """

    payload: object
    bare: bool
    welcome: bool
    code: str | None
    message: str | None
    error: RefusalKind | Status | None


def read_call(response: Response) -> Said:
    """Read the frame of an answer: its code, and the message of 40015.  Never raises."""
    document = parse_json(response.body)
    given, data = field(document, "code"), field(document, "data")
    code = text(given)
    message = text(field(document, "msg")) or text(field(document, "message"))
    welcome = 200 <= response.status < 300 and (given is None or code in SUCCESS_CODES)
    error = CODES.get(code or "")
    if code == "40015":
        error = next((kind for start, kind in SYSTEM_ERRORS.items() if (message or "").startswith(start)), error)
    return Said(document if data is None else data, data is None, welcome, code, message, error)


def refusal_of(response: Response, said: Said) -> tuple[Refusal, str | None]:
    """Say why a call failed as a whole, by the table, else by the HTTP status; and the code if no table has it."""
    message = said.message or f"HTTP {response.status} without an error that can be read"
    kind = said.error if isinstance(said.error, RefusalKind) else _status_kind(response)
    pause_ms = max(response.retry_after_ms or 0, RATE_LIMIT_PAUSE_MS) if kind is RefusalKind.RATE_LIMIT else None
    refusal = Refusal(kind, said.code, message, pause_ms, _scope(kind, said.error is not None))
    return refusal, None if said.error else said.code


def _status_kind(response: Response) -> RefusalKind:
    """Classify by the HTTP status.  A page that is not JSON comes from something before the venue."""
    if response.status == 429:
        return RefusalKind.RATE_LIMIT
    is_the_venues = isinstance(parse_json(response.body), dict)
    return STATUS_KINDS.get(response.status, RefusalKind.UNCERTAIN) if is_the_venues else RefusalKind.UNCERTAIN


def _scope(kind: RefusalKind, listed: bool) -> Scope:
    """Say who has to wait.  The venue's 429 does not tell which budget is spent; that of calls is of the account.

    A 429 without a code that is listed comes from something before the venue, which knows no accounts.
    Source: https://www.weex.com/api-doc/contract/QuickStart/LIMITS, 2026-11-20.
    """
    return Scope.IP if kind is RefusalKind.RATE_LIMIT and not listed else Scope.ACCOUNT


# The pages disagree tenfold; these numbers keep within each of them.
CANCEL_CALLS: Final = (
    # 10 a second for "Cancel Order": https://www.wbacxsx.site/api-doc/ai/QuickStart/LIMITS, 2026-11-20
    Limit("cancel calls a second", Scope.ACCOUNT, units=4, per_ms=1000),
    # 50 a minute: https://stg-www.weex.tech/api-doc/contract/apifaq, 2026-11-20
    Limit("cancel calls a minute", Scope.ACCOUNT, units=45, per_ms=60_000),
)


def weights(uid: int, ip: int) -> tuple[Limit, ...]:
    """Give the two budgets of weight, which every call counts in: 500 (or 1000) in 10 s for each of UID and IP.

    Source: https://www.wx26m0.info/api-doc/ai/QuickStart/LIMITS, 2026-11-20.
    """
    return (
        Limit("UID weight", Scope.ACCOUNT, units=500, per_ms=10_000, cost=uid),
        Limit("IP weight", Scope.IP, units=500, per_ms=10_000, cost=ip),
    )
