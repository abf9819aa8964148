import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from simulator.control import Control
from simulator.serve import RunningSimulator
from tests.simulator.callers import Caller, Got, Sent, binance, now_ms


@pytest.fixture
def bn(caller: Callable[[str], Caller]) -> Caller:
    return caller("binance")


def read(bn: Caller, path: str, *ids: str, **more: Any) -> Got:
    return bn.send(binance(bn, *ids, method="GET", path=path, **more))


def test_a_cancel_is_final_and_free(bn: Caller) -> None:
    order = bn.control.seed(bn.account, 1, symbol="LTCBTC", partly=1)[0]

    got = bn.cancel(order["order_id"])

    assert got.status == 200
    answer = got.json
    assert (answer["status"], answer["executedQty"], answer["orderListId"]) == ("CANCELED", "0.40000000", -1)
    assert answer["origClientOrderId"] == order["client_order_id"] != answer["clientOrderId"]
    assert answer["orderId"] == int(order["order_id"])
    assert bn.states() == {order["order_id"]: "canceled"}
    assert got.headers["x-mbx-used-weight-1m"] == "0"


def test_an_order_that_is_not_open_costs_weight(bn: Caller) -> None:
    filled = bn.control.seed(bn.account, 1, symbol="LTCBTC", filled=1)[0]["order_id"]
    for used, order_id in enumerate((filled, "12345"), start=1):
        got = bn.cancel(order_id)
        assert (got.status, got.json) == (400, {"code": -2011, "msg": "Unknown order sent."})
        assert got.headers["x-mbx-used-weight-1m"] == str(used)


def test_a_list_goes_as_one_and_is_reported_leg_by_leg(bn: Caller) -> None:
    named, whole = bn.control.seed(bn.account, lists=2, legs=3)
    path = "/api/v3/orderList"

    by_id = bn.cancel(named["order_list_id"], path=path, by="orderListId").json
    by_client = bn.cancel(whole["client_order_list_id"], path=path, by="listClientOrderId").json

    assert (by_id["listStatusType"], by_id["orderListId"]) == ("ALL_DONE", int(named["order_list_id"]))
    assert [report["status"] for report in by_id["orderReports"]] == ["CANCELED"] * 3
    assert by_client["listClientOrderId"] == whole["client_order_list_id"]
    assert set(bn.states().values()) == {"canceled"}
    again = bn.cancel(named["order_list_id"], path=path, by="orderListId")
    assert (again.status, again.json) == (400, {"code": -2011, "msg": "Unknown order list sent."})


def test_canceling_a_leg_cancels_its_list(bn: Caller) -> None:
    bn.control.seed(bn.account, lists=1)
    first, second = bn.control.lists(bn.account)[0]["order_ids"]
    assert [report["orderId"] for report in bn.cancel(first).json["orderReports"]] == [int(first), int(second)]
    assert bn.cancel(second).json["code"] == -2011
    assert bn.states() == {first: "canceled", second: "canceled"}


def test_of_a_list_that_fills_in_the_race_the_other_leg_expires(bn: Caller) -> None:
    bn.control.behavior(account=bn.account, fill_probability=1.0)
    named = bn.control.seed(bn.account, lists=1)[0]
    got = bn.cancel(named["order_list_id"], path="/api/v3/orderList", by="orderListId")
    assert got.json["code"] == -2011
    assert sorted(bn.states().values()) == ["expired", "filled"]
    assert bn.control.log(bn.account)[-1]["applied"] == []


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"secret": "wrong"}, -1022),
        ({"timestamp": now_ms() - 36_000_000}, -1021),
        ({"timestamp": now_ms() + 36_000_000}, -1021),
        ({"symbol": None}, -1102),
        ({"symbol": "NOSUCH"}, -1121),
        ({"by": "orderListId"}, -1104),
        ({"by": "newClientOrderId"}, -1102),
        ({"extra": "orderId=28"}, -1101),
        ({"extra": "recvWindow=70000"}, -1130),
        ({"extra": "cancelRestrictions=NONE"}, -1145),
        ({"extra": "origClientOrderId=other"}, -2039),
        ({"extra": "cancelRestrictions=ONLY_PARTIALLY_FILLED"}, -2011),
    ],
)
def test_documented_refusals(bn: Caller, settings: dict[str, Any], code: int) -> None:
    order_id = bn.control.seed(bn.account, 1, symbol="LTCBTC")[0]["order_id"]
    got = bn.cancel(order_id, **settings)
    assert (got.status, got.json["code"]) == (400, code)
    assert bn.states() == {order_id: "open"}


def test_refused_keys(bn: Caller) -> None:
    sent = binance(bn, "28")
    assert bn.send(Sent("DELETE", sent.target)).json["code"] == -2014
    got = bn.send(Sent("DELETE", sent.target, {"X-MBX-APIKEY": "nobody"}))
    assert (got.status, got.json["code"]) == (401, -2015)


