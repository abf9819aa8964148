"""What is WEEX's own in reading: pages that shift, a query by order id alone, plan orders, cancel-alls in parts."""

import json

import pytest

from connectors.calls import Answer, Limit, RefusalKind, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.reading import MESSAGE_LENGTH
from connectors.weex import VENUE
from connectors.weex_api import PLAN
from tests.connectors.test_weex import CREDENTIALS, VECTORS

STAMP = Stamp(now_ms=1659076670000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
ID_1 = "596471064624628269"
CURRENT_PLAN, CURRENT = VENUE.listings
DETAIL, PLAN_DETAIL = VENUE.queries
ORDER = (OrderRef(IdKind.ORDER_ID, ID_1),)
PLAN_ORDER = (OrderRef(IdKind.ORDER_ID, ID_1, None, PLAN),)


def signature_of(name: str) -> tuple[str, str]:
    vector = next(vector for vector in VECTORS if vector["name"] == name)
    return vector["string_to_sign"], vector["signature"]


def canceled(document: object, status: int = 200) -> Answer:
    return VENUE.read_cancel(PLAN_ORDER, Response(status, json.dumps(document).encode()))


# What goes out


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("weex_get_current", lambda: CURRENT.build("cmt_btcusdt", None, CREDENTIALS, STAMP)),
        ("weex_get_detail", lambda: DETAIL.build(ORDER, CREDENTIALS, STAMP)),
        ("weex_post_cancel_all_normal", lambda: VENUE.cancel_alls[0].build(None, CREDENTIALS, STAMP)),
    ],
)
def test_a_read_signs_the_target_that_goes_out(name: str, request_of: object) -> None:
    assert callable(request_of)
    request = request_of()
    signed, signature = signature_of(name)

    assert f"{STAMP.now_ms}{request.method}{request.target}{request.body.decode()}" == signed
    assert request.headers["ACCESS-SIGN"] == signature


@pytest.mark.parametrize(
    ("symbol", "cursor", "query"),
    [
        (None, None, "limit=100&page=0"),
        (None, "2", "limit=100&page=2"),
        ("cmt_btcusdt", None, "symbol=cmt_btcusdt&limit=100&page=0"),
        ("a&b=c", None, "symbol=a%26b%3Dc&limit=100&page=0"),
        (None, "soon", "limit=100&page=0"),
    ],
)
def test_a_listing_asks_for_one_page(symbol: str | None, cursor: str | None, query: str) -> None:
    for listing in VENUE.listings:
        assert listing.build(symbol, cursor, CREDENTIALS, STAMP).target == f"{listing.name}?{query}"


def test_a_cancel_all_is_of_one_namespace_and_a_symbol_is_never_left_out() -> None:
    sent = {}
    for call in VENUE.cancel_alls:
        body = call.build("cmt_btcusdt", CREDENTIALS, STAMP).body
        sent[call.namespace, call.per_symbol] = json.loads(body)
        for nothing in (None, ""):
            if call.per_symbol:
                with pytest.raises(ValueError, match="needs the symbol"):
                    call.build(nothing, CREDENTIALS, STAMP)

    assert sent == {
        (None, False): {"cancelOrderType": "normal"},
        (None, True): {"cancelOrderType": "normal", "symbol": "cmt_btcusdt"},
        (PLAN, False): {"cancelOrderType": "plan"},
        (PLAN, True): {"cancelOrderType": "plan", "symbol": "cmt_btcusdt"},
    }


# Plan orders are canceled one by one


def test_a_plan_order_is_canceled_by_the_call_for_plan_orders() -> None:
    request = VENUE.build_cancel(PLAN_ORDER, CREDENTIALS, STAMP)

    assert (request.method, request.target) == ("POST", "/capi/v2/order/cancel_plan")
    assert json.loads(request.body) == {"orderId": ID_1}
    assert VENUE.namespaces == {PLAN: 1}
    assert VENUE.check_order(PLAN_ORDER[0]) is None
    assert VENUE.check_order(OrderRef(IdKind.CLIENT_ORDER_ID, "leg-7", None, PLAN)) is not None


@pytest.mark.parametrize("order_id", [ID_1, int(ID_1)])
def test_the_live_answer_to_a_plan_orders_cancel_is_a_success_by_name(order_id: object) -> None:
    """The shape of https://github.com/JannetEkka/smt-weex-trading-bot (v3/logs, 2026-02-21)."""
    answer = canceled({"order_id": order_id, "client_oid": None, "result": True, "err_msg": None})

    assert [(outcome.status, outcome.evidence) for outcome in answer.outcomes] == [
        (Status.ACCEPTED, Evidence.CANCEL_ANSWER)
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"order_id": ID_1, "result": False, "err_msg": "no"},
        {"order_id": ID_1, "result": True, "err_msg": "no"},
        {"order_id": ID_1, "result": "true"},
        {"order_id": ID_1},
        {"order_id": "596471064624628260", "result": True},
        {"result": True},
        {"code": "40015", "msg": "System error", "order_id": ID_1, "result": True},
        {"cancelOrderResultList": [{"order_id": ID_1, "result": True, "err_msg": ""}], "failInfos": []},
        [],
    ],
    ids=str,
)
def test_any_other_answer_to_a_plan_orders_cancel_is_doubt(document: object) -> None:
    assert [outcome.status for outcome in canceled(document).outcomes] == [Status.UNKNOWN]


@pytest.mark.parametrize("status", [201, 400, 429, 500])
def test_a_plan_orders_success_under_a_failed_status_is_no_acceptance(status: int) -> None:
    answer = canceled({"order_id": ID_1, "result": True}, status)
    assert (answer.outcomes[0].status is Status.ACCEPTED) == (200 <= status < 300)


