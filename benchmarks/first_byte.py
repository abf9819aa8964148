"""How soon a kill's first byte is at the venue behind a full house, and what waiting orders take: two rows."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import meters
from benchmarks.accounts import Account
from benchmarks.batches import document, references
from benchmarks.figures import percentile
from benchmarks.house import House
from benchmarks.judge import judge_running
from benchmarks.rows import Row, Target

OTHERS: Final = 5
WAITING: Final = 100_000  # clean-up orders on other accounts
OWN_WAITING: Final = 5_000  # on the kills' own account, one a call
LATENCY_MS: Final = 50
PAUSES_S: Final = (0.13, 0.22)  # between two kills: with their calls below the three tenths that a clean-up leaves
DEADLINE_S: Final = 120
PLANNED_S: Final = 60.0
POLL_S: Final = 0.05
OWN: Final = Account("first-own", "upbit", {"max_orders_per_call": 1})
KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, before and while the orders wait."""

    redis: tuple[int, int]
    workers: tuple[Sequence[int], Sequence[int]]


def others() -> list[Account]:
    """Give the accounts on which clean-ups wait."""
    return [Account(f"first-other-{number}", "upbit") for number in range(OTHERS)]


def accounts() -> list[Account]:
    """Give all accounts of the rows."""
    return [OWN, *others()]


def measure(house: House, kills: int) -> tuple[Row, Row]:
    """Fill the lanes with clean-ups, then send *kills* kills of one order each, one after the other."""
    house.latency(LATENCY_MS)
    orders = [
        each
        for account in others()
        for each in references(account.name, house.control.seed(account.name, WAITING // OTHERS))
    ]
    own = references(OWN.name, house.control.seed(OWN.name, OWN_WAITING))
    targets = references(OWN.name, house.control.seed(OWN.name, kills))
    before = _memory(house)
    with meters.slowest(house.redis) as slowest:
        _fill(house, [orders, own])
    after = _memory(house)
    sent_ms = _send_kills(house, targets)
    deadline_s = time.monotonic() + 10
    while len(seen_ms := _seen_ms(house, sent_ms)) < kills and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    house.latency(0)
    faults = judge_running(house.control.counters(orders=False), [each.name for each in accounts()])
    faults += [f"{kills - len(seen_ms)} kills never came to the venue"] if len(seen_ms) < kills else []
    memory = Memory((before[0], after[0]), (before[1], after[1]))
    took_ms = [seen_ms[name] - sent_ms[name] for name in seen_ms]
    return _row(took_ms, slowest.ms, faults), _memory_row(memory, faults)


def _fill(house: House, batches: Sequence[list[dict[str, str]]]) -> None:
    """Submit clean-ups and wait until each has been planned: every account is called then."""
    for orders in batches:
        house.client.submit(document(orders, "cleanup", DEADLINE_S))
    deadline_s = time.monotonic() + PLANNED_S
    while time.monotonic() < deadline_s:
        rows = house.control.counters(orders=False)["accounts"]
        if all(rows[each.name]["calls"] for each in accounts()):
            return
        time.sleep(POLL_S)
    raise TimeoutError("the clean-ups were not planned in time")


def _send_kills(house: House, targets: Sequence[dict[str, str]]) -> Mapping[str, float]:
    """Submit a kill for each of *targets*, and give when, in milliseconds since the epoch, by order id."""
    dice, sent_ms = random.Random(1), {}
    for target in targets:
        time.sleep(dice.uniform(*PAUSES_S))
        sent_ms[target["order_id"]] = time.time_ns() / 1e6
        house.client.submit(document([target], "kill"))
    return sent_ms


def _seen_ms(house: House, sent_ms: Mapping[str, float]) -> dict[str, float]:
    """Say when each kill's call came to the venue, which notes whole milliseconds: the middle of each is taken."""
    calls: list[dict[str, Any]] = house.control.log(OWN.name)
    return {order: call["at_ms"] + 0.5 for call in calls for order in call["asked"] if order in sent_ms}


def _memory(house: House) -> tuple[int, list[int]]:
    return meters.used_bytes(house.redis), [meters.rss_bytes(worker.pid) for worker in house.workers]


def _row(took_ms: Sequence[float], script_ms: float, faults: Sequence[str]) -> Row:
    p50, p99 = percentile(took_ms, 0.5), percentile(took_ms, 0.99)
    return Row(
        "first byte",
        f"First byte: {WAITING:,} clean-up orders wait on other accounts, {OWN_WAITING:,} on the kill's own",
        ("kills", "p50", "p99", "longest", "longest script of the intake"),
        [(str(len(took_ms)), f"{p50:.1f} ms", f"{p99:.1f} ms", f"{max(took_ms):.1f} ms", f"{script_ms:.1f} ms")],
        {"first byte, ms": took_ms, "longest script of the intake, ms": script_ms},
        faults,
        (
            Target("submit to the first byte, p50", p50, 10, " ms", at_most=True),
            Target("submit to the first byte, p99", p99, 50, " ms", at_most=True),
            Target("longest script while the clean-ups are taken in", script_ms, 10, " ms", at_most=True),
        ),
        "The clean-ups run all the while, each at its account's limit of 30 calls a second, one order a call on the"
        " kill's own account.  The longest script is that of SLOWLOG, on the wall: nothing else is served meanwhile.",
    )


def _memory_row(memory: Memory, faults: Sequence[str]) -> Row:
    orders = WAITING + OWN_WAITING
    grown = memory.redis[1] - memory.redis[0]
    lines = [("Redis, used_memory", _mib(memory.redis[0]), _mib(memory.redis[1]), f"{grown / orders:,.0f}")]
    for name, before, after in zip(("worker", "kill worker"), *memory.workers, strict=True):
        lines.append((f"{name}, resident", _mib(before), _mib(after), f"{(after - before) / orders:,.0f}"))
    return Row(
        "memory",
        f"Memory: {orders:,} orders waiting",
        ("process", "before", "with the orders", "bytes an order"),
        lines,
        {"redis": memory.redis, "workers before": memory.workers[0], "workers after": memory.workers[1]},
        faults,
        note=f"{OWN_WAITING:,} of the orders are one to a call, which takes more than twenty to a call.",
    )


def _mib(size: int) -> str:
    return f"{size / KIB / KIB:,.1f} MiB"
