"""What a busy account costs its neighbor: the fairness row."""

import time
from collections.abc import Sequence
from typing import Final

from benchmarks.accounts import Account
from benchmarks.batches import document, references, run
from benchmarks.figures import Spread, ratios
from benchmarks.house import House
from benchmarks.judge import judge, judge_running
from benchmarks.rows import Row, Target

CALLS: Final = 40  # of B: more than one window of 30, so that it takes at least a second
BUSY_ORDERS: Final = 3_000  # of A, one a call: more than the row takes
LATENCY_MS: Final = 50
BUSY: Final = Account("fair-a", "upbit", {"max_orders_per_call": 1})
POLL_S: Final = 0.05


def neighbor(number: int, *, busy: bool) -> Account:
    """Give B for one round: its window must be empty."""
    return Account(f"fair-b-{number}-{'busy' if busy else 'alone'}", "upbit", {"max_orders_per_call": 1})


def accounts(rounds: int) -> list[Account]:
    """Give the accounts of all rounds."""
    return [BUSY, *(neighbor(number, busy=busy) for number in range(rounds) for busy in (False, True))]


def measure(house: House, rounds: int) -> Row:
    """Time *rounds* batches of B alone, then as many while A is at its limit with more work than it can do."""
    house.latency(LATENCY_MS)
    alone_s = [_neighbor_s(house, number, busy=False) for number in range(rounds)]
    busy = references(BUSY.name, house.control.seed(BUSY.name, BUSY_ORDERS))
    house.client.submit(document(busy, "risk", deadline_s=max(10, 3 * rounds)))
    _wait_until_busy(house)
    busy_s = [_neighbor_s(house, number, busy=True) for number in range(rounds)]
    house.latency(0)
    counters = house.control.counters(orders=False)
    expected = {each.name: CALLS for each in accounts(rounds) if each is not BUSY}
    faults = [*judge(counters, expected), *judge_running(counters, [BUSY.name])]
    return _row(alone_s, busy_s, faults)


def _neighbor_s(house: House, number: int, *, busy: bool) -> float:
    name = neighbor(number, busy=busy).name
    return run(house.client, document(references(name, house.control.seed(name, CALLS)), "risk")).done_s


def _wait_until_busy(house: House) -> None:
    while house.control.counters(orders=False)["accounts"][BUSY.name]["calls"] < CALLS:
        time.sleep(POLL_S)


def _row(alone_s: Sequence[float], busy_s: Sequence[float], faults: Sequence[str]) -> Row:
    alone, busy, times = Spread.of(alone_s), Spread.of(busy_s), ratios(busy_s, alone_s)
    return Row(
        "fairness",
        f"Fairness: {CALLS} calls of an account while another is at its limit",
        ("neighbor", "time", "times alone"),
        [
            ("idle", f"{alone.middle:.2f} s", ""),
            ("saturated", f"{busy.middle:.2f} s", times.words("x")),
        ],
        {"alone, s": alone_s, "busy, s": busy_s},
        faults,
        (Target("time beside a saturated account, times alone", times.middle, 1.2, "x", at_most=True),),
    )
