"""A made-up venue whose orders can be canceled, read back and listed, and a worker's lane with it."""

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from redis import Redis

from connectors.calls import Answer, Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field as value_of
from connectors.reading import parse_json
from connectors.reads import CancelAll, Listing, OpenOrder, Page, Query, Side, unanswered
from connectors.venue import Venue
from tasks import keys
from tasks.batch import Account, Batch, Priority, Selection
from tasks.clock import VenueClock
from tasks.drain import Drain, leftover
from tests.fakes import PLAIN, FakeLine, FakeLog, account_of, ids_of, said, work_on
from tests.tasks.lanes import Lanes
from worker.store import RedisStore

PAGE: Final = 3  # orders on a page of the listings
SETTLING_MS: Final = 1_000
ALLS: Final = (Limit("cancel-alls", Scope.ACCOUNT, units=10, per_ms=1_000),)
READS: Final = (Limit("reads", Scope.ACCOUNT, units=1_000, per_ms=60_000),)


def _query(name: str, most: int, namespace: str | None = None) -> Query:
    def build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        return Request("GET", f"/{name}", {"nonce": stamp.token}, json.dumps([o.value for o in orders]).encode())

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        document = parse_json(response.body)
        if refusal := value_of(document, "refusal"):
            return unanswered(orders, Refusal(RefusalKind(str(refusal)), "7", "no"))
        return Answer(tuple(_outcome(order, value_of(document, order.value)) for order in orders))

    kinds = (IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID)
    return Query(name, kinds, most, READS, build, read, namespace)


def _cancel_all(name: str, namespace: str | None, *, per_symbol: bool = False) -> CancelAll:
    def build(symbol: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        chosen = json.dumps([symbol] if per_symbol else [])
        return Request("POST", f"/{name}", {"nonce": stamp.token}, chosen.encode())

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        document: Any = parse_json(response.body)
        if value_of(document, "refusal"):
            return refuse(orders, Refusal(RefusalKind(document["refusal"]), "7", "no"))
        return Answer(tuple(Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ALL) for order in orders))

    return CancelAll(name, per_symbol, ALLS, build, read, namespace)


def _outcome(order: OrderRef, row: object) -> Outcome:
    status = value_of(row, "status")
    if not isinstance(status, str):
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER)
    if status == "not_known":
        return Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN)
    order_id = value_of(row, "order_id")
    return Outcome(order, Status(status), Evidence.ORDER_QUERY, order_id=str(order_id) if order_id else None)


def _listing(name: str, namespace: str | None, *, shift: bool = False) -> Listing:
    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        return Request("GET", f"/{name}", {"nonce": stamp.token}, json.dumps([symbol, cursor]).encode())

    def read(response: Response, cursor: str | None) -> Page:
        document: Any = parse_json(response.body)
        if value_of(document, "refusal"):
            return Page((), refusal=Refusal(RefusalKind(document["refusal"]), "7", "no"))
        rows = (OpenOrder(**row | {"side": row["side"] and Side(row["side"])}) for row in document["rows"])
        return Page(tuple(replace(row, namespace=namespace) for row in rows), document["cursor"])

    return Listing(name, READS, build, read, pages_shift=shift)


READABLE: Final = replace(
    PLAIN,
    settling_ms=SETTLING_MS,
    id_kinds=(IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID),
    queries=(_query("many", 4), _query("one", 1), _query("plan", 1, "plan")),
    listings=(_listing("plans", "plan"), _listing("open", None)),
    namespaces={"plan": 1},
    resend_safe=frozenset({IdKind.ORDER_ID}),
)
SINGLE: Final = replace(READABLE, queries=(_query("one", 1),))
SHIFTING: Final = replace(READABLE, listings=(_listing("plans", "plan"), _listing("open", None, shift=True)))
WHOLE: Final = replace(
    READABLE,
    cancel_alls=(
        _cancel_all("all", None),
        _cancel_all("all_plans", "plan"),
        _cancel_all("symbol", None, per_symbol=True),
    ),
)
BLIND: Final = replace(READABLE, queries=(), listings=())


