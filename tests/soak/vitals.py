"""Memory, threads and open files of processes, read from /proc and held to bounds; without a /proc, nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process holds at one moment: resident memory in MiB, threads, and open file descriptors."""

    rss_mib: int
    threads: int
    files: int


# A crew that has met faults and full books for half of a soak grows no more than this in the other half, however long.
# The allocator keeps what the largest listing took in each of its arenas, and a line what it had in use at once; a
# thread or a file left at every fault or every call is more than these in minutes.
MAY_GROW: Final = Vitals(rss_mib=64, threads=40, files=80)


def read(pid: int) -> Vitals | None:
    """Read a process' vitals; None if it is gone, or this system has no /proc."""
    try:
        status = dict(line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines())
        files = sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
        return Vitals(int(status["VmRSS"].split()[0]) // 1024, int(status["Threads"]), files)
    except (OSError, KeyError):
        return None


def compare(name: str, before: Vitals | None, end: Vitals | None) -> list[str]:
    """Say in what a process that lived through has grown by more than it may since it was *before*."""
    if before is None or end is None:
        return []
    found = []
    for each in fields(Vitals):
        old, new, more = (getattr(vitals, each.name) for vitals in (before, end, MAY_GROW))
        if new > old + more:
            found.append(f"worker {name}: {each.name} {old} before, {new} at the end: grown by over {more}")
    return found


def told(name: str, looks: Iterable[Vitals | None]) -> list[tuple[str, str]]:
    """Write the vitals of a process at each of some *looks* at it, for the table."""
    seen = [vitals for vitals in looks if vitals is not None]
    rows = ((each.name, " → ".join(str(getattr(vitals, each.name)) for vitals in seen)) for each in fields(Vitals))
    return [(f"{name}: {what}", values) for what, values in rows]
