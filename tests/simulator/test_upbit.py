import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.simulator.callers import Caller, Got, Sent, upbit


@pytest.fixture
def up(caller: Callable[[str], Caller]) -> Caller:
    return caller("upbit")


def read(up: Caller, path: str, query: str = "", **more: Any) -> Got:
    return up.send(upbit(up, method="GET", path=path, query=query, **more))


def test_orders_are_taken_failed_or_left_out(up: Caller) -> None:
    up.control.behavior(account=up.account, settle_ms=20)
    live, filled = up.control.seed(up.account, 2, filled=1)

    got = up.cancel(live["order_id"], filled["order_id"], str(uuid.uuid4()), "malformed")

    assert got.status == 200
    assert got.json == {
        "success": {
            "count": 1,
            "orders": [
                {"uuid": live["order_id"], "market": live["symbol"], "identifier": live["client_order_id"]},
            ],
        },
        "failed": {
            "count": 1,
            "orders": [
                {"uuid": filled["order_id"], "market": filled["symbol"], "identifier": filled["client_order_id"]},
            ],
        },
    }
    assert got.headers["remaining-req"] == "group=default; min=1800; sec=29"
    time.sleep(0.03)
    assert up.states()[live["order_id"]] == "canceled"


def test_identifiers_name_orders_too_and_hs512_signs_as_well(up: Caller) -> None:
    order = up.control.seed(up.account, 1)[0]
    got = up.cancel(order["client_order_id"], by="identifiers[]", algorithm="HS512")
    assert got.json["success"]["count"] == 1


def test_pyjwt_reads_and_makes_the_same_tokens(up: Caller) -> None:
    token = upbit(up, "x").headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, up.keys["api_secret"], algorithms=["HS256"])
    made = jwt.encode(claims, up.keys["api_secret"], algorithm="HS256")
    assert up.send(Sent("DELETE", "/v1/orders/uuids?uuids[]=x", {"Authorization": f"Bearer {made}"})).status == 200


@pytest.mark.parametrize(
    ("settings", "status", "name"),
    [
        ({"secret": "w" * 64}, 401, "jwt_verification"),
        ({"body": b"{}"}, 401, "invalid_query_payload"),
        ({"hashed": "uuids[]=other"}, 401, "invalid_query_payload"),
        ({"query": "uuids[]=a&identifiers[]=b"}, 400, "validation_error"),
        ({"query": "uuids[]=a&market=SGD-BTC"}, 400, "validation_error"),
        ({"query": ""}, 400, "validation_error"),
        ({"query": "&".join(f"uuids[]={n}" for n in range(21))}, 400, "validation_error"),
        ({"path": "/v1/nothing"}, 404, "not_found"),
    ],
)
def test_documented_refusals(up: Caller, settings: dict[str, Any], status: int, name: str) -> None:
    got = up.cancel("a", **settings)
    assert (got.status, got.json["error"]["name"]) == (status, name)


def test_the_hash_covers_the_decoded_query(up: Caller) -> None:
    assert up.cancel(query="identifiers[]=a%3Ab", hashed="identifiers[]=a:b").status == 200
    assert up.cancel(query="identifiers%5B%5D=a", hashed="identifiers[]=a").status == 200


def test_a_nonce_is_used_once(up: Caller) -> None:
    nonce = str(uuid.uuid4())
    got = [up.cancel("a", nonce=nonce) for _ in range(2)]
    assert [each.status for each in got] == [200, 401]
    assert got[1].json["error"]["name"] == "nonce_used"


def test_a_missing_a_foreign_and_a_broken_token(up: Caller) -> None:
    target = "/v1/orders/uuids?uuids[]=a"
    assert up.send(Sent("DELETE", target)).json["error"]["name"] == "no_authorization_token"
    for token in ("a.b", "a.b.c", "e30.e30.c"):
        got = up.send(Sent("DELETE", target, {"Authorization": f"Bearer {token}"}))
        assert got.json["error"]["name"] == "jwt_verification"
    foreign = jwt.encode({"access_key": "nobody", "nonce": "n"}, "k" * 64, algorithm="HS256")
    got = up.send(Sent("DELETE", target, {"Authorization": f"Bearer {foreign}"}))
    assert (got.status, got.json["error"]["name"]) == (401, "invalid_access_key")


def test_thirty_calls_a_second_are_shared_by_cancels_and_reads_and_going_on_is_a_penalty(up: Caller) -> None:
    up.control.limits(venue="upbit", rule="default", per_ms=60_000, patience=1)
    got = [up.cancel("a") for _ in range(20)] + [read(up, "/v1/orders/uuids", "uuids[]=a") for _ in range(10)]
    assert {each.status for each in got} == {200}
    assert got[-1].headers["remaining-req"] == "group=default; min=1800; sec=0"
    refused = [up.cancel("a") for _ in range(2)]
    assert [each.status for each in refused] == [429, 418]
    assert [each.json["error"]["name"] for each in refused] == ["too_many_requests", "rate_limit_exceeded_penalty"]
    assert "10 seconds" in refused[1].json["error"]["message"]
    assert up.control.counters()["accounts"][up.account]["breaches"] == {"default": 2}


def test_reads(up: Caller) -> None:
    up.control.behavior(account=up.account, settle_ms=0)
    normal = up.control.seed(up.account, 3, symbol="SGD-BTC", filled=1, age_ms=5_000)
    watch = up.control.seed(up.account, 1, symbol="SGD-ETH", kind="watch")[0]
    up.cancel(normal[0]["order_id"])

    assert [row["uuid"] for row in read(up, "/v1/orders/open").json] == [normal[1]["order_id"]]
    both = read(up, "/v1/orders/open", "states[]=wait&states[]=watch&limit=1&page=2").json
    assert [row["uuid"] for row in both] == [normal[1]["order_id"]]
    assert read(up, "/v1/orders/open", "market=SGD-ETH&state=watch").json[0]["state"] == "watch"
    assert read(up, "/v1/orders/open", "state=wait&states[]=watch").status == 400
    assert read(up, "/v1/orders/open", "limit=101").status == 400

    query = "&".join(f"uuids[]={order['order_id']}" for order in normal)
    assert [row["state"] for row in read(up, "/v1/orders/uuids", query).json] == ["cancel", "wait", "done"]
    one = read(up, "/v1/order", f"identifier={watch['client_order_id']}").json
    assert (one["uuid"], one["state"]) == (watch["order_id"], "watch")
    unknown = read(up, "/v1/order", f"uuid={uuid.uuid4()}")
    assert (unknown.status, unknown.json["error"]["name"]) == (404, "order_not_found")
    assert read(up, "/v1/order").status == 400


def test_one_order_is_canceled_alone_and_still_waits_in_the_answer(up: Caller) -> None:
    up.control.behavior(account=up.account, settle_ms=20)
    live, filled = up.control.seed(up.account, 2, filled=1)
    one = {"path": "/v1/order"}

    got = up.send(upbit(up, query=f"uuid={live['order_id']}", **one))
    assert (got.status, got.json["uuid"], got.json["state"]) == (200, live["order_id"], "wait")
    for gone in (f"uuid={filled['order_id']}", f"identifier={uuid.uuid4()}"):
        refused = up.send(upbit(up, query=gone, **one))
        assert (refused.status, refused.json["error"]["name"]) == (404, "order_not_found")
    assert up.send(upbit(up, query="market=SGD-BTC", **one)).status == 400
    time.sleep(0.03)
    assert up.states()[live["order_id"]] == "canceled"
