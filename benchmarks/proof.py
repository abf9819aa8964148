"""How long it takes until every order is proven gone, against the least that the limits allow: the proof row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from benchmarks.accounts import Account
from benchmarks.batches import document, references, run
from benchmarks.house import House
from benchmarks.judge import judge_conduct
from benchmarks.rows import Cells, Row, Target
from connectors.calls import Limit
from connectors.registry import VENUES
from simulator.venues import VENUES as SIMULATED
from worker.estimate import Call, Window, last_call_ms

# As many as the venue's limits let be canceled and read in some seconds: Kuna takes 5 calls a second, and WEEX 45
# cancels of 10 orders a minute.
ORDERS: Final = {"binance": 1_000, "crypto_com": 1_000, "kuna": 50, "upbit": 1_000, "weex": 300}
LATENCY_MS: Final = 50
BOUND: Final = 1.15


@dataclass(frozen=True, slots=True)
class Sample:
    """One account: how long it took until each order was proven gone, and the calls that the venue saw."""

    venue: str
    took_s: float
    cancels: int
    reads: int
    verdict: str

    @property
    def least_s(self) -> float:
        """Give the least that the same calls take at the documented limits, the reads beside later cancels."""
        venue, settle_ms = VENUES[self.venue], SIMULATED[self.venue].settle_ms
        queues = {"cancels": [_call(venue.limits)] * self.cancels}
        if self.reads:
            read = _call(venue.queries[0].limits)
            queues["reads"] = [replace(read, after_ms=LATENCY_MS + settle_ms), *[read] * (self.reads - 1)]
        return (max(last_call_ms(queues).values()) + LATENCY_MS) / 1000

    @property
    def times(self) -> float:
        """Give how many times the least it took."""
        return self.took_s / self.least_s


def _call(limits: Sequence[Limit]) -> Call:
    return Call(tuple(Window(limit.name, limit.units, limit.per_ms, limit.cost) for limit in limits))


def accounts() -> list[Account]:
    """Give an account of each venue, with its documented limits."""
    return [Account(f"proof-{venue}", venue) for venue in ORDERS]


def measure(house: House) -> Row:
    """Cancel and prove a batch of each venue, one after the other."""
    house.latency(LATENCY_MS)
    samples = [_sample(house, account) for account in accounts()]
    house.latency(0)
    faults = judge_conduct(house.control.counters(orders=False), [account.name for account in accounts()])
    faults += [f"{each.venue}: {each.verdict}, not flat" for each in samples if each.verdict != "flat"]
    return Row(
        "proof",
        f"Proven gone: each venue at its documented limits, {LATENCY_MS} ms",
        ("venue", "orders", "until proven", "least", "times the least", "cancels", "reads", "reads an order"),
        list(map(_cells, samples)),
        {each.venue: asdict(each) | {"least_s": each.least_s} for each in samples},
        faults,
        tuple(
            Target(f"seconds until proven against the least, {each.venue}", each.times, BOUND, "x", at_most=True)
            for each in samples
        ),
        "The least is that of the same calls, each as soon as the documented limits allow it, and one wait where a"
        " venue only accepts a cancel and executes it later.",
    )


def _cells(one: Sample) -> Cells:
    orders = ORDERS[one.venue]
    seconds = (f"{one.took_s:.2f} s", f"{one.least_s:.2f} s", f"{one.times:.2f}")
    return (one.venue, f"{orders:,}", *seconds, str(one.cancels), str(one.reads), f"{one.reads / orders:.2f}")


def _sample(house: House, account: Account) -> Sample:
    orders = references(account.name, house.control.seed(account.name, ORDERS[account.venue]))
    ran = run(house.client, document(orders, "risk") | {"prove": True})
    calls: list[dict[str, Any]] = house.control.log(account.name)
    cancels = sum(bool(call["applied"]) for call in calls)
    return Sample(account.venue, ran.done_s, cancels, ran.report["calls"] - cancels, ran.report["verdict"])
