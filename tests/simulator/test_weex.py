from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.callers import Caller, Got, Sent, now_ms, weex


@pytest.fixture
def wx(caller: Callable[[str], Caller]) -> Caller:
    made = caller("weex")
    made.control.limits(venue="weex", rule="cancels_per_s", limit=1000)
    return made


def read(wx: Caller, path: str) -> Got:
    return wx.send(weex(wx, method="GET", path=path))


def test_the_answer_has_the_taken_and_the_failed(wx: Caller) -> None:
    wx.control.behavior(account=wx.account, settle_ms=60_000)
    live, filled = (each["order_id"] for each in wx.control.seed(wx.account, 2, filled=1))

    got = wx.cancel(live, filled, "1")

    assert (got.status, got.json) == (
        200,
        {
            "result": True,
            "orderIds": [live, filled, "1"],
            "clientOids": [],
            "cancelOrderResultList": [{"err_msg": "", "order_id": live, "client_oid": "", "result": True}],
            "failInfos": [
                {"err_msg": "FAILED_ORDER_NOT_FOUND", "order_id": each, "client_oid": "", "result": False}
                for each in (filled, "1")
            ],
        },
    )
    assert read(wx, f"/capi/v2/order/detail?orderId={live}").json["status"] == "canceling"
    assert wx.control.book(wx.account)[0]["canceling"]
    wx.control.set_states(wx.account, [live], "canceled")
    assert read(wx, f"/capi/v2/order/detail?orderId={live}").json["status"] == "canceled"


def test_client_ids_name_orders_too(wx: Caller) -> None:
    order = wx.control.seed(wx.account, 1)[0]
    got = wx.cancel(order["client_order_id"], by="cids").json
    assert got["clientOids"] == [order["client_order_id"]]
    assert got["cancelOrderResultList"][0]["order_id"] == order["order_id"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"without": "ACCESS-KEY"}, "40001"),
        ({"without": "ACCESS-SIGN"}, "40002"),
        ({"without": "ACCESS-TIMESTAMP"}, "40003"),
        ({"timestamp": "soon"}, "40005"),
        ({"headers": {"ACCESS-KEY": "weex_nobody"}}, "40006"),
        ({"without": "Content-Type"}, "40007"),
        ({"timestamp": now_ms() - 36_000_000}, "40008"),
        ({"timestamp": now_ms() + 36_000_000}, "40008"),
        ({"secret": "wrong"}, "40009"),
        ({"without": "ACCESS-PASSPHRASE"}, "40011"),
        ({"headers": {"ACCESS-PASSPHRASE": "wrong"}}, "40012"),
        ({"document": {"ids": []}}, "40019"),
        ({"document": {"ids": [596471064624628269]}}, "40020"),
        ({"document": {"ids": ["1"] * 11}}, "40912"),
        ({"document": {"ids": ["1"], "cids": ["2"]}}, "40913"),
        ({"document": {}}, "40913"),
        ({"path": "/capi/v2/order/plan_orders"}, "404"),
    ],
)
def test_documented_refusals(wx: Caller, settings: dict[str, Any], code: str) -> None:
    got = wx.cancel("1", **settings)
    assert (got.status, got.json["code"]) == (404 if code == "404" else 400, code)
    assert got.json["data"] is None


def test_ten_cancels_a_second(wx: Caller) -> None:
    wx.control.limits(venue="weex", rule="cancels_per_s", limit=10, per_ms=60_000)
    assert [wx.cancel("1").status for _ in range(10)] == [200] * 10
    got = wx.cancel("1")
    assert (got.status, got.json["code"], got.json["msg"]) == (429, "429", "Too many requests")
    assert read(wx, "/capi/v2/order/current").status == 200  # which is no cancel
    (rule,) = (rule for rule in wx.control.limits()["rules"]["weex"] if rule["name"] == "cancels_per_s")
    assert rule["lock_ms"] == 10_000  # "wait 10 seconds before retrying"


def test_fifty_cancels_a_minute_and_the_weight_of_the_account(wx: Caller) -> None:
    assert [wx.cancel("1").status for _ in range(51)] == [200] * 50 + [429]
    assert wx.control.counters()["accounts"][wx.account]["breaches"] == {"cancels_per_min": 1}
    wx.control.limits(venue="weex", rule="cancels_per_min", limit=1000)
    assert [wx.cancel("1").status for _ in range(51)] == [200] * 50 + [429]
    assert wx.control.counters()["accounts"][wx.account]["breaches"] == {"cancels_per_min": 1, "uid_weight": 1}


