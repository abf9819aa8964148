"""The largest batch on a real server: no command of its intake holds Redis up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from connectors.orders import IdKind, OrderRef
from connectors.registry import VENUES
from tasks import keys
from tasks.batch import Batch, Order
from tests.fakes import account_of
from tests.tasks.lanes import Lanes, structure

pytestmark = pytest.mark.redis

ORDERS = 100_000
LONGEST_MS = 10.0
TRIES = 3


@dataclass(frozen=True)
class Writing:
    """What writing one batch of 100,000 orders took."""

    slow: frozenset[int]  # the slices that took longer than they may, on the wall and of the server's own time
    bytes_an_order: float


def write(redis: Redis, venue: str, orders: tuple[Order, ...]) -> Writing:
    redis.config_set("slowlog-log-slower-than", int(LONGEST_MS * 1000))
    redis.config_set("slowlog-max-len", 1_000)
    redis.slowlog_reset()
    lanes = Lanes(redis, account_of(VENUES[venue]))
    batch = Batch("b", orders, deadline_s=3600)
    before = redis.info("memory")["used_memory"]
    enqueue, computed_ms = lanes.store._enqueue, {}

    def measured(**call: Any) -> object:
        started_ms = computed(redis)
        answer = enqueue(**call)
        computed_ms[int(call["args"][2])] = computed(redis) - started_ms
        return answer

    lanes.store._enqueue = measured
    lanes.accept(batch)
    lanes.enqueue(batch)
    after = redis.info("memory")["used_memory"]
    entries: Any = redis.slowlog_get(1_000)
    commands = [entry["command"].split() for entry in entries]
    logged = {int(words[6]) for words in commands if words[0] == b"EVALSHA" and len(words) > 6}
    own = {number for number, ms in computed_ms.items() if ms > LONGEST_MS}
    return Writing(frozenset(logged & own), (after - before) / ORDERS)


def computed(redis: Redis) -> float:
    """Give the milliseconds that the server has computed since its start, however often it was kept from it."""
    cpu = redis.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1000


def upbit_order(number: int) -> OrderRef:
    return OrderRef(IdKind.ORDER_ID, f"b2f1e3f8-2dc1-4d6f-a838-{number:012d}")


def binance_order(number: int) -> OrderRef:
    return OrderRef(IdKind.ORDER_ID, f"{6142909902150128699 + number}", "LTCBTC")


@pytest.mark.parametrize(
    ("venue", "order", "most_bytes"),
    [("upbit", upbit_order, 250), ("binance", binance_order, 700)],
    ids=["20 orders a chunk", "1 order a chunk"],
)
def test_no_slice_of_100_000_orders_takes_10_ms(
    redis_client: Redis, venue: str, order: Callable[[int], OrderRef], most_bytes: int
) -> None:
    """A slice that is slow by itself is slow every time; one that the machine held up is not.

    SLOWLOG measures on the wall, so that a busy machine can put any command into it.  A slice in it counts if Redis
    itself computed for as long, in each of three writings of the same batch.
    """
    orders = tuple(Order("main", order(number)) for number in range(ORDERS))
    writing = write(redis_client, venue, orders)
    assert writing.bytes_an_order < most_bytes
    assert redis_client.hlen(keys.orders("b")) == ORDERS

    slow = writing.slow
    for _ in range(TRIES - 1):
        if slow:
            redis_client.flushall()
            slow &= write(redis_client, venue, orders).slow

    assert not slow


def test_a_large_batch_is_sound(redis_client: Redis) -> None:
    lanes = Lanes(redis_client)
    lanes.put("b", *map(str, range(5_000)))

    assert structure(redis_client) == []
