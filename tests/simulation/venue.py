"""A venue with a truth of its own: orders, windows measured on arrival, answers that may not come, reads that lag."""

import json
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from connectors.calls import Answer, Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp, Usage, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reads import Listing, OpenOrder, Page, Query, Side, unanswered
from connectors.venue import Venue
from tasks.batch import Account
from tests.fakes import PLAIN

CLOCK_TOLERANCE_MS: Final = 1_000
PLAN: Final = "plan"  # a namespace with calls of its own
OWN: Final = "x"  # the venue's own id of an order that its owner calls o3 is xo3


class Reads(StrEnum):
    """What a venue can be asked."""

    NONE = "none"
    LISTING = "listing"  # what is open, and no order by its id
    SINGLE = "single"  # one order by any id
    BY_ID = "by_id"  # one order by the venue's own id alone
    MANY = "many"  # several at once, or one


@dataclass(frozen=True, slots=True)
class Kind:
    """How the venue of one schedule reads."""

    reads: Reads = Reads.NONE
    limits: tuple[Limit, ...] = ()  # of one read
    planned: bool = False  # it has a second namespace
    shifts: bool = False  # pages are counted from the front of a list that moves up
    page: int = 3
    settling_ms: int = 500
    tells_client_ids: bool = True  # in listings


def _build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    target = "/cancel" if orders[0].namespace is None else f"/cancel/{orders[0].namespace}"
    return _request("POST", target, [order.value for order in orders], stamp)


def _request(method: str, target: str, body: object, stamp: Stamp) -> Request:
    headers = {"time": str(stamp.now_ms), "nonce": stamp.token}
    return Request(method, target, headers, json.dumps(body).encode())


def _refusal(document: Mapping[str, Any]) -> Refusal | None:
    kind = document.get("refusal")
    if kind is None:
        return None
    return Refusal(RefusalKind(kind), kind, None, document.get("pause_ms"), Scope(document.get("scope", Scope.ACCOUNT)))


def _read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    document: Any = json.loads(response.body)
    refusal = _refusal(document)
    if refusal is not None:
        return refuse(orders, refusal)
    named: Mapping[str, str] = document["named"]
    return Answer(tuple(_outcome(order, named.get(order.value), Evidence.CANCEL_ANSWER) for order in orders))


def _outcome(order: OrderRef, status: str | None, evidence: Evidence) -> Outcome:
    if status is None:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER)
    if status == "not_known":
        return Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN)
    return Outcome(order, Status(status), evidence)


def _query(name: str, kinds: tuple[IdKind, ...], most: int, limits: tuple[Limit, ...], space: str | None) -> Query:
    def build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        return _request("GET", f"/query/{space or ''}", [order.value for order in orders], stamp)

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        document: Any = json.loads(response.body)
        refusal = _refusal(document)
        if refusal is not None:
            return unanswered(orders, refusal)
        rows: Mapping[str, Any] = document.get("rows", {})
        found = []
        for order in orders:
            status, order_id = rows.get(order.value, (None, None))
            # A query for many leaves out what it does not know.
            status = None if most > 1 and status == "not_known" else status
            found.append(replace(_outcome(order, status, Evidence.ORDER_QUERY), order_id=order_id))
        return Answer(tuple(found))

    return Query(name, kinds, most, limits, build, read, space)


def _listing(kind: Kind, space: str | None) -> Listing:
    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        return _request("GET", f"/list/{space or ''}", [symbol, cursor], stamp)

    def read(response: Response, cursor: str | None) -> Page:
        document: Any = json.loads(response.body)
        refusal = _refusal(document)
        if refusal is None and "open" not in document:
            refusal = Refusal(RefusalKind.UNCERTAIN, message="this is no listing")
        if refusal is not None:
            return Page((), refusal=refusal)
        rows = (
            OpenOrder(row["id"], row["client"], symbol=row["symbol"], side=Side(row["side"]), namespace=space)
            for row in document["open"]
        )
        return Page(tuple(rows), document["next"])

    return Listing(f"list {space or 'open'}", kind.limits, build, read, pages_shift=kind.shifts)


