"""Namespaces that have calls of their own, against the simulated venues' books: listed, asked for, canceled there."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.calls import Answer, RefusalKind
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status
from connectors.reads import CancelAll, OpenOrder, Query
from connectors.registry import VENUES
from connectors.venue import Venue
from simulator.serve import RunningSimulator
from tests.simulator.callers import Caller
from tests.simulator.test_reads import Reader

# Namespace of the connector (None for the ordinary orders), and the kind of order that the simulator seeds for it.
KINDS: dict[str, dict[str | None, str]] = {
    "crypto_com": {None: "normal", "advanced": "advanced"},
    "weex": {None: "normal", "plan": "plan"},
}

every_namespace = pytest.mark.parametrize(
    ("name", "namespace"), [(name, namespace) for name, kinds in KINDS.items() for namespace in kinds]
)


class Player(Reader):
    """Makes every call of the connector in the namespace of the orders."""

    def __init__(self, running: RunningSimulator, caller: Caller) -> None:
        super().__init__(running, caller)
        caller.control.limits(venue=caller.venue, enabled=False)
        caller.control.behavior(account=caller.account, settle_ms=0)

    def seed(self, namespace: str | None, count: int, **more: object) -> list[str]:
        kind = KINDS[self.venue.name][namespace]
        return [each["order_id"] for each in self.caller.control.seed(self.caller.account, count, kind=kind, **more)]

    def shown(self) -> list[OpenOrder]:
        return [order for listing in self.venue.listings for order in self.open(listing)]

    def status(self, query: Query, order_id: str) -> Status:
        return self.ask(query, (OrderRef(IdKind.ORDER_ID, order_id, namespace=query.namespace),))[0].status

    def cancel(self, orders: tuple[OrderRef, ...]) -> list[Status]:
        response = self.send(self.venue.build_cancel(orders, self.credentials, self.stamp()))
        return [outcome.status for outcome in self.venue.read_cancel(orders, response).outcomes]

    def cancel_all(self, call: CancelAll, symbol: str | None, *values: str) -> Answer:
        orders = tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)
        return call.read(orders, self.send(call.build(symbol, self.credentials, self.stamp())))


@pytest.fixture
def play(running: RunningSimulator, caller: Callable[[str], Caller]) -> Callable[[str], Player]:
    return lambda venue: Player(running, caller(venue))


def query_of(venue: Venue, namespace: str | None) -> Query:
    return next(query for query in venue.queries if query.namespace == namespace)


@pytest.mark.parametrize("name", KINDS)
def test_the_listings_together_show_every_open_order_of_every_namespace(
    play: Callable[[str], Player], name: str
) -> None:
    player = play(name)
    for namespace in KINDS[name]:
        player.seed(namespace, 7, filled=2, canceled=1, partly=1)

    shown = player.shown()

    book = {one["order_id"]: one for one in player.caller.control.book(player.caller.account)}
    kinds = {kind: namespace for namespace, kind in KINDS[name].items()}
    live = {order_id: one for order_id, one in book.items() if one["state"] in {"open", "partly_filled"}}
    assert {order.order_id for order in shown} == set(live)
    assert len(shown) == len(live) == 4 * len(KINDS[name])
    for order in shown:
        one = live[order.order_id]
        assert (order.namespace, order.symbol, order.client_order_id, order.filled_qty, order.side) == (
            kinds[one["kind"]],
            one["symbol"],
            one["client_order_id"],
            one["filled_qty"],
            one["side"],
        )
        assert order.created_ms == one["created_ms"]


@every_namespace
def test_what_a_listing_found_is_canceled_in_its_namespace(
    play: Callable[[str], Player], name: str, namespace: str | None
) -> None:
    player = play(name)
    player.caller.control.behavior(account=player.caller.account, settle_ms=60_000)
    player.seed(namespace, 2)
    found = [OrderRef(IdKind.ORDER_ID, one.order_id, one.symbol, one.namespace) for one in player.shown()]
    size = player.venue.max_orders_per_call if namespace is None else player.venue.namespaces[namespace]
    calls = [tuple(found[start : start + size]) for start in range(0, len(found), size)]
    query = query_of(player.venue, namespace)

    assert [status for call in calls for status in player.cancel(call)] == [Status.ACCEPTED] * 2
    assert {player.status(query, one.value) for one in found} == {Status.OPEN}  # not settled
    assert len(player.shown()) == 2
    player.caller.control.set_states(player.caller.account, [one.value for one in found], "canceled")
    assert {player.status(query, one.value) for one in found} == {Status.CANCELED}
    assert player.shown() == []


@every_namespace
def test_an_order_of_another_namespace_is_not_canceled_by_a_cancel_without_it(
    play: Callable[[str], Player], name: str, namespace: str | None
) -> None:
    player = play(name)
    found = player.seed(namespace, 1)
    for other in set(KINDS[name]) - {namespace}:
        assert player.cancel((OrderRef(IdKind.ORDER_ID, found[0], None, other),)) == [Status.UNKNOWN]
    assert [order.order_id for order in player.shown()] == found


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in KINDS for call in VENUES[name].cancel_alls])
def test_a_cancel_all_touches_exactly_what_its_listing_shows(
    play: Callable[[str], Player], name: str, call: CancelAll
) -> None:
    player = play(name)
    seeded = {
        (namespace, symbol): set(player.seed(namespace, 2, symbol=symbol))
        for namespace in KINDS[name]
        for symbol in ("one_a", "one_b")
    }
    symbol = "one_b" if call.per_symbol else None
    chosen = [key for key in seeded if key[0] == call.namespace and symbol in {None, key[1]}]

    taken = set().union(*(orders for key, orders in seeded.items() if key in chosen))
    answer = player.cancel_all(call, symbol, *taken)
    assert answer.refusal is None
    assert [outcome.status for outcome in answer.outcomes] == [Status.ACCEPTED] * len(taken)

    expected = set().union(*(orders for key, orders in seeded.items() if key not in chosen))
    assert {order.order_id for order in player.shown()} == expected


@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_secret_is_refused_and_lists_nothing(play: Callable[[str], Player], name: str) -> None:
    player = play(name)
    player.credentials = replace(player.credentials, api_secret="wrong")
    orders = (OrderRef(IdKind.ORDER_ID, "1"),)
    refusals = [
        listing.read(player.send(listing.build(None, None, player.credentials, player.stamp())), None).refusal
        for listing in player.venue.listings
    ]
    for query in player.venue.queries:
        answer = query.read(orders, player.send(query.build(orders, player.credentials, player.stamp())))
        refusals.append(answer.refusal)
    calls = player.venue.cancel_alls
    refusals += [player.cancel_all(call, "one_a" if call.per_symbol else None).refusal for call in calls]
    assert {refusal.kind for refusal in refusals if refusal} == {RefusalKind.CREDENTIALS}
    assert None not in refusals


def test_pages_that_shift_miss_orders_and_the_first_page_again_and_again_does_not(
    play: Callable[[str], Player],
) -> None:
    """Why a listing of several pages proves nothing: cancel what one page shows, and the next page skips as many."""
    player = play("weex")
    listing = player.venue.listings[1]
    assert listing.pages_shift

    def page_of(cursor: str | None) -> list[str]:
        page = listing.read(player.send(listing.build(None, cursor, player.credentials, player.stamp())), cursor)
        return [order.order_id for order in page.orders]

    seeded = player.seed(None, 250)
    player.caller.control.set_states(player.caller.account, page_of(None), "canceled")
    assert page_of("1") == seeded[200:]  # not 100 to 199

    emptied = []
    while shown := page_of(None):
        emptied += shown
        player.caller.control.set_states(player.caller.account, shown, "canceled")
    assert emptied == seeded[100:]
