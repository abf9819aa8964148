import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.client import Client
from tasks.errors import Unreachable
from tests.end_to_end.batches import document
from tests.end_to_end.stage import Process, Stage, free_port, staged
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

MOST_S = 10.0  # by its timeouts it is 3 s; redis-py by itself would take more than 20
UUID = "6c1eac69-b9bc-4fbf-9982-e9c4641c453f"
ORDER = {"order_id": UUID, "account": "upbit-sim"}
COMMANDS = [
    ["cancel", "--account", "upbit-sim", UUID],
    ["cancel", "--account", "upbit-sim", "--wait", "30", "--json", UUID],
    ["show", "b-1", "--json"],
    ["outcomes", "b-1", "--csv"],
    ["watch", "b-1"],
    ["list"],
    ["check", "--json"],
]
CALLS: list[Callable[[Client], object]] = [
    lambda client: client.submit(document([ORDER])),
    lambda client: client.report("b-1"),
    lambda client: client.outcomes("b-1"),
    lambda client: client.progress("b-1"),
    lambda client: client.wait("b-1", 30),
    lambda client: client.latest(5),
    lambda client: client.workers(),
    lambda client: client.pauses(["upbit-sim"]),
]


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage without a worker, whose Redis may be stopped."""
    with staged(tmp_path_factory.mktemp("frozen")) as stage:
        yield stage


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    """Let Redis take connections, and never answer."""
    os.kill(stage.redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stage.redis.pid, signal.SIGCONT)


@pytest.fixture
def dead_url() -> str:
    return f"redis://user:verysecretword@127.0.0.1:{free_port()}/0"


def check_said_so(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 4, done.stderr
    assert "Redis" in done.stderr
    assert "check" in done.stderr
    assert "redis.url" in done.stderr
    assert "Traceback" not in done.stderr
    assert "verysecretword" not in done.stderr + done.stdout
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_says_in_time_that_redis_refuses(own_stage: Stage, dead_url: str, arguments: list[str]) -> None:
    start_s = time.monotonic()

    done = own_stage.here(*arguments, RIPCORD_REDIS_URL=dead_url)

    check_said_so(done)
    assert time.monotonic() - start_s < MOST_S


def test_every_command_says_in_time_that_redis_is_frozen(own_stage: Stage) -> None:
    def run(arguments: list[str]) -> tuple[subprocess.CompletedProcess[str], float]:
        start_s = time.monotonic()
        return own_stage.cli(*arguments), time.monotonic() - start_s

    with frozen(own_stage), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run, COMMANDS))

    for done, seconds in found:
        check_said_so(done)
        assert seconds < MOST_S


def test_every_method_of_the_client_raises_in_time(own_stage: Stage, dead_url: str) -> None:
    def run(call: Callable[[Client], object], url: str) -> float:
        start_s = time.monotonic()
        with pytest.raises(Unreachable) as unreachable, Client(url) as client:
            call(client)
        assert "verysecretword" not in str(unreachable.value)
        assert unreachable.value.__cause__ is None
        return time.monotonic() - start_s

    with frozen(own_stage), ThreadPoolExecutor(2 * len(CALLS)) as pool:
        seconds = list(pool.map(run, CALLS * 2, [dead_url] * len(CALLS) + [own_stage.redis.url] * len(CALLS)))

    assert max(seconds) < MOST_S


def test_a_redis_that_freezes_while_somebody_waits_is_told(own_stage: Stage) -> None:
    batch_id = own_stage.client.submit(document([ORDER]))
    log = own_stage.folder / "watch.log"
    with Process(("worker", "watch", batch_id), log, own_stage.config) as watching:
        assert until(lambda: any("xread" in each["cmd"] for each in own_stage.raw.client_list())), watching.text()
        with frozen(own_stage):
            assert until(lambda: not watching.running(), MOST_S)
        assert watching.end() == 4
        assert "check that Redis runs" in watching.text()


@pytest.mark.parametrize(
    "url",
    ["redis://no-such-host.invalid:6379/0", "rediss://127.0.0.1:{port}/0", "unix:///no/such/socket"],
)
def test_other_addresses_where_nothing_answers(own_stage: Stage, url: str) -> None:
    done = own_stage.here("list", RIPCORD_REDIS_URL=url.format(port=free_port()))

    assert done.returncode == 4, done.stderr
    assert "check that Redis runs" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:6379", "redis:/x"])
def test_what_is_no_address_of_a_redis_is_a_configuration_error(own_stage: Stage, url: str) -> None:
    done = own_stage.here("list", RIPCORD_REDIS_URL=url)

    assert done.returncode == 2, done.stderr
    assert "RIPCORD_REDIS_URL" in done.stderr


def test_a_server_that_is_no_redis_is_told(own_stage: Stage) -> None:
    """The simulator takes the connection, and answers in HTTP."""
    done = own_stage.here("list", RIPCORD_REDIS_URL=own_stage.simulator_url.replace("http:", "redis:"))

    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["venues"], ["venues", "--json"], ["--help"], ["cancel", "--help"], ["--version"]]
)
def test_what_needs_no_redis_works_without(own_stage: Stage, tmp_path: Path, arguments: list[str]) -> None:
    done = own_stage.here(*arguments, config=tmp_path / "missing.toml")

    assert done.returncode == 0, done.stderr
    assert done.stdout
