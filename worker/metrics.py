"""Prometheus metrics; the one list of their names, kinds and units."""

from prometheus_client import Counter, Histogram

from connectors.calls import Request, Response
from connectors.transport import MaybeSent, NotSent
from tasks.ports import Line

CALLS = Counter("ripcord_calls_total", "Venue calls, by how they ended", ["account", "ended"])
CALL_SECONDS = Histogram("ripcord_call_seconds", "Time from sending a venue call to its whole answer", ["account"])
BATCHES = Counter("ripcord_batches_done_total", "Batches that ended at this worker", ["verdict"])


class Metered:
    """A line that counts and times what goes over it."""

    def __init__(self, line: Line, account: str) -> None:
        self._line = line
        self._account = account

    def send(self, request: Request) -> Response:
        """Send *request*.  Raises NotSent or MaybeSent as the line does."""
        try:
            with CALL_SECONDS.labels(self._account).time():
                response = self._line.send(request)
        except NotSent:
            CALLS.labels(self._account, "not_sent").inc()
            raise
        except MaybeSent:
            CALLS.labels(self._account, "no_answer").inc()
            raise
        CALLS.labels(self._account, str(response.status)).inc()
        return response
