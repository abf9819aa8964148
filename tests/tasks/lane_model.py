"""What the lanes must do, by the rules: each command is carried out for real and compared with what should follow."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Account, Batch, Order
from tasks.fold import GONE, Standing, fold
from tasks.plan import plan
from tasks.ports import Claim, ClaimKind, Settled, Settlement, Wait
from tests.fakes import FakeLog
from tests.tasks.lanes import Killed, Lanes, dying_after, structure
from worker.store import LONGEST_CALL_MS, RedisStore
from worker.watch import Watch


@dataclass(frozen=True)
class Holder:
    """Who has a chunk in hands, by which token, what for and since when."""

    token: int
    kind: ClaimKind
    worker: str
    since_ms: int


@dataclass
class LaneModel:
    """The lanes of some accounts, and what is to be expected of them."""

    lanes: Lanes
    accounts: Mapping[str, Account]
    batches: dict[str, Batch] = field(default_factory=dict)
    claims: list[tuple[str, Claim]] = field(default_factory=list)  # every one ever made, by its worker
    holders: dict[str, Holder] = field(default_factory=dict)  # by chunk
    known: dict[tuple[str, int], Standing] = field(default_factory=dict)  # by batch and place
    granted_ms: dict[str, list[int]] = field(default_factory=dict)  # by account
    tokens: dict[str, int] = field(default_factory=dict)  # the last one, by account
    attempts: dict[str, int] = field(default_factory=dict)  # by chunk
    paused_ms: dict[str, int] = field(default_factory=dict)  # until when, by account

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
        self.lanes.accounts = dict(accounts)
        self.lanes.enqueue(batch)
        self._note_invalid(batch)

    def _note_invalid(self, batch: Batch) -> None:
        """Take over what the plan says of references that the venue cannot take, where it is written."""
        batch_id = str(batch.batch_id)
        for place in plan(batch, self.accounts).invalid:
            written = self.lanes.redis.hget(keys.outcomes(batch_id), str(place))
            if (batch_id, place) not in self.known and written is not None:
                self.known[batch_id, place] = Standing.read(str(written))
                assert self.known[batch_id, place].status is Status.INVALID

    def claim(self, account: str, store: RedisStore) -> Claim | None:
        """Claim for a worker: never late, never what is gone, never what another has, never too many."""
        claim = store.claim(self.accounts[account], self.now_ms)
        if isinstance(claim, Wait):
            assert claim.until_ms is None or claim.until_ms >= self.now_ms
            return None
        gone = [self._is_gone(claim.batch_id, place) for place in claim.places]
        expected = {
            ClaimKind.SEND: self.now_ms < claim.deadline_ms and not any(gone),
            ClaimKind.LATE: self.now_ms >= claim.deadline_ms and not all(gone),
            ClaimKind.MOOT: all(gone),
        }
        assert expected[claim.kind]
        assert self.paused_ms.get(account, 0) <= self.now_ms
        assert claim.chunk_id not in self.holders
        assert int(self.lanes.redis.zcard(keys.flights(account))) <= self.accounts[account].max_in_flight
        if claim.kind is ClaimKind.SEND:
            assert claim.attempt == self.attempts.get(claim.chunk_id, claim.attempt - 1) + 1
            self.granted_ms.setdefault(account, []).append(self.now_ms)
        self._hold(store, claim)
        return claim

    def _is_gone(self, batch_id: str, place: int) -> bool:
        return (batch_id, place) in self.known and self.known[batch_id, place].strength >= GONE

    def _hold(self, store: RedisStore, claim: Claim) -> None:
        asked = plan(self.batches[claim.batch_id], self.accounts).orders
        assert [asked[place] for place in claim.places] == [Order(claim.account, order) for order in claim.orders]
        assert claim.token > self.tokens.get(claim.account, 0)
        self.tokens[claim.account] = claim.token
        self.attempts[claim.chunk_id] = claim.attempt
        self.claims.append((store._worker_id, claim))
        self.holders[claim.chunk_id] = Holder(claim.token, claim.kind, store._worker_id, self.now_ms)

    def settle(self, store: RedisStore, claim: Claim, settlement: Settlement) -> Settled:
        """Settle: only the newest holder moves the chunk, but what anybody learned counts."""
        done = self.lanes.client.report(claim.batch_id)["state"] == "done"
        for place, one in settlement.standings:
            self._learn(claim.batch_id, place, one)
        for ref, one in () if done else settlement.siblings:
            for place in self._places(claim.batch_id, Order(claim.account, ref)):
                self._learn(claim.batch_id, place, one)
        answer = store.settle(claim, settlement, self.now_ms)
        holder = self.holders.get(claim.chunk_id)
        mine = holder is not None and holder.token == claim.token
        assert answer.held == mine
        assert mine or not answer.ended
        if mine:
            del self.holders[claim.chunk_id]
        return answer

    def _learn(self, batch_id: str, place: int, one: Standing) -> None:
        self.known[batch_id, place] = fold(self.known.get((batch_id, place), one), one)

    def _places(self, batch_id: str, order: Order) -> list[int]:
        """Where an answer finds an order that nobody asked for: where it is written, and not as invalid."""
        planned = plan(self.batches[batch_id], self.accounts)
        found = [place for place, one in enumerate(planned.orders) if one == order and place not in planned.invalid]
        return [place for place in found if self.lanes.redis.hexists(keys.orders(batch_id), str(place))]

    def seize(self, store: RedisStore, chunk_id: str, account: str = "") -> Claim | None:
        """Seize: never from a living worker, and from a lane only what is late."""
        holder = self.holders.get(chunk_id)
        beats = holder is not None and self.lanes.redis.exists(keys.worker(holder.worker))
        claim = store.seize(chunk_id, self.now_ms, account)
        if claim is not None:
            assert holder is None or not beats or self.now_ms >= holder.since_ms + LONGEST_CALL_MS
            assert holder is not None or claim.deadline_ms <= self.now_ms
            assert claim.kind is (holder.kind if holder is not None else ClaimKind.IDLE)
            self._hold(store, claim)
        return claim

    def pause(self, store: RedisStore, account: str, ms: int) -> None:
        """Stop an account; a longer pause that runs already stays."""
        until_ms = self.now_ms + ms
        told = store.pause(account, until_ms, "429", self.now_ms)
        assert told or until_ms <= self.paused_ms.get(account, 0)
        self.paused_ms[account] = max(until_ms, self.paused_ms.get(account, 0))

    def watch(self, store: RedisStore) -> None:
        """Let a worker's watch have one round."""
        redis, clock, told = self.lanes.redis, self.lanes.clock, Told(self, store)
        Watch(redis, told, clock, FakeLog(), "w", 10**6, nothing, nothing, nothing).tick()  # type: ignore[arg-type]

    def check(self) -> None:
        """Compare what is stored with what should be."""
        assert structure(self.lanes.redis) == []
        for batch_id in self.batches:
            stored: Any = self.lanes.redis.hgetall(keys.outcomes(batch_id))
            assert stored == {str(place): one.text() for (of, place), one in self.known.items() if of == batch_id}

    def check_end(self) -> None:
        """Every batch has ended, and every order that was ever written has its outcome."""
        assert not self.holders
        for batch_id, batch in self.batches.items():
            report = self.lanes.client.report(batch_id)
            written = self.lanes.redis.hlen(keys.orders(batch_id))
            asked = len(plan(batch, self.accounts).orders)
            assert report["state"] == "done"
            assert report["orders"] == sum(report["counts"].values()) == asked
            assert report["counts"].get("pending", 0) == asked - written
            assert report["gone"] == sum(self._is_gone(batch_id, place) for place in range(asked))


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
