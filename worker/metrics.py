"""Prometheus metrics; the one list of their names, kinds and units."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram, start_http_server

from connectors.calls import Request, Response
from connectors.transport import MaybeSent, NotSent, Withheld, always
from tasks.ports import Line
from worker.settings import METRICS_VARIABLE, PortTaken, metrics_port

CALLS = Counter("ripcord_calls_total", "Venue calls, by how they ended", ["account", "ended"])
CALL_SECONDS = Histogram("ripcord_call_seconds", "Time from sending a venue call to its whole answer", ["account"])
BATCHES = Counter("ripcord_batches_done_total", "Batches that ended at this worker", ["verdict"])


def serve_metrics() -> None:
    """Serve the metrics of this process, if a port is named.

    Raises ConfigurationError for a port that is none, PortTaken for one that is not to be had.
    """
    port = metrics_port()
    if port is None:
        return
    try:
        start_http_server(port)
    except OSError as error:
        raise PortTaken(f"${METRICS_VARIABLE}: port {port} is not to be had: {error.strerror}") from None


class Metered:
    """A line that counts and times what goes over it."""

    def __init__(self, line: Line, account: str) -> None:
        self._line = line
        self._account = account
        self._seconds = CALL_SECONDS.labels(account)

    def send(self, request: Request, may_send: Callable[[], bool] = always) -> Response:
        """Send *request*.  Raises NotSent, Withheld or MaybeSent as the line does."""
        try:
            with self._seconds.time():
                response = self._line.send(request, may_send)
        except Withheld:
            CALLS.labels(self._account, "withheld").inc()
            raise
        except NotSent:
            CALLS.labels(self._account, "not_sent").inc()
            raise
        except MaybeSent:
            CALLS.labels(self._account, "no_answer").inc()
            raise
        CALLS.labels(self._account, str(response.status)).inc()
        return response
