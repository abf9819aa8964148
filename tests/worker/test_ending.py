"""How processes end: by signals, and when nobody reads their output any more."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.end_to_end.batches import document, named, run
from tests.end_to_end.stage import Stage, staged
from tests.end_to_end.waiting import until
from worker.settings import child_environment

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("ending")) as stage:
        yield stage


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_worker_well(stage: Stage, number: signal.Signals) -> None:
    worker = stage.worker()

    assert worker.end(number) == 0

    assert worker.events("worker.stopped")
    assert "Traceback" not in worker.text()


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)])
def test_a_second_interrupt_ends_a_worker_in_the_middle_of_a_call(
    stage: Stage, numbers: tuple[signal.Signals, ...]
) -> None:
    stage.clean()
    worker = stage.worker()
    stage.control.fault("latency", delay_ms=5_000)
    asked = named(stage.control.seed("binance-sim", 1), "binance-sim")
    stage.client.submit(document(asked, deadline_s=1))
    assert until(stage.control.log)

    *first, last = numbers
    for number in first:
        worker.send(number)
        assert until(lambda: "Warm shutdown" in worker.text())

    assert worker.end(last) == 130
    assert "Traceback" not in worker.text()
    assert not worker.events("call.answered")


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["outcomes", "ID", "--json"], ["outcomes", "ID"], ["show", "ID"],
                  ["watch", "ID"], ["watch", "ID", "--json"], ["venues"]]
)  # fmt: skip
def test_output_that_nobody_reads_changes_no_ending(stage: Stage, arguments: list[str]) -> None:
    stage.clean()
    if not [worker for worker in stage.workers if worker.running()]:
        stage.worker()
    report, _ = run(stage, document(named(stage.control.seed("upbit-sim", 300), "upbit-sim"), prove=True))
    assert report["verdict"] == "flat"
    words = [report["batch_id"] if word == "ID" else word for word in arguments]
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker", *words],
        stdout=write,
        stderr=subprocess.PIPE,
        env=child_environment(stage.config),
        timeout=30,
        check=False,
    )
    os.close(write)

    assert done.stderr.decode() == "" or arguments[0] == "watch"
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    assert done.returncode == 0


def test_progress_is_not_kept_back_until_the_end() -> None:
    parts = ("import sys; from worker.pipes import forgive_broken_pipes; from worker.display import say",
             "forgive_broken_pipes(); say('now'); sys.stdin.readline()")  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", "; ".join(parts)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], 10)[0]
        assert process.stderr.readline() == b"now\n"
        process.communicate(b"\n", timeout=10)
