"""Callers of the five venues, written from the documentation apart from simulator and connectors alike."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import jwt

from simulator.control import Control

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sent:
    """One request, ready for the wire."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Got:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Caller:
    """Makes signed requests for one account."""

    def __init__(self, url: str, account: str) -> None:
        self.url = url
        self.control = Control(url)
        self.account = account
        found = next(each for each in self.control.accounts() if each["name"] == account)
        self.venue: str = found["venue"]
        self.root: str = found["root"]
        self.keys: dict[str, str] = found["keys"]

    def send(self, sent: Sent) -> Got:
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)) as connection:
            connection.request(sent.method, self.root + sent.target, sent.body or None, dict(sent.headers))
            response = connection.getresponse()
            return Got(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def cancel(self, *ids: str, **more: Any) -> Got:
        return self.send(SIGNERS[self.venue](self, *ids, **more))

    def states(self) -> dict[str, str]:
        return {order["order_id"]: order["state"] for order in self.control.book(self.account)}


def crypto_com(
    caller: Caller,
    *ids: str,
    method: str = "private/cancel-order-list",
    params: dict[str, Any] | None = None,
    nonce: Any = None,
    number: Any = None,
    secret: str | None = None,
    by: str = "order_id",
) -> Sent:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "".join(key + text(value[key]) for key in sorted(value))
        if isinstance(value, list):
            return "".join(map(text, value))
        return "null" if value is None else str(value)

    params = {"contingency_type": "LIST", "order_list": [{by: each} for each in ids]} if params is None else params
    number = next(_numbers) if number is None else number
    nonce = now_ms() if nonce is None else nonce
    key = (secret or caller.keys["api_secret"]).encode()
    signed = f"{method}{number}{caller.keys['api_key']}{text(params)}{nonce}"
    sig = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    document = {
        "id": number,
        "method": method,
        "api_key": caller.keys["api_key"],
        "params": params,
        "nonce": nonce,
        "sig": sig,
    }
    return Sent("POST", f"/{method}", {"Content-Type": "application/json"}, json.dumps(document).encode())


def binance(
    caller: Caller,
    *ids: str,
    method: str = "DELETE",
    path: str = "/api/v3/order",
    by: str = "orderId",
    symbol: str | None = "LTCBTC",
    timestamp: int | None = None,
    secret: str | None = None,
    extra: str = "",
) -> Sent:
    pairs = ([f"symbol={symbol}"] if symbol else []) + [f"{by}={quote(each, safe='')}" for each in ids]
    pairs += [extra] if extra else []
    query = "&".join([*pairs, f"timestamp={now_ms() if timestamp is None else timestamp}"])
    signature = hmac.new((secret or caller.keys["api_secret"]).encode(), query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": caller.keys["api_key"]}
    return Sent(method, f"{path}?{query}&signature={signature}", headers)


def upbit(
    caller: Caller,
    *ids: str,
    method: str = "DELETE",
    path: str = "/v1/orders/uuids",
    query: str | None = None,
    by: str = "uuids[]",
    nonce: str | None = None,
    secret: str | None = None,
    algorithm: str = "HS256",
    body: bytes = b"",
    hashed: str | None = None,
) -> Sent:
    query = "&".join(f"{by}={each}" for each in ids) if query is None else query
    claims = {"access_key": caller.keys["api_key"], "nonce": nonce or str(uuid.uuid4())}
    if query:
        claims["query_hash"] = hashlib.sha512((hashed or query).encode()).hexdigest()
        claims["query_hash_alg"] = "SHA512"
    key = (secret or caller.keys["api_secret"]).ljust(64)
    token = jwt.encode(claims, key, algorithm=algorithm) if secret else _token(claims, caller, algorithm)
    return Sent(method, f"{path}?{query}" if query else path, {"Authorization": f"Bearer {token}"}, body)


def _token(claims: dict[str, str], caller: Caller, algorithm: str) -> str:
    # PyJWT warns about keys that are shorter than the hash, which are the venue's choice, so this one is by hand
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    signature = hmac.new(caller.keys["api_secret"].encode(), signed, digest).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def kuna(
    caller: Caller,
    *ids: str,
    method: str = "POST",
    path: str = "/v4/order/private/cancel/multi",
    document: Any = None,
    body: bytes | None = None,
    secret: str | None = None,
    simple: bool = False,
) -> Sent:
    if body is None:
        document = {"orderIds": list(ids)} if document is None else document
        body = json.dumps(document, separators=(",", ":")).encode() if method == "POST" else b""
    if simple:
        return Sent(method, path, {"api-key": caller.keys["api_key"], "Content-Type": "application/json"}, body)
    nonce = str(now_ms())
    text = f"{path}{nonce}".encode() + (body or b"{}")
    signature = hmac.new((secret or caller.keys["api_secret"]).encode(), text, hashlib.sha384).hexdigest()
    headers = {"public-key": caller.keys["public_key"], "nonce": nonce, "signature": signature}
    return Sent(method, path, {**headers, "Content-Type": "application/json"}, body)


def weex(
    caller: Caller,
    *ids: str,
    method: str = "POST",
    path: str = "/capi/v2/order/cancel_batch_orders",
    document: Any = None,
    by: str = "ids",
    timestamp: Any = None,
    secret: str | None = None,
    without: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Sent:
    document = {by: list(ids)} if document is None else document
    body = json.dumps(document, separators=(",", ":")).encode() if method == "POST" else b""
    at = str(now_ms() if timestamp is None else timestamp)
    text = f"{at}{method}{path}".encode() + body
    sign = hmac.new((secret or caller.keys["api_secret"]).encode(), text, hashlib.sha256).digest()
    full = {
        "ACCESS-KEY": caller.keys["api_key"],
        "ACCESS-SIGN": base64.b64encode(sign).decode(),
        "ACCESS-TIMESTAMP": at,
        "ACCESS-PASSPHRASE": caller.keys["passphrase"],
        "Content-Type": "application/json",
        "locale": "en-US",
        **(headers or {}),
    }
    return Sent(method, path, {name: value for name, value in full.items() if name != without}, body)


SIGNERS: dict[str, Callable[..., Sent]] = {
    "crypto_com": crypto_com,
    "binance": binance,
    "upbit": upbit,
    "kuna": kuna,
    "weex": weex,
}
