"""Reports and outcomes as the contract spells them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.orders import IdKind, OrderRef
from connectors.outcomes import VERDICTS, Evidence, Outcome, Status, Verdict
from tasks.fold import Standing, strength
from tasks.report import details, exit_code, outcome, progress, report, sweeps, verdict

DONE = {"batch_id": "b", "state": "done", "orders": "3", "submitted_ms": "1"}
REPORT_FIELDS = """
    batch_id state verdict orders gone live unproven counts calls priority requested_by reason replay_of
    submitted_ms first_call_ms done_ms errors
"""
OUTCOME_FIELDS = """
    account venue symbol order_id client_order_id order_list_id client_order_list_id status verdict filled_qty
    code message evidence attempts updated_ms
"""


def row(order: OrderRef, known: Outcome | None = None, attempts: int = 1) -> dict[str, Any]:
    text = json.dumps(["main", order.kind, order.value, order.symbol])
    if known is None:
        return outcome(text, None, {"main": "upbit"})
    standing = Standing(strength(known), 5, known.status, details(known, attempts))
    return outcome(text, standing.text(), {"main": "upbit"})


def test_a_report_has_the_fields_of_the_contract() -> None:
    hash_ = DONE | {"n:canceled": "2", "n:filled": "1", "n:unknown": "0", "calls": "4", "done_ms": "9"}
    hash_ |= {"priority": "kill", "requested_by": "me", "reason": "drill", "first_call_ms": "2", "a:x:canceled": "3"}

    made = report(hash_)

    assert list(made) == REPORT_FIELDS.split()
    assert (made["verdict"], made["gone"], made["live"], made["unproven"]) == ("flat", 3, 0, 0)
    assert made["counts"] == {"canceled": 2, "filled": 1}
    assert (made["calls"], made["submitted_ms"], made["first_call_ms"], made["done_ms"]) == (4, 1, 2, 9)
    assert (made["requested_by"], made["reason"], made["replay_of"], made["errors"]) == ("me", "drill", None, [])


def test_what_has_no_outcome_yet_is_pending_and_unproven() -> None:
    made = report(DONE | {"state": "running", "n:canceled": "1"})

    assert made["counts"] == {"canceled": 1, "pending": 2}
    assert (made["gone"], made["unproven"], made["verdict"]) == (1, 2, None)


def test_a_refused_batch_has_errors_and_nothing_pending() -> None:
    made = report({"batch_id": "b", "state": "refused", "errors": '["because"]', "submitted_ms": "1"})

    assert (made["errors"], made["counts"], made["verdict"], made["orders"]) == (["because"], {}, None, 0)
    assert exit_code(made) == 2


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_the_counts_of_a_report_agree_with_its_verdicts(status: Status) -> None:
    made = report(DONE | {f"n:{status}": "3"})

    expected = dict.fromkeys(Verdict, 0) | {VERDICTS[status]: 3}
    assert {one: made[one.value] for one in Verdict} == expected


@pytest.mark.parametrize(
    ("gone", "live", "unproven", "said", "code"),
    [
        (3, 0, 0, "flat", 0),
        (0, 0, 0, "flat", 0),
        (2, 1, 0, "not_flat", 1),
        (1, 1, 1, "not_flat", 1),
        (2, 0, 1, "unproven", 3),
        (0, 0, 3, "unproven", 3),
    ],
)
def test_one_live_order_is_not_flat_and_one_unproven_one_is_not_flat_either(
    gone: int, live: int, unproven: int, said: str, code: int
) -> None:
    counts = {Verdict.GONE: gone, Verdict.LIVE: live, Verdict.UNPROVEN: unproven}

    assert verdict(counts, gone + live + unproven) == said
    assert exit_code({"state": "done", "verdict": said}) == code


def test_an_order_that_was_not_counted_is_never_flat() -> None:
    assert verdict({Verdict.GONE: 2, Verdict.LIVE: 0, Verdict.UNPROVEN: 0}, 3) == "unproven"


@given(
    gone=st.integers(0, 3),
    live=st.integers(0, 2),
    pending=st.integers(0, 2),
    accounts=st.none() | st.integers(0, 3),
    empty=st.none() | st.integers(0, 3),
)
def test_a_sweep_is_flat_only_if_every_account_was_shown_empty(
    gone: int, live: int, pending: int, accounts: int | None, empty: int | None
) -> None:
    fields = {"sweeps": accounts, "swept": empty, "n:canceled": gone, "n:open": live, "orders": gone + live + pending}
    batch = DONE | {"select": "{}"} | {name: str(number) for name, number in fields.items() if number is not None}

    made = report(batch)

    shown = accounts is not None and accounts > 0 and accounts == empty
    expected = "not_flat" if live else "flat" if shown and not pending else "unproven"
    assert made["verdict"] == expected
    assert list(made) == REPORT_FIELDS.split()


def test_a_sweep_that_found_nothing_in_any_account_is_flat() -> None:
    assert report(DONE | {"select": "{}", "orders": "0", "sweeps": "2", "swept": "2"})["verdict"] == "flat"


def test_what_the_last_listings_of_a_sweep_showed_is_told_by_account() -> None:
    batch = DONE | {"sweep:b.2": "open: 3", "sweep:a": "empty", "sweeps": "2", "swept": "1"}

    assert list(sweeps(batch).items()) == [("a", "empty"), ("b.2", "open: 3")]
    assert sweeps(DONE) == {}


def test_progress_counts_by_account() -> None:
    counted = progress(
        DONE
        | {"a:b.2:orders": "2", "a:b.2:canceled": "1", "a:a:orders": "5", "a:a:filled": "1", "a:a:rejected": "2"}
        | {"n:canceled": "9"}
    )

    assert counted == {
        "a": {"orders": 5, "gone": 1, "live": 2, "unproven": 2},
        "b.2": {"orders": 2, "gone": 1, "live": 0, "unproven": 1},
    }
    assert list(counted) == ["a", "b.2"]


def test_an_outcome_has_the_fields_of_the_contract() -> None:
    order = OrderRef(IdKind.CLIENT_ORDER_ID, "leg-7", "CRO_USD")
    known = Outcome(order, Status.CANCELED, Evidence.CANCEL_ANSWER, "0", "größe |", "1.50", "123")

    made = row(order, known, attempts=2)

    assert sorted(made) == sorted(OUTCOME_FIELDS.split())
    assert made == {
        "account": "main",
        "venue": "upbit",
        "symbol": "CRO_USD",
        "order_id": "123",
        "client_order_id": "leg-7",
        "order_list_id": None,
        "client_order_list_id": None,
        "status": "canceled",
        "verdict": "gone",
        "filled_qty": "1.50",
        "code": "0",
        "message": "größe |",
        "evidence": "cancel answer",
        "attempts": 2,
        "updated_ms": 5,
    }


def test_an_order_without_a_standing_is_pending() -> None:
    made = row(OrderRef(IdKind.ORDER_ID, "1"))

    assert (made["status"], made["verdict"], made["attempts"], made["updated_ms"]) == ("pending", "unproven", 0, None)
    assert sorted(made) == sorted(OUTCOME_FIELDS.split())


def test_the_id_that_was_asked_for_is_never_replaced_by_the_venues() -> None:
    order = OrderRef(IdKind.ORDER_ID, "asked")

    assert row(order, Outcome(order, Status.CANCELED, Evidence.CANCEL_ANSWER, order_id="said"))["order_id"] == "asked"


@pytest.mark.parametrize("kind", IdKind)
@pytest.mark.parametrize("status", Status)
def test_every_status_and_kind_of_id_makes_an_outcome(kind: IdKind, status: Status) -> None:
    order = OrderRef(kind, "1")
    made = row(order, Outcome(order, status, Evidence.NONE))

    assert (made[kind.value], made["status"], made["verdict"]) == ("1", status.value, VERDICTS[status].value)
    assert made["evidence"] is None
