"""An account's orders, and what truly became of each; the only place where an order changes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class State(StrEnum):
    """What an order is in the book; a cancel that is under way does not show here."""

    OPEN = "open"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


LIVE = (State.OPEN, State.PARTLY_FILLED)


@dataclass(frozen=True, slots=True)
class Behavior:
    """How a venue treats the orders of one account.

    A cancel settles ``settle_ms`` after it was taken. Until then the order is still open, and in that time it
    fills with ``fill_probability``, or its cancel is forgotten with ``lost_probability`` and it stays open.
    """

    settle_ms: int = 50
    fill_probability: float = 0.0
    lost_probability: float = 0.0
    cancels_rest: bool = True  # Kuna: a 400 for one order still cancels the others
    bare_array: bool = False  # Kuna: the cancel answers without the "data" around its array
    leg_answers_list: bool = True  # Binance: canceling one leg answers with the whole list


@dataclass(slots=True)
class Order:
    """One order. ``kind`` is the namespace that the venue keeps it in; quantities are the venue's own text."""

    order_id: str
    client_order_id: str | None
    symbol: str
    side: str
    kind: str
    qty: str
    filled_qty: str
    price: str
    state: State
    created_ms: int
    updated_ms: int
    order_list_id: str | None = None
    asked: int = 0
    settle_ms: int | None = None
    settle_to: State | None = None

    @property
    def live(self) -> bool:
        """Whether the order can still trade."""
        return self.state in LIVE


@dataclass(slots=True)
class OrderList:
    """Several orders that are canceled together."""

    order_list_id: str
    client_order_list_id: str
    symbol: str
    contingency: str
    created_ms: int
    legs: list[Order] = field(default_factory=list)


class Book:
    """The orders of one account, by every name that they have."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self.orders: dict[str, Order] = {}
        self.by_client: dict[str, Order] = {}
        self.lists: dict[str, OrderList] = {}
        self.lists_by_client: dict[str, OrderList] = {}
        self.symbols: set[str] = set()

    def add(self, order: Order) -> None:
        """Put *order* into the book; a client id that was used before names the newer order from now on."""
        self.orders[order.order_id] = order
        if order.client_order_id is not None:
            self.by_client[order.client_order_id] = order
        self.symbols.add(order.symbol)

    def add_list(self, order_list: OrderList) -> None:
        """Put *order_list* and its legs into the book."""
        self.lists[order_list.order_list_id] = order_list
        self.lists_by_client[order_list.client_order_list_id] = order_list
        for leg in order_list.legs:
            self.add(leg)

    def find(self, order_id: str, now_ms: int) -> Order | None:
        """Find an order by the venue's id, as it is at *now_ms*."""
        order = self.orders.get(order_id)
        return order and settle(order, now_ms)

    def find_client(self, client_order_id: str, now_ms: int) -> Order | None:
        """Find an order by the client's id, as it is at *now_ms*."""
        order = self.by_client.get(client_order_id)
        return order and settle(order, now_ms)

    def all(self, now_ms: int) -> Iterator[Order]:
        """Give every order as it is at *now_ms*, oldest first."""
        return (settle(order, now_ms) for order in self.orders.values())

    def open(self, now_ms: int, kind: str, symbol: str | None = None) -> list[Order]:
        """Give the orders of *kind* that are open at *now_ms*, of one symbol if it is given, oldest first."""
        return [
            order
            for order in self.all(now_ms)
            if order.state in LIVE and order.kind == kind and (symbol is None or order.symbol == symbol)
        ]

    def take(self, order: Order, now_ms: int, behavior: Behavior) -> bool:
        """Start to cancel a live *order*; False if that was already under way.

        Without a settling time it is canceled, or has filled, when this returns; no cancel is forgotten then.
        """
        if order.settle_ms is not None:
            return False
        order.settle_ms = now_ms + behavior.settle_ms
        order.settle_to = self._fate(behavior)
        if behavior.settle_ms == 0:
            order.settle_to = order.settle_to or State.CANCELED
            settle(order, now_ms)
        return True

    def take_list(self, order_list: OrderList, now_ms: int, behavior: Behavior) -> list[Order]:
        """Cancel at once every live leg of *order_list*, and give these legs.

        None if no leg lives any more, or if a leg was faster and filled: the other legs expire then.
        """
        legs = [leg for leg in order_list.legs if leg.live]
        fate = self._fate(behavior) or State.CANCELED
        for place, leg in enumerate(legs):
            leg.asked += 1
            leg.settle_ms = now_ms
            leg.settle_to = State.EXPIRED if fate is State.FILLED and place else fate
            settle(leg, now_ms)
        return [] if fate is State.FILLED else legs

    def _fate(self, behavior: Behavior) -> State | None:
        if not behavior.fill_probability and not behavior.lost_probability:
            return State.CANCELED
        roll = self._dice.random()
        if roll < behavior.fill_probability:
            return State.FILLED
        return None if roll < behavior.fill_probability + behavior.lost_probability else State.CANCELED


def settle(order: Order, now_ms: int) -> Order:
    """Bring *order* to what it is at *now_ms*, and give it back."""
    due_ms = order.settle_ms
    if due_ms is not None and due_ms <= now_ms:
        order.settle_ms = None
        if order.settle_to is not None:
            order.state = order.settle_to
            order.updated_ms = due_ms
            if order.settle_to is State.FILLED:
                order.filled_qty = order.qty
    return order
