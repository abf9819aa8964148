"""Kuna v4's protocol; the only place that knows how Kuna signs a cancel and what its answers mean."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, identity, parse_json, rows, text
from connectors.venue import Limit, Scope, Venue

# A newer page's sample posts to the path without /multi, which cancels one order and takes no list.
# https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20
PATH: Final = "/v4/order/private/cancel/multi"

# https://docs.kuna.io/docs/cancel-multiple-orders ("UUID format"), 2026-11-20

JSON_HEADERS: Mapping[str, str] = MappingProxyType({"accept": "application/json", "Content-Type": "application/json"})

# https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20, unless another source stands
# beside a line.  BAD_REQUEST and the two names of HTTP 500 stand for several things: MESSAGES tells them apart.
CODES: Mapping[str, RefusalKind] = MappingProxyType(
    {
        "BAD_REQUEST": RefusalKind.UNCERTAIN,
        "Internal Server Error": RefusalKind.UNCERTAIN,
        "WrongRequestException": RefusalKind.UNCERTAIN,
        # https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20.  An order that the venue does not know: what
        # became of the others in the call is said nowhere.
        "NOT_FOUND": RefusalKind.UNCERTAIN,
        "2003": RefusalKind.UNCERTAIN,
        "ARGUMENT_VALIDATION_ERROR": RefusalKind.REFERENCE,
        "IP_NOT_IN_WHITE_LIST": RefusalKind.CREDENTIALS,
    }
)

# The first pattern found in the message decides, whatever the code: the page gives one code for several events.
# https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20
MESSAGES: tuple[tuple[re.Pattern[str], RefusalKind], ...] = (
    # The page says both that the other orders are still closed and that the call fails (400), and names no order.
    (re.compile(r"status \w+ can['\u2019]t be cancell?ed", re.IGNORECASE), RefusalKind.UNCERTAIN),
    (re.compile(r"each value in orderIds must be a UUID\b", re.IGNORECASE), RefusalKind.REFERENCE),
    # An HTTP 500 that must not be repeated.  The whole message: "invalid JSON from X" would be the venue's own trouble.
    (re.compile(r"\AInvalid JSON\W*\Z", re.IGNORECASE), RefusalKind.CALL),
)

# What a status says by itself; nothing was executed.  The venue documents neither a rate limit nor its code.
# https://www.rfc-editor.org/rfc/rfc9110#section-15.5 and https://www.rfc-editor.org/rfc/rfc6585#section-4, 2026-11-20
STATUS_KINDS: Mapping[str, RefusalKind] = MappingProxyType(
    {"401": RefusalKind.CREDENTIALS, "403": RefusalKind.CREDENTIALS, "429": RefusalKind.RATE_LIMIT}
)


@dataclass(frozen=True, slots=True)
class _Error:
    """One error of an answer: its names, the most telling first, and its words."""

    codes: tuple[str, ...]
    message: str | None


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None."""
    if order.kind is not IdKind.ORDER_ID:  # v4 has no client ids.  https://docs.kuna.io/docs/cancel-multiple-orders
        return f"Kuna takes order_id, not {order.kind}"
    # A malformed id can spoil a call for the others, so that it never leaves the house.
    if not UUID_FORM.fullmatch(order.value):
        return "an order_id of Kuna is a UUID of 36 characters"
    return None


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 20 *orders*; with an api_key alone, send that key instead of a signature.

    Ids go out in lower case, each once.  The signature is of path, nonce and the very bytes of the body.
    Source: https://docs.kuna.io/v4.0/reference/authorizing-requests, 2026-11-20.
    """
    ids = dict.fromkeys(order.value.lower() for order in orders)
    body = json.dumps({"orderIds": list(ids)}, separators=(",", ":")).encode()
    return Request("POST", PATH, {**JSON_HEADERS, **_authorization(PATH, body, credentials, stamp.now_ms)}, body)


def _authorization(path: str, body: bytes, credentials: Credentials, now_ms: int) -> dict[str, str]:
    """Give the headers of the signed mode, or of the simple one without a public key and a secret."""
    if credentials.public_key is None or credentials.api_secret is None:
        # https://docs.kuna.io/docs/creating-your-api-keys-1, 2026-11-20
        return {"api-key": credentials.api_key}
    nonce = str(now_ms)
    signed = path.encode() + nonce.encode() + body
    signature = hmac.new(credentials.api_secret.encode(), signed, hashlib.sha384).hexdigest()
    return {"public-key": credentials.public_key, "nonce": nonce, "signature": signature}


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    document = parse_json(response.body)
    errors, results = _errors(document), _results(document)
    if not errors and results is not None and 200 <= response.status < 300:
        return Answer(tuple(_outcome(order, results) for order in orders))
    refusal, unlisted = _refusal(errors, response)
    if results:  # orders named in a refused call: it contradicts itself, and only a read can tell
        refusal = replace(refusal, kind=RefusalKind.UNCERTAIN, pause_ms=None)
    return refuse(orders, refusal, unlisted)


def _results(document: object) -> dict[str, list[object]] | None:
    """Give all rows of each id named, in lower case; None if the answer has no list of results.

    The list is bare in the documentation and under ``data`` in the prose and in peers; a row's id is ``id`` or
    ``orderId``.  Ids are compared as text: the page's own example shows one that is no UUID.
    Source: https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20.
    """
    listed = document if isinstance(document, list) else field(document, "data")
    if not isinstance(listed, list):
        return None
    results: dict[str, list[object]] = {}
    for row in rows(listed):
        names = {name.lower() for key in ("id", "orderId") if (name := identity(field(row, key)))}
        for name in names:
            results.setdefault(name, []).append(row if len(names) == 1 else None)
    return results


def _outcome(order: OrderRef, results: Mapping[str, list[object]]) -> Outcome:
    """Read the rows of one order.  True says that the request was taken; only a read can show the order gone."""
    named = results.get(order.value.lower())
    if named is None:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    doubtful = [row for row in named if field(row, "success") is not True]
    if not doubtful:
        return Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ANSWER)
    error = _error(doubtful[0])
    code, message = next(iter(error.codes), None), error.message or "the answer names this order without success"
    return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, code, message)


def _errors(document: object) -> list[_Error]:
    """Give the errors of an answer, at any HTTP status: in ``errors``, in ``error``, or the answer itself.

    The page documents codes and messages but no envelope; the first two come from peers, the third is our guess.
    Source: https://pypi.org/project/ccxt/4.4.80 and https://github.com/ridicoulous/Kuna.Net, 2026-11-20.
    """
    single = field(document, "error")
    found = [*rows(field(document, "errors")), *([single] if isinstance(single, dict) else [])]
    signs = (field(document, key) for key in ("errors", "error", "code", "message", "statusCode"))
    if not found and any(sign not in (None, []) for sign in signs):
        found = [document]
    return [_error(one) for one in found]


def _error(error: object) -> _Error:
    names = (
        field(field(error, "extensions"), "code"),
        field(error, "code"),
        field(error, "error"),
        field(error, "statusCode"),
    )
    codes = tuple(dict.fromkeys(name for name in map(text, names) if name))
    message = field(error, "message")
    if isinstance(message, list):  # one sentence for each field that was refused
        return _Error(codes, text("; ".join(part for part in map(text, message) if part)))
    return _Error(codes, text(message) or text(error))


def _refusal(errors: list[_Error], response: Response) -> tuple[Refusal, str | None]:
    """Read a call without results: its refusal, and the code that no table knows."""
    error = errors[0] if errors else _Error((), None)
    kinds = {_kind(each, response.status) for each in errors} or {_status_kind(response.status)}
    kind = next(iter(kinds)) if len(kinds) == 1 else RefusalKind.UNCERTAIN
    code = next((name for name in error.codes if name in CODES), next(iter(error.codes), None))
    message = error.message or f"HTTP {response.status} without an error that can be read"
    pause_ms = response.retry_after_ms if kind is RefusalKind.RATE_LIMIT else None
    known = code in CODES or code in STATUS_KINDS or _message_kind(error) is not None
    return Refusal(kind, code, message, pause_ms), None if known else code


def _kind(error: _Error, status: int) -> RefusalKind:
    """Classify one error: by its message, then by its code, then by the statuses it comes with."""
    said = _message_kind(error)
    if said is not None:
        return said
    listed = {CODES[code] for code in error.codes if code in CODES}
    if listed:
        return listed.pop() if len(listed) == 1 else RefusalKind.UNCERTAIN
    statuses = (*error.codes, str(status))
    return next((STATUS_KINDS[name] for name in statuses if name in STATUS_KINDS), RefusalKind.UNCERTAIN)


def _message_kind(error: _Error) -> RefusalKind | None:
    return next((kind for pattern, kind in MESSAGES if pattern.search(error.message or "")), None)


def _status_kind(status: int) -> RefusalKind:
    """Classify an answer without an error that can be read, such as Cloudflare's pages.

    Its 403 (https://github.com/ccxt/ccxt/pull/19391, 2026-11-20) says nothing of the account's keys.
    """
    return RefusalKind.RATE_LIMIT if status == 429 else RefusalKind.UNCERTAIN


def _read_clock(response: Response) -> int | None:
    """Read the venue's time, in milliseconds since the epoch; the name is spelled as the venue spells it.

    Source: https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20.
    """
    now_ms = field(field(parse_json(response.body), "data"), "timestamp_miliseconds")
    return epoch_ms(now_ms) if response.status == 200 else None


VENUE = Venue(
    name="kuna",
    title="Kuna",
    base_url="https://api.kuna.io",  # https://docs.kuna.io/docs/general-api-information-1, 2026-11-20
    id_kinds=(IdKind.ORDER_ID,),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key"}), frozenset({"api_key", "public_key", "api_secret"})),
    # Ours: undocumented.  Lists end at 100, but one bad id can spoil a call for all of it.
    # https://docs.kuna.io/docs/get-active-client-orders-private, 2026-11-20
    max_orders_per_call=20,
    max_in_flight=5,  # ours: one second's calls
    # Ours: undocumented.  Half of what a peer allows itself (600 a minute).
    # https://github.com/ridicoulous/Kuna.Net, 2026-11-20
    limits=(Limit("private calls", Scope.KEY, units=5, per_ms=1000),),
    settling_ms=3000,  # ours: no figure is published from "success" to canceled
    success_proves="the request was accepted; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20
    clock_request=Request("GET", "/v4/public/timestamp", {"accept": "application/json"}),
    read_clock=_read_clock,
    # https://github.com/ccxt/ccxt/pull/26040 and https://github.com/knowm/XChange/pull/5236, 2026-11-20
    note="closed since 2025: built and tested against its documentation only",
)
