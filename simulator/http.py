"""HTTP/1.1 over asyncio; the only module of the simulator that touches a socket."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, cast
from urllib.parse import unquote

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 64 * 1024 * 1024  # a seeded book of 100,000 orders is about 15 MB
MAX_WAITING_BYTES: Final = 1024 * 1024  # pipelined behind an answer that is held back
NO_LINGER: Final = struct.pack("ii", 1, 0)  # a close that sends RST instead of FIN

REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    418: "I'm a teapot",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class NoJson(Enum):
    """The type of the one value that no JSON document has."""

    NO_JSON = "no JSON"


NO_JSON: Final = NoJson.NO_JSON


@dataclass(slots=True)
class Request:
    """One request as it came: ``query`` and ``body`` are untouched, header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    _document: object = field(default=None, init=False, repr=False)
    _parsed: bool = field(default=False, init=False, repr=False)

    def document(self) -> object:
        """Parse the body as JSON, once; NO_JSON if it is none."""
        if not self._parsed:
            self._parsed = True
            try:
                self._document = json.loads(self.body)
            except (ValueError, RecursionError):
                self._document = NO_JSON
        return self._document

    def pairs(self) -> list[tuple[str, str]]:
        """Read the query's parameters, decoded, in their order."""
        raw = [pair.partition("=") for pair in self.query.split("&") if pair]
        return [(unquote(name), unquote(value)) for name, _, value in raw]


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes to send after ``delay_s`` seconds.

    ``close`` hangs up then, even without any bytes; ``reset`` does so without the courtesy of a FIN.
    """

    data: bytes
    delay_s: float = 0.0
    close: bool = False
    reset: bool = False


class BadRequestError(Exception):
    """What came is no HTTP request that this server takes; ``status`` says why, and the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(REASONS[status])
        self.status = status


_encode = json.JSONEncoder(separators=(",", ":")).encode  # in ASCII, so that a lone surrogate goes out as it came
_HEADS: Final[dict[tuple[int, str], str]] = {}


def render(status: int, payload: object, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Give the whole answer as bytes: *payload* is HTML where it is bytes, and JSON otherwise."""
    html = isinstance(payload, bytes)
    body = payload if isinstance(payload, bytes) else _encode(payload).encode()
    kind = "text/html" if html else "application/json;charset=UTF-8"
    head = _HEADS.get((status, kind))
    if head is None:
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Type: {kind}\r\nContent-Length: "
        _HEADS[status, kind] = head
    extra = "".join([f"\r\n{name}: {value}" for name, value in headers])
    return f"{head}{len(body)}{extra}\r\n\r\n".encode() + body


def parse(buffer: bytes) -> tuple[Request, int] | None:
    """Read one request from the start of *buffer* and say how many bytes it took; None if it is not all there.

    Raises BadRequestError for what is malformed, too large, or framed in a way this server does not take.
    """
    end = buffer.find(b"\r\n\r\n")
    if max(end, len(buffer) if end < 0 else 0) > MAX_HEAD_BYTES:
        raise BadRequestError(431)
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise BadRequestError(400)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name[-1] == " " or name[0] in " \t":
            raise BadRequestError(400)
        name = name.lower()
        if name == "content-length" and name in headers:  # two lengths are how requests are smuggled
            raise BadRequestError(400)
        headers[name] = value.strip()
    if words[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    length = _body_length(headers)
    start = end + 4
    if len(buffer) < start + length:
        return None
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers, buffer[start : start + length]), start + length


def _body_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:  # RFC 9112 section 6.3 lets a server insist on a length
        raise BadRequestError(411)
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequestError(400)
    if len(text) > 12 or int(text) > MAX_BODY_BYTES:
        raise BadRequestError(413)
    return int(text)


class Connection(asyncio.Protocol):
    """One client's connection: requests are answered one after the other, in the order in which they came."""

    def __init__(self, answer: Callable[[Request], Answer], connections: "set[Connection]") -> None:
        self._answer = answer
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._held: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast(asyncio.Transport, transport)  # what TCP always gives
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget what was still to be sent."""
        self._transport = None
        self._connections.discard(self)
        if self._held is not None:
            self._held.cancel()
            self._held = None

    def data_received(self, data: bytes) -> None:
        """Answer each request that is now complete."""
        self._buffer = self._buffer + data if self._buffer else data
        if self._held is None:
            self._serve()
        elif len(self._buffer) > MAX_WAITING_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def hang_up(self) -> None:
        """Close at once, without sending what waits."""
        if self._transport is not None:
            self._transport.abort()

    def _serve(self) -> None:
        while self._buffer and self._held is None and self._transport is not None:
            try:
                parsed = parse(self._buffer)
            except BadRequestError as error:
                self._send(Answer(render(error.status, b"", (("Connection", "close"),)), close=True))
                return
            if parsed is None:
                return
            request, used = parsed
            self._buffer = self._buffer[used:]
            answer = self._answer(request)
            if request.headers.get("connection", "").lower() == "close":
                answer = replace(answer, close=True)
            if answer.delay_s > 0:
                self._held = asyncio.get_running_loop().call_later(answer.delay_s, self._release, answer)
            else:
                self._send(answer)

    def _release(self, answer: Answer) -> None:
        self._held = None
        if self._transport is not None:
            self._transport.resume_reading()
        self._send(answer)
        self._serve()

    def _send(self, answer: Answer) -> None:
        transport = self._transport
        if transport is None:
            return
        if answer.data:
            transport.write(answer.data)
        if answer.reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            transport.abort()
        elif answer.close:
            transport.close()
        if answer.close or answer.reset:
            self._transport = None
            self._buffer = b""
