"""What a refusal of Binance means; the only place that reads its error codes, texts and HTTP statuses."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Response, Scope, refuse
from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, text

# https://github.com/binance/binance-spot-api-docs/blob/master/errors.md, 2026-11-20
CODES: Final[Mapping[str, RefusalKind | Status]] = MappingProxyType(
    {
        "-1000": RefusalKind.UNCERTAIN,  # unknown error
        "-1001": RefusalKind.UNCERTAIN,  # "try again", but not that nothing was done
        "-1002": RefusalKind.CREDENTIALS,
        "-1003": RefusalKind.RATE_LIMIT,
        "-1006": RefusalKind.UNCERTAIN,  # "execution status unknown"
        "-1007": RefusalKind.UNCERTAIN,  # "execution status unknown"
        "-1008": RefusalKind.UNAVAILABLE,
        "-1010": Status.UNKNOWN,  # the text decides
        "-1013": RefusalKind.CALL,  # "didn't reach the Matching Engine"
        "-1016": RefusalKind.UNAVAILABLE,
        "-1020": RefusalKind.CALL,
        "-1021": RefusalKind.CLOCK,
        "-1022": RefusalKind.CREDENTIALS,
        "-1034": RefusalKind.RATE_LIMIT,
        "-1100": RefusalKind.CALL,
        "-1101": RefusalKind.CALL,
        "-1102": RefusalKind.CALL,
        "-1103": RefusalKind.CALL,
        "-1104": RefusalKind.CALL,
        "-1105": RefusalKind.CALL,
        "-1106": RefusalKind.CALL,
        "-1108": RefusalKind.CALL,
        "-1121": RefusalKind.CALL,  # no such symbol
        "-1128": RefusalKind.CALL,
        "-1130": RefusalKind.CALL,
        "-1145": RefusalKind.CALL,
        "-2008": RefusalKind.CREDENTIALS,  # ccxt 4.5.90 alone lists it: https://pypi.org/project/ccxt, 2026-11-20
        "-2010": Status.UNKNOWN,  # the text decides
        "-2011": Status.UNKNOWN,  # the text decides
        "-2013": Status.UNKNOWN,  # documented for queries; not found here is not proof
        "-2014": RefusalKind.CREDENTIALS,
        "-2015": RefusalKind.CREDENTIALS,
        "-2026": Status.UNKNOWN,  # documented for queries; archived here is not proof
        "-2039": RefusalKind.CALL,  # the two ids do not belong together
    }
)

# The engine's codes mean what their text says:
# https://github.com/binance/binance-spot-api-docs/blob/master/errors.md#other-errors, 2026-11-20
ENGINE: Final = frozenset({"-1010", "-2010", "-2011"})
TEXTS: Final[Mapping[str, RefusalKind | Status]] = MappingProxyType(
    {
        "Unknown order sent.": Status.UNKNOWN,  # filled, canceled, expired or never there
        # https://github.com/sammchardy/python-binance/issues/1221, 2026-11-20
        "Unknown order list sent.": Status.UNKNOWN,
        "Order was not canceled due to cancel restrictions.": Status.REJECTED,
        "Market is closed.": RefusalKind.MARKET_CLOSED,  # "The symbol is not trading."
        # answered a cancel, and passed: https://github.com/sonvister/Binance/issues/66, 2026-11-20
        "Rest API trading is not enabled.": RefusalKind.UNAVAILABLE,
        "This account may not place or cancel orders.": RefusalKind.CREDENTIALS,
        "This action is disabled on this account.": RefusalKind.CREDENTIALS,
        "Cancel order is invalid. Check origClOrdId and orderId.": RefusalKind.CALL,
    }
)

# For answers without a listed code: https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#http-return-codes
# and https://dev.binance.vision/t/how-to-deal-with-http-status-code-at-binance-api/712, 2026-11-20
HTTP: Final[Mapping[int, RefusalKind]] = MappingProxyType(
    {
        403: RefusalKind.RATE_LIMIT,  # stopped by the firewall, before Binance; what follows when 418 is not heeded
        418: RefusalKind.RATE_LIMIT,
        429: RefusalKind.RATE_LIMIT,
        451: RefusalKind.CREDENTIALS,  # this IP is in a restricted location
    }
)

# "The limits on the API are based on the IPs, not the API keys", and so are the firewall and the list of locations:
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits, 2026-11-20
PER_IP: Final = frozenset({403, 418, 429, 451})

# "from 2 minutes to 3 days", in seconds, in a header or as the time of its end:
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits, 2026-11-20
SHORTEST_BAN_MS: Final = 120_000
BANNED_UNTIL: Final = re.compile(r"\bbanned until ([0-9]{13})\b", re.IGNORECASE)


def read_refusal(orders: tuple[OrderRef, ...], response: Response, document: object) -> Answer:
    """Read a refusal: code and text first, then the HTTP status.  *document* is the body's JSON, if it is any."""
    meaning, refusal, unlisted = _judge(response, document)
    if isinstance(meaning, RefusalKind):
        return refuse(orders, refusal, unlisted)
    # The call carries one order, so that the refusal speaks of that one.
    code, message = refusal.code, text(field(document, "msg"))
    outcomes = tuple(Outcome(order, meaning, Evidence.CANCEL_ANSWER, code, message) for order in orders)
    return Answer(outcomes, unlisted=unlisted)


