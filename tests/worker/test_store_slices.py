"""The largest batch on a real server: no script of its intake does more than a slice's work.

How long a script takes says more about the machine than about the script: the benchmarks measure that.  Here is
counted what it has to do.
"""

from collections import Counter
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
# Of one script, not in terms of the store's own number, so that a greater one is noticed.
MOST_ORDERS = 250  # and what is left of the last chunk
MOST_COMMANDS = 2_000  # an order that is a chunk by itself takes seven
MOST_BYTES = 40_000
PLACE_OF_COUNT = 9  # where the arguments of a slice have the number of its orders
# What takes no longer however large the batch is (or hardly: ZADD goes by the logarithm of the lane).
STEADY = {"hset", "hmget", "hincrby", "zadd", "sadd", "expire", "ttl"}
OURS = {"evalsha", "info", "script|load"}


@dataclass(frozen=True)
class Slice:
    """What one script had to do: orders, bytes of arguments, and commands by name."""

    orders: int
    bytes: int
    commands: Counter[str]


def slices_of(redis: Redis, venue: str, orders: tuple[Order, ...]) -> list[Slice]:
    """Write a batch "b" and give what each of its slices took."""
    lanes = Lanes(redis, account_of(VENUES[venue]))
    enqueue, slices = lanes.store._enqueue, list[Slice]()

    def counted(**call: Any) -> object:
        before = executed(redis)
        answer = enqueue(**call)
        commands = executed(redis) - before
        given = call["args"]
        slices.append(Slice(given[PLACE_OF_COUNT], sum(len(str(each)) for each in given), commands))
        return answer

    lanes.store._enqueue = counted
    batch = Batch("b", orders, deadline_s=3600)
    lanes.accept(batch)
    lanes.enqueue(batch)
    return slices


def executed(redis: Redis) -> Counter[str]:
    """Give how often each command was executed so far, those inside of scripts too."""
    found: Any = redis.info("commandstats")
    counts = Counter({name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in found.items()})
    return Counter({name: number for name, number in counts.items() if name not in OURS})


def upbit_order(number: int) -> OrderRef:
    return OrderRef(IdKind.ORDER_ID, f"b2f1e3f8-2dc1-4d6f-a838-{number:012d}")


def binance_order(number: int) -> OrderRef:
    return OrderRef(IdKind.ORDER_ID, f"{6142909902150128699 + number}", "LTCBTC")


@pytest.mark.parametrize(
    ("venue", "order", "most_bytes"),
    [("upbit", upbit_order, 250), ("binance", binance_order, 700)],
    ids=["20 orders a chunk", "1 order a chunk"],
)
def test_no_slice_of_100_000_orders_does_more_than_a_slice_s_work(
    redis_client: Redis, venue: str, order: Callable[[int], OrderRef], most_bytes: int
) -> None:
    orders = tuple(Order("main", order(number)) for number in range(ORDERS))
    empty_bytes = redis_client.info("memory")["used_memory"]

    slices = slices_of(redis_client, venue, orders)

    assert (redis_client.info("memory")["used_memory"] - empty_bytes) / ORDERS < most_bytes
    assert redis_client.hlen(keys.orders("b")) == ORDERS == sum(each.orders for each in slices)
    assert max(each.orders for each in slices) < MOST_ORDERS + VENUES[venue].max_orders_per_call
    assert max(each.commands.total() for each in slices) < MOST_COMMANDS
    assert max(each.bytes for each in slices) < MOST_BYTES
    assert {name for each in slices for name in each.commands} <= STEADY


def test_a_large_batch_is_sound(redis_client: Redis) -> None:
    lanes = Lanes(redis_client)
    lanes.put("b", *map(str, range(5_000)))

    assert structure(redis_client, lanes.now_ms) == []
