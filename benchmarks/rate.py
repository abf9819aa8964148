"""How much of the schedule that a limit allows is used, and whether it is ever breached: the rate row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import meters
from benchmarks.accounts import CALLS_AT_ONCE, Account
from benchmarks.batches import document, references, run
from benchmarks.figures import ideal_span_s, share_of_schedule
from benchmarks.house import House
from benchmarks.judge import judge
from benchmarks.rows import Cells, Row, Target

CALLS: Final = 150
UNITS, PER_S = 30, 1.0  # Upbit's own limit, which the simulated venue keeps here
LATENCY_MS: Final = 50
SIZES: Final = (20, 1)  # orders a call
WORKERS: Final = (1, 2)
BOUNDS: Final = {1: 0.97, 2: 0.95}


@dataclass(frozen=True, slots=True)
class Sample:
    """One batch: when its calls came to the venue, in seconds, and how many of its answers were a 429."""

    workers: int
    size: int
    at_s: Sequence[float]
    refused: int

    @property
    def share(self) -> float:
        """Give the share of the ideal schedule."""
        return share_of_schedule(self.at_s, UNITS, PER_S)


def account(workers: int, size: int) -> Account:
    """Give the account for one of the batches: a window that nobody has used."""
    return Account(f"rate-{workers}-{size}", "upbit", {"max_orders_per_call": size})


def accounts() -> list[Account]:
    """Give the accounts of all batches."""
    return [account(workers, size) for workers in WORKERS for size in SIZES]


def measure(house: House) -> Row:
    """Run a batch of 150 calls with one worker, and one with two, for each size of call; two sizes side by side."""
    house.latency(LATENCY_MS)
    samples, trips = [], {}
    for workers in WORKERS:
        if workers > 1:
            house.stage.worker("--concurrency", str(CALLS_AT_ONCE))
        before = meters.round_trips(house.redis)
        samples += _batch(house, workers)
        trips[workers] = (meters.round_trips(house.redis) - before) / (CALLS * len(SIZES))
    house.stage.workers[-1].end()
    house.latency(0)
    expected = {account(w, size).name: CALLS * size for w in WORKERS for size in SIZES}
    return _row(samples, trips, judge(house.control.counters(orders=False), expected))


def _batch(house: House, workers: int) -> list[Sample]:
    """Run one batch over an account for each size: the limits are the accounts' own."""
    mine = {size: account(workers, size).name for size in SIZES}
    orders = [each for size, name in mine.items() for each in references(name, house.control.seed(name, CALLS * size))]
    run(house.client, document(orders, "risk"))
    return [_sample(house, workers, size, name) for size, name in mine.items()]


def _sample(house: House, workers: int, size: int, name: str) -> Sample:
    calls: list[dict[str, Any]] = [each for each in house.control.log(name) if each["method"] == "DELETE"]
    refused = sum(each["status"] in (418, 429) for each in calls)
    return Sample(workers, size, [each["at_ms"] / 1000 for each in calls], refused)


def _row(samples: Sequence[Sample], trips: dict[int, float], faults: Sequence[str]) -> Row:
    lines: list[Cells] = [
        (str(each.workers), str(each.size), str(len(each.at_s)), f"{each.share:.3f}", str(each.refused),
         f"{trips[each.workers]:.1f}")
        for each in samples
    ]  # fmt: skip
    return Row(
        "rate",
        f"Rate: {CALLS} calls at {UNITS} a second, {LATENCY_MS} ms",
        ("workers", "orders a call", "calls", "share of the schedule", "429", "round trips to Redis a call"),
        lines,
        {f"{each.workers} workers, {each.size} a call, s": each.at_s for each in samples},
        faults,
        tuple(
            Target(
                f"share of the schedule, {each.workers} workers, {each.size} a call", each.share, BOUNDS[each.workers]
            )
            for each in samples
        ),
        f"The ideal is {ideal_span_s(CALLS, UNITS, PER_S):g} s from the first call to the last. Both sizes run at"
        " the same time, on accounts of their own; the round trips are an average over both.",
    )