def test_a_plan_order_that_does_not_exist_is_read_back() -> None:
    answer = canceled({"code": "50005", "msg": "Order does not exist"}, 400)

    assert answer.refusal is None
    assert [(outcome.status, outcome.evidence) for outcome in answer.outcomes] == [
        (Status.UNKNOWN, Evidence.CANCEL_ANSWER)
    ]


# What the answers prove


@pytest.mark.parametrize(
    ("count", "cursor", "after"), [(99, None, None), (100, None, "1"), (100, "7", "8"), (0, "1", None)]
)
def test_a_full_page_may_not_be_the_last(count: int, cursor: str | None, after: str | None) -> None:
    rows = [{"order_id": str(number + 1)} for number in range(count)]
    for listing in VENUE.listings:
        page = listing.read(Response(200, json.dumps(rows).encode()), cursor)
        assert (len(page.orders), page.cursor, page.refusal) == (count, after, None)
        assert listing.pages_shift


@pytest.mark.parametrize("code", ["40015", "40017", "40020", "40913", "429", "40014", "49999"])
@pytest.mark.parametrize("status", [200, 400, 404])
def test_no_error_but_50005_says_that_an_order_is_not_known(code: str, status: int) -> None:
    body = json.dumps({"code": code, "msg": "Order does not exist", "data": None}).encode()
    for query in VENUE.queries:
        answer = query.read(ORDER, Response(status, body))
        assert [outcome.evidence for outcome in answer.outcomes] == [Evidence.NO_ANSWER]
        assert answer.refusal is not None


def test_a_plan_order_that_the_query_does_not_know_may_still_be_there() -> None:
    body = b'{"code":"50005","msg":"Order does not exist","data":null}'

    answers = DETAIL.read(ORDER, Response(400, body)), PLAN_DETAIL.read(PLAN_ORDER, Response(400, body))

    assert [answer.outcomes[0].evidence for answer in answers] == [Evidence.NOT_KNOWN, Evidence.NO_ANSWER]
    assert [answer.refusal for answer in answers] == [None, None]


def test_only_an_order_id_can_be_asked_for() -> None:
    assert {query.id_kinds for query in VENUE.queries} == {(IdKind.ORDER_ID,)}


@pytest.mark.parametrize(
    ("told", "side"),
    [
        ("open_long", "buy"),
        ("close_short", "buy"),
        ("open_short", "sell"),
        ("close_long", "sell"),
        ("1", "buy"),
        ("2", "sell"),
        ("3", "sell"),
        ("4", "buy"),
        ("10", None),
        ("burst", None),
        (None, None),
    ],
)
def test_a_side_that_is_not_told_is_not_guessed(told: str | None, side: str | None) -> None:
    (order,) = CURRENT_PLAN.read(Response(200, json.dumps([{"order_id": "1", "type": told}]).encode()), None).orders
    assert (order.side, order.namespace) == (side, PLAN)


def test_a_status_of_any_length_is_told_in_a_message_that_can_be_stored() -> None:
    body = json.dumps({"order_id": ID_1, "status": "x" * 1000}).encode()
    (outcome,) = DETAIL.read(ORDER, Response(200, body)).outcomes
    assert (outcome.status, outcome.evidence) == (Status.UNKNOWN, Evidence.NO_ANSWER)
    assert len(outcome.message or "") == MESSAGE_LENGTH


# Limits


def test_reads_count_in_the_same_budgets_of_weight_as_cancels() -> None:
    """https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20."""
    shared = {limit.name: limit for limit in VENUE.limits}
    calls = (*VENUE.listings, *VENUE.queries, *VENUE.cancel_alls)

    def costs(limits: tuple[Limit, ...]) -> list[int]:
        return [limit.cost for limit in limits if "weight" in limit.name]

    assert [costs(call.limits) for call in calls] == [[3, 3], [2, 2], [2, 2], [2, 2], *[[50, 40]] * 4]
    for limit in (limit for call in calls for limit in call.limits):
        other = shared[limit.name]
        assert (limit.scope, limit.units, limit.per_ms) == (other.scope, other.units, other.per_ms)
    assert shared["IP weight"].scope is Scope.IP
    for call in VENUE.cancel_alls:
        assert {"cancel calls a second", "cancel calls a minute"} <= {limit.name for limit in call.limits}


def test_a_rate_limit_of_a_read_pauses_as_one_of_a_cancel() -> None:
    body = b'{"code":"429","msg":"Too many requests"}'
    refusals = [listing.read(Response(429, body), None).refusal for listing in VENUE.listings]
    refusals += [query.read(ORDER, Response(429, body)).refusal for query in VENUE.queries]
    refusals += [call.read(ORDER, Response(429, body)).refusal for call in VENUE.cancel_alls]

    assert {(one.kind, one.pause_ms, one.scope) for one in refusals if one} == {
        (RefusalKind.RATE_LIMIT, 10_000, Scope.ACCOUNT)
    }
    assert None not in refusals


def test_the_passphrase_goes_out_in_its_header_alone() -> None:
    credentials = Credentials("weex_key_of_the_test", "secret-of-the-test", passphrase="passphraseofthetest")
    request = CURRENT.build("cmt_btcusdt", None, credentials, STAMP)
    assert "passphraseofthetest" not in request.target
    assert [name for name, value in request.headers.items() if "passphraseofthetest" in value] == ["ACCESS-PASSPHRASE"]
