"""What people see: tables on stdout, progress on stderr."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tasks.client import Client

VERDICT_STYLES: Final = {"flat": "green", "not_flat": "bold red", "unproven": "yellow"}
MEANINGS: Final = {
    "flat": "every order is gone",
    "not_flat": "at least one order is known to be live",
    "unproven": "no order is known to be live, but some are not proven gone",
}
PLAIN_STEP: Final = 0.1  # without a terminal, progress is told in steps of a tenth


def print_json(document: object) -> None:
    """Print one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print JSON Lines to stdout."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def print_csv(rows: Iterable[Mapping[str, Any]], header: Iterable[str]) -> None:
    """Print CSV with *header* to stdout."""
    writer = csv.DictWriter(sys.stdout, fieldnames=list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def say(sentence: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(f"{sentence}\n")


def print_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table to stdout: as wide as it needs to be, and plain when that is no terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=100_000, soft_wrap=True)
    console.print(table)


def print_report(
    found: Mapping[str, Any], sweeps: Mapping[str, str] | None = None, pauses: Mapping[str, str] | None = None
) -> None:
    """Print a batch's report for people, to stdout.

    *sweeps* say of each account of a sweep what its last listing showed, *pauses* which accounts pause, and why.
    """
    console = Console(highlight=False, soft_wrap=True)
    verdict = found["verdict"]
    state = f"{found['state']}: {verdict}, {MEANINGS[verdict]}" if verdict else found["state"]
    console.print(f"batch     {found['batch_id']}", markup=False)
    console.print(f"state     {state}", style=VERDICT_STYLES.get(verdict or ""), markup=False)
    for error in found["errors"]:
        console.print(f"error     {error}", markup=False)
    console.print(
        f"orders    {found['orders']}: {found['gone']} gone, {found['live']} live, {found['unproven']} unproven"
    )
    for account, shown in (sweeps or {}).items():
        console.print(f"swept     {account}: {shown}", markup=False)
    counts = ", ".join(f"{status} {number}" for status, number in sorted(found["counts"].items()))
    console.print(f"statuses  {counts or '-'}")
    console.print(f"calls     {found['calls']}")
    for name in ("priority", "requested_by", "reason", "replay_of"):
        if found[name]:
            console.print(f"{name:<9} {found[name]}", markup=False)
    if found["done_ms"] and found["submitted_ms"]:
        first = found["first_call_ms"]
        to_first = f", first call after {first - found['submitted_ms']} ms" if first else ""
        console.print(f"time      {found['done_ms'] - found['submitted_ms']} ms{to_first}")
    print_pauses(pauses or {})


def print_pauses(pauses: Mapping[str, str]) -> None:
    """Print which accounts pause, for how long and why, to stdout."""
    console = Console(highlight=False, soft_wrap=True)
    for account, why in pauses.items():
        console.print(f"paused    {account}: {why}", style="yellow", markup=False)


class Progress:
    """Progress on stderr: a table that is redrawn on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._told = -1.0

    def show(self, accounts: Mapping[str, Mapping[str, int]]) -> None:
        """Show how many orders of each account are gone, live and unproven."""
        if self._live is not None:
            self._live.update(_table(accounts))
            return
        total = sum(row["orders"] for row in accounts.values())
        settled = sum(row["gone"] + row["live"] for row in accounts.values())
        if total and (settled / total >= self._told + PLAIN_STEP or (settled == total and self._told < 1)):
            self._told = settled / total
            parts = (
                f"{name} {r['gone']} gone {r['live']} live {r['unproven']} unproven" for name, r in accounts.items()
            )
            say("; ".join(parts))

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Draw while the block runs."""
        if not sys.stderr.isatty():
            yield self
            return
        with Live(console=Console(stderr=True), refresh_per_second=10, transient=True) as live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None


def follow(client: Client, batch_id: str, until_ms: float | None) -> dict[str, Any]:
    """Show a batch's progress until it is done or *until_ms* has come, and give its last report."""
    found: dict[str, Any] = {}
    with Progress().shown() as progress:
        for report in client.follow(batch_id, until_ms):
            progress.show(client.progress(batch_id))
            found = report
    return found


def _table(accounts: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("account", "orders", "gone", "live", "unproven"):
        table.add_column(name, justify="left" if name == "account" else "right")
    for name, row in accounts.items():
        table.add_row(name, *(str(row[column]) for column in ("orders", "gone", "live", "unproven")))
    return table
