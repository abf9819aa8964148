"""The way in for Python producers, and the one reader of batches; the only module of tasks that knows Redis."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors.registry import VENUES
from tasks import keys
from tasks.batch import Batch
from tasks.clock import Clock, SystemClock
from tasks.document import load_batch, parse_document
from tasks.errors import BadAddress, DocumentRefused, NotReplayable, UnknownBatch, Unreachable, WaitTimeout
from tasks.plan import unique
from tasks.replay import again
from tasks.report import COMPACT, outcome, progress, report, sweeps

KEEP_DAYS: Final = 7.0
HEARTBEAT_MS: Final = 1_500  # a worker whose heart has not beaten for this long is gone
DAY_S: Final = 86_400
CONNECT_TIMEOUT_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 1.5
POLL_MS: Final = 1_000  # below the socket's timeout
GATHER_MS: Final = 5  # how long events are left to gather between two looks
ENDS: Final = frozenset({"batch.done", "batch.refused"})
PAGE: Final = 500  # orders read at once: no reader holds Redis for long
BEAT_MS: Final = 3_600_000  # how long a beat's key stays; that it is a new one is said by its value
FINAL_STATES: Final = frozenset({"done", "refused"})
ADDRESS_RULE: Final = "the address of Redis must be redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… or unix://PATH"
UNREACHABLE: Final = (redis.ConnectionError, redis.TimeoutError)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a document: its batch id, and whether the same batch was known already."""

    batch_id: str
    known: bool


