"""What a sweep would do: lists the accounts as a sweep does, counts, and cancels nothing."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from connectors.calls import Limit
from connectors.orders import OrderRef
from connectors.reads import OpenOrder
from tasks.batch import Account, Accounts, Priority, Selection
from tasks.cancel_all import plan_cancels
from tasks.clock import Clock, VenueClock
from tasks.listing import Listed, ListingFailed, MaySend, list_open
from tasks.ports import Group, Line, Permission
from tasks.proof import FIRST_READ_MS, lists_from
from tasks.sweep import references
from worker.estimate import Call, Window, last_call_ms
from worker.store import limit_key, limits_of

NAP_MS: Final = 50
AGES: Final = ((60_000, "under a minute"), (3_600_000, "under an hour"), (86_400_000, "under a day"))
OLD: Final = "a day or more"
UNKNOWN: Final = "unknown"


class Permits(Protocol):
    """What gives permissions to call."""

    def permit_for(self, name: str, limits: tuple[Limit, ...], priority: Priority, now_ms: int) -> Permission:
        """Take the permission for one call of an account, or say when it is worth asking again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one account shows: the orders that match, or why it cannot be listed; and the calls that this took."""

    account: Account
    orders: tuple[OpenOrder, ...] = ()
    whole: bool = True
    trouble: str | None = None
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Lister:
    """Lists accounts, within the limits that all workers share."""

    permits: Permits
    clock: Clock
    priority: Priority
    until_ms: int

    def find(self, account: Account, line: Line, select: Selection, venue_clock: VenueClock) -> Found:
        """List *account* and keep what *select* matches."""
        calls = 0

        def permit(limits: tuple[Limit, ...]) -> MaySend:
            nonlocal calls
            while (now_ms := self.clock.now_ms()) < self.until_ms:
                permission = self.permits.permit_for(account.name, limits, self.priority, now_ms)
                use_by_ms = permission.use_by_ms
                if use_by_ms is not None:
                    calls += 1
                    return lambda: self.clock.now_ms() < use_by_ms
                self.clock.sleep(max(1, min(permission.again_ms - now_ms, NAP_MS)) / 1000)
            raise TimeoutError("the limits, or a pause, left no time to list it before the deadline")

        try:
            listed = list_open(account, line, self.clock, venue_clock, permit, symbol=select.symbol)
        except ListingFailed as error:
            return Found(account, trouble=str(error), calls=calls)
        except TimeoutError as error:
            return Found(account, trouble=f"cannot list the open orders of {account.name}: {error}", calls=calls)
        return Found(account, self._matching(listed, select, venue_clock), listed.whole, calls=calls)

    def _matching(self, listed: Listed, select: Selection, venue_clock: VenueClock) -> tuple[OpenOrder, ...]:
        now_ms = self.clock.now_ms() + venue_clock.ahead_ms
        return tuple(row for row in listed.orders if select.matches(row, now_ms))

    def find_all(self, accounts: Accounts, select: Selection, line_of: Callable[[Account], Line]) -> tuple[Found, ...]:
        """List all *accounts* side by side."""
        with ThreadPoolExecutor(max(1, len(accounts))) as pool:
            tasks = [
                pool.submit(self.find, account, line_of(account), select, VenueClock()) for account in accounts.values()
            ]
            return tuple(task.result() for task in tasks)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a sweep is planned for: what it selects, and whether it has a most, so that it cancels by ids alone."""

    select: Selection
    limited: bool = False

    def cancels(self, found: Found) -> list[Group]:
        """Split what was found into the calls that cancel it."""
        refs = references(found.orders, found.account)
        return plan_cancels(refs, found.account, self.select, ids_only=self.limited or not found.whole)


def work_of(found: Found, planned: Planned) -> dict[str, int]:
    """Count the calls of a sweep of what was found: ``list``, ``cancel``, ``prove`` and the two last listings.

    Where nothing was found the first of these is that which found nothing.
    """
    account = found.account
    refs = references(found.orders, account)
    cancels = planned.cancels(found)
    listings = max(found.calls, len(account.venue.listings))
    # Where the answer to a cancel is final there is nothing to read back; a listing alone proves no order's end.
    queries = 0 if account.venue.success_proves.endswith("final") else _queries(refs, account)
    last = (2 if refs else 1) * len(account.venue.listings)
    return {"list": listings, "cancel": len(cancels), "prove": queries, "show_empty": last}


def _queries(refs: Sequence[OrderRef], account: Account) -> int:
    calls, first = 0, 0
    for (kind, namespace), number in Counter((ref.kind, ref.namespace) for ref in refs).items():
        able = [q for q in account.venue.queries if kind in q.id_kinds and q.namespace == namespace]
        if not able:
            calls += len(account.venue.listings)
            continue
        query = max(able, key=lambda query: query.max_orders)
        calls += math.ceil(number / query.max_orders)
        lists = lists_from(account.venue, query)
        if lists is not None and number >= lists:
            first = len(account.venue.listings)
    return calls + first


