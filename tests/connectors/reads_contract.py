"""What the contract suite needs of the reading calls: recorded answers, and what must be true of any answer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import strategies as st

from connectors.calls import REFUSED_AS, Answer, Limit, Refusal, RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import VERDICTS, Evidence, Outcome, Status, Verdict
from connectors.reading import MESSAGE_LENGTH, parse_json
from connectors.reads import CancelAll, Listing, OpenOrder, Page, Query, Side
from connectors.registry import VENUES
from connectors.venue import Venue
from tests.connectors.contract import RECORDED, any_leaf, any_text, orders_of, words_of

Call = Listing | Query | CancelAll
STANDING = {Status.OPEN, Status.CANCELED, Status.FILLED, Status.CLOSED}

every_listing = pytest.mark.parametrize(
    ("venue", "listing"),
    [pytest.param(venue, call, id=f"{name}-{call.name}") for name, venue in VENUES.items() for call in venue.listings],
)
every_query = pytest.mark.parametrize(
    ("venue", "query"),
    [pytest.param(venue, call, id=f"{name}-{call.name}") for name, venue in VENUES.items() for call in venue.queries],
)
every_cancel_all = pytest.mark.parametrize(
    ("venue", "cancel_all"),
    [
        pytest.param(venue, call, id=f"{name}-{call.name}")
        for name, venue in VENUES.items()
        for call in venue.cancel_alls
    ],
)


# Recorded answers


@dataclass(frozen=True, slots=True)
class RecordedRead:
    """One file of ``recorded/<venue>/reads``: the call's name, what was asked, and what the answer says."""

    name: str
    document: Mapping[str, Any]
    call: Call
    symbol: str | None
    cursor: str | None
    orders: tuple[OrderRef, ...]
    request: Request | None
    response: Response
    refusal: RefusalKind | None
    page: Page | None
    outcomes: tuple[Outcome, ...]


def calls_of(venue: Venue) -> tuple[Call, ...]:
    """Give all of a venue's calls beside the cancel."""
    return (*venue.listings, *venue.queries, *venue.cancel_alls)


@cache
def recorded_reads(venue_name: str) -> tuple[RecordedRead, ...]:
    """Give all recorded answers to a venue's reading calls, in the order of their names."""
    calls = {call.name: call for call in calls_of(VENUES[venue_name])}
    paths = sorted((RECORDED / venue_name / "reads").glob("*.json"))
    return tuple(_recorded(path.stem, json.loads(path.read_text("utf-8")), calls) for path in paths)


def _recorded(name: str, document: Mapping[str, Any], calls: Mapping[str, Call]) -> RecordedRead:
    orders = tuple(OrderRef(IdKind(one["kind"]), one["value"], one["symbol"]) for one in document["orders"])
    request, response, page = document["request"], document["response"], document["page"]
    outcomes = zip(orders, document["outcomes"], strict=document["outcomes"] != [])
    return RecordedRead(
        name,
        document,
        calls[document["call"]],
        document["symbol"],
        document["cursor"],
        orders,
        Request(**(request | {"body": request["body"].encode()})) if request else None,
        Response(response["status"], response["body"].encode(), response["headers"]),
        RefusalKind(document["refusal"]) if document["refusal"] else None,
        Page(tuple(_open_order(one) for one in page["orders"]), page["cursor"]) if page else None,
        tuple(
            Outcome(order, **(said | {"status": Status(said["status"]), "evidence": Evidence(said["evidence"])}))
            for order, said in outcomes
        ),
    )


def _open_order(one: Mapping[str, Any]) -> OpenOrder:
    return OpenOrder(**(dict(one) | ({"side": Side(one["side"])} if one.get("side") else {})))


def every_read_of(*kinds: type[Call]) -> pytest.MarkDecorator:
    """Parametrize by the recorded answers to calls of these *kinds*."""
    found = [(name, venue, one) for name, venue in VENUES.items() for one in recorded_reads(name)]
    params = [
        pytest.param(venue, one, id=f"{name}-{one.name}") for name, venue, one in found if type(one.call) in kinds
    ]
    return pytest.mark.parametrize(("venue", "one"), params)


def build(one: RecordedRead, credentials: Credentials, stamp: Stamp) -> Request:
    """Build the request of a recorded answer anew."""
    return build_call(one.call, credentials, stamp, orders=one.orders, symbol=one.symbol, cursor=one.cursor)


def build_call(
    call: Call,
    credentials: Credentials,
    stamp: Stamp,
    *,
    orders: tuple[OrderRef, ...] = (),
    symbol: str | None = None,
    cursor: str | None = None,
) -> Request:
    """Build a request of any of the three shapes of calls."""
    if isinstance(call, Listing):
        return call.build(symbol, cursor, credentials, stamp)
    return call.build(orders, credentials, stamp) if isinstance(call, Query) else call.build(symbol, credentials, stamp)


def limits_of(venue: Venue) -> Iterator[Limit]:
    """Give the windows of all of a venue's calls."""
    yield from venue.limits
    for call in calls_of(venue):
        yield from call.limits
    for listing in venue.listings:
        yield from listing.symbol_limits or ()


# What must be true of any answer


def sound_page(venue: Venue, listing: Listing, response: Response, cursor: str | None = None) -> Page:
    """Read a listing, and hold it to all that must be true of any: with a refusal it shows nothing and goes nowhere."""
    page = listing.read(response, cursor)
    document = parse_json(response.body)
    words = words_of(document)
    if page.refusal:
        assert (page.orders, page.cursor) == ((), None)
        sound_refusal(page.refusal)
    else:
        assert 200 <= response.status < 300
        assert [*arrays_of(document)], "an empty listing is an array, never silence"
        assert page.unlisted is None
    assert page.cursor is None or (page.cursor != (cursor or "") and page.cursor.isprintable())
    for order in page.orders:
        sound_order(venue, order)
        assert order.order_id in words
    return page


