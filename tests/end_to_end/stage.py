"""A Redis, the simulated venues, workers and the command line as real processes, all ended with the stage."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from unittest.mock import patch

from celery import Celery
from redis import Redis

from simulator.accounts import CREDENTIALS, made_up
from simulator.control import Control
from tasks import keys
from tasks.client import Client
from tests.end_to_end.waiting import PATIENCE_S, until
from worker.cli import main
from worker.embedded import EmbeddedRedis
from worker.settings import child_environment

VENUES: Final = ("binance", "crypto_com", "kuna", "upbit", "weex")
ROOTS: Final[Mapping[str, str]] = {
    "binance": "/binance",
    "crypto_com": "/crypto_com/exchange/v1",
    "kuna": "/kuna",
    "upbit": "/upbit",
    "weex": "/weex",
}
CLI_TIMEOUT_S: Final = 60.0
PORTS: Final = range(12_000, 20_000)
GUARD_MS: Final = 100  # venues and workers share a machine that may be busy: its jitter is no breach of ours


class Process:
    """One of our modules as a process of its own, with its output in a file."""

    def __init__(self, parts: Sequence[str], log: Path, config: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *parts],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=child_environment(config) | environment,
                cwd=log.parent,
                start_new_session=True,  # so that all that it starts can be ended with it
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send_to_all(signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send it and all that it has started a signal, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def has_company(self) -> bool:
        """Say whether anything that it has started still runs; ask once it has ended itself."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        """Send it *number* and give its exit code.  Raises TimeoutExpired."""
        self.send(number)
        return self._process.wait(timeout_s)

    def text(self) -> str:
        """Give all that it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the log events called *name*, oldest first."""
        lines = (line for line in self.text().splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for event in map(json.loads, lines) if event.get("event") == name]


@dataclass(slots=True)
class Stage:
    """All that a test needs: where things are, and how to start more of them."""

    folder: Path
    redis: EmbeddedRedis
    simulator_url: str
    config: Path
    control: Control
    client: Client
    raw: Redis
    stack: ExitStack
    workers: list[Process] = field(default_factory=list)

    def worker(self, *arguments: str, config: Path | None = None, ready: bool = True, **environment: str) -> Process:
        """Start a worker, and wait until it works."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        process = Process(("worker", "worker", *arguments), log, config or self.config, **environment)
        self.workers.append(self.stack.enter_context(process))
        if ready:
            wait_for_start(process)
        return process

    def cli(
        self, *arguments: str, stdin: str | bytes = b"", config: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-P", "-m", "worker", *arguments],
            input=given,
            capture_output=True,
            env=child_environment(config or self.config) | environment,
            cwd=self.folder,
            timeout=CLI_TIMEOUT_S,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def here(
        self, *arguments: str, stdin: str | bytes = b"", config: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in this process: what does not turn on processes saves a third of a second so."""
        given = io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin))
        out, err, code = io.StringIO(), io.StringIO(), 0
        ours = child_environment(config or self.config) | environment
        with (
            patch.dict(os.environ, ours, clear=True),
            patch.object(sys, "stdin", given),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main(list(arguments))
            except SystemExit as leaving:
                code = int(leaving.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def events(self, kind: str | None = None, **fields: str) -> list[dict[str, str]]:
        """Give the events on Redis, oldest first; only those of *kind* and with these *fields*."""
        found: Any = self.raw.xrange(keys.EVENTS)
        rows = [row for _, row in found if kind in (None, row["type"])]
        return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]

    def clean(self) -> None:
        """Forget what a test leaves: books, logs and faults of the venues, our pauses, windows and what is gone."""
        self.control.reset()
        for pattern in (f"{keys.PREFIX}limit:*", keys.pause("*", "*"), f"{keys.gone('*')}*", f"{keys.sent('*')}*"):
            for key in [*self.raw.scan_iter(pattern)]:
                self.raw.delete(key)
        self.raw.delete(keys.PAUSED)


def wait_for_start(worker: Process) -> None:
    """Wait until a worker says that it works, or fail with what it said instead."""
    assert until(lambda: worker.events("worker.started") or not worker.running()), worker.text()
    assert worker.running(), worker.text()


@contextmanager
def staged(
    folder: Path, *, append_only: bool = False, seed: int = 0, guard_ms: int | None = GUARD_MS
) -> Iterator[Stage]:
    """Set the stage in *folder*: a Redis, and the simulator with one account for each venue; no worker yet.

    *seed* is that of the simulator's ids and dice, *guard_ms* the workers' ``limiter.guard_ms`` (None: as it
    is by default).
    """
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(append_only=append_only))
        config = folder / "ripcord.toml"
        url = stack.enter_context(simulated(folder, config, redis.url, seed=seed))
        if guard_ms is not None:
            with config.open("a", encoding="utf-8") as out:
                out.write(f"\n[limiter]\nguard_ms = {guard_ms}\n")
        control = Control(url)
        client = stack.enter_context(Client(redis.url))
        raw = stack.enter_context(Redis.from_url(redis.url, decode_responses=True))
        yield Stage(folder, redis, url, config, control, client, raw, stack)


@contextmanager
def simulated(folder: Path, config: Path, redis_url: str, port: int = 0, seed: int = 0) -> Iterator[str]:
    """Run a simulator that writes its own configuration to *config*, and give its address."""
    parts = (
        "simulator",
        "--port",
        str(port),
        "--seed",
        str(seed),
        "--config-out",
        str(config),
        "--redis-url",
        redis_url,
    )
    log = folder / f"simulator-{config.stem}.log"
    with Process(parts, log, config) as process:
        said = "listening on "
        assert until(lambda: said in process.text() or not process.running()), process.text()
        yield next(line.removeprefix(said) for line in process.text().splitlines() if line.startswith(said))


@contextmanager
def producing(redis_url: str) -> Iterator[Celery]:
    """Give a producer's own application: it knows an address and a task's name, and nothing of ours.

    Its subscription to results ends with it.  A result that is garbage would else take leave of a Redis that is long
    gone, whenever it is collected, and the error would be another test's.
    """
    with Celery("producer", broker=redis_url, backend=redis_url, set_as_current=False) as app:
        try:
            yield app
        finally:
            consumer = app.backend.result_consumer
            consumer.stop()
            consumer.subscribed_to.clear()


def add_account(config: Path, name: str, venue: str, base_url: str, secrets: Mapping[str, str], **more: str) -> None:
    """Append an account to the file *config*, with its *secrets* in files beside it; *more* are plain keys."""
    lines = ["", f"[accounts.{name}]", f'venue = "{venue}"', f'base_url = "{base_url}{ROOTS[venue]}"']
    lines += [f'{key} = "{value}"' for key, value in more.items()]
    for key, value in secrets.items():
        file = config.parent / f"{name}.{key}"
        file.touch(mode=0o600)
        file.write_text(value, encoding="utf-8")
        lines.append(f'{key} = "file:{file}"')
    with config.open("a", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def secrets_of(venue: str, name: str) -> dict[str, str]:
    """Give the keys that the simulator makes up for its account *name*."""
    return {key: made_up(name, key) for key in CREDENTIALS[venue]}


def free_port() -> int:
    """Find a port where nobody listens; it is not one that an outgoing connection could be given meanwhile."""
    start = os.getpid() * 7
    for step in range(1_000):
        port = PORTS[(start + step) % len(PORTS)]
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def exists(pid: int) -> bool:
    """Say whether there is such a process; one that ended and was reaped is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
