"""The lanes in Redis: runs the scripts, and turns their answers into values."""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from itertools import islice
from typing import Any, Final

import redis

from connectors.calls import Limit, Scope, Usage
from connectors.orders import IdKind, OrderRef
from tasks import keys
from tasks.batch import Account, Accounts, Batch, Plan, Priority, read_selection
from tasks.client import HEARTBEAT_MS
from tasks.fold import Standing
from tasks.ports import Claim, ClaimKind, Grant, Group, Pause, Permission, Settled, Settlement, Sought, Tally, Wait, Why
from tasks.proof import lists_from
from tasks.report import COMPACT
from tasks.standings import invalid

SLICE: Final = 250  # orders, or chunks, that one script writes: below 10 ms even for one order a chunk
LATEST_MS: Final = 50  # after its permission a call leaves so late, or not at all
LONGEST_CALL_MS: Final = (
    60_000  # no call takes as long: what a living worker holds, and asks for no other call, it has lost
)
SETTLING_MS: Final = 5_000  # what was seized is settled at once: after so long its watch has failed
WRITING_MS: Final = 30_000  # past its deadline, a plan may still be being written for this long
HEAD: Final = 10  # of a claim, what stands before its orders
STRANGE: Final = "!"
ONLY_OPEN: Final = "open"
ELSEWHERE: Final = "~"
ORDINARY: Final = "-"  # where a part is: in no namespace of its own
KEEP_EVENTS: Final = keys.EVENTS_KEPT
SCRIPTS: Final[Mapping[str, Sequence[str]]] = {  # each with what it needs beside the library
    "enqueue": (),
    "claim": ("claiming",),
    "settle": ("settling",),
    "turn": ("settling", "claiming"),
    "release": (),
    "seize": ("claiming",),
    "permit": ("claiming",),
    "grow": (),
    "tally": (),
    "sweep": (),
    "expire": (),
    "abandon": (),
    "pause": (),
    "resume": (),
    "acknowledge": (),
    "readers": (),
    "ready": (),
}


