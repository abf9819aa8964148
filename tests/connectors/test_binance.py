"""Binance's signatures and traps; the only place that compares its signed queries byte for byte."""

import base64
import copy
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from connectors.binance import VENUE
from connectors.binance_refusals import CODES, TEXTS
from connectors.binance_signing import check_private_key, sign
from connectors.calls import Answer, RefusalKind, Response, Scope, Stamp, Usage
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status, Verdict

HERE = Path(__file__).parent
VECTORS = {
    vector["name"]: vector for vector in json.loads((HERE / "vectors" / "binance.json").read_text("utf-8"))["vectors"]
}
CREDENTIALS = Credentials(
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
)
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
VECTOR_STAMP = replace(STAMP, now_ms=1499827319559)

ORDER = OrderRef(IdKind.ORDER_ID, "4", "LTCBTC")
LIST = OrderRef(IdKind.ORDER_LIST_ID, "0", "LTCBTC")


def recorded(name: str) -> Any:
    file = json.loads((HERE / "recorded" / "binance" / f"{name}.json").read_text("utf-8"))
    return json.loads(file["response"]["body"])


ORDER_ANSWER = recorded("order_by_id")
LIST_ANSWER = recorded("list_by_id")
LEG_ANSWER = recorded("leg_by_id_answered_by_its_list")


def pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


def payload_and_signature(target: str) -> tuple[str, str]:
    payload, _, signature = target.partition("?")[2].rpartition("&signature=")
    return payload, signature


