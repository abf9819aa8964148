"""What every signed call of Binance shares: how it is put together, what it weighs, and what its headers tell."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote, urlencode

from connectors.binance_signing import sign
from connectors.calls import Limit, Request, Scope, Stamp, Usage
from connectors.credentials import Credentials

# "recommended to use a small recvWindow of 5000 or less":
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#timing-security, 2026-11-20
RECV_WINDOW_MS: Final = 5000

# "REQUEST_WEIGHT", per IP: https://github.com/binance/binance-spot-api-docs/blob/master/enums.md#rate-limiters-ratelimittype
# A cancel weighs 0 when it succeeds but 1 when it fails, which nobody knows before:
# https://github.com/binance/binance-spot-api-docs/blob/master/CHANGELOG.md#2026-03-27, 2026-11-20
# RAW_REQUESTS (61,000 or more in 5 minutes, same pages) cannot bind: 6,000 a minute are 30,000 in 5.
WEIGHT: Final = Limit("request weight", Scope.IP, units=6000, per_ms=60_000, cost=1)
WEIGHT_USED: Final = re.compile("[0-9]{1,9}")


def weighing(weight: int) -> tuple[Limit, ...]:
    """Give the limits of a call of this *weight*; all calls count in one window."""
    return (replace(WEIGHT, cost=weight),)


def build(method: str, path: str, asked: Mapping[str, str], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one call with the parameters *asked*, as of ``stamp.now_ms``."""
    # Percent-encode first, then sign these bytes (else -1022):
    # https://github.com/binance/binance-spot-api-docs/blob/master/CHANGELOG.md#2025-12-17, 2026-11-20
    payload = urlencode({**asked, "recvWindow": RECV_WINDOW_MS, "timestamp": stamp.now_ms}, safe="", quote_via=quote)
    target = f"{path}?{payload}&signature={sign(payload, credentials)}"
    return Request(method, target, {"X-MBX-APIKEY": credentials.api_key})


def read_usage(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    """Read how much of the minute's weight this IP has left, by whomever the rest was used.

    Source: https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits, 2026-11-20.
    """
    used = headers.get("x-mbx-used-weight-1m", "").strip()
    if WEIGHT_USED.fullmatch(used) is None:
        return ()
    return (Usage(WEIGHT.name, WEIGHT.per_ms, max(0, WEIGHT.units - int(used))),)
