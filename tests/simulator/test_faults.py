import http.client
import time
from collections.abc import Callable
from typing import Any

import pytest

from simulator.serve import running_simulator
from tests.simulator.callers import Caller, Got, Sent

VENUES = ("crypto_com", "binance", "upbit", "kuna", "weex")
every_venue = pytest.mark.parametrize("venue", VENUES)


def seeded(caller: Callable[[str], Caller], venue: str, count: int = 1) -> tuple[Caller, list[str]]:
    made = caller(venue)
    made.control.behavior(account=made.account, settle_ms=0)
    return made, [each["order_id"] for each in made.control.seed(made.account, count, symbol="LTCBTC")]


def cut(made: Caller, *ids: str) -> bool:
    try:
        made.cancel(*ids)
    except (http.client.HTTPException, ConnectionError):
        return True
    return False


@every_venue
@pytest.mark.parametrize(
    ("fault", "state", "status"),
    [
        ("cut_before", "open", 0),
        ("cut_after", "canceled", 0),
        ("hang_before", "open", 0),
        ("hang", "canceled", 0),
        ("truncated", "canceled", 200),
        ("reset_before", "open", 0),
        ("reset_after", "canceled", 0),
    ],
)
def test_a_cut_answer_says_nothing_of_the_book(
    caller: Callable[[str], Caller], venue: str, fault: str, state: str, status: int
) -> None:
    made, (order_id,) = seeded(caller, venue)
    made.control.fault(fault, account=made.account, calls=1, delay_ms=20)
    assert cut(made, order_id)
    assert made.states() == {order_id: state}
    entry = made.control.log(made.account)[-1]
    assert (entry["fault"], entry["status"], entry["purpose"]) == (fault, status, "cancel")
    assert entry["held_ms"] == (20 if "hang" in fault else 0)
    assert entry["applied"] == ([order_id] if state == "canceled" else [])
    assert not cut(made, order_id)  # only one call was to be hit


@every_venue
@pytest.mark.parametrize(
    ("fault", "state", "status"),
    [
        ("error_5xx_before", "open", 502),
        ("error_5xx_after", "canceled", 502),
        ("html", "open", 403),
        ("html_after", "canceled", 403),
        ("rate_429", "open", 429),
        ("maintenance", "open", 503),
        ("forbidden", "open", None),
    ],
)
def test_another_answer_in_its_place(
    caller: Callable[[str], Caller], venue: str, fault: str, state: str, status: int | None
) -> None:
    made, (order_id,) = seeded(caller, venue)
    made.control.fault(fault, venue=venue, calls=1)
    got = made.cancel(order_id)
    assert got.status == status or (status is None and 400 <= got.status < 500)
    if "html" in fault or "5xx" in fault:
        assert got.headers["content-type"] == "text/html"
    assert made.states() == {order_id: state}
    assert made.control.counters()["breaches"] == 0  # a 429 that was set is nobody's breach


def items(venue: str, got: Got) -> list[Any]:
    answer = got.json
    found = {
        "crypto_com": lambda: answer["result"],
        "upbit": lambda: answer["success"]["orders"],
        "kuna": lambda: answer["data"],
        "weex": lambda: answer["cancelOrderResultList"],
    }[venue]()
    return list(found)


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue != "binance"])
def test_items_are_left_out_doubled_and_shuffled(caller: Callable[[str], Caller], venue: str) -> None:
    made, ids = seeded(caller, venue, 30)
    made.control.limits(enabled=False)
    plain = items(venue, made.cancel(*ids[:10]))
    assert len(plain) == 10

    def cancel(fault: str, *order_ids: str) -> list[Any]:
        made.control.fault(fault, account=made.account, calls=1)
        return items(venue, made.cancel(*order_ids))

    assert len(cancel("duplicate_items", *ids[10:20])) == 11
    assert len(cancel("missing_items", *ids[20:])) < 10
    assert set(made.states().values()) == {"canceled"}
    again = [each["order_id"] for each in made.control.seed(made.account, 10, symbol="LTCBTC")]
    shuffled = cancel("reordered_items", *again)
    if venue == "crypto_com":
        assert sorted(each["index"] for each in shuffled) == list(range(10)) != [e["index"] for e in shuffled]
    else:
        name = {"upbit": "uuid", "kuna": "id", "weex": "order_id"}[venue]
        assert sorted(each[name] for each in shuffled) == sorted(again) != [each[name] for each in shuffled]
    made.control.limits(enabled=True)


def test_wrong_types(caller: Callable[[str], Caller]) -> None:
    cdc, (order_id,) = seeded(caller, "crypto_com")
    cdc.control.fault("wrong_types", calls=2)
    assert cdc.cancel(order_id).json["result"] == [{"code": "0", "index": "0"}]
    weex, (order_id,) = seeded(caller, "weex")
    assert weex.cancel(order_id).json["cancelOrderResultList"][0]["order_id"] == int(order_id)


def test_latency_holds_the_answer_back_and_not_the_cancel(caller: Callable[[str], Caller]) -> None:
    made, (order_id,) = seeded(caller, "binance")
    made.control.fault("latency", venue="binance", delay_ms=80, jitter_ms=10)
    made.control.fault("cut_after", calls=1, on=["read"])  # meant for other calls
    started = time.monotonic()
    assert made.cancel(order_id).status == 200
    assert time.monotonic() - started >= 0.08
    faults = made.control.faults()
    assert [(fault["fault"], fault["hits"]) for fault in faults] == [("latency", 1), ("cut_after", 0)]
    made.control.clear_faults(venue="binance")
    assert [fault["fault"] for fault in made.control.faults()] == ["cut_after"]
    made.control.clear_faults()
    assert made.control.faults() == []


def test_time_calls_can_fail_too(caller: Callable[[str], Caller]) -> None:
    made = caller("binance")
    made.control.fault("html", venue="binance", on=["time"], status=200)
    assert made.send(Sent("GET", "/api/v3/time")).body.startswith(b"<!DOCTYPE html>")


def test_the_same_seed_draws_the_same_faults() -> None:
    def draws(seed: int) -> list[bool]:
        with running_simulator(seed=seed) as running:
            made = Caller(running.url, "binance-sim")
            made.control.fault("cut_before", probability=0.5)
            return [cut(made, "28") for _ in range(12)]

    first = draws(7)
    assert first == draws(7) != draws(8)
    assert {True, False} == set(first)
