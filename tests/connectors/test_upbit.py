"""Upbit's signing vectors and traps; the only place that compares its tokens byte for byte."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Answer, RefusalKind, Response, Scope, Stamp, Usage
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.upbit import VENUE
from connectors.upbit_calls import sign
from connectors.upbit_refusals import CODES

VECTORS = json.loads((Path(__file__).parent / "vectors" / "upbit.json").read_text("utf-8"))["vectors"]
CREDENTIALS = Credentials("test-access-key-0123456789abcdef", "test-secret-key-0123456789abcdef")
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
UUID_1 = "bbbb8e07-1689-4769-af3e-a117016623f8"
UUID_2 = "4312ba49-5f1a-4a01-9f3b-2d2bce17267e"

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
every_algorithm = pytest.mark.parametrize("algorithm", ["HS256", "HS512"])


def uuids(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)


def identifiers(*values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.CLIENT_ORDER_ID, value) for value in values)


def credentials_of(vector: dict[str, str], algorithm: str) -> Credentials:
    return Credentials(vector["access_key"], vector["secret_key"], jwt_algorithm=algorithm)


def read(orders: tuple[OrderRef, ...], document: object, status: int = 200) -> Answer:
    return VENUE.read_cancel(orders, Response(status, json.dumps(document).encode()))


def refused(name: object, message: str = "", status: int = 400, headers: dict[str, str] | None = None) -> Answer:
    body = json.dumps({"error": {"name": name, "message": message}}).encode()
    return VENUE.read_cancel(uuids(UUID_1, UUID_2), Response(status, body, headers or {}))


# --- signing


@every_algorithm
@every_vector
def test_token_equals_the_vector(vector: dict[str, str], algorithm: str) -> None:
    query = vector.get("hashed_query_string", "")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]

    token = sign(pairs, credentials_of(vector, algorithm), vector["nonce"])

    assert token == vector[f"jwt_{algorithm}"]


@every_algorithm
@pytest.mark.parametrize("name", ["docs_5_uuids", "docs_3_uuids", "two_identifiers"])
def test_cancel_equals_the_vector(name: str, algorithm: str) -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == name)
    values = [pair.partition("=")[2] for pair in vector["hashed_query_string"].split("&")]
    orders = identifiers(*values) if name == "two_identifiers" else uuids(*values)

    request = VENUE.build_cancel(orders, credentials_of(vector, algorithm), Stamp(0, vector["nonce"]))

    assert request.method == "DELETE"
    assert request.target == f"/v1/orders/uuids?{vector['wire_query_string']}"
    assert request.body == b""
    assert request.headers == {
        "Authorization": f"Bearer {vector[f'jwt_{algorithm}']}",
        "Accept": "application/json",
    }


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=20))
def test_the_hash_is_over_the_decoded_query_whatever_an_identifier_holds(values: list[str]) -> None:
    request = VENUE.build_cancel(identifiers(*values), CREDENTIALS, STAMP)

    wire = request.target.partition("?")[2]
    claims = jwt.decode(request.headers["Authorization"][7:], CREDENTIALS.api_secret or "", algorithms=["HS256"])
    assert [unquote(pair.removeprefix("identifiers[]=")) for pair in wire.split("&")] == values
    assert claims["query_hash"] == hashlib.sha512(unquote(wire).encode()).hexdigest()
    assert re.fullmatch(r"(?:&?identifiers\[\]=[A-Za-z0-9_.~%-]+)+", wire)


def test_reserved_characters_are_encoded_in_values_and_brackets_are_not_in_names() -> None:
    request = VENUE.build_cancel(identifiers("a&b=c", "50%25", "a b+c", "레그"), CREDENTIALS, STAMP)

    assert request.target.partition("?")[2] == (
        "identifiers[]=a%26b%3Dc&identifiers[]=50%2525&identifiers[]=a%20b%2Bc&identifiers[]=%EB%A0%88%EA%B7%B8"
    )


@every_algorithm
@pytest.mark.parametrize("length", [1, 16, 31, 32, 40, 63, 64, 65, 200])
def test_a_secret_of_any_length_signs_without_a_warning(length: int, algorithm: str) -> None:
    # Warnings are errors in these tests, and PyJWT warns of secrets shorter than the digest.
    credentials = Credentials("key", "s" * length, jwt_algorithm=algorithm)

    request = VENUE.build_cancel(uuids(UUID_1), credentials, STAMP)

    header, claims, signature = request.headers["Authorization"].removeprefix("Bearer ").split(".")
    assert all((header, claims, signature))


def test_the_nonce_is_the_stamps_token_and_no_time_is_signed() -> None:
    early = VENUE.build_cancel(uuids(UUID_1), CREDENTIALS, STAMP)
    late = VENUE.build_cancel(uuids(UUID_1), CREDENTIALS, Stamp(STAMP.now_ms + 3_600_000, STAMP.token))
    other = VENUE.build_cancel(uuids(UUID_1), CREDENTIALS, Stamp(STAMP.now_ms, UUID_2))

    assert early == late
    assert early.target == other.target
    assert early.headers != other.headers


# --- references


@pytest.mark.parametrize(
    "order", [*uuids(UUID_1, UUID_1.upper(), "7"), *identifiers("x", " ", "레그-7", "a&b", "id" * 200)]
)
def test_references_that_the_venue_may_know_are_taken(order: OrderRef) -> None:
    assert VENUE.check_order(order) is None
    assert VENUE.check_order(OrderRef(order.kind, order.value, "SGD-BTC")) is None


@pytest.mark.parametrize(
    "order",
    [
        *uuids("", "half \ud83d of a pair"),
        *identifiers("", "half \ud83d of a pair"),
        OrderRef(IdKind.ORDER_LIST_ID, "77"),
        OrderRef(IdKind.CLIENT_ORDER_LIST_ID, UUID_1),
    ],
)
def test_references_that_can_name_no_order_are_refused_in_words(order: OrderRef) -> None:
    assert VENUE.check_order(order)


# --- answers


def test_an_identifier_is_matched_exactly_and_a_uuid_in_either_case() -> None:
    success = {"orders": [{"uuid": UUID_1.upper(), "identifier": "Leg-7"}]}

    by_uuid = read(uuids(UUID_1), {"success": success})
    by_identifier = read(identifiers("leg-7", "Leg-7 ", "Leg-7"), {"success": success})

    assert [outcome.status for outcome in by_uuid.outcomes] == [Status.ACCEPTED]
    assert [outcome.status for outcome in by_identifier.outcomes] == [Status.UNKNOWN, Status.UNKNOWN, Status.ACCEPTED]


def test_a_uuid_does_not_answer_for_an_identifier_of_the_same_text_nor_the_reverse() -> None:
    document = {"success": {"orders": [{"uuid": UUID_1, "identifier": UUID_2}]}}

    assert read(identifiers(UUID_1), document).outcomes[0].evidence is Evidence.NO_ANSWER
    assert read(uuids(UUID_2), document).outcomes[0].evidence is Evidence.NO_ANSWER


def test_an_identifier_with_two_uuids_gives_neither() -> None:
    orders = [{"uuid": UUID_1, "identifier": "id1"}, {"uuid": UUID_2, "identifier": "id1"}]

    answers = [
        read(identifiers("id1"), {"success": {"orders": orders}}),
        read(identifiers("id1"), {"success": {"orders": orders[:1]}, "failed": {"orders": orders[1:]}}),
    ]

    assert [answer.outcomes[0].order_id for answer in answers] == [None, None]


def test_a_uuid_of_no_uuids_form_is_not_passed_on() -> None:
    outcome = read(identifiers("id1"), {"success": {"orders": [{"uuid": "\ud800", "identifier": "id1"}]}}).outcomes[0]

    assert outcome.status is Status.ACCEPTED
    assert outcome.order_id is None


def test_rows_of_any_type_neither_raise_nor_count() -> None:
    junk: list[object] = [None, 1, "x", [], {}, {"uuid": None}, {"uuid": {}}, {"uuid": True}, {"identifier": []}]

    answer = read(uuids(UUID_1), {"success": {"count": 9, "orders": junk}, "failed": {"orders": {"uuid": UUID_1}}})

    assert answer.outcomes[0].evidence is Evidence.NO_ANSWER
    assert answer.refusal is None


@pytest.mark.parametrize("status", [201, 202, 400, 401, 404, 418, 429, 500, 503])
def test_lists_count_under_http_200_alone(status: int) -> None:
    answer = read(uuids(UUID_1), {"success": {"orders": [{"uuid": UUID_1}]}}, status)

    assert answer.outcomes[0].status is Status.UNKNOWN
    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.UNCERTAIN


@pytest.mark.parametrize(
    "name",
    [
        "invalid_query_payload",
        "InvalidQueryPayload",
        "V1::Exceptions::InvalidQueryPayload",
        "v1::invalid_query_payload",
    ],
)
def test_an_errors_name_is_read_in_every_spelling(name: str) -> None:
    answer = refused(name, status=401)

    assert answer.refusal is not None
    assert answer.refusal.code == "invalid_query_payload"
    assert answer.unlisted is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("V1::Exceptions::NoAuthorizationIP", "no_authorization_ip"),
        ("JWTVerification", "jwt_verification"),
        ("QUERY_PARAMETER_NOT_SUPPORTED", "query_parameter_not_supported"),
    ],
)
def test_capitals_in_a_row_are_one_word(name: str, code: str) -> None:
    answer = refused(name)

    assert answer.refusal is not None
    assert answer.refusal.code == code
    assert code in CODES


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
def test_the_name_counts_and_not_the_http_status(status: int) -> None:
    assert refused("out_of_scope", status=status).refusal == refused("out_of_scope", status=401).refusal


@pytest.mark.parametrize("name", ["never_seen", "V1::", "", 400, 2**70, None, [], {}, True])
def test_a_name_that_is_not_listed_leaves_every_order_unknown(name: object) -> None:
    answer = refused(name)

    assert [outcome.status for outcome in answer.outcomes] == [Status.UNKNOWN, Status.UNKNOWN]
    assert answer.unlisted == (None if answer.refusal is None else answer.refusal.code)
    assert answer.unlisted != ""


def test_an_unlisted_name_under_http_429_is_still_a_rate_limit() -> None:
    answer = refused("too_many", status=429)

    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.RATE_LIMIT
    assert answer.unlisted == "too_many"


def test_a_nonce_used_before_means_that_an_earlier_copy_may_have_been_executed() -> None:
    assert {outcome.status for outcome in refused("nonce_used", status=401).outcomes} == {Status.UNKNOWN}


def test_order_not_found_of_several_is_halved_and_rejects_none() -> None:
    answer = refused("order_not_found", status=404)

    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.REFERENCE
    assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


@pytest.mark.parametrize(
    ("message", "pause_ms"),
    [
        ("You have been temporarily blocked", None),
        ("Please retry after 30 seconds.", 30_000),
        ("blocked for 1 minute", 60_000),
        ("Blocked for 1 Minute and 30 Seconds", 90_000),
        ("retry in 10s", 10_000),
        ("retry in 1.5 sec", 1500),
        ("blocked for 2 hours", 7_200_000),
        ("10초 후에 다시 시도해주세요.", 10_000),
        ("5분간 차단되었습니다.", 300_000),
        ("1시간 동안 차단되었습니다.", 3_600_000),
        ("30 requests per second", None),
        ("3 steps, 4 sections, 5 minimum", None),
        ("blocked for 12345678 seconds", None),
        ("10 ſec, 10 mİn", None),  # noqa: RUF001  # letters that lower() or a pattern may take for others
        ("0 seconds", None),
    ],
)
def test_the_time_of_a_block_is_read_from_the_message(message: str, pause_ms: int | None) -> None:
    refusal = refused("rate_limit_exceeded_penalty", message, 418).refusal

    assert refusal is not None
    assert refusal.pause_ms == pause_ms


@pytest.mark.parametrize(("header", "pause_ms"), [("7", 7000), ("0", None), ("", None), ("soon", None), ("²", None)])
def test_a_retry_after_header_counts_too(header: str, pause_ms: int | None) -> None:
    refusal = refused("too_many_requests", "", 429, {"retry-after": header}).refusal

    assert refusal is not None
    assert refusal.pause_ms == pause_ms


def test_only_a_rate_limit_has_a_pause() -> None:
    for name, kind in CODES.items():
        refusal = refused(name, "retry after 30 seconds", 400).refusal
        assert refusal is not None
        assert (refusal.pause_ms is not None) == (kind is RefusalKind.RATE_LIMIT), name


@pytest.mark.parametrize(
    ("name", "status", "scope"),
    [
        ("rate_limit_exceeded_penalty", 418, Scope.IP),
        ("rate_limit_exceeded_penalty", 429, Scope.IP),
        ("never_seen", 418, Scope.IP),
        (None, 418, Scope.IP),
        ("too_many_requests", 429, Scope.ACCOUNT),
        (None, 429, Scope.ACCOUNT),
        ("out_of_scope", 418, Scope.ACCOUNT),
        ("invalid_access_key", 401, Scope.ACCOUNT),
    ],
)
def test_a_block_stops_the_ip_and_a_limit_the_account(name: str | None, status: int, scope: Scope) -> None:
    refusal = refused(name, status=status).refusal

    assert refusal is not None
    assert refusal.scope is scope


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("group=default; min=1800; sec=29", 29),
        ("group=default; min=1800; sec=0", 0),
        ("group=default;sec=7;min=1800", 7),
        (" group=default ; sec=7 ", 7),
        ("group=order-cancel-all; min=30; sec=0", None),
        ("group=default; min=1800", None),
        ("group=default; min=1800; sec=-1", None),
        ("group=default; min=1800; sec=٣", None),
        ("group=default; min=1800; sec=12345678", None),
        ("group=default2; min=1800; sec=29", None),
        ("sec=29", None),
        ("", None),
    ],
)
def test_the_calls_that_are_left_are_read_from_the_header(header: str, left: int | None) -> None:
    assert VENUE.read_usage is not None
    assert VENUE.read_usage({"remaining-req": header}) == (() if left is None else (Usage("default", 1000, left),))


def test_an_identifier_names_one_order_for_ever() -> None:
    assert VENUE.resend_safe == set(VENUE.id_kinds)


@given(
    status=st.sampled_from([200, 400, 401, 404, 418, 429, 500]),
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([UUID_1, *CODES]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["success", "failed", "orders", "uuid", "identifier", "error", "name", "message"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_any_document_gives_one_outcome_per_order_and_success_only_by_name(status: int, document: object) -> None:
    orders = uuids(UUID_1, UUID_2)
    body = json.dumps(document).encode()

    answer = VENUE.read_cancel(orders, Response(status, body))

    assert tuple(outcome.order for outcome in answer.outcomes) == orders
    for outcome in answer.outcomes:
        assert outcome.status in {Status.ACCEPTED, Status.UNKNOWN, Status.REJECTED, Status.NOT_SENT}
        if outcome.status is Status.ACCEPTED:
            assert status == 200
            assert outcome.order.value.encode() in body


# --- reads


@every_algorithm
def test_a_listing_equals_the_vector(algorithm: str) -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == "open_orders_states")
    (listing,) = VENUE.listings

    request = listing.build("SGD-BTC", None, credentials_of(vector, algorithm), Stamp(0, vector["nonce"]))

    assert (request.method, request.target) == ("GET", f"/v1/orders/open?{vector['wire_query_string']}")
    assert request.headers["Authorization"] == f"Bearer {vector[f'jwt_{algorithm}']}"


@every_algorithm
@pytest.mark.parametrize("name", ["docs_5_uuids", "docs_3_uuids", "two_identifiers"])
def test_a_query_by_ids_signs_as_the_cancel_does(name: str, algorithm: str) -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == name)
    values = [pair.partition("=")[2] for pair in vector["hashed_query_string"].split("&")]
    orders = identifiers(*values) if name == "two_identifiers" else uuids(*values)

    request = VENUE.queries[0].build(orders, credentials_of(vector, algorithm), Stamp(0, vector["nonce"]))

    assert (request.method, request.target) == ("GET", f"/v1/orders/uuids?{vector['wire_query_string']}")
    assert request.headers["Authorization"] == f"Bearer {vector[f'jwt_{algorithm}']}"


def test_a_call_too_long_for_the_venue_is_halved() -> None:
    assert VENUE.max_orders_per_call > 1
    answer = VENUE.read_cancel(identifiers("x" * 64, "y" * 64), Response(414, b"<html>"))

    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.REFERENCE
