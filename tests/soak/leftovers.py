"""What a Redis may hold once every batch is done: every key that may remain is named here by its pattern.

Reports are kept for days (``redis.keep_days``), so a soak does not wait for their end: it holds every key of a
batch to having one, then removes these keys, and compares the memory with that at the start.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from redis import Redis

from tasks import keys

MEMORY_SLACK: Final = 4 * 1024 * 1024  # bytes: what clients' buffers, the allocator and the server's own books take

STAY: Final[Mapping[str, str]] = {  # for ever, and no more of them with more batches
    keys.INBOX: "the inbox, empty",
    keys.EVENTS: "the events, about the last 20,000",
    keys.BATCHES: "the ids of batches; the watch removes those that are older than keep_days",
    keys.ACCOUNTS: "one entry an account",
    keys.ACCOUNT_VENUES: "one entry an account",
    keys.ACCOUNT_NAMING: "one entry an account",
    keys.ACCOUNT_PAUSES: "one entry an account",
    keys.account("*"): "one hash an account",
    keys.WORKERS: "one entry a living worker",
    keys.heartbeat("*"): "one hash a heartbeat of the configuration",
    "_kombu.binding.*": "Celery's queues, one entry each",
    "_kombu.binding_permanent.*": "the same",
    "_kombu.binding_deadlines": "the same",
}
EXPIRE: Final[Mapping[str, str]] = {  # each must have an end
    keys.batch("*"): "what was asked and what came of it, keep_days long",
    keys.orders("*"): "the same",
    keys.outcomes("*"): "the same",
    keys.awaiting("*"): "tasks that waited for a report",
    "celery-task-meta-*": "the results of Celery tasks, a day long",
    keys.limit("*", "*", "*", 0).removesuffix(":0") + ":*": "two windows long",
    keys.pause("*", "*"): "a day long: repeated breaches wait longer",
    keys.gone("*") + "*": "orders that ended in the last minutes",
    keys.sent("*") + "*": "orders of which a cancel was sent in the last minutes",
    keys.worker("*"): "heartbeats",
    keys.beat("*"): "producers' beats",
    keys.WATCH: "who holds the watch",
    "unacked_mutex": "Celery's lock",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a Redis holds: each key with its seconds to live (-1: for ever), and sizes of what must be empty.

    ``bytes`` is the memory without that of the events, whose number is bounded by itself.
    """

    ttls: Mapping[str, int]
    inbox: int
    batches: frozenset[str]
    bytes: int


def read(client: Redis) -> Contents:
    """Read it all; for a small Redis."""
    names = list(client.scan_iter(count=1_000))
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.ttl(name)
    ttls = {name: ttl for name, ttl in zip(names, pipe.execute(), strict=True) if ttl != -2}
    info: Any = client.info("memory")
    events: Any = client.memory_usage(keys.EVENTS, samples=0) or 0
    batches: Any = client.zrange(keys.BATCHES, 0, -1)
    return Contents(ttls, client.xlen(keys.INBOX), frozenset(batches), int(info["used_memory"]) - int(events))


def remaining(contents: Contents, known: Iterable[str]) -> list[str]:
    """Say what should not be there; *known* are the ids of the batches that were handed in."""
    found = []
    for key, ttl in sorted(contents.ttls.items()):
        may_expire = _matches(key, EXPIRE)
        if not may_expire and not _matches(key, STAY):
            found.append(f"Redis: the key {key} remains, and nothing says that it may")
        elif may_expire and ttl < 0:
            found.append(f"Redis: the key {key} would stay for ever")
    if contents.inbox:
        found.append(f"Redis: {contents.inbox} documents are left in the inbox")
    found += [
        f"Redis: the list of batches names {each}, which nobody handed in" for each in contents.batches - {*known}
    ]
    return found


def remove_what_expires(client: Redis) -> None:
    """Remove, as if keep_days had passed, what has an end and belongs to no living worker."""
    living = (keys.worker("*"), keys.WATCH, "unacked_mutex")
    for name in list(client.scan_iter(count=1_000)):
        if _matches(name, EXPIRE) and not any(fnmatchcase(name, pattern) for pattern in living):
            client.unlink(name)
    client.delete(keys.BATCHES)


def grown(start: Contents, end: Contents) -> list[str]:
    """Say whether a Redis that was cleaned holds more keys or memory than at the start, when it was as clean."""
    new = sorted(key for key in end.ttls.keys() - start.ttls.keys() if not _matches(key, {**STAY, **EXPIRE}))
    found = [f"Redis: the key {key} was not there at the start" for key in new]
    if end.bytes > start.bytes + MEMORY_SLACK:
        found.append(f"Redis: {start.bytes} bytes at the start and {end.bytes} at the end, over {MEMORY_SLACK} more")
    return found


def told(start: Contents, end: Contents) -> str:
    """Tell keys and memory at the start and at the end, and what the new keys are."""
    names = sorted(end.ttls.keys() - start.ttls.keys())
    kinds = Counter(next((each for each in (*STAY, *EXPIRE) if fnmatchcase(name, each)), name) for name in names)
    new = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "none"
    return f"{len(start.ttls)} keys and {start.bytes} bytes → {len(end.ttls)} and {end.bytes}; new keys: {new}"


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
