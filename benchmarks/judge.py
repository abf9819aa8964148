"""Says whether a row counts: whether the simulator's counters agree with what was to be canceled; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Counters = Mapping[str, Any]


def judge(counters: Counters, expected: Mapping[str, int]) -> list[str]:
    """Say everything in which *counters* (of ``Control.counters``) contradict *expected*: account to orders canceled.

    A cancel is applied to an order once at most, so that as many asked as applied as expected means that each order
    was asked for exactly once.
    """
    found = []
    for account, orders in sorted(expected.items()):
        row = counters["accounts"].get(account)
        if row is None:
            found.append(f"{account}: the simulator has no such account")
            continue
        found += [f"{account}: {fault}" for fault in _account(row, orders)]
    return found + judge_strangers(counters)


def judge_running(counters: Counters, accounts: Iterable[str]) -> list[str]:
    """Do what ``judge`` does for *accounts* whose clean-ups still run: no order twice, no breach, no bad signature."""
    found = []
    for account in sorted(accounts):
        row = counters["accounts"][account]
        found += [f"{account}: {fault}" for fault in _account(row, row.get("applied", 0))]
    return found + judge_strangers(counters)


def judge_conduct(counters: Counters, accounts: Iterable[str]) -> list[str]:
    """Say what breaches, bad signatures and refusals there were on *accounts*, and of callers that no venue knew."""
    rows = counters["accounts"]
    return [f"{name}: {fault}" for name in sorted(accounts) for fault in _conduct(rows[name])] + judge_strangers(
        counters
    )


def judge_strangers(counters: Counters) -> list[str]:
    """Say what callers did whom a venue did not even know; asking for the time is no fault."""
    return [f"{name}: {fault}" for name, row in sorted(counters["nobody"].items()) for fault in _conduct(row)]


def _account(row: Mapping[str, Any], orders: int) -> list[str]:
    found = [
        f"{row.get(what, 0)} orders {words}, and {orders} were to be"
        for what, words in (("asked", "asked for"), ("applied", "canceled"))
        if row.get(what, 0) != orders
    ]
    return found + _conduct(row)


def _conduct(row: Mapping[str, Any]) -> list[str]:
    found = []
    if row["bad_signatures"]:
        found.append(f"{row['bad_signatures']} bad signatures")
    found += [f"{number} breaches of {rule}" for rule, number in sorted(row["breaches"].items())]
    found += [
        f"{number} answers with status {status}"
        for status, number in sorted(row.get("statuses", {}).items())
        if str(status) != "200"
    ]
    return found
