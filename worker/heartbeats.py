"""The dead man's switch: a sweep is handed in when a producer has beaten once and then falls silent."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from tasks import keys
from tasks.client import Client
from tasks.errors import DocumentRefused, RipcordError
from tasks.ports import Log
from worker.sweeps import Heartbeat


@dataclass(frozen=True, slots=True)
class Beats:
    """What is known of one heartbeat.  All times are Redis', in milliseconds since the epoch; 0 is never.

    ``value`` (its digest) and ``expires_ms`` are those of the beat seen last, at ``seen_ms``.  Silence counts from
    ``since_ms``.  ``fired_ms`` is when the sweep was handed in for this silence; ``run_id`` the Redis that was asked.
    """

    value: str
    expires_ms: int
    seen_ms: int
    since_ms: int
    run_id: str
    fired_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a heartbeat's key: its value's digest (None: there is no value), and when it expires (-1: never).

    With ``doubt`` a beat could not have been seen since the look before, as Redis did not answer.
    """

    now_ms: int
    value: str | None
    expires_ms: int
    run_id: str
    doubt: bool = False


def look(known: Beats | None, sight: Sight) -> Beats | None:
    """Take in one look; gives what is known then, None while nothing has ever beaten.

    Any change of the value or of its expiry is a beat, and arms.  After a restart of Redis, or a time in which it did
    not answer, nobody could beat, so that the silence starts anew.
    """
    value = sight.value
    if value is not None and (known is None or (known.value, known.expires_ms) != (value, sight.expires_ms)):
        return Beats(value, sight.expires_ms, sight.now_ms, sight.now_ms, sight.run_id)
    if known is None or known.fired_ms:
        return known
    if sight.doubt or known.run_id != sight.run_id:
        return replace(known, since_ms=sight.now_ms, run_id=sight.run_id)
    return known


def due_ms(known: Beats | None, silence_s: float) -> int | None:
    """Say when the sweep is to be handed in if nothing beats until then; None if it is not armed."""
    return None if known is None or known.fired_ms else known.since_ms + round(silence_s * 1000)


def batch_id_of(name: str, known: Beats) -> str:
    """Name the batch of the silence after the beat seen last: whoever hands it in, it is one."""
    return f"beat-{name}-{known.seen_ms}"


def standing(known: Beats | None, silence_s: float, now_ms: int) -> str:
    """Say how a heartbeat stands: never (beaten), armed, silent (it should have fired by now) or fired."""
    due = due_ms(known, silence_s)
    if due is None:
        return "never" if known is None else "fired"
    return "armed" if now_ms < due else "silent"


def written(known: Beats) -> dict[Any, Any]:
    """Write what is known as the fields of a hash."""
    return {
        "value": known.value,
        "expires_ms": str(known.expires_ms),
        "seen_ms": str(known.seen_ms),
        "since_ms": str(known.since_ms),
        "run_id": known.run_id,
        "fired_ms": str(known.fired_ms),
    }


def read(fields: Mapping[str, str]) -> Beats | None:
    """Read what ``written`` has written; None for nothing."""
    if "seen_ms" not in fields:
        return None
    times = {name: int(fields[name]) for name in ("expires_ms", "seen_ms", "since_ms", "fired_ms")}
    return Beats(value=fields["value"], run_id=fields["run_id"], **times)


