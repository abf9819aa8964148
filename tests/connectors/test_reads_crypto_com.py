"""What is Crypto.com's own in reading: two namespaces, no pages, and a cancel-all that must never be filtered."""

import json

import pytest

from connectors.calls import RefusalKind, Request, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.crypto_com import ADVANCED_METHOD, METHOD, VENUE
from connectors.crypto_com_api import ADVANCED, build_call
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from tests.connectors.test_crypto_com import VECTORS

CREDENTIALS = Credentials(api_key="token", api_secret="secretKey")
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
CALLS = {call.name: call for call in (*VENUE.listings, *VENUE.queries, *VENUE.cancel_alls)}
DETAILS = ("private/get-order-detail", "private/advanced/get-order-detail")
ROW = {"order_id": "19848525", "client_oid": "1613571154900", "status": "ACTIVE", "cumulative_quantity": "0.0000"}


def params_of(request: Request) -> object:
    return json.loads(request.body)["params"]


def advanced(count: int) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, str(n + 1), "CRO_USD", ADVANCED) for n in range(count))


# What goes out


@pytest.mark.parametrize(
    "name", ["docs_js_get_order_detail", "get_open_orders_all", "cancel_all_no_params"], ids=lambda name: name
)
def test_the_reads_send_the_params_that_the_vectors_sign(name: str) -> None:
    """With the vector's own number and nonce the signature is the vector's, so only the params are left to compare."""
    vector = next(vector for vector in VECTORS if vector["name"] == name)
    order = (OrderRef(IdKind.ORDER_ID, "53287421324"),)

    requests = {
        "docs_js_get_order_detail": VENUE.queries[0].build(order, CREDENTIALS, STAMP),
        "get_open_orders_all": VENUE.listings[1].build(None, None, CREDENTIALS, STAMP),
        "cancel_all_no_params": VENUE.cancel_alls[0].build(None, CREDENTIALS, STAMP),
    }

    assert requests[name].target == f"/{vector['method']}"
    assert params_of(requests[name]) == vector["params"]
    assert requests[name] == build_call(vector["method"], vector["params"], CREDENTIALS, STAMP)


def test_a_listing_of_all_has_no_filter_and_one_of_a_symbol_its_documented_name() -> None:
    for each in VENUE.listings:
        assert params_of(each.build(None, None, CREDENTIALS, STAMP)) == {}
        assert params_of(each.build("CRO_USD", None, CREDENTIALS, STAMP)) == {"instrument_name": "CRO_USD"}


@pytest.mark.parametrize("symbol", [None, "CRO_USD", ""])
def test_a_cancel_all_is_of_a_whole_namespace_and_says_so(symbol: str | None) -> None:
    for each in VENUE.cancel_alls:
        assert not each.per_symbol
        assert params_of(each.build(symbol, CREDENTIALS, STAMP)) == {}
    assert [each.namespace for each in VENUE.cancel_alls] == [None, ADVANCED]


# Advanced orders are canceled by a call of their own


def test_advanced_orders_are_canceled_where_they_live() -> None:
    request = VENUE.build_cancel((*advanced(1), OrderRef(IdKind.ORDER_ID, "2", None, ADVANCED)), CREDENTIALS, STAMP)

    assert request.target == f"/{ADVANCED_METHOD}"
    assert params_of(request) == {"order_list": [{"order_id": "1"}, {"order_id": "2"}]}
    assert VENUE.namespaces == {ADVANCED: 10}


def test_the_answer_to_an_advanced_cancel_is_read_by_its_items() -> None:
    """The shape of https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-advanced-cancel-order-list."""
    items = [{"index": 0, "code": 0}, {"index": 1, "code": 212, "message": "INVALID_ORDERID"}]
    body = {"id": "1", "method": ADVANCED_METHOD, "code": "0", "result": items}

    answer = VENUE.read_cancel(advanced(2), Response(200, json.dumps(body).encode()))

    assert [outcome.status for outcome in answer.outcomes] == [Status.ACCEPTED, Status.UNKNOWN]
    assert [outcome.evidence for outcome in answer.outcomes] == [Evidence.CANCEL_ANSWER] * 2


@pytest.mark.parametrize("namespace", [None, ADVANCED])
def test_an_answer_to_the_cancel_of_the_other_namespace_says_nothing(namespace: str | None) -> None:
    other = METHOD if namespace else ADVANCED_METHOD
    body = {"id": "1", "method": other, "code": 0, "result": [{"index": 0, "code": 0}]}

    answer = VENUE.read_cancel(
        (OrderRef(IdKind.ORDER_ID, "1", None, namespace),), Response(200, json.dumps(body).encode())
    )

    assert [outcome.status for outcome in answer.outcomes] == [Status.UNKNOWN]
    assert answer.refusal is not None


