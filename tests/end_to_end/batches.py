"""Makes books, documents and reports for the tests, and judges what came of them."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.end_to_end.audit import Truth, audit, audit_calls
from tests.end_to_end.stage import Stage

STRANGERS: Final[Mapping[str, str]] = {  # an id that the venue's form allows and its book does not have
    "binance": "99900000001",
    "crypto_com": "6142909909999999999",
    "kuna": "00000000-0000-4000-8000-000000000001",
    "upbit": "00000000-0000-4000-8000-000000000002",
    "weex": "999000000000000001",
}
DEADLINE_S: Final = 20

Document = dict[str, Any]
Rows = list[dict[str, Any]]


def fresh_id(prefix: str = "e2e") -> str:
    """Make a batch id that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def document(orders: Iterable[Mapping[str, Any]], **fields: Any) -> Document:
    """Make a batch document whose orders are not read back, unless *fields* say so."""
    head = {"version": 1, "batch_id": fresh_id(), "deadline_s": DEADLINE_S, "prove": False}
    head["orders"] = [dict(row) for row in orders]
    return head | fields


def named(names: Iterable[Mapping[str, str]], account: str, kind: str = "order_id") -> Rows:
    """Turn names as seeding gives them into references by *kind*, or by the list's where there is no such id."""
    found = []
    for each in names:
        chosen = kind if kind in each else kind.replace("order_id", "order_list_id")
        found.append({chosen: each[chosen], "symbol": each["symbol"], "account": account})
    return found


def stranger(venue: str, account: str, symbol: str) -> dict[str, str]:
    """Name an order that never was."""
    return {"order_id": STRANGERS[venue], "symbol": symbol, "account": account}


def run(stage: Stage, given: Document, timeout_s: float = 40.0) -> tuple[dict[str, Any], Rows]:
    """Hand a document over, wait for its end, and give its report and outcomes."""
    batch_id = stage.client.submit(given)
    report = stage.client.wait(batch_id, timeout_s)
    return report, stage.client.outcomes(batch_id)


def judge(
    stage: Stage,
    asked: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
    outcomes: Rows,
    *,
    swept: bool = True,
    **calls: Any,
) -> None:
    """Fail if a batch, the only one since the stage was cleaned, contradicts the simulator in anything.

    *swept* is that of ``audit``, and *calls* are the options of ``audit_calls``.
    """
    accounts = {row["account"] for row in asked}
    truth = Truth.of(stage.control, accounts)
    assert audit(truth, asked, report, outcomes, swept=swept) == []
    assert audit_calls(truth, [report], accounts, **calls) == []


def what_came_of(outcomes: Rows) -> list[tuple[str, str, str | None]]:
    """Give the parts of outcomes that two runs over the same book have in common: status, evidence and code."""
    return [(row["status"], row["evidence"], row["code"]) for row in outcomes]


def statuses(outcomes: Rows) -> list[str]:
    """Give the status of every outcome."""
    return [row["status"] for row in outcomes]


def jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