def read_refusal_of_read(response: Response, document: object) -> tuple[Refusal, str | None]:
    """Read why a call of another kind was refused, and the code that no table knows."""
    _, refusal, unlisted = _judge(response, document)
    return refusal, unlisted


def _judge(response: Response, document: object) -> tuple[RefusalKind | Status, Refusal, str | None]:
    """Give what a refusal means, the refusal itself (uncertain if it speaks of an order), and an unlisted code."""
    code, message = text(field(document, "code")), text(field(document, "msg"))
    meaning = _meaning(code, message) or HTTP.get(response.status, RefusalKind.UNCERTAIN)
    if response.status >= 500:
        # Whatever the code, "the execution status is UNKNOWN and could have been a success":
        # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#http-return-codes, 2026-11-20
        meaning = RefusalKind.UNCERTAIN
    kind = meaning if isinstance(meaning, RefusalKind) else RefusalKind.UNCERTAIN
    told = message or f"HTTP {response.status}, and nothing of Binance that can be read"
    refusal = Refusal(kind, code, told, _pause_ms(response, message), _scope(kind, response))
    return meaning, refusal, _unlisted(code, message)


def _meaning(code: str | None, message: str | None) -> RefusalKind | Status | None:
    by_text = TEXTS.get(message or "") if code in ENGINE else None
    return by_text or CODES.get(code or "")


def _unlisted(code: str | None, message: str | None) -> str | None:
    if code in ENGINE:
        return None if message in TEXTS else f"{code} {message}"
    return None if code in CODES else code


def _scope(kind: RefusalKind, response: Response) -> Scope:
    """Say who has to wait: limits are the IP's, and everything else concerns this account."""
    return Scope.IP if kind is RefusalKind.RATE_LIMIT or response.status in PER_IP else Scope.ACCOUNT


def _pause_ms(response: Response, message: str | None) -> int | None:
    """Give how long Binance asks to be left alone: the longer of its header and its text, which names an end.

    A ban whose end cannot be told takes the shortest time that Binance bans for.
    """
    banned, now_ms = BANNED_UNTIL.search(message or ""), _date_ms(response)
    told_ms = [response.retry_after_ms] if response.retry_after_ms is not None else []
    if banned is not None and now_ms is not None:
        told_ms.append(max(0, int(banned[1]) - now_ms))
    if told_ms:
        return max(told_ms)
    return SHORTEST_BAN_MS if banned is not None or response.status == 418 else None


def _date_ms(response: Response) -> int | None:
    """Give the time at which the answer says it was made, in whole seconds but as milliseconds."""
    try:
        made = datetime.strptime(response.headers.get("date", ""), "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(made.timestamp()) * 1000
