"""Compares what was reported with what the simulator knows; the one place where tests judge a batch.

Every rule here is written down anew from the contract, so that the product's own tables cannot excuse it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.control import Control
from tests.end_to_end.waiting import until

KINDS: Final = ("order_id", "client_order_id", "order_list_id", "client_order_list_id")
VERDICTS: Final[Mapping[str, str]] = {
    "pending": "unproven",
    "canceled": "gone",
    "filled": "gone",
    "closed": "gone",
    "accepted": "unproven",
    "not_found": "gone",
    "rejected": "live",
    "open": "live",
    "not_sent": "live",
    "invalid": "live",
    "unknown": "unproven",
}
NEVER_DONE: Final = frozenset({"not_sent", "invalid", "rejected"})  # these say that the venue did not cancel it
LIVE: Final = frozenset({"open", "partly_filled"})

Name = tuple[str, str, str, str | None]  # account, kind of id, id, symbol where the venue needs it


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator knows of some accounts, at one moment."""

    venues: Mapping[str, str]
    books: Mapping[str, Sequence[Mapping[str, Any]]]
    lists: Mapping[str, Sequence[Mapping[str, Any]]]
    log: Sequence[Mapping[str, Any]]
    counters: Mapping[str, Any]

    @classmethod
    def of(cls, control: Control, accounts: Iterable[str]) -> "Truth":
        """Ask for all of it, once no cancel is under way any more."""
        names = sorted(accounts)
        assert until(lambda: not any(order["canceling"] for name in names for order in control.book(name)))
        venues = {account["name"]: account["venue"] for account in control.accounts()}
        books = {name: control.book(name) for name in names}
        lists = {name: control.lists(name) for name in names}
        return cls(venues, books, lists, control.log(), control.counters())

    def sums(self, what: str, accounts: Iterable[str]) -> int:
        """Add up one counter over *accounts*, and over the callers that their venues did not let in."""
        names = set(accounts)
        venues = {self.venues[name] for name in names}
        nobody = [row for row in self.counters["nobody"].values() if row["venue"] in venues]
        rows = [row for name, row in self.counters["accounts"].items() if name in names] + nobody
        values = [row.get(what, 0) for row in rows]
        return sum(sum(value.values()) if isinstance(value, dict) else value for value in values)


