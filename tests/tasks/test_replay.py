"""What is asked for when a batch is done again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.orders import IdKind
from connectors.outcomes import Verdict
from tasks.document import load_batch
from tasks.replay import again, reference

REPORT = {"batch_id": "b", "priority": "kill", "requested_by": "me", "reason": None, "verdict": "unproven"}
ASKED = {"deadline_s": 30.0, "prove": False, "select": None, "max_orders": None}


def outcome(name: str, verdict: Verdict, **more: Any) -> dict[str, Any]:
    return dict.fromkeys(IdKind) | {"order_id": name, "account": "main", "symbol": None, "verdict": verdict} | more


@given(st.lists(st.sampled_from(Verdict), min_size=1, max_size=8))
def test_exactly_the_orders_that_are_not_gone_are_asked_for_again(verdicts: list[Verdict]) -> None:
    rows = [outcome(str(place), verdict) for place, verdict in enumerate(verdicts)]

    document = again(REPORT, ASKED, rows)

    left = [str(place) for place, verdict in enumerate(verdicts) if verdict is not Verdict.GONE]
    assert [row["order_id"] for row in document.get("orders", [])] == left
    if left:
        batch = load_batch(document, {"main"})
        assert (batch.replay_of, batch.priority, batch.deadline_s, batch.prove) == ("b", "kill", 30, False)
        assert (batch.batch_id, batch.requested_by, batch.reason) == (None, "me", None)
        assert again(REPORT, ASKED, rows) == document


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({"order_id": "1"}, "order_id"),
        ({"client_order_id": "c"}, "client_order_id"),
        ({"client_order_id": "c", "order_id": "1"}, "order_id"),
        ({"order_list_id": "7", "order_id": "1"}, "order_list_id"),
        ({"client_order_list_id": "l", "order_id": "1"}, "client_order_list_id"),
    ],
)
def test_an_order_is_named_once_and_by_the_venues_own_id_where_that_is_known(known: dict[str, str], name: str) -> None:
    row = outcome("", Verdict.LIVE) | {"order_id": None, "symbol": "LTCBTC"} | known

    assert reference(row) == {"account": "main", "symbol": "LTCBTC", name: known[name]}


@pytest.mark.parametrize(("verdict", "swept"), [("flat", False), ("unproven", True), ("not_flat", True)])
def test_a_sweep_that_is_not_flat_is_swept_again(verdict: str, swept: bool) -> None:
    select = {"accounts": ["main"], "symbol": "LTCBTC"}

    document = again(
        REPORT | {"verdict": verdict},
        ASKED | {"select": select, "max_orders": 5},
        [outcome("1", Verdict.LIVE)],
    )

    assert "orders" not in document
    assert document.get("select") == (select if swept else None)
    if swept:
        batch = load_batch(document, {"main"})
        assert (batch.max_orders, batch.replay_of) == (5, "b")
