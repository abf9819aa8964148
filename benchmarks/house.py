"""All processes of a measurement: two Redis servers, the simulated venues, ripcord's workers, the others."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from redis import Redis

from benchmarks.accounts import CALLS_AT_ONCE, Account, bulk_account, keys_of, kill_accounts, naive_kill_accounts
from benchmarks.callers import Caller, Naive, Target
from simulator.control import Control
from tasks.client import Client
from tests.end_to_end.stage import ROOTS, Process, Stage, add_account, staged
from worker.embedded import EmbeddedRedis

RAISED: Final = 1_000_000  # units in a window: more than any row makes calls
CCXT_PYTHON: Final = Path(__file__).parent / ".venv" / "bin" / "python"
CONTENDERS: Final = ("ripcord", "ccxt", "ccxt-async", "requests", "requests-64", "celery-20", "celery-1")


@dataclass(slots=True)
class House:
    """The running processes, and the ways to each of them."""

    stage: Stage
    workers: list[Process]
    naive: Naive
    naive_redis: EmbeddedRedis
    callers: Mapping[str, Caller]
    targets: dict[str, Target] = field(default_factory=dict)
    _rules: dict[str, Any] = field(default_factory=dict)

    @property
    def control(self) -> Control:
        """The simulator's control API."""
        return self.stage.control

    @property
    def client(self) -> Client:
        """The way in to ripcord."""
        return self.stage.client

    @property
    def redis(self) -> Redis:
        """Ripcord's Redis."""
        return self.stage.raw

    def our_pids(self) -> list[int]:
        """Name all processes that ripcord takes: this one, which submits and waits, its Redis, then its workers."""
        return [os.getpid(), self.stage.redis.pid, *(worker.pid for worker in self.workers)]

    def naive_pids(self) -> list[int]:
        """Name all processes that the naive worker takes, in the same order."""
        return [os.getpid(), self.naive_redis.pid, self.naive.process.pid]

    def open(self, account: Account) -> None:
        """Open *account* at its simulated venue, and write it down for ripcord if that is to know it."""
        made = self.control.add_account(account.venue, account.name)
        base_url = f"{self.stage.simulator_url}{ROOTS[account.venue]}"
        self.targets[account.name] = Target(account.venue, base_url, keys_of(made))
        if account.ours:
            # Each has an address of its own: limits by IP are kept, but not shared between rows.
            config, keys, egress = self.stage.config, keys_of(made), account.name
            add_account(config, account.name, account.venue, self.stage.simulator_url, keys, egress=egress)
            with config.open("a", encoding="utf-8") as out:
                out.write(account.table())

    def lift_limits(self) -> None:
        """Have the venues allow as much as anyone can call; the headers that tell what is left say so too."""
        for venue, rules in self.control.limits()["rules"].items():
            for rule in rules:
                self._rules.setdefault(f"{venue} {rule['name']}", rule["limit"])
                self.control.limits(venue=venue, rule=rule["name"], limit=RAISED)

    def restore_limits(self) -> None:
        """Have the venues keep their documented limits again."""
        for name, limit in self._rules.items():
            venue, rule = name.split(" ")
            self.control.limits(venue=venue, rule=rule, limit=limit)

    def latency(self, ms: int) -> None:
        """Have every venue hold each answer back for *ms*."""
        self.control.clear_faults()
        if ms:
            self.control.fault("latency", delay_ms=ms)


@contextmanager
def furnished(accounts: Iterable[Account], rows: Iterable[str], kills: int) -> Iterator[House]:
    """Start everything that *rows* need, with *accounts* beside the bulk and kill rows' own."""
    wanted = set(rows)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ripcord-bench-")))
        stage = stack.enter_context(staged(folder, guard_ms=None))
        naive_redis = stack.enter_context(EmbeddedRedis())
        callers = dict(_callers(stack, folder, wanted))
        naive = Naive(naive_redis.url, folder)
        house = House(stage, [], naive, naive_redis, callers)
        for account in [
            *accounts,
            *map(bulk_account, CONTENDERS),
            *chain(*kill_accounts(kills).values()),
            *naive_kill_accounts(),
        ]:
            house.open(account)
        naive.start(stack, house.targets)
        house.workers.append(stage.worker("--concurrency", str(CALLS_AT_ONCE)))
        house.workers.append(stage.worker("--queues", "ripcord.kill", "--concurrency", str(CALLS_AT_ONCE)))
        yield house


def _callers(stack: ExitStack, folder: Path, rows: set[str]) -> Iterator[tuple[str, Caller]]:
    if "bulk" not in rows:
        return
    ours, ccxt = Path(sys.executable), CCXT_PYTHON
    here = Path(__file__).parent
    yield "requests", stack.enter_context(Caller(ours, here / "requests_caller.py", folder))
    yield "ccxt", stack.enter_context(Caller(ccxt, here / "ccxt_caller.py", folder))
