"""The others as processes of their own: callers that are told what to cancel, and a naive Celery worker."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

from celery import group

from benchmarks import naive as naive_worker
from tests.end_to_end.stage import Process

WAIT_S = 60.0

Orders = Sequence[Mapping[str, str]]  # each with its order_id and symbol


class CallerError(Exception):
    """A contender did not do what it was asked; the text is its own."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an account is, and its keys, all of them made up by the simulator."""

    venue: str
    base_url: str
    keys: Mapping[str, str]


class Caller:
    """A process that cancels what it is told, line by line of JSON, and says how long each job took."""

    def __init__(self, python: Path, script: Path, folder: Path) -> None:
        self._command = [str(python), "-P", str(script)]
        self._log = folder / f"{script.stem}.log"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
                cwd=self._folder,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()  # it ends when there is nothing left to read

    def cancel(self, target: Target, orders: Orders, **how: Any) -> float:
        """Cancel *orders* and give the seconds that it took.  Raises CallerError."""
        if self._process is None:
            raise CallerError("it was not started")
        out, answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        job = {"base_url": target.base_url, "keys": dict(target.keys), "orders": [o["order_id"] for o in orders]}
        out.write(json.dumps(job | how) + "\n")
        out.flush()
        line = answers.readline()
        if not line:
            raise CallerError(self._log.read_text(encoding="utf-8", errors="replace")[-2000:])
        return float(json.loads(line)["seconds"])


class Naive:
    """A Celery worker as one would write it in an afternoon, and its producer."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._settings = folder / "naive.json"
        self._log = folder / "naive.log"
        self._redis_url = redis_url
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The worker."""
        if self._process is None:
            raise CallerError("it was not started")
        return self._process

    def start(self, stack: ExitStack, targets: Mapping[str, Target]) -> None:
        """Start the worker, which knows all of *targets*, and wait until it answers."""
        document = {"redis_url": self._redis_url, "targets": {name: asdict(each) for name, each in targets.items()}}
        self._settings.touch(mode=0o600)
        self._settings.write_text(json.dumps(document), encoding="utf-8")
        options = ("--pool", "threads", "--concurrency", "64", "--loglevel", "WARNING")
        command = ("celery", "-A", "benchmarks.naive", "worker", *options)
        environment = {naive_worker.VARIABLE: str(self._settings)}
        self._process = stack.enter_context(Process(command, self._log, self._settings, **environment))
        naive_worker.app.conf.update(broker_url=self._redis_url, result_backend=self._redis_url)
        naive_worker.ping.delay().get(timeout=WAIT_S)

    def cancel(self, jobs: Sequence[tuple[str, Orders]]) -> float:
        """Cancel the chunks *jobs* (account and orders), one task each; give the seconds until all results are in."""
        started_s = time.perf_counter()
        tasks = group(naive_worker.cancel.s(account, [dict(order) for order in orders]) for account, orders in jobs)
        results = tasks.apply_async().get(timeout=WAIT_S)
        took_s = time.perf_counter() - started_s
        if [len(rows) for rows in results] != [len(orders) for _, orders in jobs]:
            raise CallerError("the naive worker left orders out")
        return took_s
