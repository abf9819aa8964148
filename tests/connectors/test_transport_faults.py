"""What the transport says when a call fails: proof that nothing was sent, or doubt."""

import logging
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from connectors import transport
from connectors.calls import Response
from connectors.transport import MaybeSent, NotSent, Transport
from tests.connectors.peer import (
    OK,
    REQUEST,
    SECRETS,
    Certificate,
    Peer,
    answering,
    keeps_secrets,
    make_certificate,
    peer,
    refused_port,
    sender,
)

# Proof that nothing was sent


def not_sent(sending: Transport, because: str) -> None:
    with pytest.raises(NotSent, match=f"nothing was sent: .*{because}") as caught:
        sending.send(REQUEST)
    keeps_secrets(caught.value)


def test_a_refused_connection_is_not_sent() -> None:
    with sender(refused_port()) as sending:
        not_sent(sending, "ConnectionRefusedError")


def test_a_name_without_an_address_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with sender(1) as sending:
        not_sent(sending, "NameResolutionError")


def test_a_connection_that_takes_too_long_is_not_sent() -> None:
    """A full queue drops what knocks, so that connecting hangs as with an unreachable host."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            with sender(listener.getsockname()[1], connect_timeout_s=0.2) as sending:
                not_sent(sending, "ConnectTimeoutError")
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_tls_handshake_that_fails_is_not_sent(words: bytes) -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(words)

    with peer(script) as venue, sender(venue.port, scheme="https") as sending:
        not_sent(sending, "Error")


def test_a_tls_handshake_that_takes_too_long_is_not_sent() -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        while line.recv(65536):
            pass

    with peer(script) as venue, sender(venue.port, scheme="https", connect_timeout_s=0.2) as sending:
        not_sent(sending, "TimeoutError")


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"garbage\r\n\r\n"])
def test_a_proxy_that_opens_no_tunnel_is_not_sent(reply: bytes) -> None:
    with peer(answering(reply, close=True)) as proxy:
        proxy_url = f"http://user:{SECRETS[1]}@127.0.0.1:{proxy.port}"
        with sender(443, scheme="https", proxy=proxy_url) as sending:
            for _ in range(2):
                not_sent(sending, "")
    assert [data[:28] for data in proxy.requests] == [b"CONNECT 127.0.0.1:443 HTTP/1"] * 2


def test_a_proxy_that_refuses_is_not_sent() -> None:
    with sender(443, scheme="https", proxy=f"http://127.0.0.1:{refused_port()}") as sending:
        not_sent(sending, "ConnectionRefusedError")


# Doubt


def maybe_sent(sending: Transport, because: str) -> None:
    with pytest.raises(MaybeSent, match=f"may have been executed, but brought no whole answer: .*{because}") as caught:
        sending.send(REQUEST)
    keeps_secrets(caught.value)


def reset(_: Peer, line: socket.socket) -> None:
    line.recv(1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize(
    ("script", "because"),
    [
        (answering(b"", close=True), "RemoteDisconnected"),
        (reset, "ConnectionResetError"),
        (answering(b"HTTP/1.1 2", close=True), "BadStatusLine"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", close=True), "IncompleteRead"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}", close=True), "IncompleteRead"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", close=True), "IncompleteRead"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", close=True), "IncompleteRead"),
        (answering(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK), "IncompleteRead"),
        (answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", OK), "IncompleteRead"),
        (answering(b"\x16\x03\x01 garbage\r\n\r\n"), "BadStatusLine"),
        (answering(b"HTTP/1.1 twohundred OK\r\n\r\n"), "BadStatusLine"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "HTTPException"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), "LineTooLong"),
        (answering(b"HTTP/1.1 100 Continue\r\n\r\n", close=True), "RemoteDisconnected"),
    ],
)
def test_an_answer_that_is_missing_or_broken_is_maybe_sent(
    script: Callable[[Peer, socket.socket], None], because: str
) -> None:
    with peer(script) as venue, sender(venue.port) as sending:
        maybe_sent(sending, because)
    assert venue.connections == 1


def test_silence_is_maybe_sent_when_the_time_is_over() -> None:
    with peer(answering(b"", OK)) as venue, sender(venue.port, read_timeout_s=0.2) as sending:
        maybe_sent(sending, "TimeoutError")
        assert len(venue.requests) == 1


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"],
    ids=["status line", "headers", "body"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_drips_for_ever_does_not_hold_the_thread(
    start: bytes, scheme: str, certificate: Certificate
) -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        line.sendall(start)
        for _ in range(600):  # half a minute
            line.sendall(b"1")
            time.sleep(0.05)

    context = certificate.server if scheme == "https" else None
    with (
        peer(script, context) as venue,
        sender(venue.port, scheme=scheme, read_timeout_s=0.4, ca_bundle=certificate.path) as sending,
    ):
        before_s = time.monotonic()
        maybe_sent(sending, "TimeoutError")
        assert 0.3 < time.monotonic() - before_s < 15


def test_silence_after_a_first_part_has_no_more_time_than_silence() -> None:
    now_s = 0.0

    def script(peer: Peer, line: socket.socket) -> None:
        nonlocal now_s
        peer.read(line)
        now_s = 29.9
        line.sendall(OK[:-1])
        peer.read(line)

    with peer(script) as venue, sender(venue.port, read_timeout_s=30, monotonic=lambda: now_s) as sending:
        before_s = time.monotonic()
        maybe_sent(sending, "TimeoutError")
        assert time.monotonic() - before_s < 15


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"

    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        if len(peer.requests) == 1:
            time.sleep(0.3)
            line.sendall(late)
        else:
            time.sleep(0.2)
            line.sendall(OK)
        peer.read(line)

    with peer(script) as venue, sender(venue.port, pool_size=1, read_timeout_s=0.25) as sending:
        maybe_sent(sending, "TimeoutError")
        assert sending.send(REQUEST).body == b"{}"
    assert venue.connections == 2


def test_the_time_for_an_answer_is_taken_from_the_clock_that_was_given() -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        line.sendall(OK[:-1])
        time.sleep(0.05)
        line.sendall(OK[-1:])
        peer.read(line)

    seconds = iter(range(0, 1000, 15))
    with peer(script) as venue, sender(venue.port, monotonic=lambda: float(next(seconds))) as sending:
        maybe_sent(sending, "TimeoutError")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [100_000, 100_001])
def test_a_huge_answer_is_maybe_sent(size: int, chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", 100_000)
    body = b"x" * size
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (size, body)
    if chunked:
        reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, body)
    with peer(answering(reply, OK)) as venue, sender(venue.port) as sending:
        if size > 100_000:
            maybe_sent(sending, "IncompleteRead")
        else:
            assert sending.send(REQUEST).body == body
    assert len(venue.requests) == 1


def test_a_head_that_breaks_off_is_an_answer_without_a_body() -> None:
    """http.client cannot tell; readers make nothing of a status 200 without a body."""
    with (
        peer(answering(b"HTTP/1.1 200 OK\r\nContent-Len", close=True)) as venue,
        sender(venue.port) as sending,
    ):
        assert sending.send(REQUEST) == Response(200, b"")


def test_a_certificate_of_nobody_we_know_is_not_sent(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    monkeypatch.setenv("CURL_CA_BUNDLE", certificate.path)
    monkeypatch.setenv("SSL_CERT_FILE", certificate.path)
    with peer(answering(OK), certificate.server) as venue, sender(venue.port, scheme="https") as sending:
        not_sent(sending, "SSLCertVerificationError")
    assert venue.requests == []


def test_a_certificate_of_another_name_is_not_sent(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, x509.DNSName("elsewhere.test"))
    with (
        peer(answering(OK), other.server) as venue,
        sender(venue.port, scheme="https", ca_bundle=other.path) as sending,
    ):
        not_sent(sending, "SSLCertVerificationError")
    assert venue.requests == []


@pytest.mark.parametrize("reply", [b"", OK[:-1]])
def test_a_tls_connection_cut_before_the_answer_is_whole_is_maybe_sent(reply: bytes, certificate: Certificate) -> None:
    with (
        peer(answering(reply, close=True), certificate.server) as venue,
        sender(venue.port, scheme="https", ca_bundle=certificate.path) as sending,
    ):
        maybe_sent(sending, "")


def test_nothing_of_a_request_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    odd = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header at all\r\n\r\n{}"
    with peer(answering(OK, odd, b"garbage\r\n\r\n")) as venue, sender(venue.port) as sending:
        sending.send(REQUEST)
        sending.send(REQUEST)
        with pytest.raises(MaybeSent):
            sending.send(REQUEST)
    assert not [secret for secret in (*SECRETS, "/v1/cancel") if secret in caplog.text]


def test_a_transport_shows_nothing() -> None:
    with sender(1) as sending:
        assert re.fullmatch(r"<connectors\.transport\.Transport object at 0x[0-9a-f]+>", repr(sending))
