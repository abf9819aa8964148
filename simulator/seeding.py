"""Fills a book with orders that a test or a demo asks for; the only place that invents any."""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.book import Book, Order, OrderList, State
from simulator.desk import Desk
from simulator.venue import Venue
from simulator.venues import VENUES

MAX_ORDERS = 1_000_000  # of one book: some 400 MB
PRICE = "1.00000000"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many orders to make, and of what sort.

    Of ``count`` orders the last ``filled`` are filled already, those before them ``canceled`` or ``partly``
    filled. ``lists`` order lists of ``legs`` legs come on top, and of the last ``filled_lists`` one leg has filled.
    ``age_ms`` is how long ago all of them were placed.
    """

    account: str
    count: int = 0
    filled: int = 0
    canceled: int = 0
    partly: int = 0
    lists: int = 0
    filled_lists: int = 0
    legs: int = 2
    symbol: str | None = None
    side: str = "buy"
    kind: str = "normal"
    client_ids: bool = True
    client_id_prefix: str = "sim-"
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """One order whose particulars are given; what is None is made up."""

    order_id: str | None = None
    client_order_id: str | None = None
    symbol: str | None = None
    side: str = "buy"
    kind: str = "normal"
    state: str = "open"
    qty: str | None = None
    filled_qty: str | None = None
    age_ms: int = 0


def name(order: Order) -> dict[str, str]:
    """Give every name that *order* has, under the contract's names for them."""
    names = {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "order_list_id": order.order_list_id,
    }
    return {key: value for key, value in names.items() if value is not None}


def seed_plan(desk: Desk, plan: Plan) -> list[dict[str, str]]:
    """Make the orders and lists of *plan* and give their names; raises ValueError for what the venue has not."""
    venue, book = _open(desk, plan.account, plan.count + plan.lists * plan.legs, plan.kind)
    if plan.lists and not venue.list_ids:
        raise ValueError(f"{venue.name} has no order lists")
    done = [State.PARTLY_FILLED] * plan.partly + [State.CANCELED] * plan.canceled + [State.FILLED] * plan.filled
    counts = (plan.count, plan.filled, plan.canceled, plan.partly, plan.lists, plan.filled_lists, plan.age_ms)
    if min(counts) < 0 or plan.legs < 1 or len(done) > plan.count or plan.filled_lists > plan.lists:
        raise ValueError("more orders are to be filled or canceled than there are, or a count is negative")
    maker = Maker(desk, venue, book, plan)
    orders = [maker.order(state) for state in [State.OPEN] * (plan.count - len(done)) + done]
    for order in orders:
        book.add(order)
    lists = [maker.list(State.OPEN) for _ in range(plan.lists - plan.filled_lists)]
    lists += [maker.list(State.FILLED) for _ in range(plan.filled_lists)]
    return [name(order) for order in orders] + lists


def seed_given(desk: Desk, account: str, orders: list[Given]) -> list[dict[str, str]]:
    """Make these very orders and give their names."""
    made = []
    for given in orders:
        venue, book = _open(desk, account, len(orders), given.kind)
        if given.order_id is not None and given.order_id in book.orders:
            raise ValueError(f"order {given.order_id} is there already")
        plan = Plan(account, symbol=given.symbol, side=given.side, kind=given.kind, age_ms=given.age_ms)
        order = Maker(desk, venue, book, plan).order(State(given.state), given.order_id)
        order.client_order_id = given.client_order_id
        order.qty = given.qty or order.qty
        order.filled_qty = given.filled_qty or (order.qty if order.state is State.FILLED else order.filled_qty)
        book.add(order)
        made.append(order)
    return [name(order) for order in made]


def _open(desk: Desk, account: str, more: int, kind: str) -> tuple[Venue, Book]:
    if account not in desk.accounts:
        raise ValueError(f"there is no account {account!r}")
    venue, book = VENUES[desk.accounts[account].venue], desk.books[account]
    if kind not in venue.kinds:
        raise ValueError(f"{venue.name} has no kind {kind!r}, but {', '.join(venue.kinds)}")
    if len(book.orders) + more > MAX_ORDERS:
        raise ValueError(f"a book holds at most {MAX_ORDERS} orders")
    return venue, book


class Maker:
    """Makes orders for one book."""

    def __init__(self, desk: Desk, venue: Venue, book: Book, plan: Plan) -> None:
        self._venue, self._book, self._plan = venue, book, plan
        self._numbers, self._dice = desk.numbers[venue.name], desk.dice
        self._created_ms = desk.clock.now_ms() - plan.age_ms
        self._client_ids = plan.client_ids and venue.client_ids

    def order(self, state: State, order_id: str | None = None, list_id: str | None = None) -> Order:
        """Make one order; it is not in the book yet."""
        plan, number = self._plan, next(self._numbers)
        whole, part, none = self._venue.quantities
        filled: Mapping[State, str] = {State.FILLED: whole, State.PARTLY_FILLED: part}
        return Order(
            order_id or self._venue.new_order_id(self._dice, number),
            f"{plan.client_id_prefix}{number}" if self._client_ids else None,
            plan.symbol or self._venue.symbols[number % len(self._venue.symbols)],
            plan.side,
            plan.kind,
            whole,
            filled.get(state, none),
            PRICE,
            state,
            self._created_ms,
            self._created_ms,
            list_id,
        )

    def list(self, state: State) -> dict[str, str]:
        """Make one order list, put it into the book, and give its names; of a filled one, one leg has filled."""
        number = next(self._numbers)
        list_id, symbol = str(number), self._plan.symbol or self._venue.symbols[0]
        others = State.EXPIRED if state is State.FILLED else state
        legs = [self.order(others if place else state, None, list_id) for place in range(self._plan.legs)]
        for leg in legs:
            leg.symbol = symbol
        client_id = f"{self._plan.client_id_prefix}list-{number}"
        self._book.add_list(OrderList(list_id, client_id, symbol, "OCO", self._created_ms, legs))
        return {"order_list_id": list_id, "client_order_list_id": client_id, "symbol": symbol}
