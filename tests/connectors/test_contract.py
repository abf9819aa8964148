"""The suite that every connector passes; a venue is in it as soon as the registry lists it.

Recorded requests are built with ``CREDENTIALS`` of ``tests.connectors.test_<venue>``, or with the made-up keys of
``tests.connectors.contract`` where a venue has no such module.
"""

import json
import re
from dataclasses import asdict, fields, replace
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.calls import REFUSED_AS, Answer, RefusalKind, Request, Response
from connectors.credentials import Credentials
from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import MESSAGE_LENGTH, parse_json
from connectors.registry import VENUES
from connectors.transport import _problem
from connectors.venue import Venue
from tests.connectors.contract import (
    STAMP,
    Recorded,
    any_text,
    credentials_of,
    documents_about,
    every_venue,
    mutations_of,
    orders_of,
    recorded,
    recorded_of,
    values_of,
    words_of,
)
from tests.connectors.reads_contract import limits_of

# What the answer to a cancel may say of an order: PENDING, INVALID, OPEN and NOT_FOUND take more, or less, than that.
SAID = {
    Status.CANCELED,
    Status.FILLED,
    Status.CLOSED,
    Status.ACCEPTED,
    Status.REJECTED,
    Status.NOT_SENT,
    Status.UNKNOWN,
}
SUCCESSES = {Status.CANCELED, Status.FILLED, Status.CLOSED, Status.ACCEPTED}

# The field that names an order by its place in the request, for a venue whose documentation repeats no ids.
BY_PLACE = {"crypto_com": "index"}  # https://exchange-docs.crypto.com/exchange/v1/rest-ws/#private-cancel-order-list

