"""Compares what was reported with what the simulator knows; the one place where tests judge a batch.

Every rule here is written down anew from the contract, so that the product's own tables cannot excuse it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.end_to_end.truth import KINDS, LIVE, Row, Truth, ended_ms

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
CLOCKS_MS: Final = 250  # how far two processes' clocks may be apart: each has Redis' time by asking for it
LONGEST_CALL_MS: Final = 15_000  # what an answer tells was so when the venue was asked: a call takes at most 13 s
SURELY_WAITS_MS: Final = 8_000  # a caller waits 10 s for an answer, of which a busy machine may take some

Name = tuple[str, str, str, str | None]  # account, kind of id, id, symbol where the venue needs it
Order = tuple[str, str]  # account, the venue's id
Span = tuple[float, float]  # from when to when, in ms


def audit(
    truth: Truth,
    asked: Iterable[Row],
    report: Row,
    outcomes: Sequence[Row],
    elsewhere: Mapping[Order, Sequence[Span]] | None = None,
    *,
    swept: bool = True,
) -> list[str]:
    """Say everything in which one batch's *report* and *outcomes* contradict each other, *asked* or the *truth*.

    *asked* are the order references of the batch, each with its account.  *elsewhere* says when other batches
    may have canceled its orders: what they did before it came, or after it told an outcome, makes no lie of
    "not sent"; neither does what they did meanwhile to an order that they know by another name: it passes for two.
    A sweep that was not *swept* to its end, on some account, is never flat.
    """
    found = _compare_names(truth, asked, outcomes)
    found += _compare_counts(report, outcomes, swept=swept)
    for row in outcomes:
        mine = (report["submitted_ms"], row.get("updated_ms") or math.inf)
        lies = _lies(truth, row, mine, elsewhere or {})
        found += [f"{row['account']} {kind_of(row)} {row[kind_of(row)]}: {lie}" for lie in lies]
    return found


def audit_end(report: Row, by_ms: float) -> list[str]:
    """Say whether a batch that somebody was promised has not ended, was refused, or ended after *by_ms*."""
    if report["state"] != "done":
        return [f"its state is {report['state']}, and it should be done; errors: {report['errors']}"]
    late_ms = report["done_ms"] - by_ms
    return [f"it was done {late_ms / 1000:.1f} s later than it may be"] if late_ms > 0 else []


def audit_times(truth: Truth, spans: Mapping[Order, Sequence[Span]]) -> list[str]:
    """Say which cancels came at a time that lies in none of the *spans* in which their orders might be canceled."""
    found = []
    for (account, value), times in truth.asked.items():
        open_in = [span for name in truth.named(account, value) for span in spans.get((account, name), ())]
        for at_ms in times:
            if not any(start <= at_ms <= end for start, end in open_in):
                after = min((at_ms - end for _, end in open_in if end < at_ms), default=None)
                when = "no batch asked for it" if after is None else f"{after / 1000:.1f} s after its last deadline"
                found.append(f"{account} {value}: a cancel came at {at_ms} ms, {when}")
    return found


def audit_flights(truth: Truth, orders: Iterable[Order], seized: Mapping[Order, Sequence[float]]) -> list[str]:
    """Say which cancels of *orders* came while another one of the same order still waited for its answer.

    *orders* are such as nobody knows by two names: those pass for two.  *seized* says when a chunk with one of them was
    taken from a worker that seemed dead: what it had sent, or goes on to send, is in flight then for nobody.
    """
    found = []
    for order in orders:
        last: Span = (-math.inf, -math.inf)
        for at_ms, until_ms in sorted(truth.flights.get(order, ())):
            lost = any(last[0] - LONGEST_CALL_MS <= each <= at_ms for each in seized.get(order, ()))
            if at_ms < last[1] and not lost:
                found.append(
                    f"{order[0]} {order[1]}: TWO CANCELS IN FLIGHT from {at_ms} ms, the first since {last[0]} ms"
                )
            last = max(last, (at_ms, min(until_ms, at_ms + SURELY_WAITS_MS)), key=lambda span: span[1])
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
    if truth.cut:
        return ["the simulator has forgotten calls: what was asked of it cannot be told"]
    said = sum(report["calls"] for report in reports)
    made = truth.sums("cancel_calls", names) + truth.sums("read_calls", names)
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


def _compare_counts(report: Row, outcomes: Sequence[Row], *, swept: bool) -> list[str]:
    """Hold the report to its outcomes, and both to the contract's tables."""
    verdicts = Counter(row["verdict"] for row in outcomes)
    wrong = [
        f"{row['status']} is not {row['verdict']}" for row in outcomes if VERDICTS[row["status"]] != row["verdict"]
    ]
    flat = "flat" if swept and verdicts["gone"] == len(outcomes) else "unproven"
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
    applied_for_it: bool
    sent: bool
    asked_ms: float
    told_ms: float
    ended_ms: float  # when the last of its orders ended

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
    ("a cancel of it was applied", lambda it: it.status in NEVER_DONE and it.applied_for_it),
    ("it was open until later", lambda it: it.gone and not it.lives and it.ended_ms > it.told_ms + CLOCKS_MS),
    ("it was open at no time since", lambda it: it.status == "open" and it.ended_ms < _seen_from_ms(it)),
    ("it was sent", lambda it: it.status == "invalid" and it.sent),
)


