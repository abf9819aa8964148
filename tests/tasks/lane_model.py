"""What the lanes must do, by the rules: each command is carried out for real and compared with what should follow."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from connectors.calls import Scope
from connectors.orders import OrderRef
from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Account, Batch, Order
from tasks.fold import GONE, Standing, fold
from tasks.plan import plan
from tasks.ports import Claim, ClaimKind, Grant, Pause, Settled, Settlement, Why
from tests.fakes import FakeLog
from tests.tasks.lanes import Killed, Lanes, dying_after, structure
from worker.store import LONGEST_CALL_MS, SETTLING_MS, RedisStore, pause_key
from worker.watch import Watch


@dataclass(frozen=True)
class Holder:
    """Who has a chunk in hands, by which token, what for and since when; ``lost`` if it was never told."""

    claim: Claim
    kind: ClaimKind
    store: RedisStore
    since_ms: int
    lost: bool = False
    seized: bool = False

    @property
    def names(self) -> set[tuple[str, OrderRef]]:
        """The orders that a call for it is in flight for."""
        return {(self.claim.account, ref) for ref in self.claim.orders} if self.kind is ClaimKind.SEND else set()


@dataclass
class LaneModel:
    """The lanes of some accounts, and what is to be expected of them."""

    lanes: Lanes
    accounts: Mapping[str, Account]
    batches: dict[str, Batch] = field(default_factory=dict)
    claims: list[tuple[RedisStore, Claim]] = field(default_factory=list)  # every one ever told, by its store
    holders: dict[str, Holder] = field(default_factory=dict)  # by chunk
    known: dict[tuple[str, int], Standing] = field(default_factory=dict)  # by batch and place
    said: dict[tuple[str, OrderRef], set[Standing]] = field(default_factory=lambda: defaultdict(set))  # in any batch
    granted_ms: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # by account
    tokens: dict[str, int] = field(default_factory=dict)  # the last one, by account
    attempts: dict[str, int] = field(default_factory=dict)  # by chunk
    paused_ms: dict[str, int] = field(default_factory=dict)  # until when, by key of the pause

    @property
    def now_ms(self) -> int:
        return self.lanes.clock.ms

    def submit(self, batch: Batch, slices: int) -> None:
        """Take a batch in; the worker that plans it dies after so many slices."""
        self.batches[self.lanes.accept(batch)] = batch
        with suppress(Killed):
            self.lanes.enqueue(batch, dying_after(self.lanes, slices))
        self._note_invalid(batch)

    def plan_again(self, batch: Batch, accounts: Mapping[str, Account]) -> None:
        """Write what is missing of a plan, perhaps with another configuration."""
        self.lanes.enqueue(batch, accounts=accounts)
        self._note_invalid(batch)

    def _note_invalid(self, batch: Batch) -> None:
        """Take over what the plan says of references that the venue cannot take, where it is written."""
        batch_id = str(batch.batch_id)
        for place in plan(batch, self.accounts).invalid:
            written = self.lanes.redis.hget(keys.outcomes(batch_id), str(place))
            if (batch_id, place) not in self.known and written is not None:
                self.known[batch_id, place] = Standing.read(str(written))
                assert self.known[batch_id, place].status is Status.INVALID

    def claim(self, store: RedisStore, account: str, most: int) -> tuple[Claim, ...]:
        """Claim for a worker: never late, never what is gone, never what another has in flight, never too many."""
        self._taken_back(store)
        return self._granted(store, account, store.claim(account, most, self.now_ms), most)

    def lose_claim(self, store: RedisStore, account: str, most: int) -> None:
        """Claim for a worker that the answer does not reach."""
        self._taken_back(store)
        ask = store._claim
        answers: list[Any] = []
        with losing(store, "_claim", answers.append), suppress(redis.ConnectionError):
            store.claim(account, most, self.now_ms)
        assert store._claim == ask
        self._granted(store, account, store._grant(account, answers[0]), most, lost=True)

    def _granted(self, store: RedisStore, account: str, grant: Grant, most: int, *, lost: bool = False) -> Any:
        assert len(grant.claims) <= most
        assert most == 0 or len(grant.claims) < most or grant.wait.why is Why.MORE
        assert grant.wait.until_ms is None or grant.wait.until_ms > self.now_ms
        if not grant.claims:
            return ()
        self.absorb()
        stops = self._pauses(account)
        assert all(self.paused_ms.get(key, 0) <= self.now_ms for key in stops)
        in_flight = int(self.lanes.redis.zcard(keys.flights(account)))
        assert in_flight <= self.accounts[account].max_in_flight
        if any(self.lanes.redis.hexists(key, "trial") for key in stops):
            assert in_flight == len(grant.claims) == 1, "after a failure one call goes alone"
        for claim in grant.claims:
            self._check(claim)
            self._hold(store, claim, lost=lost)
        return grant.claims

    def _check(self, claim: Claim) -> None:
        gone = [self._is_gone(claim.batch_id, place) for place in claim.places]
        expected = {
            ClaimKind.SEND: self.now_ms < claim.deadline_ms and not any(gone),
            ClaimKind.LATE: self.now_ms >= claim.deadline_ms and not all(gone),
            ClaimKind.MOOT: all(gone),
            ClaimKind.QUERY: self.now_ms < claim.deadline_ms and not any(gone),
            ClaimKind.LIST: self.now_ms < claim.deadline_ms and not any(gone),
        }
        assert expected[claim.kind]
        assert claim.chunk_id not in self.holders
        if claim.kind is ClaimKind.SEND:
            assert claim.attempt == self.attempts.get(claim.chunk_id, claim.attempt - 1) + 1
            self.granted_ms[claim.account].append(claim.permitted_ms)

    def _is_gone(self, batch_id: str, place: int) -> bool:
        return (batch_id, place) in self.known and self.known[batch_id, place].strength >= GONE

    def _hold(self, store: RedisStore, claim: Claim, *, lost: bool = False, seized: bool = False) -> None:
        asked = plan(self.batches[claim.batch_id], self.accounts).orders
        assert [asked[place] for place in claim.places] == [Order(claim.account, order) for order in claim.orders]
        assert claim.token > self.tokens.get(claim.account, 0)
        self.tokens[claim.account] = claim.token
        self.attempts[claim.chunk_id] = claim.attempt
        holder = Holder(claim, claim.kind, store, self.now_ms, lost, seized)
        self.holders.pop(claim.chunk_id, None)
        in_flight: set[tuple[str, OrderRef]] = set().union(*(other.names for other in self.holders.values()))
        assert not in_flight & holder.names, "one cancel at a time"
        self.holders[claim.chunk_id] = holder
        if not lost:
            self.claims.append((store, claim))

    def _taken_back(self, store: RedisStore) -> None:
        """Forget what the store gives back before it claims: it was never told of it."""
        for holder in [*self.holders.values()]:
            if holder.lost and holder.store is store:
                self._give_back(holder)

    def _give_back(self, holder: Holder) -> None:
        claim = holder.claim
        del self.holders[claim.chunk_id]
        if holder.kind not in {ClaimKind.QUERY, ClaimKind.LIST}:
            self.tokens[claim.account] += 1  # the token is spent
        if holder.kind is ClaimKind.SEND:
            self.attempts[claim.chunk_id] -= 1
            self.granted_ms[claim.account].remove(claim.permitted_ms)

    def release(self, store: RedisStore, claim: Claim) -> None:
        """Give a chunk back; nothing happens if it is no longer ours."""
        store.release(claim, self.now_ms)
        self._taken_back(store)
        if (holder := self._own(claim)) is not None:
            self._give_back(holder)

    def _own(self, claim: Claim) -> Holder | None:
        holder = self.holders.get(claim.chunk_id)
        return holder if holder is not None and holder.claim.token == claim.token else None

    def settle(self, store: RedisStore, claim: Claim, settlement: Settlement) -> Settled:
        """Settle: what was learned counts in any case; the chunk moves only in the hands of its holder."""
        self._learn_all(claim, settlement)
        answer = store.settle(claim, settlement, self.now_ms)
        self._settled(claim, answer)
        return answer

    def turn(
        self, store: RedisStore, account: str, pairs: Sequence[tuple[Claim, Settlement]], most: int, fate: str
    ) -> None:
        """Settle and claim; the answer may be lost, or the command with it."""
        for claim, settlement in pairs:
            self._learn_all(claim, settlement)
        if fate == "told":
            settled, grant = store.turn(account, pairs, most, self.now_ms)
            for (claim, _), answer in zip(pairs, settled, strict=True):
                self._settled(claim, answer)
            self._granted(store, account, grant, most)
            return
        answers: list[Any] = []
        with losing(store, "_turn", answers.append, carried_out=fate == "answer lost"):
            settled, grant = store.turn(account, pairs, most, self.now_ms)
        assert not grant.claims
        assert grant.wait.why is Why.MORE
        if not answers:
            for (claim, _), answer in zip(pairs, settled, strict=True):
                self._settled(claim, answer)
            return
        told, granted = answers[0]
        for (claim, _), answer, held, ended in zip(pairs, settled, told[::2], told[1::2], strict=True):
            assert not answer.held, "it was settled before"
            self._settled(claim, Settled(bool(held), bool(ended)))
        self._granted(store, account, store._grant(account, granted), most, lost=True)

    def _learn_all(self, claim: Claim, settlement: Settlement) -> None:
        """Note what a settlement tells of orders, before it is carried out."""
        done = self.lanes.client.report(claim.batch_id)["state"] == "done"
        refs = {
            place: order.ref for place, order in enumerate(plan(self.batches[claim.batch_id], self.accounts).orders)
        }
        for place, one in settlement.standings:
            self._learn(claim, place, refs[place], one)
        for ref, one in () if done else settlement.siblings:
            for place in self._places(claim.batch_id, Order(claim.account, ref)):
                self._learn(claim, place, ref, one)

    def _settled(self, claim: Claim, answer: Settled) -> None:
        mine = self._own(claim) is not None
        assert answer.held == mine
        assert mine or not answer.ended
        if mine:
            del self.holders[claim.chunk_id]

    def _learn(self, claim: Claim, place: int, ref: OrderRef, one: Standing) -> None:
        key = claim.batch_id, place
        self.known[key] = fold(self.known.get(key, one), one)
        self.said[claim.account, ref].add(one)

    def _places(self, batch_id: str, order: Order) -> list[int]:
        """Where an answer finds an order that nobody asked for: where it is written, and not as invalid."""
        planned = plan(self.batches[batch_id], self.accounts)
        found = [place for place, one in enumerate(planned.orders) if one == order and place not in planned.invalid]
        return [place for place in found if self.lanes.redis.hexists(keys.orders(batch_id), str(place))]

    def seize(self, store: RedisStore, chunk_id: str, account: str = "") -> Claim | None:
        """Seize: never from a living worker, and from a lane only what is late."""
        holder = self.holders.get(chunk_id)
        beats = holder is not None and self.lanes.redis.exists(keys.worker(holder.store._worker_id))
        claim = store.seize(chunk_id, self.now_ms, account)
        if claim is not None:
            longest_ms = SETTLING_MS if holder is not None and holder.seized else LONGEST_CALL_MS
            assert holder is None or not beats or self.now_ms >= holder.since_ms + longest_ms
            assert holder is not None or claim.deadline_ms <= self.now_ms
            assert claim.kind is (holder.kind if holder is not None else ClaimKind.IDLE)
            self._hold(store, claim, seized=True)
        return claim

    def pause(self, account: str, pause: Pause) -> None:
        """Stop all who share the scope; a longer pause that runs already stays."""
        key = pause_key(self.accounts[account], pause.scope)
        until_ms = self.lanes.store.pause(account, pause, self.now_ms)
        if until_ms is None:
            return
        assert until_ms > self.paused_ms.get(key, 0)
        assert self.now_ms + pause.wait_ms <= until_ms <= self.now_ms + max(pause.wait_ms, pause.longest_ms)
        self.paused_ms[key] = until_ms

    def _pauses(self, account: str) -> list[str]:
        return [pause_key(self.accounts[account], scope) for scope in Scope]

    def watch(self, store: RedisStore) -> None:
        """Let a worker's watch have one round."""
        redis, clock, told = self.lanes.redis, self.lanes.clock, Told(self, store)
        Watch(redis, told, clock, FakeLog(), "w", 10**6, nothing, nothing, nothing).tick()  # type: ignore[arg-type]

    def absorb(self) -> None:
        """Take over what batches know of orders from others that named them: only what was said, and is stronger."""
        for batch_id, batch in self.batches.items():
            orders = plan(batch, self.accounts).orders
            stored: Any = self.lanes.redis.hgetall(keys.outcomes(batch_id))
            standings = {int(place): Standing.read(text) for place, text in stored.items()}
            assert standings.keys() >= {place for of, place in self.known if of == batch_id}
            for place, one in standings.items():
                own = self.known.get((batch_id, place))
                if one != own:
                    assert own is None or one > own
                    assert one in self.said[orders[place].account, orders[place].ref]
                    self.known[batch_id, place] = one

    def check(self) -> None:
        """Compare what is stored with what should be."""
        assert structure(self.lanes.redis, self.now_ms) == []
        self.absorb()

    def check_end(self) -> None:
        """Every batch has ended, every order has its outcome, and nothing is left that is not kept on purpose."""
        assert not self.holders
        for batch_id, batch in self.batches.items():
            report = self.lanes.client.report(batch_id)
            asked = len(plan(batch, self.accounts).orders)
            assert report["state"] == "done"
            assert report["orders"] == sum(report["counts"].values()) == asked
            assert report["counts"].get("pending", 0) == 0
            assert report["gone"] == sum(self._is_gone(batch_id, place) for place in range(asked))
        assert left_behind(self.lanes.redis) == set()


