"""Upbit's protocol; the only place that knows how Upbit signs a cancel and what its answers mean."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import jwt

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, doubt_order, refuse
from connectors.credentials import Credentials
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, parse_json, rows, text
from connectors.venue import Limit, Scope, Venue

# Query only; a body is refused.  https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
PATH: Final = "/v1/orders/uuids"

# One of the two lists, never both.  https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
PARAMETERS: Mapping[IdKind, str] = MappingProxyType(
    {IdKind.ORDER_ID: "uuids[]", IdKind.CLIENT_ORDER_ID: "identifiers[]"}
)

# The page's Python and Node samples sign with HS256, its Java sample with HS512.
# https://docs.upbit.com/kr/reference/cancel-orders-by-ids, 2026-11-20
ALGORITHMS: Final = MappingProxyType({name: jwt.get_algorithm_by_name(name) for name in ("HS256", "HS512")})


# Error names, and HTTP statuses only where no name is known: the pages disagree on 401 and 403.
# https://global-docs.upbit.com/reference/rest-api-guide, 2026-11-20, unless another source stands beside a line.
CODES: Mapping[str, RefusalKind | Status] = MappingProxyType(
    {
        "validation_error": RefusalKind.REFERENCE,
        # https://docs.upbit.com/kr/reference/batch-cancel-orders, 2026-11-20
        "invalid_parameter": RefusalKind.REFERENCE,
        "order_not_found": Status.UNKNOWN,  # filled, canceled, or not this account's: only a read can tell
        # The two that the page of this call shows; the second says that a body was sent.
        # https://docs.upbit.com/kr/reference/cancel-orders-by-ids, 2026-11-20
        "bad_request": RefusalKind.REFERENCE,
        "query_parameter_not_supported": RefusalKind.CALL,
        # Refused before execution, but not a key problem for certain: an identifier that the venue decodes in its own
        # way makes the hashes differ too.  It must stop neither the account (CREDENTIALS) nor be repeated.
        "invalid_query_payload": RefusalKind.CALL,
        "jwt_verification": RefusalKind.CREDENTIALS,
        "invalid_access_key": RefusalKind.CREDENTIALS,
        "no_authorization_token": RefusalKind.CREDENTIALS,
        "expired_access_key": RefusalKind.CREDENTIALS,
        "no_authorization_ip": RefusalKind.CREDENTIALS,
        # https://docs.upbit.com/docs/api-주요-에러-코드-목록, 2026-11-20
        "no_authorization_i_p": RefusalKind.CREDENTIALS,
        "out_of_scope": RefusalKind.CREDENTIALS,  # the key lacks [Make Orders]
        "thirdparty_agreement_required": RefusalKind.CREDENTIALS,  # https://pypi.org/project/ccxt/4.5.90, 2026-11-20
        # The nonce is fresh in every attempt, so that an earlier copy of this very call was received.
        "nonce_used": RefusalKind.UNCERTAIN,
        # https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
        "too_many_requests": RefusalKind.RATE_LIMIT,
        "rate_limit_exceeded_penalty": RefusalKind.RATE_LIMIT,
        # https://docs.upbit.com/kr/reference/cancel-and-new-order, 2026-11-20
        "internal_server_error": RefusalKind.UNCERTAIN,
    }
)

# What a status says by itself.  https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
STATUS_KINDS: Mapping[int, RefusalKind] = MappingProxyType({418: RefusalKind.RATE_LIMIT, 429: RefusalKind.RATE_LIMIT})

# "V1::Exceptions::InvalidQueryPayload", an older spelling.  https://github.com/ccxt/ccxt/issues/6194, 2026-11-20
WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# The time of a block stands in the message.  https://global-docs.upbit.com/docs/request-rate-limit, 2026-11-20
# Its wording is published nowhere, so each "<number> <unit>" counts, in English and in Korean.
DURATION: Final = re.compile(
    r"(?<![0-9.])([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*((?:s(?:ec(?:ond)?s?)?|min(?:ute)?s?|hours?)\b|초|분|시간)"
)
UNIT_MS: Mapping[str, int] = MappingProxyType(  # by the first letter
    {"s": 1000, "m": 60_000, "h": 3_600_000, "초": 1000, "분": 60_000, "시": 3_600_000}
)

# In `success` only, in `failed` only, in both.  The page says "requested": the single cancel answers with an order
# that still waits.  `failed` has no reason: filled, canceled or the market suspended.
# https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
LISTED: Mapping[tuple[bool, bool], tuple[Status, Evidence, str | None]] = MappingProxyType(
    {
        (True, False): (Status.ACCEPTED, Evidence.CANCEL_ANSWER, None),
        (False, True): (Status.UNKNOWN, Evidence.CANCEL_ANSWER, "listed as failed; the venue gives no reason"),
        (True, True): (Status.UNKNOWN, Evidence.CANCEL_ANSWER, "listed both as success and as failed"),
        (False, False): (Status.UNKNOWN, Evidence.NO_ANSWER, "the answer does not name this order"),
    }
)


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None."""
    if order.kind not in PARAMETERS:
        return f"Upbit takes order_id or client_order_id, not {order.kind}"
    if not order.value:
        return f"an empty {order.kind} names no order"
    # Ids are documented as UUIDs, but no rule of their form is: what is no id is the venue's to refuse, and then the
    # call is halved until it stands alone.
    if order.value.encode(errors="replace").decode() != order.value:  # a lone surrogate
        return f"the {order.kind} is not text that UTF-8 can carry"
    return None


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 20 *orders* of one id kind; ``stamp.token`` is the nonce, and no time is signed."""
    pairs = [(PARAMETERS[order.kind], order.value) for order in orders]
    wire = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    # No Origin header: with one, the limit is 1 call per 10 s.
    # https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
    headers = {"Authorization": f"Bearer {_token(pairs, credentials, stamp.token)}", "Accept": "application/json"}
    return Request("DELETE", f"{PATH}?{wire}", headers)


def _token(pairs: Iterable[tuple[str, str]], credentials: Credentials, nonce: str) -> str:
    """Sign the query *pairs*, given decoded and in the order sent, as a JSON Web Token.

    The hash is over the decoded query, even where a value holds ``&``, ``=`` or ``%``; without a query there is
    none.  The secret is used as UTF-8, not decoded from base64.
    Source: https://global-docs.upbit.com/reference/auth, 2026-11-20.
    """
    claims = {"access_key": credentials.api_key, "nonce": nonce}
    query = "&".join(f"{name}={value}" for name, value in pairs)
    if query:
        claims["query_hash"] = hashlib.sha512(query.encode()).hexdigest()
        claims["query_hash_alg"] = "SHA512"
    name = credentials.jwt_algorithm
    signed = f"{_segment({'alg': name, 'typ': 'JWT'})}.{_segment(claims)}"
    # PyJWT's algorithm, but not its encode(): that warns of every secret shorter than the digest, though it is the
    # venue that makes the secret, and looks for a certificate in the secret anew in each call.
    signature = ALGORITHMS[name].sign(signed.encode(), (credentials.api_secret or "").encode())
    return f"{signed}.{_base64url(signature)}"


def _segment(claims: Mapping[str, str]) -> str:
    return _base64url(json.dumps(claims, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    document = parse_json(response.body)
    if not any(isinstance(field(document, part), dict) for part in ("success", "failed")):
        return _read_error(orders, response, document)
    if response.status != 200:
        message = f"HTTP {response.status} with lists of orders"
        return refuse(orders, Refusal(RefusalKind.UNCERTAIN, message=message))
    success, failed = _named(document, "success"), _named(document, "failed")
    return Answer(tuple(_outcome(order, success, failed) for order in orders))


def _named(document: object, part: str) -> dict[tuple[IdKind, str], str | None]:
    """Give each name of the orders in *part* with the order's uuid.  Counts are not read: rows are what counts."""
    named: dict[tuple[IdKind, str], str | None] = {}
    for row in rows(field(field(document, part), "orders")):
        uuid, identifier = identity(field(row, "uuid")), identity(field(row, "identifier"))
        order_id = uuid.lower() if uuid and UUID_FORM.fullmatch(uuid) else None
        if uuid:
            named[IdKind.ORDER_ID, uuid.lower()] = order_id
        if identifier:
            key = (IdKind.CLIENT_ORDER_ID, identifier)
            named[key] = order_id if named.get(key, order_id) == order_id else None
    return named