@dataclass(frozen=True, slots=True)
class Steps:
    """The calls of a sweep of one account, in order: ``again`` lists it beside ``cancel`` and ``prove``."""

    find: list[Call]
    cancel: list[Call]
    prove: list[Call]
    again: list[Call]


def steps_of(found: Found, planned: Planned, share: float, guard_ms: int) -> Steps:
    """Give the calls of a sweep.  *share* of each limit may be used, and windows are *guard_ms* wider."""
    account, work = found.account, work_of(found, planned)
    symbol, alls = planned.select.symbol, account.venue.cancel_alls

    def call(limits: tuple[Limit, ...], after_ms: int = 0) -> Call:
        windows = (
            Window(limit_key(account, limit), max(1, int(limit.units * share)), limit.per_ms + guard_ms, limit.cost)
            for limit in limits
        )
        return Call(tuple(windows), after_ms)

    reads = [
        limits_of(account, listing.limits if symbol is None else listing.symbol_limits or listing.limits)
        for listing in account.venue.listings
    ]
    queries = [limits_of(account, query.limits) for query in account.venue.queries] or reads
    cancels = [
        call(account.limits if one.cancel_all is None else limits_of(account, alls[one.cancel_all].limits))
        for one in planned.cancels(found)
    ]
    places = [place % len(reads) for place in range(work["show_empty"])]
    return Steps(
        find=[call(reads[place % len(reads)]) for place in range(work["list"])] if reads else [],
        cancel=cancels,
        prove=[call(queries[0], FIRST_READ_MS if place == 0 else 0) for place in range(work["prove"])],
        again=[call(reads[place], account.venue.settling_ms if place == 0 else 0) for place in places],
    )


def last_ms(found: Sequence[Found], planned: Planned, share: float, guard_ms: int) -> dict[str, int]:
    """Say for each account after how many milliseconds the last call of its sweep can leave.

    It is listed again every settling time from its first listing on, while it is canceled and proven; the first
    listing after the last cancel is the first that can be empty.
    """
    steps = {one.account.name: steps_of(one, planned, share, guard_ms) for one in found}
    listed = last_call_ms({name: each.find for name, each in steps.items()})
    canceled = last_call_ms({name: each.find + each.cancel for name, each in steps.items()})
    queues: dict[str, list[Call]] = {}
    for name, each in steps.items():
        if each.again:
            first, *rest = each.again
            rounds = max(1, math.ceil((canceled[name] - listed[name]) / first.after_ms))
            queues[f"{name} again"] = [replace(first, after_ms=listed[name] + rounds * first.after_ms), *rest]
        queues[name] = each.find + each.cancel + each.prove
    last = last_call_ms(queues)
    return {name: max(last[name], last.get(f"{name} again", 0)) for name in steps}


def tell(found: Sequence[Found], planned: Planned, *, share: float, guard_ms: int, now_ms: int) -> dict[str, Any]:
    """Tell what a sweep of *found* would cancel, what that takes, and what is not covered."""
    reached = [one for one in found if one.trouble is None]
    last = last_ms(reached, planned, share, guard_ms)
    rows = Counter(
        (one.account.name, order.symbol, order.side and order.side.value, _age(order, now_ms))
        for one in reached
        for order in one.orders
    )
    accounts = [_account(one, planned, last) for one in found]
    return {
        "orders": sum(row["orders"] or 0 for row in accounts),
        "matching": [
            {"account": name, "symbol": symbol, "side": side, "age": age, "orders": number}
            for (name, symbol, side, age), number in sorted(rows.items(), key=lambda row: str(row[0]))
        ],
        "calls": sum(sum(row["calls"].values()) for row in accounts if row["calls"]),
        "seconds": max(last.values(), default=0) / 1000,
        "accounts": accounts,
        "not_covered": [gap for one in found for gap in _gaps(one)],
        "notes": [f"{one.account.name}: {one.account.venue.note}" for one in found if one.account.venue.note],
    }


def _account(one: Found, planned: Planned, last: Mapping[str, int]) -> dict[str, Any]:
    name = one.account.name
    if one.trouble is not None:
        return {"account": name, "venue": one.account.venue.name, "orders": None, "calls": None, "seconds": None}
    orders = len(references(one.orders, one.account))
    return {
        "account": name,
        "venue": one.account.venue.name,
        "orders": orders,
        "calls": work_of(one, planned),
        "seconds": last[name] / 1000,
    }


def _gaps(one: Found) -> list[str]:
    gaps = [one.trouble] if one.trouble is not None else []
    if not one.whole:
        gaps.append(
            f"{one.account.name}: its listing has several pages, and orders that ended meanwhile may hide others"
        )
    return gaps


def _age(order: OpenOrder, now_ms: int) -> str:
    if order.created_ms is None:
        return UNKNOWN
    age_ms = now_ms - order.created_ms
    return next((name for limit_ms, name in AGES if age_ms < limit_ms), OLD)