def answer(order: OrderRef, document: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return VENUE.read_cancel((order,), Response(status, json.dumps(document).encode(), headers or {}))


def read(order: OrderRef, document: object) -> Outcome:
    (outcome,) = answer(order, document).outcomes
    return outcome


def with_legs(*states: tuple[str, str]) -> Any:
    document = copy.deepcopy(LIST_ANSWER)
    for leg, (status, quantity) in zip(document["orderReports"], states, strict=True):
        leg.update(status=status, executedQty=quantity)
    return document


# --- signing


@pytest.mark.parametrize("vector", [v for v in VECTORS.values() if v["alg"] == "HMAC-SHA256"], ids=lambda v: v["name"])
def test_hmac_equals_the_vector(vector: dict[str, str]) -> None:
    credentials = Credentials(vector["api_key"], vector["secret"])

    assert sign(vector["payload"], credentials) == vector["expected_signature"]


@pytest.mark.parametrize(
    ("name", "path", "kind", "value"),
    [
        ("cancel_order", "/api/v3/order", IdKind.ORDER_ID, "28"),
        ("cancel_order_by_client_id_needing_encoding", "/api/v3/order", IdKind.CLIENT_ORDER_ID, "a:b/c_1"),
        ("cancel_order_list_by_id", "/api/v3/orderList", IdKind.ORDER_LIST_ID, "0"),
        (
            "cancel_order_list_by_client_id",
            "/api/v3/orderList",
            IdKind.CLIENT_ORDER_LIST_ID,
            "C3wyj4WVEktd7u9aVBRXcN",
        ),
    ],
)
def test_whole_cancel_equals_the_vector(name: str, path: str, kind: IdKind, value: str) -> None:
    vector = VECTORS[name]

    request = VENUE.build_cancel((OrderRef(kind, value, "LTCBTC"),), CREDENTIALS, VECTOR_STAMP)

    assert request.method == "DELETE"
    assert request.target == f"{path}?{vector['payload']}&signature={vector['expected_signature']}"
    assert request.headers == {"X-MBX-APIKEY": vector["api_key"]}
    assert request.body == b""


def test_a_symbol_beyond_ascii_is_encoded_before_it_is_signed() -> None:
    official = VECTORS["official_hmac_percent_encoded_utf8"]
    order = OrderRef(IdKind.ORDER_ID, "1", "\uff11\uff12\uff13\uff14\uff15\uff16")

    target = VENUE.build_cancel((order,), CREDENTIALS, STAMP).target

    assert official["payload"].partition("&")[0] in target
    assert target.isascii()


@given(
    kind=st.sampled_from([IdKind.CLIENT_ORDER_ID, IdKind.CLIENT_ORDER_LIST_ID]),
    value=st.text(min_size=1),
    symbol=st.text(min_size=1),
)
def test_exactly_the_bytes_that_go_out_are_signed(kind: IdKind, value: str, symbol: str) -> None:
    order = OrderRef(kind, value, symbol)
    if VENUE.check_order(order) is not None:
        return

    payload, signature = payload_and_signature(VENUE.build_cancel((order,), CREDENTIALS, STAMP).target)

    assert payload.isascii()
    assert payload.isprintable()
    assert hmac.new((CREDENTIALS.api_secret or "").encode(), payload.encode(), "sha256").hexdigest() == signature
    assert [pair[1] for pair in parse_qsl(payload, keep_blank_values=True)] == [symbol, value, "5000", "1763632800000"]


def test_ed25519_equals_the_vector() -> None:
    vector = VECTORS["derived_ed25519_cancel_order_list"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private_seed_hex"]))
    credentials = Credentials("key", private_key=pem(key))

    payload, signature = payload_and_signature(VENUE.build_cancel((LIST,), credentials, VECTOR_STAMP).target)

    assert payload == vector["payload"]
    assert signature == vector["signature_param_percent_encoded"]
    assert unquote(signature) == vector["expected_signature_base64"]


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return generate_rsa_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_rsa_signature_is_the_keys_own(rsa_key: RSAPrivateKey, form: PrivateFormat) -> None:
    text = rsa_key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    request = VENUE.build_cancel((ORDER,), Credentials("key", private_key=text), STAMP)

    payload, signature = payload_and_signature(request.target)

    assert check_private_key(text) is None
    assert not set(signature) & set("+/=")  # base64, percent-encoded
    rsa_key.public_key().verify(base64.b64decode(unquote(signature)), payload.encode(), PKCS1v15(), SHA256())


def test_the_private_key_goes_before_the_secret() -> None:
    key = Ed25519PrivateKey.generate()
    both = replace(CREDENTIALS, private_key=pem(key))

    assert sign("a=1", both) == sign("a=1", Credentials("key", private_key=pem(key)))


def test_a_key_that_cannot_sign_is_told_in_a_sentence_without_the_key(rsa_key: RSAPrivateKey) -> None:
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    unreadable = "the private key is not in PEM form (PKCS#8)"

    assert check_private_key(pem(rsa_key)) is None
    assert check_private_key(pem(Ed25519PrivateKey.generate())) is None
    assert check_private_key(pem(rsa_key, BestAvailableEncryption(b"password"))) == (
        "the private key is encrypted; give it without a password"
    )
    assert check_private_key(pem(generate_private_key(SECP256R1()))) == (
        "the private key is neither RSA nor Ed25519, and Binance takes no other"
    )
    for text in ("", "secret", "\ud800", public, pem(rsa_key)[:400], pem(rsa_key).replace("\n", "\\n")):
        assert check_private_key(text) == unreadable


# --- references


@pytest.mark.parametrize(
    ("kind", "value", "symbol"),
    [
        (IdKind.ORDER_ID, "9223372036854775807", "LTCBTC"),
        (IdKind.ORDER_ID, "0028", "LTCBTC"),
        (IdKind.ORDER_LIST_ID, "0", "LTCBTC"),
        (IdKind.CLIENT_ORDER_ID, "a:b/c_1", "这是测试币456"),
        (IdKind.CLIENT_ORDER_ID, "x" * 64, "LTCBTC"),
        (IdKind.CLIENT_ORDER_LIST_ID, "7", "LTCBTC"),
    ],
)
def test_what_may_name_an_order_is_taken(kind: IdKind, value: str, symbol: str) -> None:
    assert VENUE.check_order(OrderRef(kind, value, symbol)) is None


@pytest.mark.parametrize(
    ("kind", "value", "symbol"),
    [
        (IdKind.ORDER_ID, "28", None),
        (IdKind.ORDER_ID, "28", ""),
        (IdKind.ORDER_ID, "", "LTCBTC"),
        (IdKind.ORDER_ID, "myOrder1", "LTCBTC"),
        (IdKind.ORDER_ID, "28.0", "LTCBTC"),
        (IdKind.ORDER_ID, "٢٨", "LTCBTC"),  # digits, but not ASCII
        (IdKind.ORDER_ID, "28\n", "LTCBTC"),
        (IdKind.ORDER_ID, "1" * 21, "LTCBTC"),
        (IdKind.ORDER_LIST_ID, "-1", "LTCBTC"),  # what an order in no list says
        (IdKind.CLIENT_ORDER_ID, "", "LTCBTC"),
        (IdKind.CLIENT_ORDER_ID, "\ud800", "LTCBTC"),
        (IdKind.CLIENT_ORDER_LIST_ID, "x", "\udfff"),
    ],
)
def test_what_cannot_name_an_order_is_told(kind: IdKind, value: str, symbol: str | None) -> None:
    assert VENUE.check_order(OrderRef(kind, value, symbol))


# --- answers


def test_zeros_before_a_number_do_not_hide_the_order() -> None:
    assert read(OrderRef(IdKind.ORDER_ID, "0004", "LTCBTC"), ORDER_ANSWER).status is Status.CANCELED
    assert read(OrderRef(IdKind.ORDER_LIST_ID, "00", "LTCBTC"), LIST_ANSWER).status is Status.CANCELED


def test_zeros_before_a_client_id_make_it_another() -> None:
    document = ORDER_ANSWER | {"origClientOrderId": "7"}

    assert read(OrderRef(IdKind.CLIENT_ORDER_ID, "7", "LTCBTC"), document).status is Status.CANCELED
    assert read(OrderRef(IdKind.CLIENT_ORDER_ID, "07", "LTCBTC"), document).status is Status.UNKNOWN


@pytest.mark.parametrize("symbol", ["ltcbtc", "LTCUSDT", None, 7, ["LTCBTC"]])
def test_the_same_number_on_another_symbol_is_another_order(symbol: object) -> None:
    assert read(ORDER, ORDER_ANSWER | {"symbol": symbol}).status is Status.UNKNOWN
    assert read(LIST, LIST_ANSWER | {"symbol": symbol}).status is Status.UNKNOWN


def test_the_cancels_own_id_is_not_the_orders() -> None:
    outcome = read(OrderRef(IdKind.CLIENT_ORDER_ID, "cancelMyOrder1", "LTCBTC"), ORDER_ANSWER)

    assert (outcome.status, outcome.evidence) == (Status.UNKNOWN, Evidence.NO_ANSWER)


@pytest.mark.parametrize("order_id", [4.0, True, None, [4], {"id": 4}, "04", " 4", 40, -4])
def test_an_id_that_only_resembles_the_orders_proves_nothing(order_id: object) -> None:
    assert read(ORDER, ORDER_ANSWER | {"orderId": order_id}).status is Status.UNKNOWN


@pytest.mark.parametrize("status", ["canceled", "CANCELED ", "CANCELLED", "NEW", "", None, 1, ["CANCELED"]])
def test_a_status_that_is_not_of_the_table_proves_nothing(status: object) -> None:
    outcome = read(ORDER, ORDER_ANSWER | {"status": status})

    assert (outcome.status, outcome.evidence) == (Status.UNKNOWN, Evidence.CANCEL_ANSWER)


@pytest.mark.parametrize("quantity", [1, 0.5, None, "", "-1", "1e3", "NaN", "٣", "1" * 50])
def test_a_quantity_that_is_no_decimal_text_is_left_out(quantity: object) -> None:
    outcome = read(ORDER, ORDER_ANSWER | {"executedQty": quantity})

    assert (outcome.status, outcome.filled_qty) == (Status.CANCELED, None)


@pytest.mark.parametrize("code", [-2011, 0, "0", True, {}])
def test_a_code_beside_an_order_is_doubt(code: object) -> None:
    assert read(ORDER, ORDER_ANSWER | {"code": code}).status is Status.UNKNOWN


@pytest.mark.parametrize("status", [100, 201, 202, 302, 400, 500])
def test_only_200_is_final(status: int) -> None:
    assert answer(ORDER, ORDER_ANSWER, status).outcomes[0].status is Status.UNKNOWN


def test_an_order_named_twice_is_doubt() -> None:
    document = copy.deepcopy(LEG_ANSWER)
    document["orderReports"].append(document["orderReports"][0] | {"status": "NEW"})

    assert read(OrderRef(IdKind.ORDER_ID, "12569099453", "BTCUSDT"), document).status is Status.UNKNOWN


def test_a_leg_is_judged_by_its_own_report() -> None:
    document = copy.deepcopy(LEG_ANSWER)
    document["orderReports"][0]["status"] = "NEW"

    assert read(OrderRef(IdKind.ORDER_ID, "12569099453", "BTCUSDT"), document).status is Status.UNKNOWN
    assert read(OrderRef(IdKind.ORDER_ID, "12569099454", "BTCUSDT"), document).status is Status.CANCELED


@pytest.mark.parametrize(
    ("states", "status", "filled_qty"),
    [
        ([("CANCELED", "0.00"), ("CANCELED", "0.00")], Status.CANCELED, "0.00"),
        ([("CANCELED", "0.00"), ("CANCELED", "1.50")], Status.CANCELED, "1.50"),
        ([("CANCELED", "1.50"), ("CANCELED", "1.50")], Status.CANCELED, None),  # a sum is not the venue's own text
        ([("CANCELED", "0.00"), ("CANCELED", "?")], Status.CANCELED, None),
        ([("CANCELED", "2.00"), ("CANCELED", "?")], Status.CANCELED, None),
        ([("FILLED", "10.0"), ("CANCELED", "0.00")], Status.CANCELED, "10.0"),
        ([("EXPIRED", "0.00"), ("CANCELED", "0.00")], Status.CANCELED, "0.00"),
        ([("FILLED", "10.0"), ("EXPIRED", "0.00")], Status.CLOSED, "10.0"),
        ([("REJECTED", "0.00"), ("EXPIRED_IN_MATCH", "0.00")], Status.CLOSED, "0.00"),
        ([("FILLED", "10.0"), ("FILLED", "10.0")], Status.FILLED, None),
        ([("FILLED", "10.0"), ("PENDING_NEW", "0.00")], Status.UNKNOWN, None),
        ([("CANCELED", "0.00"), ("PARTIALLY_FILLED", "1.00")], Status.UNKNOWN, None),
        ([("CANCELED", "0.00"), ("?", "0.00")], Status.UNKNOWN, None),
    ],
)
def test_a_list_is_judged_by_all_its_legs(
    states: list[tuple[str, str]], status: Status, filled_qty: str | None
) -> None:
    outcome = read(LIST, with_legs(*states))

    assert (outcome.status, outcome.filled_qty) == (status, filled_qty)


@pytest.mark.parametrize("name", ["orderListId", "symbol", "orders", "orderReports", "listOrderStatus"])
@pytest.mark.parametrize("value", [None, "", "other", 9, [], {}, [None], [{}], [{}, {}]])
def test_a_list_that_is_not_whole_proves_nothing(name: str, value: object) -> None:
    assert read(LIST, LIST_ANSWER | {name: value}).status is Status.UNKNOWN


@pytest.mark.parametrize("name", ["orderId", "orderListId", "symbol", "status"])
@pytest.mark.parametrize("value", [None, "", "other", 9, [], {}])
@pytest.mark.parametrize("leg", [0, 1])
def test_a_list_with_a_leg_that_is_not_its_own_proves_nothing(name: str, value: object, leg: int) -> None:
    document = copy.deepcopy(LIST_ANSWER)
    document["orderReports"][leg][name] = value

    assert read(LIST, document).status is Status.UNKNOWN


@given(
    document=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.sampled_from(["CANCELED", "LTCBTC", "ALL_DONE", 0, 4]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*LIST_ANSWER, *ORDER_ANSWER, "code", "msg"]) | st.text(), inner, max_size=8
            )
        ),
        max_leaves=30,
    ),
    order=st.sampled_from([ORDER, LIST]),
)
def test_success_needs_the_orders_name(document: object, order: OrderRef) -> None:
    reply = answer(order, document)

    (outcome,) = reply.outcomes
    if outcome.verdict is Verdict.GONE:
        assert f'"{"orderId" if order is ORDER else "orderListId"}": ' in json.dumps(document)
        assert '"LTCBTC"' in json.dumps(document)
    assert all(sibling.verdict is Verdict.GONE for sibling in reply.siblings)


