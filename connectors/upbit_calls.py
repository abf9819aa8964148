"""What every call of Upbit shares: its token, its limit, and what its headers tell of that."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import jwt

from connectors.calls import Limit, Request, Scope, Stamp, Usage
from connectors.credentials import Credentials
from connectors.orders import IdKind

# One of the two lists, never both.  https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
PARAMETERS: Mapping[IdKind, str] = MappingProxyType(
    {IdKind.ORDER_ID: "uuids[]", IdKind.CLIENT_ORDER_ID: "identifiers[]"}
)

# The page's Python and Node samples sign with HS256, its Java sample with HS512.
# https://docs.upbit.com/kr/reference/cancel-orders-by-ids, 2026-11-20
ALGORITHMS: Final = MappingProxyType({name: jwt.get_algorithm_by_name(name) for name in ("HS256", "HS512")})

# Shared with the reads of orders.  https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
LIMIT: Final = Limit("default", Scope.ACCOUNT, units=30, per_ms=1000)

# "Remaining-Req: group=default; min=1800; sec=29"; `min` is a fixed value now.
# https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
REMAINING: Final = re.compile(r"\s*group=default\s*;(?:.*;)?\s*sec=([0-9]{1,6})\s*(?:;.*)?")


def build(method: str, path: str, pairs: Sequence[tuple[str, str]], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one call with the query *pairs*; ``stamp.token`` is the nonce, and no time is signed."""
    wire = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    # No Origin header: with one, the limit is 1 call per 10 s.
    # https://global-docs.upbit.com/reference/rate-limits, 2026-11-20
    headers = {"Authorization": f"Bearer {sign(pairs, credentials, stamp.token)}", "Accept": "application/json"}
    return Request(method, f"{path}?{wire}", headers)


def sign(pairs: Sequence[tuple[str, str]], credentials: Credentials, nonce: str) -> str:
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


def read_usage(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    """Read how many calls of the group that cancels and reads share are left of this second."""
    remaining = REMAINING.fullmatch(headers.get("remaining-req", ""))
    return (Usage(LIMIT.name, LIMIT.per_ms, int(remaining[1])),) if remaining else ()
