"""One worker process: its threads, its lines to the venues, and what ends them."""

import os
import socket
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from connectors.transport import Transport
from tasks import keys
from tasks.client import DAY_S, FINAL_STATES, HEARTBEAT_MS, Client, Submitted
from tasks.clock import SystemClock, VenueClock
from tasks.drain import Drain
from tasks.errors import UnknownBatch
from tasks.ports import Hint
from worker.drains import Drains
from worker.heartbeats import Heartbeats
from worker.hints import wake
from worker.intake import Intake
from worker.logs import get_log
from worker.metrics import BATCHES, Metered
from worker.settings import Settings
from worker.store import RedisStore
from worker.warmth import keep_warm
from worker.watch import Watch

HEARTBEAT_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 3.0
MOST_CALLERS: Final = 1_024  # threads; one costs a tenth of a megabyte
READERS: Final = 2  # of the inbox, so that a kill need not wait until a clean-up of 100,000 orders is planned
CONNECTIONS: Final = 24
PATIENCE: Final = 60  # times, up to a second apart, that settling is tried while Redis is away

Answer = Callable[[str, dict[str, Any]], None]


@dataclass(slots=True)
class Service:
    """Everything that a worker process runs beside Celery.

    ``hint`` tells some worker of work; ``answer`` gives a Celery task (by id) its report.
    """

    settings: Settings
    hint: Hint
    answer: Answer
    drains: Drains = field(init=False)
    client: Client = field(init=False)
    _redis: redis.Redis = field(init=False)
    _lines: list[Transport] = field(init=False, default_factory=list)
    _threads: list[Thread] = field(init=False, default_factory=list)
    _stop: Event = field(init=False, default_factory=Event)
    _idle: Event = field(init=False, default_factory=Event)
    _patient: redis.Redis = field(init=False)
    _pool: ThreadPoolExecutor | None = field(init=False, default=None)
    _dispatchers: ThreadPoolExecutor = field(init=False)
    _priorities: frozenset[str] = field(init=False, default=frozenset())
    _clock: SystemClock = field(init=False, default_factory=SystemClock)
    _worker_id: str = field(init=False)
    _store: RedisStore = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self._worker_id = f"{socket.gethostname()}-{os.getpid()}-{self._clock.token()[:8]}"
        self._redis = _connect(settings.redis_url, Retry(NoBackoff(), 0))
        self._patient = _connect(settings.redis_url, Retry(ExponentialBackoff(cap=1.0, base=0.05), PATIENCE))
        self.client = Client(settings.redis_url, keep_days=settings.keep_days, clock=self._clock)

    def start(self, priorities: Collection[str]) -> None:
        """Open the lines, publish the accounts and start the threads.  Work of *priorities* is begun here at once."""
        self._priorities = frozenset(priorities)
        settings, log = self.settings, get_log(worker=self._worker_id)
        keep_s = int(settings.keep_days * DAY_S)
        self._beat()
        # A thread for every call that may be in flight: an account whose venue hangs takes no other's.
        callers = sum(account.max_in_flight for account in settings.accounts.values())
        pool = self._pool = ThreadPoolExecutor(max(1, min(callers, MOST_CALLERS)), thread_name_prefix="caller")
        self._dispatchers = ThreadPoolExecutor(max(1, len(settings.accounts)), thread_name_prefix="dispatcher")
        self.drains = Drains({}, pool, self._clock, log, self._stop)
        store = self._store = RedisStore(
            self._redis,
            self._worker_id,
            settings.accounts,
            keep_s=keep_s,
            guard_ms=settings.guard_ms,
            cleanup_share=settings.cleanup_share,
            patient=self._patient,
        )
        store.publish()
        for name, account in settings.accounts.items():
            line = Transport(account.base_url, pool_size=account.max_in_flight, monotonic=self._clock.monotonic_s)
            self._lines.append(line)
            known = self._clock, log, VenueClock(), self.finish, self.stopping
            drain = Drain(account, store, Metered(line, name), *known)
            self.drains.accounts[name] = drain
        intakes = [
            Intake(
                self.client,
                store,
                settings.accounts,
                self._clock,
                log,
                f"{self._worker_id}#{n}",
                self.hint,
                self._begin,
            )
            for n in range(READERS)
        ]
        heartbeats = Heartbeats(self.client, log, settings.heartbeats, frozenset(settings.accounts))
        watch = Watch(
            self._redis,
            store,
            self._clock,
            log,
            self._worker_id,
            keep_s,
            self.hint,
            self.finish,
            self.reply,
            heartbeats,
        )
        intakes[0].prepare()
        readers = [(intake.run, self._stop) for intake in intakes]
        for target, stop in ((self._beat_on, self._idle), *readers, (watch.run, self._stop)):
            thread = Thread(target=target, args=(stop,), name=target.__qualname__, daemon=True)
            thread.start()
            self._threads.append(thread)
        lines = dict(zip(settings.accounts, self._lines, strict=True))
        self._threads += keep_warm(self.drains.accounts, lines, self._clock, log, self._stop)
        log.info("worker.started", accounts=sorted(settings.accounts))

    def stop(self) -> None:
        """Tell every loop and thread to end after what it is doing."""
        self._stop.set()

    def close(self) -> None:
        """Wait until calls in flight are settled, then let go of everything."""
        self.stop()
        if self._pool is not None:
            self._dispatchers.shutdown(wait=True)
            self._pool.shutdown(wait=True)
        self._idle.set()
        for thread in self._threads:
            thread.join(timeout=5)
        with suppress(redis.RedisError):
            self._redis.delete(keys.worker(self._worker_id))
            self._redis.zrem(keys.WORKERS, self._worker_id)
        for line in self._lines:
            line.close()
        self.client.close()
        self._redis.close()
        self._patient.close()
        get_log(worker=self._worker_id).info("worker.stopped")

    def stopping(self) -> bool:
        """Say whether the process is about to end."""
        return self._stop.is_set()

    def work_on(self, account: str) -> None:
        """Work on an account's lane for one slice, and pass the hint on if work may be left."""
        if not self.drains.drain(account) or self.stopping():
            return
        log = get_log(worker=self._worker_id)
        try:
            priority = self._store.ready(account, self._clock.now_ms())
        except redis.RedisError as error:  # the watch looks again
            log.warning("drain.unreachable", account=account, error=str(error))
            return
        if priority is not None:
            wake(self.hint, account, priority, log)

    def _begin(self, account: str, priority: str) -> None:
        """Work on *account* without waiting until a hint has gone through Redis, unless others are to do that work."""
        if priority in self._priorities and not self.stopping():
            self._dispatchers.submit(self._work_here, account)

    def _work_here(self, account: str) -> None:
        try:
            self.work_on(account)
        except Exception as error:  # noqa: BLE001  # it would be lost in the pool; the watch looks again
            get_log(worker=self._worker_id).warning("drain.fault", account=account, error=repr(error))

    def take(self, document: object, default_id: str) -> Submitted:
        """Take a document in; *default_id* is the batch's id if it names none.  Raises DocumentRefused."""
        if isinstance(document, dict) and document.get("batch_id") is None:
            document = {**document, "batch_id": default_id}
        return self.client.hand_over(document, frozenset(self.settings.accounts))

    def finish(self, batch_id: str) -> None:
        """Log the end of a batch, and answer the Celery tasks that wait for it."""
        found = self.client.report(batch_id)
        BATCHES.labels(found["verdict"]).inc()
        get_log().info(
            "batch.done",
            batch=batch_id,
            verdict=found["verdict"],
            counts=found["counts"],
            calls=found["calls"],
            ms=found["done_ms"] - found["submitted_ms"],
        )
        self.reply(batch_id)

    def reply(self, batch_id: str) -> None:
        """Give a done batch's report to the Celery tasks that wait for it; nothing if it is not done."""
        try:
            found = self.client.report(batch_id)
        except UnknownBatch:
            self._redis.srem(keys.AWAITED, batch_id)
            return
        if found["state"] not in FINAL_STATES:
            return
        # Asked after the end was seen: a task that comes later sees it too, and answers for itself.
        tasks: Any = self._redis.smembers(keys.awaiting(batch_id))
        for task_id in tasks:
            self.answer(task_id, found)
            self._redis.srem(keys.awaiting(batch_id), task_id)
        self._redis.srem(keys.AWAITED, batch_id)

    def await_report(self, batch_id: str, task_id: str) -> dict[str, Any] | None:
        """Have *task_id* answered when the batch is done; gives the report if it is done already."""
        expiry_s = int(self.settings.keep_days * DAY_S)
        pipe = self._redis.pipeline()
        pipe.sadd(keys.awaiting(batch_id), task_id)
        pipe.expire(keys.awaiting(batch_id), expiry_s)
        pipe.sadd(keys.AWAITED, batch_id)
        pipe.execute()
        found = self.client.report(batch_id)
        return found if found["state"] in FINAL_STATES else None

    def _beat_on(self, stop: Event) -> None:
        """Keep the heart beating until the last call in flight is settled: they are ours until then."""
        log = get_log(worker=self._worker_id)
        while not stop.wait(HEARTBEAT_S):
            try:
                self._beat()
            except redis.RedisError as error:
                log.warning("heartbeat.missed", error=str(error))

    def _beat(self) -> None:
        # A Redis that is full lets nobody set a key, but lets live what is there.
        if not self._redis.pexpire(keys.worker(self._worker_id), HEARTBEAT_MS):
            self._redis.set(keys.worker(self._worker_id), "1", px=HEARTBEAT_MS)
        asked_at_s = self._clock.monotonic_s()
        seconds, micros = self._redis.time()
        self._clock.follow(seconds * 1000 + micros / 1000, asked_at_s)
        now_ms = self._clock.now_ms()
        pipe = self._redis.pipeline()
        pipe.zadd(keys.WORKERS, {self._worker_id: now_ms})
        pipe.zremrangebyscore(keys.WORKERS, "-inf", now_ms - 10 * HEARTBEAT_MS)
        pipe.execute()


def _connect(url: str, retry: Retry) -> redis.Redis:
    # Few connections for many threads: a script takes a millisecond, and opening a connection many.
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_TIMEOUT_S,
        decode_responses=True,
        socket_timeout=ANSWER_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        retry=retry,
        driver_info=None,  # to find out its own version, redis-py reads its package's metadata for every connection
    )
    return redis.Redis(connection_pool=pool)
