"""What must hold: after every script, at every call that leaves, at every answer, and at the end."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from connectors.calls import Limit, RefusalKind
from connectors.outcomes import VERDICTS, Status, Verdict
from tasks import keys
from tasks.batch import EVERY_ACCOUNT, PRIORITIES, Account, Priority
from tasks.client import HEARTBEAT_MS, Client, script
from tasks.drain import DEADLY
from tasks.fold import GONE, Standing
from tasks.plan import plan
from tasks.ports import Claim, ClaimKind
from tasks.report import report
from tasks.retry import LONGEST_PAUSE_MS
from tests.simulation.connection import Connection, pairs
from tests.simulation.threads import SimClock, Thread
from tests.simulation.venue import Call, Reads, Truth
from worker.store import LATEST_MS, LONGEST_CALL_MS, SETTLING_MS

if TYPE_CHECKING:
    from tests.simulation.world import World

EVERY: Final = 3  # the structure is looked at after every third script, for speed
TWICE: Final = 2  # an order is shown open so often before it is canceled again
WORK: Final = frozenset({"send", "query", "list", "sweep"})
SURE: Final = frozenset({Status.REJECTED, Status.INVALID})
NOT_EXECUTED: Final = frozenset({"rate_limit", "unavailable", "clock", "credentials", "reference"})


@dataclass(slots=True, eq=False)
class Granted:
    """A claim as a script gave it."""

    chunk: str
    batch: str
    account: str
    token: int
    kind: str
    asked_ms: int
    permission_ms: int
    places: tuple[str, ...]
    holder: str
    deaths: int = 0
    seized: bool = False
    released: bool = False
    left: bool = False
    since_ms: int = 0  # by the true clock
    limits: tuple[Limit, ...] = ()  # of the call that it permits
    written: dict[tuple[str, str, int], int] = field(default_factory=dict)  # by window: for when


@dataclass(slots=True)
class Round:
    """One listing of a sweep: when it was made, by the true clock, and what it showed that matches."""

    from_ms: int
    to_ms: int
    found: int = 0


@dataclass(slots=True)
class Checks:
    """The rules, and what they need to remember."""

    world: "World"
    keep_s: int = 1_000_000
    guard_ms: int = 10
    share: float = 0.7
    grants: dict[tuple[str, int], Granted] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    tokens: set[tuple[str, int]] = field(default_factory=set)
    # Of each window the calls that were permitted, and when they left, or until when they may.
    permissions: dict[tuple[str, str, int], list[tuple[int, Granted]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    flying: dict[tuple[str, str], Call] = field(default_factory=dict)
    calls: dict[tuple[str, str], list[Call]] = field(default_factory=lambda: defaultdict(list))
    bans: dict[tuple[str, str], int] = field(default_factory=dict)
    trials: set[str] = field(default_factory=set)
    usage_noted: bool = False
    scripts: int = 0
    best: dict[tuple[str, str], int] = field(default_factory=dict)  # strength of what was learned of an order
    open_reads: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    canceled: dict[tuple[str, str, str], Call] = field(default_factory=dict)  # the last cancel of a batch's order
    listings: dict[tuple[str, int], Round] = field(default_factory=dict)  # of a sweep's chunk, by whose token
    rounds: dict[str, list[Round]] = field(default_factory=lambda: defaultdict(list))  # those that were settled
    swept: set[tuple[str, str]] = field(default_factory=set)
    partial: set[tuple[str, int]] = field(default_factory=set)  # chunk and token of listings that may miss orders
    audited: int = 0

    def client(self, connection: Connection) -> Client:
        """Make a client over *connection*, without one of its own."""
        client: Any = Client.__new__(Client)
        client._url, client._asks_redis, client._keep_s = "redis://simulated", False, self.keep_s
        client._clock = SimClock(self.world.scheduler)
        client.redis = connection
        client._accept = connection.register_script(accept_script())
        client._refuse = None
        found: Client = client
        return found

    def prepare(self) -> None:
        """Take over what does not change."""

    def fault(self, text: str) -> None:
        """Say what was broken."""
        self.world.fault(text)

    # after scripts

    def after_script(self, name: str, args: Sequence[Any], found: Any) -> None:
        """Look at what a script did."""
        if self.world.only_compared or name == "ready":  # which writes nothing
            return
        self.scripts += 1
        match name:
            case "claim":
                self._granted(args, found)
            case "settle":
                self._all_settled(args, found)
            case "turn":
                self._granted(args[self._all_settled(args, found[0]) :], found[1])
            case "seize" if found:
                self._seized(args, found)
            case "release":
                self._released(args, found)
            case "pause":
                self._paused(args, found)
            case "tally" if found == "refused":
                for grant in self.grants.values():
                    if grant.batch == args[0]:
                        self.newest.pop(grant.chunk, None)  # its chunks are dropped
            case "permit" if found[0]:
                self._page_permitted(args, found[1])
        if self.scripts % EVERY == self.world.seed % EVERY:
            for text in self.world.redis.faults(self.world.lost_from_ms is not None):
                self.fault(f"after {name}: {text}")

    def _windows(
        self, account: Account, limits: tuple[Limit, ...] | None = None
    ) -> list[tuple[Limit, tuple[str, str, int], int]]:
        """Give limits (or all that calls of *account* count in) with their windows, and how long these are held."""
        if limits is None:
            every = (*account.limits, *self.world.exchange.kind.limits)
            limits = tuple({(limit.name, limit.per_ms): limit for limit in every}.values())
        return [
            (limit, key, limit.per_ms + max(self.guard_ms, limit.per_ms // 100))
            for limit, key in self.world.exchange.windows(account, limits)
        ]

    def _remembered(self, account: Account, limit: Limit, key: tuple[str, str, int]) -> list[int]:
        """Give the times that the limiter has written for a window, the newest first."""
        name = keys.limit(account.venue.name, limit.name, key[1], limit.per_ms)
        return [int(at_ms) for at_ms in self.world.command("LRANGE", name, 0, -1)]

    def _use_within_ms(self, account: Account, limits: tuple[Limit, ...]) -> int:
        """Say how long after its permission a call may leave."""
        return min([LATEST_MS, *(limit.per_ms // 10 for limit, _, _ in self._windows(account, limits))])

    def _granted(self, args: Sequence[Any], found: Any) -> None:
        world = self.world
        account = world.accounts[args[0]]
        now_ms, holder = args[1], args[2]
        last: Granted | None = None
        for taken in found[2:]:
            kind, chunk, batch, token, attempt, _deadline, permission = taken[:7]
            grant = Granted(
                chunk, batch, account.name, int(token), kind, now_ms, permission, tuple(taken[10::4]), holder
            )
            grant.since_ms = world.scheduler.now_ms
            self._note_token(grant)
            fields = world.command("HMGET", keys.chunk(chunk), "attempts", "token", "holder")
            if fields[1] != token or fields[2] != holder:
                self.fault(f"the claim of {chunk} is not written: {fields}")
            if kind == "send" and (int(fields[0] or 0) != attempt or attempt < 1):
                self.fault(f"the attempt {attempt} at {chunk} is not noted: {fields[0]}")
            if kind in {"send", "query"}:
                priority = world.command("HGET", keys.chunk(chunk), "priority")
                grant.limits = account.limits if kind == "send" else world.exchange.kind.limits
                self._permitted(account, grant, priority)
                self._has_a_place(account, priority)
            if kind in WORK:
                last = grant
        if last is not None:
            priority = world.command("HGET", keys.chunk(last.chunk), "priority")
            for higher in PRIORITIES[: PRIORITIES.index(Priority(priority))]:
                lanes = {keys.lane(account.name, higher): account.limits}
                lanes[keys.proof_lane(account.name, higher)] = world.exchange.kind.limits
                for lane, limits in lanes.items():
                    waiting = world.command("ZRANGEBYSCORE", lane, "-inf", now_ms)
                    if waiting and not self._is_held_up(account, limits, last, now_ms):
                        self.fault(f"{waiting[0]} ({higher}) waits while {last.chunk} ({priority}) is sent")

    def _is_held_up(self, account: Account, limits: tuple[Limit, ...], passing: Granted, now_ms: int) -> bool:
        """Say whether a call with *limits* has to wait, for windows that the one that passes it takes nothing of."""
        taken = {key for _, key, _ in self._windows(account, passing.limits)}
        full = False
        for limit, key, window_ms in self._windows(account, limits):
            if key in taken:
                return False
            times = self._remembered(account, limit, key)
            full |= sum(at_ms > now_ms - window_ms for at_ms in times) + limit.cost > limit.units
        return full

    def _page_permitted(self, args: Sequence[Any], permission_ms: int) -> None:
        """Note the permission for one page of a listing; it is that of the thread that asked for it."""
        thread = self.world.scheduler.current
        assert thread is not None
        account = self.world.accounts[args[0]]
        grant = Granted("", "", account.name, 0, "page", args[1], permission_ms, (), "")
        grant.limits = self.world.exchange.kind.limits
        self._permitted(account, grant, args[2])
        thread.notes["page"] = grant

    def _note_token(self, grant: Granted) -> None:
        if (grant.account, grant.token) in self.tokens:
            self.fault(f"the token {grant.token} of {grant.account} is given a second time")
        self.tokens.add((grant.account, grant.token))
        self.newest[grant.chunk] = grant.token
        self.grants[grant.chunk, grant.token] = grant

    def _has_a_place(self, account: Account, priority: str) -> None:
        share = self.share if priority == Priority.CLEANUP else 1.0
        flights = self.world.command("ZCARD", keys.flights(account.name))
        most = max(1, int(account.max_in_flight * share))
        if flights > most:
            self.fault(f"{flights} calls of {account.name} are in flight for {priority}, allowed are {most}")
        if account.name in self.trials and flights > 1:
            self.fault(f"{flights} calls of {account.name} are in flight during a trial")

    def _permitted(self, account: Account, grant: Granted, priority: str) -> None:
        world = self.world
        share = self.share if priority == Priority.CLEANUP else 1.0
        # What was asked for long ago, by a worker that was stopped, is too old to be sent.
        usable = world.scheduler.now_ms < grant.permission_ms + self._use_within_ms(account, grant.limits)
        for limit, key, window_ms in self._windows(account, grant.limits):
            entries = self.permissions[key]
            # A clock that is ahead forgets nothing.
            since_ms = min(grant.permission_ms, world.scheduler.now_ms) - 2 * window_ms
            entries[:] = [one for one in entries if one[0] > since_ms and not one[1].released]
            when = grant.written[key] = self._remembered(account, limit, key)[0]
            if when < grant.permission_ms + self._use_within_ms(account, (limit,)):
                self.fault(f"a call that may leave later is written for {when}: {grant.permission_ms}")
            entries += [(when, grant)] * limit.cost
            used = sum(
                1
                for at_ms, _ in entries
                if at_ms > max(grant.asked_ms, world.scheduler.now_ms) - window_ms + world.weather.clock_spread_ms
            )
            allowed = max(limit.cost, int(limit.units * share))
            if used > allowed and usable and world.weather.strict:
                self.fault(
                    f"{used} units of {limit.name} {key[1]} are permitted in {window_ms} ms, for {priority} {allowed}"
                )
        if world.weather.strict:
            for scope, until_ms in self.bans.items():
                if scope in _scopes(account) and world.scheduler.now_ms < until_ms - 5:
                    self.fault(f"{account.name} gets a permission while {scope} is banned")

    def _all_settled(self, args: Sequence[Any], found: Any) -> int:
        at = 1
        for i in range(args[0]):
            at += self._settled(args[at:], found[2 * i : 2 * i + 2])
        return at

    def _settled(self, args: Sequence[Any], found: Any) -> int:
        chunk, batch, account, token = args[0], args[1], args[2], int(args[3])
        at = 11
        standings = args[at + 1 : at + 1 + 2 * args[at]]
        at += 1 + 2 * args[at]
        at += 1 + 2 * args[at]
        parts = args[at]
        steps = [(args[i], args[i + 1]) for i in range(at + 1, at + 1 + 4 * parts, 4)]
        at += 1 + 4 * args[at]
        self.usage_noted |= bool(args[at])
        at += 1 + 4 * args[at]
        if args[8]:
            self.trials.discard(account)
        newest = self.newest.get(chunk)
        if found[0]:
            if newest != token:
                self.fault(f"{chunk} is settled with the token {token}; the newest is {newest}")
            self.newest.pop(chunk, None)
            self._nobody_waits_for_nobody(account)
            grant = self.grants.get((chunk, token))
            if grant and args[6]:
                self._left_at(grant, args[6])
            if grant and grant.kind == "send" and grant.deaths >= DEADLY and len(grant.places) > 1 and parts == 1:
                self.fault(f"{chunk} is not halved after {grant.deaths} deaths")
            listing, rounds = self.listings.get((chunk, token)), self.rounds[chunk]
            if listing and listing not in rounds:
                rounds.append(listing)
            if args[10]:
                self._swept_by(chunk, batch, account, token)
            if grant and grant.kind in {"query", "list"}:
                for step, places in steps:
                    if step == "cancel":
                        self._canceled_again(batch, account, places)
                    elif step == "unknown" and grant.kind == "query":
                        self._strange(batch, account, places)
        elif newest == token and self.world.command("EXISTS", keys.batch(batch)):
            self.fault(f"{chunk} is not settled with its newest token {token}")
        for place, standing in zip(standings[::2], standings[1::2], strict=True):
            if (chunk, token) in self.partial and Standing.read(standing).status is Status.NOT_FOUND:
                self.fault(f"{place} of {batch} is not_found, and later pages may have missed it")
            stored = self.world.command("HGET", keys.outcomes(batch), place)
            if not found[0] and self.world.batches[batch].select is not None:
                continue  # its place may be another order's after a lost second
            if stored is None and self.world.command("EXISTS", keys.batch(batch)):
                self.fault(f"what was learned of {place} of {batch} is not written")
            elif stored and Standing.read(stored).strength < Standing.read(standing).strength:
                self.fault(f"the outcome of {place} of {batch} is weaker than what was learned: {stored}")
            if stored:
                strength = Standing.read(stored).strength
                if strength < self.best.get((batch, place), 0):
                    self.fault(f"the outcome of {place} of {batch} is weaker than before: {stored}")
                self.best[batch, place] = strength
        return at

    def _left_at(self, grant: Granted, sent_ms: int) -> None:
        """Note when a call left: until now it counted for as late as it could have."""
        account = self.world.accounts[grant.account]
        for limit, key, _ in self._windows(account, grant.limits) if grant.written else ():
            before_ms = grant.written[key]
            unused_ms = max(0, self._use_within_ms(account, (limit,)) - max(0, sent_ms - grant.permission_ms))
            for i, entry in enumerate(self.permissions[key]):
                if entry == (before_ms, grant):
                    self.permissions[key][i] = (before_ms - unused_ms, grant)

    def _canceled_again(self, batch: str, account: str, places: str) -> None:
        """Look whether orders that go back to be canceled were shown open twice, once at least since their cancel."""
        world = self.world
        if not world.weather.strict or world.lost_from_ms is not None:
            return
        for order in world.command("HMGET", keys.orders(batch), *places.split(",")):
            own = json.loads(order)[2]
            name = account, world.exchange.find(account, own).value
            call = self.canceled.get((batch, account, own))
            since_ms = call.left_ms if call else 0
            if not [at_ms for at_ms in self.open_reads[name] if at_ms >= since_ms]:
                self.fault(f"{name[1]} is canceled again by {batch}, and was not shown open since its last cancel")
            elif len(self.open_reads[name]) < TWICE:
                self.fault(f"{name[1]} is canceled again by {batch}, and was shown open only once")

    def _strange(self, batch: str, account: str, places: str) -> None:
        """Look whether what the venue does not know was asked for late enough: it may just have been placed."""
        world = self.world
        if not world.weather.strict or world.lost_from_ms is not None:
            return
        for order in world.command("HMGET", keys.orders(batch), *places.split(",")):
            own = json.loads(order)[2]
            call = self.canceled.get((batch, account, own))
            # The venue has known it since it took another batch's cancel of it, which this batch may have learned.
            others = [
                one.left_ms
                for one in world.exchange.executed
                if one.account.name == account and one.claim.batch_id != batch and _took(one, own)
            ]
            since_ms = min([call.left_ms, *others[-1:]]) if call else 0
            waited_ms = world.scheduler.now_ms - since_ms
            if waited_ms < world.exchange.kind.settling_ms - 5:
                self.fault(f"{order} counts as not known {waited_ms} ms after its cancel")

    def _covered(self, batch: str, account: str) -> list[Truth]:
        """Give the orders of an account that a sweep covers."""
        select = self.world.batches[batch].select
        assert select is not None
        orders = self.world.exchange.orders.items()
        return [
            truth
            for (name, _), truth in orders
            if name == account and select.symbol in {None, truth.symbol} and select.side in {None, truth.side}
        ]

    def _swept_by(self, chunk: str, batch: str, account: str, token: int) -> None:
        """Hold a sweep that says it is done against what was open at its last listing."""
        world, rounds = self.world, self.rounds[chunk]
        if (batch, account) in self.swept and world.lost_from_ms is None:
            self.fault(f"{account} is swept by {batch} a second time")
        self.swept.add((batch, account))
        last = self.listings.get((chunk, token))
        if last is None:
            self.fault(f"FALSE: {account} is swept by {batch} without a listing")
            return
        if (chunk, token) in self.partial:
            self.fault(f"{account} is swept by {batch}, and later pages may have missed orders")
        lag_ms = world.lag_ms
        for truth in self._covered(batch, account):
            moved = truth.fires_ms is not None and last.from_ms - lag_ms <= truth.fires_ms <= last.to_ms
            if not moved and truth.open_throughout(last.from_ms - lag_ms, last.to_ms):
                self.fault(f"FALSE: {account} is swept by {batch}, and {truth.value} is open")
        if world.lost_from_ms is not None or not world.weather.strict:
            return
        settling_ms = world.exchange.kind.settling_ms
        empty = [one for one in rounds[:-1] if one.to_ms <= last.from_ms - settling_ms + 5]
        if last.found or not empty:
            self.fault(f"{account} is swept by {batch} after one empty listing: {rounds}")
        elif any(one.found for one in rounds[rounds.index(empty[-1]) :]):
            self.fault(f"{account} is swept by {batch}, and a listing in between has shown orders: {rounds}")

    def _nobody_waits_for_nobody(self, account: str) -> None:
        """Look for chunks that wait for another's answer, though nobody has their orders in hands."""
        world = self.world
        held = " ".join(world.command("HGETALL", keys.busy(account)))
        for priority in PRIORITIES:
            lane = keys.lane(account, priority)
            for chunk, ready_ms in pairs(world.command("ZRANGE", lane, 0, -1, "WITHSCORES")).items():
                if int(ready_ms) < world.scheduler.now_ms + LONGEST_PAUSE_MS + 3_000:
                    continue
                batch, places = world.command("HMGET", keys.chunk(chunk), "batch", "places")
                if not places:
                    continue  # a sweep waits for its time
                orders = world.command("HMGET", keys.orders(batch), *places.split(","))
                if not any(f'"{json.loads(order)[2]}"' in held for order in orders):
                    self.fault(f"{chunk} waits for an order that nobody has in hands")

    def _seized(self, args: Sequence[Any], found: Any) -> None:
        account, kind, chunk, batch, token, _attempts, deadline_ms, permission, deaths = found[:9]
        world = self.world
        before = self.grants.get((chunk, self.newest.get(chunk, -1)))
        now_ms = world.scheduler.now_ms
        if kind == "idle":
            # A second time it is taken from the hands of who seized it, perhaps by a clock that was ahead.
            if deadline_ms > args[1] and not (before is not None and before.seized):
                self.fault(f"{chunk} is seized from its lane before its deadline")
        elif before is not None:
            holder = before.holder.partition("#")[0]
            alive = world.command("EXISTS", keys.worker(holder))
            longest_ms = SETTLING_MS if before.seized else LONGEST_CALL_MS
            if alive and now_ms < before.since_ms + longest_ms - 3_000:
                self.fault(f"{chunk} is seized from {holder}, which is alive")
            # Who was stopped and goes on may send what it claims though its heart has not beaten yet.
            if world.weather.strict and not before.seized and args[1] < before.permission_ms + HEARTBEAT_MS:
                self.fault(f"{chunk} is seized {args[1] - before.permission_ms} ms after the permission of {holder}")
        grant = Granted(
            chunk, batch, account, int(token), kind, args[1], permission, tuple(found[11::4]), args[2], deaths, True
        )
        grant.since_ms = now_ms
        self._note_token(grant)

    def _released(self, args: Sequence[Any], found: int) -> None:
        account, token, holder = args[0], str(args[2]), args[3]
        released = 0
        for (chunk, its_token), grant in self.grants.items():
            named = str(its_token) == token or (holder and grant.holder == holder)
            if grant.account == account and named and self.newest.get(chunk) == its_token:
                released += 1
                grant.released = True
                del self.newest[chunk]
                if grant.left:
                    self.fault(f"{chunk} was sent, and is given back as if it was not")
        if released != found:
            self.fault(f"{found} chunks of {account} are given back, {released} should be")
        for limit, key, window_ms in self._windows(self.world.accounts[account]):
            self._compare(account, limit, key, window_ms, args[1])

    def _compare(self, account: str, limit: Limit, key: tuple[str, str, int], window_ms: int, now_ms: int) -> None:
        """Hold what the limiter remembers against what was permitted."""
        stored = self._remembered(self.world.accounts[account], limit, key)
        entries = [one for one in self.permissions[key] if not one[1].released]
        since_ms = max(now_ms, self.world.scheduler.now_ms - 5, *stored) - window_ms
        wanted = [at_ms for at_ms, _ in entries if at_ms > since_ms]
        for at_ms in set(wanted) if self.world.weather.strict and self.world.lost_from_ms is None else ():
            if stored.count(at_ms) < wanted.count(at_ms):
                self.fault(f"the limiter of {limit.name} {key[1]} has forgotten a call permitted at {at_ms}")
        surely = self.world.weather.strict and not self.usage_noted and self.world.lost_from_ms is None
        if surely and len(stored) > len(entries):
            times = sorted(at_ms for at_ms, _ in entries)
            extra = [at_ms for at_ms in stored if stored.count(at_ms) > times.count(at_ms) and at_ms > since_ms]
            if extra:
                self.fault(f"the limiter of {limit.name} {key[1]} counts calls that were never sent: {extra}")

    def _paused(self, args: Sequence[Any], found: int) -> None:
        account = args[1]
        if args[6] == "trouble":
            if found:
                self.trials.add(account)
            return
        thread = self.world.scheduler.current
        ban = thread.notes.pop("ban", None) if thread is not None else None
        if ban is not None:
            scope, until_ms = ban
            self.bans[scope] = max(self.bans.get(scope, 0), until_ms)

    def restored(self) -> None:
        """Forget what Redis has forgotten: what is newest is what is written now."""
        world = self.world
        self.newest.clear()
        for key in world.command("KEYS", f"{keys.PREFIX}*"):
            chunk = key.removeprefix(keys.chunk(""))
            if chunk != key:
                fields = pairs(world.command("HGETALL", key))
                if "token" in fields and world.command("ZSCORE", keys.flights(fields["account"]), chunk) is not None:
                    self.newest[chunk] = int(fields["token"])
        for account in world.accounts.values():
            for limit, key, _ in self._windows(account):
                stored = self._remembered(account, limit, key)
                known = defaultdict(list)  # several may be of the same millisecond: the first of these are kept
                for at_ms, grant in self.permissions[key]:
                    if not grant.released:
                        known[at_ms].append(grant)
                unknown = Granted("", "", "", 0, "", 0, 0, (), "")
                self.permissions[key] = [
                    (at_ms, known[at_ms].pop(0) if known[at_ms] else unknown) for at_ms in reversed(stored)
                ]
        self.bans.clear()
        self.trials.clear()
        self.flying.clear()
        self.best.clear()

    # calls

    def leaves(self, call: Call, worker_ms: int, thread: Thread) -> None:
        """Look at a call that leaves now."""
        world = self.world
        if world.only_compared:
            return
        claim: Claim = call.claim
        grant = self.grants.get((claim.chunk_id, claim.token))
        if call.kind == "list":
            grant = thread.notes.pop("page", None)
        if grant is None or grant.kind != {"cancel": "send", "query": "query", "list": "page"}[call.kind]:
            self.fault(
                f"{claim.chunk_id} is sent without a claim" if call.kind != "list" else "a page has no permission"
            )
            return
        if grant.released:
            self.fault(f"{claim.chunk_id} is sent after it was given back")
        if grant.left:
            self.fault(f"{claim.chunk_id} is sent twice with one claim")
        grant.left = True
        if worker_ms >= grant.permission_ms + self._use_within_ms(call.account, call.limits):
            self.fault(f"{claim.chunk_id} leaves {worker_ms - grant.permission_ms} ms after its permission")
        batch = world.batches[claim.batch_id]
        deadline_ms = world.submitted_ms.get(claim.batch_id, call.left_ms) + int(batch.deadline_s * 1000)
        if world.weather.strict and world.lost_from_ms is None and call.left_ms > deadline_ms + 60:
            self.fault(f"{claim.chunk_id} leaves {call.left_ms - deadline_ms} ms after the deadline")
        if call.kind == "cancel":
            self._cancel_leaves(call)

    def _cancel_leaves(self, call: Call) -> None:
        world = self.world
        claim: Claim = call.claim
        for sent, one in zip(call.ids, call.names, strict=True):
            order = call.account.name, one
            other = self.flying.get(order)
            if other is not None and not other.over and self.newest.get(other.claim.chunk_id) == other.claim.token:
                self.fault(
                    f"{one} of {order[0]} is sent by {claim.chunk_id} while {other.claim.chunk_id} has it in flight"
                )
            self.flying[order] = call
            truth = world.exchange.find(*order)
            self.canceled[claim.batch_id, *order] = call
            earlier = self.calls[claim.batch_id, f"{order[0]}|{one}"]
            doubtful = [c for c in earlier if not c.definite and not self._forgotten(c)]
            if truth.kind.value == "client_order_id" and sent == truth.value and doubtful:
                self.fault(
                    f"{one}, a name that may be used again, is sent again by {claim.chunk_id} though it may be gone"
                )
            earlier.append(call)

    def shown(self, call: Call, document: Mapping[str, Any]) -> None:
        """Note what the venue shows to a read, at the time when it does."""
        now_ms, account = self.world.scheduler.now_ms, call.account.name
        for one, row in document.get("rows", {}).items():
            if row[0] == "open":
                self.open_reads[account, self.world.exchange.find(account, one).value].append(now_ms)
        if "open" not in document:
            return
        rows = [self.world.exchange.find(account, row["id"]) for row in document["open"]]
        for truth in rows:
            self.open_reads[account, truth.value].append(now_ms)
        claim: Claim = call.claim
        if call.asked[1] is not None and self.world.exchange.kind.shifts:
            self.partial.add((claim.chunk_id, claim.token))
        batch = self.world.batches[claim.batch_id]
        if claim.kind is not ClaimKind.SWEEP or batch.select is None:
            return
        # Who was stopped may list on beside the one that has its chunk by now: only the listing of who settles counts.
        listing = self.listings.setdefault((claim.chunk_id, claim.token), Round(now_ms, now_ms))
        listing.to_ms = now_ms
        covered = self._covered(claim.batch_id, account)
        listing.found += sum(any(truth is one for one in covered) for truth in rows)

    def _forgotten(self, call: Call) -> bool:
        """Whether Redis has lost what was noted of a call, or what it taught."""
        world = self.world
        grant = self.grants[call.claim.chunk_id, call.claim.token]
        return world.lost_from_ms is not None and min(grant.since_ms, call.left_ms) <= world.lost_to_ms

    def answered(self, call: Call, thread: Thread) -> None:
        """Look at an answer that a worker gets."""
        assert call.response is not None
        document = json.loads(call.response.body)
        refusal = document.get("refusal")
        call.definite = refusal in NOT_EXECUTED
        if refusal == RefusalKind.RATE_LIMIT:
            scope = document["scope"]
            who = dict(_scopes(call.account))[scope]
            thread.notes["ban"] = (scope, who), self.world.scheduler.now_ms + document.get("pause_ms", 1_000)

    def breached(self, call: Call, limits: list[str]) -> None:
        """Look at a call that comes too early for its venue."""
        world = self.world
        others = any(key in world.exchange.outsiders for _, key in world.exchange.windows(call.account, call.limits))
        if world.weather.strict and not others and world.lost_from_ms is None:
            self.fault(f"{call.claim.chunk_id} of {call.worker} breaches {', '.join(limits)}")

    # the end

    def at_the_end(self) -> None:
        """Hold every outcome against the venue's truth, and see that nothing is left behind."""
        world = self.world
        for text in world.redis.faults(False):
            self.fault(f"at the end: {text}")
        for batch_id in world.batches:
            self._batch_at_the_end(batch_id)
        left = [
            f"{keys.PREFIX}{name}"
            for name in ("busy:", "followers:", "flights:", "lane:", "chunk:", "names:", "chunks:", "proof:", "spaces:")
        ]
        for key in world.command("KEYS", f"{keys.PREFIX}*"):
            if key.startswith(tuple(left)) or key == keys.DEADLINES:
                self.fault(f"{key} is left behind")

    def _batch_at_the_end(self, batch_id: str) -> None:
        world = self.world
        batch = pairs(world.command("HGETALL", keys.batch(batch_id)))
        asked_for = world.batches[batch_id]
        if asked_for.select is not None and batch.get("state") == "refused":
            self._refused_at_the_end(batch_id, asked_for.max_orders)
            return
        if batch.get("state") != "done":
            self.fault(f"{batch_id} has not ended: {batch.get('state')}, {batch.get('left')} left")
            return
        orders = pairs(world.command("HGETALL", keys.orders(batch_id)))
        known = pairs(world.command("HGETALL", keys.outcomes(batch_id)))
        asked = {f"{o.account}|{o.ref.value}" for o in plan(world.batches[batch_id], world.accounts).orders}
        written = {"|".join((json.loads(order)[0], json.loads(order)[2])) for order in orders.values()}
        self.audited += len(orders)
        if asked_for.max_orders is not None and len(orders) > asked_for.max_orders:
            self.fault(f"{batch_id} has {len(orders)} orders, and at most {asked_for.max_orders} are allowed")
        if report(batch)["verdict"] == "flat" and asked_for.select is not None:
            accounts = world.accounts if asked_for.select.accounts == (EVERY_ACCOUNT,) else asked_for.select.accounts
            if not_swept := [name for name in accounts if (batch_id, name) not in self.swept]:
                self.fault(f"FALSE: {batch_id} is flat, and {not_swept} are not swept")
        deadline_ms = int(batch["submitted_ms"]) + int(asked_for.deadline_s * 1000)
        early = world.weather.strict and world.lost_from_ms is None and int(batch["done_ms"]) < deadline_ms - 10
        if asked - written:
            self.fault(f"{batch_id} has lost the orders {sorted(asked - written)}")
        for place, order in orders.items():
            account, _, value, _ = json.loads(order)
            if place not in known:
                self.fault(f"{value} of {batch_id} has no outcome")
            elif value != "invalid":
                standing = Standing.read(known[place])
                self._order_at_the_end(batch_id, account, value, standing)
                if early:
                    self._ended_early(batch_id, account, value, standing)
            elif Standing.read(known[place]).status is not Status.INVALID:
                self.fault(f"{value} of {batch_id} is {known[place]}")

    def _refused_at_the_end(self, batch_id: str, most: int | None) -> None:
        if most is None:
            self.fault(f"{batch_id} is refused, and has no most")
        for (batch, name), calls in self.calls.items():
            if batch == batch_id and calls and self.world.lost_from_ms is None:
                self.fault(f"{batch_id} is refused, and {name} was sent")

    def _ended_early(self, batch_id: str, account: str, value: str, standing: Standing) -> None:
        """Look whether an order that can be read back was left in doubt before the deadline."""
        world = self.world
        truth = world.exchange.find(account, value)
        proved = world.batches[batch_id].prove and world.exchange.kind.reads is not Reads.NONE
        # What was in the hands of three workers that died is given up; it may have been a deadly order's neighbor.
        deadly = world.weather.poison and standing.status in {Status.UNKNOWN, Status.OPEN}
        if proved and not deadly and standing.strength < GONE and standing.status not in SURE:
            self.fault(f"{value} of {batch_id} is {standing.status}, and its deadline has not come")
        covered = world.batches[batch_id].select is None or truth in self._covered(batch_id, account)
        if not covered:
            self.fault(f"{value} is canceled by {batch_id}, and is not covered by it")

    def _order_at_the_end(self, batch_id: str, account: str, value: str, standing: Standing) -> None:
        world = self.world
        truth = world.exchange.find(account, value)
        status = standing.status
        calls = self.calls[batch_id, f"{account}|{value}"]
        if (standing.strength >= GONE) != (VERDICTS[status] is Verdict.GONE):
            self.fault(f"{value} of {batch_id} is {status} with strength {standing.strength}")
        if VERDICTS[status] is Verdict.GONE:
            exact = {Status.CANCELED: "canceled", Status.FILLED: "filled"}.get(status, truth.state)
            if truth.state != exact or truth.state in {"open", "unborn"}:
                self.fault(f"FALSE: {value} of {batch_id} is {status}, and is {truth.state}")
        executed = [call for call in calls if call.executed and not self._forgotten(call)]
        if status is Status.NOT_SENT and executed:
            self.fault(f"FALSE: {value} of {batch_id} is not_sent, and {executed[0].worker} sent it")
        if status is Status.REJECTED and executed and not (truth.stubborn or truth.spoils):
            self.fault(f"FALSE: {value} of {batch_id} is rejected, and {executed[0].worker} had it executed")
        if status is Status.OPEN and not self.open_reads[account, truth.value]:
            self.fault(f"FALSE: {value} of {batch_id} is open, and no read has shown it")
        if status is Status.ACCEPTED and not executed and world.lost_from_ms is None:
            others = [
                c
                for c in world.exchange.executed
                if c.account.name == account and {truth.value, truth.order_id} & {*c.ids}
            ]
            if not others:
                self.fault(f"FALSE: {value} of {batch_id} is accepted, and no call was")


def _took(call: Call, name: str) -> bool:
    """Say whether the venue's answer to a cancel shows that it knew the order that was handed in as *name*."""
    if name not in call.names or call.response is None:
        return False
    named = json.loads(call.response.body).get("named", {})
    return named.get(call.ids[call.names.index(name)], "not_known") != "not_known"


def _scopes(account: Account) -> tuple[tuple[str, str], ...]:
    return ("account", account.name), ("key", account.key_digest), ("ip", account.egress)


@cache
def accept_script() -> str:
    """Read the script that takes a batch in, once."""
    return script("accept")
