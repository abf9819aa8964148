"""Checks who calls Binance: key, signature and timestamp; the only place that verifies its three kinds of key.

Facts: https://github.com/binance/binance-spot-api-docs (rest-api.md, errors.md; snapshot 2026-07-21), read 2026-11-20.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from simulator.accounts import Account
from simulator.http import Request
from simulator.venue import DeniedError, Reply

AHEAD_MS: Final = 1000  # timestamp < serverTime + 1000, and serverTime - timestamp <= recvWindow
DEFAULT_RECV_WINDOW_MS: Final = "5000"
MAX_RECV_WINDOW_MS: Final = 60_000

Params = Mapping[str, str]


def authenticate(request: Request, accounts: Mapping[str, Account], venue_ms: int) -> Account:
    """Check the key, the signature over query and body without a separator, and the timestamp's window."""
    api_key = request.headers.get("x-mbx-apikey", "")
    if not api_key:
        raise DeniedError(error(-2014, "API-key format invalid.", 401))
    account = accounts.get(api_key)
    if account is None:
        raise DeniedError(error(-2015, "Invalid API-key, IP, or permissions for action.", 401))
    params = read_params(request)
    if params is None:
        raise DeniedError(error(-1101, "Duplicate values for a parameter detected."), account)
    if not params.get("timestamp"):
        raise DeniedError(missing("timestamp"), account)
    if not params.get("signature"):
        raise DeniedError(missing("signature"), account)
    payload, _, signature = f"{request.query}{request.body.decode('latin-1')}".rpartition("&signature=")
    if not _signed_by(account, payload.encode("latin-1"), unquote(signature)):
        raise DeniedError(error(-1022, "Signature for this request is not valid."), account)
    wrong = _wrong_time(params, venue_ms)
    if wrong is not None:
        raise DeniedError(wrong, account)
    return account


def read_params(request: Request) -> Params | None:
    """Read query and body; the query wins where both name a parameter. None if one of them names it twice."""
    query = _pairs(request.query)
    body = _pairs(request.body.decode("latin-1")) if request.body else {}
    return None if query is None or body is None else {**body, **query}


def _pairs(text: str) -> dict[str, str] | None:
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    params = {name: unquote(value) if "%" in value else value for name, _, value in pairs}
    return params if len(params) == len(pairs) else None


def _signed_by(account: Account, payload: bytes, signature: str) -> bool:
    key = account.verifier
    if key is None:
        expected = hmac.digest(account.secret_bytes, payload, "sha256").hex()
        return hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace"))
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, payload)
        elif isinstance(key, RSAPublicKey):
            key.verify(raw, payload, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _wrong_time(params: Params, venue_ms: int) -> Reply | None:
    timestamp, window = params["timestamp"], params.get("recvWindow", DEFAULT_RECV_WINDOW_MS)
    if not is_number(timestamp):
        return illegal("timestamp")
    if not is_number(window.replace(".", "", 1)) or float(window) > MAX_RECV_WINDOW_MS:
        return error(-1130, "Data sent for parameter 'recvWindow' is not valid.")
    sent_ms = int(timestamp) / 1000 if len(timestamp) >= 16 else int(timestamp)  # microseconds are taken as well
    if sent_ms >= venue_ms + AHEAD_MS:
        return error(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if venue_ms - sent_ms > float(window):
        return error(-1021, "Timestamp for this request is outside of the recvWindow.")
    return None


def is_number(text: str) -> bool:
    """Say whether *text* is a whole number as Binance takes them."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def error(code: int, message: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Word a refusal."""
    return Reply(status, {"code": code, "msg": message}, headers)


def missing(name: str) -> Reply:
    """Refuse a call that lacks a parameter."""
    return error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str) -> Reply:
    """Refuse a parameter that is not a number."""
    return error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