@dataclass
class Book:
    """The orders of one account at the venue: id to status, as queries would tell it; and what calls come in.

    ``ends_ms`` is how long after its cancel an order ends; None for never.  ``replies`` replace the next answers to a
    call by its path; ``before`` is done before any call is answered.
    """

    states: dict[str, str] = field(default_factory=dict)
    rows: dict[str, OpenOrder] = field(default_factory=dict)
    ends_ms: int | None = 0
    replies: dict[str, deque[Response | Exception]] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)  # ids that the query for many leaves out
    calls: list[tuple[int, str, list[str]]] = field(default_factory=list)
    ending: dict[str, int] = field(default_factory=dict)
    before: Callable[[str], None] = lambda path: None

    def put(self, *values: str, namespace: str | None = None, **fields: Any) -> None:
        """Place open orders."""
        for value in values:
            self.states[value] = "open"
            self.rows[value] = OpenOrder(value, namespace=namespace, **fields)

    def reply(self, path: str, *answers: Response | Exception) -> None:
        """Give these answers to the next calls of *path*."""
        self.replies.setdefault(path, deque()).extend(answers)

    def asked(self, *paths: str) -> list[list[str]]:
        """Give what the calls to *paths* named."""
        return [names for _, path, names in self.calls if path in paths]

    def at(self, path: str) -> list[int]:
        """Say when calls to *path* came."""
        return [at_ms for at_ms, called, _ in self.calls if called == path]

    def answer(self, request: Request, now_ms: int) -> Response:
        path = request.target.removeprefix("/")
        for value, at_ms in list(self.ending.items()):
            if at_ms <= now_ms:
                self.states[value] = "canceled"
        if path == "time":
            return Response(200, str(now_ms).encode())
        self.before(path)
        self.calls.append((now_ms, path, ids_of(request)))
        if self.replies.get(path):
            reply = self.replies[path].popleft()
            if isinstance(reply, Exception):
                raise reply
            return reply
        return getattr(self, f"_{path}", self._list)(request, now_ms, path)  # type: ignore[no-any-return]

    def _cancel(self, request: Request, now_ms: int, path: str) -> Response:
        statuses = {}
        for value in ids_of(request):
            if self.states.get(self._own(value)) == "open" and self.ends_ms is not None:
                self.ending.setdefault(self._own(value), now_ms + self.ends_ms)
            statuses[value] = "accepted"
        return said(statuses=statuses)

    def _all(self, request: Request, now_ms: int, path: str) -> Response:
        """Cancel all of a namespace, or of a symbol in the ordinary one."""
        for value, row in self.rows.items():
            in_reach = row.namespace == ("plan" if path == "all_plans" else None)
            if path == "symbol":
                in_reach = in_reach and [row.symbol] == ids_of(request)
            if in_reach and self.states[value] == "open" and self.ends_ms is not None:
                self.ending.setdefault(value, now_ms + self.ends_ms)
        return said()

    _all_plans = _symbol = _all

    def _own(self, name: str) -> str:
        found = (row.order_id for row in self.rows.values() if name == row.client_order_id)
        return name if name in self.states else next(found, name)

    def _many(self, request: Request, now_ms: int, path: str) -> Response:
        return said(**{
            value: {"status": self._status(value, path), "order_id": self._told(value)}
            for value in ids_of(request)
            if path != "many" or value not in self.left_out
        })  # fmt: skip

    _one = _plan = _many

    def _status(self, name: str, path: str) -> str:
        row = self.rows.get(self._own(name))
        there = row is None or (row.namespace == "plan") == (path == "plan")
        return self.states.get(self._own(name), "not_known") if there else "not_known"

    def _told(self, value: str) -> str | None:
        return self._own(value) if self._own(value) in self.states else None

    def _list(self, request: Request, now_ms: int, path: str) -> Response:
        symbol, cursor = json.loads(request.body)
        space = {"open": None, "plans": "plan"}[path]
        rows = [
            row
            for value, row in self.rows.items()
            if self.states[value] == "open" and row.namespace == space and symbol in {None, row.symbol}
        ]
        start = int(cursor or 0)
        names = ("order_id", "client_order_id", "order_list_id", "symbol", "side", "created_ms", "filled_qty")
        page = [{name: getattr(row, name) for name in names} for row in rows[start : start + PAGE]]
        return said(rows=page, cursor=str(start + PAGE) if len(rows) > start + PAGE else None)


