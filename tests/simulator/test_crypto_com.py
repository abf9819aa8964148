import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.callers import Caller, Sent, crypto_com, now_ms


@pytest.fixture
def cdc(caller: Callable[[str], Caller]) -> Caller:
    made = caller("crypto_com")
    made.control.behavior(account=made.account, settle_ms=20)
    return made


def read(cdc: Caller, method: str, **params: Any) -> Any:
    return cdc.send(crypto_com(cdc, method=method, params=params)).json


def test_an_accepted_cancel_is_still_open_until_it_settles(cdc: Caller) -> None:
    cdc.control.behavior(account=cdc.account, settle_ms=60_000)
    one, two = (each["order_id"] for each in cdc.control.seed(cdc.account, 2))

    got = cdc.cancel(one, two, number=6575)

    assert (got.status, got.json) == (
        200,
        {
            "id": 6575,
            "method": "private/cancel-order-list",
            "code": 0,
            "result": [{"code": 0, "index": 0}, {"code": 0, "index": 1}],
        },
    )
    assert set(cdc.states().values()) == {"open"}
    assert {row["status"] for row in read(cdc, "private/get-open-orders")["result"]["data"]} == {"ACTIVE"}
    cdc.control.set_states(cdc.account, [one], "filled")  # a fill overtakes the cancel
    detail = read(cdc, "private/get-order-detail", order_id=one)["result"]
    assert (detail["status"], detail["cumulative_quantity"]) == ("FILLED", detail["quantity"])


def test_items_that_are_not_open_answer_212_and_the_others_go_on(cdc: Caller) -> None:
    live, filled = (each["order_id"] for each in cdc.control.seed(cdc.account, 2, filled=1))

    got = cdc.cancel("1", filled, live)

    refused = [{"code": 212, "index": index, "message": "INVALID_ORDERID"} for index in (0, 1)]
    assert got.json["result"] == [*refused, {"code": 0, "index": 2}]
    assert cdc.control.log(cdc.account)[-1]["applied"] == [live]


def test_client_ids_name_orders_too(cdc: Caller) -> None:
    cdc.control.behavior(account=cdc.account, settle_ms=0)
    order = cdc.control.seed(cdc.account, 1)[0]
    assert cdc.cancel(order["client_order_id"], by="client_oid").json["result"] == [{"code": 0, "index": 0}]
    assert cdc.states() == {order["order_id"]: "canceled"}


def test_a_wrong_instrument_names_no_order(cdc: Caller) -> None:
    order = cdc.control.seed(cdc.account, 1, symbol="CRO_USD")[0]
    item = {"order_id": order["order_id"], "instrument_name": "BTC_USD"}
    got = cdc.cancel(params={"contingency_type": "LIST", "order_list": [item]})
    assert got.json["result"][0]["code"] == 212


def test_advanced_orders_live_in_a_namespace_of_their_own(cdc: Caller) -> None:
    cdc.control.behavior(account=cdc.account, settle_ms=0)
    cdc.control.limits(venue="crypto_com", enabled=False)
    order_id = cdc.control.seed(cdc.account, 1, kind="advanced")[0]["order_id"]

    assert read(cdc, "private/get-open-orders")["result"]["data"] == []
    assert read(cdc, "private/get-order-detail", order_id=order_id)["code"] == 40401
    assert cdc.cancel(order_id).json["result"][0]["code"] == 212
    assert len(read(cdc, "private/advanced/get-open-orders")["result"]["data"]) == 1

    got = read(cdc, "private/advanced/cancel-order-list", order_list=[{"order_id": order_id}])
    assert got["result"] == [{"code": 0, "index": 0}]
    assert read(cdc, "private/advanced/get-order-detail", order_id=order_id)["result"]["status"] == "CANCELED"
    cdc.control.limits(venue="crypto_com", enabled=True)


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"secret": "wrong"}, 401, 40101),
        ({"nonce": now_ms() - 3_600_000}, 400, 40102),
        ({"nonce": now_ms() + 3_600_000}, 400, 40102),
        ({"nonce": 1.5}, 401, 40101),
        ({"number": "text"}, 400, 40001),
        ({"params": {"contingency_type": "OCO", "order_list": [{"order_id": "1"}]}}, 400, 40004),
        ({"params": {"contingency_type": "LIST", "order_list": []}}, 400, 40004),
        ({"params": {"contingency_type": "LIST", "order_list": [{"instrument_name": "CRO_USD"}]}}, 400, 40004),
        ({"params": {"contingency_type": "LIST", "order_list": [{"order_id": 1}]}}, 400, 40004),
        ({"method": "private/no-such-method"}, 400, 40002),
    ],
)
def test_documented_refusals(cdc: Caller, settings: dict[str, Any], status: int, code: int) -> None:
    got = cdc.cancel("1", **settings)
    assert (got.status, got.json["code"]) == (status, code)


