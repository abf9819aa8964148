"""Take documents from the inbox, validate and plan them, and put their chunks into the lanes."""

import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

import redis

from tasks import keys
from tasks.batch import EVERY_ACCOUNT, Accounts, Batch, Priority, Selection
from tasks.client import Client
from tasks.clock import Clock
from tasks.document import load_batch, parse_document
from tasks.errors import DocumentRefused
from tasks.plan import plan
from tasks.ports import Hint, Log
from worker.hints import wake
from worker.store import RedisStore

BLOCK_MS: Final = 1_000
NO_DOCUMENT: Final = "the entry has no field 'batch' with the document as JSON"
ABANDONED_MS: Final = 1_000  # an entry this old whose reader is gone is taken over
SILENT_MS: Final = 600_000  # a reader that is gone for so long is removed


@dataclass(frozen=True, slots=True)
class Intake:
    """One of a worker's readers of the inbox; ``reader`` is its name, ``worker#number``.

    ``begin`` starts work on an account in this process, ``hint`` tells some worker of it.
    """

    client: Client
    store: RedisStore
    accounts: Accounts
    clock: Clock
    log: Log
    reader: str
    hint: Hint
    begin: Hint

    def prepare(self) -> None:
        """Make the group of readers, once for all workers; of one that is there remove those who are gone for good."""
        try:
            self.client.redis.xgroup_create(keys.INBOX, keys.INBOX_GROUP, id="0", mkstream=True)
        except redis.ResponseError:  # BUSYGROUP: it is there already
            self.store.forget_readers(keys.INBOX_GROUP, SILENT_MS)

    def run(self, stop: Event) -> None:
        """Read until *stop* is set; Redis' absence is waited out."""
        while not stop.is_set():
            try:
                self.step()
            except (redis.RedisError, ConnectionError) as error:
                self.log.warning("inbox.unreachable", error=str(error))
                stop.wait(0.5)
                with contextlib.suppress(redis.RedisError):
                    self.prepare()  # a Redis without persistence may have come back empty
                    self.store.publish()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next document must be read
                self.log.warning("inbox.fault", error=repr(error))
                stop.wait(0.5)

    def step(self) -> None:
        """Take the next entry, or one whose reader is gone."""
        connection = self.client.redis
        abandoned: Any = connection.xpending_range(keys.INBOX, keys.INBOX_GROUP, "-", "+", 10, idle=ABANDONED_MS)
        for entry in abandoned:
            reader = str(entry["consumer"])
            if reader != self.reader and connection.exists(keys.worker(reader.partition("#")[0])):
                continue
            taken: Any = connection.xclaim(
                keys.INBOX, keys.INBOX_GROUP, self.reader, ABANDONED_MS, [entry["message_id"]]
            )
            self._take(taken)
        answer: Any = connection.xreadgroup(keys.INBOX_GROUP, self.reader, {keys.INBOX: ">"}, count=1, block=BLOCK_MS)
        for _, entries in answer or []:
            self._take(entries)

    def _take(self, entries: list[tuple[str, dict[str, str]]]) -> None:
        for entry_id, fields in entries:
            batch_id = ""
            try:
                batch_id = self.take(entry_id, (fields or {}).get("batch"))
            except DocumentRefused as error:
                self.log.warning("batch.refused", batch=error.batch_id, entry=entry_id, errors=list(error.errors[:5]))
            except redis.ResponseError as error:  # Redis is full, say: the entry stays, and those behind it are read
                self.log.warning("batch.not_written", entry=entry_id, error=str(error))
                continue
            if not self.store.acknowledge(keys.INBOX_GROUP, entry_id, batch_id):
                self.log.warning("batch.lost", batch=batch_id, entry=entry_id)  # by Redis; the entry is taken again

    def take(self, entry_id: str, raw: str | None) -> str:
        """Plan one document; gives its batch's id.  Raises DocumentRefused after recording why."""
        try:
            batch = load_batch(_document(raw), self.accounts.keys())
            batch_id = batch.batch_id or f"inbox-{entry_id}"
            self.client.accept(batch, batch_id, "", entry_id)
        except DocumentRefused as error:
            self.client.record_refusal(error, _digest(raw))
            raise
        try:
            self._plan(batch_id, batch)
        except (redis.RedisError, ConnectionError):
            raise  # the entry stays, and is taken again
        except Exception as error:  # noqa: BLE001  # a fault of ours must not leave the batch waiting for ever
            self.log.warning("batch.fault", batch=batch_id, error=repr(error))
            refused = DocumentRefused([f"ripcord failed on this document: {type(error).__name__}"], batch_id)
            self.client.record_refusal(refused, batch.digest)
            raise refused from None
        return batch_id

    def _plan(self, batch_id: str, batch: Batch) -> None:
        known: Any = self.client.redis.hmget(keys.batch(batch_id), ["submitted_ms", "planned"])
        if known[1]:
            self.log.info("batch.known", batch=batch_id)
            return
        if known[0] is None:  # forgotten between taking it in and now, say by a Redis that was emptied
            self.log.warning("batch.forgotten", batch=batch_id)
            return
        now_ms = self.clock.now_ms()
        if batch.select is not None:
            self._plan_sweep(batch_id, batch, batch.select, int(known[0]))
            return
        planned = plan(batch, self.accounts)
        calls = Counter(chunk.account for chunk in planned.chunks)

        def begun(fresh: Collection[str]) -> None:
            self._wake([account for account, _ in calls.most_common() if account in fresh], batch.priority)

        submitted_ms = int(known[0])
        self.store.enqueue(
            batch_id, batch, planned, self.accounts, submitted_ms=submitted_ms, now_ms=now_ms, begun=begun
        )
        self.log.info(
            "batch.planned",
            batch=batch_id,
            priority=batch.priority.value,
            orders=len(planned.orders),
            chunks=len(planned.chunks),
            accounts=len(calls),
            invalid=len(planned.invalid),
            ms=self.clock.now_ms() - now_ms,
        )

    def _plan_sweep(self, batch_id: str, batch: Batch, select: Selection, submitted_ms: int) -> None:
        accounts = sorted(self.accounts if select.accounts == (EVERY_ACCOUNT,) else select.accounts)
        if self.store.enqueue_sweep(batch_id, batch, accounts, submitted_ms, self.clock.now_ms()):
            self.log.info("batch.planned", batch=batch_id, priority=batch.priority.value, accounts=len(accounts))
        self._wake(accounts, batch.priority)

    def _wake(self, accounts: Sequence[str], priority: Priority) -> None:
        """Have *accounts* worked on, the first one first: here at once, and by other workers as they are told."""
        for way in (self.begin, self.hint):
            for account in accounts:
                wake(way, account, priority.value, self.log)


def _document(raw: str | None) -> object:
    if raw is None:
        raise DocumentRefused([NO_DOCUMENT])
    return parse_document(raw)


def _digest(raw: str | None) -> str:
    """Give the digest of a document that its accounts alone make wrong; its way in may have noted it already."""
    try:
        return load_batch(parse_document(raw or "")).digest
    except DocumentRefused:
        return ""