def test_reads_and_plan_orders(wx: Caller) -> None:
    normal = [each["order_id"] for each in wx.control.seed(wx.account, 3, filled=1, symbol="cmt_btcusdt")]
    plan = wx.control.seed(wx.account, 1, kind="plan")[0]["order_id"]
    current = "/capi/v2/order/current"

    assert [row["order_id"] for row in read(wx, current).json] == normal[:2]
    assert [row["order_id"] for row in read(wx, f"{current}?limit=1&page=1").json] == [normal[1]]
    assert read(wx, f"{current}?symbol=cmt_ethusdt").json == []
    assert read(wx, f"{current}?limit=101").json["code"] == "40020"
    assert [row["order_id"] for row in read(wx, f"{current}Plan").json] == [plan]
    assert read(wx, f"/capi/v2/order/detail?orderId={plan}").json["status"] == "untriggered"
    assert read(wx, "/capi/v2/order/detail?orderId=1").json["code"] == "50005"
    assert read(wx, f"/capi/v2/order/detail?orderId={normal[2]}").json["status"] == "filled"

    assert len(wx.cancel(plan).json["failInfos"]) == 1
    got = wx.cancel(path="/capi/v2/order/cancel_plan", document={"orderId": plan})
    assert got.json == {"order_id": plan, "client_oid": None, "result": True, "err_msg": None}
    assert wx.cancel(path="/capi/v2/order/cancel_plan", document={"orderId": "1"}).json["code"] == "50005"
    before_ms = now_ms()
    clock = wx.send(Sent("GET", "/capi/v2/market/time")).json
    assert before_ms <= clock["timestamp"] <= now_ms()


def cancel_all(wx: Caller, **document: Any) -> Got:
    return wx.cancel(path="/capi/v2/order/cancelAllOrders", document=document)


def test_a_cancel_all_takes_one_namespace_or_one_symbol_of_it(wx: Caller) -> None:
    wx.control.behavior(account=wx.account, settle_ms=0)
    btc, eth = (
        wx.control.seed(wx.account, 1, symbol=symbol)[0]["order_id"] for symbol in ("cmt_btcusdt", "cmt_ethusdt")
    )
    plan = wx.control.seed(wx.account, 1, kind="plan")[0]["order_id"]

    got = cancel_all(wx, cancelOrderType="normal", symbol="cmt_ethusdt")
    assert (got.status, got.json) == (200, [{"orderId": int(eth), "success": True}])
    assert wx.states() == {btc: "open", eth: "canceled", plan: "open"}

    assert [row["orderId"] for row in cancel_all(wx, cancelOrderType="normal").json] == [int(btc)]
    assert wx.states() == {btc: "canceled", eth: "canceled", plan: "open"}
    assert cancel_all(wx, cancelOrderType="plan").json == [{"orderId": int(plan), "success": True}]
    assert cancel_all(wx, cancelOrderType="plan").json == []


@pytest.mark.parametrize(
    "document",
    [{}, {"cancelOrderType": "all"}, {"symbol": "cmt_btcusdt"}, {"cancelOrderType": "normal", "symbol": ""}],
)
def test_a_cancel_all_without_its_type_is_refused(wx: Caller, document: dict[str, Any]) -> None:
    order_id = wx.control.seed(wx.account, 1)[0]["order_id"]
    assert cancel_all(wx, **document).json["code"] == "40020"
    assert wx.states() == {order_id: "open"}


def test_every_read_and_every_cancel_weighs(wx: Caller) -> None:
    """Weights of UID and IP: current 2 and 2, currentPlan 3 and 3, cancel_plan 3 and 2, cancelAllOrders 50 and 40."""
    plan = {"path": "/capi/v2/order/cancel_plan", "document": {"orderId": "1"}}
    calls: dict[tuple[int, int], Callable[[], Got]] = {
        (2, 2): lambda: read(wx, "/capi/v2/order/current"),
        (3, 3): lambda: read(wx, "/capi/v2/order/currentPlan"),
        (3, 2): lambda: wx.cancel(**plan),
        (50, 40): lambda: cancel_all(wx, cancelOrderType="plan"),
    }
    for (uid, ip), call in calls.items():
        for rule, weight in (("uid_weight", uid), ("ip_weight", ip)):
            wx.control.limits(venue="weex", rule=rule, limit=weight)
            assert [call().status == 429 for _ in range(2)] == [False, True]
            wx.control.limits(venue="weex", rule=rule, limit=weight - 1)
            assert call().status == 429
            wx.control.limits(venue="weex", rule=rule, limit=500)
