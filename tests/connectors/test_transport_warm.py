import socket
import ssl
import threading
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from connectors.transport import NotSent
from tests.connectors.peer import OK, REQUEST, Peer, answering, make_certificate, peer, refused_port, sender
from tests.end_to_end.waiting import until


def test_a_first_call_over_a_warm_line_opens_no_connection() -> None:
    with peer(answering(OK)) as venue, sender(venue.port, pool_size=4) as line:
        assert line.warm(3) == 3
        assert until(lambda: venue.connections == 3)

        assert line.send(REQUEST).status == 200

        assert (venue.connections, len(venue.requests)) == (3, 1)


def test_a_warm_line_speaks_tls_already(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, x509.IPAddress(IPv4Address("127.0.0.1")))
    shaken: list[str] = []

    def script(venue: Peer, line: socket.socket) -> None:
        shaken.append(str(line.version()) if isinstance(line, ssl.SSLSocket) else "")
        answering(OK)(venue, line)

    with (
        peer(script, certificate.server) as venue,
        sender(venue.port, scheme="https", ca_bundle=certificate.path) as line,
    ):
        assert line.warm(2) == 2
        assert until(lambda: len(shaken) == 2)

        assert line.send(REQUEST).status == 200

        assert venue.connections == 2


def test_what_is_open_stays_and_what_the_venue_has_closed_is_opened_anew() -> None:
    closing = threading.Event()
    begun: list[socket.socket] = []

    def script(venue: Peer, line: socket.socket) -> None:
        begun.append(line)
        if len(begun) > 2:
            venue.read(line)
        else:
            closing.wait(20)

    with peer(script) as venue, sender(venue.port) as line:
        assert line.warm(2) == 2
        assert line.warm(2) == 0
        assert until(lambda: len(begun) == 2)
        closing.set()

        opened = 0

        def more() -> int:
            nonlocal opened
            opened += line.warm(2)
            return opened

        assert until(lambda: more() == 2)
        assert line.warm(2) == 0
        assert until(lambda: venue.connections == 4)


def test_no_more_is_opened_than_the_pool_holds() -> None:
    with peer(answering(OK)) as venue, sender(venue.port, pool_size=2) as line:
        assert line.warm(50) == 2
        assert until(lambda: venue.connections == 2)
        assert line.warm(50) == 0


def test_a_connection_in_use_is_left_alone() -> None:
    asked, go = threading.Event(), threading.Event()

    def script(venue: Peer, line: socket.socket) -> None:
        if venue.read(line):
            asked.set()
            go.wait(20)
            line.sendall(OK)
            venue.read(line)

    with peer(script) as venue, sender(venue.port, pool_size=2) as line:
        call = threading.Thread(target=line.send, args=(REQUEST,))
        call.start()
        assert asked.wait(20)
        assert line.warm(2) == 1
        go.set()
        call.join(5)
        assert line.warm(2) == 0
        assert venue.connections == 2


def test_a_venue_that_is_away_is_told_and_the_line_works_when_it_is_back() -> None:
    with sender(refused_port()) as line:
        for _ in range(3):
            with pytest.raises(NotSent, match="no connection to"):
                line.warm(2)
        with pytest.raises(NotSent):
            line.send(REQUEST)


def test_a_closed_line_is_not_warmed() -> None:
    with peer(answering(OK)) as venue, sender(venue.port) as line:
        line.close()
        with pytest.raises(NotSent):
            line.warm(1)
        assert venue.connections == 0
