"""What a soak prints: a line for each fault while it runs, a table and the findings in the end."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tests.soak.crew import Crew
from tests.soak.findings import Record, Told

NUMBER: Final = re.compile(r"[0-9a-f]*\d[0-9a-f-]*")
MOST_REASONS: Final = 30

Rows = list[tuple[str, str]]


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def count(record: Record, crew: Crew, mishaps: Sequence[str]) -> Rows:
    """Count what a soak did, and what came of it."""
    reports = [told.report for told in record.told.values()]
    statuses = Counter(row["status"] for told in record.told.values() for row in told.outcomes)
    verdicts = Counter(row["verdict"] for told in record.told.values() for row in told.outcomes)
    proving = [record.told[a.batch_id] for a in record.asked if a.proves and a.batch_id in record.told]
    sweeps = [record.told[a.batch_id] for a in record.asked if a.select is not None and a.batch_id in record.told]
    accounts = record.truth.venues
    cancels, reads = (record.truth.sums(what, accounts) for what in ("cancel_calls", "read_calls"))
    rows = [
        ("batches", f"{len(record.asked)} handed in, {sum(each.acknowledged for each in record.asked)} acknowledged"),
        ("batches by state", _counted(Counter(report["state"] for report in reports))),
        ("orders by status", _counted(statuses)),
        ("orders by verdict", _counted(verdicts)),
        ("sweeps by verdict", _counted(Counter(str(told.report["verdict"]) for told in sweeps))),
        *(("unproven", f"{number} {why}") for why, number in unproven(proving).most_common(MOST_REASONS)),
        ("faults", _counted(Counter(mishaps))),
        ("calls that venues spoiled", _counted(_hits(record.truth.counters))),
        ("workers", f"{crew.restarts} started again, {crew.own_exits} of them after an exit of their own"),
        ("calls", f"{sum(report['calls'] for report in reports)} reported; {cancels} cancels and {reads} reads made"),
    ]
    return [*rows, *((what, str(record.truth.sums(what, accounts))) for what in ("breaches", "bad_signatures"))]


def unproven(told: Iterable[Told]) -> Counter[str]:
    """Group the orders that ended unproven, and the accounts that were not swept, by the reason."""
    reasons: Counter[str] = Counter()
    for each in told:
        if each.report["verdict"] is None:
            continue
        for row in each.outcomes:
            if row["verdict"] == "unproven":
                words = " ".join(str(row[name]) for name in ("evidence", "code", "message") if row[name] is not None)
                reasons[f"{row['venue']} {row['status']}: {NUMBER.sub('#', words)}"] += 1
        for account, text in each.shown.items():
            if text != "empty":
                reasons[f"{account} not swept: {NUMBER.sub('#', text)}"] += 1
    return reasons


def print_table(rows: Rows) -> None:
    """Print the table."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name.replace('_', ' '):<{width}}  {value}\n")


def print_findings(found: Sequence[str]) -> None:
    """Print what was found, a line each."""
    for line in found:
        sys.stdout.write(f"FINDING  {line}\n")
    sys.stdout.write(f"{len(found)} findings\n" if found else "clean\n")
    sys.stdout.flush()


def _hits(counters: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]) -> Counter[str]:
    hits: Counter[str] = Counter()
    for row in (*counters["accounts"].values(), *counters["nobody"].values()):
        hits.update(row.get("faults", {}))
    return hits


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common()) or "none"
