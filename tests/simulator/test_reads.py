"""Every reading call of a connector, signed by it and answered by the simulated venue: two readings of one protocol."""

import http.client
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors.calls import Limit, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reads import Listing, OpenOrder, Query
from connectors.registry import VENUES
from simulator.serve import RunningSimulator
from simulator.venues import VENUES as PLAYED
from tests.connectors.contract import orders_of
from tests.simulator.callers import Caller, now_ms

MONTH_MS = 30 * 24 * 3600 * 1000
READING = [name for name, venue in VENUES.items() if venue.listings]
STATUSES = {"open": Status.OPEN, "partly_filled": Status.OPEN, "filled": Status.FILLED, "canceled": Status.CANCELED}

every_reading_venue = pytest.mark.parametrize("name", READING)


class Reader:
    """Sends what a connector builds to the simulator, and reads the answer with the connector."""

    def __init__(self, running: RunningSimulator, caller: Caller) -> None:
        self.venue = VENUES[caller.venue]
        self.caller = caller
        self.url = urlsplit(running.url)
        self.credentials = Credentials(**caller.keys)

    def send(self, request: Request) -> Response:
        with closing(http.client.HTTPConnection(self.url.hostname or "", self.url.port, timeout=20)) as connection:
            target = self.caller.root + request.target
            connection.request(request.method, target, request.body or None, dict(request.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, answer.read(), headers)

    def stamp(self) -> Stamp:
        return Stamp(now_ms(), str(uuid.uuid4()))

    def open(self, listing: Listing, symbol: str | None = None) -> list[OpenOrder]:
        found: list[OpenOrder] = []
        cursor: str | None = None
        for _ in range(10):
            page = listing.read(self.send(listing.build(symbol, cursor, self.credentials, self.stamp())), cursor)
            assert page.refusal is None, page.refusal
            found += page.orders
            cursor = page.cursor
            if cursor is None:
                return found
        raise AssertionError(f"{listing.name} has no end")

    def all_open(self, symbol: str | None = None) -> dict[str, OpenOrder]:
        return {order.order_id: order for listing in self.venue.listings for order in self.open(listing, symbol)}

    def ask(self, query: Query, orders: tuple[OrderRef, ...]) -> tuple[Outcome, ...]:
        answer = query.read(orders, self.send(query.build(orders, self.credentials, self.stamp())))
        assert answer.refusal is None, answer.refusal
        return answer.outcomes


@pytest.fixture
def reader(running: RunningSimulator, caller: Callable[[str], Caller]) -> Callable[[str], Reader]:
    def make(name: str) -> Reader:
        one = caller(name)
        for rule in PLAYED[name].rules:
            one.control.limits(venue=name, rule=rule.name, limit=100_000)
        return Reader(running, one)

    return make


def reference(one: Reader, kind: IdKind, order: dict[str, Any]) -> OrderRef:
    return OrderRef(kind, order[kind], order["symbol"] if one.venue.symbol_required else None)


def seed(one: Reader, count: int, **plan: Any) -> None:
    """Fill the book with orders a month old in every namespace of the venue."""
    for kind in PLAYED[one.caller.venue].kinds:
        one.caller.control.seed(one.caller.account, count, kind=kind, age_ms=MONTH_MS, **plan)


@every_reading_venue
def test_listings_show_every_open_order_of_every_namespace_and_no_other(
    reader: Callable[[str], Reader], name: str
) -> None:
    one = reader(name)
    seed(one, 4, filled=1, partly=1, canceled=1, side="sell")

    shown = one.all_open()

    book = one.caller.control.book(one.caller.account)
    live = {order["order_id"]: order for order in book if order["state"] in {"open", "partly_filled"}}
    assert len(live) == 2 * len(PLAYED[name].kinds)
    assert shown.keys() == live.keys()
    for order_id, order in live.items():
        row = shown[order_id]
        assert (row.symbol, row.side) == (order["symbol"], "sell")
        assert row.filled_qty in {order["filled_qty"], None}
        assert row.client_order_id in {order["client_order_id"], None}
        assert row.created_ms is None or abs(now_ms() - row.created_ms - MONTH_MS) < 60_000


@every_reading_venue
def test_a_listing_of_a_symbol_shows_that_symbol(reader: Callable[[str], Reader], name: str) -> None:
    one = reader(name)
    first, second = PLAYED[name].symbols[:2]
    one.caller.control.seed(one.caller.account, 2, symbol=first)
    one.caller.control.seed(one.caller.account, 3, symbol=second)

    assert len(one.all_open()) == 5
    assert {order.symbol for order in one.all_open(second).values()} == {second}
    assert len(one.all_open(second)) == 3


@every_reading_venue
def test_a_listing_goes_on_to_its_last_page(reader: Callable[[str], Reader], name: str) -> None:
    one = reader(name)
    for age_ms in range(25):  # a time of its own for every few orders, where pages go by time
        one.caller.control.seed(one.caller.account, 10, age_ms=age_ms * 1000)

    assert len(one.all_open()) == 250


@every_reading_venue
def test_an_account_with_nothing_open_lists_nothing(reader: Callable[[str], Reader], name: str) -> None:
    one = reader(name)
    seed(one, 2, filled=1, canceled=1)

    assert one.all_open() == {}


@every_reading_venue
def test_queries_tell_how_orders_stand(reader: Callable[[str], Reader], name: str) -> None:
    one = reader(name)
    seed(one, 4, filled=1, canceled=1, partly=1)
    book = one.caller.control.book(one.caller.account)
    kinds = {IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID}

    for query in one.venue.queries:
        # An order of a namespace that has calls of its own is asked for there, and not by the ordinary query.
        own = {order["order_id"]: order["kind"] for order in book if order["kind"] in one.venue.namespaces}
        chosen = [order for order in book if own.get(order["order_id"]) == query.namespace]
        for kind in kinds.intersection(query.id_kinds):
            for start in range(0, len(chosen), query.max_orders):
                part = chosen[start : start + query.max_orders]
                outcomes = one.ask(query, tuple(reference(one, kind, order) for order in part))
                for order, outcome in zip(part, outcomes, strict=True):
                    assert (outcome.status, outcome.evidence) == (STATUSES[order["state"]], Evidence.ORDER_QUERY)
                    assert outcome.filled_qty == order["filled_qty"]
                    assert outcome.order_id == order["order_id"]


@every_reading_venue
def test_an_order_that_is_not_there_is_not_known_or_no_answer(reader: Callable[[str], Reader], name: str) -> None:
    one = reader(name)
    seed(one, 1)
    found: set[Evidence] = set()

    for query in one.venue.queries:
        for kind in query.id_kinds:
            (outcome,) = one.ask(query, orders_of(one.venue, kind, 1))
            assert outcome.status is Status.UNKNOWN
            found.add(outcome.evidence)

    assert found <= {Evidence.NOT_KNOWN, Evidence.NO_ANSWER}
    assert Evidence.NOT_KNOWN in found


@pytest.mark.parametrize("name", [name for name in READING if VENUES[name].read_usage])
def test_a_read_costs_what_its_limits_say(reader: Callable[[str], Reader], name: str) -> None:
    """Where the venue's headers tell: what is used before and after differs by the cost."""
    one = reader(name)
    assert one.venue.read_usage is not None
    seed(one, 1)
    for rule in PLAYED[name].rules:  # the usual numbers, which the connector counts from
        one.caller.control.limits(venue=name, rule=rule.name, limit=rule.limit)
    for call, limits, request in costs(one):
        before, after = (one.venue.read_usage(one.send(request()).headers) for _ in range(2))
        assert [usage.limit for usage in after] == [limit.name for limit in limits], call
        spent = [first.left - second.left for first, second in zip(before, after, strict=True)]
        assert spent == [limit.cost for limit in limits], call


def costs(one: Reader) -> Iterator[tuple[str, tuple[Limit, ...], Callable[[], Request]]]:
    """Give each call, and a listing with a symbol by itself, with its limits and a way to build it afresh."""
    symbol = PLAYED[one.caller.venue].symbols[0]
    for listing in one.venue.listings:
        yield listing.name, listing.limits, partial(_list, one, listing, None)
        yield listing.name, listing.symbol_limits or listing.limits, partial(_list, one, listing, symbol)
    for query in one.venue.queries:
        yield query.name, query.limits, partial(_query, one, query)


def _list(one: Reader, listing: Listing, symbol: str | None) -> Request:
    return listing.build(symbol, None, one.credentials, one.stamp())


def _query(one: Reader, query: Query) -> Request:
    return query.build(orders_of(one.venue, query.id_kinds[0], 1), one.credentials, one.stamp())


# Order lists, and what the venues cancel by themselves


def test_an_order_list_shows_through_its_legs_and_stands_by_its_id(reader: Callable[[str], Reader]) -> None:
    one = reader("binance")
    named = one.caller.control.seed(one.caller.account, lists=2, filled_lists=1)
    (query,) = (query for query in one.venue.queries if IdKind.ORDER_LIST_ID in query.id_kinds)

    legs = one.all_open().values()

    assert {leg.order_list_id for leg in legs} == {named[0]["order_list_id"]}
    for kind in query.id_kinds:
        stands = [one.ask(query, (OrderRef(kind, order[kind], order["symbol"]),))[0].status for order in named]
        assert stands == [Status.OPEN, Status.CLOSED]


def test_a_cancel_all_leaves_what_its_listing_does_not_show(reader: Callable[[str], Reader]) -> None:
    one = reader("binance")
    (cancel_all,) = one.venue.cancel_alls
    one.caller.control.seed(one.caller.account, 3, symbol="LTCBTC", partly=1)
    one.caller.control.seed(one.caller.account, lists=1, symbol="LTCBTC")
    one.caller.control.seed(one.caller.account, 2, symbol="BTCUSDT")
    refs = {
        OrderRef(IdKind.ORDER_LIST_ID, row.order_list_id, row.symbol)
        if row.order_list_id
        else OrderRef(IdKind.ORDER_ID, row.order_id, row.symbol)
        for row in one.all_open("LTCBTC").values()
    }

    for expected in (Status.CANCELED, Status.UNKNOWN):  # again with nothing open, which Binance words as an error
        request = cancel_all.build("LTCBTC", one.credentials, one.stamp())
        answer = cancel_all.read(tuple(refs), one.send(request))
        assert answer.refusal is None
        assert [outcome.status for outcome in answer.outcomes] == [expected] * 4

    assert one.all_open("LTCBTC") == {}
    assert {order.symbol for order in one.all_open().values()} == {"BTCUSDT"}
    assert len(one.all_open()) == 2