# --- siblings


def names(outcomes: tuple[Outcome, ...]) -> dict[tuple[str, str], str]:
    return {(outcome.order.kind.value, outcome.order.value): outcome.status.value for outcome in outcomes}


def test_a_list_names_its_legs_and_its_other_name() -> None:
    reply = answer(LIST, LIST_ANSWER)

    assert names(reply.siblings) == {
        ("client_order_list_id", "C3wyj4WVEktd7u9aVBRXcN"): "canceled",
        ("order_id", "2"): "canceled",
        ("client_order_id", "pO9ufTiFGg3nw2fOdgeOXa"): "canceled",
        ("order_id", "3"): "canceled",
        ("client_order_id", "TXOvglzXuaubXAaENpaRCB"): "canceled",
    }
    assert {sibling.order.symbol for sibling in reply.siblings} == {"LTCBTC"}


def test_a_leg_answered_by_its_list_names_the_other_leg_and_the_list() -> None:
    reply = answer(OrderRef(IdKind.ORDER_ID, "12569099453", "BTCUSDT"), LEG_ANSWER)

    assert names(reply.siblings) == {
        ("order_list_id", "19431"): "canceled",
        ("client_order_list_id", "iuVNVJYYrByz6C4yGOPPK0"): "canceled",
        ("client_order_id", "bX5wROblo6YeDwa9iTLeyY"): "canceled",
        ("order_id", "12569099454"): "canceled",
        ("client_order_id", "Tnu2IP0J5Y4mxw3IATBfmW"): "canceled",
    }


