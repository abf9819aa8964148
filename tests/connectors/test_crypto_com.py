"""What is Crypto.com's own: its signature, the matching by index, and two levels of codes."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Answer, RefusalKind, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.crypto_com import METHOD, VENUE
from connectors.crypto_com_api import CODES, param_text, sign
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status

CREDENTIALS = Credentials(api_key="token", api_secret="secretKey")
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
VECTORS = json.loads((Path(__file__).parent / "vectors" / "crypto_com.json").read_text("utf-8"))["vectors"]
REFUSALS = [code for code in CODES if code != "0"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
codes = st.sampled_from([0, "0", 212, "209", 777, False, None, 0.0, "00", " 0", -0, [0]]) | json_values


def orders(count: int) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, str(6142909902150128699 + n), "CRO_USD") for n in range(count))


def read(count: int, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    whole = body if isinstance(body, bytes) else json.dumps(body).encode()
    return VENUE.read_cancel(orders(count), Response(status, whole, headers or {}))


def result(*items: object) -> dict[str, object]:
    return {"id": 1, "method": METHOD, "code": 0, "result": list(items)}


def statuses(answer: Answer) -> list[Status]:
    return [outcome.status for outcome in answer.outcomes]


# Signing


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_signature_is_the_one_of_the_venues_own_samples(vector: dict[str, Any]) -> None:
    credentials = Credentials(vector["api_key"], vector["secret"])
    number, nonce, params = int(vector["id"]), int(vector["nonce"]), vector["params"]

    text = f"{vector['method']}{number}{vector['api_key']}{param_text(params)}{nonce}"

    assert text == vector["string_to_sign"]
    assert sign(vector["method"], number, nonce, params, credentials) == vector["expected_sig"]


@pytest.mark.parametrize(
    ("params", "written"),
    [
        ({}, ""),
        ({"b": True, "a": False, "c": None, "d": 12}, "afalsebtruecnulld12"),
        ({"list": ["x", 1, None], "empty": []}, "emptylistx1null"),
        ({"b": {"d": "1", "c": [{"f": "2", "e": "3"}]}, "a": "4"}, "a4bce3f2d1"),
    ],
)
def test_params_are_written_as_the_reference_says(params: dict[str, object], written: str) -> None:
    assert param_text(params) == written


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("order_id", IdKind.ORDER_ID), ("client_oid", IdKind.CLIENT_ORDER_ID)]),
            st.text(max_size=40),
            st.none() | st.text(max_size=8),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_every_order_that_passes_the_check_is_sent_and_signed_as_it_is(
    asked: list[tuple[tuple[str, IdKind], str, str | None]],
) -> None:
    passed = [
        (name, OrderRef(kind, value, symbol))
        for (name, kind), value, symbol in asked
        if VENUE.check_order(OrderRef(kind, value, symbol)) is None
    ]

    request = VENUE.build_cancel(tuple(order for _, order in passed), CREDENTIALS, STAMP)

    body = json.loads(request.body)
    items = [
        ({"instrument_name": order.symbol} if order.symbol else {}) | {name: order.value} for name, order in passed
    ]
    assert body["params"] == {"contingency_type": "LIST", "order_list": items}
    written = "".join(key + item[key] for item in items for key in sorted(item))
    text = f"{METHOD}{STAMP.number}tokencontingency_typeLISTorder_list{written}{STAMP.now_ms}"
    assert body["sig"] == hmac.new(b"secretKey", text.encode(), hashlib.sha256).hexdigest()


def test_id_and_nonce_are_numbers_and_the_body_is_compact() -> None:
    request = VENUE.build_cancel(orders(1), CREDENTIALS, STAMP)

    assert (request.method, request.target) == ("POST", "/private/cancel-order-list")
    assert b'"nonce":1763632800000,' in request.body
    assert f'{{"id":{STAMP.number},"method":'.encode() in request.body
    assert b'"order_id":"6142909902150128699"' in request.body  # above 2**53, so never a number
    assert b" " not in request.body


# References


@pytest.mark.parametrize(
    "order",
    [
        OrderRef(IdKind.ORDER_ID, "6142909902150128699"),
        OrderRef(IdKind.ORDER_ID, "53287421324", "BTCUSD-PERP"),
        OrderRef(IdKind.CLIENT_ORDER_ID, "c" * 36, "CRO_USD"),
        OrderRef(IdKind.CLIENT_ORDER_ID, "étape 7", ""),
    ],
)
def test_what_the_venue_may_take_passes(order: OrderRef) -> None:
    assert VENUE.check_order(order) is None


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (OrderRef(IdKind.ORDER_LIST_ID, "77"), "not by order_list_id"),
        (OrderRef(IdKind.CLIENT_ORDER_LIST_ID, "77"), "not by client_order_list_id"),
        (OrderRef(IdKind.ORDER_ID, ""), "empty"),
        (OrderRef(IdKind.CLIENT_ORDER_ID, "c" * 37), "at most 36 characters"),
        (OrderRef(IdKind.CLIENT_ORDER_ID, "leg\ud800"), "not valid Unicode"),
        (OrderRef(IdKind.ORDER_ID, "1", "CRO\udfff"), "not valid Unicode"),
    ],
)
def test_what_cannot_name_an_order_is_refused_in_words(order: OrderRef, words: str) -> None:
    assert words in (VENUE.check_order(order) or "")


# Items


@given(
    st.integers(1, 10),
    st.lists(
        st.fixed_dictionaries(
            {"code": codes},
            optional={
                "index": st.integers(-1, 10) | st.integers(0, 9).map(str) | json_values,
                "message": json_values,
            },
        )
        | json_values,
        max_size=14,
    ),
)
def test_accepted_takes_exactly_one_item_with_the_orders_index_and_code_0(count: int, items: list[object]) -> None:
    def says(item: object, name: str) -> object:
        value = cast("dict[str, object]", item).get(name) if isinstance(item, dict) else None
        return str(value) if type(value) in (int, str) else None

    answer = read(count, result(*items))

    assert tuple(outcome.order for outcome in answer.outcomes) == orders(count)
    for place, outcome in enumerate(answer.outcomes):
        its_codes = [says(item, "code") for item in items if says(item, "index") == str(place)]
        assert (outcome.status is Status.ACCEPTED) == (its_codes == ["0"])
        if len(its_codes) != 1:
            assert (outcome.status, outcome.evidence) == (Status.UNKNOWN, Evidence.NO_ANSWER)


@given(st.permutations(range(5)), st.lists(st.sampled_from([0, 209, 212]), min_size=5, max_size=5))
def test_the_order_of_the_items_does_not_matter(sequence: list[int], its_codes: list[int]) -> None:
    items = [{"code": its_codes[place], "index": place} for place in range(5)]

    shuffled = read(5, result(*(items[place] for place in sequence)))

    assert shuffled == read(5, result(*items))
    assert shuffled.refusal is None


@pytest.mark.parametrize(
    "stray",
    [
        {"code": 0, "index": 2},
        {"code": 0, "index": -1},
        {"code": 0, "index": "00"},
        {"code": 0, "index": None},
        {"code": 209},
        "0",
        None,
    ],
    ids=str,
)
def test_an_item_without_a_place_casts_doubt_on_every_refusal(stray: object) -> None:
    answer = read(2, result({"code": 0, "index": 0}, {"code": 209, "index": 1, "message": "INVALID_INSTRUMENT"}, stray))

    assert statuses(answer) == [Status.ACCEPTED, Status.UNKNOWN]
    assert (answer.outcomes[1].code, answer.outcomes[1].message) == ("209", "INVALID_INSTRUMENT")


def test_a_refusal_in_an_answer_that_is_too_short_is_doubted() -> None:
    assert statuses(read(2, result({"code": 209, "index": 0}))) == [Status.UNKNOWN, Status.UNKNOWN]


@pytest.mark.parametrize("code", REFUSALS)
def test_no_item_code_but_0_is_accepted_and_none_proves_that_nothing_was_sent(code: str) -> None:
    answers = [read(1, result({"code": said, "index": 0, "message": "M"})) for said in (code, int(code))]

    assert answers[0] == answers[1]
    outcome = answers[0].outcomes[0]
    assert outcome.status in {Status.UNKNOWN, Status.REJECTED}
    assert (outcome.evidence, outcome.code, outcome.message) == (Evidence.CANCEL_ANSWER, code, "M")


def test_the_first_unlisted_item_code_is_told() -> None:
    answer = read(3, result(*({"code": code, "index": place} for place, code in enumerate([0, 778, 777]))))

    assert answer.unlisted == "778"
    assert statuses(answer) == [Status.ACCEPTED, Status.UNKNOWN, Status.UNKNOWN]


# Whole calls


@pytest.mark.parametrize(("code", "status"), list(product(REFUSALS, [200, 400, 401, 404, 408, 429, 500, 503])))
def test_the_code_in_the_body_decides_and_not_the_http_status(code: str, status: int) -> None:
    answers = [read(2, {"method": METHOD, "code": said, "message": "M"}, status) for said in (code, int(code))]

    assert answers[0] == answers[1] == read(2, {"code": code, "message": "M"}, 500)
    assert answers[0].unlisted is None


@pytest.mark.parametrize("code", ["212", "307", "316", "130008", "40401"])
def test_an_order_that_is_not_open_spoils_no_call(code: str) -> None:
    """The others may have been taken, and "not open" is not "live": so UNKNOWN, never REJECTED."""
    answer = read(1, {"code": code}, 500)

    assert statuses(answer) == [Status.UNKNOWN]
    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.UNCERTAIN


@pytest.mark.parametrize("status", [201, 302, 400, 401, 408, 429, 500, 502, 503])
def test_accepted_items_under_a_failed_http_status_are_unknown(status: int) -> None:
    answer = read(1, result({"code": 0, "index": 0}), status)

    assert statuses(answer) == [Status.UNKNOWN]
    assert answer.unlisted is None


@pytest.mark.parametrize("code", [0.0, False, None, "", " 0", "00", "+0", [0], {"0": 0}], ids=str)
def test_what_only_looks_like_0_is_not_0(code: object) -> None:
    assert statuses(read(1, result({"code": 0, "index": 0}) | {"code": code})) == [Status.UNKNOWN]
    assert statuses(read(1, result({"code": code, "index": 0}))) == [Status.UNKNOWN]


@pytest.mark.parametrize(
    "method", ["private/create-order-list", "private/cancel-all-orders", "ERROR", 0, ["x"]], ids=str
)
def test_an_answer_to_another_method_says_nothing(method: object) -> None:
    for code in (0, 42901, 40101):
        answer = read(1, result({"code": 0, "index": 0}) | {"method": method, "code": code})

        assert statuses(answer) == [Status.UNKNOWN]
        assert answer.refusal is not None


def test_an_answer_without_its_method_is_read() -> None:
    body = result({"code": 0, "index": 0})
    del body["method"]

    assert statuses(read(1, body)) == [Status.ACCEPTED]


@pytest.mark.parametrize(
    "result_of_another_kind", [None, {}, {"0": {"code": 0, "index": 0}}, "0", 0, [], [[]]], ids=str
)
def test_the_outer_0_alone_says_nothing_of_an_order(result_of_another_kind: object) -> None:
    answer = read(2, {"method": METHOD, "code": 0, "result": result_of_another_kind})

    assert statuses(answer) == [Status.UNKNOWN, Status.UNKNOWN]
    assert {outcome.evidence for outcome in answer.outcomes} == {Evidence.NO_ANSWER}


@pytest.mark.parametrize(("status", "kind"), [(400, RefusalKind.UNCERTAIN), (429, RefusalKind.RATE_LIMIT)])
def test_an_unlisted_code_is_told_and_only_http_429_is_sure_of_itself(status: int, kind: RefusalKind) -> None:
    answer = read(1, {"code": 10006, "message": "SOMETHING_NEW"}, status)

    assert answer.unlisted == "10006"
    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.code) == (kind, "10006")


@pytest.mark.parametrize(
    ("header", "pause_ms"),
    [
        ("2", 2000),
        (" 30 ", 30000),
        ("0", 0),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 10, None),
        ("soon", None),
    ],
)
def test_the_pause_is_the_one_that_the_venue_asks_for(header: str, pause_ms: int | None) -> None:
    refusal = read(1, {"code": 42901}, 429, {"retry-after": header}).refusal

    assert refusal is not None
    assert refusal.pause_ms == pause_ms


@pytest.mark.parametrize(
    ("status", "body", "scope"),
    [
        (429, {"code": 42901}, Scope.KEY),
        (500, {"code": "42901"}, Scope.KEY),
        (429, {}, Scope.IP),
        (429, b"<html>Too many requests</html>", Scope.IP),
        (429, {"code": 10006}, Scope.IP),
        (503, {"code": 9010001}, Scope.ACCOUNT),
        (401, {"code": 40101}, Scope.ACCOUNT),
        (502, b"<html>", Scope.ACCOUNT),
    ],
)
def test_a_rate_limit_is_of_the_key_unless_something_before_the_venue_set_it(
    status: int, body: object, scope: Scope
) -> None:
    refusal = read(1, body, status).refusal

    assert refusal is not None
    assert refusal.scope is scope


def test_a_closed_market_stops_neither_the_account_nor_the_orders_of_other_markets() -> None:
    alone, several = read(1, {"code": 309}, 500), read(2, {"code": 309}, 500)

    assert (alone.refusal and alone.refusal.kind, statuses(alone)) == (
        RefusalKind.MARKET_CLOSED,
        [Status.NOT_SENT],
    )
    assert several.refusal is not None
    assert several.refusal.kind is RefusalKind.REFERENCE


def test_only_the_venues_own_id_names_one_order_for_ever() -> None:
    assert VENUE.resend_safe == {IdKind.ORDER_ID}


@given(st.integers(100, 599), json_values | st.fixed_dictionaries({"code": codes, "result": json_values}))
def test_any_json_gives_one_outcome_per_order_and_accepts_none_without_its_item(status: int, body: object) -> None:
    answer = read(3, body, status)

    assert tuple(outcome.order for outcome in answer.outcomes) == orders(3)
    assert Status.ACCEPTED not in statuses(answer)
