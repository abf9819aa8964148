"""What a soak prints: a line for each fault while it runs, a table and the findings in the end."""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tests.end_to_end.audit import kind_of
from tests.end_to_end.truth import LIVE, Row
from tests.soak.crew import Crew
from tests.soak.findings import Asked, Record, Told

NUMBER: Final = re.compile(r"[0-9a-f]*\d[0-9a-f-]*")
MOST_REASONS: Final = 20
CHECKS: Final[Sequence[tuple[str, str]]] = (  # how a finding is counted: by the first of these that fits its words
    ("lost batches", "LOST"),
    ("lost orders", "has no outcome"),
    ("false gone", "FALSE GONE"),
    ("false flat", "FALSE FLAT"),
    ("other false claims", "; the book says "),
    ("weakened after their end", "WEAKENED"),
    ("two cancels in flight", "TWO CANCELS IN FLIGHT"),
    ("breaches", " breaches, and "),
    ("bad signatures", " bad_signatures, and "),
    ("leftovers in Redis", "^Redis: "),
    ("faults of workers", "^worker "),
    ("anything else", ""),
)

Rows = list[tuple[str, str]]


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def count(record: Record, crew: Crew, mishaps: Sequence[str]) -> Rows:
    """Count what a soak did, and what came of it."""
    reports = [told.report for told in record.told.values()]
    outcomes = [row for told in record.told.values() for row in told.outcomes]
    sweeps = [record.told[a.batch_id] for a in record.asked if a.select is not None and a.batch_id in record.told]
    accounts = record.truth.venues
    cancels, reads = (record.truth.sums(what, accounts) for what in ("cancel_calls", "read_calls"))
    return [
        ("batches", f"{len(record.asked)} handed in, {sum(each.acknowledged for each in record.asked)} acknowledged"),
        ("batches by state", _counted(Counter(report["state"] for report in reports))),
        ("ends in the events", str(sum(event["type"] == "batch.done" for event in record.events))),
        ("sweeps by verdict", _counted(Counter(told.report["verdict"] or told.report["state"] for told in sweeps))),
        ("orders by status", _counted(Counter(row["status"] for row in outcomes))),
        ("orders by verdict", _counted(Counter(row["verdict"] for row in outcomes))),
        *unproven(record),
        ("faults", _counted(Counter(mishaps))),
        ("calls that venues spoiled", _counted(_hits(record.truth.counters))),
        ("workers", f"{crew.restarts} started again, {crew.own_exits} of them after an exit of their own"),
        ("cancels that lost workers", f"{len(record.seized)}, each taken over by another one"),
        ("calls", f"{sum(report['calls'] for report in reports)} reported; {cancels} cancels and {reads} reads made"),
    ]


def unproven(record: Record) -> Rows:
    """Tell how many orders ended unproven, of all that were to be proven, what became of them in truth, and why.

    Each waited for its proof until its deadline came; why is what was known of it then.
    """
    proving = [(asked, told) for asked, told in _proving(record) if told.report["verdict"] is not None]
    rows = [row for _, told in proving for row in told.outcomes if row["verdict"] == "unproven"]
    alive = sum(_lives(record, row) for row in rows)
    all_in, some_in = Counter[float](), Counter[float]()
    for asked, told in proving:
        all_in[asked.deadline_s] += len(told.outcomes)
        some_in[asked.deadline_s] += told.report["unproven"]
    by_deadline = ", ".join(f"{some_in[each]} of {all_in[each]} in {each:g} s" for each in sorted(all_in))
    reasons, not_swept = Counter(map(_why, rows)), Counter[str]()
    for _, told in proving:
        not_swept.update(f"{name}: {NUMBER.sub('#', text)}" for name, text in told.shown.items() if text != "empty")
    return [
        (
            "orders unproven",
            f"{len(rows)} of {all_in.total()} when their deadlines came; the book has {alive} of them open",
        ),
        ("unproven by deadline", by_deadline or "none"),
        *_most(reasons, "unproven, known last"),
        *_most(not_swept, "accounts not swept"),
    ]


def _proving(record: Record) -> list[tuple[Asked, Told]]:
    return [(a, record.told[a.batch_id]) for a in record.asked if a.proves and a.batch_id in record.told]


def _lives(record: Record, row: Row) -> bool:
    orders = record.truth.find(row["account"], kind_of(row), row[kind_of(row)])
    return any(order["state"] in LIVE for order in orders)


def _why(row: Row) -> str:
    words = " ".join(str(row[name]) for name in ("evidence", "code", "message") if row[name] is not None)
    return f"{row['venue']} {row['status']}: {NUMBER.sub('#', words)}"


def _most(reasons: Counter[str], name: str) -> Rows:
    """Give the most frequent reasons, a row each, and how many have another one."""
    most = reasons.most_common(MOST_REASONS)
    rest = reasons.total() - sum(number for _, number in most)
    return [(name, f"{number} {why}") for why, number in most] + ([(name, f"{rest} of rarer reasons")] if rest else [])


def verdicts(record: Record, found: Sequence[str]) -> Rows:
    """Say of each thing that is audited how often it was found, and among how many."""
    accounts = record.truth.venues
    outcomes = sum(len(told.outcomes) for told in record.told.values())
    orders = sum(1 for account in accounts for _ in record.truth.book(account))
    calls = sum(record.truth.sums(what, accounts) for what in ("cancel_calls", "read_calls"))
    held = f"{outcomes} outcomes of {len(record.told)} batches"
    against = f"{orders} orders and {calls} calls in the books of {len(accounts)} accounts"
    counted = Counter(next(name for name, words in CHECKS if _fits(line, words)) for line in found)
    counted["breaches"] = record.truth.sums("breaches", accounts)  # one finding tells of all
    return [("audited", f"{held} with {against}"), *((name, str(counted[name])) for name, _ in CHECKS)]


def _fits(line: str, words: str) -> bool:
    return line.startswith(words[1:]) if words.startswith("^") else words in line


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