def test_an_order_names_its_other_name_but_no_list() -> None:
    reply = answer(ORDER, ORDER_ANSWER | {"orderListId": 7})

    assert names(reply.siblings) == {("client_order_id", "myOrder1"): "canceled"}


def test_a_client_id_that_may_be_in_use_again_is_not_named() -> None:
    """The id of a filled order is free for a newer order, which may be open."""
    reply = answer(LIST, with_legs(("FILLED", "10.0"), ("EXPIRED", "0.00")))

    assert names(reply.siblings) == {("order_id", "2"): "filled", ("order_id", "3"): "closed"}


def test_a_leg_that_may_be_open_is_not_named_nor_its_list() -> None:
    reply = answer(LIST, with_legs(("CANCELED", "0.00"), ("NEW", "0.00")))

    assert names(reply.siblings) == {
        ("order_id", "2"): "canceled",
        ("client_order_id", "pO9ufTiFGg3nw2fOdgeOXa"): "canceled",
    }


def test_an_answer_to_another_call_names_nobody() -> None:
    assert answer(replace(LIST, value="1"), LIST_ANSWER).siblings == ()


def test_a_sibling_that_could_not_be_written_is_left_out() -> None:
    reply = answer(ORDER, ORDER_ANSWER | {"origClientOrderId": "\ud800"})

    assert (reply.outcomes[0].status, reply.siblings) == (Status.CANCELED, ())


