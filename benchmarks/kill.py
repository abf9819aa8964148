"""How long a kill over five venues takes beyond the venues' own latency: the kill row."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from benchmarks.accounts import (
    KILL_ORDERS,
    KILL_VENUES,
    Account,
    kill_accounts,
    naive_kill_accounts,
)
from benchmarks.batches import document, references, run
from benchmarks.chunks import chunked
from benchmarks.figures import percentile
from benchmarks.house import House
from benchmarks.judge import judge
from benchmarks.rows import Cells, Row, Target
from connectors.registry import VENUES

LATENCY_MS: Final = 50
KILLS_PER_NAIVE: Final = 7  # ripcord's kills between two of the naive worker's, so that both see the same machine

Book = list[dict[str, str]]


class Kills:
    """The orders of one contender's kills: for each venue its accounts, and the orders that are left in each."""

    def __init__(self, house: House, accounts: Mapping[str, Sequence[Account]], kills: int) -> None:
        self._accounts = accounts
        self._kills = kills
        self._books: dict[str, Book] = {}
        for mine in accounts.values():
            number = KILL_ORDERS * (ceil(kills / len(mine)) + 1)  # and one to warm up
            for account in mine:
                self._books[account.name] = house.control.seed(account.name, number)
        self.asked = dict.fromkeys(self._books, 0)

    def warm_ups(self) -> list[list[tuple[str, Book]]]:
        """Give, kill by kill, what uses every account once."""
        most = max(len(mine) for mine in self._accounts.values())
        return [
            [self._take(mine[number].name) for mine in self._accounts.values() if number < len(mine)]
            for number in range(most)
        ]

    def orders(self, kill: int) -> list[tuple[str, Book]]:
        """Give the accounts of one kill, the first being 0, and the orders that it takes of each."""
        return [self._take(mine[kill * len(mine) // self._kills].name) for mine in self._accounts.values()]

    def _take(self, account: str) -> tuple[str, Book]:
        book = self._books[account]
        taken, book[:] = book[:KILL_ORDERS], book[KILL_ORDERS:]
        self.asked[account] += len(taken)
        return account, taken


def measure(house: House, kills: int) -> Row:
    """Run *kills* kills of ripcord's, and the naive worker's between them."""
    house.lift_limits()
    house.latency(LATENCY_MS)
    naive_kills = ceil(kills / KILLS_PER_NAIVE)
    ours = Kills(house, kill_accounts(kills), kills)
    theirs = Kills(house, {each.venue: [each] for each in naive_kill_accounts()}, naive_kills)
    for taken in ours.warm_ups():
        _kill(house, taken)
    for taken in theirs.warm_ups():
        _naive_kill(house, taken)
    over_ms: dict[str, list[float]] = {"ripcord": [], "naive Celery": []}
    for number in range(kills):
        over_ms["ripcord"].append(_kill(house, ours.orders(number)) * 1000 - LATENCY_MS)
        if number % KILLS_PER_NAIVE == 0:
            taken = theirs.orders(number // KILLS_PER_NAIVE)
            over_ms["naive Celery"].append(_naive_kill(house, taken) * 1000 - LATENCY_MS)
    house.latency(0)
    house.restore_limits()
    return _row(over_ms, judge(house.control.counters(orders=False), ours.asked | theirs.asked))


def _kill(house: House, taken: Sequence[tuple[str, Book]]) -> float:
    orders = [reference for account, names in taken for reference in references(account, names)]
    return run(house.client, document(orders, "kill")).read_s


def _naive_kill(house: House, taken: Sequence[tuple[str, Book]]) -> float:
    jobs = []
    for account, names in taken:
        size = VENUES[house.targets[account].venue].max_orders_per_call
        jobs += [(account, chunk) for chunk in chunked(names, size)]
    return house.naive.cancel(jobs)


def _row(over_ms: Mapping[str, Sequence[float]], faults: Sequence[str]) -> Row:
    lines: list[Cells] = [
        (way, str(len(found)), f"+{percentile(found, 0.5):.0f} ms", f"+{percentile(found, 0.99):.0f} ms")
        for way, found in over_ms.items()
    ]
    ours = over_ms["ripcord"]
    return Row(
        "kill",
        f"Kill switch: {KILL_ORDERS * len(KILL_VENUES)} orders on {len(KILL_VENUES)} venues at {LATENCY_MS} ms",
        ("way", "kills", "p50", "p99"),
        lines,
        {f"{way}, ms": found for way, found in over_ms.items()},
        faults,
        (
            Target("kill over the venues' latency, p50", percentile(ours, 0.5), 12, " ms", at_most=True),
            Target("kill over the venues' latency, p99", percentile(ours, 0.99), 30, " ms", at_most=True),
        ),
        "Beyond the latency of the venues, from submit until all outcomes have been read. The venues' limits are"
        " lifted; Binance takes one order a call, so that 40 of the 52 calls are its.",
    )
