"""Hand-written stand-ins for what the operation needs of the outside: time, a venue and its line, a store, a log."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from connectors.calls import Answer, Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field as value_of
from connectors.reading import parse_json, rows
from connectors.registry import VENUES
from connectors.transport import NotSent, Withheld, always
from connectors.venue import Venue
from tasks.batch import Account
from tasks.drain import Drain
from tasks.fold import GONE, Standing, fold
from tasks.ports import Claim, ClaimKind, Grant, Pause, Settled, Settlement, Wait, Why

START_MS = 1_763_632_800_000
SECRET = "s3cr3t-of-the-account"


@dataclass
class FakeClock:
    """A clock that only moves when told to, or when somebody sleeps; its dice roll what they are told."""

    ms: int = START_MS
    dice: float = 0.0
    tokens: int = 0
    slept: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ms += max(0, round(seconds * 1000))

    def fraction(self) -> float:
        return self.dice

    def token(self) -> str:
        self.tokens += 1
        return str(UUID(int=(self.tokens << 80) + self.tokens, version=4))


@dataclass
class FakeLog:
    """A log that keeps what it was told."""

    events: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def info(self, event: str, /, **fields: object) -> None:
        self.events.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        self.events.append(("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        self.events.append(("error", event, fields))

    def named(self, event: str) -> list[dict[str, object]]:
        return [fields for _, name, fields in self.events if name == event]


Reply = Response | Exception | Callable[[Request], Response]


@dataclass
class FakeLine:
    """A line that gives one prepared reply after the other, and the last one for ever.

    Leave to send is asked for once a connection stands, so not where the reply is that there is none.
    """

    replies: deque[Reply]
    requests: list[Request] = field(default_factory=list)
    withheld: list[Request] = field(default_factory=list)

    def send(self, request: Request, may_send: Callable[[], bool] = always) -> Response:
        if not isinstance(self.replies[0], NotSent) and not may_send():
            self.withheld.append(request)
            raise Withheld("too late")
        self.requests.append(request)
        reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply(request) if callable(reply) else reply


# A venue that says in plain JSON what it means.


def said(**document: object) -> Response:
    """Make an answer of the plain venue: ``statuses`` by id, or the fields of a ``refusal``."""
    return Response(200, json.dumps(document).encode())


def ids_of(request: Request) -> list[str]:
    """Give the ids in a call to the plain venue."""
    return [str(one) for one in rows(parse_json(request.body))]


def _build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    headers = {"key": credentials.api_key, "time": str(stamp.now_ms), "nonce": stamp.token}
    return Request("POST", "/cancel", headers, json.dumps([order.value for order in orders]).encode())


def _read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    document: Any = parse_json(response.body)
    if value_of(document, "refusal"):
        refusal = Refusal(
            RefusalKind(document["refusal"]),
            document.get("code"),
            document.get("message"),
            document.get("pause_ms"),
            Scope(document.get("scope", "account")),
        )
        return refuse(orders, refusal, unlisted=document.get("unlisted"))
    named: Mapping[str, str] = document["statuses"]
    outcomes = (
        Outcome(order, Status(named[order.value]), Evidence.CANCEL_ANSWER)
        if order.value in named
        else Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER)
        for order in orders
    )
    asked = {order.value for order in orders}
    siblings = tuple(
        Outcome(OrderRef(IdKind.ORDER_ID, value), Status(status), Evidence.CANCEL_ANSWER)
        for value, status in named.items()
        if value not in asked
    )
    return Answer(tuple(outcomes), siblings=siblings, unlisted=document.get("unlisted"))


PLAIN = replace(
    VENUES["upbit"],
    name="plain",
    title="Plain",
    max_orders_per_call=8,
    limits=(Limit("calls", Scope.ACCOUNT, units=1_000, per_ms=60_000),),
    check_order=lambda order: "a bad id" if order.value.startswith("bad") else None,
    build_cancel=_build,
    read_cancel=_read,
    clock_request=Request("GET", "/time"),
    read_clock=lambda response: int(response.body),
    names_siblings=True,
)


def account_of(venue: Venue = PLAIN, name: str = "main", **changes: Any) -> Account:
    """Make an account of *venue* with its own numbers; *changes* replace any of its fields."""
    account = Account(
        name=name,
        venue=venue,
        credentials=Credentials(f"key-of-{name}", SECRET, SECRET),
        base_url=venue.base_url,
        max_orders_per_call=venue.max_orders_per_call,
        max_in_flight=venue.max_in_flight,
        limits=venue.limits,
    )
    return replace(account, **changes)


def refs(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)


@dataclass
class FakeStore:
    """The chunks of one batch of one account in memory: first come, first served, no limits; pauses never double."""

    account: Account
    deadline_ms: int = START_MS + 60_000
    use_by_ms: int = 600_000  # how long a permission holds
    waiting: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)  # ready, attempts, places
    orders: list[OrderRef] = field(default_factory=list)
    known: dict[int, Standing] = field(default_factory=dict)
    siblings: list[tuple[OrderRef, Standing]] = field(default_factory=list)
    settlements: list[tuple[Claim, Settlement]] = field(default_factory=list)
    released: list[Claim] = field(default_factory=list)
    pauses: list[tuple[int, Pause]] = field(default_factory=list)  # until when
    turns: int = 0
    failures: int = 0  # in a row
    calls: int = 0
    tokens: int = 0
    left: int = 0

    def put(self, orders: Iterable[OrderRef], now_ms: int = START_MS) -> None:
        """Add one chunk."""
        start = len(self.orders)
        self.orders += orders
        self.waiting.append((now_ms, 0, tuple(range(start, len(self.orders)))))
        self.left = len(self.orders)

    def claim(self, account: str, most: int, now_ms: int) -> Grant:
        assert account == self.account.name
        claims: list[Claim] = []
        while len(claims) < most:
            if self.pauses and self.pauses[-1][0] > now_ms:
                return Grant(tuple(claims), Wait(Why.PAUSED, self.pauses[-1][0]))
            self.waiting.sort()
            if not self.waiting or self.waiting[0][0] > now_ms:
                return Grant(tuple(claims), Wait(Why.IDLE, self.waiting[0][0] if self.waiting else None))
            claims.append(self._take(now_ms))
        return Grant(tuple(claims), Wait(Why.MORE))

    def _take(self, now_ms: int) -> Claim:
        _, attempts, places = self.waiting.pop(0)
        live = tuple(p for p in places if p not in self.known or self.known[p].strength < GONE)
        kind = ClaimKind.SEND
        if not live:
            kind = ClaimKind.MOOT
        elif self.deadline_ms <= now_ms:
            kind = ClaimKind.LATE
        attempts += kind is ClaimKind.SEND
        self.tokens += 1
        chosen = live if kind is ClaimKind.SEND else places
        return Claim(
            kind=kind,
            chunk_id=f"b/{places[0]}",
            batch_id="b",
            account=self.account.name,
            token=self.tokens,
            attempt=attempts,
            deadline_ms=self.deadline_ms,
            places=chosen,
            orders=tuple(self.orders[place] for place in chosen),
            permitted_ms=now_ms,
            use_by_ms=now_ms + self.use_by_ms,
        )

    def settle(self, claim: Claim, settlement: Settlement, now_ms: int) -> Settled:
        self.settlements.append((claim, settlement))
        self.calls += settlement.calls
        self.siblings += settlement.siblings
        self.failures = 0 if settlement.well else self.failures
        for place, standing in settlement.standings:
            self.known[place] = fold(self.known.get(place, standing), standing)
        for part in settlement.again:
            self.waiting.append((part.ready_ms, claim.attempt, part.places))
        again = {place for part in settlement.again for place in part.places}
        self.left -= len(set(claim.places) - again)
        return Settled(held=True, ended=not self.waiting)

    def turn(
        self, account: str, answers: Sequence[tuple[Claim, Settlement]], most: int, now_ms: int
    ) -> tuple[list[Settled], Grant]:
        self.turns += 1
        settled = [self.settle(claim, settlement, now_ms) for claim, settlement in answers]
        return settled, self.claim(account, most, now_ms)

    def release(self, claim: Claim, now_ms: int) -> None:
        self.released.append(claim)
        self.waiting.append((now_ms, claim.attempt - 1, claim.places))

    def pause(self, account: str, pause: Pause, now_ms: int) -> int | None:
        assert account == self.account.name
        self.failures += 1
        until_ms = now_ms + pause.wait_ms
        if self.failures <= pause.patience or (self.pauses and self.pauses[-1][0] >= until_ms):
            return None
        self.pauses.append((until_ms, pause))
        return until_ms

    def paused_at(self, account: str, at_ms: int) -> str | None:
        running = (pause for until_ms, pause in self.pauses if until_ms - pause.wait_ms <= at_ms <= until_ms)
        return next((pause.reason for pause in running), None)

    def statuses(self) -> list[str]:
        """Give what is known of each order, in their order."""
        return [self.known[p].status.value if p in self.known else "pending" for p in range(len(self.orders))]


def work_on(drain: Drain, claim: Claim, *, go_on: bool = False) -> Wait:
    """Carry out and settle *claim*, and what can be claimed behind it if *go_on*; gives what to wait for."""
    while True:
        settlement = drain.work_on(claim)
        if settlement is None:
            return Wait(Why.MORE)  # it was given back unsent
        grant = drain.settle([(claim, settlement)], int(go_on))
        if not grant.claims:
            return grant.wait
        (claim,) = grant.claims
