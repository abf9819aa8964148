"""The lanes in Redis: runs the scripts, and turns their answers into values."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import resources
from itertools import islice
from typing import Any, Final

import redis

from connectors.orders import IdKind, OrderRef
from connectors.venue import Limit, Scope
from tasks import keys
from tasks.batch import PRIORITIES, Account, Accounts, Batch, Plan
from tasks.drain import invalid
from tasks.ports import Claim, ClaimKind, Settled, Settlement, Wait, Why

SLICE: Final = 250  # orders, or chunks, that one script writes: below 10 ms even for one order a chunk
LONGEST_CALL_MS: Final = 60_000  # no call takes as long: what a living worker holds for longer, it has lost
WRITING_MS: Final = 30_000  # past its deadline, a plan may still be being written for this long
KEEP_EVENTS: Final = keys.EVENTS_KEPT


class RedisStore:
    """Chunks, lanes and outcomes in one Redis, for one worker.  Safe to share between threads.

    ``guard_ms`` widens every window of a limit: calls may reach the venue closer together than they left.
    """

    def __init__(
        self, client: redis.Redis, worker_id: str, keep_s: int, guard_ms: int, patient: redis.Redis | None = None
    ) -> None:
        """*client* must not repeat a command by itself: a claim that is repeated is two claims.

        *patient* may: settling twice is settling once, and what a call has taught must not be lost.
        """
        self._redis = client
        self._worker_id = worker_id
        self._keep_s = keep_s
        self._guard_ms = guard_ms
        library = _script("lib")
        for name in ("enqueue", "claim", "settle", "seize", "abandon", "pause", "resume"):
            via = patient or client if name == "settle" else client
            setattr(self, f"_{name}", via.register_script(f"{library}\n{_script(name)}"))

    _enqueue: Any
    _claim: Any
    _settle: Any
    _seize: Any
    _abandon: Any
    _pause: Any
    _resume: Any

    def claim(self, account: Account, now_ms: int) -> Claim | Wait:
        """Take the most urgent chunk of *account* with the permission for one call."""
        args: list[Any] = [account.name, now_ms, self._worker_id, account.max_in_flight, len(account.limits)]
        for limit in account.limits:
            args += [limit_key(account, limit), limit.units, limit.per_ms + self._guard_ms, limit.cost]
        answer = self._claim(keys=[keys.PREFIX], args=args)
        kind = answer[0]
        if kind == "wait":
            return Wait(Why.LIMIT, answer[1])
        if kind == "paused":
            return Wait(Why.PAUSED, answer[1])
        if kind == "full":
            return Wait(Why.FULL)
        if kind == "idle":
            return Wait(Why.IDLE, answer[1] if answer[1] >= 0 else None)
        return _claim(account.name, answer[:7], answer[7:])

    def settle(self, claim: Claim, settlement: Settlement, now_ms: int) -> Settled:
        """Write what an attempt taught and give the chunk back, or its parts."""
        args: list[Any] = [claim.chunk_id, claim.batch_id, claim.account, claim.token, now_ms, settlement.calls]
        args += [KEEP_EVENTS, len(settlement.standings)]
        for place, standing in settlement.standings:
            args += [place, standing.text()]
        args.append(len(settlement.siblings))
        for ref, standing in settlement.siblings:
            args += [_name(claim.account, ref), standing.text()]
        args.append(len(settlement.again))
        for part in settlement.again:
            args += [_places(part.places), part.ready_ms]
        held, ended = self._settle(keys=[keys.PREFIX], args=args)
        return Settled(bool(held), bool(ended))

    def seize(self, chunk_id: str, now_ms: int, account: str = "") -> Claim | None:
        """Take a chunk that waits past its deadline, or whose worker is gone; None if neither is so.

        A chunk that is forgotten is dropped from the lanes of *account*.
        """
        answer = self._seize(keys=[keys.PREFIX], args=[chunk_id, now_ms, self._worker_id, LONGEST_CALL_MS, account])
        return _claim(answer[6], [*answer[:6], 0], answer[7:]) if answer else None

    def abandon(self, batch_id: str, now_ms: int) -> bool:
        """End a late batch without chunks whose plan was never written to the end; True if it ended just now."""
        return bool(self._abandon(keys=[keys.PREFIX], args=[batch_id, now_ms, KEEP_EVENTS, WRITING_MS]))

    def pause(self, account: str, until_ms: int, reason: str, now_ms: int) -> bool:
        """Stop *account* until *until_ms*; False if it already waits that long."""
        return bool(self._pause(keys=[keys.PREFIX], args=[account, now_ms, until_ms, reason, KEEP_EVENTS]))

    def resume(self, account: str, now_ms: int) -> bool:
        """End the pause of *account* if its time is over; False if there is none or it goes on."""
        return bool(self._resume(keys=[keys.PREFIX], args=[account, now_ms, KEEP_EVENTS]))

    def enqueue(
        self, batch_id: str, batch: Batch, plan: Plan, accounts: Accounts, *, submitted_ms: int, now_ms: int
    ) -> None:
        """Write a plan into the lanes, slice by slice, each once; picks up where a dead worker stopped.

        What is written already stays, even if the configuration has changed since: the rest is cut anew.
        """
        head: Any = self._redis.hmget(keys.batch(batch_id), "slices", "planned")
        if head[1]:
            return
        first = int(head[0] or 0)
        known = self._redis.hscan_iter(keys.orders(batch_id), count=SLICE) if first else ()
        written = {int(place) for place, _ in known}
        deadline_ms = submitted_ms + int(batch.deadline_s * 1000)
        expiry_s = self._keep_s + int(batch.deadline_s)
        slices = list(_slices(plan, accounts, written, now_ms)) or [([], [])]
        for number, (orders, chunks) in enumerate(slices, first):
            last = int(number == first + len(slices) - 1)
            args = [batch_id, now_ms, number, last, deadline_ms, expiry_s, batch.priority.value, KEEP_EVENTS]
            args += [len(plan.orders), len(orders) // 5, *orders, len(chunks) // 3, *chunks]
            if not self._enqueue(keys=[keys.PREFIX], args=args):
                return  # another worker writes this plan

    def ready(self, account: str, now_ms: int) -> str | None:
        """Name the highest priority with a chunk of *account* that may be tried now."""
        pipe = self._redis.pipeline(transaction=False)
        for priority in PRIORITIES:
            pipe.zcount(keys.lane(account, priority), "-inf", now_ms)
        counts = pipe.execute()
        return next((p.value for p, count in zip(PRIORITIES, counts, strict=True) if count), None)


def limit_key(account: Account, limit: Limit) -> str:
    """Name the window that *limit* is counted in: accounts with the same key, or egress, share it."""
    scope = account.egress if limit.scope is Scope.IP else account.key_digest
    return keys.limit(account.venue.name, limit.name, scope, limit.per_ms)


def _slices(
    plan: Plan, accounts: Accounts, written: Collection[int], now_ms: int
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Cut what is not *written* of a plan into what one script writes: orders (5 each) and chunks (3 each)."""
    invalid_places = iter(place for place in plan.invalid if place not in written)
    while part := list(islice(invalid_places, SLICE)):
        yield _flat_orders(part, plan, accounts, now_ms), []
    orders: list[Any] = []
    chunks: list[Any] = []
    for chunk in plan.chunks:
        places = [place for place in chunk.places if place not in written]
        if not places:
            continue
        orders += _flat_orders(places, plan, accounts, now_ms)
        chunks += [len(chunks) // 3, chunk.account, _places(places)]
        if len(orders) // 5 >= SLICE:
            yield orders, chunks
            orders, chunks = [], []
    if orders:
        yield orders, chunks


def _flat_orders(places: Iterable[int], plan: Plan, accounts: Accounts, now_ms: int) -> list[Any]:
    flat: list[Any] = []
    for place in places:
        order = plan.orders[place]
        reason = plan.invalid.get(place)
        standing = "" if reason is None else invalid(order.ref, reason, now_ms).text()
        name = _name(order.account, order.ref)
        named = accounts[order.account].venue.names_siblings and reason is None
        flat += [place, order.account, name, standing, name if named else ""]
    return flat


def _name(account: str, ref: OrderRef) -> str:
    return json.dumps([account, ref.kind, ref.value, ref.symbol], separators=(",", ":"))


def _places(places: Iterable[int]) -> str:
    return ",".join(map(str, places))


def _claim(account: str, head: Sequence[Any], flat: Sequence[Any]) -> Claim:
    kind, chunk_id, batch_id, token, attempt, deadline_ms, behind = head
    return Claim(
        kind=ClaimKind(kind),
        chunk_id=chunk_id,
        batch_id=batch_id,
        account=account,
        token=token,
        attempt=attempt,
        deadline_ms=deadline_ms,
        behind=behind,
        places=tuple(int(place) for place in flat[::2]),
        orders=tuple(_ref(order) for order in flat[1::2]),
    )


def _ref(order: str) -> OrderRef:
    _, kind, value, symbol = json.loads(order)
    return OrderRef(IdKind(kind), value, symbol)


def _script(name: str) -> str:
    return resources.files("worker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
