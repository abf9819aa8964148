"""The audit of sweeps is given lies, and has to find each."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from simulator.control import Control
from simulator.serve import running_simulator
from tests.end_to_end.audit_sweeps import LISTINGS, audit_sweep
from tests.end_to_end.test_audit import outcome, report
from tests.end_to_end.truth import Truth, ended_ms

ACCOUNT = "binance-sim"
ALL = {"accounts": [ACCOUNT], "all": True}
PATH = LISTINGS["binance", "normal"]


@pytest.fixture
def control() -> Iterator[Control]:
    with running_simulator() as simulator:
        yield Control(simulator.url)


def found(
    control: Control,
    names: list[dict[str, str]],
    select: dict[str, Any] | None = None,
    *,
    reads: tuple[tuple[int, str | None], ...] = (),
    after_ms: int = 1_000,
    most: int | None = None,
    **fields: Any,
) -> list[str]:
    """Audit a sweep that took *names*, was handed in *after_ms* after the orders were there, and lasted a second.

    *reads* are the listings, in ms since that, and the fault that each had.
    """
    truth = Truth.of(control, [ACCOUNT])
    submitted_ms = max((row["created_ms"] for row in truth.book(ACCOUNT)), default=0) + after_ms
    listed = tuple((submitted_ms + at_ms, fault) for at_ms, fault in reads)
    rows = [outcome(each, "canceled") for each in names]
    told = report(rows, submitted_ms=submitted_ms, done_ms=submitted_ms + 1_000, **fields)
    return audit_sweep(replace(truth, reads={(ACCOUNT, PATH): listed}), select or ALL, told, rows, most)


def canceled(control: Control, number: int, **plan: Any) -> list[dict[str, str]]:
    return control.seed(ACCOUNT, number, canceled=number, **plan)


def test_the_truth_passes(control: Control) -> None:
    assert found(control, canceled(control, 3)) == []
    assert found(control, canceled(control, 2, side="sell"), {"accounts": ["*"], "side": "sell"}) == []


def test_a_false_flat_is_found(control: Control) -> None:
    names = canceled(control, 2)
    control.seed(ACCOUNT, 1)

    (line,) = found(control, names)

    assert line.startswith("FALSE FLAT")
    assert found(control, names, verdict="unproven") == []


def test_an_order_that_ended_after_the_end_is_found(control: Control) -> None:
    (names,) = control.seed(ACCOUNT, 1)
    truth = Truth.of(control, [ACCOUNT])
    (order,) = truth.book(ACCOUNT)
    late = order | {"state": "canceled", "updated_ms": order["created_ms"] + 5_000}
    rows = [outcome(names, "canceled")]
    told = report(rows, submitted_ms=order["created_ms"] + 1_000, done_ms=order["created_ms"] + 2_000)

    assert ended_ms(late) == order["created_ms"] + 5_000
    assert audit_sweep(replace(truth, orders={(ACCOUNT, "order_id", late["order_id"]): [late]}), ALL, told, rows)


@pytest.mark.parametrize(
    ("reads", "late"),
    [((), True), (((-500, None),), True), (((-900, None), (-700, None)), False), (((0, None), (600, None)), True)],
)
def test_an_order_that_appeared_meanwhile_need_not_be_seen_by_a_listing_made_before(
    control: Control, reads: tuple[tuple[int, str | None], ...], late: bool
) -> None:
    """Here it appears a second after the sweep was handed in: -1000 to 0 ms are before that."""
    control.seed(ACCOUNT, 1)

    lines = found(control, [], after_ms=-1_000, reads=tuple((at_ms + 1_000, fault) for at_ms, fault in reads))

    assert bool(lines) is late


def test_a_listing_that_hid_rows_proves_nothing_against_a_sweep(control: Control) -> None:
    control.seed(ACCOUNT, 1)

    assert found(control, [], reads=((0, "missing_items"), (500, None))) == []
    assert found(control, [], reads=((0, "reordered_items"), (500, None)))
    assert found(control, [], reads=((0, None), (500, None), (1_500, "missing_items")))  # somebody else's, later


@pytest.mark.parametrize(
    "select",
    [
        {"accounts": ["upbit-sim"], "all": True},
        {"accounts": [ACCOUNT], "symbol": "NOSUCH"},
        {"accounts": [ACCOUNT], "side": "sell"},
        {"accounts": [ACCOUNT], "client_order_id_prefix": "other-"},
        {"accounts": [ACCOUNT], "older_than_s": 60},
    ],
)
def test_an_order_that_the_sweep_does_not_cover_is_found(control: Control, select: dict[str, Any]) -> None:
    names = canceled(control, 1)

    assert any("does not cover" in line for line in found(control, names, select))


def test_more_than_the_most_is_found(control: Control) -> None:
    names = canceled(control, 3)

    assert found(control, names, most=3) == []
    assert found(control, names, most=2)


def test_a_refusal_without_reason_is_found(control: Control) -> None:
    control.seed(ACCOUNT, 2, lists=1)

    assert found(control, [], most=2, state="refused", verdict=None) == []
    assert found(control, [], most=3, state="refused", verdict=None)