# --- refusals


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_no_code_makes_a_5xx_definite(code: str, status: int) -> None:
    for message in TEXTS:
        reply = answer(ORDER, {"code": int(code), "msg": message}, status)

        assert reply.refusal is not None
        assert reply.refusal.kind is RefusalKind.UNCERTAIN
        assert reply.outcomes[0].status is Status.UNKNOWN


@pytest.mark.parametrize("code", [-1010, -2010, -2011])
@pytest.mark.parametrize("message", TEXTS)
def test_the_engines_text_decides(code: int, message: str) -> None:
    reply = answer(ORDER, {"code": code, "msg": message}, 400)

    (outcome,) = reply.outcomes
    assert (reply.refusal.kind if reply.refusal else outcome.status) is TEXTS[message]
    assert (outcome.code, outcome.message, reply.unlisted) == (str(code), message, None)


@pytest.mark.parametrize("message", ["unknown order sent.", "Unknown order sent", "CANCEL_REJECTED", None, "", 7, []])
def test_a_text_that_is_not_listed_is_unknown_and_told(message: object) -> None:
    reply = answer(ORDER, {"code": -2011, "msg": message}, 400)

    assert reply.outcomes[0].status is Status.UNKNOWN
    assert reply.unlisted is not None
    assert reply.unlisted.startswith("-2011 ")


