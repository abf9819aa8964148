"""Batches in a Redis, fake or real, and the check of their structure: every chunk in one place, every count right."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest
from hypothesis import settings
from redis import Redis

from connectors.calls import Limit, Scope
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from tasks import keys
from tasks.batch import Account, Accounts, Batch, Order, Priority
from tasks.client import HEARTBEAT_MS, Client, script
from tasks.fold import Standing
from tasks.plan import plan
from tasks.ports import Claim, Grant, Part, Pause, Settled, Settlement, Wait
from tasks.standings import standing_of
from tests.fakes import FakeClock, account_of, refs
from worker.store import LATEST_MS, RedisStore

BOTH = ("fake", pytest.param("real", marks=pytest.mark.redis))
KEEP_S = 1_000_000
GUARD_MS = 10
CLEANUP_SHARE = 0.7
NOBODY = "redis://127.0.0.1:1/0"


def guarded_ms(limit: Limit) -> int:
    """Give the width of the window that is kept for *limit*."""
    return limit.per_ms + max(GUARD_MS, limit.per_ms // 100)


def late_ms(*limits: Limit) -> int:
    """Say how long after its permission a call with *limits* may leave."""
    return min([LATEST_MS, *(limit.per_ms // 10 for limit in limits)])


def held_until_ms(claim: Claim, limit: Limit) -> int:
    """Say until when a call counts that was permitted, and of which it is not known when it left."""
    return claim.permitted_ms + late_ms(limit) + guarded_ms(limit)


def share(of_examples: float) -> settings:
    """Give settings for a share of the profile's examples: fakeredis takes ten times as long as a server."""
    return settings(max_examples=max(5, round(settings().max_examples * of_examples)))


def connection_of(request: pytest.FixtureRequest) -> Redis:
    """Give the connection that a fixture's parameter names: to fakeredis, or to the server of this test run."""
    if request.param == "real":
        found: Redis = request.getfixturevalue("redis_client")
        return found
    return fake_redis()


def fake_redis() -> Redis:
    found: Redis = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    return found


def client_on(connection: Redis, clock: FakeClock) -> Client:
    """Make a client that talks over *connection* instead of one of its own."""
    client = Client(NOBODY, keep_days=KEEP_S / 86_400, clock=clock)
    client.redis = connection
    client._accept = connection.register_script(script("accept"))
    client._refuse = connection.register_script(script("refuse"))
    return client


def standing(status: Status, at_ms: int, message: str | None = None) -> Standing:
    """Make the standing of an order that an answer named."""
    order = OrderRef(IdKind.ORDER_ID, "any")
    return standing_of(Outcome(order, status, Evidence.CANCEL_ANSWER, None, message), 1, at_ms)


def orders_of(account: Account, *values: str) -> tuple[Order, ...]:
    return tuple(Order(account.name, ref) for ref in refs(*values))


