"""Reports and outcomes as the contract spells them; pure."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from connectors.orders import IdKind
from connectors.outcomes import VERDICTS, Evidence, Outcome, Status, Verdict
from tasks.fold import Standing

EXIT_CODES: Mapping[str | None, int] = {"flat": 0, "not_flat": 1, "unproven": 3}
REFUSED_EXIT_CODE = 2
SWEEP_FIELD: Final = "sweep:"
COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for every call


def details(outcome: Outcome, attempts: int) -> str:
    """Write the part of an outcome that is kept beside its status, as compact JSON without nulls."""
    evidence = None if outcome.evidence is Evidence.NONE else outcome.evidence.value
    fields = (
        ("evidence", evidence),
        ("code", outcome.code),
        ("message", outcome.message),
        ("filled_qty", outcome.filled_qty),
        ("order_id", outcome.order_id),
        ("attempts", attempts),
    )
    return _compact(tuple(field for field in fields if field[1] is not None))


@lru_cache(maxsize=1024)  # most orders of a call have the same
def _compact(fields: tuple[tuple[str, object], ...]) -> str:
    return COMPACT(dict(fields))


def report(batch: Mapping[str, str]) -> dict[str, Any]:
    """Make the report of a batch from its hash in Redis."""
    state = batch["state"]
    orders = int(batch.get("orders", 0))
    counts = {str(status): int(batch.get(f"n:{status}", 0)) for status in Status}
    counts["pending"] = 0 if state == "refused" else orders - sum(counts.values())
    by_verdict = dict.fromkeys(Verdict, 0)
    for status, number in counts.items():
        by_verdict[VERDICTS[Status(status)]] += number
    return {
        "batch_id": batch["batch_id"],
        "state": state,
        "verdict": verdict(by_verdict, orders, swept=is_swept(batch)) if state == "done" else None,
        "orders": orders,
        "gone": by_verdict[Verdict.GONE],
        "live": by_verdict[Verdict.LIVE],
        "unproven": by_verdict[Verdict.UNPROVEN],
        "counts": {status: number for status, number in counts.items() if number},
        "calls": int(batch.get("calls", 0)),
        "priority": batch.get("priority"),
        "requested_by": batch.get("requested_by"),
        "reason": batch.get("reason"),
        "replay_of": batch.get("replay_of"),
        "submitted_ms": _int(batch.get("submitted_ms")),
        "first_call_ms": _int(batch.get("first_call_ms")),
        "done_ms": _int(batch.get("done_ms")),
        "errors": json.loads(batch.get("errors", "[]")),
    }


def progress(batch: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count the orders of a batch by account: ``orders``, and how many are gone, live and unproven."""
    found: dict[str, dict[str, int]] = {}
    for name, number in batch.items():
        if not name.startswith("a:"):
            continue
        account, _, status = name.removeprefix("a:").rpartition(":")
        row = found.setdefault(account, {"orders": 0} | {v.value: 0 for v in Verdict})
        row["orders" if status == "orders" else VERDICTS[Status(status)].value] += int(number)
    for row in found.values():
        row["unproven"] = row["orders"] - row["gone"] - row["live"]
    return dict(sorted(found.items()))


def verdict(by_verdict: Mapping[Verdict, int], orders: int, *, swept: bool = True) -> str:
    """Say of a batch that is done: flat, not_flat (an order is known to live) or unproven.

    *swept* is False if orders that nobody has found may be open, and then the batch is never flat.
    """
    if by_verdict[Verdict.LIVE]:
        return "not_flat"
    return "flat" if swept and by_verdict[Verdict.GONE] == orders else "unproven"


def is_swept(batch: Mapping[str, str]) -> bool:
    """Say whether nothing can be open but the batch's orders: a sweep must have shown every account empty."""
    if "select" not in batch:
        return True
    return 0 < int(batch.get("sweeps", 0)) == int(batch.get("swept", 0))


def sweeps(batch: Mapping[str, str]) -> dict[str, str]:
    """Say of each account of a sweep what its last listing showed: ``empty``, or what is open or in the way."""
    return {
        name.removeprefix(SWEEP_FIELD): shown for name, shown in sorted(batch.items()) if name.startswith(SWEEP_FIELD)
    }


def exit_code(finished: Mapping[str, Any]) -> int:
    """Give the exit code for the report of a batch that is done or refused."""
    return REFUSED_EXIT_CODE if finished["state"] == "refused" else EXIT_CODES[finished["verdict"]]


def outcome(order: str, standing: str | None, venues: Mapping[str, str]) -> dict[str, Any]:
    """Make one line of ``outcomes`` from an order's JSON and its standing, if it has one.

    *venues* maps account to venue.
    """
    account, kind, value, symbol = json.loads(order)
    row: dict[str, Any] = {"account": account, "venue": venues.get(account), "symbol": symbol}
    row |= {name.value: None for name in IdKind}
    row |= {"status": Status.PENDING.value, "verdict": VERDICTS[Status.PENDING].value}
    row |= {"filled_qty": None, "code": None, "message": None, "evidence": None, "attempts": 0, "updated_ms": None}
    if standing is not None:
        known = Standing.read(standing)
        row |= {
            "status": known.status.value,
            "verdict": VERDICTS[known.status].value,
            "updated_ms": known.at_ms,
        }
        row |= json.loads(known.details)
    row[kind] = value
    return row


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