def _seen_from_ms(claim: _Claim) -> float:
    """Say from when on the order may have been seen open: since the batch came, and one call before it was told."""
    return max(claim.asked_ms, claim.told_ms - LONGEST_CALL_MS) - CLOCKS_MS


def _lies(truth: Truth, row: Row, mine: Span, elsewhere: Mapping[Order, Sequence[Span]]) -> Iterable[str]:
    """Say what one outcome claims and is not so; *mine* is from when its batch came until it was told."""
    account, kind = row["account"], kind_of(row)
    orders = truth.find(account, kind, row[kind])
    applied = [
        (order["order_id"], at) for order in orders for at in truth.applied.get((account, order["order_id"]), ())
    ]
    mine_too = row.get("order_id") if row.get("attempts") else None  # learned, and the name of the next cancel
    named_ms = {at_ms for name in (row[kind], mine_too) for at_ms in truth.asked.get((account, name or ""), ())}
    theirs = [
        at_ms
        for order_id, at_ms in applied
        if not (mine[0] <= at_ms <= mine[1] and at_ms in named_ms)
        and any(start <= at_ms <= end for start, end in elsewhere.get((account, order_id), ()))
    ]
    claim = _Claim(
        status=row["status"],
        gone=row["verdict"] == "gone",
        states=frozenset(order["state"] for order in orders),
        applied=bool(applied),
        applied_for_it=len(applied) > len(theirs),
        sent=(account, row[kind]) in truth.asked,
        asked_ms=mine[0],
        told_ms=mine[1],
        ended_ms=max(map(ended_ms, orders), default=0),
    )
    for sentence, is_lie in LIES:
        if is_lie(claim):
            yield f"{claim.status}, but {sentence}; the book says {sorted(claim.states)}"
    if claim.gone and len(orders) == 1 and row["filled_qty"] not in (None, orders[0]["filled_qty"]):
        yield f"filled_qty {row['filled_qty']}, but the book says {orders[0]['filled_qty']}"


def _name(truth: Truth, row: Row) -> Name:
    """Name an order as the contract does: only Binance needs the symbol to tell orders apart."""
    kind = kind_of(row)
    symbol = row.get("symbol") if truth.venues.get(row["account"]) == "binance" else None
    return row["account"], kind, row[kind], symbol


def kind_of(row: Row) -> str:
    """Give the kind of id that *row* was asked by: an outcome may also tell the venue's order_id."""
    given = [kind for kind in KINDS if row.get(kind) is not None]
    return next((kind for kind in given if kind != "order_id"), "order_id")
