"""The part of the contract suite about listings, queries and cancel-alls: what they send, what they conclude."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.calls import Limit, Refusal, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.reading import UNREADABLE, parse_json
from connectors.reads import CancelAll, Listing, Query
from connectors.registry import VENUES
from connectors.transport import _problem
from connectors.venue import Venue
from tests.connectors.contract import (
    OTHER_STAMP,
    STAMP,
    any_text,
    credentials_of,
    every_credentials_of,
    every_venue,
    mutations_of,
    orders_of,
    sent_texts,
)
from tests.connectors.reads_contract import (
    STANDING,
    Call,
    RecordedRead,
    arrays_of,
    build,
    build_call,
    calls_of,
    every_cancel_all,
    every_listing,
    every_query,
    every_read_of,
    limits_of,
    orders_recorded,
    orders_to_query,
    read_documents_about,
    recorded_reads,
    sound_cancel_all,
    sound_page,
    sound_query,
)
from tests.connectors.test_contract_requests import IN_CLEAR, secrets_of, spellings, tokens_of

many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_call = pytest.mark.parametrize(
    ("venue", "call"),
    [pytest.param(venue, call, id=f"{name}-{call.name}") for name, venue in VENUES.items() for call in calls_of(venue)],
)
NOTHING_SAID = (
    b"",
    b"null",
    b"true",
    b"0",
    b'""',
    b"{}",
    b"[[]]",
    b"[null]",
    b"[{}]",
    b"<html><body>Bad gateway</body></html>",
    b"[" * 100_000,
    b'{"code":' * 100_000,
    b"1" * 10_000,
    b'{"code":NaN}',
    b"\xff\xfe",
    b"\xef\xbb\xbf[]",
)


# Recorded answers


@every_read_of(Listing, Query, CancelAll)
def test_a_recorded_read_is_read_as_it_says(venue: Venue, one: RecordedRead) -> None:
    refusal: Refusal | None
    if isinstance(one.call, Listing):
        page = sound_page(venue, one.call, one.response, one.cursor)
        refusal = page.refusal
        assert one.page is None if refusal else replace(page, refusal=None) == one.page
    elif isinstance(one.call, Query):
        answer = sound_query(venue, one.call, one.orders, one.response)
        refusal = answer.refusal
        assert answer.outcomes == one.outcomes
    else:
        answer = sound_cancel_all(venue, one.call, one.orders, one.response)
        refusal = answer.refusal
        assert answer.outcomes == one.outcomes
    assert (refusal.kind if refusal else None) == one.refusal


@every_read_of(Listing, Query, CancelAll)
def test_a_recorded_read_is_built_byte_for_byte(venue: Venue, one: RecordedRead) -> None:
    assert one.request is None or build(one, credentials_of(venue), STAMP) == one.request


@every_read_of(Listing, Query, CancelAll)
def test_a_recorded_read_says_where_it_is_from(venue: Venue, one: RecordedRead) -> None:
    keys = {"source", "call", "symbol", "cursor", "orders", "request", "response", "refusal", "page", "outcomes"}
    assert set(one.document) == keys
    assert re.match(r"constructed: \S|(?=.*https://\S).*\b20\d\d-\d\d-\d\d\b", one.document["source"])
    assert bool(one.orders) == (not isinstance(one.call, Listing))
    assert (one.page is not None) == (isinstance(one.call, Listing) and one.refusal is None)
    if isinstance(one.call, Query):
        assert len(one.orders) <= one.call.max_orders
        assert {order.kind for order in one.orders} <= set(one.call.id_kinds)
    assert [venue.check_order(order) for order in one.orders] == [None] * len(one.orders)


@every_call
def test_every_call_has_a_recorded_request_an_answer_and_a_refusal(venue: Venue, call: Call) -> None:
    ones = [one for one in recorded_reads(venue.name) if one.call is call]
    assert any(one.request for one in ones)
    assert {one.refusal is None for one in ones} == {True, False}
    if isinstance(call, Query):
        assert {order.kind for one in ones if one.request for order in one.orders} == set(call.id_kinds)
        assert {outcome.evidence for one in ones for outcome in one.outcomes} >= {Evidence.ORDER_QUERY}
    if isinstance(call, Listing):
        assert {bool(one.page.orders) for one in ones if one.page} == {True, False}


# Listings


@every_listing
@given(status=st.integers(100, 999), body=st.binary(max_size=200))
def test_any_bytes_are_a_page_or_a_refusal(venue: Venue, listing: Listing, status: int, body: bytes) -> None:
    sound_page(venue, listing, Response(status, body))


@every_listing
@many
@given(data=st.data(), status=st.sampled_from([200] * 5 + [400, 401, 404, 418, 429, 500, 503]))
def test_any_json_is_a_page_or_a_refusal(venue: Venue, listing: Listing, data: st.DataObject, status: int) -> None:
    sound_page(venue, listing, Response(status, json.dumps(data.draw(read_documents_about(venue))).encode()))


@every_listing
@many
@given(data=st.data())
def test_a_broken_page_is_a_page_or_a_refusal(venue: Venue, listing: Listing, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from([one for one in recorded_reads(venue.name) if one.call is listing and one.page]))
    body = json.dumps(data.draw(mutations_of(parse_json(one.response.body)))).encode()
    sound_page(venue, listing, replace(one.response, body=body), one.cursor)


@every_listing
@pytest.mark.parametrize("status", [200, 204, 302, 404, 429, 500, 503])
@pytest.mark.parametrize("body", NOTHING_SAID, ids=range(len(NOTHING_SAID)))
def test_an_answer_that_lists_nothing_is_never_an_empty_page(
    venue: Venue, listing: Listing, status: int, body: bytes
) -> None:
    assert sound_page(venue, listing, Response(status, body)).refusal


@every_read_of(Listing)
def test_a_page_under_another_status_is_none(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, Listing)
    for status in (100, 302, 400, 404, 429, 500, 503):
        assert sound_page(venue, one.call, replace(one.response, status=status), one.cursor).refusal


@every_read_of(Listing)
def test_a_page_cut_short_is_none(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, Listing)
    body = one.response.body
    for length in {0, 1, len(body) // 3, len(body) // 2, len(body) - 1} - {len(body), -1}:
        assert sound_page(venue, one.call, replace(one.response, body=body[:length]), one.cursor).refusal


@every_read_of(Listing)
@pytest.mark.parametrize("row", [None, {}, [], "row", {"status": "OPEN"}], ids=str)
def test_one_bad_row_spoils_the_page(venue: Venue, one: RecordedRead, row: object) -> None:
    assert isinstance(one.call, Listing)
    for place in range(len(one.page.orders) if one.page else 0):
        document = parse_json(one.response.body)
        (listed,) = (found for found in arrays_of(document) if found and isinstance(found[0], dict))
        listed[place] = row
        assert sound_page(venue, one.call, replace(one.response, body=json.dumps(document).encode())).refusal


@every_listing
def test_a_listing_asks_for_a_symbol_and_for_all(venue: Venue, listing: Listing) -> None:
    for credentials in every_credentials_of(venue):
        everything = listing.build(None, None, credentials, STAMP)
        one = listing.build("LTC&=é", None, credentials, STAMP)
        assert "LTC&=é" in sent_texts(one)
        assert everything != one


# Queries


@every_query
@given(data=st.data(), status=st.integers(100, 999), body=st.binary(max_size=200))
def test_any_bytes_give_one_standing_per_order(
    venue: Venue, query: Query, data: st.DataObject, status: int, body: bytes
) -> None:
    sound_query(venue, query, data.draw(orders_to_query(venue, query)), Response(status, body))


@every_query
@many
@given(data=st.data(), status=st.sampled_from([200] * 5 + [400, 401, 404, 418, 429, 500, 503]))
def test_any_json_gives_one_standing_per_order(venue: Venue, query: Query, data: st.DataObject, status: int) -> None:
    body = json.dumps(data.draw(read_documents_about(venue))).encode()
    sound_query(venue, query, data.draw(orders_to_query(venue, query)), Response(status, body))


@every_query
@many
@given(data=st.data())
def test_a_broken_query_concludes_nothing_in_silence(venue: Venue, query: Query, data: st.DataObject) -> None:
    ones = [one for one in recorded_reads(venue.name) if one.call is query]
    one = data.draw(st.sampled_from([one for one in ones if isinstance(parse_json(one.response.body), dict | list)]))
    body = json.dumps(data.draw(mutations_of(parse_json(one.response.body)))).encode()
    sound_query(venue, query, data.draw(st.just(one.orders) | orders_to_query(venue, query)), Response(200, body))


@every_query
@pytest.mark.parametrize("status", [200, 204, 302, 404, 429, 500, 503])
@pytest.mark.parametrize("body", [*NOTHING_SAID, b"[]"], ids=range(len(NOTHING_SAID) + 1))
def test_an_answer_that_says_nothing_is_no_answer(venue: Venue, query: Query, status: int, body: bytes) -> None:
    for kind in query.id_kinds:
        answer = sound_query(venue, query, orders_of(venue, kind, query.max_orders), Response(status, body))
        assert {outcome.evidence for outcome in answer.outcomes} == {Evidence.NO_ANSWER}


@every_read_of(Query)
def test_a_query_tells_nothing_of_other_orders_or_under_another_status(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, Query)
    others = orders_of(venue, one.orders[0].kind, len(one.orders))
    answer = sound_query(venue, one.call, others, one.response)
    assert not {outcome.status for outcome in answer.outcomes} & STANDING
    for status in (100, 302, 400, 404, 429, 500, 503):
        answer = sound_query(venue, one.call, one.orders, replace(one.response, status=status))
        assert {outcome.status for outcome in answer.outcomes} == {Status.UNKNOWN}


@every_read_of(Query)
def test_to_be_unknown_takes_a_question_of_its_own(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, Query)
    assert all(outcome.evidence is not Evidence.NOT_KNOWN for outcome in one.outcomes) or one.call.max_orders == 1


@every_read_of(Query)
def test_a_long_word_for_a_state_is_cut(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, Query)
    body = re.sub(rb'("(?:state|status|listOrderStatus)":)"[^"]*"', rb'\1"%s"' % (b"x" * 500), one.response.body)
    sound_query(venue, one.call, one.orders, replace(one.response, body=body))


# Cancel-alls


@every_cancel_all
@given(status=st.integers(100, 999), body=st.binary(max_size=200))
def test_any_bytes_take_a_cancel_all_or_refuse_it(
    venue: Venue, cancel_all: CancelAll, status: int, body: bytes
) -> None:
    answer = sound_cancel_all(venue, cancel_all, orders_of(venue, IdKind.ORDER_ID, 3), Response(status, body))
    assert answer.refusal or parse_json(body) is not UNREADABLE


@every_cancel_all
@many
@given(data=st.data())
def test_any_document_about_its_orders_is_read_soundly(
    venue: Venue, cancel_all: CancelAll, data: st.DataObject
) -> None:
    orders = data.draw(st.sampled_from(orders_recorded(venue, cancel_all)))
    document = data.draw(read_documents_about(venue))
    status = data.draw(st.sampled_from((200, 200, 400, 404, 429, 500, 503)))
    sound_cancel_all(venue, cancel_all, orders, Response(status, json.dumps(document).encode()))


@every_read_of(CancelAll)
@many
@given(data=st.data())
def test_a_broken_answer_to_a_cancel_all_is_read_soundly(venue: Venue, one: RecordedRead, data: st.DataObject) -> None:
    assert isinstance(one.call, CancelAll)
    document = parse_json(one.response.body)
    if document is UNREADABLE:
        return
    body = json.dumps(data.draw(mutations_of(document))).encode()
    sound_cancel_all(venue, one.call, one.orders, replace(one.response, body=body))


@every_cancel_all
@pytest.mark.parametrize("status", [200, 204, 404, 429, 500])
@pytest.mark.parametrize("body", [one for one in NOTHING_SAID if one[:2] not in {b"[[", b"[n", b"[{"}], ids=len)
def test_a_cancel_all_is_not_taken_in_silence(venue: Venue, cancel_all: CancelAll, status: int, body: bytes) -> None:
    answer = sound_cancel_all(venue, cancel_all, orders_of(venue, IdKind.ORDER_ID, 3), Response(status, body))
    assert answer.refusal


@every_read_of(CancelAll)
def test_a_cancel_all_is_not_taken_under_another_status(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, CancelAll)
    for status in (100, 302, 404, 429, 500, 503):
        answer = sound_cancel_all(venue, one.call, one.orders, replace(one.response, status=status))
        assert answer.refusal


@every_read_of(CancelAll)
def test_a_cancel_all_says_nothing_of_orders_that_it_does_not_name(venue: Venue, one: RecordedRead) -> None:
    assert isinstance(one.call, CancelAll)
    others = orders_of(venue, IdKind.ORDER_ID, len(one.orders))
    answer = sound_cancel_all(venue, one.call, others, one.response)
    assert {outcome.evidence for outcome in answer.outcomes} <= {
        Evidence.CANCEL_ALL,
        Evidence.CALL_REFUSED,
        Evidence.NO_ANSWER,
    }


# What goes out


def askings(venue: Venue, call: Call) -> list[Callable[[Credentials, Stamp], Request]]:
    """Give a builder for each thing that the call can be asked: a full call of each kind of id, or a symbol, or all."""
    if isinstance(call, Query):
        full = [orders_of(venue, kind, call.max_orders) for kind in call.id_kinds]
        return [partial(build_call, call, orders=orders) for orders in full]
    symbols = ("LTCBTC", None) if isinstance(call, Listing) else ("LTCBTC" if call.per_symbol else None,)
    return [partial(build_call, call, symbol=symbol) for symbol in symbols]


@every_call
def test_a_read_is_pure_and_signed_anew_in_every_attempt(venue: Venue, call: Call) -> None:
    for credentials in every_credentials_of(venue):
        signed = credentials.api_secret is not None or credentials.private_key is not None
        for ask in askings(venue, call):
            first = ask(credentials, STAMP)
            assert first == ask(credentials, STAMP)
            assert (first != ask(credentials, OTHER_STAMP)) == signed


@every_call
def test_a_read_can_go_out_as_it_is(venue: Venue, call: Call) -> None:
    for credentials in every_credentials_of(venue):
        for ask in askings(venue, call):
            request = ask(credentials, STAMP)
            names = {name.lower() for name in request.headers}
            assert _problem(request.target, dict(request.headers)) is None
            assert len(request.target) < 8000  # what servers commonly take
            assert bool(request.body) <= ("content-type" in names)
            assert not names & {"host", "content-length", "transfer-encoding", "accept-encoding", "user-agent"}


@every_query
@given(data=st.data())
def test_the_ids_of_a_query_survive_the_way_out(venue: Venue, query: Query, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(query.id_kinds))
    drawn = data.draw(
        st.lists(any_text | st.text("&=+%/?#[] é€😀", min_size=1), max_size=query.max_orders, unique=True)
    )
    asked = [OrderRef(kind, value, "LTC&=é" if venue.symbol_required else None) for value in drawn]
    taken = tuple(order for order in asked if venue.check_order(order) is None)
    orders = taken or orders_of(venue, kind, 1)
    request = query.build(orders, credentials_of(venue), STAMP)
    in_path = "?" not in request.target and not request.body
    sent = unquote(request.target) if in_path else "\n".join(sent_texts(request))
    assert [order.value for order in orders if order.value not in sent] == []


@every_call
def test_no_secret_is_shown_or_sent_by_a_read(venue: Venue, call: Call) -> None:
    for credentials in every_credentials_of(venue):
        for ask in askings(venue, call):
            request = ask(credentials, STAMP)
            for name, secret in secrets_of(credentials).items():
                kept = {key: value for key, value in request.headers.items() if IN_CLEAR.get((venue.name, name)) != key}
                sent = f"{request.target}\n{request.body.decode()}\n{kept}\n{tokens_of(kept)}"
                assert not [spelling for spelling in spellings(secret) if spelling in f"{sent} {request!r}"], name
            assert credentials.api_key not in f"{request.target} {request!r}"


# The record itself


@every_venue
def test_calls_that_count_together_count_in_one_window(venue: Venue) -> None:
    windows: dict[str, Limit] = {}
    for limit in limits_of(venue):
        assert replace(windows.setdefault(limit.name, limit), cost=limit.cost) == limit
        assert limit.units >= limit.cost >= 1
        assert limit.per_ms >= 1
    assert all(call.limits for call in calls_of(venue))


@every_venue
def test_the_calls_of_a_venue_fit_each_other(venue: Venue) -> None:
    names = [call.name for call in calls_of(venue)]
    assert len(set(names)) == len(names)
    assert all(most >= 1 for most in venue.namespaces.values())
    asked = {kind for query in venue.queries for kind in query.id_kinds}
    assert asked <= set(venue.id_kinds)
    assert venue.resend_safe & set(venue.id_kinds)
    for call in (*venue.queries, *venue.cancel_alls):
        assert call.namespace is None or call.namespace in venue.namespaces
