"""Sweeps, with real workers: everything open at every venue, in every namespace, and nothing else."""

from typing import Any

import pytest

from simulator.venues import VENUES as SIMULATED
from tests.end_to_end.audit_sweeps import LISTINGS, Sweep, audit_cancel_alls
from tests.end_to_end.batches import fresh_id, judge, named, run
from tests.end_to_end.stage import VENUES, Stage
from tests.end_to_end.truth import Truth

pytestmark = pytest.mark.processes


def sweep(*accounts: str, **fields: Any) -> dict[str, Any]:
    select = {"accounts": list(accounts), **fields.pop("filters", {"all": True})}
    return {"version": 1, "batch_id": fresh_id(), "deadline_s": 60, "priority": "kill", "select": select} | fields


def states(stage: Stage, account: str) -> set[str]:
    return {order["state"] for order in stage.control.book(account)}


@pytest.mark.parametrize("venue", VENUES)
def test_every_open_order_is_canceled_and_the_account_proven_flat(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    stage.control.behavior(account=account, settle_ms=100)
    seeded = stage.control.seed(account, 12, partly=1)
    for kind in SIMULATED[venue].kinds[1:]:
        seeded += stage.control.seed(account, 3, kind=kind)

    report, outcomes = run(stage, sweep(account), 70)

    judge(stage, named(seeded, account), report, outcomes)
    assert (report["verdict"], report["orders"]) == ("flat", len(seeded))
    assert states(stage, account) == {"canceled"}


ALLS = {
    "binance": "/api/v3/openOrders",
    "crypto_com": "/private/cancel-all-orders",
    "weex": "/capi/v2/order/cancelAllOrders",
}


def cancels(stage: Stage, account: str) -> list[str]:
    """Give the paths of the cancels that came in."""
    calls = stage.control.log(account)
    return [call["path"] for call in calls if call["applied"] or (call["method"] == "DELETE")]


@pytest.mark.parametrize("venue", ALLS)
def test_many_orders_take_a_cancel_all_and_are_proven_one_by_one(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    symbol = SIMULATED[venue].symbols[0]
    seeded = stage.control.seed(account, 30, symbol=symbol)

    report, outcomes = run(stage, sweep(account), 70)

    judge(stage, named(seeded, account), report, outcomes)
    assert (report["verdict"], report["counts"]) == ("flat", {"canceled": 30})
    assert cancels(stage, account) == [ALLS[venue]]


@pytest.mark.parametrize("venue", ALLS)
def test_the_audit_tells_a_cancel_all_from_cancels_by_name_and_from_listings(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    seeded = stage.control.seed(account, 30, symbol=SIMULATED[venue].symbols[0])

    report, _ = run(stage, sweep(account), 70)

    truth, path = Truth.of(stage.control, [account]), LISTINGS[venue, "normal"]
    span, found = (report["submitted_ms"], report["done_ms"]), frozenset((account, row["order_id"]) for row in seeded)
    swept = Sweep("one", {"accounts": [account], "all": True}, None, span, found)
    assert (audit_cancel_alls(truth, [swept]), len(audit_cancel_alls(truth, []))) == ([], 1)
    (call,) = truth.cancel_alls
    assert not any(call["at_ms"] in times for times in truth.asked.values())
    listed = [each for each in stage.control.log(account) if each["path"] == path and each["method"] != "DELETE"]
    assert len(truth.reads[account, path]) == len(listed)


@pytest.mark.parametrize("venue", ALLS)
def test_a_symbol_is_canceled_alone(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    mine, other = SIMULATED[venue].symbols[:2]
    seeded = stage.control.seed(account, 30, symbol=mine)
    stage.control.seed(account, 5, symbol=other)

    report, outcomes = run(stage, sweep(account, filters={"symbol": mine}), 70)

    judge(stage, named(seeded, account), report, outcomes)
    assert report["verdict"] == "flat"
    assert [order["state"] for order in stage.control.book(account) if order["symbol"] == other] == ["open"] * 5
    by_ids = venue == "crypto_com"  # its cancel-all is of the account
    assert len(cancels(stage, account)) == (3 if by_ids else 1)


@pytest.mark.parametrize("venue", ALLS)
@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "error_5xx_after"])
def test_a_cancel_all_that_brings_no_answer_is_made_good_by_ids(stage: Stage, venue: str, fault: str) -> None:
    account = f"{venue}-sim"
    seeded = stage.control.seed(account, 25, symbol=SIMULATED[venue].symbols[0])
    stage.control.fault(fault, venue=venue, on=["cancel"], calls=1)

    report, outcomes = run(stage, sweep(account), 70)

    judge(stage, named(seeded, account), report, outcomes)
    assert (report["verdict"], report["orders"]) == ("flat", 25)


def test_two_filters_leave_the_rest_alone(stage: Stage) -> None:
    account = "binance-sim"
    mine = stage.control.seed(account, 3, client_id_prefix="bot7-", side="sell")
    stage.control.seed(account, 3, client_id_prefix="bot7-", side="buy")
    stage.control.seed(account, 3, client_id_prefix="bot8-", side="sell")

    filters = {"side": "sell", "client_order_id_prefix": "bot7-"}
    report, outcomes = run(stage, sweep(account, filters=filters), 70)

    judge(stage, named(mine, account), report, outcomes)
    assert report["verdict"] == "flat"
    assert sum(order["state"] == "open" for order in stage.control.book(account)) == 6


def test_too_many_orders_are_left_alone(stage: Stage) -> None:
    stage.control.seed("binance-sim", 3)
    stage.control.seed("upbit-sim", 3)

    batch_id = stage.client.submit(sweep("binance-sim", "upbit-sim", max_orders=5))
    report = stage.client.wait(batch_id, 30)

    assert report["state"] == "refused"
    assert states(stage, "binance-sim") == states(stage, "upbit-sim") == {"open"}


def test_an_account_that_cannot_be_listed_makes_the_verdict_honest(stage: Stage) -> None:
    seeded = stage.control.seed("upbit-sim", 3)

    report, outcomes = run(stage, sweep("upbit-sim", "upbit-away", deadline_s=8), 30)

    judge(stage, named(seeded, "upbit-sim"), report, outcomes, swept=False)
    assert report["verdict"] == "unproven"
    assert states(stage, "upbit-sim") == {"canceled"}
