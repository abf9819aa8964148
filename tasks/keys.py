"""The names of Redis' keys; the only place that spells them (the scripts get them from here).

Others may use ``INBOX``, ``EVENTS``, ``batch()``, ``BATCHES`` and ``beat()``: docs/operations.md says what they hold.
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
ACCOUNT_NAMING: Final = PREFIX + "naming"  # hash: account -> '1' if a symbol tells orders apart, and lasting id kinds
ACCOUNT_PAUSES: Final = PREFIX + "pauses"  # hash: account -> the keys of the pauses that stop it, as a JSON array
PAUSED: Final = PREFIX + "paused"  # set: keys of the pauses that were not ended yet
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


def proof_lane(account: str, priority: Priority) -> str:
    """Sorted set: batch id by the time from which some of its orders are to be read back."""
    return f"{PREFIX}lane:{account}:{priority}.proof"


def proof(account: str, batch_id: str) -> str:
    """Sorted set: place and mode of orders to be read back, by the time from which on."""
    return f"{PREFIX}proof:{account}:{batch_id}"


def spaces(batch_id: str) -> str:
    """Hash: place -> the venue's namespace of an order that is canceled by a call of its own."""
    return f"{PREFIX}spaces:{batch_id}"


def flights(account: str) -> str:
    """Sorted set: chunk id in a worker's hands by the time of its claim."""
    return f"{PREFIX}flights:{account}"


def account(name: str) -> str:
    """Hash: the last token given for a claim of the account."""
    return f"{PREFIX}account:{name}"


def pause(scope: str, who: str) -> str:
    """Hash: until when and why an account, or all with a key or behind an IP, waits; and how often it had to."""
    return f"{PREFIX}pause:{scope}:{who}"


def busy(account: str) -> str:
    """Hash: order of the account whose cancel is in flight -> ``chunk place``."""
    return f"{PREFIX}busy:{account}"


def followers(chunk_id: str) -> str:
    """List: ``place batch place chunk`` of orders in other batches that wait for this chunk's answer."""
    return f"{PREFIX}followers:{chunk_id}"


def gone(account: str) -> str:
    """Prefix of hashes: order that ended in the last minutes -> its standing, for batches that come later."""
    return f"{PREFIX}gone:{account}:"


def sent(account: str) -> str:
    """Prefix of hashes: order of which a cancel was sent in the last minutes that proves nothing -> its standing."""
    return f"{PREFIX}sent:{account}:"


def limit(venue: str, name: str, scope: str, per_ms: int) -> str:
    """List: times of the calls in one window of a limit, the latest first, one entry for each unit."""
    return f"{PREFIX}limit:{venue}:{name}:{scope}:{per_ms}"


def worker(worker_id: str) -> str:
    """String that lives as long as the worker's heartbeat."""
    return f"{PREFIX}worker:{worker_id}"


def beat(name: str) -> str:
    """String that a producer sets again and again to say that it lives; any value, any expiry."""
    return f"{PREFIX}beat:{name}"


def heartbeat(name: str) -> str:
    """Hash: what the watch has seen of a producer's beats, and when it fired."""
    return f"{PREFIX}heartbeat:{name}"
