"""Celery tasks that wait for a batch: each is answered, whenever it comes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tasks import keys
from tests.tasks.lanes import Lanes
from worker.service import Service
from worker.settings import Settings, child_environment

pytestmark = pytest.mark.redis


@dataclass
class Office:
    """A service whose threads do not run, over lanes with a batch "b" of one order, and all that it answers."""

    service: Service
    lanes: Lanes
    answers: list[str]
    _between: Callable[[], None] | None = field(default=None)

    def __post_init__(self) -> None:
        self.lanes.put("b", "1")
        self._read = self.service.client.report
        self.service.client.report = self._report  # type: ignore[method-assign]

    def _report(self, batch_id: str) -> dict[str, Any]:
        between, self._between = self._between, None
        if between is not None:
            between()
        return self._read(batch_id)

    def meanwhile(self, happens: Callable[[], None]) -> None:
        """Let something happen right before the next look at a report."""
        self._between = happens

    def end(self) -> None:
        """Settle the only order."""
        assert self.lanes.settle(self.lanes.claim()).ended


@pytest.fixture
def office(redis_client: Redis, redis_url: str) -> Iterator[Office]:
    answers: list[str] = []
    settings = Settings(redis_url, 7.0, {})
    service = Service(settings, lambda *_: None, lambda task_id, _: answers.append(task_id))
    yield Office(service, Lanes(redis_client), answers)
    service.close()


def test_a_task_that_waits_is_answered_once_the_batch_is_done(office: Office) -> None:
    assert office.service.await_report("b", "first") is None
    office.service.reply("b")
    assert office.answers == []

    office.end()
    office.service.reply("b")

    assert office.answers == ["first"]
    assert not office.lanes.redis.exists(keys.AWAITED, keys.awaiting("b"))


def test_a_task_that_comes_after_the_end_has_the_report_at_once(office: Office) -> None:
    office.end()

    found = office.service.await_report("b", "late")

    assert found is not None
    assert found["state"] == "done"


def test_a_task_that_comes_right_before_the_end_is_not_forgotten(office: Office) -> None:
    """The watch looks after the first just when the second comes and the batch ends, and whoever ended it is killed."""
    assert office.service.await_report("b", "first") is None

    def second_comes_and_the_batch_ends() -> None:
        assert office.service.await_report("b", "second") is None
        office.end()

    office.meanwhile(second_comes_and_the_batch_ends)
    office.service.reply("b")

    assert sorted(office.answers) == ["first", "second"]


def test_nobody_is_answered_for_a_batch_that_is_forgotten(office: Office) -> None:
    office.lanes.redis.sadd(keys.AWAITED, "forgotten")

    office.service.reply("forgotten")

    assert office.answers == []
    assert not office.lanes.redis.exists(keys.AWAITED)


ANSWERS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

from worker.app import app

one_by_one, together = Lock(), Barrier(8)

def answer(number):
    together.wait()
    with one_by_one:
        app.backend.store_result(str(number), {}, "SUCCESS")

app.backend.store_result("first", {}, "SUCCESS")
before = len(app.backend.client.client_list())
with ThreadPoolExecutor(8) as pool:
    list(pool.map(answer, range(8)))
    print(len(app.backend.client.client_list()) - before)
"""


def test_threads_that_answer_one_after_the_other_share_a_connection(redis_url: str, tmp_path: Path) -> None:
    """A worker has a thread for each call that may be in flight, and any of them may be the one that ends a batch."""
    config = tmp_path / "ripcord.toml"
    config.write_text(f'[redis]\nurl = "{redis_url}"\n', encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-c", ANSWERS],
        env=child_environment(config),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("0\n", "")