@dataclass(slots=True)
class Heartbeats:
    """Looks at every heartbeat of the configuration; for whoever holds the watch."""

    client: Client
    log: Log
    heartbeats: Collection[Heartbeat]
    accounts: frozenset[str]
    _doubt: bool = field(init=False, default=False)

    def lost(self) -> None:
        """Take note that Redis did not answer, or late."""
        self._doubt = True

    def tick(self, now_ms: int) -> int | None:
        """Look at all of them, and hand in the sweeps that are due; gives when the next one may be (by Redis' time).

        Raises redis.ConnectionError or redis.TimeoutError; any other trouble is one heartbeat's, and told in the log.
        """
        if not self.heartbeats:
            return None
        run_id = str(self.client.redis.info("server")["run_id"])
        doubt, self._doubt = self._doubt, False
        dues = []
        for heartbeat in self.heartbeats:
            try:
                dues.append(self._look(heartbeat, now_ms, run_id, doubt))
            except (RipcordError, redis.ResponseError, ValueError) as error:
                self.log.warning("heartbeat.fault", heartbeat=heartbeat.name, error=str(error))
        return min((due for due in dues if due is not None), default=None)

    def _look(self, heartbeat: Heartbeat, now_ms: int, run_id: str, doubt: bool) -> int | None:
        name, key = heartbeat.name, keys.heartbeat(heartbeat.name)
        pipe = self.client.redis.pipeline()
        pipe.hgetall(key)
        pipe.get(keys.beat(name))
        pipe.pexpiretime(keys.beat(name))
        answers: list[Any] = pipe.execute()
        before = read(answers[0])
        known = look(before, Sight(now_ms, _digest(answers[1]), int(answers[2]), run_id, doubt))
        due = due_ms(known, heartbeat.silence_s)
        if known is not None and due is not None and due <= now_ms:
            self._fire(heartbeat, known, now_ms)
            return None
        if known is not None and known != before:
            self.client.redis.hset(key, mapping=written(known))
            if before is None or before.fired_ms:
                self.log.info("heartbeat.armed", heartbeat=name, silence_s=heartbeat.silence_s)
        return due

    def _fire(self, heartbeat: Heartbeat, known: Beats, now_ms: int) -> None:
        """Hand the sweep in, and only then note it: after a death in between it is handed in again."""
        name, batch_id = heartbeat.name, batch_id_of(heartbeat.name, known)
        silent_s = (now_ms - known.since_ms) / 1000
        self.log.warning("heartbeat.silent", heartbeat=name, batch=batch_id, silent_s=silent_s)
        # The document of one silence is always the same: whoever hands it in again, it is known.
        document: dict[str, Any] = {"reason": f"heartbeat {name} fell silent", **heartbeat.document}
        refused: tuple[str, ...] = ()
        try:
            self.client.hand_over({**document, "batch_id": batch_id}, self.accounts)
        except DocumentRefused as error:
            refused = error.errors
        if refused:
            self.log.error("heartbeat.refused", heartbeat=name, batch=batch_id, errors=list(refused))
        pipe = self.client.redis.pipeline()
        pipe.hset(keys.heartbeat(name), mapping=written(replace(known, fired_ms=now_ms)))
        for kind in ("heartbeat.silent", "heartbeat.fired"):
            told: dict[Any, Any] = {"type": kind, "heartbeat": name, "batch_id": batch_id, "at_ms": now_ms}
            pipe.xadd(keys.EVENTS, told, maxlen=keys.EVENTS_KEPT, approximate=True)
        pipe.execute()
        self.log.warning("heartbeat.fired", heartbeat=name, batch=batch_id, silent_s=silent_s)


def _digest(value: str | None) -> str | None:
    """Give what tells values apart, however long they are and whatever bytes they are made of."""
    return value and hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def show(client: Client, heartbeats: Collection[Heartbeat]) -> list[dict[str, Any]]:
    """Say how each heartbeat stands."""
    now_ms = client.now_ms()
    rows = []
    for heartbeat in heartbeats:
        known = read(client.heartbeat(heartbeat.name))
        rows.append(
            {
                "heartbeat": heartbeat.name,
                "state": standing(known, heartbeat.silence_s, now_ms),
                "silence_s": heartbeat.silence_s,
                "seen_ms": known and known.seen_ms,
                "due_ms": due_ms(known, heartbeat.silence_s),
                "fired_ms": (known and known.fired_ms) or None,
                "batch_id": batch_id_of(heartbeat.name, known) if known and known.fired_ms else None,
            }
        )
    return rows