def _outcome(
    order: OrderRef,
    success: Mapping[tuple[IdKind, str], str | None],
    failed: Mapping[tuple[IdKind, str], str | None],
) -> Outcome:
    key = (order.kind, order.value.lower() if order.kind is IdKind.ORDER_ID else order.value)
    status, evidence, message = LISTED[key in success, key in failed]
    order_ids = {named[key] for named in (success, failed) if key in named}
    return Outcome(order, status, evidence, message=message, order_id=order_ids.pop() if len(order_ids) == 1 else None)


def _read_error(orders: tuple[OrderRef, ...], response: Response, document: object) -> Answer:
    """Read an answer that lists no orders: by the error's name, else by the HTTP status, else it is uncertain."""
    inner = field(document, "error")
    error = inner if isinstance(inner, dict) else document
    code = _code(field(error, "name"))
    message = text(field(error, "message"))
    if not (code or message):
        message = f"HTTP {response.status} without an error that can be read"
    listed = CODES.get(code or "")
    if listed is Status.UNKNOWN:
        return doubt_order(orders, code, message)
    kind = listed if isinstance(listed, RefusalKind) else STATUS_KINDS.get(response.status, RefusalKind.UNCERTAIN)
    pause_ms = _pause_ms(message or "", response) if kind is RefusalKind.RATE_LIMIT else None
    return refuse(orders, Refusal(kind, code, message, pause_ms), unlisted=None if listed else code)


def _code(name: object) -> str | None:
    """Give an error's *name* in today's spelling: the part after the last ``::``, in snake case."""
    last_part = (text(name) or "").rpartition("::")[2]
    return WORD_STARTS.sub("_", last_part).lower() or None


def _pause_ms(message: str, response: Response) -> int | None:
    """Give the milliseconds that the venue asks to be left alone, or None; of several times, their sum."""
    words_ms = sum(float(number) * UNIT_MS[unit[0]] for number, unit in DURATION.findall(message.lower()))
    return math.ceil(max(words_ms, response.retry_after_ms or 0)) or None


# Other countries: https://id-api.upbit.com, https://th-api.upbit.com, and https://api.upbit.com for Korea; accounts
# and keys are of one country.  https://global-docs.upbit.com/reference/rest-api-guide, 2026-11-20
VENUE = Venue(
    name="upbit",
    title="Upbit",
    base_url="https://sg-api.upbit.com",
    id_kinds=tuple(PARAMETERS),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key", "api_secret"}),),
    max_orders_per_call=20,  # https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
    max_in_flight=16,  # ours: the venue publishes none; half of a second's calls
    # Shared with the reads of orders.  https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
    limits=(Limit("default", Scope.ACCOUNT, units=30, per_ms=1000),),
    settling_ms=1000,  # ours: no figure is published from "requested" to canceled
    success_proves="the cancel was requested; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    note="keys are of one country; base_url names it (sg-api, id-api, th-api, or api for Korea)",
)
