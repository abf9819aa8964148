"""Kuna's signing vectors and traps; the only place that compares its signatures byte for byte."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Answer, RefusalKind, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.kuna import PATH, VENUE
from connectors.kuna_calls import authorization, build_get
from connectors.kuna_reads import PAGE_SIZE
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.reading import iso_ms

VECTORS = json.loads((Path(__file__).parent / "vectors" / "kuna.json").read_text("utf-8"))["vectors"]
CREDENTIALS = Credentials("test-api-key", "test-secret-not-real", public_key="test-public-key")
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
UUID_1 = "c7fc5b2b-bd9d-48c1-a458-a83412669cf4"
UUID_2 = "3e5591ba-2778-4d85-8851-54284045ea44"
CLOSED = "Order with status Closed can't be canceled"

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def ids(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)


def read(document: object, status: int = 200, orders: tuple[OrderRef, ...] = ids(UUID_1, UUID_2)) -> Answer:
    return VENUE.read_cancel(orders, Response(status, json.dumps(document).encode()))


def kind(answer: Answer) -> RefusalKind | None:
    return answer.refusal.kind if answer.refusal else None


# --- building


@every_vector
def test_signature_equals_the_vector(vector: dict[str, str]) -> None:
    nonce = "1697000000000"
    path, _, body = vector["string_to_sign"].partition(nonce)
    credentials = Credentials("test-api-key", vector["secret"], public_key="test-public-key")

    headers = authorization(path, body.encode(), credentials, int(nonce))

    assert headers == {"public-key": "test-public-key", "nonce": nonce, "signature": vector["signature"]}


def test_cancel_signs_the_bytes_that_go_out() -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == "kuna_post_cancel_multi")

    request = VENUE.build_cancel(ids(UUID_1, UUID_2), CREDENTIALS, Stamp(1697000000000, STAMP.token))

    assert (request.method, request.target) == ("POST", "/v4/order/private/cancel/multi")
    assert f"{PATH}1697000000000{request.body.decode()}" == vector["string_to_sign"]
    assert request.headers["signature"] == vector["signature"]


def test_signed_mode_sends_no_bearer_key() -> None:
    request = VENUE.build_cancel(ids(UUID_1), CREDENTIALS, STAMP)

    assert "api-key" not in request.headers
    assert "test-api-key" not in str(dict(request.headers))


@pytest.mark.parametrize(
    "credentials",
    [Credentials("key"), Credentials("key", "secret"), Credentials("key", public_key="public")],
    ids=["alone", "without public key", "without secret"],
)
def test_simple_mode_sends_the_key_alone(credentials: Credentials) -> None:
    request = VENUE.build_cancel(ids(UUID_1), credentials, STAMP)

    assert dict(request.headers) == {
        "accept": "application/json",
        "Content-Type": "application/json",
        "api-key": "key",
    }


def test_ids_go_out_in_lower_case_and_once() -> None:
    request = VENUE.build_cancel(ids(UUID_1.upper(), UUID_1, UUID_2), CREDENTIALS, STAMP)

    assert request.body == json.dumps({"orderIds": [UUID_1, UUID_2]}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        UUID_1[:-1],
        UUID_1 + "0",
        UUID_1.replace("-", ""),
        f"{{{UUID_1}}}",
        f" {UUID_1}",
        f"{UUID_1}\n",
        "4po3091bc-p278-o286-1452-o40s4045k42p",
        "c7fc5b2b-bd9d-48c1-a458-a83412669cf\u0664",
    ],
)
def test_malformed_uuid_never_leaves_the_house(value: str) -> None:
    assert VENUE.check_order(OrderRef(IdKind.ORDER_ID, value)) is not None


@pytest.mark.parametrize("value", [UUID_1, UUID_1.upper(), "00000000-0000-0000-0000-000000000000"])
def test_every_uuid_may_be_sent(value: str) -> None:
    assert VENUE.check_order(OrderRef(IdKind.ORDER_ID, value, "BTC_USDT")) is None


@pytest.mark.parametrize("id_kind", [each for each in IdKind if each is not IdKind.ORDER_ID])
def test_other_kinds_of_id_are_not_taken(id_kind: IdKind) -> None:
    assert VENUE.check_order(OrderRef(id_kind, UUID_1)) is not None


# --- reading


def test_response_ids_are_compared_in_lower_case() -> None:
    answer = read([{"id": UUID_1.upper(), "success": True}], orders=ids(UUID_1, UUID_1.upper()))

    assert [outcome.status for outcome in answer.outcomes] == [Status.ACCEPTED, Status.ACCEPTED]


@pytest.mark.parametrize("status", [100, 302, 400, 404, 500])
def test_success_without_http_success_is_doubt(status: int) -> None:
    answer = read([{"id": UUID_1, "success": True}], status)

    assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


@pytest.mark.parametrize(
    "error", [{"errors": [{}]}, {"errors": {"a": 1}}, {"error": "x"}, {"code": 5}, {"message": "x"}]
)
def test_results_beside_any_error_are_doubt(error: dict[str, object]) -> None:
    answer = read({**error, "data": [{"id": UUID_1, "success": True}]})

    assert kind(answer) is RefusalKind.UNCERTAIN
    assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


def test_empty_list_of_errors_is_none() -> None:
    answer = read({"errors": [], "error": None, "data": [{"id": UUID_1, "success": True}]})

    assert [outcome.status for outcome in answer.outcomes] == [Status.ACCEPTED, Status.UNKNOWN]
    assert answer.refusal is None


def test_rate_limit_with_results_is_doubt() -> None:
    answer = VENUE.read_cancel(
        ids(UUID_1), Response(429, json.dumps([{"id": UUID_1, "success": True}]).encode(), {"retry-after": "9"})
    )

    assert kind(answer) is RefusalKind.UNCERTAIN
    assert answer.refusal is not None
    assert answer.refusal.pause_ms is None


@pytest.mark.parametrize(
    ("retry_after", "pause_ms"),
    [("7", 7000), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("\u0667", None), ("9" * 20, None)],
)
def test_pause_is_what_the_venue_asks_for(retry_after: str, pause_ms: int | None) -> None:
    answer = VENUE.read_cancel(ids(UUID_1), Response(429, b"", {"retry-after": retry_after}))

    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.pause_ms) == (RefusalKind.RATE_LIMIT, pause_ms)


@pytest.mark.parametrize(
    ("body", "scope"),
    [(b"", Scope.IP), (b"<html>", Scope.IP), (b'{"errors":[{"code":"TOO_MANY_REQUESTS"}]}', Scope.KEY)],
)
def test_a_gateways_limit_is_the_ips(body: bytes, scope: Scope) -> None:
    refusal = VENUE.read_cancel(ids(UUID_1), Response(429, body)).refusal

    assert refusal is not None
    assert (refusal.kind, refusal.scope) == (RefusalKind.RATE_LIMIT, scope)


@pytest.mark.parametrize("word", ["Closed", "Canceled", "Expired", "Rejected", "Pending", "Brand_new"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_status_message_leaves_every_order_unknown(word: str, status: int) -> None:
    message = f"Order with status {word} can't be canceled"

    answer = read({"code": "BAD_REQUEST", "message": message}, status)

    assert kind(answer) is RefusalKind.UNCERTAIN
    assert answer.unlisted is None
    assert {(one.status, one.evidence, one.code, one.message) for one in answer.outcomes} == {
        (Status.UNKNOWN, Evidence.NO_ANSWER, "BAD_REQUEST", message)
    }


@pytest.mark.parametrize(
    ("errors", "served"),
    [
        ([{"code": "BAD_REQUEST", "message": CLOSED}], True),
        ([{"code": "NOT_FOUND", "message": "Order not found"}], True),
        ([{"code": "2003"}, {"code": "BAD_REQUEST", "message": CLOSED}], True),
        ([{"code": "NOT_FOUND", "message": "Cannot POST /v4/order"}], False),
        ([{"code": "BAD_REQUEST", "message": CLOSED}, {"code": "Internal Server Error"}], False),
        ([{"code": "Internal Server Error", "message": "Internal server error"}], False),
        ([], False),
    ],
)
def test_a_refusal_that_is_about_an_order_is_no_trouble_of_the_venue(
    errors: list[dict[str, str]], served: bool
) -> None:
    refusal = read({"errors": errors}, 400).refusal

    assert refusal is not None
    assert refusal.served is served


@pytest.mark.parametrize(("broken", "served"), [(False, True), (True, False)])
def test_a_listing_that_cannot_go_on_is_no_trouble_of_the_venue_and_a_broken_one_is(broken: bool, served: bool) -> None:
    """More orders than a page holds were made in one millisecond: no time leads behind them."""
    row = {"pair": "BTC_USDT", "side": "Bid", "createdAt": "2026-11-20T10:00:00.000Z", "executedQuantity": "0"}
    rows = [row | {"id": f"00000000-0000-4000-8000-{number:012}", "status": "Open"} for number in range(PAGE_SIZE)]
    rows[7] |= {"id": None} if broken else {}
    cursor = str(iso_ms(row["createdAt"]))

    page = VENUE.listings[-1].read(Response(200, json.dumps({"data": rows}).encode()), cursor)

    assert page.orders == ()
    assert page.refusal is not None
    assert page.refusal.served is served


def test_message_outranks_the_code() -> None:
    answer = read({"errors": [{"code": "ARGUMENT_VALIDATION_ERROR", "message": CLOSED}]}, 400)

    assert kind(answer) is RefusalKind.UNCERTAIN


def test_errors_of_different_kinds_are_doubt() -> None:
    answer = read({"errors": [{"code": "IP_NOT_IN_WHITE_LIST"}], "error": {"message": CLOSED}}, 400)

    assert kind(answer) is RefusalKind.UNCERTAIN


def test_unlisted_code_is_told() -> None:
    assert read({"errors": [{"code": "BRAND_NEW"}]}, 400).unlisted == "BRAND_NEW"
    assert read({"errors": [{"code": "NOT_FOUND"}]}, 400).unlisted is None
    assert read({"statusCode": 401}, 401).unlisted is None


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"cloudflare_error":true,"error_code":1020}'])
def test_page_of_a_gateway_says_nothing_of_the_keys(status: int, body: bytes) -> None:
    assert kind(VENUE.read_cancel(ids(UUID_1), Response(status, body))) is RefusalKind.UNCERTAIN


success: st.SearchStrategy[object] = st.sampled_from([True, False, None, 1, "true", [], {}])
names = st.sampled_from([UUID_1, UUID_1.upper(), UUID_2, None, 7, "4po3091bc-p278-o286-1452-o40s4045k42p"])
results = st.lists(st.fixed_dictionaries({"success": success}, optional={"id": names, "orderId": names}), max_size=6)


@given(results, st.booleans())
def test_accepted_takes_a_row_of_its_own_and_no_other_voice(rows: list[dict[str, object]], bare: bool) -> None:
    answer = read(rows if bare else {"data": rows})

    for outcome in answer.outcomes:
        own = [row for row in rows if outcome.order.value in {str(row.get(key)).lower() for key in ("id", "orderId")}]
        accepted = bool(own) and all(row["success"] is True for row in own)
        assert outcome.status is not Status.ACCEPTED or accepted
        assert (outcome.evidence is Evidence.NO_ANSWER) == (not own)


# --- clock


@pytest.mark.parametrize(
    ("status", "body", "now_ms"),
    [
        (200, '{"data":{"timestamp":1686740531,"timestamp_miliseconds":1686740531725}}', 1686740531725),
        (500, '{"data":{"timestamp_miliseconds":1686740531725}}', None),
        (200, '{"data":{"timestamp_miliseconds":true}}', None),
        (200, '{"data":{"timestamp_miliseconds":"1686740531725"}}', None),
        (200, '{"data":{"timestamp_miliseconds":-1}}', None),
        (200, '{"data":{"timestamp_miliseconds":1e400}}', None),
        (200, '{"data":{"timestamp_miliseconds":99999999999999999999}}', None),
        (200, "<html>", None),
    ],
)
def test_clock(status: int, body: str, now_ms: int | None) -> None:
    assert VENUE.read_clock is not None
    assert VENUE.read_clock(Response(status, body.encode())) == now_ms


# --- reads


def test_a_call_without_a_body_signs_the_empty_object() -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == "kuna_get_active")
    credentials = Credentials("test-api-key", vector["secret"], public_key="test-public-key")
    target = vector["string_to_sign"].partition("1697000000000")[0]

    request = build_get(target, credentials, Stamp(1697000000000, STAMP.token))

    assert (request.method, request.target, request.body) == ("GET", target, b"")
    assert request.headers["signature"] == vector["signature"]


def test_every_listing_starts_before_the_venue_did() -> None:
    for listing in VENUE.listings:
        for cursor in (None, "1689059060402"):
            target = listing.build(None, cursor, CREDENTIALS, STAMP).target
            assert "start=2015-01-01T00%3A00%3A00.000Z" in target
            assert ("end=2023-07-11T07%3A04%3A20.402Z" in target) == (cursor is not None)