def test_eleven_items_are_too_many_and_ten_are_not(cdc: Caller) -> None:
    ids = [each["order_id"] for each in cdc.control.seed(cdc.account, 11)]
    assert cdc.cancel(*ids).json["code"] == 40004
    assert cdc.cancel(*ids[:10]).json["code"] == 0


def test_the_wrong_verb_an_unknown_key_and_a_body_that_is_no_json(cdc: Caller) -> None:
    sent = crypto_com(cdc, "1")
    assert cdc.send(Sent("GET", sent.target)).json["code"] == 40003
    document = json.loads(sent.body) | {"api_key": "nobody"}
    assert cdc.send(Sent("POST", sent.target, {}, json.dumps(document).encode())).json["code"] == 40101
    assert cdc.send(Sent("POST", sent.target, {}, b"{")).json == {
        "id": -1,
        "method": "private/cancel-order-list",
        "code": 40001,
        "message": "BAD_REQUEST",
    }


def test_the_very_same_request_again_is_a_duplicate(cdc: Caller) -> None:
    sent = crypto_com(cdc, "1")
    assert [cdc.send(sent).json["code"] for _ in range(2)] == [0, 40006]


def test_a_cancel_all_takes_its_own_namespace_alone(cdc: Caller) -> None:
    cdc.control.behavior(account=cdc.account, settle_ms=0)
    normal = [each["order_id"] for each in cdc.control.seed(cdc.account, 2)]
    advanced = [each["order_id"] for each in cdc.control.seed(cdc.account, 2, kind="advanced")]

    got = cdc.send(crypto_com(cdc, method="private/cancel-all-orders", params={}, number=7))

    assert (got.status, got.json) == (200, {"id": 7, "method": "private/cancel-all-orders", "code": 0})
    assert cdc.states() == dict.fromkeys(normal, "canceled") | dict.fromkeys(advanced, "open")
    assert cdc.control.log(cdc.account)[-1]["applied"] == normal
    assert "result" not in read(cdc, "private/advanced/cancel-all-orders")
    assert set(cdc.states().values()) == {"canceled"}


def test_a_cancel_all_of_one_instrument_and_one_with_a_misspelt_filter(cdc: Caller) -> None:
    cdc.control.behavior(account=cdc.account, settle_ms=0)
    cro, btc = (cdc.control.seed(cdc.account, 1, symbol=symbol)[0]["order_id"] for symbol in ("CRO_USD", "BTC_USD"))

    read(cdc, "private/cancel-all-orders", instrument_name="BTC_USD")
    assert cdc.states() == {cro: "open", btc: "canceled"}

    read(cdc, "private/cancel-all-orders", instrument="BTC_USD")
    assert cdc.states() == {cro: "canceled", btc: "canceled"}


@pytest.mark.parametrize(
    ("method", "units"),
    [
        ("private/cancel-all-orders", 15),
        ("private/advanced/cancel-all-orders", 3),
        ("private/get-open-orders", 3),
        ("private/advanced/get-open-orders", 3),
        ("private/get-order-detail", 30),
        ("private/advanced/get-order-detail", 3),
    ],
)
def test_every_method_has_a_limit_of_its_own(cdc: Caller, method: str, units: int) -> None:
    cdc.control.limits(venue="crypto_com", rule=method, per_ms=60_000)
    params = {"order_id": "1"} if "detail" in method else {}

    statuses = [cdc.send(crypto_com(cdc, method=method, params=params)).status for _ in range(units + 1)]

    assert statuses == [200] * units + [429]
    assert cdc.cancel("1").status == 200
    cdc.control.limits(venue="crypto_com", rule=method, per_ms=100)
