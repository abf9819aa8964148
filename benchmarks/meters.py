"""What processes and a Redis have used up; the only place that asks the operating system and INFO."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final
from uuid import uuid4

from redis import Redis

CPU_OF_A_PROCESS: Final = 2  # CPUCLOCK_SCHED: user and system time of all threads; linux/posix-timers.h
KIB: Final = 1024
SLOW_US: Final = 500
SLOW_KEPT: Final = 10_000


def cpu_s(pids: Iterable[int]) -> list[float]:
    """Give the CPU seconds that each of the processes *pids* has used so far, with all of its threads (Linux)."""
    return [time.clock_gettime((~pid << 3) | CPU_OF_A_PROCESS) for pid in pids]


def rss_bytes(pid: int) -> int:
    """Give how much memory the process *pid* has resident (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * KIB


def used_bytes(redis: Redis) -> int:
    """Give Redis' used_memory."""
    found: Any = redis.info("memory")
    return int(found["used_memory"])


def executed(redis: Redis) -> int:
    """Add up the calls of INFO commandstats: every command executed, those inside of scripts too."""
    found: Any = redis.info("commandstats")
    return sum(int(row["calls"]) for row in found.values())


def round_trips(redis: Redis) -> int:
    """Give how often Redis has read from a client: a pipeline counts once, a script once, whatever is in it."""
    found: Any = redis.info("stats")
    return int(found["total_reads_processed"])


@dataclass(slots=True)
class Slowest:
    """The longest script that Redis ran, in milliseconds; 0 if none took ``SLOW_US``."""

    ms: float = 0.0


@contextmanager
def slowest(redis: Redis) -> Iterator[Slowest]:
    """Find the longest script for as long as the block lasts, by SLOWLOG."""
    found = Slowest()
    before: Any = redis.config_get("slowlog-*")
    redis.config_set("slowlog-log-slower-than", SLOW_US)
    redis.config_set("slowlog-max-len", SLOW_KEPT)
    redis.slowlog_reset()
    try:
        yield found
        entries: Any = redis.slowlog_get(SLOW_KEPT)
        found.ms = max((row["duration"] / 1000 for row in entries if row["command"].startswith(b"EVAL")), default=0.0)
    finally:
        for name, value in before.items():
            redis.config_set(name, value)


@dataclass(slots=True)
class Traffic:
    """Commands that Redis took: ``sent`` by its clients, and ``scripted`` inside of their scripts."""

    sent: int = 0
    scripted: int = 0


@contextmanager
def traffic(redis: Redis) -> Iterator[Traffic]:
    """Count commands with MONITOR for as long as the block lasts; it slows Redis down, so time nothing meanwhile."""
    found, end = Traffic(), f"end-of-traffic-{uuid4()}"
    with redis.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py has no types for it

        def listen() -> None:
            for row in monitor.listen():
                if end in row["command"]:
                    return
                if row["client_type"] == "lua":
                    found.scripted += 1
                else:
                    found.sent += 1

        thread = Thread(target=listen, name="traffic", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            redis.echo(end)
            thread.join()