@dataclass
class Lanes:
    """A store, a client and a clock on one Redis, and one account."""

    redis: Redis
    account: Account = field(default_factory=account_of)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.client = client_on(self.redis, self.clock)
        self.accounts = {self.account.name: self.account}
        self.store = self.worker("w1")
        self.store.publish()

    def use(self, *accounts: Account) -> None:
        """Let the workers have *accounts*; the first is the one that the rest is about."""
        self.account = accounts[0]
        self.accounts |= {account.name: account for account in accounts}
        self.store.publish()

    @property
    def now_ms(self) -> int:
        return self.clock.ms

    def worker(self, name: str) -> RedisStore:
        """Give the store of a living worker."""
        self.redis.set(keys.worker(name), "1")
        return RedisStore(
            self.redis, name, self.accounts, keep_s=KEEP_S, guard_ms=GUARD_MS, cleanup_share=CLEANUP_SHARE
        )

    def kill(self, name: str) -> None:
        """Have a worker be gone for as long as it takes to be noticed."""
        self.redis.delete(keys.worker(name))
        for account in self.accounts:
            held: Any = self.redis.zrange(keys.flights(account), 0, -1)
            for chunk_id in held:
                if str(self.redis.hget(keys.chunk(chunk_id), "holder")).startswith(f"{name}#"):
                    self.redis.zincrby(keys.flights(account), -HEARTBEAT_MS, chunk_id)

    def accept(self, batch: Batch) -> str:
        assert batch.batch_id
        self.client.accept(batch, batch.batch_id, "")
        return batch.batch_id

    def enqueue(self, batch: Batch, store: RedisStore | None = None, accounts: Accounts | None = None) -> None:
        """Plan an accepted batch and write it, perhaps with another configuration of *accounts*."""
        assert batch.batch_id
        accounts = accounts or self.accounts
        submitted_ms = int(str(self.redis.hget(keys.batch(batch.batch_id), "submitted_ms")))
        planned = plan(batch, accounts)
        (store or self.store).enqueue(
            batch.batch_id, batch, planned, accounts, submitted_ms=submitted_ms, now_ms=self.now_ms
        )

    def put(
        self,
        batch_id: str,
        *values: str,
        priority: Priority = Priority.RISK,
        deadline_s: float = 60,
        prove: bool = False,
    ) -> Batch:
        """Take in and plan a batch of orders of the account; nothing is read back unless *prove* says so."""
        batch = Batch(batch_id, orders_of(self.account, *values), priority, deadline_s, prove)
        self.accept(batch)
        self.enqueue(batch)
        return batch

    def claim(self, store: RedisStore | None = None) -> Claim:
        """Claim one chunk; there is one."""
        grant = self.grant(1, store)
        assert len(grant.claims) == 1, grant
        return grant.claims[0]

    def wait(self) -> Wait:
        """Say what is to be waited for; nothing can be claimed."""
        grant = self.grant(1)
        assert not grant.claims, grant
        return grant.wait

    def grant(self, most: int, store: RedisStore | None = None) -> Grant:
        return (store or self.store).claim(self.account.name, most, self.now_ms)

    def pause(
        self,
        wait_ms: int,
        scope: Scope = Scope.ACCOUNT,
        *,
        account: str | None = None,
        rate: bool = True,
        since_ms: int | None = None,
        longest_ms: int = 100_000,
        patience: int = 0,
        reason: str = "429",
    ) -> int | None:
        """Pause the account, because of a call permitted now, and give until when."""
        since_ms = self.now_ms if since_ms is None else since_ms
        pause = Pause(scope, wait_ms, longest_ms, reason, rate, since_ms, patience)
        return self.store.pause(account or self.account.name, pause, self.now_ms)

    def settle(self, claim: Claim, status: Status = Status.CANCELED, **more: Any) -> Settled:
        """Settle *claim*: all of its orders have *status*."""
        known = tuple((place, standing(status, self.now_ms)) for place in claim.places)
        settlement = Settlement(known, 1, **{"sent_ms": claim.permitted_ms, **more})
        return self.store.settle(claim, settlement, self.now_ms)

    def again(self, claim: Claim, *parts: Iterable[int], ready_ms: int | None = None) -> Settled:
        """Give *claim* back in *parts*, with nothing learned."""
        again = tuple(Part(tuple(places), self.now_ms if ready_ms is None else ready_ms) for places in parts)
        return self.store.settle(claim, Settlement((), 1, again=again), self.now_ms)

    def statuses(self, batch_id: str) -> list[str]:
        return [row["status"] for row in self.client.outcomes(batch_id)]

    def events(self, kind: str) -> list[dict[str, str]]:
        entries: Any = self.redis.xrange(keys.EVENTS)
        return [fields for _, fields in entries if fields["type"] == kind]

    def sound(self) -> None:
        """Fail unless the structure is sound."""
        assert structure(self.redis, self.now_ms) == []


