"""Twice a second: wake what sleeps, give back what dead workers held, end what is past its deadline."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import Any, Final

import redis

from connectors.orders import IdKind
from tasks import keys
from tasks.client import HEARTBEAT_MS
from tasks.clock import Clock
from tasks.drain import DEADLY, leftover
from tasks.ports import ClaimKind, Hint, Log
from worker.heartbeats import Heartbeats
from worker.hints import wake
from worker.store import RedisStore

TICK_S: Final = 0.5
HOLD_MS: Final = 1_500  # a watch that does not come back for this long is another worker's
SLOW_MS: Final = 1_000  # a Redis that takes this long to answer has been away
MORE_S: Final = 0.01  # between two rounds while there is more to end than one round takes
FLIGHTS_A_TICK: Final = 2_000
LATE_A_TICK: Final = 200  # a round must not hold up the next look at the heartbeats and at the dead,
LATE_MS: Final = 250  # and in a worker that is busy each command takes long


@dataclass(frozen=True, slots=True)
class Watch:
    """One worker's watch; of all workers one holds it at a time, though nothing breaks if two do.

    ``ended`` is told of each batch that ends here; ``answer`` of each done batch that Celery tasks wait for.
    """

    redis: redis.Redis
    store: RedisStore
    clock: Clock
    log: Log
    worker_id: str
    keep_s: int
    hint: Hint
    ended: Callable[[str], None]
    answer: Callable[[str], None]
    heartbeats: Heartbeats | None = None

    def run(self, stop: Event) -> None:
        """Watch until *stop* is set; Redis' absence is waited out."""
        nap_s = TICK_S
        while not stop.wait(nap_s):
            nap_s = TICK_S
            try:
                asked_ms = self.clock.now_ms()
                self.store.take_back(asked_ms)
                held = self.holds()
                if self.heartbeats and self.clock.now_ms() - asked_ms > SLOW_MS:
                    self.heartbeats.lost()
                if held:
                    nap_s = self._listen()
                    nap_s = min(nap_s, MORE_S) if self.tick() else nap_s
            except (redis.RedisError, ConnectionError) as error:
                if self.heartbeats:
                    self.heartbeats.lost()
                self.log.warning("watch.unreachable", error=str(error))
            except Exception as error:  # noqa: BLE001  # whatever one batch has, the watch goes on for the others
                self.log.warning("watch.fault", error=repr(error))

    def _listen(self) -> float:
        """Look at the heartbeats; gives the seconds until the next round, fewer than usual if one may be due."""
        if self.heartbeats is None:
            return TICK_S
        due_ms = self.heartbeats.tick(self.clock.now_ms())
        return TICK_S if due_ms is None else min(TICK_S, max(0, due_ms - self.clock.now_ms()) / 1000)

    def holds(self) -> bool:
        """Take the watch if nobody has it, keep it if it is ours."""
        if self.redis.get(keys.WATCH) == self.worker_id:  # asked first: a Redis that is full lets nobody set it
            return bool(self.redis.pexpire(keys.WATCH, HOLD_MS))
        return bool(self.redis.set(keys.WATCH, self.worker_id, nx=True, px=HOLD_MS))

    def tick(self) -> bool:
        """Do one round of everything; True if more is late than one round ends."""
        now_ms = self.clock.now_ms()
        accounts: Any = self.redis.smembers(keys.ACCOUNTS)
        for account in sorted(accounts):
            self._recover(account)
            priority = self.store.ready(account, now_ms)
            if priority is not None:
                wake(self.hint, account, priority, self.log)
        paused: Any = self.redis.smembers(keys.PAUSED)
        for key in sorted(paused):
            resumed = self.store.resume(key, now_ms)
            if resumed is not None:
                self.log.info("account.resumed", account=resumed)
        more = self._end_late(now_ms)
        awaited: Any = self.redis.smembers(keys.AWAITED)
        for batch_id in awaited:
            self.answer(batch_id)
        self.redis.zremrangebyscore(keys.BATCHES, "-inf", now_ms - self.keep_s * 1000)
        return more

    def _recover(self, account: str) -> None:
        """Settle the chunks in the hands of workers that are gone."""
        since_ms = self.clock.now_ms() - HEARTBEAT_MS  # who has claimed since then, or asked to go on, lives
        held: Any = self.redis.zrangebyscore(keys.flights(account), "-inf", since_ms, start=0, num=FLIGHTS_A_TICK)
        for chunk_id in held:
            self._seize(chunk_id, "chunk.recovered", self.store.paused_at, account)

    def _end_late(self, now_ms: int) -> bool:
        """Settle chunks that wait in their lanes past their batch's deadline; True if there may be more."""
        late: Any = self.redis.zrangebyscore(keys.DEADLINES, "-inf", now_ms, start=0, num=100)
        most = LATE_A_TICK // len(late) if late else 0  # a batch of thousands does not hold up the end of a small one
        until_ms = self.clock.now_ms() + LATE_MS
        paused_at = cache(self.store.paused_at)
        more = False
        for batch_id in late:
            chunks: Any = self.redis.srandmember(keys.chunks(batch_id), most)
            settled = 0
            for chunk_id in chunks:
                settled += self._seize(chunk_id, "chunk.late", paused_at)
                if settled == most or self.clock.now_ms() >= until_ms:
                    more = True
                    break
            given_up, ended = self.store.expire(batch_id, now_ms)
            if given_up:
                self.log.warning("proof.late", batch=batch_id, orders=given_up)
            if ended:
                self.ended(batch_id)
            if not chunks and self.store.abandon(batch_id, now_ms):
                self.log.warning("batch.abandoned", batch=batch_id)
                self.ended(batch_id)
        return more

    def _seize(self, chunk_id: str, event: str, paused_at: Callable[[str, int], str | None], account: str = "") -> bool:
        """Settle a chunk that nobody works on; False if that is not so, or it is settled."""
        now_ms = self.clock.now_ms()  # anew: this round may have begun long ago
        claim = self.store.seize(chunk_id, now_ms, account)
        if claim is None:
            return False
        self.log.warning(event, batch=claim.batch_id, account=claim.account, chunk=chunk_id, kind=claim.kind.value)
        sent = claim.kind is ClaimKind.SEND
        paused = None if sent else paused_at(claim.account, claim.deadline_ms)
        lasting = self.store.lasting(claim.account) if sent else frozenset[IdKind]()
        settlement = leftover(claim, lasting, now_ms, paused)
        if claim.deaths >= DEADLY and sent:
            self.log.error("chunk.poison", batch=claim.batch_id, account=claim.account, orders=len(claim.orders))
        if self.store.settle(claim, settlement, now_ms).ended:
            self.ended(claim.batch_id)
        if claim.deaths >= DEADLY and sent and not settlement.again:
            self.store.tell_poison(claim, now_ms)
        return True
