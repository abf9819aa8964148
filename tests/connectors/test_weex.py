"""WEEX's signing vectors and traps; the only place that compares its signatures byte for byte."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Answer, RefusalKind, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.weex import VENUE
from connectors.weex_calls import signature

VECTORS = json.loads((Path(__file__).parent / "vectors" / "weex.json").read_text("utf-8"))["vectors"]
CREDENTIALS = Credentials("weex_0123456789abcdef0123456789abcdef", "test-secret-not-real", passphrase="testpassphrase")
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
ID_1, ID_2 = "596471064624628269", "596476148997685805"

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def ids(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)


def cids(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.CLIENT_ORDER_ID, value) for value in values)


def read(document: object, status: int = 200, orders: tuple[OrderRef, ...] = ids(ID_1, ID_2)) -> Answer:
    return VENUE.read_cancel(orders, Response(status, json.dumps(document).encode()))


def lists(results: object, failures: object) -> dict[str, object]:
    return {"result": True, "orderIds": [ID_1], "cancelOrderResultList": results, "failInfos": failures}


def line(order_id: object, result: object = True, err_msg: object = "", client_oid: object = "") -> dict[str, object]:
    return {"order_id": order_id, "client_oid": client_oid, "result": result, "err_msg": err_msg}


def refused(code: object, message: str = "", status: int = 400, orders: tuple[OrderRef, ...] = ids(ID_1)) -> Answer:
    return read({"code": code, "msg": message, "data": None}, status, orders)


def kind(answer: Answer) -> RefusalKind | None:
    return answer.refusal.kind if answer.refusal else None


# --- building


@every_vector
def test_signature_equals_the_vector(vector: dict[str, str]) -> None:
    prefix, brace, rest = vector["string_to_sign"].partition("{")

    assert signature(prefix, f"{brace}{rest}".encode(), vector["secret"]) == vector["signature"]


@pytest.mark.parametrize(
    ("name", "orders"),
    [("weex_post_cancel_batch", ids(ID_1)), ("weex_post_cancel_batch_cids", cids("order12346"))],
)
def test_cancel_signs_the_bytes_that_go_out(name: str, orders: tuple[OrderRef, ...]) -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == name)

    request = VENUE.build_cancel(orders, CREDENTIALS, Stamp(1659076670000, STAMP.token))

    assert f"1659076670000{request.method}{request.target}{request.body.decode()}" == vector["string_to_sign"]
    assert dict(request.headers) == {
        "ACCESS-KEY": CREDENTIALS.api_key,
        "ACCESS-SIGN": vector["signature"],
        "ACCESS-PASSPHRASE": "testpassphrase",
        "ACCESS-TIMESTAMP": "1659076670000",
        "Content-Type": "application/json",
        "locale": "en-US",
    }


def test_passphrase_is_not_signed_and_symbol_is_not_sent() -> None:
    plain = VENUE.build_cancel(ids(ID_1), CREDENTIALS, STAMP)
    order = OrderRef(IdKind.ORDER_ID, ID_1, "cmt_btcusdt")
    other = VENUE.build_cancel((order,), Credentials(CREDENTIALS.api_key, CREDENTIALS.api_secret, "another"), STAMP)

    assert plain.headers["ACCESS-SIGN"] == other.headers["ACCESS-SIGN"]
    assert plain.body == other.body


def test_ids_go_out_as_strings_and_once() -> None:
    orders = (*ids(ID_1), OrderRef(IdKind.ORDER_ID, ID_1, "cmt_btcusdt"), *ids("007"))

    assert VENUE.build_cancel(orders, CREDENTIALS, STAMP).body == b'{"ids":["596471064624628269","007"]}'


@pytest.mark.parametrize("value", ["ordre-\u00e9\u4e2d", "\ud800", 'a"b\\c', "\x00"])
def test_any_client_id_survives_the_body(value: str) -> None:
    body = VENUE.build_cancel(cids(value), CREDENTIALS, STAMP).body

    assert json.loads(body) == {"cids": [value]}


@pytest.mark.parametrize(
    ("order", "taken"),
    [
        (OrderRef(IdKind.ORDER_ID, ID_1), True),
        (OrderRef(IdKind.ORDER_ID, "form-not-documented"), True),
        (OrderRef(IdKind.ORDER_ID, ""), False),
        (OrderRef(IdKind.ORDER_ID, "1\ud800"), False),
        (OrderRef(IdKind.CLIENT_ORDER_ID, "a" * 40), True),
        (OrderRef(IdKind.CLIENT_ORDER_ID, "a" * 41), False),
        (OrderRef(IdKind.CLIENT_ORDER_ID, ""), False),
        (OrderRef(IdKind.ORDER_LIST_ID, "1"), False),
        (OrderRef(IdKind.CLIENT_ORDER_LIST_ID, "1"), False),
    ],
)
def test_only_what_is_documented_as_impossible_is_refused(order: OrderRef, taken: bool) -> None:
    assert (VENUE.check_order(order) is None) == taken


# --- reading the lists


def test_request_level_result_is_no_outcome() -> None:
    answer = read({**lists([line(ID_1)], []), "result": False})
    echo = read({"result": True, "orderIds": [ID_1, ID_2], "cancelOrderResultList": [], "failInfos": []})

    assert [outcome.status for outcome in answer.outcomes] == [Status.ACCEPTED, Status.UNKNOWN]
    assert {outcome.evidence for outcome in echo.outcomes} == {Evidence.NO_ANSWER}


@pytest.mark.parametrize("missing", ["cancelOrderResultList", "failInfos"])
def test_one_list_is_enough(missing: str) -> None:
    for absent in ({missing: None}, {}):
        document = {key: value for key, value in lists([line(ID_1)], [line(ID_2, False)]).items() if key != missing}
        answer = read({**document, **absent})

        assert answer.refusal is None
        assert Status.CANCELED not in {outcome.status for outcome in answer.outcomes}


@pytest.mark.parametrize("failures", [{}, "", 0, False, {"order_id": ID_1}])
def test_list_that_cannot_be_read_is_doubt(failures: object) -> None:
    assert kind(read(lists([line(ID_1)], failures))) is RefusalKind.UNCERTAIN


@pytest.mark.parametrize("code", ["00000", "200", 200, "0", 0])
def test_wrapped_answer_is_read(code: object) -> None:
    answer = read({"code": code, "msg": "success", "data": lists([line(ID_1), line(ID_2)], [])})

    assert {outcome.status for outcome in answer.outcomes} == {Status.ACCEPTED}


@pytest.mark.parametrize("code", ["1", "", 40015, 40015.0, True, [], {}, "40018"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_lists_beside_another_code_are_doubt(code: object, wrapped: bool) -> None:
    document = lists([line(ID_1), line(ID_2)], [])

    answer = read({"code": code, "data": document} if wrapped else {"code": code, **document})

    assert kind(answer) is RefusalKind.UNCERTAIN
    assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


def test_client_id_is_matched_exactly() -> None:
    rows = [line(ID_1, client_oid="LEG-7"), line("leg-7"), line(ID_2, client_oid="leg-70")]

    answer = read(lists(rows, []), orders=cids("leg-7"))

    assert [outcome.evidence for outcome in answer.outcomes] == [Evidence.NO_ANSWER]


@pytest.mark.parametrize("order_id", ["\ud800", "a\nb", "9" * 301, "", None, 1.5, " 1"])
def test_order_id_that_cannot_be_shown_is_left_out(order_id: object) -> None:
    answer = read(lists([line(order_id, client_oid="leg-7")], []), orders=cids("leg-7"))

    assert [(outcome.status, outcome.order_id) for outcome in answer.outcomes] == [(Status.ACCEPTED, None)]


ids_told = st.sampled_from([ID_1, int(ID_1), ID_2, None, "", 7, 5.9e17])
lines = st.lists(
    st.builds(
        line,
        ids_told,
        st.sampled_from([True, False, None, 1, "true"]),
        st.sampled_from(["", None, "FAILED_ORDER_FILLED", "SUCCESS_ORDER_CANCELING"]),
    ),
    max_size=5,
)


@given(lines, lines)
def test_accepted_takes_a_result_of_its_own_and_no_failure(
    results: list[dict[str, object]], failures: list[dict[str, object]]
) -> None:
    answer = read(lists(results, failures))

    for outcome in answer.outcomes:
        taken = [row for row in results if str(row["order_id"]) == outcome.order.value]
        failed = [row for row in failures if str(row["order_id"]) == outcome.order.value]
        spoken = {row["err_msg"] for row in taken} - {"", None, "SUCCESS_ORDER_CANCELING"}
        clean = bool(taken) and not failed and not spoken and all(row["result"] is True for row in taken)
        assert (outcome.status is Status.ACCEPTED) == clean
        assert (outcome.evidence is Evidence.NO_ANSWER) == (not taken and not failed)


# --- reading refusals


@pytest.mark.parametrize("code", ["40008", 40008])
def test_code_may_be_a_number(code: object) -> None:
    assert kind(refused(code)) is RefusalKind.CLOCK


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("INVALID_ARGUMENT: price", RefusalKind.REFERENCE),
        ("System error", RefusalKind.UNCERTAIN),
        ("internal INVALID_ARGUMENT", RefusalKind.UNCERTAIN),
        ("", RefusalKind.UNCERTAIN),
        ("NOT_FOUND: order", None),
        ("FAILED_PRECONDITION: order is canceled", None),
    ],
)
def test_system_error_is_told_apart_by_its_message(message: str, expected: RefusalKind | None) -> None:
    answer = refused("40015", message)

    assert kind(answer) is expected
    assert answer.unlisted is None


@pytest.mark.parametrize(
    ("code", "message"), [("50005", ""), ("40015", "NOT_FOUND: x"), ("40015", "FAILED_PRECONDITION: x")]
)
def test_state_of_an_order_never_makes_an_order_live_or_gone(code: str, message: str) -> None:
    alone, several = refused(code, message), refused(code, message, orders=ids(ID_1, ID_2))

    assert (kind(alone), kind(several)) == (None, RefusalKind.REFERENCE)
    assert {outcome.status for outcome in (*alone.outcomes, *several.outcomes)} == {Status.UNKNOWN}
    assert [outcome.evidence for outcome in alone.outcomes] == [Evidence.CANCEL_ANSWER]


@pytest.mark.parametrize(
    ("retry_after", "pause_ms"), [("", 10_000), ("3", 10_000), ("30", 30_000), ("soon", 10_000), ("9" * 20, 10_000)]
)
def test_rate_limit_pauses_ten_seconds_at_least(retry_after: str, pause_ms: int) -> None:
    answer = VENUE.read_cancel(ids(ID_1), Response(429, b'{"code":"429"}', {"retry-after": retry_after}))

    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.pause_ms) == (RefusalKind.RATE_LIMIT, pause_ms)


@pytest.mark.parametrize(
    ("status", "body", "scope"),
    [
        (429, b'{"code":"429"}', Scope.ACCOUNT),
        (400, b'{"code":429}', Scope.ACCOUNT),
        (429, b'{"code":"-1003"}', Scope.IP),
        (429, b"<html>", Scope.IP),
        (400, b'{"code":"40200"}', Scope.ACCOUNT),
        (400, b'{"code":"40009"}', Scope.ACCOUNT),
        (502, b"<html>", Scope.ACCOUNT),
    ],
)
def test_rate_limit_is_of_the_account_unless_something_before_the_venue_set_it(
    status: int, body: bytes, scope: Scope
) -> None:
    refusal = VENUE.read_cancel(ids(ID_1), Response(status, body)).refusal

    assert refusal is not None
    assert refusal.scope is scope


def test_only_the_venues_own_id_names_one_order_for_ever() -> None:
    assert VENUE.resend_safe == {IdKind.ORDER_ID}


def test_unlisted_code_is_told() -> None:
    answer = refused("49999")

    assert (kind(answer), answer.unlisted) == (RefusalKind.UNCERTAIN, "49999")


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"x"'])
def test_page_of_a_gateway_is_doubt(status: int, body: bytes) -> None:
    assert kind(VENUE.read_cancel(ids(ID_1), Response(status, body))) is RefusalKind.UNCERTAIN


# --- limits and clock


def test_a_minute_of_calls_keeps_every_documented_number() -> None:
    calls = {limit.per_ms: limit.units // limit.cost for limit in VENUE.limits if limit.scope == "account"}

    assert calls[1000] <= 10
    assert calls[60_000] <= 50
    assert calls[10_000] <= 50


@pytest.mark.parametrize(
    ("status", "body", "now_ms"),
    [
        (200, '{"epoch":"1716710918.113","iso":"2024-05-26T08:08:38.113Z","timestamp":1716710918113}', 1716710918113),
        (200, '{"code":"00000","data":{"timestamp":1716710918113}}', 1716710918113),
        (500, '{"timestamp":1716710918113}', None),
        (200, '{"timestamp":true}', None),
        (200, '{"timestamp":"1716710918113"}', None),
        (200, '{"timestamp":-5}', None),
        (200, '{"timestamp":99999999999999999999}', None),
        (200, "[]", None),
        (200, "<html>", None),
    ],
)
def test_clock(status: int, body: str, now_ms: int | None) -> None:
    assert VENUE.read_clock is not None
    assert VENUE.read_clock(Response(status, body.encode())) == now_ms