class Killed(Exception):
    """The worker died here."""


def interrupted(lanes: Lanes, slices: int, then: Callable[[], None]) -> RedisStore:
    """Give the store of another worker, to which *then* happens when it has written so many slices."""
    store = lanes.worker("w2")
    write, written = store._enqueue, 0

    def watched(**call: object) -> object:
        nonlocal written
        written += 1
        if written == slices + 1:
            then()
        return write(**call)

    store._enqueue = watched
    return store


def dying_after(lanes: Lanes, slices: int) -> RedisStore:
    """Give the store of a worker that dies when it has written so many slices."""

    def die() -> None:
        raise Killed

    return interrupted(lanes, slices, die)


def structure(connection: Redis, now_ms: int) -> list[str]:
    """Say what is wrong with the lanes and the counts in Redis; nothing between two commands of any worker."""
    chunks: dict[str, dict[str, str]] = {
        key.removeprefix(keys.chunk("")): _hash(connection, key) for key in connection.scan_iter(keys.chunk("*"))
    }
    places: dict[str, list[str]] = defaultdict(list)
    for pattern in (f"{keys.PREFIX}lane:*", keys.flights("*")):
        for key in connection.scan_iter(pattern):
            if key.endswith(".proof"):
                continue  # batches stand there
            members: Any = connection.zrange(key, 0, -1)
            for chunk_id in members:
                places[chunk_id].append(key)
    faults = [f"{chunk_id} is in {places[chunk_id]} and is no chunk" for chunk_id in places.keys() - chunks.keys()]
    for chunk_id, chunk in chunks.items():
        allowed = {keys.lane(chunk["account"], Priority(chunk["priority"])), keys.flights(chunk["account"])}
        if len(places[chunk_id]) != 1 or places[chunk_id][0] not in allowed:
            faults.append(f"{chunk_id} is in {places[chunk_id]}")
    ids: Any = connection.zrange(keys.BATCHES, 0, -1)
    strays = {chunk["batch"] for chunk in chunks.values()} - set(ids)
    faults += [f"the batch {batch_id} of a chunk is unknown" for batch_id in strays]
    for batch_id in ids:
        own = {chunk_id: chunk for chunk_id, chunk in chunks.items() if chunk["batch"] == batch_id}
        faults += [f"batch {batch_id}: {fault}" for fault in _batch_faults(connection, batch_id, own, now_ms)]
    return faults


def _batch_faults(connection: Redis, batch_id: str, chunks: Mapping[str, Mapping[str, str]], now_ms: int) -> list[str]:
    batch = _hash(connection, keys.batch(batch_id))
    if "slices" not in batch:  # taken in, and not planned yet
        return [f"has chunks {sorted(chunks)} before its plan"] if chunks else []
    orders = _hash(connection, keys.orders(batch_id))
    known = {place: Standing.read(text) for place, text in _hash(connection, keys.outcomes(batch_id)).items()}
    if batch["state"] == "refused":  # a sweep that matched too many
        return [f"is refused, and has chunks {sorted(chunks)}"] if chunks else []
    account_of_place = {place: json.loads(order)[0] for place, order in orders.items()}
    held = Counter(place for chunk in chunks.values() for place in chunk["places"].split(",") if place)
    late = int(batch["deadline_ms"]) <= now_ms
    for account in set(account_of_place.values()):
        held += Counter(_to_be_read(connection, account, batch_id, late=late))
    done = batch["state"] == "done"
    # What was never written of a plan is given up some time after the deadline.
    unwritten = 0 if done else int(batch["orders"]) - len(orders) - int(batch.get("abandoned", 0))
    faults = [f"place {place} is in {number} chunks" for place, number in held.items() if number > 1]
    faults += _flight_faults(connection, chunks)
    faults += [f"place {place} is in a chunk and is no order" for place in held.keys() - orders.keys()]
    faults += [
        f"order {place} is in no chunk and has no outcome" for place in orders.keys() - held.keys() - known.keys()
    ]
    faults += [f"chunk {chunk_id} is its, and {c['account']}'s" for chunk_id, c in chunks.items() if _mixed(c, orders)]
    sweeps = sum(1 for chunk in chunks.values() if "sweep" in chunk)  # each is one thing to be done
    if int(batch["left"]) != unwritten + len(held) + sweeps:
        faults.append(f"left is {batch['left']}; {unwritten} are not written, {len(held)} in chunks, {sweeps} sweeps")
    if ("planned" in batch) != (unwritten == 0):
        faults.append(f"{unwritten} orders are not written, planned is {batch.get('planned')}")
    if done != (batch["left"] == "0" and "planned" in batch) or done != ("done_ms" in batch):
        faults.append(f"state is {batch['state']} with {batch['left']} left")
    listed: Any = connection.smembers(keys.chunks(batch_id))
    if set(listed) != set(chunks):
        faults.append(f"lists the chunks {sorted(listed)}; there are {sorted(chunks)}")
    if (connection.zscore(keys.DEADLINES, batch_id) is None) != done:
        faults.append(f"is {'' if not done else 'still '}in the deadlines" if done else "is not in the deadlines")
    return faults + _count_faults(batch, account_of_place, known)


