"""A naive Celery worker: one task a chunk, a result backend, Celery's own settings, and requests' own session.

It builds and reads its calls with ripcord's connectors, so that what differs is the queue and nothing else.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import requests
from celery import Celery

from connectors.calls import Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.registry import VENUES

VARIABLE: Final = "RIPCORD_BENCH_NAIVE"
TIMEOUT_S: Final = 30.0

_settings: dict[str, Any] = json.loads(Path(os.environ[VARIABLE]).read_text()) if VARIABLE in os.environ else {}
_local = threading.local()
app = Celery("naive", broker=_settings.get("redis_url"), backend=_settings.get("redis_url"))


@app.task(name="naive.ping")
def ping() -> None:
    """Do nothing."""


@app.task(name="naive.cancel")
def cancel(account: str, orders: list[dict[str, str]]) -> list[list[str]]:
    """Cancel *orders* of *account* in one call; gives the id and the status of each."""
    target = _settings["targets"][account]
    return send(_session(), target, orders)


def send(session: requests.Session, target: dict[str, Any], orders: list[dict[str, str]]) -> list[list[str]]:
    """Cancel *orders* in one call; gives the id and the status of each."""
    venue = VENUES[target["venue"]]
    references = tuple(OrderRef(IdKind.ORDER_ID, order["order_id"], order.get("symbol")) for order in orders)
    stamp = Stamp(_fresh_ms(), str(uuid4()))
    request = venue.build_cancel(references, Credentials(**target["keys"]), stamp)
    url = target["base_url"] + request.target
    got = session.request(request.method, url, headers=request.headers, data=request.body or None, timeout=TIMEOUT_S)
    headers = {name.lower(): value for name, value in got.headers.items()}
    answer = venue.read_cancel(references, Response(got.status_code, got.content, headers))
    return [[outcome.order.value, outcome.status.value] for outcome in answer.outcomes]


class _Last:
    """The time of the last stamp: some venues take it for a nonce, so that no two may be the same."""

    ms = 0
    lock = threading.Lock()


def _fresh_ms() -> int:
    with _Last.lock:
        _Last.ms = max(_Last.ms + 1, time.time_ns() // 1_000_000)
        return _Last.ms


def _session() -> requests.Session:
    """Give this thread's session, so that connections are kept."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
    return session