def sound_order(venue: Venue, order: OpenOrder) -> None:
    """An open order can be named in a cancel, stored, and printed."""
    kind = IdKind.ORDER_ID if order.order_list_id is None else IdKind.ORDER_LIST_ID
    value = order.order_id if order.order_list_id is None else order.order_list_id
    assert venue.check_order(OrderRef(kind, value, order.symbol, order.namespace)) is None
    assert order.namespace is None or order.namespace in venue.namespaces
    assert order.created_ms is None or 0 < order.created_ms < 2**53
    for word in (order.order_id, order.client_order_id, order.order_list_id, order.symbol, order.filled_qty):
        assert word is None or (word.isprintable() and 0 < len(word) <= MESSAGE_LENGTH and word.encode())


def sound_query(venue: Venue, query: Query, orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read a query, and hold it to all that must be true of any: what is not said of an order by name is not known."""
    answer = query.read(orders, response)
    words = {word.lower() for word in words_of(parse_json(response.body))}
    assert tuple(outcome.order for outcome in answer.outcomes) == orders
    for outcome in answer.outcomes:
        if outcome.status in STANDING:
            value = outcome.order.value.lower()
            assert value in words or (value.lstrip("0") or "0") in words, "silence is never success"
            assert outcome.evidence is Evidence.ORDER_QUERY
            assert 200 <= response.status < 300
            assert answer.refusal is None
        else:
            assert outcome.status is Status.UNKNOWN
            assert outcome.evidence in {Evidence.NOT_KNOWN, Evidence.NO_ANSWER}
        if outcome.evidence is Evidence.NOT_KNOWN:
            assert response.status < 500
            assert words, "not to know takes words"
            assert answer.refusal is None
        texts = (outcome.code, outcome.message, outcome.filled_qty, outcome.order_id)
        for word in texts:
            assert word is None or (word.isprintable() and 0 < len(word) <= MESSAGE_LENGTH and word.encode())
    if answer.refusal:
        sound_refusal(answer.refusal)
        assert {outcome.evidence for outcome in answer.outcomes} == {Evidence.NO_ANSWER}
    return answer


def sound_cancel_all(venue: Venue, call: CancelAll, orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read the answer to a cancel of all, and hold it to all that must be true of any: silence ends no order."""
    answer = call.read(orders, response)
    words = words_of(parse_json(response.body))
    assert tuple(outcome.order for outcome in answer.outcomes) == orders
    for outcome in answer.outcomes:
        if VERDICTS[outcome.status] is Verdict.GONE:
            assert outcome.evidence is Evidence.CANCEL_ANSWER
        if outcome.evidence is Evidence.CANCEL_ANSWER:
            assert {outcome.order.value, outcome.order.value.lstrip("0") or "0"} & words, "silence is never success"
        if outcome.status not in {Status.UNKNOWN, Status.NOT_SENT, Status.REJECTED}:
            assert 200 <= response.status < 300
            assert answer.refusal is None
        for word in (outcome.code, outcome.message, outcome.filled_qty, outcome.order_id):
            assert word is None or (word.isprintable() and 0 < len(word) <= MESSAGE_LENGTH and word.encode()), (
                venue.name
            )
    if answer.refusal:
        sound_refusal(answer.refusal)
        assert {outcome.status for outcome in answer.outcomes} == {REFUSED_AS[answer.refusal.kind]}
    return answer


def sound_refusal(refusal: Refusal) -> None:
    """A refusal is stored and printed, and asks for no endless pause."""
    assert refusal.pause_ms is None or 0 <= refusal.pause_ms < 10**12
    for word in (refusal.code, refusal.message):
        assert word is None or (word.isprintable() and 0 < len(word) <= MESSAGE_LENGTH and word.encode())


def arrays_of(document: object) -> Iterator[list[object]]:
    """Give every array of a JSON document."""
    if isinstance(document, list):
        yield document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from arrays_of(inner)


# Answers without end


def read_documents_about(venue: Venue) -> st.SearchStrategy[object]:
    """Make JSON of any shape out of the names and the values of the recorded answers to reading calls."""
    names, values = {"code"}, {"0"}
    for one in recorded_reads(venue.name):
        document = parse_json(one.response.body)
        names |= set(names_of(document))
        values |= words_of(document) | {order.value for order in one.orders}
    leaf = any_leaf | st.sampled_from(sorted(values)) | st.sampled_from(sorted(venue.codes))
    name = st.sampled_from(sorted(names)) | any_text
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(name, inner), max_leaves=30)


def names_of(document: object) -> Iterator[str]:
    """Give the name of every field of a JSON document."""
    if isinstance(document, dict):
        yield from document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from names_of(inner)


def orders_to_query(venue: Venue, query: Query) -> st.SearchStrategy[tuple[OrderRef, ...]]:
    """Ask for one to a full call of orders: made-up ones, or those of a recorded answer to this very query."""
    counts = st.integers(1, min(query.max_orders, 5)) | st.just(query.max_orders)
    made_up = st.builds(orders_of, st.just(venue), st.sampled_from(query.id_kinds), counts)
    known = orders_recorded(venue, query)
    return made_up | st.sampled_from(known) if known else made_up


def orders_recorded(venue: Venue, call: Call) -> list[tuple[OrderRef, ...]]:
    """Give the orders of each recorded answer to this very call."""
    return [one.orders for one in recorded_reads(venue.name) if one.call is call]
