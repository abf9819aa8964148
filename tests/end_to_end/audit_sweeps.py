"""Compares what was reported of a sweep with what the simulator knows: did it cover what it said, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.end_to_end.audit import CLOCKS_MS, Order, Span, kind_of
from tests.end_to_end.truth import Row, Truth, ended_ms

LISTINGS: Final[Mapping[tuple[str, str], str]] = {  # venue and namespace: where the venue shows what is open
    ("binance", "normal"): "/api/v3/openOrders",
    ("crypto_com", "normal"): "/private/get-open-orders",
    ("crypto_com", "advanced"): "/private/advanced/get-open-orders",
    ("kuna", "normal"): "/v4/order/private/active",
    ("kuna", "Pending"): "/v4/order/private/history",
    ("kuna", "WaitStop"): "/v4/order/private/history",
    ("upbit", "normal"): "/v1/orders/open",
    ("upbit", "watch"): "/v1/orders/open",
    ("weex", "normal"): "/capi/v2/order/current",
    ("weex", "plan"): "/capi/v2/order/currentPlan",
}
HIDES: Final = "missing_items"  # the fault that leaves rows out of a listing: nobody can know better then
EVERY: Final = ["*"]
NARROWER: Final = ("side", "older_than_s", "client_order_id_prefix")  # filters that no cancel-all heeds


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as far as it matters to cancel-alls: when it may have called, and the orders that it has found."""

    batch_id: str
    select: Mapping[str, Any]
    most: int | None
    span: Span
    found: frozenset[Order]


def callers(truth: Truth, call: Row, sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Give the sweeps of which each may have made this cancel-all: it ran, had found what only such a call takes in
    one, and selects everything that the call took.

    What the call took may be more than the sweep had found: a spoiled listing left it out, or it was placed later.
    """
    taken = [order for name in call["asked"] for order in _orders(truth, call["account"], name)]
    return [sweep for sweep in sweeps if _may_call(truth, call, taken, sweep)]


def audit_cancel_alls(truth: Truth, sweeps: Sequence[Sweep]) -> list[str]:
    """Say which cancel-alls no sweep may have made."""
    return [
        f"{call['account']}: a cancel-all came at {call['at_ms']} ms and took {', '.join(call['asked']) or 'nothing'};"
        " no sweep that ran then selects all of that"
        for call in truth.cancel_alls
        if not callers(truth, call, sweeps)
    ]


def _orders(truth: Truth, account: str, name: str) -> list[Row]:
    """Give the orders that an id of any kind names."""
    return [row for order_id in truth.named(account, name) for row in truth.find(account, "order_id", order_id)]


def _may_call(truth: Truth, call: Row, taken: Sequence[Row], sweep: Sweep) -> bool:
    account, select = call["account"], sweep.select
    if sweep.most is not None or any(select.get(name) is not None for name in NARROWER):
        return False
    found = [row for name, order_id in sweep.found if name == account for row in _orders(truth, account, order_id)]
    return (
        sweep.span[0] <= call["at_ms"] <= sweep.span[1]
        and all(covers(truth, select, account, order, call["at_ms"]) for order in taken)
        and any(_is_beside(truth, account, order, taken) for order in found)
    )


def _is_beside(truth: Truth, account: str, order: Row, taken: Sequence[Row]) -> bool:
    """Say whether one cancel-all reaches *order* and everything that was *taken*."""
    alike = ("kind", "symbol") if truth.venues[account] == "binance" else ("kind",)
    return all(order[name] == other[name] for other in taken for name in alike)


def audit_sweep(
    truth: Truth, select: Mapping[str, Any], report: Row, outcomes: Sequence[Row], most: int | None = None
) -> list[str]:
    """Say in what a sweep of *select* (at most *most* orders) went too far, stopped short or claims to be flat.

    Its outcomes are for ``audit``.  The truth must know every account that it names.
    """
    submitted_ms = report["submitted_ms"]
    until_ms = report["done_ms"] or submitted_ms + 3_600_000
    found = []
    for row in outcomes:
        kind = kind_of(row)
        orders = truth.find(row["account"], kind, row[kind])
        if not any(covers(truth, select, row["account"], order, until_ms + CLOCKS_MS) for order in orders):
            found.append(f"{row['account']} {kind} {row[kind]}: the sweep does not cover it, and had it canceled")
    if most is not None and len(outcomes) > most:
        found.append(f"the sweep took {len(outcomes)} orders, and {most} is the most that it may")
    covered = list(_covered(truth, select, until_ms))
    if report["state"] == "refused" and most is not None:
        seen = {
            order.get("order_list_id") or order["order_id"]
            for _, order, _ in covered
            if ended_ms(order) >= submitted_ms
        }
        if len(seen) <= most:
            found.append(f"the sweep was refused, and at most {len(seen)} orders matched, of {most} that it may take")
    if report["verdict"] != "flat":
        return found
    for account, order, open_ms in covered:
        span = (submitted_ms - CLOCKS_MS, until_ms + CLOCKS_MS)
        if ended_ms(order) > span[1] and _was_to_be_seen(truth, account, order, open_ms, span):
            found.append(
                f"FALSE FLAT: {account} {order['order_id']} was open from {open_ms:.0f} ms until after the end"
            )
    return found


def covers(truth: Truth, select: Mapping[str, Any], account: str, order: Row, at_ms: float) -> bool:
    """Say whether a selection, as a document has it, covers an order of the book at some time."""
    prefix = select.get("client_order_id_prefix")
    return (
        (select["accounts"] == EVERY or account in select["accounts"])
        and select.get("symbol") in {None, order["symbol"]}
        and select.get("side") in {None, order["side"]}
        and (prefix is None or str(order["client_order_id"] or "").startswith(prefix))
        and _open_from_ms(select, order) <= at_ms
    )


def _open_from_ms(select: Mapping[str, Any], order: Row) -> float:
    """Say from when on an open order is covered, as far as that turns on its age."""
    return float(order["created_ms"]) + 1000 * (select.get("older_than_s") or 0)


def _covered(truth: Truth, select: Mapping[str, Any], until_ms: float) -> Iterator[tuple[str, Row, float]]:
    """Give the orders that a selection covers before *until_ms*, with the account and since when."""
    for account in truth.venues if select["accounts"] == EVERY else select["accounts"]:
        for order in truth.book(account):
            if covers(truth, select, account, order, until_ms):
                yield account, order, _open_from_ms(select, order)


def _was_to_be_seen(truth: Truth, account: str, order: Row, open_ms: float, span: Span) -> bool:
    """Say whether an order that was open to the end must have been in one of the last two listings of a sweep.

    It need not if both may have been made before it was there, or a fault left rows out of one.
    """
    path = LISTINGS[truth.venues[account], order["kind"]]
    reads = [read for read in truth.reads.get((account, path), ()) if span[0] <= read[0] <= span[1]]
    if any(fault == HIDES for _, fault in reads):
        return False
    return sum(at_ms <= open_ms + CLOCKS_MS for at_ms, _ in reads) < 2
