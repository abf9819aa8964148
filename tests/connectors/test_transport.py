"""The transport against real sockets on the loopback interface."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.calls import Request, Response
from connectors.transport import MaybeSent, NotSent, Transport, Withheld
from tests.connectors.peer import OK, REQUEST, SECRETS, Certificate, Peer, all_of, answering, peer, refused_port, sender

# What goes out


@pytest.mark.parametrize("path", ["", "/", "/exchange/v1", "/exchange/v1/"])
@pytest.mark.parametrize(
    "target",
    [
        "/v1/orders/uuids?uuids[]=a&uuids[]=b",
        "/v1/orders/uuids?identifiers[]=%5B%5d%2f%F0%9F%98%80&x=%zz",
        "/a//b/../c/./d?q={\"a\":'b'}|^`\\<>;,!~*()$+&&==??#end",
    ],
)
def test_the_target_goes_out_byte_for_byte(path: str, target: str) -> None:
    with peer(answering(OK)) as venue, sender(venue.port, path) as sending:
        sending.send(Request("DELETE", target))
    assert venue.requests[0].split(b"\r\n")[0] == f"DELETE {path.rstrip('/')}{target} HTTP/1.1".encode()


def test_headers_and_body_go_out_as_they_are_and_little_else() -> None:
    body = '{"ids":["1"],"text":"€ \\u00e9"}'.encode()
    with peer(answering(OK)) as venue, sender(venue.port) as sending:
        sending.send(Request("POST", "/cancel", {"ACCESS-KEY": "k", "Content-Type": "application/json"}, body))
    head, _, sent = venue.requests[0].partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert sent == body
    assert b"\r\nACCESS-KEY: k\r\n" in head
    assert b"\r\nAccept-Encoding: identity\r\n" in head
    assert re.search(rb"\r\nUser-Agent: ripcord(/[0-9.]+)?\r\n", head)
    assert f"\r\nHost: 127.0.0.1:{venue.port}\r\n".encode() in head
    assert names == {b"host", b"accept-encoding", b"content-length", b"user-agent", b"access-key", b"content-type"}


def test_a_delete_without_a_body_says_nothing_of_a_body() -> None:
    with peer(answering(OK)) as venue, sender(venue.port) as sending:
        sending.send(Request("DELETE", "/v1/orders"))
    head = venue.requests[0].lower()
    assert not [name for name in (b"content-type", b"content-length", b"transfer-encoding") if name in head]


@pytest.mark.parametrize("target", ["", "v1", "/a b", "/a\r\nX: y", "/a\x00", "/é", "/\ud800", "/a\x7f", "/a\n"])
def test_a_target_that_would_break_the_line_is_refused(target: str) -> None:
    with (
        peer(answering(OK)) as venue,
        sender(venue.port) as sending,
        pytest.raises(ValueError, match="the target must begin") as caught,
    ):
        sending.send(Request("GET", target))
    assert venue.connections == 0
    assert not target or repr(target)[1:-1] not in all_of(caught.value).replace(repr(Request("GET", target)), "")


@pytest.mark.parametrize("value", [f"{SECRETS[1]}\r\nX: y", f"{SECRETS[1]}é", f"{SECRETS[1]}\n", f"\x00{SECRETS[1]}"])
def test_a_header_that_would_break_the_line_is_refused_by_its_name(value: str) -> None:
    with (
        peer(answering(OK)) as venue,
        sender(venue.port) as sending,
        pytest.raises(ValueError, match="ACCESS-PASSPHRASE") as caught,
    ):
        sending.send(Request("GET", "/", {"ACCESS-PASSPHRASE": value}))
    assert venue.connections == 0
    assert SECRETS[1] not in all_of(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://host",
        "//host",
        "http://",
        "http://h?q=1",
        "http://h#f",
        "http://user:pass@h",
        "api.upbit.com",
        "",
        "http://h/a b",
    ],
)
def test_a_base_url_that_is_no_rest_root_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Transport(base_url, pool_size=1, monotonic=time.monotonic)


def test_a_proxy_is_refused_for_plain_http() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Transport("http://127.0.0.1:1", pool_size=1, monotonic=time.monotonic, proxy="http://127.0.0.1:2")


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
    with peer(answering(OK)) as venue, sender(venue.port) as sending:
        assert sending.send(REQUEST).status == 200


# What comes back


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 401, 413, 418, 429, 500, 503, 999])
def test_every_status_is_an_answer_and_is_asked_for_once(status: int) -> None:
    reply = (
        f"HTTP/1.1 {status} Word\r\nLocation: /elsewhere\r\nRetry-After: 1\r\nX-Two: a\r\nX-TWO: b\r\n"
        "Content-Length: 0\r\nSet-Cookie: a=b\r\n\r\n"
    ).encode()
    with peer(answering(reply, OK)) as venue, sender(venue.port) as sending:
        answer = sending.send(REQUEST)
        assert len(venue.requests) == 1
        sending.send(REQUEST)
    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-two"] == "a, b"
    assert b"cookie" not in venue.requests[1].lower()


@pytest.mark.parametrize(
    ("reply", "close"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsix by", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsix \r\n2\r\nby\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nsix by", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nsix by", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsix by", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsix by", False),
    ],
)
def test_a_body_is_read_whole_however_it_is_framed(reply: bytes, close: bool) -> None:
    with peer(answering(reply, close=close)) as venue, sender(venue.port) as sending:
        assert sending.send(REQUEST).body == b"six by"


def test_a_slow_answer_within_the_time_is_whole() -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        for byte in OK:
            line.sendall(bytes([byte]))
            time.sleep(0.002)

    with peer(script) as venue, sender(venue.port) as sending:
        assert sending.send(REQUEST).body == b"{}"


# Connections


def test_a_connection_is_kept_and_used_again() -> None:
    with peer(answering(*[OK] * 20)) as venue, sender(venue.port) as sending:
        for _ in range(20):
            sending.send(REQUEST)
    assert (venue.connections, len(venue.requests)) == (1, 20)


def test_a_connection_that_the_venue_closed_is_replaced_unnoticed() -> None:
    with peer(answering(OK, close=True)) as venue, sender(venue.port) as sending:
        for _ in range(3):
            assert sending.send(REQUEST).status == 200
            time.sleep(0.1)  # for the close to arrive
    assert (venue.connections, len(venue.requests)) == (3, 3)


def test_an_unasked_answer_on_an_idle_connection_is_not_taken_for_the_next_one() -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"
    with peer(answering(OK + late, OK)) as venue, sender(venue.port) as sending:
        assert [sending.send(REQUEST).body for _ in range(2)] == [b"{}", b"{}"]
        time.sleep(0.1)
    with peer(late_answer) as venue, sender(venue.port) as sending:
        assert sending.send(REQUEST).body == b"{}"
        time.sleep(0.3)
        assert sending.send(REQUEST).body == b"{}"
    assert venue.connections == 2


def late_answer(peer: Peer, line: socket.socket) -> None:
    peer.read(line)
    line.sendall(OK)
    time.sleep(0.1)
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
    peer.read(line)


def test_threads_share_the_pool_and_each_gets_its_own_answer() -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        while data := peer.read(line):
            name = data.split(b" ")[1]
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))

    with peer(script) as venue, sender(venue.port, pool_size=4) as sending, ThreadPoolExecutor(4) as threads:
        targets = [f"/{number}" for number in range(200)]
        bodies = list(threads.map(lambda target: sending.send(Request("GET", target)).body.decode(), targets))
    assert bodies == targets
    assert venue.connections <= 4


def test_after_an_error_the_next_call_has_a_fresh_connection() -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        if len(peer.requests) > 1:
            line.sendall(OK)
            peer.read(line)

    with peer(script) as venue, sender(venue.port, pool_size=1) as sending:
        with pytest.raises(MaybeSent):
            sending.send(REQUEST)
        assert sending.send(REQUEST).status == 200


def test_a_closed_transport_sends_nothing() -> None:
    with peer(answering(OK, OK)) as venue, sender(venue.port) as sending:
        sending.send(REQUEST)
        sending.close()
        sending.close()
        with pytest.raises(NotSent):
            sending.send(REQUEST)
    assert len(venue.requests) == 1


# TLS


def test_over_tls_the_target_goes_out_byte_for_byte_and_the_connection_is_kept(certificate: Certificate) -> None:
    target = "/v1/orders/uuids?uuids[]=a&uuids[]=b"
    with (
        peer(answering(OK, OK), certificate.server) as venue,
        sender(venue.port, scheme="https", ca_bundle=certificate.path) as sending,
    ):
        answers = [sending.send(Request("DELETE", target)) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"{}", b"{}"]
    assert {data.split(b"\r\n")[0] for data in venue.requests} == {f"DELETE {target} HTTP/1.1".encode()}
    assert (venue.connections, len(venue.requests)) == (1, 2)


def test_a_call_goes_through_the_proxy_that_was_given(certificate: Certificate) -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificate.server.wrap_socket(line, server_side=True) as inner:
            answering(OK, OK)(peer, inner)

    with peer(script) as proxy:
        proxy_url = f"http://user:pass@127.0.0.1:{proxy.port}"
        with sender(443, scheme="https", proxy=proxy_url, ca_bundle=certificate.path) as sending:
            assert [sending.send(REQUEST).status for _ in range(2)] == [200, 200]
    tunnel, first, second = proxy.requests
    assert tunnel.startswith(b"CONNECT 127.0.0.1:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic" in tunnel
    assert not [secret for secret in SECRETS if secret.encode() in tunnel]
    assert first.split(b"\r\n")[0] == f"POST {REQUEST.target} HTTP/1.1".encode()
    assert b"proxy" not in (first + second).lower()


def test_a_tunnel_is_opened_anew_with_time_of_its_own(certificate: Certificate) -> None:
    def script(peer: Peer, line: socket.socket) -> None:
        peer.read(line)
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificate.server.wrap_socket(line, server_side=True) as inner:
            answering(OK, close=True)(peer, inner)

    now_s = [0.0]
    with peer(script) as proxy:
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        with sender(
            443, scheme="https", ca_bundle=certificate.path, proxy=proxy_url, monotonic=lambda: now_s[0]
        ) as sending:
            for _ in range(3):
                assert sending.send(REQUEST).status == 200
                now_s[0] += 1000
                time.sleep(0.1)  # for the close to arrive
    assert proxy.connections == 3


def test_a_response_has_lower_case_header_names() -> None:
    reply = b"HTTP/1.1 200 OK\r\nX-MBX-USED-WEIGHT-1M: 7\r\nContent-Length: 2\r\n\r\n{}"
    with peer(answering(reply)) as venue, sender(venue.port) as sending:
        expected = Response(200, b"{}", {"x-mbx-used-weight-1m": "7", "content-length": "2"})
        assert sending.send(REQUEST) == expected


# Leave to send


def test_nothing_leaves_without_leave_and_the_connection_serves_the_next_call() -> None:
    with peer(answering(OK)) as venue, sender(venue.port) as sending:
        with pytest.raises(Withheld) as caught:
            sending.send(REQUEST, lambda: False)
        assert sending.send(REQUEST).status == 200
    assert (venue.connections, len(venue.requests)) == (1, 1)
    assert not [secret for secret in SECRETS if secret in all_of(caught.value)]
    assert isinstance(caught.value, NotSent), "it proves that nothing was sent"


def test_leave_is_asked_for_once_the_connection_stands() -> None:
    """Connecting takes time, in which a permission runs out."""
    asked: list[int] = []

    def may_send() -> bool:
        time.sleep(0.05)  # for the other side to take the connection
        asked.append(venue.connections)
        return True

    with peer(answering(OK, OK)) as venue, sender(venue.port) as sending:
        for _ in range(2):
            sending.send(REQUEST, may_send)
    assert asked == [1, 1]


def test_leave_is_not_asked_for_where_there_is_no_connection() -> None:
    asked: list[bool] = []
    with sender(refused_port()) as sending, pytest.raises(NotSent) as caught:
        sending.send(REQUEST, lambda: not asked.append(True))  # type: ignore[func-returns-value]
    assert asked == []
    assert not isinstance(caught.value, Withheld)


def test_a_fault_in_giving_leave_sends_nothing() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    with peer(answering(OK)) as venue, sender(venue.port) as sending, pytest.raises(NotSent):
        sending.send(REQUEST, broken)
    assert venue.requests == []