class RedisStore:
    """Chunks, lanes and outcomes in one Redis, for one worker and its *accounts*.  Safe to share between threads.

    ``guard_ms`` widens every window of a limit, as calls may reach the venue closer together than they left.
    ``cleanup_share`` is the part of an account's budget that clean-ups may use.
    """

    def __init__(
        self,
        client: redis.Redis,
        worker_id: str,
        accounts: Accounts,
        *,
        keep_s: int,
        guard_ms: int,
        cleanup_share: float = 0.7,
        patient: redis.Redis | None = None,
    ) -> None:
        """*client* must not repeat a command by itself: a claim that is repeated is two claims.

        *patient* may: settling twice is settling once, and what a call has taught must not be lost.
        """
        self._redis = client
        self._worker_id = worker_id
        self._accounts = accounts
        self._keep_s = keep_s
        self._guard_ms = guard_ms
        self._share = round(cleanup_share * 1000)
        self._numbers = itertools.count()  # no two claims have the same holder
        self._constants: dict[str, tuple[Account, list[Any]]] = {}
        # Account, token and holder of what is in our hands without our working on it: a command brought no answer.
        self._lost: list[tuple[str, str, str]] = []
        for name in SCRIPTS:
            via = patient or client if name == "settle" else client
            setattr(self, f"_{name}", via.register_script(_whole_script(name)))

    _enqueue: Any
    _claim: Any
    _settle: Any
    _turn: Any
    _release: Any
    _seize: Any
    _permit: Any
    _grow: Any
    _tally: Any
    _sweep: Any
    _expire: Any
    _abandon: Any
    _pause: Any
    _resume: Any
    _acknowledge: Any
    _readers: Any
    _ready: Any

    def publish(self) -> None:
        """Tell the scripts and the readers what they need to know of the accounts."""
        pipe = self._redis.pipeline(transaction=False)
        for name, account in self._accounts.items():
            venue = account.venue
            lasting = "".join(f"{kind}," for kind in sorted(venue.resend_safe))
            pipe.hset(keys.ACCOUNT_VENUES, name, venue.name)
            pipe.hset(keys.ACCOUNT_NAMING, name, f"{int(venue.symbol_required)} {lasting}")
            pipe.hset(keys.ACCOUNT_PAUSES, name, json.dumps([pause_key(account, scope) for scope in Scope]))
        pipe.execute()

    def claim(self, account: str, most: int, now_ms: int) -> Grant:
        """Take the most urgent chunks of *account*, at most *most*, each with the permission for one call."""
        self.take_back(now_ms)
        holder = self._holder()
        try:
            answer = self._claim(keys=[keys.PREFIX], args=self._claim_args(account, holder, most, now_ms))
        except redis.RedisError:
            self._lost.append((account, "", holder))
            raise
        return self._grant(account, answer)

    def settle(self, claim: Claim, settlement: Settlement, now_ms: int) -> Settled:
        """Write what an attempt taught and give the chunk back, or its parts."""
        (settled,) = self._settle_all([(claim, settlement)], now_ms)
        return settled

    def _settle_all(self, answers: Sequence[tuple[Claim, Settlement]], now_ms: int) -> list[Settled]:
        return _settled(self._settle(keys=[keys.PREFIX], args=self._answers_args(answers, now_ms)))

    def turn(
        self, account: str, answers: Sequence[tuple[Claim, Settlement]], most: int, now_ms: int
    ) -> tuple[list[Settled], Grant]:
        """Settle claims of *account* and take its next chunks in one go; only settle while Redis is in trouble."""
        holder = self._holder()
        args = self._answers_args(answers, now_ms) + self._claim_args(account, holder, most, now_ms)
        try:
            told, granted = self._turn(keys=[keys.PREFIX], args=args)
        except redis.RedisError:
            self._lost.append((account, "", holder))
            return self._settle_patiently(answers, now_ms), Grant((), Wait(Why.MORE))
        return _settled(told), self._grant(account, granted)

    def _settle_patiently(self, answers: Sequence[tuple[Claim, Settlement]], now_ms: int) -> list[Settled]:
        """Settle claims though Redis was in trouble; each by itself if it does not take one of them.

        Raises what the last one that failed did, when all were tried.
        """
        with suppress(redis.ResponseError):
            return self._settle_all(answers, now_ms)
        settled, failed = [], None
        for claim, settlement in answers:
            try:
                settled.append(self.settle(claim, settlement, now_ms))
            except redis.ResponseError as error:
                failed = error
        if failed is not None:
            raise failed
        return settled

    def release(self, claim: Claim, now_ms: int) -> None:
        """Give a chunk back that was not sent, and its permission with it."""
        self._lost.append((claim.account, str(claim.token), ""))
        self.take_back(now_ms)

    def take_back(self, now_ms: int) -> None:
        """Give back what is ours and was never sent: claims whose answers were lost, and what could not be released.

        To be called now and then: nobody else takes a chunk from a worker whose heart beats.
        """
        for account, token, holder in tuple(self._lost):
            self._release(keys=[keys.PREFIX], args=[account, now_ms, token, holder])
            with suppress(ValueError):  # another thread was faster
                self._lost.remove((account, token, holder))

    def _holder(self) -> str:
        return f"{self._worker_id}#{next(self._numbers)}"

    def _claim_args(self, name: str, holder: str, most: int, now_ms: int) -> list[Any]:
        account = self._accounts[name]
        known, constant = self._constants.get(name, (None, []))
        if known is not account:
            constant = self._constant(account)
            self._constants[name] = account, constant
        return [name, now_ms, holder, most, account.max_in_flight, self._share, *constant]

    def _constant(self, account: Account) -> list[Any]:
        """Flatten what each claim of an account is told: its pauses, and the limits of its calls."""
        args: list[Any] = [len(Scope), *(pause_key(account, scope) for scope in Scope), len(account.limits)]
        args += self._windows(account, account.limits)
        args.append(len(account.venue.cancel_alls))
        for call in account.venue.cancel_alls:
            limits = limits_of(account, call.limits)
            args += [len(limits), *self._windows(account, limits)]
        args.append(len(account.venue.queries))
        for query in account.venue.queries:
            kinds = "".join(f"{kind}," for kind in query.id_kinds)
            limits = limits_of(account, query.limits)
            some, of_symbol = (lists_from(account.venue, query, of_symbol=symbol) or 0 for symbol in (False, True))
            args += [kinds, query.namespace or "", query.max_orders, some, of_symbol]
            args += [len(limits), *self._windows(account, limits)]
        return args

    def _windows(self, account: Account, limits: Iterable[Limit]) -> list[Any]:
        """Flatten limits: key, units, window, the units of this call, and how late it may leave."""
        flat: list[Any] = []
        for limit in limits:
            flat += [limit_key(account, limit), limit.units, limit.per_ms + self._guard(limit), limit.cost]
            flat.append(self._late_ms([limit]))
        return flat

    def _answers_args(self, answers: Sequence[tuple[Claim, Settlement]], now_ms: int) -> list[Any]:
        args: list[Any] = [len(answers)]
        for claim, settlement in answers:
            args += self._settle_args(claim, settlement, now_ms)
        return args

    def _settle_args(self, claim: Claim, settlement: Settlement, now_ms: int) -> list[Any]:
        account = self._accounts.get(claim.account)  # the watch settles what other workers' accounts left behind
        args: list[Any] = [claim.chunk_id, claim.batch_id, claim.account, claim.token, now_ms, settlement.calls]
        args += [settlement.sent_ms, KEEP_EVENTS]
        args.append(pause_key(account, Scope.ACCOUNT) if account and settlement.well else "")
        args += [settlement.sweep, int(settlement.swept)]
        args.append(len(settlement.standings))
        for place, standing in settlement.standings:
            args += [place, standing.text()]
        args.append(len(settlement.siblings))
        for ref, standing in settlement.siblings:
            args += [_name(claim.account, ref), standing.text()]
        args.append(len(settlement.again))
        for part in settlement.again:
            space = ORDINARY if part.namespace == "" else part.namespace or ""
            args += [part.step.value, _places(part.places), part.ready_ms, space]
        noted = self._noted(account, settlement.usages) if account else []
        return [*args, len(noted) // 4, *noted]

    def _noted(self, account: Account, usages: Iterable[Usage]) -> list[Any]:
        """Flatten what the venue counts of our limits: key, units, window and units left.

        A call that left just before the window may have come to the venue just inside it, so ours are counted over
        the wider window: a call must not be counted twice.
        """
        flat: list[Any] = []
        for usage in usages:
            for limit in account.limits:
                if (limit.name, limit.per_ms) == (usage.limit, usage.per_ms):
                    flat += [limit_key(account, limit), limit.units, limit.per_ms + self._guard(limit), usage.left]
        return flat

    def _grant(self, account: str, answer: Sequence[Any]) -> Grant:
        claims = (_claim(account, taken[:HEAD], taken[HEAD:]) for taken in answer[2:])
        until_ms = answer[1] if answer[1] >= 0 else None
        usable = (
            replace(claim, use_by_ms=claim.permitted_ms + self._late_ms(self._limits_of(claim))) for claim in claims
        )
        return Grant(tuple(usable), Wait(Why(answer[0]), until_ms))

    def _limits_of(self, claim: Claim) -> tuple[Limit, ...]:
        """Give the limits of the call that *claim* permits."""
        account = self._accounts[claim.account]
        if claim.kind is ClaimKind.QUERY:
            return limits_of(account, account.venue.queries[claim.query].limits)
        if claim.cancel_all is not None:
            return limits_of(account, account.venue.cancel_alls[claim.cancel_all].limits)
        return account.limits

    def _late_ms(self, limits: Iterable[Limit]) -> int:
        """Say how long after its permission a call with *limits* may leave.

        Its permission is written down for the latest time until it is settled: that costs nothing of a window that
        is longer than a call takes, and a tenth of one that is not.
        """
        return min([LATEST_MS, *(limit.per_ms // 10 for limit in limits)])

    def _guard(self, limit: Limit) -> int:
        """A long window is widened by a hundredth: it costs no more of the rate than a short one's guard."""
        return max(self._guard_ms, limit.per_ms // 100)

    def seize(self, chunk_id: str, now_ms: int, account: str = "") -> Claim | None:
        """Take a chunk that waits past its deadline, or whose worker is gone; None if neither is so.

        A chunk that is forgotten is dropped from the lanes of *account*.
        """
        args = [chunk_id, now_ms, self._holder(), LONGEST_CALL_MS, account, SETTLING_MS, HEARTBEAT_MS]
        answer = self._seize(keys=[keys.PREFIX], args=args)
        return _claim(answer[0], answer[1 : HEAD + 1], answer[HEAD + 1 :]) if answer else None

    def abandon(self, batch_id: str, now_ms: int) -> bool:
        """End a late batch without chunks whose plan was never written to the end; True if it ended just now."""
        return bool(self._abandon(keys=[keys.PREFIX], args=[batch_id, now_ms, KEEP_EVENTS, WRITING_MS]))

    def pause(self, account: str, pause: Pause, now_ms: int) -> int | None:
        """Stop *account* and all that share the pause's scope; gives until when, or None if they wait that long."""
        sort = "rate" if pause.rate else "trouble"
        args = [pause_key(self._accounts[account], pause.scope), account, now_ms, pause.wait_ms, pause.longest_ms]
        args += [pause.reason, sort, pause.since_ms, pause.patience, KEEP_EVENTS]
        return int(self._pause(keys=[keys.PREFIX], args=args)) or None

    def resume(self, key: str, now_ms: int) -> str | None:
        """End the pause called *key* if its time is over; gives the account that brought it if it ended just now."""
        return self._resume(keys=[keys.PREFIX], args=[key, now_ms, KEEP_EVENTS]) or None

    def paused_at(self, account: str, at_ms: int) -> str | None:
        """Say why *account* waited at a time of the last hours, if it did."""
        listed = self._redis.hget(keys.ACCOUNT_PAUSES, account)
        pipe = self._redis.pipeline(transaction=False)
        for key in json.loads(str(listed or "[]")):
            pipe.hmget(key, "since_ms", "last_ms", "reason")
        for since, last, reason in pipe.execute():
            if since is not None and int(since) <= at_ms <= int(last or 0):
                return str(reason)
        return None

    def lasting(self, account: str) -> frozenset[IdKind]:
        """Give the id kinds that name one order of *account* for ever; none if no worker has it configured."""
        found = str(self._redis.hget(keys.ACCOUNT_NAMING, account) or " ")
        return frozenset(IdKind(kind) for kind in found.partition(" ")[2].split(",") if kind)

    def tell_poison(self, claim: Claim, now_ms: int) -> None:
        """Tell the readers of the events that workers die on an order."""
        fields: dict[Any, Any] = {"type": "chunk.poison", "batch_id": claim.batch_id, "account": claim.account}
        fields |= {"at_ms": now_ms, "orders": json.dumps([[ref.kind, ref.value] for ref in claim.orders])}
        self._redis.xadd(keys.EVENTS, fields, maxlen=KEEP_EVENTS, approximate=True)

    def enqueue(
        self,
        batch_id: str,
        batch: Batch,
        plan: Plan,
        accounts: Accounts,
        *,
        submitted_ms: int,
        now_ms: int,
        begun: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """Write a plan into the lanes, slice by slice, each once; picks up where a dead worker stopped.

        What is written already stays, even if the configuration has changed since: the rest is cut anew.
        *begun* is called with the accounts of which new chunks can be claimed: after the first slice, the second, the
        fourth and so on, and the last.  Returns when the whole plan is written, by us or by another.
        """
        deadline_ms = submitted_ms + int(batch.deadline_s * 1000)
        expiry_s = self._keep_s + int(batch.deadline_s)
        head = [deadline_ms, expiry_s, batch.priority.value, KEEP_EVENTS, len(plan.orders)]
        while (first := self._next_slice(batch_id)) is not None:
            known = self._redis.hscan_iter(keys.orders(batch_id), count=SLICE) if first else ()
            written = {int(place) for place, _ in known}
            slices = list(_slices(plan, accounts, written, now_ms)) or [([], [])]
            fresh: set[str] = set()
            for number, (orders, chunks) in enumerate(slices, first):
                done = number - first + 1
                last = int(done == len(slices))
                args = [batch_id, now_ms, number, last, *head, len(orders) // 5, *orders, len(chunks) // 3, *chunks]
                if not self._enqueue(keys=[keys.PREFIX], args=args):
                    break  # another worker writes this plan; it may die over it, so look again
                fresh.update(chunks[1::3])
                if last or done & (done - 1) == 0:
                    begun(fresh)
                    fresh = set()

    def _next_slice(self, batch_id: str) -> int | None:
        """Give the number of the slice to write next; None if the plan is written, or its batch no longer open."""
        slices, planned, state = self._redis.hmget(keys.batch(batch_id), "slices", "planned", "state")
        return None if planned or state not in {"accepted", "running"} else int(slices or 0)

    def permit(self, claim: Claim, limits: tuple[Limit, ...], now_ms: int) -> Permission:
        """Take the permission for one call for work that is in hands, or say when it is worth asking again.

        Either way the work has been held for no time yet: a long listing stays with whoever goes on asking.
        """
        priority = self._priority(claim.chunk_id)
        return self.permit_for(claim.account, limits, priority, now_ms, claim)

    def permit_for(
        self, name: str, limits: tuple[Limit, ...], priority: Priority, now_ms: int, claim: Claim | None = None
    ) -> Permission:
        """Take the permission for one call of an account, or say when it is worth asking again."""
        account = self._accounts[name]
        own = limits_of(account, limits)
        args: list[Any] = [name, now_ms, priority.value, self._share, account.max_in_flight]
        args += [claim.chunk_id, claim.token] if claim else ["", ""]
        args += [len(Scope), *(pause_key(account, scope) for scope in Scope), len(own), *self._windows(account, own)]
        granted, at_ms = self._permit(keys=[keys.PREFIX], args=args)
        return Permission(at_ms + self._late_ms(own)) if granted else Permission(None, at_ms)

    def _priority(self, chunk_id: str) -> Priority:
        return Priority(str(self._redis.hget(keys.chunk(chunk_id), "priority") or Priority.RISK.value))

    def selection(self, batch_id: str) -> Sought | None:
        """Give what a sweep looks for; None if the batch is no sweep, or no longer open."""
        select, most, state = self._redis.hmget(keys.batch(batch_id), "select", "max_orders", "state")
        if select is None or state not in {"accepted", "running"}:
            return None
        return Sought(read_selection(json.loads(str(select))), None if most is None else int(most))

    def tally(self, claim: Claim, number: int, most: int, now_ms: int) -> Tally:
        """Count the orders that match a selection with a most; nothing is sent before all accounts are counted."""
        args = [claim.batch_id, claim.account, number, most, now_ms, KEEP_EVENTS]
        return Tally(self._tally(keys=[keys.PREFIX], args=args))

    def new_among(self, claim: Claim, orders: Iterable[OrderRef]) -> list[OrderRef]:
        """Give those of *orders* that the batch of a sweep does not have yet."""
        found, names = list(orders), keys.names(claim.batch_id)
        fresh: list[OrderRef] = []
        for start in range(0, len(found), SLICE):
            some = found[start : start + SLICE]
            places: Any = self._redis.hmget(names, [_name(claim.account, order) for order in some])
            fresh += [order for order, place in zip(some, places, strict=True) if place is None]
        return fresh

    def grow(self, claim: Claim, groups: Sequence[Group], most: int, now_ms: int) -> int | None:
        """Add orders that a sweep has found, those that are new; gives how many, or None if they are too many."""
        added = 0
        for some in _portions(groups):
            args: list[Any] = [claim.chunk_id, claim.batch_id, claim.account, claim.token, now_ms, most, len(some)]
            for group in some:
                names = [_name(claim.account, order) for order in group.orders]
                which = "" if group.cancel_all is None else group.cancel_all
                args += [which, group.orders[0].namespace or "", len(names), *names]
            number = int(self._grow(keys=[keys.PREFIX], args=args))
            if number < 0:
                return None
            added += number
        return added

    def enqueue_sweep(
        self, batch_id: str, batch: Batch, accounts: Sequence[str], submitted_ms: int, now_ms: int
    ) -> bool:
        """Write the plan of a sweep over *accounts*; False if it had been written before."""
        deadline_ms = submitted_ms + int(batch.deadline_s * 1000)
        expiry_s = self._keep_s + int(batch.deadline_s)
        args = [batch_id, now_ms, deadline_ms, expiry_s, batch.priority.value, KEEP_EVENTS, *accounts]
        return bool(self._sweep(keys=[keys.PREFIX], args=args))

    def expire(self, batch_id: str, now_ms: int) -> tuple[int, bool]:
        """Give up reading back for a late batch: how many orders, and whether that ended it just now."""
        given_up, ended = self._expire(keys=[keys.PREFIX], args=[batch_id, now_ms, KEEP_EVENTS])
        return int(given_up), bool(ended)

    def acknowledge(self, group: str, entry_id: str, batch_id: str) -> bool:
        """Remove an entry of the inbox whose batch is planned, or that was refused ('').  False: take it again."""
        return bool(self._acknowledge(keys=[keys.PREFIX], args=[group, entry_id, batch_id]))

    def forget_readers(self, group: str, silent_ms: int) -> int:
        """Remove the inbox's readers of workers that are gone and have said nothing for so long; gives how many."""
        return int(self._readers(keys=[keys.PREFIX], args=[group, silent_ms]))

    def ready(self, account: str, now_ms: int) -> str | None:
        """Name the highest priority with a chunk of *account* that may be tried now."""
        return self._ready(keys=[keys.PREFIX], args=[account, now_ms]) or None


def limit_key(account: Account, limit: Limit) -> str:
    """Name the window that *limit* is counted in: accounts with the same key, or egress, share it."""
    scope = account.egress if limit.scope is Scope.IP else account.key_digest
    return keys.limit(account.venue.name, limit.name, scope, limit.per_ms)


def pause_key(account: Account, scope: Scope) -> str:
    """Name the pause that stops *account* and all that share *scope* with it."""
    shared = {Scope.KEY: account.key_digest, Scope.IP: account.egress}
    who = f"{account.venue.name}:{shared[scope]}" if scope in shared else account.name
    return keys.pause(scope, who)


def limits_of(account: Account, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Give the limits of a call that is no cancel with the numbers that are configured for *account*."""
    own = {limit.name: limit for limit in account.limits if limit not in account.venue.limits}
    found = (
        replace(own[limit.name], cost=1) if limit.name in own and limit.per_ms <= 1000 else limit for limit in limits
    )
    return tuple(dict.fromkeys(found))


def _portions(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Cut what a sweep has found into what one script adds."""
    some: list[Group] = []
    for group in groups:
        some.append(group)
        if sum(len(one.orders) for one in some) >= SLICE:
            yield some
            some = []
    if some:
        yield some


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


def _settled(told: Sequence[int]) -> list[Settled]:
    return [Settled(bool(held), bool(ended)) for held, ended in zip(told[::2], told[1::2], strict=True)]


def _name(account: str, ref: OrderRef) -> str:
    return COMPACT([account, ref.kind, ref.value, ref.symbol])


def _places(places: Iterable[int]) -> str:
    return ",".join(map(str, places))


def _claim(account: str, head: Sequence[Any], flat: Sequence[Any]) -> Claim:
    kind, chunk_id, batch_id, token, attempt, deadline_ms, permitted_ms, deaths, prove, more = head
    places = tuple(int(place) for place in flat[::4])
    spaces = flat[3::4]
    return Claim(
        kind=ClaimKind(kind),
        chunk_id=chunk_id,
        batch_id=batch_id,
        account=account,
        token=int(token),
        attempt=attempt,
        deadline_ms=deadline_ms,
        places=places,
        orders=_refs(flat[1::4], spaces),
        permitted_ms=permitted_ms,
        deaths=deaths,
        prove=prove == "1",
        known=tuple(Standing.read(text) if text else None for text in flat[2::4]),
        query=int(more) if kind == ClaimKind.QUERY else 0,
        strange=frozenset(place for place, space in zip(places, spaces, strict=True) if space == STRANGE),
        elsewhere=frozenset(place for place, space in zip(places, spaces, strict=True) if space == ELSEWHERE),
        empty_ms=int(more) if kind == ClaimKind.SWEEP and more else None,
        only_open=kind == ClaimKind.LIST and more == ONLY_OPEN,
        cancel_all=int(more) if kind == ClaimKind.SEND and more != "" else None,
    )


def _refs(orders: Iterable[str], spaces: Iterable[str]) -> tuple[OrderRef, ...]:
    names = json.loads(f"[{','.join(orders)}]")  # one text is read in a third of the time of many
    return tuple(
        OrderRef(IdKind(kind), value, symbol, space if space not in {"", STRANGE, ELSEWHERE} else None)
        for (_, kind, value, symbol), space in zip(names, spaces, strict=True)
    )


def _whole_script(name: str) -> str:
    return "\n".join(_script(part) for part in ("lib", *SCRIPTS[name], name))


def _script(name: str) -> str:
    return resources.files("worker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
