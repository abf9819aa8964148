"""An audit that finds nothing proves nothing: here it is given lies, and has to find each."""

import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulator.control import Control
from simulator.serve import running_simulator
from tests.end_to_end.audit import CLOCKS_MS, LONGEST_CALL_MS, VERDICTS, Truth, audit, audit_calls, audit_flights
from tests.end_to_end.waiting import until
from tests.simulator.callers import SIGNERS, Caller

ACCOUNT = "binance-sim"


@pytest.fixture
def control() -> Iterator[Control]:
    with running_simulator() as simulator:
        yield Control(simulator.url)


def outcome(names: dict[str, str], status: str, **fields: Any) -> dict[str, Any]:
    ids = dict.fromkeys(("order_id", "client_order_id", "order_list_id", "client_order_list_id"))
    kind = "order_id" if "order_id" in names else "order_list_id"
    told = {"filled_qty": None, "symbol": names["symbol"], "account": ACCOUNT}
    return {**ids, kind: names[kind], **told, "status": status, "verdict": VERDICTS[status], **fields}


def report(rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    verdicts = Counter(row["verdict"] for row in rows)
    verdict = "not_flat" if verdicts["live"] else "flat" if verdicts["gone"] == len(rows) else "unproven"
    head = {"state": "done", "verdict": verdict, "orders": len(rows), "calls": 0, "submitted_ms": 1, "done_ms": 2}
    counts = {"counts": dict(Counter(row["status"] for row in rows))}
    return {**head, **counts, **{name: verdicts[name] for name in ("gone", "live", "unproven")}, **fields}


def found(control: Control, rows: list[dict[str, Any]], **fields: Any) -> list[str]:
    return audit(Truth.of(control, [ACCOUNT]), rows, report(rows, **fields), rows)


def test_the_truth_passes(control: Control) -> None:
    filled, canceled, opened = control.seed(ACCOUNT, 3, client_ids=False)
    control.set_states(ACCOUNT, [filled["order_id"]], "filled")
    control.set_states(ACCOUNT, [canceled["order_id"]], "canceled")
    (listed,) = control.seed(ACCOUNT, lists=1)
    rows = [
        outcome(filled, "filled", filled_qty="1.00000000"),
        outcome(canceled, "canceled"),
        outcome(opened, "rejected"),
        outcome(listed, "unknown"),
        outcome({"order_id": "1", "symbol": "LTCBTC"}, "not_found"),
    ]

    assert found(control, rows) == []


@pytest.mark.parametrize("status", ["canceled", "filled", "closed", "not_found"])
@pytest.mark.parametrize("plan", [{"count": 1}, {"count": 1, "partly": 1}, {"lists": 1}])
def test_a_false_gone_is_found(control: Control, status: str, plan: dict[str, int]) -> None:
    (names,) = control.seed(ACCOUNT, **plan)

    assert any("FALSE GONE" in line for line in found(control, [outcome(names, status)]))


@pytest.mark.parametrize(
    ("status", "truth"),
    [("canceled", "filled"), ("filled", "canceled"), ("not_found", "canceled"), ("accepted", "canceled")],
)
def test_the_wrong_end_is_found(control: Control, status: str, truth: str) -> None:
    (names,) = control.seed(ACCOUNT, 1)
    control.set_states(ACCOUNT, [names["order_id"]], truth)

    assert found(control, [outcome(names, status)])


@pytest.mark.parametrize("status", ["canceled", "filled", "closed", "accepted"])
def test_a_claim_about_an_order_that_never_was_is_found(control: Control, status: str) -> None:
    assert found(control, [outcome({"order_id": "1", "symbol": "LTCBTC"}, status)])


def test_accepted_for_an_order_that_nobody_canceled_is_found(control: Control) -> None:
    (names,) = control.seed(ACCOUNT, 1)

    assert found(control, [outcome(names, "accepted")])


@pytest.mark.parametrize("status", ["canceled", "closed"])
def test_an_order_that_was_open_after_it_was_called_gone_is_found(control: Control, status: str) -> None:
    (names,) = control.seed(ACCOUNT, 1)
    control.set_states(ACCOUNT, [names["order_id"]], "canceled")
    (order,) = control.book(ACCOUNT)

    assert found(control, [outcome(names, status, updated_ms=order["updated_ms"])]) == []
    (line,) = found(control, [outcome(names, status, updated_ms=order["updated_ms"] - CLOCKS_MS - 1)])
    assert "it was open until later" in line


def test_an_order_that_had_ended_before_and_is_called_open_is_found(control: Control) -> None:
    (names,) = control.seed(ACCOUNT, 1)
    control.set_states(ACCOUNT, [names["order_id"]], "filled")
    (order,) = control.book(ACCOUNT)
    seen_ms = order["updated_ms"] + CLOCKS_MS

    assert found(control, [outcome(names, "open", updated_ms=seen_ms + LONGEST_CALL_MS)]) == []
    assert found(control, [outcome(names, "open", updated_ms=seen_ms + LONGEST_CALL_MS + 1)])
    assert found(
        control, [outcome(names, "open", updated_ms=seen_ms + 2)], submitted_ms=seen_ms + 1, done_ms=seen_ms + 3
    )


def test_a_wrong_quantity_is_found(control: Control) -> None:
    (names,) = control.seed(ACCOUNT, 1, canceled=1)

    assert found(control, [outcome(names, "canceled", filled_qty="0.5")])


def test_lost_strange_and_double_orders_are_found(control: Control) -> None:
    one, other = control.seed(ACCOUNT, 2, canceled=2)
    rows = [outcome(one, "canceled"), outcome(other, "canceled")]
    truth = Truth.of(control, [ACCOUNT])

    assert audit(truth, rows, report(rows[:1]), rows[:1])
    assert audit(truth, rows[:1], report(rows), rows)
    assert audit(truth, rows, report([*rows, rows[0]]), [*rows, rows[0]])


@pytest.mark.parametrize(
    "lie",
    [
        {"orders": 2},
        {"gone": 0},
        {"live": 1},
        {"unproven": 1},
        {"counts": {"filled": 1}},
        {"verdict": "unproven"},
        {"verdict": None},
        {"done_ms": None},
        {"done_ms": 0},
    ],
)
def test_a_report_that_contradicts_its_outcomes_is_found(control: Control, lie: dict[str, Any]) -> None:
    rows = [outcome(names, "canceled") for names in control.seed(ACCOUNT, 1, canceled=1)]

    assert found(control, rows) == []
    assert found(control, rows, **lie)


def test_a_verdict_of_another_status_is_found(control: Control) -> None:
    rows = [outcome(names, "accepted", verdict="gone") for names in control.seed(ACCOUNT, 1, canceled=1)]

    assert found(control, rows)


def test_a_pending_order_of_a_batch_that_is_done_is_found(control: Control) -> None:
    assert found(control, [outcome(names, "pending") for names in control.seed(ACCOUNT, 1)])


def test_calls_and_breaches_are_compared(control: Control, tmp_path: Path) -> None:
    truth = Truth.of(control, [ACCOUNT])

    assert audit_calls(truth, [{"calls": 0}], [ACCOUNT]) == []
    assert audit_calls(truth, [{"calls": 1}], [ACCOUNT])
    assert audit_calls(truth, [{"calls": 1}], [ACCOUNT], lost=True) == []
    assert audit_calls(truth, [{"calls": 0}], [ACCOUNT], breaches=1)
    assert audit_calls(truth, [{"calls": 0}], [ACCOUNT], denied=1)


def test_a_cancel_beside_another_that_waits_is_found() -> None:
    with running_simulator() as simulator, ExitStack() as stack:
        caller, control = Caller(simulator.url, "upbit-sim"), Control(simulator.url)
        first, second = (names["order_id"] for names in control.seed("upbit-sim", 2))
        control.fault("hang", venue="upbit", calls=1, delay_ms=20_000)
        sent = SIGNERS["upbit"](caller, first, second)
        waiting = stack.enter_context(closing(http.client.HTTPConnection(urlsplit(simulator.url).netloc)))
        waiting.request(sent.method, caller.root + sent.target, sent.body or None, dict(sent.headers))
        assert until(lambda: control.log("upbit-sim"))
        caller.cancel(first, method="GET")
        caller.cancel(second)
        truth = Truth.of(control, ["upbit-sim"])

    (line,) = audit_flights(truth, [("upbit-sim", first), ("upbit-sim", second)], {})
    assert line.startswith(f"upbit-sim {second}: TWO CANCELS IN FLIGHT")


def test_a_log_that_has_forgotten_calls_is_found(control: Control) -> None:
    truth = Truth.of(control, [ACCOUNT])

    assert audit_calls(replace(truth, cut=True), [{"calls": 0}], [ACCOUNT])