def test_an_engines_text_under_another_code_decides_nothing() -> None:
    reply = answer(ORDER, {"code": -1000, "msg": "Order was not canceled due to cancel restrictions."}, 400)

    assert reply.outcomes[0].status is Status.UNKNOWN


def test_a_code_that_is_not_listed_is_told() -> None:
    reply = answer(ORDER, {"code": -9999, "msg": "Something new."}, 400)

    assert (reply.outcomes[0].status, reply.unlisted) == (Status.UNKNOWN, "-9999")


@pytest.mark.parametrize(
    ("status", "message", "headers", "pause_ms"),
    [
        (429, "Too many requests queued.", {"retry-after": "17"}, 17_000),
        (429, "Too many requests queued.", {}, None),
        (429, "Too many requests queued.", {"retry-after": "soon"}, None),
        (429, "Too many requests queued.", {"retry-after": "-1"}, None),
        (429, "Too many requests queued.", {"retry-after": "1" * 5000}, None),
        (418, "IP banned until 1659146400000.", {"date": "Sat, 30 Jul 2022 01:55:00 GMT"}, 300_000),
        (418, "IP banned until 1659146400000.", {"date": "Sat, 30 Jul 2022 02:55:00 GMT"}, 0),
        (418, "IP banned until 1659146400000.", {"retry-after": "9", "date": "Sat, 30 Jul 2022 01:55:00 GMT"}, 300_000),
        (418, "IP banned until 1659146400000.", {"retry-after": "9", "date": "Sat, 30 Jul 2022 01:59:59 GMT"}, 9_000),
        (418, "IP banned until 1659146400000.", {"retry-after": "9"}, 9_000),
        (429, "Way too many requests; IP(1.2.3.4) banned until 1659146400000.", {}, 120_000),
        (418, "IP banned until 1659146400000.", {}, 120_000),
        (418, "IP banned until 1659146400000.", {"date": "yesterday"}, 120_000),
        (418, "IP banned until 16591464000001.", {"date": "Sat, 30 Jul 2022 01:55:00 GMT"}, 120_000),
        (418, "Way too much request weight used.", {}, 120_000),
    ],
)
def test_the_pause_is_the_venues_own(status: int, message: str, headers: dict[str, str], pause_ms: int | None) -> None:
    reply = answer(ORDER, {"code": -1003, "msg": message}, status, headers)

    assert reply.refusal is not None
    assert (reply.refusal.kind, reply.refusal.pause_ms) == (RefusalKind.RATE_LIMIT, pause_ms)