# What the answers prove


@pytest.mark.parametrize("method", DETAILS)
@pytest.mark.parametrize("code", ["212", "316", "307", "40004", "40001", "50001", "10006"])
def test_no_error_but_not_found_says_that_an_order_is_not_known(method: str, code: str) -> None:
    query = next(query for query in VENUE.queries if query.name == method)
    for status in (200, 400, 500):
        body = json.dumps({"id": 1, "method": method, "code": code, "message": "M"}).encode()
        answer = query.read((OrderRef(IdKind.ORDER_ID, "1"),), Response(status, body))

        assert [outcome.evidence for outcome in answer.outcomes] == [Evidence.NO_ANSWER]
        assert answer.refusal is not None


@pytest.mark.parametrize("method", DETAILS)
@pytest.mark.parametrize("named", [None, "", "private/get-order-history"])
def test_not_found_must_be_said_of_this_very_call(method: str, named: str | None) -> None:
    query = next(query for query in VENUE.queries if query.name == method)
    body = json.dumps({"id": 1, "method": named, "code": 40401, "message": "NOT_FOUND"}).encode()

    answer = query.read((OrderRef(IdKind.ORDER_ID, "1"),), Response(200, body))

    assert [outcome.evidence for outcome in answer.outcomes] == [Evidence.NO_ANSWER]


@pytest.mark.parametrize(
    ("kind", "value", "status"),
    [
        (IdKind.ORDER_ID, "19848525", Status.OPEN),
        (IdKind.CLIENT_ORDER_ID, "1613571154900", Status.OPEN),
        (IdKind.CLIENT_ORDER_ID, "19848525", Status.UNKNOWN),
        (IdKind.ORDER_ID, "1613571154900", Status.UNKNOWN),
    ],
)
def test_a_detail_names_the_order_by_the_id_that_was_asked_for(kind: IdKind, value: str, status: Status) -> None:
    body = json.dumps({"id": 1, "method": DETAILS[0], "code": 0, "result": ROW}).encode()

    answer = VENUE.queries[0].read((OrderRef(kind, value),), Response(200, body))

    assert [outcome.status for outcome in answer.outcomes] == [status]


def test_a_status_that_no_page_has_is_told() -> None:
    body = json.dumps({"id": 1, "method": DETAILS[0], "code": 0, "result": {**ROW, "status": "ASLEEP"}}).encode()

    answer = VENUE.queries[0].read((OrderRef(IdKind.ORDER_ID, "19848525"),), Response(200, body))

    assert answer.unlisted == "ASLEEP"


@pytest.mark.parametrize(
    ("told", "created_ms"),
    [(1613575617173, 1613575617173), ("1613575617173", 1613575617173), ("soon", None), ("9" * 30, None), (-1, None)],
)
def test_a_listing_tells_the_age_of_an_order_or_nothing(told: object, created_ms: int | None) -> None:
    data = [{**ROW, "create_time": told}]
    body = json.dumps({"id": 1, "method": "private/get-open-orders", "code": 0, "result": {"data": data}}).encode()

    page = VENUE.listings[1].read(Response(200, body), None)

    assert [order.created_ms for order in page.orders] == [created_ms]


def test_a_market_that_is_closed_refuses_one_order_alone_of_advanced_ones_too() -> None:
    body = json.dumps({"id": 1, "method": ADVANCED_METHOD, "code": 309}).encode()

    alone, several = (VENUE.read_cancel(advanced(count), Response(500, body)).refusal for count in (1, 2))

    assert (alone and alone.kind, several and several.kind) == (RefusalKind.MARKET_CLOSED, RefusalKind.REFERENCE)


# Limits


def test_every_call_has_a_window_of_its_own_by_key() -> None:
    """https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#rate-limits, 2026-11-20."""
    windows = {name: call.limits for name, call in CALLS.items()}

    assert {
        name: [(one.name, one.scope, one.units, one.per_ms) for one in limits] for name, limits in windows.items()
    } == {
        "private/get-open-orders": [("private/get-open-orders", Scope.KEY, 3, 100)],
        "private/advanced/get-open-orders": [("private/advanced/get-open-orders", Scope.KEY, 3, 100)],
        "private/get-order-detail": [("private/get-order-detail", Scope.KEY, 30, 100)],
        "private/advanced/get-order-detail": [("private/advanced/get-order-detail", Scope.KEY, 3, 100)],
        "private/cancel-all-orders": [("private/cancel-all-orders", Scope.KEY, 15, 100)],
        "private/advanced/cancel-all-orders": [("private/advanced/cancel-all-orders", Scope.KEY, 3, 100)],
    }
