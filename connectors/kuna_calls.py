"""What every private call of Kuna shares: how it says who calls, and its limit."""

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Limit, Request, Scope, Stamp
from connectors.credentials import Credentials

ACCEPT: Final = "application/json"
JSON_HEADERS: Mapping[str, str] = MappingProxyType({"accept": "application/json", "Content-Type": "application/json"})


# Ours: undocumented, and so is what counts together.  Half of what a peer allows itself (600 a minute).
# https://github.com/ridicoulous/Kuna.Net, 2026-11-20
LIMIT: Final = Limit("private calls", Scope.KEY, units=5, per_ms=1000)


def build_post(path: str, body: bytes, credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one call with *body*, which goes out as it is."""
    return Request("POST", path, {**JSON_HEADERS, **authorization(path, body, credentials, stamp.now_ms)}, body)


def build_get(target: str, credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one call without a body; *target* is path and query as they go out, and ``{}`` is signed for the body.

    Source: https://docs.kuna.io/v4.0/reference/authorizing-requests, 2026-11-20.
    """
    return Request("GET", target, {"accept": ACCEPT, **authorization(target, b"{}", credentials, stamp.now_ms)})


def authorization(path: str, body: bytes, credentials: Credentials, now_ms: int) -> dict[str, str]:
    """Give the headers of the signed mode, or of the simple one without a public key and a secret."""
    if credentials.public_key is None or credentials.api_secret is None:
        # https://docs.kuna.io/docs/creating-your-api-keys-1, 2026-11-20
        return {"api-key": credentials.api_key}
    nonce = str(now_ms)
    signed = path.encode() + nonce.encode() + body
    signature = hmac.new(credentials.api_secret.encode(), signed, hashlib.sha384).hexdigest()
    return {"public-key": credentials.public_key, "nonce": nonce, "signature": signature}
