"""Orders a second of every contender, and what an order costs in CPU: the bulk and cost rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import meters
from benchmarks.accounts import bulk_account
from benchmarks.batches import document, references, run
from benchmarks.chunks import chunked
from benchmarks.figures import Spread, ratios
from benchmarks.house import CONTENDERS, House
from benchmarks.judge import judge
from benchmarks.rows import Cells, Row, Target

LATENCIES_MS: Final = (0, 50)
# Slow ways get fewer orders, so that a round of all takes about the same time for each: orders a second is the measure.
ORDERS: Final = {
    "ripcord": (10_000, 10_000),
    "ccxt": (500, 40),
    "ccxt-async": (1_000, 1_000),
    "requests": (10_000, 500),
    "requests-64": (10_000, 10_000),
    "celery-20": (5_000, 5_000),
    "celery-1": (300, 300),
}
WARM_UP: Final = {"ccxt": 64, "ccxt-async": 64, "celery-1": 64}
WARM_UP_CHUNKS: Final = 1_280  # where a call carries 20: one for each of 64 places
WAYS: Final = {
    "ripcord": "ripcord, one batch",
    "ccxt": "ccxt, sync",
    "ccxt-async": "ccxt, async, 50 at once",
    "requests": "requests, one loop, 20 a call",
    "requests-64": "requests, 64 threads, 20 a call",
    "celery-20": "naive Celery, 20 orders a task",
    "celery-1": "naive Celery, 1 order a task",
}

Orders = list[dict[str, str]]


@dataclass(slots=True)
class Samples:
    """Of one contender at one latency, a figure a round."""

    orders_per_s: list[float] = field(default_factory=list)
    cpu_us_per_order: list[float] = field(default_factory=list)
    parts_us_per_order: list[tuple[float, float, float]] = field(default_factory=list)  # producer, Redis, workers


Found = dict[tuple[str, int], Samples]


def cancel(house: House, contender: str, orders: Orders) -> float:
    """Have *contender* cancel *orders* and give the seconds that it took."""
    account = bulk_account(contender).name
    target = house.targets[account]
    ways: dict[str, Callable[[], float]] = {
        "ripcord": lambda: run(house.client, document(references(account, orders), "risk")).done_s,
        "ccxt": lambda: house.callers["ccxt"].cancel(target, orders, concurrent=False),
        "ccxt-async": lambda: house.callers["ccxt"].cancel(target, orders, concurrent=True),
        "requests": lambda: house.callers["requests"].cancel(target, orders, threads=False),
        "requests-64": lambda: house.callers["requests"].cancel(target, orders, threads=True),
        "celery-20": lambda: house.naive.cancel([(account, chunk) for chunk in chunked(orders, 20)]),
        "celery-1": lambda: house.naive.cancel([(account, [order]) for order in orders]),
    }
    return ways[contender]()


def measure(house: House, rounds: int) -> tuple[Row, Row]:
    """Run *rounds* rounds of every contender at every latency, one contender after the other; judge them."""
    house.lift_limits()
    found: Found = {(name, ms): Samples() for name in CONTENDERS for ms in LATENCIES_MS}
    asked = dict.fromkeys(CONTENDERS, 0)

    def seed(contender: str, number: int) -> Orders:
        asked[contender] += number
        return house.control.seed(bulk_account(contender).name, number)

    house.latency(0)
    for contender in CONTENDERS:
        cancel(house, contender, seed(contender, WARM_UP.get(contender, WARM_UP_CHUNKS)))
    for _ in range(rounds):
        for place, ms in enumerate(LATENCIES_MS):
            house.latency(ms)
            for contender in CONTENDERS:
                _sample(house, contender, seed(contender, ORDERS[contender][place]), found[contender, ms])
    house.latency(0)
    house.restore_limits()
    faults = judge(house.control.counters(orders=False), {bulk_account(name).name: asked[name] for name in CONTENDERS})
    return _bulk_row(found, faults), _cpu_row(found, faults)


def _sample(house: House, contender: str, orders: Orders, samples: Samples) -> None:
    pids = house.our_pids() if contender == "ripcord" else house.naive_pids()
    before_s = meters.cpu_s(pids)
    took_s = cancel(house, contender, orders)
    used = [(now_s - then_s) / len(orders) * 1e6 for now_s, then_s in zip(meters.cpu_s(pids), before_s, strict=True)]
    samples.orders_per_s.append(len(orders) / took_s)
    samples.cpu_us_per_order.append(sum(used))
    samples.parts_us_per_order.append((used[0], used[1], sum(used[2:])))


def _bulk_row(found: Found, faults: Sequence[str]) -> Row:
    lines: list[Cells] = []
    for name in CONTENDERS:
        cells = [WAYS[name]]
        for ms in LATENCIES_MS:
            theirs = found[name, ms].orders_per_s
            speed, times = Spread.of(theirs), ratios(found["ripcord", ms].orders_per_s, theirs)
            cells += [f"{speed.middle:,.0f}", "" if name == "ripcord" else times.words("x")]
        lines.append(tuple(cells))

    def against(name: str) -> float:
        return ratios(found["ripcord", 50].orders_per_s, found[name, 50].orders_per_s).middle

    return Row(
        "bulk",
        "Bulk: 10,000 Upbit orders",
        ("way", "orders/s at 0 ms", "ripcord is", "orders/s at 50 ms", "ripcord is"),
        lines,
        {f"{name} {ms} ms": samples.orders_per_s for (name, ms), samples in found.items()},
        faults,
        (
            Target("orders/s at 50 ms against ccxt sync", against("ccxt"), 55, "x"),
            Target("orders/s at 50 ms against ccxt async (50)", against("ccxt-async"), 1.25, "x"),
            Target("orders/s at 50 ms against naive Celery, 1 order a task", against("celery-1"), 3, "x"),
            Target("orders/s at 50 ms against naive Celery, 20 orders a task", against("celery-20"), 3, "x"),
        ),
        "From submit until the batch is done, which is when every outcome can be read; for the others, until every"
        " answer is in the caller's hands. Slow ways cancel fewer orders a round.",
    )


def _cpu_row(found: Found, faults: Sequence[str]) -> Row:
    lines: list[Cells] = []
    targets = []
    samples: dict[str, Any] = {}
    ours = found["ripcord", 50].cpu_us_per_order
    for name in ("ripcord", "celery-20", "celery-1"):
        theirs = found[name, 50].cpu_us_per_order
        share = ratios(ours, theirs)
        spread = "" if name == "ripcord" else share.words()
        parts = [Spread.of(part).middle for part in zip(*found[name, 50].parts_us_per_order, strict=True)]
        lines.append((WAYS[name], *(f"{us:,.0f} µs" for us in (*parts, Spread.of(theirs).middle)), spread))
        samples[name] = found[name, 50].parts_us_per_order
        if name != "ripcord":
            targets.append(Target(f"CPU an order against {WAYS[name]}", share.middle, 0.15, at_most=True))
    return Row(
        "cpu",
        "CPU of all processes an order, at 50 ms",
        ("way", "producer", "Redis", "workers", "in all", "ripcord's share of it"),
        lines,
        samples,
        faults,
        targets,
        "The producer is this program, which submits, waits and reads. The simulated venue is not counted.",
    )
