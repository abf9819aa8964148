"""Batch documents, and running one from submit to its end through the public client."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks.client import Client

WAIT_S: Final = 120.0
DEADLINE_S: Final = 600

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """How long a batch took from submit: ``done_s`` until it was done, ``read_s`` until each outcome was read."""

    done_s: float
    read_s: float
    report: Mapping[str, Any]


def references(account: str, names: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Name orders, as seeding gives them, by the venue's id."""
    return [{"account": account, "order_id": each["order_id"], "symbol": each["symbol"]} for each in names]


def document(orders: list[dict[str, str]], priority: str, deadline_s: int = DEADLINE_S) -> Document:
    """Make a batch document. It asks for no proof: the rows measure how fast orders are canceled."""
    return {"version": 1, "orders": orders, "priority": priority, "deadline_s": deadline_s, "prove": False}


def run(client: Client, given: Document) -> Ran:
    """Hand a batch over, wait for its end and read its outcomes."""
    started_s = time.perf_counter()
    batch_id = client.submit(given)
    report = client.wait(batch_id, WAIT_S)
    done_s = time.perf_counter() - started_s
    outcomes = client.outcomes(batch_id)
    read_s = time.perf_counter() - started_s
    if len(outcomes) != len(given["orders"]):
        raise RuntimeError(f"{len(outcomes)} outcomes of {len(given['orders'])} orders")
    return Ran(done_s, read_s, report)