def audit(
    truth: Truth, asked: Iterable[Mapping[str, Any]], report: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Say everything in which one batch's *report* and *outcomes* contradict each other, *asked* or the *truth*.

    *asked* are the order references of the batch, each with its account.
    """
    book = _Book(truth)
    found = _compare_names(truth, asked, outcomes)
    found += _compare_counts(report, outcomes)
    for row in outcomes:
        found += [f"{row['account']} {_id(row)}: {trouble}" for trouble in book.judge(row)]
    return found


def audit_calls(
    truth: Truth,
    reports: Iterable[Mapping[str, Any]],
    accounts: Iterable[str],
    *,
    lost: bool = False,
    breaches: int | None = 0,
    denied: int | None = 0,
) -> list[str]:
    """Say in which the calls of *reports*, all that touched *accounts*, contradict the simulator's counters.

    With *lost*, workers were killed: a call may then be counted though it never left, but none left uncounted.
    Breaches and denied calls are not looked at where None are expected.
    """
    names = sorted(accounts)
    said, made = sum(report["calls"] for report in reports), truth.sums("cancel_calls", names)
    found = []
    if said < made or (said > made and not lost):
        found.append(f"the reports count {said} calls, the simulator {made}")
    for what, expected in (("breaches", breaches), ("bad_signatures", denied)):
        number = truth.sums(what, names)
        if expected not in (None, number):
            found.append(f"{number} {what}, and {expected} were expected")
    return found


def _compare_names(
    truth: Truth, asked: Iterable[Mapping[str, Any]], outcomes: Iterable[Mapping[str, Any]]
) -> list[str]:
    wanted = {_name(truth, row) for row in asked}
    got = Counter(_name(truth, row) for row in outcomes)
    lost = [f"{name} was asked for, and has no outcome" for name in sorted(wanted - got.keys(), key=str)]
    strange = [f"{name} has an outcome, and was not asked for" for name in sorted(got.keys() - wanted, key=str)]
    double = [f"{name} has {number} outcomes" for name, number in got.items() if number > 1]
    return lost + strange + double


def _compare_counts(report: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Hold the report to its outcomes, and both to the contract's tables."""
    verdicts = Counter(row["verdict"] for row in outcomes)
    wrong = [
        f"{row['status']} is not {row['verdict']}" for row in outcomes if VERDICTS[row["status"]] != row["verdict"]
    ]
    flat = "flat" if verdicts["gone"] == len(outcomes) else "unproven"
    expected = {
        "orders": len(outcomes),
        "counts": dict(Counter(row["status"] for row in outcomes)),
        "gone": verdicts["gone"],
        "live": verdicts["live"],
        "unproven": verdicts["unproven"],
    }
    if report["state"] == "done":
        expected["verdict"] = "not_flat" if verdicts["live"] else flat
        wrong += ["the batch is done, and an order is pending" for row in outcomes if row["status"] == "pending"]
        if report["done_ms"] is None or report["done_ms"] < report["submitted_ms"]:
            wrong.append("the batch is done, and does not say when")
    return wrong + [
        f"the report says {name} {report[name]!r}, the outcomes {value!r}"
        for name, value in expected.items()
        if report[name] != value
    ]


class _Book:
    """The truth about single references."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._orders: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        for account, rows in truth.books.items():
            by_id = {row["order_id"]: row for row in rows}
            for row in rows:
                for kind in KINDS[:2]:
                    self._orders.setdefault((account, kind, str(row[kind])), []).append(row)
            for each in truth.lists.get(account, ()):
                legs = [by_id[order_id] for order_id in each["order_ids"]]
                for kind in KINDS[2:]:
                    self._orders[account, kind, each[kind]] = legs
        self._applied = {(call["account"], name) for call in truth.log for name in call["applied"]}
        self._asked = {(call["account"], name) for call in truth.log for name in call["asked"]}

    def judge(self, row: Mapping[str, Any]) -> Iterable[str]:
        """Say what one outcome claims and is not so."""
        account, status = row["account"], row["status"]
        kind = _kind(row)
        value = str(row[kind])
        # Upbit's and Kuna's ids are UUIDs, which name the same order in capitals
        orders = self._orders.get((account, kind, value)) or self._orders.get((account, kind, value.lower()), [])
        states = {order["state"] for order in orders}
        applied = any((account, order["order_id"]) in self._applied for order in orders)
        if row["verdict"] == "gone" and states & LIVE:
            yield f"FALSE GONE: {status}, and the book says {sorted(states)}"
        if status == "canceled" and "canceled" not in states:
            yield f"canceled, and the book says {sorted(states)}"
        if status == "filled" and states != {"filled"}:
            yield f"filled, and the book says {sorted(states)}"
        if status == "closed" and not orders:
            yield "closed, and it never existed"
        if status == "not_found" and orders:
            yield f"not found, and the book says {sorted(states)}"
        if status == "accepted" and not applied:
            yield f"accepted, and no cancel of it was ever applied; the book says {sorted(states)}"
        if status in NEVER_DONE and applied:
            yield f"{status}, and a cancel of it was applied"
        if status == "open" and not states & LIVE and not applied:
            yield f"open, and the book says {sorted(states)}"
        if status == "invalid" and (account, value) in self._asked:
            yield "invalid, and was sent"
        if row["verdict"] == "gone" and len(orders) == 1 and row["filled_qty"] is not None:
            if row["filled_qty"] != orders[0]["filled_qty"]:
                yield f"filled_qty {row['filled_qty']}, and the book says {orders[0]['filled_qty']}"


def _name(truth: Truth, row: Mapping[str, Any]) -> Name:
    """Name an order as the contract does: only Binance needs the symbol to tell orders apart."""
    kind = _kind(row)
    symbol = row.get("symbol") if truth.venues.get(row["account"]) == "binance" else None
    return row["account"], kind, row[kind], symbol


def _kind(row: Mapping[str, Any]) -> str:
    """Give the kind of id that *row* was asked by: an outcome may also tell the venue's order_id."""
    given = [kind for kind in KINDS if row.get(kind) is not None]
    return next((kind for kind in given if kind != "order_id"), "order_id")


def _id(row: Mapping[str, Any]) -> str:
    return f"{_kind(row)} {row[_kind(row)]}"
