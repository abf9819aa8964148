"""Hands drafts in by every way there is, as producers do: again, under the same id, until one has answered."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks import keys
from tasks.errors import RipcordError, UnknownBatch, Unreachable
from tests.end_to_end.batches import Document, Rows, named, stranger
from tests.end_to_end.stage import Stage
from tests.end_to_end.waiting import until
from tests.soak.draws import Draft, Replay, Sweep

TRIES: Final = 30
PAUSE_S: Final = 1.0
AT_ONCE: Final = 16
REPLAY_S: Final = 20
RECENT: Final = 40  # batches among which one is chosen to be replayed
FILTERS: Final = {
    "--symbol": "symbol",
    "--side": "side",
    "--older-than": "older_than_s",
    "--client-prefix": "client_order_id_prefix",
}
UNREACHABLE: Final = (RedisError, Unreachable, OperationalError, ConnectionError, TimeoutError)


@dataclass(slots=True)
class Handed:
    """One batch as it was handed in.

    ``acknowledged`` says that some way in has answered; ``tasks`` are the ids of Celery tasks that were sent,
    ``refusals`` what was said instead of yes.
    """

    document: Document
    acknowledged: bool = False
    tries: int = 0
    tasks: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


class Producers:
    """Everybody who hands batches in, each in a thread."""

    def __init__(self, stage: Stage, books: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        """*books* are the names of every venue's seeded orders."""
        self._stage = stage
        self._books = books
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="producer")
        self._lock = Lock()
        self._futures: list[tuple[Handed, Future[None]]] = []
        self._replays: list[Future[None]] = []
        self.app = _producer_app(stage.redis.url)
        self.handed: list[Handed] = []

    def hand_in(self, draft: Draft) -> None:
        """Start to hand *draft* in by all of its ways at once."""
        self._start(self._document(draft), draft.ways)

    def sweep(self, sweep: Sweep) -> None:
        """Start to hand a sweep in by all of its ways at once."""
        most = {} if sweep.most is None else {"max_orders": sweep.most}
        head = {"version": 1, "batch_id": sweep.batch_id, "deadline_s": sweep.deadline_s, "priority": sweep.priority}
        self._start(head | {"reason": "soak", "select": dict(sweep.select)} | most, sweep.ways)

    def replay(self, replay: Replay) -> None:
        """Start to replay a batch that has ended and is not flat; nothing if there is none."""
        self._replays.append(self._pool.submit(self._replay, replay))

    def _replay(self, replay: Replay) -> None:
        known = [handed.document["batch_id"] for handed in self.handed]
        with suppress(*UNREACHABLE, UnknownBatch):  # then this replay is not made
            rows = (self._stage.client.report(batch_id) for batch_id in known[-RECENT:])
            ended = [row["batch_id"] for row in rows if row["verdict"] in {"not_flat", "unproven"}]
            if not ended:
                return
            again = self._stage.client.replay_of(ended[replay.victim % len(ended)])
            if "orders" in again or "select" in again:
                self._start(again | {"batch_id": replay.batch_id, "deadline_s": REPLAY_S}, ("client",))

    def _start(self, document: Document, ways: Sequence[str]) -> None:
        handed = Handed(document)
        self.handed.append(handed)
        for way in ways:
            self._futures.append((handed, self._pool.submit(self._until_answered, handed, way)))

    def close(self) -> None:
        """Wait until everybody has had an answer or has given up; the application stays, to ask for results."""
        for replay in self._replays:
            replay.result()
        self._pool.shutdown(wait=True)
        for handed, future in self._futures:
            error = future.exception()
            if error is not None:
                handed.refusals.append(f"a producer failed: {error!r}")

    def _until_answered(self, handed: Handed, way: str) -> None:
        for _ in range(TRIES):
            with self._lock:
                handed.tries += 1
            try:
                task = WAYS[way](self, handed.document)
            except UNREACHABLE:
                until(lambda: False, PAUSE_S)
                continue
            except (RipcordError, subprocess.SubprocessError) as error:
                with self._lock:
                    handed.refusals.append(f"{way}: {error}")
                return
            with self._lock:
                handed.acknowledged = True
                handed.tasks += [task] if task else []
            return

    def _document(self, draft: Draft) -> Document:
        rows: Rows = []
        for venue, place in draft.picks:
            names = self._books[venue][place]
            only_id = {"client_order_id", "client_order_list_id"}.isdisjoint(names)  # Kuna knows no other
            rows += named([names], f"{venue}-sim", "order_id" if only_id else draft.kind)
        rows += [stranger(venue, f"{venue}-sim", self._books[venue][0]["symbol"]) for venue in draft.strangers]
        rows += [{"order_id": "7", "account": "binance-sim"}] if draft.nameless else []  # no symbol: invalid
        head = {"version": 1, "batch_id": draft.batch_id, "deadline_s": draft.deadline_s, "priority": draft.priority}
        return head | {"reason": "soak", "orders": rows}

    def by_stream(self, document: Document) -> None:
        """Add it to the inbox, as a program in any language does."""
        never = Retry(NoBackoff(), 0)
        with Redis.from_url(self._stage.redis.url, socket_timeout=2, retry=never) as plain:
            plain.execute_command("XADD", keys.INBOX, "*", "batch", json.dumps(document))

    def by_task(self, document: Document) -> str:
        """Send the Celery task, and give its id."""
        queue = f"ripcord.{document['priority']}"
        return str(self.app.send_task("ripcord.cancel_batch", [document], queue=queue).id)

    def by_client(self, document: Document) -> None:
        """Submit it from Python."""
        self._stage.client.submit(document)

    def by_kill(self, document: Document) -> None:
        """Run ``ripcord kill``, of a document that selects."""
        select = document["select"]
        accounts = ["--all-accounts"] if select["accounts"] == ["*"] else ["--account", *select["accounts"]]
        options = [part for name, field in FILTERS.items() if field in select for part in (name, str(select[field]))]
        options += ["--max-orders", str(document["max_orders"])] if "max_orders" in document else []
        fields = {"--priority": "priority", "--deadline": "deadline_s", "--batch-id": "batch_id", "--reason": "reason"}
        options += [part for name, field in fields.items() for part in (name, str(document[field]))]
        done = self._stage.cli("kill", *accounts, *options, "--json")
        if done.returncode == 4:
            raise Unreachable(done.stderr)
        done.check_returncode()

    def by_cli(self, document: Document) -> None:
        """Run ``ripcord cancel``."""
        done = self._stage.cli("cancel", "--file", "-", "--json", stdin=json.dumps(document))
        if done.returncode == 4:
            raise Unreachable(done.stderr)
        done.check_returncode()


def _producer_app(url: str) -> Celery:
    """Make a producer's own application: it knows an address and a task's name, and gives up soon."""
    app = Celery("producer", broker=url, backend=url, set_as_current=False)
    brief = {"socket_timeout": 2, "socket_connect_timeout": 1}
    app.conf.update(
        broker_transport_options=brief,
        broker_connection_timeout=1,
        redis_socket_timeout=2,
        redis_socket_connect_timeout=1,
        result_backend_always_retry=False,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.1},
    )
    return app


WAYS: Final[Mapping[str, Callable[[Producers, Document], Any]]] = {
    "stream": Producers.by_stream,
    "task": Producers.by_task,
    "client": Producers.by_client,
    "cli": Producers.by_cli,
    "kill": Producers.by_kill,
}
