"""Which orders a sweep cancels by the venue's own cancel-all: never what is not selected, and each order once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Limit, Scope
from connectors.orders import IdKind, OrderRef
from connectors.reads import OpenOrder, Side
from connectors.registry import VENUES
from connectors.venue import Venue
from tasks.batch import Selection
from tasks.budget import renewal_ms
from tasks.cancel_all import plan_cancels, reaches
from tasks.proof import group
from tests.fakes import START_MS, account_of

SYMBOLS = ("A", "B", "C")

selections = st.builds(
    Selection,
    st.just(("main",)),
    st.just(value=True),
    st.none() | st.sampled_from(SYMBOLS),
    st.none() | st.sampled_from(Side),
    st.none() | st.just(60),
    st.none() | st.just("bot"),
)


@st.composite
def listings(draw: st.DrawFn, venue: Venue) -> list[OpenOrder]:
    spaces = st.sampled_from([None, *venue.namespaces])
    rows = st.builds(
        OpenOrder,
        st.integers(1, 10**9).map(str),
        st.none() | st.sampled_from(("bot7", "other")),
        st.none() | (st.integers(1, 9).map(str) if IdKind.ORDER_LIST_ID in venue.id_kinds else st.none()),
        st.sampled_from(SYMBOLS) if venue.symbol_required else st.none() | st.sampled_from(SYMBOLS),
        st.none() | st.sampled_from(Side),
        st.none() | st.sampled_from((START_MS, START_MS - 120_000)),
        namespace=spaces,
    )
    return draw(st.lists(rows, max_size=60, unique_by=lambda row: row.order_id))


venues = st.sampled_from(sorted(VENUES.items())).map(lambda item: item[1])


def refs_of(rows: list[OpenOrder], select: Selection) -> list[OrderRef]:
    chosen = [row for row in rows if select.matches(row, START_MS)]
    return [OrderRef(IdKind.ORDER_ID, row.order_id, row.symbol, row.namespace) for row in chosen]


@given(st.data(), selections, st.booleans())
def test_every_order_is_in_exactly_one_call_that_can_take_it(
    data: st.DataObject, select: Selection, ids_only: bool
) -> None:
    venue = data.draw(venues)
    account, orders = account_of(venue), refs_of(data.draw(listings(venue)), select)

    groups = plan_cancels(orders, account, select, ids_only=ids_only)

    assert Counter(order for one in groups for order in one.orders) == Counter(orders)
    for one in groups:
        assert one.orders
        if one.cancel_all is None:
            assert len(group(enumerate(one.orders), account)) == 1
        else:
            call = venue.cancel_alls[one.cancel_all]
            assert not ids_only
            assert all(reaches(call, one.orders[0].symbol, order) for order in one.orders)


@given(st.data(), selections)
def test_a_cancel_all_touches_nothing_that_is_not_selected(data: st.DataObject, select: Selection) -> None:
    venue = data.draw(venues)
    account, orders = account_of(venue), refs_of(data.draw(listings(venue)), select)
    others = data.draw(listings(venue))  # what else is open, or is placed before the call arrives

    for one in plan_cancels(orders, account, select, ids_only=False):
        if one.cancel_all is not None:
            call, symbol = venue.cancel_alls[one.cancel_all], one.orders[0].symbol
            touched = [row for row, (ref,) in ((row, refs_of([row], Selection(("main",)))) for row in others)
                       if reaches(call, symbol, ref)]  # fmt: skip
            assert all(select.matches(row, START_MS) for row in touched)


@given(st.data(), selections)
def test_cancel_alls_are_fewer_calls_and_take_no_more_of_the_budget(data: st.DataObject, select: Selection) -> None:
    venue = data.draw(venues)
    account, orders = account_of(venue), refs_of(data.draw(listings(venue)), select)

    groups = plan_cancels(orders, account, select, ids_only=False)

    for one in groups:
        if one.cancel_all is not None:
            by_ids = len(group(enumerate(one.orders), account))
            assert by_ids > 1
            limits = venue.cancel_alls[one.cancel_all].limits
            assert renewal_ms([(limits, 1)]) <= renewal_ms([(account.limits, by_ids)])


def test_two_hundred_orders_of_binance_take_a_call_for_each_symbol() -> None:
    account = account_of(VENUES["binance"])
    orders = [OrderRef(IdKind.ORDER_ID, str(number), SYMBOLS[number % 3]) for number in range(200)]

    groups = plan_cancels(orders, account, Selection(("main",), all=True), ids_only=False)

    assert [(one.cancel_all, len(one.orders)) for one in groups] == [(0, 67), (0, 67), (0, 66)]


WINDOW = Limit("calls", Scope.ACCOUNT, units=10, per_ms=1_000)


def test_the_scarcest_budget_decides() -> None:
    slow = Limit("slow", Scope.ACCOUNT, units=2, per_ms=1_000)

    assert renewal_ms([]) == 0
    assert renewal_ms([((WINDOW,), 3)]) == 300
    assert renewal_ms([((WINDOW,), 3), ((WINDOW,), 4)]) == 700
    assert renewal_ms([((WINDOW,), 3), ((slow,), 1)]) == 500


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 10))
def test_more_calls_never_take_less(number: int, more: int, cost: int) -> None:
    limits = (WINDOW, Limit("other", Scope.IP, units=7, per_ms=300, cost=cost))

    assert renewal_ms([(limits, number)]) <= renewal_ms([(limits, number), (limits, more)])
    assert renewal_ms([(limits, number), (limits, more)]) == renewal_ms([(limits, number + more)])