class Client:
    """Hands batches over and reads them.  Safe to share between threads; close it or use it in ``with``.

    Every method raises Unreachable within three seconds if Redis does not answer.
    """

    def __init__(self, redis_url: str, *, keep_days: float = KEEP_DAYS, clock: Clock | None = None) -> None:
        self._url = redis_url
        self._clock = clock or SystemClock()
        self._asks_redis = clock is None  # a producer's own clock may be minutes off, and deadlines count from ours
        self._keep_s = int(keep_days * DAY_S)
        check_address(redis_url)
        self.redis: redis.Redis = redis.Redis.from_url(
            redis_url,
            decode_responses=True,
            encoding_errors="surrogateescape",  # bytes that are no UTF-8 are refused as such, and raise nothing here
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # a second try would double the time to a clear error
        )
        self._accept = self.redis.register_script(script("accept"))
        self._refuse = self.redis.register_script(script("refuse"))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.redis.close()

    def submit(self, document: dict[str, Any]) -> str:
        """Hand over a batch document (contract, section 3) and give its batch id.

        Once it returns, the batch survives the death of any worker.  Raises DocumentRefused, with every
        error listed, if the document is not valid or its id is known with other content.  Whether its
        accounts are configured is known to the workers: a batch that names a strange one ends as ``refused``.
        """
        return self.hand_over(document).batch_id

    def hand_over(self, document: object, accounts: frozenset[str] | None = None) -> Submitted:
        """Do what ``submit`` does, and say whether the batch was known; *accounts* are those configured."""
        try:
            batch = load_batch(document, accounts)
            batch_id = batch.batch_id or f"b-{self._clock.token()}"
            named = {**document, "batch_id": batch_id} if isinstance(document, dict) else document
            with _reachable(self._url):
                known = self.accept(batch, batch_id, json.dumps(named, ensure_ascii=True))
        except DocumentRefused as error:
            with suppress(Unreachable):  # what is wrong with the document matters more
                self.record_refusal(error)
            raise
        return Submitted(batch_id, known)

    def accept(self, batch: Batch, batch_id: str, document: str, entry: str = "") -> bool:
        """Write a batch down once; gives True if it was known.  Raises DocumentRefused if its id is another's.

        *document* goes into the inbox with it; an empty one is there already, as *entry*.
        """
        given = {
            "requested_by": batch.requested_by,
            "reason": batch.reason,
            "select": batch.select and COMPACT(batch.select.document()),
            "max_orders": batch.max_orders,
            "replay_of": batch.replay_of,
        }
        fields = {
            "priority": batch.priority.value,
            "prove": int(batch.prove),
            "orders": len(batch.orders),
            "deadline_s": batch.deadline_s,
        } | {name: value for name, value in given.items() if value is not None}
        flat: list[Any] = [part for pair in fields.items() for part in pair]
        expiry_s = self._keep_s + int(batch.deadline_s)
        args: list[Any] = [batch_id, batch.digest, self._now_ms(), expiry_s, keys.EVENTS_KEPT, document, entry, *flat]
        answer = self._accept(keys=[keys.PREFIX], args=args)
        if answer == "conflict":
            raise DocumentRefused([f"batch_id: {batch_id!r} is known with other content: choose another id"], batch_id)
        return bool(answer == "known")

    def _now_ms(self) -> int:
        """Give the time that all parts share: Redis', unless a clock was handed in."""
        if not self._asks_redis:
            return self._clock.now_ms()
        seconds, micros = self.redis.time()
        return int(seconds * 1000 + micros // 1000)

    def record_refusal(self, error: DocumentRefused, digest: str = "") -> None:
        """Write a refused document down: as an event, and under its id if that is no other batch's."""
        errors = json.dumps(error.errors, ensure_ascii=True)
        with _reachable(self._url):
            now_ms = self._now_ms()
            args: list[Any] = [error.batch_id or "", now_ms, errors, self._keep_s, keys.EVENTS_KEPT, digest]
            self._refuse(keys=[keys.PREFIX], args=args)

    def report(self, batch_id: str) -> dict[str, Any]:
        """Give the report of a batch as it is now.  Raises UnknownBatch."""
        return report(self._batch(batch_id))

    def progress(self, batch_id: str) -> dict[str, dict[str, int]]:
        """Count a batch's orders by account: ``orders``, ``gone``, ``live``, ``unproven``.  Raises UnknownBatch."""
        return progress(self._batch(batch_id))

    def sweeps(self, batch_id: str) -> dict[str, str]:
        """Say what the last listing of each account of a sweep showed; empty for a list.  Raises UnknownBatch."""
        return sweeps(self._batch(batch_id))

    def replay_of(self, batch_id: str) -> dict[str, Any]:
        """Make the document that does again what a batch has left undone.

        It has neither ``orders`` nor ``select`` if nothing is left.  Raises UnknownBatch, and NotReplayable for a
        batch that is not done.
        """
        batch = self._batch(batch_id)
        if batch["state"] not in FINAL_STATES:
            raise NotReplayable(f"batch {batch_id} is {batch['state']}: wait for it with `ripcord watch {batch_id}`")
        if batch["state"] == "refused":
            raise NotReplayable(
                f"batch {batch_id} was refused and nothing of it was sent: hand in a corrected document"
            )
        asked = {
            "deadline_s": float(batch["deadline_s"]),
            "prove": batch["prove"] == "1",
            "select": json.loads(batch.get("select", "null")),
            "max_orders": int(batch["max_orders"]) if "max_orders" in batch else None,
        }
        return again(report(batch), asked, self.outcomes(batch_id, {}))

    def _batch(self, batch_id: str) -> dict[str, str]:
        with _reachable(self._url):
            fields: Any = self.redis.hgetall(keys.batch(batch_id))
        if "state" not in fields:
            raise UnknownBatch(batch_id)
        return dict(fields)

    def outcomes(self, batch_id: str, venues: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Give one outcome for each order of a batch, in the document's order.  Raises UnknownBatch.

        The orders of a batch that is not planned yet are read from its document.  Only one that came through the
        inbox itself may lack them, for the moment that planning takes.

        *venues* maps account to venue; by default as the workers know them.
        """
        found = self._batch(batch_id)
        with _reachable(self._url):
            known: Any = self.redis.hgetall(keys.ACCOUNT_VENUES) if venues is None else venues
            planned = "planned" in found or report(found)["state"] in FINAL_STATES
            asked = [] if planned else self._asked(found.get("entry"), known)
            return list(self._outcomes(batch_id, report(found)["orders"], known, asked))

    def _asked(self, entry_id: str | None, venues: dict[str, str]) -> list[str]:
        """Give the orders of a document that waits in the inbox as planning will write them; none if it is gone."""
        entries: Any = self.redis.xrange(keys.INBOX, entry_id, entry_id) if entry_id else []
        if not entries:
            return []
        batch = load_batch(parse_document(entries[0][1]["batch"]))
        needing = {account for account, venue in venues.items() if venue in VENUES and VENUES[venue].symbol_required}
        orders = unique(batch.orders, needing.__contains__)
        return [json.dumps([o.account, o.ref.kind, o.ref.value, o.ref.symbol]) for o in orders]

    def _outcomes(
        self, batch_id: str, number: int, venues: dict[str, str], asked: list[str]
    ) -> Iterator[dict[str, Any]]:
        number = len(asked) or number
        for start in range(0, number, PAGE):
            places = [str(place) for place in range(start, min(start + PAGE, number))]
            orders: list[Any] = self.redis.hmget(keys.orders(batch_id), places)
            standings: list[Any] = self.redis.hmget(keys.outcomes(batch_id), places)
            waiting: list[Any] = asked[start : start + PAGE] or [None] * len(places)
            for order, standing, given in zip(orders, standings, waiting, strict=True):
                if order is not None or given is not None:
                    yield outcome(order or given, standing, venues)

    def wait(self, batch_id: str, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until a batch is done or refused, and give its report.

        Raises WaitTimeout after *timeout_s* (the batch goes on), UnknownBatch if there is none.
        """
        until_ms = None if timeout_s is None else self._clock.now_ms() + timeout_s * 1000
        for found in self.follow(batch_id, until_ms, ends_only=True):
            if found["state"] in FINAL_STATES:
                return found
        raise WaitTimeout(f"batch {batch_id} is not done after {timeout_s:g} s; it goes on")

    def follow(
        self, batch_id: str, until_ms: float | None = None, *, ends_only: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Give the report of a batch at every change, until it is done or refused, or *until_ms* has come.

        With *ends_only* changes in between are passed over, but for one a second.
        """
        last = self._last_event()
        while True:
            found = self.report(batch_id)
            yield found
            if found["state"] in FINAL_STATES:
                return
            look_ms = self._clock.now_ms() + POLL_MS
            changed = False
            while not changed:
                now_ms = self._clock.now_ms()
                left_ms = min(POLL_MS, max(1, look_ms - now_ms))
                left_ms = left_ms if until_ms is None else min(left_ms, int(until_ms - now_ms))
                if left_ms <= 0:
                    return
                with _reachable(self._url):
                    answer: Any = self.redis.xread({keys.EVENTS: last}, count=PAGE, block=left_ms)
                events = answer[0][1] if answer else []
                last = events[-1][0] if events else last
                ours = [fields.get("type") for _, fields in events if fields.get("batch_id") == batch_id]
                # Now and then the state is read again: the stream is capped, and may be trimmed under us.
                changed = bool(ENDS & set(ours) if ends_only else ours) or self._clock.now_ms() >= look_ms
                if not changed:
                    self._clock.sleep(GATHER_MS / 1000)  # a busy stream would wake us for each event

    def _last_event(self) -> str:
        with _reachable(self._url):
            newest: Any = self.redis.xrevrange(keys.EVENTS, count=1)
        return str(newest[0][0]) if newest else "0-0"

    def latest(self, count: int) -> list[dict[str, Any]]:
        """Give the reports of the latest *count* batches, the newest first."""
        with _reachable(self._url):
            ids: Any = self.redis.zrevrange(keys.BATCHES, 0, count - 1) if count > 0 else []
            found: list[Any] = [self.redis.hgetall(keys.batch(batch_id)) for batch_id in ids]
        return [report(fields) for fields in found if "state" in fields]

    def ping(self) -> None:
        """Do nothing if Redis answers.  Raises Unreachable."""
        with _reachable(self._url):
            self.redis.ping()

    def workers(self) -> list[str]:
        """Name the workers whose hearts beat."""
        with _reachable(self._url):
            return sorted(
                key.removeprefix(keys.worker("")) for key in self.redis.scan_iter(keys.worker("*"), count=PAGE)
            )

    def beat(self, name: str) -> None:
        """Say that the producer *name* lives, for [[heartbeats]] of the configuration."""
        with _reachable(self._url):
            self.redis.set(keys.beat(name), self._clock.token(), px=BEAT_MS)

    def heartbeat(self, name: str) -> dict[str, str]:
        """Give what the workers' watch has written down of a heartbeat; empty if it has seen none."""
        with _reachable(self._url):
            fields: Any = self.redis.hgetall(keys.heartbeat(name))
        return dict(fields)

    def now_ms(self) -> int:
        """Give the time that all parts share, in milliseconds since the epoch."""
        with _reachable(self._url):
            return self._now_ms()

    def accounts(self) -> list[str]:
        """Name the accounts that the workers have configured."""
        with _reachable(self._url):
            names: Any = self.redis.hkeys(keys.ACCOUNT_VENUES)
        return sorted(names)

    def pauses(self, accounts: Iterable[str]) -> dict[str, str]:
        """Say why and until when accounts pause; those that do not are left out."""
        names, found = list(accounts), dict[str, tuple[int, str]]()
        with _reachable(self._url):
            paused: Any = self.redis.smembers(keys.PAUSED)
            listed: Any = self.redis.hgetall(keys.ACCOUNT_PAUSES) if paused else {}
            now_ms = self._now_ms()
            for key in paused:
                until_ms, why = self.redis.hmget(key, "until_ms", "reason")
                left_ms = int(until_ms or 0) - now_ms
                for name in names:
                    if left_ms > found.get(name, (0, ""))[0] and key in json.loads(listed.get(name, "[]")):
                        found[name] = left_ms, str(why)
        return {name: f"{ms / 1000:.1f} s more: {why}" for name, (ms, why) in sorted(found.items())}


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Turn every way in which Redis fails to serve us into one clear error, without the password of its URL."""
    try:
        yield
    except UNREACHABLE as error:
        raise Unreachable(f"Redis at {_place(url)} does not answer ({error})") from None
    except redis.RedisError as error:
        why = str(error).partition(" script: ")[0]  # behind it stands which line of which script it was
        raise Unreachable(f"Redis refuses to serve: {why} ({_place(url)})") from None


def check_address(url: str) -> None:
    """Raise BadAddress, without the password in it, if *url* cannot be the address of a Redis."""
    try:
        redis.ConnectionPool.from_url(url)
        _ = urlsplit(url).port
    except ValueError:
        raise BadAddress(ADDRESS_RULE) from None


def _place(url: str) -> str:
    """Give the part of an address that may be told: no user, no password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path


def script(name: str) -> str:
    """Give the text of one of the scripts beside this module."""
    return resources.files("tasks").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
