"""What the simulator knows of the orders and the calls: the truth that reports are held against."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from simulator.control import Control
from tests.end_to_end.waiting import until

LIVE: Final = frozenset({"open", "partly_filled"})
KINDS: Final = ("order_id", "client_order_id", "order_list_id", "client_order_list_id")
CANCEL_ALLS: Final = frozenset(  # they name no order: what they touch is what is open when they come
    {
        ("DELETE", "/api/v3/openOrders"),
        ("POST", "/private/cancel-all-orders"),
        ("POST", "/private/advanced/cancel-all-orders"),
        ("POST", "/capi/v2/order/cancelAllOrders"),
    }
)

CALLS_MEANWHILE: Final = 10_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator knows of some accounts, at one moment.

    ``orders`` are those that a name (account, kind of id, id) stands for: several if it names a list.
    ``applied`` tells for (account, id) when cancels had an effect, and ``asked`` when any came that named it, in ms;
    ``cancel_alls`` are the calls, as the simulator logs them, that took what was open.  ``reads`` tells for
    (account, path) when it was read there, and which fault spoiled that.  ``flights`` tells for (account, order_id)
    from when to when cancels that named the order waited for their answers.  ``cut`` says that the simulator has
    forgotten calls.
    """

    venues: Mapping[str, str]
    orders: Mapping[tuple[str, str, str], Sequence[Row]]
    applied: Mapping[tuple[str, str], Sequence[int]]
    asked: Mapping[tuple[str, str], Sequence[int]]
    counters: Mapping[str, Any]
    reads: Mapping[tuple[str, str], Sequence[tuple[int, str | None]]] = field(default_factory=dict)
    cancel_alls: Sequence[Row] = ()
    flights: Mapping[tuple[str, str], Sequence[tuple[int, int]]] = field(default_factory=dict)
    cut: bool = False

    @classmethod
    def of(cls, control: Control, accounts: Iterable[str]) -> "Truth":
        """Ask for all of it, once no cancel is under way any more."""
        names = sorted(accounts)
        assert until(lambda: not any(order["canceling"] for name in names for order in control.book(name)))
        venues = {account["name"]: account["venue"] for account in control.accounts()}
        orders: dict[tuple[str, str, str], list[Row]] = {}
        for name in names:
            _index(name, control.book(name), control.lists(name), orders)
        counters = control.counters()
        log = control.log(limit=counters["calls"] + CALLS_MEANWHILE)
        alls = [call for call in log if (call["method"], call["path"]) in CANCEL_ALLS]
        others = [call for call in log if (call["method"], call["path"]) not in CANCEL_ALLS]
        times = _times(log, "applied"), _times(others, "asked")
        truth = cls(venues, orders, *times, counters, _reads(others), alls, cut=len(log) < counters["calls"])
        return replace(truth, flights=_flights(truth, (call for call in others if call["purpose"] == "cancel")))

    def book(self, account: str) -> Iterator[Row]:
        """Give every order of one account."""
        for (name, kind, _), rows in self.orders.items():
            if (name, kind) == (account, "order_id"):
                yield from rows

    def find(self, account: str, kind: str, value: str) -> Sequence[Row]:
        """Find what a reference names; a UUID in capitals names the same order."""
        return self.orders.get((account, kind, value)) or self.orders.get((account, kind, value.lower())) or ()

    def named(self, account: str, value: str) -> frozenset[str]:
        """Give the order_id of everything that an id of any kind names; the id itself if it names nothing."""
        found = {order["order_id"] for kind in KINDS for order in self.find(account, kind, value)}
        return frozenset(found or {value})

    def sums(self, what: str, accounts: Iterable[str]) -> int:
        """Add up one counter over *accounts*, and over the callers that their venues did not let in."""
        names = set(accounts)
        venues = {self.venues[name] for name in names}
        nobody = [row for row in self.counters["nobody"].values() if row["venue"] in venues]
        rows = [row for name, row in self.counters["accounts"].items() if name in names] + nobody
        values = [row.get(what, 0) for row in rows]
        return sum(sum(value.values()) if isinstance(value, dict) else value for value in values)


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


def ended_ms(order: Row) -> float:
    """Say when an order ended; infinity for one that is open."""
    return math.inf if order["state"] in LIVE else float(order["updated_ms"])


def _reads(log: Iterable[Row]) -> dict[tuple[str, str], list[tuple[int, str | None]]]:
    """Say when each account was asked for each path, and which fault spoiled that."""
    found: dict[tuple[str, str], list[tuple[int, str | None]]] = {}
    for call in log:
        found.setdefault((call["account"], call["path"]), []).append((call["at_ms"], call["fault"]))
    return found


def _times(log: Iterable[Row], what: str) -> dict[tuple[str, str], list[int]]:
    """Say when each order of an account was named by a call under *what*."""
    found: dict[tuple[str, str], list[int]] = {}
    for call in log:
        for name in call[what]:
            found.setdefault((call["account"], name), []).append(call["at_ms"])
    return found


def _flights(truth: Truth, log: Iterable[Row]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Say for each order when calls that named it waited for their answers, of a log of cancels."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for call in log:
        flight = call["at_ms"], call["at_ms"] + call["held_ms"]
        names = (truth.named(call["account"], name) for name in call["asked"])
        for order_id in frozenset[str]().union(*names):
            found.setdefault((call["account"], order_id), []).append(flight)
    return found