FOR_EVER = -1  # as TTL says it; 0 is the last half second, and -2 is gone since it was found
KEPT = {keys.EVENTS, keys.BATCHES, keys.ACCOUNTS, keys.ACCOUNT_VENUES, keys.ACCOUNT_NAMING, keys.ACCOUNT_PAUSES}
KEPT_KINDS = (keys.account(""), keys.worker(""))
OF_BATCHES = (keys.batch(""), keys.orders(""), keys.outcomes(""))
OF_TIME = (f"{keys.PREFIX}limit:", f"{keys.PREFIX}pause:", f"{keys.PREFIX}gone:", f"{keys.PREFIX}sent:")


def left_behind(connection: redis.Redis) -> set[str]:
    """Name the keys that should not be there when all batches have ended: none that is about work, none for ever."""
    found: Iterable[Any] = connection.scan_iter()
    names = {str(key) for key in found} - KEPT
    expiring = {key for key in names if key.startswith((*OF_BATCHES, *OF_TIME)) and connection.ttl(key) != FOR_EVER}
    return {key for key in names - expiring if not key.startswith(KEPT_KINDS)}


class losing:  # noqa: N801  # reads like a function: with losing(…)
    """Have a store's command fail as if Redis' answer, which is told to *tell*, had been lost; or the command too."""

    def __init__(self, store: RedisStore, name: str, tell: Callable[[Any], None], *, carried_out: bool = True) -> None:
        self._store, self._name, self._tell, self._carried_out = store, name, tell, carried_out
        self._ask = getattr(store, name)

    def __enter__(self) -> None:
        setattr(self._store, self._name, self._fail)

    def __exit__(self, *_: object) -> None:
        setattr(self._store, self._name, self._ask)

    def _fail(self, **call: Any) -> object:
        if self._carried_out:
            self._tell(self._ask(**call))
        raise redis.ConnectionError("the answer was lost")


@dataclass
class Told:
    """A store that tells the model what it is asked to do."""

    model: LaneModel
    store: RedisStore

    def seize(self, chunk_id: str, now_ms: int, account: str = "") -> Claim | None:
        return self.model.seize(self.store, chunk_id, account)

    def settle(self, claim: Claim, settlement: Settlement, now_ms: int) -> Settled:
        return self.model.settle(self.store, claim, settlement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def nothing(*_: object) -> None:
    """Take a hint, and do nothing."""
