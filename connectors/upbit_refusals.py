"""What a refusal of Upbit means; the only place that reads its error names, texts and HTTP statuses."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Response, Scope, doubt_order, refuse
from connectors.orders import OrderRef
from connectors.outcomes import Status
from connectors.reading import field, text

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
STATUS_KINDS: Mapping[int, RefusalKind] = MappingProxyType(
    {
        # Identifiers too long for one call.  https://www.rfc-editor.org/rfc/rfc9110#section-15.5.15, 2026-11-20
        414: RefusalKind.REFERENCE,
        418: RefusalKind.RATE_LIMIT,
        429: RefusalKind.RATE_LIMIT,
    }
)

# A 418 blocks "the same IP or account", and does not say which of them:
# https://docs.upbit.com/kr/docs/rate-limits, 2026-11-20; elsewhere "temporary IP bans":
# https://global-docs.upbit.com/docs/request-rate-limit, 2026-11-20
BLOCK: Final = "rate_limit_exceeded_penalty"

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


def read_refusal(orders: tuple[OrderRef, ...], response: Response, document: object) -> Answer:
    """Read an answer that lists no orders: by the error's name, else by the HTTP status, else it is uncertain."""
    refusal, unlisted = read_refusal_of_read(response, document)
    if CODES.get(refusal.code or "") is Status.UNKNOWN:
        return doubt_order(orders, refusal.code, refusal.message)
    return refuse(orders, refusal, unlisted)


def read_refusal_of_read(response: Response, document: object) -> tuple[Refusal, str | None]:
    """Read why a call of another kind was refused, and the name that no table knows.

    A refusal whose name speaks of an order is uncertain here: the caller knows what it asked for.
    """
    inner = field(document, "error")
    error = inner if isinstance(inner, dict) else document
    code = _code(field(error, "name"))
    message = text(field(error, "message"))
    if not (code or message):
        message = f"HTTP {response.status} without an error that can be read"
    listed = CODES.get(code or "")
    by_status = RefusalKind.UNCERTAIN if listed else STATUS_KINDS.get(response.status, RefusalKind.UNCERTAIN)
    kind = listed if isinstance(listed, RefusalKind) else by_status
    pause_ms = _pause_ms(message or "", response) if kind is RefusalKind.RATE_LIMIT else None
    blocked = kind is RefusalKind.RATE_LIMIT and (code == BLOCK or response.status == 418)
    refusal = Refusal(kind, code, message, pause_ms, Scope.IP if blocked else Scope.ACCOUNT)
    return refusal, None if listed else code


def _code(name: object) -> str | None:
    """Give an error's *name* in today's spelling: the part after the last ``::``, in snake case."""
    last_part = (text(name) or "").rpartition("::")[2]
    return WORD_STARTS.sub("_", last_part).lower() or None


def _pause_ms(message: str, response: Response) -> int | None:
    """Give the milliseconds that the venue asks to be left alone, or None; of several times, their sum."""
    words_ms = sum(float(number) * UNIT_MS[unit[0]] for number, unit in DURATION.findall(message.lower()))
    return math.ceil(max(words_ms, response.retry_after_ms or 0)) or None
