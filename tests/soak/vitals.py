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


# A crew that has once had all of its lines and places in use grows no more than this, however long the soak.  The
# allocator keeps some memory; a thread or a file left at every fault or every call is more than these in minutes.
MAY_GROW: Final = Vitals(rss_mib=64, threads=40, files=80)


def read(pid: int) -> Vitals | None:
    """Read a process' vitals; None if it is gone, or this system has no /proc."""
    try:
        status = dict(line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines())
        files = sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
        return Vitals(int(status["VmRSS"].split()[0]) // 1024, int(status["Threads"]), files)
    except (OSError, KeyError):
        return None


def compare(name: str, start: Vitals | None, end: Vitals | None) -> list[str]:
    """Say in what a process that lived through has grown by more than it may."""
    if start is None or end is None:
        return []
    found = []
    for each in fields(Vitals):
        before, after, more = (getattr(vitals, each.name) for vitals in (start, end, MAY_GROW))
        if after > before + more:
            found.append(f"worker {name}: {each.name} {before} at the start, {after} at the end: grown by over {more}")
    return found


def told(rows: Iterable[tuple[str, Vitals | None, Vitals | None]]) -> list[tuple[str, str]]:
    """Write the vitals of each process at the start and at the end, for the table."""
    return [
        (f"{name}: {each.name}", f"{getattr(start, each.name)} → {getattr(end, each.name)}")
        for name, start, end in rows
        if start is not None and end is not None
        for each in fields(Vitals)
    ]
