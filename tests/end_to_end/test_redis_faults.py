"""A Redis that is restarted, cut off or frozen under load: workers live, and work goes on."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from redis import RedisError

from tasks.errors import Unreachable
from tests.end_to_end.batches import Rows, document, named
from tests.end_to_end.stage import Process, Stage, staged
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

SOON_S: Final = 10.0  # work goes on after 1 to 3 s; a machine with other things to do may take longer


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("redis-faults"), append_only=True) as stage:
        stage.worker()
        yield stage


@pytest.fixture
def stage(own_stage: Stage) -> Stage:
    own_stage.clean()
    return own_stage


def restarted(stage: Stage) -> None:
    stage.redis.kill()
    stage.redis.restart()


def cut(stage: Stage) -> None:
    """Cut every connection, those too that have just come back."""
    for _ in range(5):
        stage.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until(lambda: False, 0.1)


def frozen(stage: Stage) -> None:
    os.kill(stage.redis.pid, signal.SIGSTOP)
    try:
        until(lambda: False, 6.0)
    finally:
        os.kill(stage.redis.pid, signal.SIGCONT)


@pytest.mark.parametrize("faults", [[restarted], [cut], [frozen], [restarted, cut, restarted]])
def test_a_worker_lives_and_works_on(stage: Stage, faults: list[Callable[[Stage], None]]) -> None:
    (worker,) = stage.workers
    stage.control.fault("latency", delay_ms=100)
    for fault in faults:
        before = len(stage.control.log())
        stage.client.submit(document(seeded(stage, 24, 60, 40), deadline_s=10))
        assert until(lambda number=before: len(stage.control.log()) >= number + 5)

        fault(stage)

        probe = document(seeded(stage, 1), priority="kill")
        assert until(lambda given=probe: submitted(stage, given), SOON_S)
        assert stage.client.wait(probe["batch_id"], SOON_S)["verdict"] == "flat"
        assert worker.running(), worker.text()
    assert "Unrecoverable" not in worker.text()


def seeded(stage: Stage, *counts: int) -> Rows:
    venues = ("binance", "crypto_com", "upbit")
    return [
        row
        for venue, count in zip(venues, counts, strict=False)
        for row in named(stage.control.seed(f"{venue}-sim", count), f"{venue}-sim")
    ]


def submitted(stage: Stage, given: dict[str, Any]) -> bool:
    try:
        return bool(stage.client.submit(given))
    except (Unreachable, RedisError):
        return False


def test_a_worker_started_by_celery_itself_lives_too(stage: Stage) -> None:
    """Celery would have it listen to other workers, where a cut connection was its end."""
    config = {"RIPCORD_CONFIG": str(stage.config)}
    words = ("celery", "-A", "worker.app", "worker", "--concurrency", "4", "-Q", "ripcord.kill")
    with Process(words, stage.folder / "celery.log", stage.config, **config) as process:
        assert until(lambda: process.events("worker.started") or not process.running()), process.text()

        restarted(stage)
        until(lambda: False, 2.0)
        cut(stage)

        assert until(lambda: len(stage.client.workers()) == len(stage.workers) + 1, SOON_S)
        assert process.running(), process.text()
        assert "Unrecoverable" not in process.text()
        assert process.end() == 0
