import socket
from urllib.parse import urlsplit

import pytest

from simulator.control import Control
from simulator.http import BadRequestError, parse
from simulator.serve import RunningSimulator

TIME = b"GET /binance/api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n"


def talk(url: str, *pieces: bytes) -> bytes:
    """Send *pieces* one by one, and read until the server hangs up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        answer = b""
        while more := client.recv(65536):
            answer += more
        return answer


def test_pipelined_requests_are_answered_in_order(running: RunningSimulator, control: Control) -> None:
    control.fault("latency", delay_ms=50, calls=1, on=["time"])
    health = b"GET /_sim/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(running.url, TIME + TIME + health)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b"serverTime") < answer.rindex(b"serverTime") < answer.index(b"skew_ms")


def test_a_request_may_come_byte_by_byte(running: RunningSimulator) -> None:
    body = b'{"skew_ms": 5}'
    head = b"POST /_sim/clock HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = talk(running.url, *(bytes([byte]) for byte in head + body))
    assert answer.endswith(b'{"skew_ms":5}')


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET /x FTP/1.1\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nName : x\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 999999999999999\r\n\r\n", 413),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET /x HTTP/1.1\r\nx: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(
    running: RunningSimulator, request_bytes: bytes, status: int
) -> None:
    with pytest.raises(BadRequestError) as raised:
        parse(request_bytes)
    assert raised.value.status == status
    assert talk(running.url, request_bytes).startswith(b"HTTP/1.1 %d " % status)


def test_an_old_client_is_hung_up_on(running: RunningSimulator) -> None:
    answer = talk(running.url, b"GET /binance/api/v3/time HTTP/1.0\r\n\r\n" + TIME)
    assert answer.count(b"HTTP/1.1 200 OK") == 1


def test_a_path_of_no_venue(running: RunningSimulator) -> None:
    for path in (b"/", b"/nobody/x", b"/crypto_com/other"):
        answer = talk(running.url, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