@pytest.mark.parametrize(
    ("status", "code", "scope"),
    [
        (429, -1003, Scope.IP),
        (418, -1003, Scope.IP),
        (429, None, Scope.IP),
        (403, None, Scope.IP),
        (400, -1034, Scope.IP),
        (451, 0, Scope.IP),
        (401, -2015, Scope.ACCOUNT),
        (400, -1021, Scope.ACCOUNT),
        (503, None, Scope.ACCOUNT),
    ],
)
def test_limits_are_the_ips_and_the_rest_is_the_accounts(status: int, code: int | None, scope: Scope) -> None:
    reply = answer(ORDER, {} if code is None else {"code": code, "msg": "No."}, status)

    assert reply.refusal is not None
    assert reply.refusal.scope is scope


@pytest.mark.parametrize("code", [-1010, -2010, -2011])
def test_a_closed_market_leaves_the_account_open(code: int) -> None:
    reply = answer(ORDER, {"code": code, "msg": "Market is closed."}, 400)

    assert reply.refusal is not None
    assert reply.refusal.kind is RefusalKind.MARKET_CLOSED
    assert reply.outcomes[0].status is Status.NOT_SENT


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"x-mbx-used-weight-1m": "1"}, 5999),
        ({"x-mbx-used-weight-1m": " 6000 ", "x-mbx-used-weight": "7"}, 0),
        ({"x-mbx-used-weight-1m": "6123"}, 0),
        ({"x-mbx-used-weight": "7"}, None),
        ({"x-mbx-used-weight-1m": "-1"}, None),
        ({"x-mbx-used-weight-1m": "٣"}, None),
        ({"x-mbx-used-weight-1m": "1" * 5000}, None),
        ({}, None),
    ],
)
def test_the_weight_that_is_left_is_read_from_the_header(headers: dict[str, str], left: int | None) -> None:
    assert VENUE.read_usage is not None
    assert VENUE.read_usage(headers) == (() if left is None else (Usage("request weight", 60_000, left),))


# --- the venue's clock


@pytest.mark.parametrize(
    ("status", "body", "now_ms"),
    [
        (200, b'{"serverTime":1499827319559}', 1499827319559),
        (200, b'{"serverTime":"1499827319559"}', None),
        (200, b'{"serverTime":true}', None),
        (200, b"{}", None),
        (200, b"", None),
        (429, b'{"serverTime":1499827319559}', None),
    ],
)
def test_the_clock_is_read_or_not_at_all(status: int, body: bytes, now_ms: int | None) -> None:
    assert VENUE.read_clock is not None
    assert VENUE.read_clock(Response(status, body)) == now_ms


# --- reads


@pytest.mark.parametrize(
    ("name", "symbol", "method"),
    [
        ("get_open_orders_all", None, "GET"),
        ("cancel_open_orders_symbol", "LTCBTC", "GET"),
        ("cancel_open_orders_symbol", "LTCBTC", "DELETE"),
    ],
)
def test_whole_calls_without_an_order_equal_the_vector(name: str, symbol: str | None, method: str) -> None:
    vector = VECTORS[name]
    (listing,), (cancel_all,) = VENUE.listings, VENUE.cancel_alls

    if method == "GET":
        request = listing.build(symbol, None, CREDENTIALS, VECTOR_STAMP)
    else:
        request = cancel_all.build(symbol, CREDENTIALS, VECTOR_STAMP)

    assert request.method == method
    assert request.target == f"/api/v3/openOrders?{vector['payload']}&signature={vector['expected_signature']}"


@pytest.mark.parametrize("status", ["CANCELED", "FILLED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"])
def test_a_row_that_ended_spoils_the_listing(status: str) -> None:
    (listing,) = VENUE.listings
    row = {"orderId": 4, "symbol": "LTCBTC", "status": status}

    page = listing.read(Response(200, json.dumps([row]).encode()), None)

    assert page.refusal is not None
    assert page.orders == ()