def _flight_faults(connection: Redis, chunks: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say what is wrong with the marks of orders in flight, and with those that wait for them."""
    faults = []
    for chunk_id, chunk in chunks.items():
        in_flight = connection.zscore(keys.flights(chunk["account"]), chunk_id) is not None
        busy = _hash(connection, keys.busy(chunk["account"]))
        held = {name for name, holder in busy.items() if holder.split(" ")[0] == chunk_id}
        marked = set(chunk.get("marks", "").split("\n")) - {""}
        if held != marked or (marked and not in_flight):
            faults.append(f"chunk {chunk_id} marks {marked}, is in flight: {in_flight}, and holds {held}")
        if not in_flight and connection.exists(keys.followers(chunk_id)):
            faults.append(f"chunk {chunk_id} is waited for, and is not in flight")
    return faults


def _to_be_read(connection: Redis, account: str, batch_id: str, *, late: bool) -> list[str]:
    """Give the places of the orders of a batch that wait to be read; it stands among those to be read until it is late.

    Past its deadline the next claim takes it out of there, and the watch ends it.
    """
    members: Any = connection.zrange(keys.proof(account, batch_id), 0, -1)
    lanes = [keys.proof_lane(account, priority) for priority in Priority]
    standing_in = [lane for lane in lanes if connection.zscore(lane, batch_id) is not None]
    missing = late and not standing_in
    assert missing or len(standing_in) == bool(members), f"{batch_id} has {members} to be read, stands in {standing_in}"
    return [member.rstrip("?!*") for member in members]


def _count_faults(
    batch: Mapping[str, str], account_of_place: Mapping[str, str], known: Mapping[str, Standing]
) -> list[str]:
    expected = Counter(f"n:{one.status}" for one in known.values())
    expected += Counter(f"a:{account_of_place.get(place)}:{one.status}" for place, one in known.items())
    expected += Counter(f"a:{account}:orders" for account in account_of_place.values())
    expected += Counter({"n:not_sent": int(batch.get("abandoned", 0))})
    counted = {name: int(number) for name, number in batch.items() if name.startswith(("n:", "a:")) and number != "0"}
    return [] if counted == expected else [f"counts {counted}; there are {dict(expected)}"]


def _mixed(chunk: Mapping[str, str], orders: Mapping[str, str]) -> bool:
    """Whether a chunk holds another account's order."""
    return any(json.loads(orders[p])[0] != chunk["account"] for p in chunk["places"].split(",") if p in orders)


def _hash(connection: Redis, key: str) -> dict[str, str]:
    found: Any = connection.hgetall(key)
    return dict(found)