def test_the_window_of_the_timestamp_is_exact_on_the_venues_clock(bn: Caller) -> None:
    bn.control.clock(-900)
    assert bn.cancel("28").json["code"] == -2011
    bn.control.clock(-1_500)
    assert bn.cancel("28").json["msg"] == "Timestamp for this request was 1000ms ahead of the server's time."
    bn.control.clock(4_500)
    assert bn.cancel("28").json["code"] == -2011
    bn.control.clock(5_100)
    assert bn.cancel("28").json["msg"] == "Timestamp for this request is outside of the recvWindow."
    before_ms = now_ms()
    got = bn.send(Sent("GET", "/api/v3/time"))
    assert before_ms <= got.json["serverTime"] - 5_100 <= now_ms()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_keys_that_are_not_hmac(control: Control, running: RunningSimulator, kind: str) -> None:
    private = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    name = f"binance-{kind}"
    control.add_account("binance", name, public_pem=pem.decode())
    bn = Caller(running.url, name)
    order_id = control.seed(name, 1, symbol="LTCBTC")[0]["order_id"]
    query = f"symbol=LTCBTC&orderId={order_id}&timestamp={now_ms()}"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        raw = private.sign(query.encode())
    else:
        raw = private.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
    signature = quote(base64.b64encode(raw).decode(), safe="")
    headers = {"X-MBX-APIKEY": bn.keys["api_key"]}

    assert bn.send(Sent("DELETE", f"/api/v3/order?{query}0&signature={signature}", headers)).json["code"] == -1022
    assert bn.send(Sent("DELETE", f"/api/v3/order?{query}&signature={signature}", headers)).status == 200


def test_parameters_may_come_in_the_body_and_are_signed_without_a_separator(bn: Caller) -> None:
    order_id = bn.control.seed(bn.account, 1, symbol="LTCBTC")[0]["order_id"]
    query = binance(bn, order_id).target.partition("?")[2]
    headers = {"X-MBX-APIKEY": bn.keys["api_key"]}
    assert bn.send(Sent("DELETE", "/api/v3/order", headers, query.encode())).status == 200


def test_weight_is_counted_by_address_and_going_on_is_banned(bn: Caller) -> None:
    bn.control.limits(venue="binance", rule="weight", limit=2, patience=2, ban_ms=120_000)
    got = [bn.cancel("28") for _ in range(6)]
    assert [each.status for each in got] == [400, 400, 429, 429, 418, 418]
    assert (
        got[2].json["msg"].startswith("Too much request weight used; current limit is 2 request weight per 1 MINUTE.")
    )
    assert 0 < int(got[2].headers["retry-after"]) <= 60
    assert "IP banned until" in got[4].json["msg"]
    assert (got[4].json["code"], got[4].headers["retry-after"]) == (-1003, "120")
    assert bn.control.counters()["accounts"][bn.account]["calls"] == 2  # the rest was not let in
    assert bn.control.counters()["breaches"] == 4


def test_reads(bn: Caller) -> None:
    plain = bn.control.seed(bn.account, 2, symbol="LTCBTC", filled=1)
    listed = bn.control.seed(bn.account, lists=1, filled_lists=0)[0]
    assert read(bn, "/api/v3/order", plain[0]["order_id"]).json["status"] == "NEW"
    filled = read(bn, "/api/v3/order", plain[1]["client_order_id"], by="origClientOrderId").json
    assert (filled["status"], filled["executedQty"]) == ("FILLED", filled["origQty"])
    unknown = read(bn, "/api/v3/order", "99")
    assert (unknown.status, unknown.json) == (400, {"code": -2013, "msg": "Order does not exist."})
    one = read(bn, "/api/v3/orderList", listed["order_list_id"], by="orderListId", symbol=None).json
    assert (one["listOrderStatus"], len(one["orders"])) == ("EXECUTING", 2)
    assert read(bn, "/api/v3/openOrderList", symbol=None).json == [one]
    everything = read(bn, "/api/v3/openOrders", symbol=None)
    assert len(everything.json) == 3
    assert everything.headers["x-mbx-used-weight-1m"] == str(4 + 4 + 4 + 4 + 6 + 80)
    one_symbol = read(bn, "/api/v3/openOrders", symbol="BTCUSDT")
    assert (one_symbol.json, one_symbol.headers["x-mbx-used-weight-1m"]) == ([], str(102 + 6))
    assert bn.send(Sent("GET", "/api/v3/nothing")).status == 404


def test_a_symbol_is_canceled_whole_and_alone(bn: Caller) -> None:
    plain = bn.control.seed(bn.account, 2, symbol="LTCBTC", filled=1)
    listed = bn.control.seed(bn.account, lists=1, symbol="LTCBTC")[0]
    other = bn.control.seed(bn.account, 1, symbol="BTCUSDT")[0]["order_id"]
    path = "/api/v3/openOrders"

    got = bn.cancel(path=path)

    assert (got.status, got.headers["x-mbx-used-weight-1m"]) == (200, "0")
    first, whole = got.json
    assert (first["orderId"], first["status"]) == (int(plain[0]["order_id"]), "CANCELED")
    assert (whole["orderListId"], whole["contingencyType"]) == (int(listed["order_list_id"]), "OCO")
    assert [report["status"] for report in whole["orderReports"]] == ["CANCELED"] * 2
    assert sorted(bn.states().values()) == ["canceled", "canceled", "canceled", "filled", "open"]
    assert bn.states()[other] == "open"
    again = bn.cancel(path=path)
    assert (again.status, again.json) == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert again.headers["x-mbx-used-weight-1m"] == "1"
    assert bn.cancel(path=path, symbol=None).json["code"] == -1102
