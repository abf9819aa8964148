"""Writes the rows down as Markdown; pure."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.rows import Cells, Row, Target

INTRODUCTION = (
    "Written by `make bench`; README.md says how each row is measured. Ratios count, not absolutes: every"
    " contender runs in each round, a ratio is that of one round, and its middle is shown with its least and greatest."
)


def write(rows: Sequence[Row], facts: Mapping[str, str], rounds: int) -> str:
    """Give RESULTS.md: the targets first, then each row, and what it was measured on."""
    parts = ["# Results", INTRODUCTION]
    failed = [row.name for row in rows if not row.counts]
    if failed:
        parts.append(f"**These rows do not count**, as the venues' counters contradict them: {', '.join(failed)}.")
    parts += ["## Against the targets", _targets(rows)]
    for row in rows:
        parts += [f"## {row.title}", _table(row.header, row.lines), *([row.note] if row.note else [])]
        parts += ["**Does not count:**\n\n" + _list(row.faults)] if row.faults else []
    parts += ["## Machine", _list([*(f"{name}: {value}" for name, value in facts.items()), f"rounds: {rounds}"])]
    return "\n\n".join(parts) + "\n"


def summary(row: Row) -> str:
    """Give one row for a terminal."""
    lines = [row.title, *("  " + "  |  ".join(cells) for cells in (row.header, *row.lines))]
    lines += [f"  {_measured(target)} (target {_bound(target)}): {_verdict(row, target)}" for target in row.targets]
    return "\n".join([*lines, *(f"  DOES NOT COUNT: {fault}" for fault in row.faults)])


def _targets(rows: Iterable[Row]) -> str:
    lines = [
        (row.name, target.measure, _bound(target), _figure(target), _verdict(row, target))
        for row in rows
        for target in row.targets
    ]
    return _table(("row", "measure", "target", "figure", ""), lines)


def _verdict(row: Row, target: Target) -> str:
    if not row.counts:
        return "does not count"
    return "met" if target.met else "missed"


def _measured(target: Target) -> str:
    return f"{target.measure}: {_figure(target)}"


def _figure(target: Target) -> str:
    return f"{target.figure:,.3g}{target.unit}" if target.figure < 1000 else f"{target.figure:,.0f}{target.unit}"


def _bound(target: Target) -> str:
    return f"{'≤' if target.at_most else '≥'} {target.bound:g}{target.unit}"


def _table(header: Cells, lines: Iterable[Cells]) -> str:
    rule = tuple("---" for _ in header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"* {item}" for item in items)
