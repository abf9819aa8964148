"""What a refusal of Kuna means; the only place that reads its error names, texts and HTTP statuses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from connectors.calls import Refusal, RefusalKind, Response, Scope
from connectors.reading import field, rows, text

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

# An order of the call has ended already.
ENDED: re.Pattern[str] = re.compile(r"status \w+ can['\u2019]t be cancell?ed", re.IGNORECASE)

# The first pattern found in the message decides, whatever the code: the page gives one code for several events.
# https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20
MESSAGES: tuple[tuple[re.Pattern[str], RefusalKind], ...] = (
    # The page says both that the other orders are still closed and that the call fails (400), and names no order.
    (ENDED, RefusalKind.UNCERTAIN),
    (re.compile(r"each value in orderIds must be a UUID\b", re.IGNORECASE), RefusalKind.REFERENCE),
    # An HTTP 500 that must not be repeated.  The whole message: "invalid JSON from X" would be the venue's own trouble.
    (re.compile(r"\AInvalid JSON\W*\Z", re.IGNORECASE), RefusalKind.CALL),
)

# An order that the venue does not know, and a path that it does not know, which comes in the same names.
# https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20; the words of the path are those of NestJS, ours to suppose.
NOT_FOUND: frozenset[str] = frozenset({"NOT_FOUND", "2003"})
NO_PATH: re.Pattern[str] = re.compile(r"\A\W*cannot\b", re.IGNORECASE)

# What a status says by itself; nothing was executed.  The venue documents neither a rate limit nor its code.
# https://www.rfc-editor.org/rfc/rfc9110#section-15.5 and https://www.rfc-editor.org/rfc/rfc6585#section-4, 2026-11-20
STATUS_KINDS: Mapping[str, RefusalKind] = MappingProxyType(
    {"401": RefusalKind.CREDENTIALS, "403": RefusalKind.CREDENTIALS, "429": RefusalKind.RATE_LIMIT}
)


@dataclass(frozen=True, slots=True)
class Error:
    """One error of an answer: its names, the most telling first, and its words."""

    codes: tuple[str, ...]
    message: str | None


def errors_of(document: object) -> list[Error]:
    """Give the errors of an answer, at any HTTP status: in ``errors``, in ``error``, or the answer itself.

    The page documents codes and messages but no envelope; the first two come from peers, the third is our guess.
    Source: https://pypi.org/project/ccxt/4.4.80 and https://github.com/ridicoulous/Kuna.Net, 2026-11-20.
    """
    single = field(document, "error")
    found = [*rows(field(document, "errors")), *([single] if isinstance(single, dict) else [])]
    signs = (field(document, key) for key in ("errors", "error", "code", "message", "statusCode"))
    if not found and any(sign not in (None, []) for sign in signs):
        found = [document]
    return [error_of(one) for one in found]


def says_not_found(errors: list[Error]) -> bool:
    """Tell whether *errors* say that the order asked for is not known, and nothing else."""
    return bool(errors) and all(map(_knows_no_order, errors))


def error_of(error: object) -> Error:
    """Read one error, wherever it stands."""
    names = (
        field(field(error, "extensions"), "code"),
        field(error, "code"),
        field(error, "error"),
        field(error, "statusCode"),
    )
    codes = tuple(dict.fromkeys(name for name in map(text, names) if name))
    message = field(error, "message")
    if isinstance(message, list):  # one sentence for each field that was refused
        return Error(codes, text("; ".join(part for part in map(text, message) if part)))
    return Error(codes, text(message) or text(error))


def refusal_of(errors: list[Error], response: Response) -> tuple[Refusal, str | None]:
    """Read a call without results: its refusal, and the code that no table knows."""
    error = errors[0] if errors else Error((), None)
    kinds = {_kind(each, response.status) for each in errors} or {_status_kind(response.status)}
    kind = next(iter(kinds)) if len(kinds) == 1 else RefusalKind.UNCERTAIN
    code = next((name for name in error.codes if name in CODES), next(iter(error.codes), None))
    message = error.message or f"HTTP {response.status} without an error that can be read"
    pause_ms = response.retry_after_ms if kind is RefusalKind.RATE_LIMIT else None
    known = code in CODES or code in STATUS_KINDS or _message_kind(error) is not None
    # Ours: what Kuna counts by is not documented.  A 429 without its words is Cloudflare's, which stands in front of it
    # (https://github.com/ccxt/ccxt/pull/19391, 2026-11-20) and knows addresses, not keys.
    gateway = kind is RefusalKind.RATE_LIMIT and not errors
    served = bool(errors) and all(ENDED.search(each.message or "") or _knows_no_order(each) for each in errors)
    scope = Scope.IP if gateway else Scope.KEY
    return Refusal(kind, code, message, pause_ms, scope, served), None if known else code


def _knows_no_order(error: Error) -> bool:
    return bool(NOT_FOUND & set(error.codes)) and NO_PATH.search(error.message or "") is None


def _kind(error: Error, status: int) -> RefusalKind:
    """Classify one error: by its message, then by its code, then by the statuses it comes with."""
    said = _message_kind(error)
    if said is not None:
        return said
    listed = {CODES[code] for code in error.codes if code in CODES}
    if listed:
        return listed.pop() if len(listed) == 1 else RefusalKind.UNCERTAIN
    statuses = (*error.codes, str(status))
    return next((STATUS_KINDS[name] for name in statuses if name in STATUS_KINDS), RefusalKind.UNCERTAIN)


def _message_kind(error: Error) -> RefusalKind | None:
    return next((kind for pattern, kind in MESSAGES if pattern.search(error.message or "")), None)


def _status_kind(status: int) -> RefusalKind:
    """Classify an answer without an error that can be read, such as Cloudflare's pages.

    Its 403 (https://github.com/ccxt/ccxt/pull/19391, 2026-11-20) says nothing of the account's keys.
    """
    return RefusalKind.RATE_LIMIT if status == 429 else RefusalKind.UNCERTAIN
