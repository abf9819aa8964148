"""HTTP over one account's warm connections to its venue; the only module of the connectors that opens sockets."""

import http.client
import io
import re
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from queue import Empty
from socket import socket
from typing import Any, Final, cast
from urllib.parse import urlsplit

from requests import Request as Prepared
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ClosedPoolError
from urllib3.util.wait import wait_for_read

from connectors.calls import Request, Response

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
LARGEST_BODY: Final = 10_000_000  # bytes; the largest answer we know of, a full listing, is under 1 MB

_TARGET = re.compile(r"/[\x21-\x7e]*")
_HEADER = re.compile(r"[\x20-\x7e]*")


class NotSent(Exception):
    """Proof that no byte of the request left: no connection to the venue came about."""


class Withheld(NotSent):
    """The caller took its leave to send back, just before the first byte would have left."""


class MaybeSent(Exception):
    """The request went out, at least in part, and no whole answer came back: it may have been executed."""


def always() -> bool:
    """Let every request go."""
    return True


class Transport:
    """Sends the requests of one account, from any number of threads.

    ``base_url`` is the venue's REST root; its path stands before every target.  ``pool_size`` connections are
    kept alive (more are opened when more are needed at once, and closed after use).  ``connect_timeout_s``
    counts for each address of the host, ``read_timeout_s`` for all that comes after, to the last byte of the
    answer; ``monotonic`` is the clock for it, in seconds.  ``ca_bundle`` is a path to use instead of certifi's
    list; ``proxy`` the URL of a proxy.  The environment is not read: no proxy, CA or netrc comes from it.
    Raises ValueError for a URL that cannot be a REST root.
    """

    def __init__(
        self,
        base_url: str,
        *,
        pool_size: int,
        monotonic: Callable[[], float],
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        ca_bundle: str | None = None,
        proxy: str | None = None,
    ) -> None:
        url = urlsplit(base_url)
        path = url.path.rstrip("/")
        odd = url.query or url.fragment or "@" in url.netloc or not _TARGET.fullmatch(f"{path}/")
        if odd or url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("base_url must be http(s)://host[:port][/path], without user, query or fragment")
        if proxy is not None and url.scheme == "http":
            raise ValueError("a proxy carries https alone: it would read the keys of an http call")
        self._path = path
        self._host = url.netloc
        self._headers = {"Accept-Encoding": "identity", "User-Agent": _user_agent()}
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._monotonic = monotonic
        # The adapter without a Session: sessions read the environment, keep cookies, follow redirects and merge
        # headers, for three times the CPU.  requests' adapter never repeats a call unless told to.
        pool = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size).get_connection_with_tls_context(
            Prepared("GET", base_url).prepare(), verify=True, proxies={"https": proxy} if proxy else {}
        )
        self._pool = cast("HTTPConnectionPool", pool)
        if url.scheme == "https":  # one context for all connections: loading the CA list takes 20 ms of CPU each time
            self._pool.conn_kw["ssl_context"] = ssl.create_default_context(cafile=ca_bundle or DEFAULT_CA_BUNDLE_PATH)

    def send(self, request: Request, may_send: Callable[[], bool] = always) -> Response:
        """Send *request* exactly as it is, once, and give the whole answer, whatever its status.

        *may_send* is asked when the connection stands, just before the first byte leaves: connecting takes time.
        Raises NotSent (Withheld if *may_send* said no) or MaybeSent, and ValueError, with nothing sent, for a target
        or header that HTTP cannot carry.  None of them holds any part of the request, nor does a frame or a cause
        that hangs on them.
        """
        answer = self._attempt(request, may_send)
        if isinstance(answer, Exception):
            raise answer  # made in there, raised out here, where no local variable is worth hiding
        return answer

    def _attempt(self, request: Request, may_send: Callable[[], bool]) -> Response | Exception:
        target = self._path + request.target
        headers = self._headers | dict(request.headers)
        if problem := _problem(target, headers):
            return ValueError(problem)
        sent = False
        try:
            # A connection borrowed from the pool instead of the pool's urlopen(), because
            # * urlopen() encodes the target anew ("[" becomes "%5B"), and a signature covers the bytes as they are;
            # * a line of our own between connecting and sending is better proof than the kind of an exception;
            # * urllib3 names the target, with its signature, in exceptions and debug logs.
            connection = self._borrow()
            try:
                self._connect(connection)
                if not may_send():
                    return Withheld("the leave to send had passed before the first byte left")
                sent = True
                return self._exchange(connection, request.method, target, headers, request.body)
            except BaseException:
                connection.close()
                raise
            finally:
                self._pool._put_conn(connection)  # noqa: SLF001  # as above
        except Exception as error:  # noqa: BLE001  # a kind that was forgotten here must not pass for anything else
            causes = _causes(error)
        if sent:
            return MaybeSent(f"the call to {self._host} may have been executed, but brought no whole answer: {causes}")
        return NotSent(f"no connection to {self._host}, so nothing was sent: {causes}")

    def warm(self, connections: int) -> int:
        """Have so many *connections* open and idle, at most ``pool_size`` less those in use; give how many were opened.

        Those that the venue has closed are opened anew.  No call waits for this.  Raises NotSent at the first that
        cannot be opened; nothing but the handshake is ever sent.
        """
        opened, error = 0, None
        cold: list[HTTPConnection] = []
        try:
            idle = self._pool.pool
            taken = [self._borrow() for _ in range(min(connections, idle.qsize() if idle else 1))]
            cold = [each for each in taken if each.is_closed]
            for each in taken:
                if not each.is_closed:
                    self._pool._put_conn(each)  # noqa: SLF001  # as above
            while cold:
                try:
                    self._connect(cold[-1])
                except BaseException:
                    cold[-1].close()
                    raise
                self._pool._put_conn(cold.pop())  # noqa: SLF001  # as above
                opened += 1
        except Exception as failed:  # noqa: BLE001  # as above
            error = NotSent(f"no connection to {self._host}: {_causes(failed)}")
        finally:
            for each in cold:
                self._pool._put_conn(each)  # noqa: SLF001  # as above
        if error is not None:
            raise error
        return opened

    def close(self) -> None:
        """Close the idle connections; those in use are closed once their answer is there."""
        self._pool.close()

    def _borrow(self) -> HTTPConnection:
        """Take a connection from the pool, closed if the other side has visibly closed it, or a new one.

        The pool's own way takes every byte that waits for the sign of a closed connection, also the session
        tickets that follow a handshake of TLS 1.3 (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1).
        """
        if self._pool.pool is None:
            raise ClosedPoolError(self._pool, "the line is closed")
        with suppress(Empty):
            connection = cast("HTTPConnection | None", self._pool.pool.get(block=False))
            if connection is not None:
                if (
                    not connection.is_closed
                    and wait_for_read(connection.sock, 0)
                    and not _holds_tickets(connection.sock)
                ):
                    connection.close()
                return connection
        return cast("HTTPConnection", self._pool._new_conn())  # noqa: SLF001  # there is no public way

    def _connect(self, connection: HTTPConnection) -> None:
        """Open *connection*, through the proxy if there is one, unless it is still open."""
        if not connection.is_closed:
            return
        self._limit_time(connection, self._connect_timeout_s)
        if proxy := self._pool.proxy:
            scheme = proxy.scheme or "http"
            connection.set_tunnel(self._pool.host, self._pool.port, headers=self._pool.proxy_headers, scheme=scheme)
        connection.connect()

    def _exchange(
        self, connection: HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Response:
        """Send one request over an open connection and read the whole answer."""
        self._limit_time(connection, self._read_timeout_s)
        connection.request(method, target, body or None, headers)
        # http.client's own method: urllib3's logs the target, with its signature, when it doubts a header.
        with closing(http.client.HTTPConnection.getresponse(connection)) as answer:
            content = answer.read(LARGEST_BODY + 1)
            # A status below 200 announces another answer, which the connection's next call would take for its own.
            if answer.status < 200 or answer.length or len(content) > LARGEST_BODY:
                raise http.client.IncompleteRead(b"")
            found = {name.lower(): answer.getheader(name, "") for name in answer.headers}
            return Response(answer.status, content, found)

    def _limit_time(self, connection: HTTPConnection, timeout_s: float) -> None:
        """Allow what is to be done next on *connection* ``timeout_s`` until all of its answer has been read."""
        connection.timeout = timeout_s
        timed = partial(_timed_response, self._monotonic, self._monotonic() + timeout_s)
        connection.response_class = timed  # type: ignore[assignment]  # it is called, and no more


def _holds_tickets(line: object) -> bool:
    """Say whether what waits on *line* is TLS' own talk, and nothing of the application or the end; it is taken in."""
    if not isinstance(line, ssl.SSLSocket):
        return False
    timeout_s = line.gettimeout()
    line.settimeout(0)
    try:
        line.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    finally:
        line.settimeout(timeout_s)
    return False


class _Timed(io.RawIOBase):
    """The bytes of a socket until a deadline: its own timeout starts anew with every byte that drips in."""

    def __init__(self, monotonic: Callable[[], float], deadline_s: float, source: socket) -> None:
        self._monotonic = monotonic
        self._deadline_s = deadline_s
        self._socket = source
        self._raw = source.makefile("rb", buffering=0)  # stays readable when the connection has let go of the socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_s - self._monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer is not complete")
        self._socket.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Stand in for the socket, of which http.client wants nothing else."""
        return io.BufferedReader(self)


def _timed_response(
    monotonic: Callable[[], float], deadline_s: float, source: socket, **options: Any
) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(cast("socket", _Timed(monotonic, deadline_s, source)), **options)


def _problem(target: str, headers: dict[str, str]) -> str | None:
    """Say what would break the request's lines, naming no value, or None."""
    if not _TARGET.fullmatch(target):
        return "the target must begin with a slash and hold printable ASCII without spaces"
    wrong = [name for name, value in headers.items() if not _HEADER.fullmatch(value)]
    return f"these headers must hold printable ASCII: {', '.join(wrong)}" if wrong else None


def _causes(error: BaseException | None) -> str:
    """Name the kinds of *error* and of what caused it; their texts may hold parts of the request."""
    kinds = []
    while error is not None and type(error).__name__ not in kinds:
        kinds.append(type(error).__name__)
        error = error.__cause__
    return ", ".join(kinds)


def _user_agent() -> str:
    try:
        return f"ripcord/{version('ripcord')}"
    except PackageNotFoundError:  # run from a source tree
        return "ripcord"
