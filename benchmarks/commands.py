"""Redis commands that a venue call takes: the commands row."""

from collections.abc import Callable
from typing import Final

from redis import Redis

from benchmarks import meters
from benchmarks.accounts import UNLIMITED, Account
from benchmarks.batches import document, references, run
from benchmarks.bulk import WAYS
from benchmarks.chunks import chunked
from benchmarks.house import House
from benchmarks.judge import judge
from benchmarks.rows import Row, Target

ORDERS: Final = {"ripcord": 10_000, "celery-20": 2_000, "celery-1": 500}
LATENCY_MS: Final = 50


def account(contender: str) -> Account:
    """Give the account of one contender."""
    ours = contender == "ripcord"
    return Account(f"commands-{contender}", "upbit", UNLIMITED if ours else {}, ours)


def accounts() -> list[Account]:
    """Give the accounts of all contenders."""
    return [account(name) for name in ORDERS]


def measure(house: House) -> Row:
    """Cancel a batch in each way under MONITOR, and divide what was sent by the calls that reached the venue."""
    house.lift_limits()
    house.latency(LATENCY_MS)
    found = {}
    with Redis.from_url(house.naive_redis.url, decode_responses=True) as naive_redis:
        for contender in ORDERS:
            redis = house.redis if contender == "ripcord" else naive_redis
            found[contender] = _commands(house, contender, redis)
    house.latency(0)
    house.restore_limits()
    counters = house.control.counters(orders=False)
    faults = judge(counters, {account(name).name: number for name, number in ORDERS.items()})
    calls = {name: counters["accounts"][account(name).name]["cancel_calls"] for name in ORDERS}
    sent = {name: found[name][0].sent / calls[name] for name in ORDERS}
    executed = {name: found[name][1] / calls[name] for name in ORDERS}
    return Row(
        "commands",
        "Redis commands a venue call",
        ("way", "calls", "sent by clients", "executed, with those inside of scripts"),
        [(WAYS[name], str(calls[name]), f"{sent[name]:.1f}", f"{executed[name]:.1f}") for name in ORDERS],
        {"sent": sent, "executed": executed, "calls": calls},
        faults,
        (Target("Redis commands a venue call", sent["ripcord"], 1.5, at_most=True),),
        "Counted by MONITOR, and by INFO commandstats before and after; the producer's commands are among them.",
    )


def _commands(house: House, contender: str, redis: Redis) -> tuple[meters.Traffic, int]:
    """Give what clients sent, and what the server executed in all, while *contender* cancels its orders."""
    name = account(contender).name
    orders = house.control.seed(name, ORDERS[contender])
    ways: dict[str, Callable[[], object]] = {
        "ripcord": lambda: run(house.client, document(references(name, orders), "risk")),
        "celery-20": lambda: house.naive.cancel([(name, chunk) for chunk in chunked(orders, 20)]),
        "celery-1": lambda: house.naive.cancel([(name, [order]) for order in orders]),
    }
    before = meters.executed(redis)
    with meters.traffic(redis) as seen:
        ways[contender]()
    return seen, meters.executed(redis) - before
