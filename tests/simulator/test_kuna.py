import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.callers import Caller, Got, Sent, kuna, now_ms


@pytest.fixture
def ku(caller: Callable[[str], Caller]) -> Caller:
    made = caller("kuna")
    made.control.behavior(account=made.account, settle_ms=0)
    made.control.limits(venue="kuna", rule="key", limit=1000)
    return made


def read(ku: Caller, path: str) -> Got:
    return ku.send(kuna(ku, method="GET", path=path))


def error(got: Got) -> tuple[int, str, str]:
    (only,) = got.json["errors"]
    assert only["extensions"]["code"] == only["code"]
    return got.status, only["code"], only["message"]


def test_signed_and_simple_callers_cancel(ku: Caller) -> None:
    one, two = (each["order_id"] for each in ku.control.seed(ku.account, 2))
    assert ku.cancel(one.upper()).json == {"data": [{"id": one, "success": True}]}
    ku.control.behavior(account=ku.account, bare_array=True)
    assert ku.cancel(two, simple=True).json == [{"id": two, "success": True}]
    assert ku.states() == {one: "canceled", two: "canceled"}


@pytest.mark.parametrize(("rest", "state"), [(True, "canceled"), (False, "open")])
@pytest.mark.parametrize(("done", "word"), [({"filled": 1}, "Closed"), ({"canceled": 1}, "Canceled")])
def test_one_order_that_is_done_spoils_the_answer(
    ku: Caller, rest: bool, state: str, done: dict[str, int], word: str
) -> None:
    ku.control.behavior(account=ku.account, cancels_rest=rest)
    live, spoiler = (each["order_id"] for each in ku.control.seed(ku.account, 2, **done))
    assert error(ku.cancel(spoiler, live)) == (400, "BAD_REQUEST", f"Order with status {word} can't be canceled")
    assert ku.states()[live] == state


def test_an_id_that_is_not_known_is_left_out(ku: Caller) -> None:
    order_id = ku.control.seed(ku.account, 1)[0]["order_id"]
    got = ku.cancel(str(uuid.uuid4()), order_id, order_id)
    assert got.json == {"data": [{"id": order_id, "success": True}]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"body": b"{"}, (500, "Internal Server Error", "Invalid JSON")),
        ({"document": {"orderIds": ["x"]}}, (500, "WrongRequestException", "each value in orderIds must be a UUID")),
        ({"document": {"orderIds": []}}, (400, "ARGUMENT_VALIDATION_ERROR", None)),
        ({"document": {"orderIds": [str(uuid.uuid4())] * 101}}, (400, "ARGUMENT_VALIDATION_ERROR", None)),
        ({"secret": "wrong"}, (401, "UNAUTHORIZED", None)),
        ({"path": "/v4/nothing"}, (404, "NOT_FOUND", None)),
    ],
)
def test_refusals(ku: Caller, settings: dict[str, Any], expected: tuple[int, str, str | None]) -> None:
    order_id = ku.control.seed(ku.account, 1)[0]["order_id"]
    status, code, message = error(ku.cancel(order_id, **settings))
    assert (status, code) == expected[:2]
    assert expected[2] in (None, message)
    assert ku.states() == {order_id: "open"}


def test_keys_that_are_not_known(ku: Caller) -> None:
    path = "/v4/order/private/active"
    for headers in ({}, {"api-key": "x"}, {"public-key": "x"}, {"api-key": ku.keys["public_key"]}):
        assert ku.send(Sent("GET", path, headers)).status == 401


def test_one_by_one(ku: Caller) -> None:
    path = "/v4/order/private/cancel"
    order_id = ku.control.seed(ku.account, 1)[0]["order_id"]
    assert ku.cancel(path=path, document={"orderId": order_id}).json == {"data": {"success": True}}
    again = error(ku.cancel(path=path, document={"orderId": order_id}))
    assert again == (400, "BAD_REQUEST", "Order with status Canceled can't be canceled")
    assert error(ku.cancel(path=path, document={"orderId": str(uuid.uuid4())}))[:2] == (404, "NOT_FOUND")
    assert error(ku.cancel(path=path, document={"orderIds": [order_id]}))[1] == "ARGUMENT_VALIDATION_ERROR"


def test_five_calls_a_second(ku: Caller) -> None:
    ku.control.limits(venue="kuna", rule="key", limit=5, per_ms=60_000)
    got = [ku.cancel(str(uuid.uuid4())) for _ in range(6)]
    assert [each.status for each in got] == [200] * 5 + [429]
    assert error(got[5])[:2] == (429, "TOO_MANY_REQUESTS")


def test_reads(ku: Caller) -> None:
    live, filled = (each["order_id"] for each in ku.control.seed(ku.account, 2, filled=1, symbol="BTC_USDT"))
    stop = ku.control.seed(ku.account, 1, kind="WaitStop")[0]["order_id"]
    old = ku.control.seed(ku.account, 1, age_ms=15 * 24 * 3600 * 1000)[0]["order_id"]
    active, history = "/v4/order/private/active", "/v4/order/private/history"

    assert [row["id"] for row in read(ku, active).json["data"]] == [live]  # older than two weeks: not shown
    everything = read(ku, f"{active}?start=2015-01-01T00%3A00%3A00.000Z&sort=asc&limit=100").json["data"]
    assert [row["id"] for row in everything] == [old, live]
    assert [row["id"] for row in read(ku, f"{active}?pairs=TRX_USDT,ETH_USDT").json["data"]] == []
    assert {row["id"] for row in read(ku, history).json["data"]} == {filled, stop}
    assert [row["id"] for row in read(ku, f"{history}?status=WaitStop").json["data"]] == [stop]
    assert read(ku, f"{active}?limit=101").status == 400
    assert read(ku, f"{active}?start=soon").status == 400

    detail = read(ku, f"/v4/order/private/details/{filled}?withTrades=false").json["data"]
    assert (detail["status"], detail["executedQuantity"]) == ("Closed", detail["quantity"])
    assert read(ku, f"/v4/order/private/details/{stop}").json["data"]["status"] == "WaitStop"
    assert error(read(ku, f"/v4/order/private/details/{uuid.uuid4()}"))[:2] == (404, "NOT_FOUND")
    assert error(read(ku, "/v4/order/private/details/x"))[1] == "ARGUMENT_VALIDATION_ERROR"
    before_ms = now_ms()
    clock = ku.send(Sent("GET", "/v4/public/timestamp")).json["data"]
    assert before_ms <= clock["timestamp_miliseconds"] <= now_ms()