every_recorded_answer = pytest.mark.parametrize(
    ("venue", "one"),
    [pytest.param(venue, one, id=f"{name}-{one.name}") for name, venue in VENUES.items() for one in recorded(name)],
)
many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sound(venue: Venue, orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read an answer, and hold it to all that must be true of any answer whatever."""
    answer = venue.read_cancel(orders, response)
    assert tuple(outcome.order for outcome in answer.outcomes) == orders
    document = parse_json(response.body)
    words = {word.lower() for word in words_of(document)}
    places = words_of(list(values_of(document, BY_PLACE.get(venue.name, ""))))
    for place, outcome in enumerate(answer.outcomes):
        assert outcome.status in SAID
        if outcome.status in SUCCESSES:
            assert outcome.order.value.lower() in words or str(place) in places, "silence is never success"
            assert outcome.evidence is Evidence.CANCEL_ANSWER
            assert 200 <= response.status < 300
            assert answer.refusal is None
    for sibling in answer.siblings:
        assert venue.names_siblings
        assert sibling.order not in orders
        assert sibling.order.value.lower() in words
        assert sibling.status in SAID - {Status.NOT_SENT, Status.ACCEPTED}
    refused_soundly(answer)
    for outcome in (*answer.outcomes, *answer.siblings):
        printable(outcome)
    return answer


def refused_soundly(answer: Answer) -> None:
    """Doubt is UNKNOWN, and NOT_SENT takes a refusal that says that nothing was executed."""
    refusal = answer.refusal
    allowed = {Status.UNKNOWN, REFUSED_AS[refusal.kind]} if refusal else SAID - {Status.NOT_SENT}
    assert {outcome.status for outcome in answer.outcomes} <= allowed
    if refusal:
        assert refusal.pause_ms is None or 0 <= refusal.pause_ms < 10**12
        printable(Outcome(answer.outcomes[0].order, Status.UNKNOWN, Evidence.NONE, refusal.code, refusal.message))
    assert answer.unlisted is None or answer.unlisted.isprintable()


def printable(outcome: Outcome) -> None:
    """An outcome is stored, sent as JSON and printed."""
    words = (outcome.code, outcome.message, outcome.filled_qty, outcome.order_id)
    json.dumps([asdict(outcome)["status"], *words], ensure_ascii=False).encode()
    for word in words:
        assert word is None or (word.isprintable() and 0 < len(word) <= MESSAGE_LENGTH)


def orders_to_ask(venue: Venue) -> st.SearchStrategy[tuple[OrderRef, ...]]:
    """Ask for one to a full call of orders: made-up ones, the same one twice, or those of a recorded answer."""
    made_up = st.builds(
        orders_of, st.just(venue), st.sampled_from(venue.id_kinds), st.integers(1, venue.max_orders_per_call)
    )
    known = st.sampled_from([one.orders for one in recorded_of(venue)])
    return made_up | known | known.map(lambda orders: (*orders, *orders)[: venue.max_orders_per_call])


# One outcome for each order, whatever comes


@every_venue
@given(data=st.data(), status=st.integers(100, 999), body=st.binary(max_size=200))
def test_any_bytes_give_one_outcome_per_order(venue: Venue, data: st.DataObject, status: int, body: bytes) -> None:
    sound(venue, data.draw(orders_to_ask(venue)), Response(status, body))


@every_venue
@many
@given(data=st.data(), status=st.sampled_from([200] * 5 + [201, 400, 401, 403, 404, 418, 429, 500, 503]))
def test_any_json_gives_one_outcome_per_order(venue: Venue, data: st.DataObject, status: int) -> None:
    body = json.dumps(data.draw(documents_about(venue))).encode()
    sound(venue, data.draw(orders_to_ask(venue)), Response(status, body))


@every_venue
@many
@given(data=st.data())
def test_a_broken_answer_gives_one_outcome_per_order_and_no_success_in_silence(
    venue: Venue, data: st.DataObject
) -> None:
    one = data.draw(st.sampled_from([one for one in recorded_of(venue) if json_of(one) is not None]))
    body = json.dumps(data.draw(mutations_of(json_of(one)))).encode()
    orders = data.draw(st.just(one.orders) | st.permutations(one.orders).map(tuple) | orders_to_ask(venue))
    sound(venue, orders, replace(one.response, body=body))


def json_of(one: Recorded) -> object:
    document = parse_json(one.response.body)
    return document if isinstance(document, dict | list) else None


@every_recorded_answer
def test_an_answer_proves_nothing_under_another_status(venue: Venue, one: Recorded) -> None:
    """Only a 2xx can be a success; 5xx and redirects never are."""
    for status in (100, 301, 302, 400, 404, 500, 502, 503, 504):
        sound(venue, one.orders, replace(one.response, status=status))


@every_recorded_answer
def test_an_answer_proves_nothing_for_orders_that_it_does_not_name(venue: Venue, one: Recorded) -> None:
    orders = orders_of(venue, one.orders[0].kind, len(one.orders))
    if venue.name in BY_PLACE:
        orders = orders_of(venue, one.orders[0].kind, venue.max_orders_per_call)
    sound(venue, orders, one.response)


@every_recorded_answer
def test_an_answer_cut_short_proves_nothing(venue: Venue, one: Recorded) -> None:
    body = one.response.body
    for length in {0, 1, len(body) // 3, len(body) // 2, len(body) - 1} - {len(body), -1}:
        answer = sound(venue, one.orders, replace(one.response, body=body[:length]))
        assert not {outcome.status for outcome in answer.outcomes} & SUCCESSES


@every_venue
@pytest.mark.parametrize("status", [200, 204, 299, 500, 502, 503, 504, 520, 524])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"true",
        b"0",
        b'""',
        b"[]",
        b"{}",
        b"[[]]",
        b"[null]",
        b"<html><body>Bad gateway</body></html>",
        b"[" * 100_000,
        b'{"code":' * 100_000,
        b"1" * 10_000,
        b'{"code":NaN}',
        b'{"code":1e999}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
    ],
    ids=range(17),
)
def test_an_answer_that_says_nothing_leaves_every_order_unknown(venue: Venue, status: int, body: bytes) -> None:
    for kind in venue.id_kinds:
        answer = sound(venue, orders_of(venue, kind, venue.max_orders_per_call), Response(status, body))
        assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


@every_venue
@pytest.mark.parametrize("value", ["", "-1", "1e9", "soon", "9" * 5000, "٣", "1.5", "Fri, 20 Nov 2026 10:00:00 GMT"])
def test_a_retry_after_of_any_kind_is_read_without_harm(venue: Venue, value: str) -> None:
    orders = orders_of(venue, venue.id_kinds[0], 1)
    for status in (200, 403, 418, 429, 503):
        sound(venue, orders, Response(status, b"{}", {"retry-after": value, "date": value}))


# Recorded answers


@every_venue
def test_a_venue_has_recorded_answers(venue: Venue) -> None:
    assert recorded_of(venue)


@every_recorded_answer
def test_a_recorded_answer_is_read_as_it_says(venue: Venue, one: Recorded) -> None:
    answer = sound(venue, one.orders, one.response)
    assert answer.outcomes == one.outcomes
    assert (answer.refusal.kind if answer.refusal else None) == one.refusal


@every_recorded_answer
def test_a_recorded_request_is_built_byte_for_byte(venue: Venue, one: Recorded) -> None:
    assert one.request is None or venue.build_cancel(one.orders, credentials_of(venue), STAMP) == one.request


@every_recorded_answer
def test_a_recorded_answer_is_of_a_call_that_could_be_made(venue: Venue, one: Recorded) -> None:
    assert 1 <= len(one.orders) <= venue.max_orders_per_call
    assert [venue.check_order(order) for order in one.orders] == [None] * len(one.orders)
    assert len({order.kind for order in one.orders}) == 1
    assert not venue.one_symbol_per_call or len({order.symbol for order in one.orders}) == 1
    assert list(one.response.headers) == [name.lower() for name in one.response.headers]


@every_recorded_answer
def test_a_recorded_answer_says_where_it_is_from(venue: Venue, one: Recorded) -> None:
    assert set(one.document) == {"source", "orders", "request", "response", "refusal", "outcomes"}
    assert re.match(r"constructed: \S|(?=.*https://\S).*\b20\d\d-\d\d-\d\d\b", one.document["source"])


@every_venue
def test_every_code_occurs_in_a_recorded_answer(venue: Venue) -> None:
    occurring = set().union(*(words_of(parse_json(one.response.body)) for one in recorded_of(venue)))
    read = {outcome.code for one in recorded_of(venue) for outcome in one.outcomes}  # spelled as the table spells it
    assert set(venue.codes) - occurring - read == set()


@every_venue
def test_a_recorded_request_exists_for_every_kind_of_id(venue: Venue) -> None:
    kinds = {order.kind for one in recorded_of(venue) if one.request for order in one.orders}
    assert kinds == set(venue.id_kinds)


@every_venue
def test_a_success_and_a_doubt_are_recorded(venue: Venue) -> None:
    statuses = {outcome.status for one in recorded_of(venue) for outcome in one.outcomes}
    assert statuses & SUCCESSES
    assert Status.UNKNOWN in statuses
    assert None in {one.refusal for one in recorded_of(venue)}
    assert RefusalKind.UNCERTAIN in {one.refusal for one in recorded_of(venue)}


# What headers tell of the limits

USAGE_HEADERS = ("x-mbx-used-weight-1m", "remaining-req", "x-ratelimit-remaining", "retry-after")


@every_venue
@given(headers=st.dictionaries(st.sampled_from(USAGE_HEADERS) | any_text, any_text | st.integers().map(str)))
def test_usage_is_read_without_harm_and_of_limits_that_there_are(venue: Venue, headers: dict[str, str]) -> None:
    windows = {(limit.name, limit.per_ms): limit for limit in limits_of(venue)}
    for usage in venue.read_usage(headers) if venue.read_usage else ():
        assert usage.left >= 0
        assert (usage.limit, usage.per_ms) in windows


# The record itself


@every_venue
def test_the_numbers_of_a_venue_are_sane(venue: Venue) -> None:
    assert venue.max_orders_per_call >= 1
    assert venue.max_in_flight >= 1
    assert venue.settling_ms > 0
    assert venue.limits
    assert len({limit.name for limit in venue.limits}) == len(venue.limits)
    for limit in venue.limits:
        assert limit.name
        assert limit.units >= limit.cost >= 1
        assert limit.per_ms >= 1


@every_venue
def test_the_words_of_a_venue_are_sane(venue: Venue) -> None:
    root = urlsplit(venue.base_url)
    known = {one.name for one in fields(Credentials)}
    assert (root.scheme, root.query, root.fragment, venue.base_url[-1:] == "/") == ("https", "", "", False)
    assert re.fullmatch("[a-z][a-z0-9_]*", venue.name)
    assert venue.title
    assert re.fullmatch(r"[^\n]{10,80}[^.\n]", venue.success_proves)
    assert venue.note is None or re.fullmatch(r"[^\n]+[^.\n]", venue.note)
    assert len(set(venue.id_kinds)) == len(venue.id_kinds) > 0
    assert venue.credential_sets
    assert all({"api_key"} <= names <= known for names in venue.credential_sets)
    assert all(len(one) <= len(other) for one, other in pairwise(venue.credential_sets))


@every_venue
def test_the_codes_of_a_venue_are_its_own_words(venue: Venue) -> None:
    for code, meaning in venue.codes.items():
        assert code == code.strip() != ""
        assert isinstance(meaning, RefusalKind) or meaning in SAID - {Status.NOT_SENT}
        assert not isinstance(meaning, Status) or meaning not in SUCCESSES - {Status.ACCEPTED}


# The venue's clock

CLOCK_NAMES = ("serverTime", "timestamp", "timestamp_miliseconds", "data", "epoch", "result")


@every_venue
@given(data=st.data(), status=st.sampled_from([200, 200, 403, 429, 500]))
def test_a_clock_is_read_without_harm(venue: Venue, data: st.DataObject, status: int) -> None:
    documents = st.recursive(
        st.none() | st.booleans() | st.floats() | any_text | st.integers(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(CLOCK_NAMES), inner, max_size=3),
    )
    body = data.draw(st.binary(max_size=50) | documents.map(json.dumps).map(str.encode))
    tells_a_time_that_can_be(venue, Response(status, body))


@every_venue
@pytest.mark.parametrize(
    "value", ["0", "-1", str(2**53), "1" + "0" * 400, "true", "1.5", "1e12", '"1763632800000"', "NaN"]
)
def test_a_clock_never_tells_a_time_that_cannot_be(venue: Venue, value: str) -> None:
    for name in CLOCK_NAMES:
        for body in (f'{{"{name}":{value}}}', f'{{"data":{{"{name}":{value}}}}}'):
            tells_a_time_that_can_be(venue, Response(200, body.encode()))


def tells_a_time_that_can_be(venue: Venue, response: Response) -> None:
    assert (venue.clock_request is None) == (venue.read_clock is None)
    now_ms = venue.read_clock(response) if venue.read_clock else None
    assert now_ms is None or (type(now_ms) is int and 0 < now_ms < 2**53)


@every_venue
def test_the_clock_is_asked_for_without_a_key(venue: Venue) -> None:
    request = venue.clock_request or Request("GET", "/")
    assert (request.method, request.body) == ("GET", b"")
    assert _problem(request.target, dict(request.headers)) is None
    assert {name.lower() for name in request.headers} <= {"accept"}
