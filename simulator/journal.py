"""What was called and what came of it, counted and logged; the only place that keeps either."""

from collections import Counter, deque
from dataclasses import dataclass, field, fields
from typing import Final

LOG_LENGTH: Final = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. ``status`` is 0 where no answer was given; ``applied`` are the orders whose cancel it started.

    ``purpose`` is what it was for, and ``held_ms`` says for how long the answer was held back.
    """

    at_ms: int
    venue: str
    account: str | None
    method: str
    path: str
    asked: tuple[str, ...]
    status: int
    applied: tuple[str, ...]
    fault: str | None = None
    breach: str | None = None
    purpose: str = ""
    held_ms: int = 0


@dataclass(slots=True)
class Counts:
    """Sums of one account, or of the callers of a venue that were not let in."""

    venue: str
    calls: int = 0
    cancel_calls: int = 0
    read_calls: int = 0
    time_calls: int = 0
    asked: int = 0
    applied: int = 0
    bad_signatures: int = 0
    breaches: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)


class Journal:
    """The newest calls, and sums over all of them."""

    def __init__(self) -> None:
        self.log: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self.counts: dict[str, Counts] = {}

    def write(self, entry: Entry, *, denied: bool = False) -> None:
        """Log and count one call."""
        self.log.append(entry)
        name = entry.account or f"{entry.venue}:nobody"
        counts = self.counts.get(name)
        if counts is None:
            counts = self.counts[name] = Counts(entry.venue)
        counts.calls += 1
        counts.statuses[entry.status] += 1
        counts.asked += len(entry.asked)
        counts.applied += len(entry.applied)
        counts.bad_signatures += denied
        if entry.purpose == "cancel":
            counts.cancel_calls += 1
        elif entry.purpose == "read":
            counts.read_calls += 1
        else:
            counts.time_calls += 1
        if entry.breach is not None:
            counts.breaches[entry.breach] += 1
        if entry.fault is not None:
            counts.faults[entry.fault] += 1

    def entries(self, account: str | None, since_ms: int, limit: int) -> list[dict[str, object]]:
        """Give the newest entries, oldest first, as JSON objects."""
        found = [e for e in self.log if e.at_ms >= since_ms and account in (None, e.account)]
        names = [each.name for each in fields(Entry)]  # asdict is ten times slower
        return [{name: getattr(entry, name) for name in names} for entry in found[-limit:]]

    def sums(self) -> dict[str, dict[str, object]]:
        """Give the sums by account, as JSON objects."""
        names = [each.name for each in fields(Counts)]
        return {account: {name: getattr(counts, name) for name in names} for account, counts in self.counts.items()}

    def clear(self) -> None:
        """Forget everything."""
        self.log.clear()
        self.counts.clear()
