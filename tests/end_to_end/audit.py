"""Compares what was reported with what the simulator knows; the one place where tests judge a batch.

Every rule here is written down anew from the contract, so that the product's own tables cannot excuse it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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

Row = Mapping[str, Any]
Name = tuple[str, str, str, str | None]  # account, kind of id, id, symbol where the venue needs it


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator knows of some accounts, at one moment.

    ``orders`` are those that a name (account, kind of id, id) stands for: several if it names a list.
    ``applied`` and ``asked`` are (account, id) of every cancel that had an effect, and of every one that came.
    """

    venues: Mapping[str, str]
    orders: Mapping[tuple[str, str, str], Sequence[Row]]
    applied: frozenset[tuple[str, str]]
    asked: frozenset[tuple[str, str]]
    counters: Mapping[str, Any]

    @classmethod
    def of(cls, control: Control, accounts: Iterable[str]) -> "Truth":
        """Ask for all of it, once no cancel is under way any more."""
        names = sorted(accounts)
        assert until(lambda: not any(order["canceling"] for name in names for order in control.book(name)))
        venues = {account["name"]: account["venue"] for account in control.accounts()}
        orders: dict[tuple[str, str, str], list[Row]] = {}
        for name in names:
            _index(name, control.book(name), control.lists(name), orders)
        log = control.log()
        applied = frozenset((call["account"], order_id) for call in log for order_id in call["applied"])
        asked = frozenset((call["account"], value) for call in log for value in call["asked"])
        return cls(venues, orders, applied, asked, control.counters())

    def find(self, account: str, kind: str, value: str) -> Sequence[Row]:
        """Find what a reference names; a UUID in capitals names the same order."""
        return self.orders.get((account, kind, value)) or self.orders.get((account, kind, value.lower())) or ()

    def sums(self, what: str, accounts: Iterable[str]) -> int:
        """Add up one counter over *accounts*, and over the callers that their venues did not let in."""
        names = set(accounts)
        venues = {self.venues[name] for name in names}
        nobody = [row for row in self.counters["nobody"].values() if row["venue"] in venues]
        rows = [row for name, row in self.counters["accounts"].items() if name in names] + nobody
        values = [row.get(what, 0) for row in rows]
        return sum(sum(value.values()) if isinstance(value, dict) else value for value in values)


def audit(truth: Truth, asked: Iterable[Row], report: Row, outcomes: Sequence[Row]) -> list[str]:
    """Say everything in which one batch's *report* and *outcomes* contradict each other, *asked* or the *truth*.

    *asked* are the order references of the batch, each with its account.
    """
    found = _compare_names(truth, asked, outcomes)
    found += _compare_counts(report, outcomes)
    for row in outcomes:
        found += [f"{row['account']} {_kind(row)} {row[_kind(row)]}: {lie}" for lie in _lies(truth, row)]
    return found


def audit_calls(
    truth: Truth,
    reports: Iterable[Row],
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


def _compare_names(truth: Truth, asked: Iterable[Row], outcomes: Iterable[Row]) -> list[str]:
    wanted = {_name(truth, row) for row in asked}
    got = Counter(_name(truth, row) for row in outcomes)
    lost = [f"{name} was asked for, and has no outcome" for name in sorted(wanted - got.keys(), key=str)]
    strange = [f"{name} has an outcome, and was not asked for" for name in sorted(got.keys() - wanted, key=str)]
    double = [f"{name} has {number} outcomes" for name, number in got.items() if number > 1]
    return lost + strange + double


def _compare_counts(report: Row, outcomes: Sequence[Row]) -> list[str]:
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


@dataclass(frozen=True, slots=True)
class _Claim:
    """One outcome beside what is true of its order."""

    status: str
    gone: bool
    states: frozenset[str]
    applied: bool
    sent: bool

    @property
    def lives(self) -> bool:
        return bool(self.states & LIVE)


LIES: Final[Sequence[tuple[str, Callable[[_Claim], bool]]]] = (
    ("FALSE GONE", lambda it: it.gone and it.lives),
    ("no order of it was canceled", lambda it: it.status == "canceled" and "canceled" not in it.states),
    ("it was not filled", lambda it: it.status == "filled" and it.states != {"filled"}),
    ("it never existed", lambda it: it.status == "closed" and not it.states),
    ("it does exist", lambda it: it.status == "not_found" and bool(it.states)),
    ("no cancel of it was ever applied", lambda it: it.status == "accepted" and not it.applied),
    ("a cancel of it was applied", lambda it: it.status in NEVER_DONE and it.applied),
    ("it was open at no time since", lambda it: it.status == "open" and not it.lives and not it.applied),
    ("it was sent", lambda it: it.status == "invalid" and it.sent),
)


def _lies(truth: Truth, row: Row) -> Iterable[str]:
    """Say what one outcome claims and is not so."""
    account, kind = row["account"], _kind(row)
    orders = truth.find(account, kind, row[kind])
    claim = _Claim(
        status=row["status"],
        gone=row["verdict"] == "gone",
        states=frozenset(order["state"] for order in orders),
        applied=any((account, order["order_id"]) in truth.applied for order in orders),
        sent=(account, row[kind]) in truth.asked,
    )
    for sentence, is_lie in LIES:
        if is_lie(claim):
            yield f"{claim.status}, but {sentence}; the book says {sorted(claim.states)}"
    if claim.gone and len(orders) == 1 and row["filled_qty"] not in (None, orders[0]["filled_qty"]):
        yield f"filled_qty {row['filled_qty']}, but the book says {orders[0]['filled_qty']}"


def _index(
    account: str, book: Sequence[Row], lists: Iterable[Row], found: dict[tuple[str, str, str], list[Row]]
) -> None:
    """Put every order and list of one book into *found*, under each of its names."""
    by_id = {row["order_id"]: row for row in book}
    for row in book:
        for kind in KINDS[:2]:
            found.setdefault((account, kind, str(row[kind])), []).append(row)
    for each in lists:
        for kind in KINDS[2:]:
            found[account, kind, each[kind]] = [by_id[order_id] for order_id in each["order_ids"]]


def _name(truth: Truth, row: Row) -> Name:
    """Name an order as the contract does: only Binance needs the symbol to tell orders apart."""
    kind = _kind(row)
    symbol = row.get("symbol") if truth.venues.get(row["account"]) == "binance" else None
    return row["account"], kind, row[kind], symbol


def _kind(row: Row) -> str:
    """Give the kind of id that *row* was asked by: an outcome may also tell the venue's order_id."""
    given = [kind for kind in KINDS if row.get(kind) is not None]
    return next((kind for kind in given if kind != "order_id"), "order_id")
