import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from tests.end_to_end.batches import document, fresh_id
from tests.end_to_end.stage import Stage, free_port, staged
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("metrics")) as stage:
        yield stage


@pytest.mark.parametrize("port", ["9108x", "0", "65536", "-1", "1e3"])
def test_a_port_that_is_none_is_told_at_once(stage: Stage, port: str) -> None:
    done = stage.cli("worker", RIPCORD_METRICS_PORT=port)

    assert done.returncode == 2
    assert "RIPCORD_METRICS_PORT must be a port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told_before_anything_is_consumed(stage: Stage) -> None:
    given = document([{"order_id": "1", "symbol": "LTCBTC", "account": "binance-sim"}], batch_id=fresh_id())
    stage.client.submit(given)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])

        done = stage.cli("worker", RIPCORD_METRICS_PORT=port)

    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith(f"ripcord: $RIPCORD_METRICS_PORT: port {port} ")
    assert "Traceback" not in done.stderr
    assert "worker.started" not in done.stderr
    assert stage.client.report(given["batch_id"])["state"] == "accepted"
    assert stage.client.workers() == []


def test_metrics_are_served_on_the_port(stage: Stage) -> None:
    port = free_port()
    worker = stage.worker(RIPCORD_METRICS_PORT=str(port))

    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()

    assert "# TYPE ripcord_calls_total counter" in text
    assert worker.running()


def test_a_worker_that_cannot_start_its_threads_ends(stage: Stage) -> None:
    """Celery passes over what its handlers raise, and would go on without them."""
    stage.raw.set("ripcord:venues", "a string where the workers keep a hash")
    try:
        worker = stage.worker(ready=False)

        assert until(lambda: not worker.running())

        assert worker.end() == 1
        (event,) = worker.events("worker.not_started")
        assert "WRONGTYPE" in event["exception"]
    finally:
        stage.raw.delete("ripcord:venues")