def _usage(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    return tuple(Usage(name, per_ms, left) for name, per_ms, left in json.loads(headers.get("left", "[]")))


def _queries(kind: Kind) -> tuple[Query, ...]:
    if kind.reads in {Reads.NONE, Reads.LISTING}:
        # A venue whose query takes none of the ids that are handed in has listings alone.
        return () if kind.reads is Reads.NONE else (_query("lists", (IdKind.ORDER_LIST_ID,), 1, kind.limits, None),)
    kinds = (IdKind.ORDER_ID,) if kind.reads is Reads.BY_ID else (IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID)
    many = (_query("many", kinds, 3, kind.limits, None),) if kind.reads is Reads.MANY else ()
    plans = (_query("plan", kinds, 1, kind.limits, PLAN),) if kind.planned else ()
    return (*many, _query("one", kinds, 1, kind.limits, None), *plans)


def make_venue(name: str, limits: tuple[Limit, ...], tells_usage: bool, kind: Kind) -> Venue:
    """Make a venue of the simulation."""
    spaces = (PLAN, None) if kind.planned else (None,)
    return replace(
        PLAIN,
        name=name,
        limits=limits,
        check_order=lambda order: "a bad id" if order.value.startswith("inv") else None,
        build_cancel=_build,
        read_cancel=_read,
        clock_request=Request("GET", "/time"),
        read_clock=lambda response: int(response.body),
        read_usage=_usage if tells_usage else None,
        names_siblings=False,
        settling_ms=kind.settling_ms,
        queries=_queries(kind),
        listings=() if kind.reads is Reads.NONE else tuple(_listing(kind, space) for space in spaces),
        namespaces={PLAN: 1} if kind.planned else {},
        resend_safe=frozenset({IdKind.ORDER_ID}),
    )


@dataclass(slots=True)
class Truth:
    """What an order really is, and since when: ``states`` and ``since_ms`` go together."""

    kind: IdKind
    value: str
    states: list[str] = field(default_factory=lambda: ["open"])  # unborn, open, canceled or filled
    since_ms: list[int] = field(default_factory=lambda: [0])
    born_ms: int = 0
    namespace: str | None = None
    fires_ms: int | None = None  # from then on it is an ordinary order
    symbol: str = "A"
    side: str = "buy"
    poison: bool = False
    spoils: bool = False
    stubborn: bool = False

    @property
    def state(self) -> str:
        """What it is now."""
        return self.states[-1]

    @property
    def order_id(self) -> str:
        """The venue's own id."""
        return self.value if self.kind is IdKind.ORDER_ID else OWN + self.value

    def become(self, state: str, now_ms: int) -> None:
        """Change."""
        self.states.append(state)
        self.since_ms.append(now_ms)

    def at(self, at_ms: int) -> str:
        """Say what it was at a time."""
        return self.states[max(0, bisect_right(self.since_ms, at_ms) - 1)]

    def open_throughout(self, from_ms: int, to_ms: int) -> bool:
        """Say whether it was open for all of a time."""
        return self.at(from_ms) == "open" and self.at(to_ms) == "open"

    def space_at(self, at_ms: int) -> str | None:
        """Say in which namespace it was at a time."""
        return self.namespace if self.fires_ms is None or at_ms < self.fires_ms else None


@dataclass(slots=True, eq=False)
class Call:
    """One call on its way: what it carries, and what became of it.

    ``ids`` are the orders' names as they are sent, ``names`` as they were handed in.
    """

    account: Account
    kind: str  # cancel, query or list
    namespace: str | None
    ids: tuple[str, ...]
    names: tuple[str, ...]
    limits: tuple[Limit, ...]
    claim: Any
    worker: str
    left_ms: int
    stamp_ms: int
    asked: tuple[str | None, str | None] = (None, None)  # of a listing: symbol and cursor
    fate: str = ""
    executed: bool = False
    response: Response | None = None
    over: bool = False  # the caller has its answer, or has given up
    definite: bool = False  # the caller knows that nothing was executed


@dataclass(slots=True)
class Exchange:
    """All venues of one schedule."""

    kind: Kind = field(default_factory=Kind)
    orders: dict[tuple[str, str], Truth] = field(default_factory=dict)
    arrivals: dict[tuple[str, str, int], deque[int]] = field(default_factory=lambda: defaultdict(deque))
    outsiders: set[tuple[str, str, int]] = field(default_factory=set)
    executed: list[Call] = field(default_factory=list)
    who: dict[str, dict[Scope, str]] = field(default_factory=dict)  # shares the limits of an account, by scope

    def find(self, account: str, name: str) -> Truth:
        """Give the order that the venue, or its owner, calls *name*."""
        return self.orders[account, name.removeprefix(OWN)]

    def windows(self, account: Account, limits: tuple[Limit, ...]) -> list[tuple[Limit, tuple[str, str, int]]]:
        """Name the windows that a call of *account* with *limits* counts in."""
        who = self.who.get(account.name)
        if who is None:
            digest = account.key_digest
            who = self.who[account.name] = {Scope.ACCOUNT: digest, Scope.KEY: digest, Scope.IP: account.egress}
        return [(limit, (f"{account.venue.name}:{limit.name}", who[limit.scope], limit.per_ms)) for limit in limits]

    def count(self, call: Call, now_ms: int) -> list[str]:
        """Count an arrival, and name the limits that it breaches."""
        breached = []
        for limit, key in self.windows(call.account, call.limits):
            times = self.arrivals[key]
            while times and times[0] <= now_ms - limit.per_ms:
                times.popleft()
            times.extend([now_ms] * limit.cost)
            if len(times) > limit.units:
                breached.append(f"{limit.name} {key[1]}: {len(times)} of {limit.units} in {limit.per_ms} ms")
        return breached

    def left(self, account: Account) -> str:
        """Say what is left of the limits, as headers do."""
        rows = [
            (one.name, one.per_ms, max(0, one.units - len(self.arrivals[key])))
            for one, key in self.windows(account, account.limits)
        ]
        return json.dumps(rows)

    def execute(self, call: Call, now_ms: int, accepts: bool, omits: Mapping[str, bool]) -> dict[str, Any]:
        """Cancel what the call names, and say what became of each order."""
        account = call.account.name
        spoilt = [one for one in call.ids if self.find(account, one).spoils]
        if spoilt and len(call.ids) > 1:
            return {"refusal": "reference"}
        call.executed = True
        self.executed.append(call)
        named = {}
        for one in call.ids:
            order = self.find(account, one)
            here = order.space_at(now_ms) == call.namespace
            # The engine itself does not know at once what was just placed, and knows nothing of another namespace.
            if not here or order.at(now_ms - self.kind.settling_ms // 2) == "unborn":
                named[one] = "not_known"
            elif order.stubborn or order.spoils:
                named[one] = "rejected"
            elif order.state == "open":
                if not accepts:
                    order.become("canceled", now_ms)
                named[one] = "accepted" if accepts else "canceled"
            else:
                named[one] = "filled" if order.state == "filled" else "closed"
        return {"named": {one: status for one, status in named.items() if not omits.get(one)}}

    def look(self, call: Call, now_ms: int, lag_ms: int, forgets: bool, omits: Mapping[str, bool]) -> dict[str, Any]:
        """Say how the orders of a query stood *lag_ms* ago."""
        account = call.account.name
        if any(self.find(account, one).spoils for one in call.ids):
            return {"refusal": "reference"}
        rows: dict[str, tuple[str, str | None]] = {}
        for one in call.ids:
            order = self.find(account, one)
            state = order.at(now_ms - lag_ms)
            known = state != "unborn" and order.space_at(now_ms) == call.namespace
            if not known or (forgets and state != "open"):
                rows[one] = ("not_known", None)
            else:
                rows[one] = (state, order.order_id)
        return {"rows": {one: row for one, row in rows.items() if not omits.get(one)}}

    def list(self, call: Call, now_ms: int, lag_ms: int) -> dict[str, Any]:
        """Give one page of what was open *lag_ms* ago."""
        symbol, cursor = call.asked
        rows = [
            (place, order)
            for place, ((account, _), order) in enumerate(self.orders.items())
            if account == call.account.name
            and order.at(now_ms - lag_ms) == "open"
            and order.space_at(now_ms) == call.namespace
            and symbol in {None, order.symbol}
        ]
        if cursor is not None:
            rows = rows[int(cursor) :] if self.kind.shifts else [row for row in rows if row[0] > int(cursor)]
        shown, more = rows[: self.kind.page], len(rows) > self.kind.page
        behind = str(int(cursor or 0) + len(shown)) if self.kind.shifts else str(shown[-1][0]) if shown else None
        return {
            "open": [
                {
                    "id": order.order_id,
                    "client": order.value if self.kind.tells_client_ids else None,
                    "symbol": order.symbol,
                    "side": order.side,
                }
                for _, order in shown
            ],
            "next": behind if more else None,
        }
