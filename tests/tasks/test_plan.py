"""The plan: every order once, in calls that its venue can take."""

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.orders import IdKind, OrderRef
from connectors.registry import VENUES
from tasks.batch import Account, Batch, Order, Plan
from tasks.plan import plan
from tests.fakes import PLAIN, account_of, refs

ONE_SYMBOL = replace(PLAIN, name="one_symbol", one_symbol_per_call=True, max_orders_per_call=3)
ACCOUNTS = {name: account_of(venue, name) for name, venue in {**VENUES, "plain": PLAIN, "one": ONE_SYMBOL}.items()}
ACCOUNTS |= {"upbit-2": account_of(VENUES["upbit"], "upbit-2", max_orders_per_call=7)}

values = st.integers(0, 12).map(lambda n: f"b2f1e3f8-2dc1-4d6f-a838-{n:012d}") | st.sampled_from(
    ["1", "2", "3", "4", "5", "bad", "x" * 41, "not a number", "00000000-0000-0000-0000-000000000000"]
)
symbols = st.sampled_from([None, "LTCBTC", "CRO_USD"])
orders = st.builds(
    Order, st.sampled_from(sorted(ACCOUNTS)), st.builds(OrderRef, st.sampled_from(IdKind), values, symbols)
)
batches = st.lists(orders, max_size=60).map(lambda given: Batch("b", tuple(given)))


def planned(batch: Batch) -> Plan:
    return plan(batch, ACCOUNTS)


def identity(order: Order) -> Hashable:
    """Say which orders are the same: a symbol tells them apart only where the venue needs it."""
    symbol = order.ref.symbol if ACCOUNTS[order.account].venue.symbol_required else None
    return order.account, order.ref.kind, order.ref.value, symbol


def account_orders(account: Account, number: int) -> tuple[Order, ...]:
    return tuple(Order(account.name, ref) for ref in refs(*map(str, range(number))))


@given(batches)
def test_every_order_is_in_exactly_one_chunk_or_invalid(batch: Batch) -> None:
    made = planned(batch)

    places = Counter([*made.invalid, *(place for chunk in made.chunks for place in chunk.places)])

    assert places == Counter(range(len(made.orders)))
    assert [identity(order) for order in made.orders] == list(dict.fromkeys(map(identity, batch.orders)))


@given(batches)
def test_each_chunk_fits_one_call_of_its_venue(batch: Batch) -> None:
    made = planned(batch)

    for chunk in made.chunks:
        account = ACCOUNTS[chunk.account]
        carried = [made.orders[place] for place in chunk.places]
        assert 1 <= len(carried) <= account.max_orders_per_call
        assert {order.account for order in carried} == {account.name}
        assert len({order.ref.kind for order in carried}) == 1
        assert not account.venue.one_symbol_per_call or len({order.ref.symbol for order in carried}) == 1
        assert {account.venue.check_order(order.ref) for order in carried} == {None}


@given(batches)
def test_only_what_the_venue_cannot_take_is_invalid_and_it_says_why(batch: Batch) -> None:
    made = planned(batch)

    said = {place: ACCOUNTS[order.account].venue.check_order(order.ref) for place, order in enumerate(made.orders)}

    assert dict(made.invalid) == {place: why for place, why in said.items() if why is not None}


@given(batches)
def test_no_call_is_wasted_and_the_documents_order_is_kept(batch: Batch) -> None:
    made = planned(batch)
    groups: dict[tuple[str, Hashable], list[tuple[int, ...]]] = defaultdict(list)
    for chunk in made.chunks:
        first, account = made.orders[chunk.places[0]], ACCOUNTS[chunk.account]
        symbol = first.ref.symbol if account.venue.one_symbol_per_call else None
        groups[chunk.account, (first.ref.kind, symbol)].append(chunk.places)

    for (name, _), chunks in groups.items():
        together = [place for places in chunks for place in places]
        assert together == sorted(together)
        assert all(len(places) == ACCOUNTS[name].max_orders_per_call for places in chunks[:-1])


@given(batches)
def test_the_chunks_of_accounts_alternate(batch: Batch) -> None:
    """In each round every account that has chunks left gets one, the account with most of them first."""
    names = [chunk.account for chunk in planned(batch).chunks]
    counts = Counter(names)
    rounds = [
        [name for name in dict.fromkeys(names) if counts[name] > number]
        for number in range(max(counts.values(), default=0))
    ]

    assert names == [name for round_ in rounds for name in round_]
    assert [counts[name] for name in dict.fromkeys(names)] == sorted(counts.values(), reverse=True)


@given(batches)
def test_planning_again_gives_the_same_plan(batch: Batch) -> None:
    """A worker that takes over a half-written plan relies on it."""
    assert planned(batch) == planned(batch)


@given(batches)
def test_duplicates_change_nothing(batch: Batch) -> None:
    twice = replace(batch, orders=batch.orders + batch.orders)

    assert planned(twice) == planned(batch)


def test_a_symbol_tells_orders_apart_only_where_the_venue_needs_it() -> None:
    one, other = (OrderRef(IdKind.ORDER_ID, "1", symbol) for symbol in ("LTCBTC", "BTCUSDT"))
    batch = Batch("b", tuple(Order(name, ref) for name in ("binance", "crypto_com") for ref in (one, other)))

    made = planned(batch)

    assert [(order.account, order.ref) for order in made.orders] == [
        ("binance", one),
        ("binance", other),
        ("crypto_com", one),
    ]


def test_the_same_id_of_another_kind_or_account_is_another_order() -> None:
    kinds = [Order("crypto_com", OrderRef(kind, "7")) for kind in (IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID)]
    batch = Batch("b", (*kinds, Order("weex", OrderRef(IdKind.ORDER_ID, "7"))))

    assert planned(batch).orders == batch.orders


def test_an_invalid_reference_does_not_spoil_the_others() -> None:
    uuid = "6c1eac69-b9bc-4fbf-9982-e9c4641c453f"
    good, bad = OrderRef(IdKind.ORDER_ID, uuid), OrderRef(IdKind.ORDER_LIST_ID, "77")
    made = planned(Batch("b", (Order("upbit", bad), Order("upbit", good), Order("binance", good))))

    assert [chunk.places for chunk in made.chunks] == [(1,)]
    assert set(made.invalid) == {0, 2}


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (16, [8, 8]), (17, [8, 8, 1])])
def test_chunks_are_as_large_as_they_may_be(number: int, sizes: list[int]) -> None:
    made = planned(Batch("b", account_orders(ACCOUNTS["plain"], number)))

    assert [len(chunk.places) for chunk in made.chunks] == sizes


def test_an_account_may_have_smaller_calls_than_its_venue() -> None:
    account = account_of(max_orders_per_call=3)

    made = plan(Batch("b", account_orders(account, 7)), {account.name: account})

    assert [chunk.places for chunk in made.chunks] == [(0, 1, 2), (3, 4, 5), (6,)]


def test_an_account_that_nobody_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        plan(Batch("b", account_orders(account_of(name="strange"), 1)), ACCOUNTS)
