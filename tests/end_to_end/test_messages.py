"""Celery messages in a worker's hands when it dies, or before they are messages at all."""

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from celery import Celery

from tests.end_to_end.batches import Rows, document, named
from tests.end_to_end.stage import Stage, producing, staged
from tests.end_to_end.waiting import until
from worker.settings import child_environment

pytestmark = pytest.mark.processes

QUEUES: Final = ("ripcord.kill", "ripcord.risk", "ripcord.cleanup")
# A worker that dies where kombu has read a message from Redis, and has told neither Celery nor Redis of it.
DIES = """
import os
from kombu.transport.virtual.base import Transport
Transport._deliver = lambda *_: os._exit(9)
from worker.cli import main
main(["worker"])
"""


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("messages")) as stage:
        yield stage


@pytest.fixture
def stage(own_stage: Stage) -> Iterator[Stage]:
    own_stage.clean()
    yield own_stage
    for worker in own_stage.workers:
        if worker.running():
            worker.end(signal.SIGKILL)


@pytest.fixture
def producer(stage: Stage) -> Iterator[Celery]:
    with producing(stage.redis.url) as app:
        yield app


def dying(stage: Stage) -> int:
    """Run a worker that dies of the first message, and give its exit code."""
    with Path(stage.folder / "dying.log").open("ab") as log:
        environment = child_environment(stage.config)
        command = [sys.executable, "-P", "-c", DIES]
        return subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=20, check=False).returncode


def orders(stage: Stage, count: int = 2) -> Rows:
    return named(stage.control.seed("binance-sim", count), "binance-sim")


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_survives_the_worker_that_had_just_taken_it(stage: Stage, producer: Celery, queue: str) -> None:
    result = producer.send_task("ripcord.cancel_batch", [document(orders(stage))], queue=queue)

    assert dying(stage) == 9

    stage.worker()
    assert result.get(timeout=20)["verdict"] == "flat"


def test_what_is_no_message_ends_no_worker_and_is_told(stage: Stage, producer: Celery) -> None:
    worker = stage.worker()
    odd = (b"\xff", b"", b"null", b"[]", b"{}", b'{"properties": []}', b'{"properties": {}}', b'{"body": "W", ')
    bad_body = {"body": "?", "properties": {"body_encoding": "base64"}}
    unknown = {"body": base64.b64encode(b"{}").decode(), "properties": {"body_encoding": "base64"}, "headers": {}}
    for raw in (*odd, json.dumps(bad_body).encode(), json.dumps(unknown).encode()):
        stage.raw.lpush("ripcord.kill", raw)

    result = producer.send_task("ripcord.cancel_batch", [document(orders(stage))], queue="ripcord.kill")

    assert result.get(timeout=20)["verdict"] == "flat"
    assert worker.running()
    assert until(lambda: stage.raw.hlen("unacked") == stage.raw.zcard("unacked_index") == 0)
    told = [each["bytes"] for each in worker.events("message.unreadable")]
    assert told == [*map(len, odd), len(json.dumps(bad_body))]


def test_the_kill_queue_goes_first_and_then_risk(stage: Stage, producer: Celery) -> None:
    asked: dict[str, list[str]] = {}
    for queue in reversed(QUEUES):
        for _ in range(3):
            given = document(orders(stage, 1))
            producer.send_task("ripcord.cancel_batch", [given], queue=queue, ignore_result=True)
            asked.setdefault(queue, []).append(given["batch_id"])

    stage.worker("--concurrency", "1")

    wanted = [batch_id for queue in QUEUES for batch_id in asked[queue]]
    assert until(lambda: len(accepted(stage, wanted)) == len(wanted))
    assert accepted(stage, wanted) == wanted


def accepted(stage: Stage, ids: list[str]) -> list[str]:
    return [event["batch_id"] for event in stage.events("batch.accepted") if event["batch_id"] in ids]


def test_a_worker_without_work_asks_seldom_and_one_with_too_much_keeps_its_connection(stage: Stage) -> None:
    stage.worker("--concurrency", "1")
    assert until(lambda: tracked(stage))
    connection = tracked(stage)
    assert len(connection) == 1
    before = questions(stage)
    until(lambda: False, 3.0)
    assert 1 <= questions(stage) - before <= 3 * 2 * 2  # two scripts a second, and as much again for a slow machine

    with Celery("producer", broker=stage.redis.url, set_as_current=False) as app:
        for _ in range(300):
            app.send_task("ripcord.drain", ["nobody"], queue="ripcord.cleanup", ignore_result=True)

    assert until(lambda: stage.raw.llen("ripcord.cleanup") == stage.raw.hlen("unacked") == 0)
    assert tracked(stage) == connection


def questions(stage: Stage) -> int:
    return int(stage.raw.info("commandstats")["cmdstat_eval"]["calls"])


def tracked(stage: Stage) -> set[str]:
    """Give the ids of the connections that are told of news."""
    return {each["id"] for each in stage.raw.client_list() if "B" in each["flags"]}
