"""A venue with a truth of its own: orders, windows measured on arrival, and answers that may not come."""

import json
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.calls import Answer, Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp, Usage, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.venue import Venue
from tasks.batch import Account
from tests.fakes import PLAIN

CLOCK_TOLERANCE_MS: Final = 1_000


def _build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    headers = {"time": str(stamp.now_ms), "nonce": stamp.token}
    return Request("POST", "/cancel", headers, json.dumps([order.value for order in orders]).encode())


def _read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    document: Any = json.loads(response.body)
    kind = document.get("refusal")
    if kind:
        scope = Scope(document.get("scope", Scope.ACCOUNT))
        return refuse(orders, Refusal(RefusalKind(kind), kind, None, document.get("pause_ms"), scope))
    named: Mapping[str, str] = document["named"]
    return Answer(
        tuple(
            Outcome(order, Status(named[order.value]), Evidence.CANCEL_ANSWER)
            if order.value in named
            else Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER)
            for order in orders
        )
    )


def _usage(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    return tuple(Usage(name, per_ms, left) for name, per_ms, left in json.loads(headers.get("left", "[]")))


def make_venue(name: str, limits: tuple[Limit, ...], tells_usage: bool) -> Venue:
    """Make a venue of the simulation."""
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
        queries=(),
        listings=(),
        resend_safe=frozenset({IdKind.ORDER_ID}),
    )


@dataclass(slots=True)
class Truth:
    """What an order really is."""

    kind: IdKind
    state: str = "open"  # or canceled, filled
    poison: bool = False
    spoils: bool = False
    stubborn: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """One call on its way: what it carries, and what became of it."""

    account: Account
    ids: tuple[str, ...]
    claim: Any
    worker: str
    left_ms: int
    stamp_ms: int
    fate: str = ""
    executed: bool = False
    response: Response | None = None
    over: bool = False  # the caller has its answer, or has given up
    definite: bool = False  # the caller knows that nothing was executed


@dataclass(slots=True)
class Exchange:
    """All venues of one schedule."""

    orders: dict[tuple[str, str], Truth] = field(default_factory=dict)
    arrivals: dict[tuple[str, str, int], deque[int]] = field(default_factory=lambda: defaultdict(deque))
    outsiders: set[tuple[str, str, int]] = field(default_factory=set)
    executed: list[Call] = field(default_factory=list)

    def windows(self, account: Account) -> list[tuple[Limit, tuple[str, str, int]]]:
        """Name the windows that a call of *account* counts in."""
        who = {Scope.ACCOUNT: account.key_digest, Scope.KEY: account.key_digest, Scope.IP: account.egress}
        return [
            (limit, (f"{account.venue.name}:{limit.name}", who[limit.scope], limit.per_ms)) for limit in account.limits
        ]

    def count(self, account: Account, now_ms: int) -> list[str]:
        """Count an arrival, and name the limits that it breaches."""
        breached = []
        for limit, key in self.windows(account):
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
            (one.name, one.per_ms, max(0, one.units - len(self.arrivals[key]))) for one, key in self.windows(account)
        ]
        return json.dumps(rows)

    def execute(self, call: Call, accepts: bool, omits: Mapping[str, bool]) -> dict[str, Any]:
        """Cancel what the call names, and say what became of each order."""
        account = call.account.name
        spoilt = [one for one in call.ids if self.orders[account, one].spoils]
        if spoilt and len(call.ids) > 1:
            return {"refusal": "reference"}
        call.executed = True
        self.executed.append(call)
        named = {}
        for one in call.ids:
            order = self.orders[account, one]
            if order.stubborn or order.spoils:
                named[one] = "rejected"
            elif order.state == "open":
                if not accepts:
                    order.state = "canceled"
                named[one] = "accepted" if accepts else "canceled"
            else:
                named[one] = "filled" if order.state == "filled" else "closed"
        return {"named": {one: status for one, status in named.items() if not omits.get(one)}}
