import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis, RedisError

from tasks import keys
from tests.end_to_end.audit import Truth, audit, audit_calls
from tests.end_to_end.batches import Rows, document, judge, named, run, statuses
from tests.end_to_end.stage import Process, Stage, producing, staged, wait_for_start
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

ENDED: Final = {"canceled", "accepted"}


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose workers and whose Redis the tests stop and kill."""
    with staged(tmp_path_factory.mktemp("lifecycle")) as stage:
        yield stage


@pytest.fixture
def stage(own_stage: Stage) -> Stage:
    own_stage.clean()
    return own_stage


def workers(stage: Stage, number: int) -> list[Process]:
    """Have just so many workers: those that an earlier test has left, and new ones, for to start one takes seconds."""
    running = [worker for worker in stage.workers if worker.running()]
    for worker in running[number:]:
        worker.end(signal.SIGKILL)
    return running[:number] + [stage.worker() for _ in range(number - len(running))]


def large_batch(stage: Stage) -> Rows:
    counts = {"binance": 24, "crypto_com": 60, "kuna": 40, "upbit": 80, "weex": 30}
    return [row for venue, count in counts.items() for row in seeded(stage, venue, count)]


def seeded(stage: Stage, venue: str, count: int) -> Rows:
    return named(stage.control.seed(f"{venue}-sim", count, partly=count // 10), f"{venue}-sim")


def under_way(stage: Stage, at_least: int = 5) -> Callable[[], bool]:
    """Say when cancels are under way: the simulator has taken some, and answers them later."""
    return lambda: len(cancels(stage)) >= at_least


def cancels(stage: Stage) -> list[dict[str, Any]]:
    """Give the calls of which the simulator knows that cancel; a worker that is new has asked for the time, too."""
    return [call for call in stage.control.log() if call["asked"]]


def calls_of(stage: Stage) -> list[str]:
    return [name for call in stage.control.log() for name in call["asked"]]


def check(stage: Stage, asked: Rows, report: dict[str, Any], *, may_be: set[str] = ENDED) -> None:
    """Judge a batch after which calls may have been lost, or made by workers that were not warm."""
    accounts = {row["account"] for row in asked}
    truth = Truth.of(stage.control, accounts)

    def faults() -> list[str]:
        return audit(truth, asked, stage.client.report(report["batch_id"]), stage.client.outcomes(report["batch_id"]))

    until(lambda: not faults())  # a worker that was frozen may still add what it learned
    assert faults() == []
    outcomes = stage.client.outcomes(report["batch_id"])
    assert audit_calls(truth, [report], accounts, lost=True, breaches=None) == []
    assert set(statuses(outcomes)) <= may_be
    if "unknown" not in may_be:  # what a worker that is gone may have sent is sent once more
        assert len(calls_of(stage)) == len(set(calls_of(stage)))


def test_two_workers_share_the_work(stage: Stage) -> None:
    pair = workers(stage, 2)
    before = [len(worker.events("call.answered")) for worker in pair]
    stage.control.fault("latency", delay_ms=50)
    batches = [document(large_batch(stage), deadline_s=60) for _ in range(2)]

    ids = [stage.client.submit(given) for given in batches]

    reports = [stage.client.wait(batch_id, 60) for batch_id in ids]
    accounts = {row["account"] for row in batches[0]["orders"]}
    truth = Truth.of(stage.control, accounts)
    for given, report in zip(batches, reports, strict=True):
        assert audit(truth, given["orders"], report, stage.client.outcomes(report["batch_id"])) == []
        assert report["counts"].keys() <= ENDED
    assert audit_calls(truth, reports, accounts, breaches=None) == []
    assert len(calls_of(stage)) == len(set(calls_of(stage)))
    assert all(len(worker.events("call.answered")) > number for worker, number in zip(pair, before, strict=True))
    done = [event["batch"] for worker in pair for event in worker.events("batch.done")]
    assert sorted(done) == sorted(ids)
    assert len(stage.client.workers()) == 2


def test_a_frozen_worker_gives_way_and_its_late_answers_still_count(stage: Stage) -> None:
    (first,) = workers(stage, 1)
    stage.control.fault("latency", delay_ms=300)
    asked = large_batch(stage)
    batch_id = stage.client.submit(document(asked, deadline_s=60))
    assert until(under_way(stage))
    first.send(signal.SIGSTOP)
    stage.control.clear_faults()
    second = stage.worker()
    assert until(lambda: second.events("chunk.recovered"))

    first.send(signal.SIGCONT)

    check(stage, asked, stage.client.wait(batch_id, 60), may_be=ENDED | {"unknown"})
    assert first.running()
    assert second.running()


def test_kill_9_beside_another_worker_loses_no_order_and_claims_nothing(stage: Stage) -> None:
    first, _ = workers(stage, 2)
    stage.control.fault("latency", delay_ms=300)
    asked = large_batch(stage)
    batch_id = stage.client.submit(document(asked, deadline_s=40))
    assert until(under_way(stage))

    first.end(signal.SIGKILL)

    stage.control.clear_faults()
    report = stage.client.wait(batch_id, 60)
    check(stage, asked, report, may_be=ENDED | {"unknown"})
    assert report["done_ms"] - report["submitted_ms"] < 40_000


def test_kill_9_of_the_only_worker_leaves_its_batches_open_until_there_is_another(stage: Stage) -> None:
    """One of the two is late by then: nobody says done, and nobody claims anything, while no worker is there."""
    (worker,) = workers(stage, 1)
    stage.control.fault("latency", delay_ms=400)
    asked = large_batch(stage)
    late = seeded(stage, "upbit", 1_500)
    batch_id = stage.client.submit(document(asked, deadline_s=40))
    late_id = stage.client.submit(document(late, deadline_s=1))
    assert until(under_way(stage))
    worker.end(signal.SIGKILL)
    assert until(lambda: stage.client.workers() == [])
    assert stage.client.report(batch_id)["state"] == "running"
    assert stage.client.report(late_id)["state"] in {"accepted", "running"}
    stage.control.clear_faults()

    stage.worker()

    reports = [stage.client.wait(each, 40) for each in (batch_id, late_id)]
    truth = Truth.of(stage.control, {row["account"] for row in asked})
    for rows, report in zip((asked, late), reports, strict=True):
        assert audit(truth, rows, report, stage.client.outcomes(report["batch_id"])) == []
    assert reports[0]["counts"].keys() <= ENDED | {"unknown"}
    assert reports[1]["counts"].keys() <= ENDED | {"unknown", "not_sent"}


def test_kill_9_while_a_batch_is_taken_in_loses_no_order(stage: Stage) -> None:
    """The plan of so many orders is written in many slices: the next worker goes on where this one stopped."""
    (worker,) = workers(stage, 1)
    asked = named(stage.control.seed("upbit-sim", 10_000), "upbit-sim")
    given = document(asked, deadline_s=2)
    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(given)})
    planned = keys.orders(given["batch_id"])
    assert until(lambda: stage.raw.hlen(planned) > 0)

    worker.end(signal.SIGKILL)

    assert stage.raw.hlen(planned) < len(asked)
    stage.worker()
    report = stage.client.wait(given["batch_id"], 40)
    check(stage, asked, report, may_be=ENDED | {"unknown", "not_sent"})


def test_sigterm_settles_what_is_under_way_and_a_second_worker_does_the_rest(stage: Stage) -> None:
    (worker,) = workers(stage, 1)
    stage.control.fault("latency", delay_ms=300)
    asked = large_batch(stage)
    batch_id = stage.client.submit(document(asked, deadline_s=60))
    assert until(under_way(stage))

    assert worker.end() == 0

    report = stage.client.report(batch_id)
    assert report["state"] == "running"
    assert "unknown" not in report["counts"]
    assert report["calls"] == len(cancels(stage))
    assert worker.events("worker.stopped")
    assert not [name for name in stage.client.workers() if f"-{worker.pid}-" in name]
    stage.control.clear_faults()
    second = stage.worker()
    judge(stage, asked, stage.client.wait(batch_id, 60), stage.client.outcomes(batch_id), breaches=None)
    assert set(statuses(stage.client.outcomes(batch_id))) <= ENDED
    assert len(calls_of(stage)) == len(set(calls_of(stage))) == len(asked)
    assert second.end() == 0  # without work, too
    assert "Traceback" not in worker.text() + second.text()


def test_a_kill_passes_a_long_clean_up_of_the_same_account(stage: Stage) -> None:
    workers(stage, 1)
    slow = document(seeded(stage, "kuna", 400), priority="cleanup", deadline_s=30)
    stage.client.submit(slow)
    assert until(under_way(stage, 1))

    report, outcomes = run(stage, document(seeded(stage, "kuna", 2), priority="kill"))

    assert report["counts"].keys() <= ENDED, outcomes
    assert stage.client.report(slow["batch_id"])["state"] != "done"
    stage.client.wait(slow["batch_id"], 40)


def test_work_goes_on_after_a_redis_without_persistence_was_restarted(stage: Stage) -> None:
    workers(stage, 1)

    stage.redis.kill()
    stage.redis.restart()

    assert until(lambda: alive(stage.raw))
    asked = seeded(stage, "binance", 3) + seeded(stage, "upbit", 3)
    batch_id = stage.client.submit(document(asked, deadline_s=40))
    assert until(lambda: stage.client.report(batch_id)["state"] == "done" or not stage.workers[-1].running())
    workers(stage, 1)  # whoever watches over processes starts one that has ended
    check(stage, asked, stage.client.wait(batch_id, 40))


def test_a_redis_that_freezes_for_a_moment_loses_nothing(stage: Stage) -> None:
    (worker,) = workers(stage, 1)
    stage.control.fault("latency", delay_ms=200)
    asked = large_batch(stage)
    batch_id = stage.client.submit(document(asked, deadline_s=60))
    assert until(under_way(stage))

    freeze(stage, 3.0)

    report = stage.client.wait(batch_id, 60)
    check(stage, asked, report, may_be=ENDED | {"unknown"})
    assert worker.running()


def freeze(stage: Stage, seconds: float) -> None:
    os.kill(stage.redis.pid, signal.SIGSTOP)
    try:
        until(lambda: False, seconds)
    finally:
        os.kill(stage.redis.pid, signal.SIGCONT)


def alive(raw: Redis) -> bool:
    try:
        return bool(raw.ping())
    except RedisError:
        return False


def test_a_worker_that_starts_before_redis_waits_for_it_or_says_so(stage: Stage) -> None:
    workers(stage, 0)
    stage.redis.kill()
    worker = stage.worker(ready=False)
    assert until(lambda: "Redis" in worker.text() or not worker.running())

    stage.redis.restart()

    if until(lambda: not worker.running(), 2):
        assert worker.end() == 4
        assert "check that Redis runs" in worker.text()
        assert "Traceback" not in worker.text()
    else:
        wait_for_start(worker)
        assert run(stage, document(seeded(stage, "binance", 3)))[0]["verdict"] == "flat"


def test_a_worker_for_kills_alone_serves_nothing_else(stage: Stage) -> None:
    workers(stage, 0)
    worker = stage.worker("--queues", "kill")
    risk = document(seeded(stage, "binance", 2), priority="risk", deadline_s=30)
    kill = document(seeded(stage, "upbit", 2), priority="kill")

    for given in (risk, kill):
        stage.client.submit(given)

    assert stage.client.wait(kill["batch_id"], 20)["counts"].keys() <= ENDED
    assert {call["venue"] for call in stage.control.log() if call["asked"]} == {"upbit"}
    assert stage.client.report(risk["batch_id"])["state"] == "accepted"
    stage.worker("--queues", "risk,cleanup")
    assert stage.client.wait(risk["batch_id"], 20)["verdict"] == "flat"
    assert worker.end() == 0


def test_what_a_way_in_has_answered_survives_a_redis_with_persistence_that_is_killed(tmp_path: Path) -> None:
    with staged(tmp_path, append_only=True) as stage:
        by_client, by_stream, by_task, by_cli = (document(seeded(stage, "binance", 2)) for _ in range(4))
        stage.client.submit(by_client)
        stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(by_stream)})
        with producing(stage.redis.url) as app:
            task = app.send_task("ripcord.cancel_batch", [by_task], queue="ripcord.risk")
            assert stage.cli("cancel", "--file", "-", stdin=json.dumps(by_cli)).returncode == 0

            stage.redis.kill()
            stage.redis.restart()

            assert until(lambda: alive(stage.raw))
            stage.worker()
            given = (by_client, by_stream, by_task, by_cli)
            assert until(lambda: all(stage.raw.exists(keys.batch(each["batch_id"])) for each in given))
            reports = [stage.client.wait(each["batch_id"], 20) for each in given]
            # Celery's client lost its subscription with Redis; when it subscribes again it looks at the result first
            # and subscribes second, and waits for ever for one that comes in between.  So we look, and do not wait.
            assert until(task.ready)
            assert task.get() == reports[2]
        truth = Truth.of(stage.control, ["binance-sim"])
        for each, report in zip(given, reports, strict=True):
            assert audit(truth, each["orders"], report, stage.client.outcomes(each["batch_id"])) == []
            assert report["verdict"] == "flat"