@dataclass
class Floor:
    """One account with its book, and workers on its lane; time passes when nothing is to be done."""

    redis: Redis
    venue: Venue = READABLE
    account: Account | None = None
    book: Book = field(default_factory=Book)
    log: FakeLog = field(default_factory=FakeLog)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.redis)
        self.lanes.use(self.account or account_of(self.venue))
        self.clock = self.lanes.clock

    def also(self, name: str, venue: Venue = READABLE) -> "Floor":
        """Give another account of the same worker, with a book of its own."""
        other = replace(self, account=account_of(venue, name), book=Book(), log=FakeLog())
        self.lanes.use(self.lanes.account, self._account_of(other))
        other.lanes, other.clock = self.lanes, self.clock
        return other

    @staticmethod
    def _account_of(floor: "Floor") -> Account:
        assert floor.account is not None
        return floor.account

    @property
    def name(self) -> str:
        return self.account.name if self.account else self.lanes.account.name

    def drain(self, store: RedisStore | None = None) -> Drain:
        line = FakeLine(deque([lambda request: self.book.answer(request, self.clock.ms)]))
        account = self.lanes.accounts[self.name]
        return Drain(account, store or self.lanes.store, line, self.clock, self.log, VenueClock(), self.ended.append)

    def cancel(self, *values: str, batch_id: str = "b", **fields: Any) -> str:
        """Hand in a batch of orders by their ids."""
        self.lanes.put(batch_id, *values, **({"prove": True} | fields))
        return batch_id

    def sweep(
        self,
        batch_id: str = "b",
        accounts: Iterable[str] = ("main",),
        *,
        deadline_s: float = 60,
        max_orders: int | None = None,
        priority: Priority = Priority.RISK,
        prove: bool = True,
        **filters: Any,
    ) -> str:
        """Hand in a sweep."""
        names = tuple(accounts)
        select = Selection(names, all=not filters, **filters)
        batch = Batch(batch_id, (), priority, deadline_s, prove, select=select, max_orders=max_orders)
        self.lanes.accept(batch)
        self.lanes.store.enqueue_sweep(batch_id, batch, names, self.clock.ms, self.clock.ms)
        return batch_id

    def step(self) -> bool:
        """Do one piece of work of the account if there is any now."""
        grant = self.lanes.store.claim(self.name, 1, self.clock.ms)
        for claim in grant.claims:
            work_on(self.drain(), claim)
        if grant.claims:
            self.lanes.sound()
        return bool(grant.claims)

    def watch(self) -> None:
        """Do what a watch does about late batches."""
        late: Any = self.redis.zrangebyscore(keys.DEADLINES, "-inf", self.clock.ms)
        for batch_id in late:
            chunks: Any = self.redis.smembers(keys.chunks(batch_id))
            for chunk_id in chunks:
                claim = self.lanes.store.seize(chunk_id, self.clock.ms)
                if claim is not None:
                    settlement = leftover(claim, self.lanes.store.lasting(claim.account), self.clock.ms)
                    self.lanes.store.settle(claim, settlement, self.clock.ms)
            self.lanes.store.expire(batch_id, self.clock.ms)
        self.lanes.sound()

    def run(self, *others: "Floor", until_ms: int = 120_000, tick_ms: int = 50) -> None:
        """Work on all accounts, for so long or until every batch is done."""
        end_ms = self.clock.ms + until_ms
        while self.clock.ms < end_ms and self.redis.zcard(keys.DEADLINES):
            worked = [floor.step() for floor in (self, *others)]
            if not any(worked):
                self.watch()
                self.clock.ms += tick_ms

    def report(self, batch_id: str = "b") -> dict[str, Any]:
        return self.lanes.client.report(batch_id)

    def statuses(self, batch_id: str = "b") -> list[str]:
        return self.lanes.statuses(batch_id)
