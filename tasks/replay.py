"""The document that does again what a batch has left undone; pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from connectors.orders import IdKind
from connectors.outcomes import Verdict

# A list stands for its legs.  The venue's own id before the client's: that one may name another order by now.
NAMES: Final = (IdKind.ORDER_LIST_ID, IdKind.CLIENT_ORDER_LIST_ID, IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID)


def reference(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Give the one reference, as a document has it, of the order in a line of ``outcomes``."""
    name = next((kind.value for kind in NAMES if outcome.get(kind.value) is not None), None)
    given = {field: outcome.get(field) for field in ("account", "symbol")} | ({name: outcome[name]} if name else {})
    return {field: value for field, value in given.items() if value is not None}


def again(report: Mapping[str, Any], asked: Mapping[str, Any], outcomes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the document that replays a batch; it has neither ``orders`` nor ``select`` if nothing is left to do.

    *report* is the batch's, *asked* what else its document said (``deadline_s``, ``prove``, ``select``,
    ``max_orders``).  Of a list the orders that are not gone are asked for again.  A sweep that is not flat is swept
    again: what it has not found may be open too.
    """
    document: dict[str, Any] = {"version": 1, "replay_of": report["batch_id"], "priority": report["priority"]}
    document |= {name: value for name in ("requested_by", "reason") if (value := report[name]) is not None}
    document |= {name: value for name, value in asked.items() if value is not None}
    if asked.get("select") is None:
        orders = [reference(row) for row in outcomes if row["verdict"] != Verdict.GONE]
        return document | ({"orders": orders} if orders else {})
    if report["verdict"] == "flat":
        del document["select"]
    return document
