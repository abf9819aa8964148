"""The names of Redis' keys; the only place that spells them (the scripts get them from here).

Readers may use ``INBOX``, ``EVENTS``, ``batch()`` and ``BATCHES``: docs/operations.md says what they hold.
"""

from typing import Final

from tasks.batch import Priority

PREFIX: Final = "ripcord:"
INBOX: Final = PREFIX + "inbox"  # stream: documents handed in, field ``batch``
INBOX_GROUP: Final = "ripcord"  # the workers, as consumers of the inbox
EVENTS: Final = PREFIX + "events"  # stream: every change, capped
EVENTS_KEPT: Final = 20_000
BATCHES: Final = PREFIX + "batches"  # sorted set: batch id by the time of submission
DEADLINES: Final = PREFIX + "deadlines"  # sorted set: running batch id by its deadline
ACCOUNTS: Final = PREFIX + "accounts"  # set: accounts that ever had work
ACCOUNT_VENUES: Final = PREFIX + "venues"  # hash: account -> venue, as the workers have them configured
AWAITED: Final = PREFIX + "awaited"  # set: batches for which Celery tasks wait
WORKERS: Final = PREFIX + "workers"  # sorted set: worker id by its last heartbeat
WATCH: Final = PREFIX + "watch"  # string: the worker that holds the watch


def batch(batch_id: str) -> str:
    """Hash: what was asked, the state, and a count for each status."""
    return f"{PREFIX}batch:{batch_id}"


def orders(batch_id: str) -> str:
    """Hash: place of an order -> its reference as JSON ``[account, kind, id, symbol]``."""
    return f"{PREFIX}orders:{batch_id}"


def outcomes(batch_id: str) -> str:
    """Hash: place of an order -> its standing, ``strength|at_ms|status|details``."""
    return f"{PREFIX}outcomes:{batch_id}"


def names(batch_id: str) -> str:
    """Hash: ``account|kind|id|symbol`` -> place, for venues whose answers name orders nobody asked for."""
    return f"{PREFIX}names:{batch_id}"


def chunks(batch_id: str) -> str:
    """Set: ids of the batch's chunks that are not settled."""
    return f"{PREFIX}chunks:{batch_id}"


def awaiting(batch_id: str) -> str:
    """Set: ids of the Celery tasks that wait for the batch's report."""
    return f"{PREFIX}awaiting:{batch_id}"


def chunk(chunk_id: str) -> str:
    """Hash: account, priority, places, deadline, attempts, holder and token of a chunk."""
    return f"{PREFIX}chunk:{chunk_id}"


def lane(account: str, priority: Priority) -> str:
    """Sorted set: chunk id by the time from which it may be tried."""
    return f"{PREFIX}lane:{account}:{priority}"


def flights(account: str) -> str:
    """Sorted set: chunk id in a worker's hands by the time of its claim."""
    return f"{PREFIX}flights:{account}"


def account(name: str) -> str:
    """Hash: until when and why the account pauses, and the last token given."""
    return f"{PREFIX}account:{name}"


def limit(venue: str, name: str, scope: str, per_ms: int) -> str:
    """List: times of the calls in one window of a limit, the latest first, one entry for each unit."""
    return f"{PREFIX}limit:{venue}:{name}:{scope}:{per_ms}"


def worker(worker_id: str) -> str:
    """String that lives as long as the worker's heartbeat."""
    return f"{PREFIX}worker:{worker_id}"
