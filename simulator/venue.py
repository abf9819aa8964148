"""The record that a simulated venue is, and what its functions take and give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from simulator.accounts import Account
from simulator.book import LIVE, Behavior, Book, Order, OrderList, State
from simulator.http import Request
from simulator.limiter import Breach, Costs, Rule, Scope


class Purpose(StrEnum):
    """What a call is for, so that a fault can be meant for some calls only."""

    CANCEL = "cancel"
    READ = "read"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the venue answers: a JSON value, or HTML as bytes."""

    status: int
    payload: object
    headers: tuple[tuple[str, str], ...] = ()


class DeniedError(Exception):
    """A caller is not let in: the answer for it, and the account that was tried, if there is one."""

    def __init__(self, reply: Reply, account: Account | None = None) -> None:
        super().__init__(reply.status)
        self.reply = reply
        self.account = account


@dataclass(slots=True)
class Call:
    """One call while it is handled: what is asked, of which book, and what it did."""

    request: Request
    account: Account
    book: Book
    behavior: Behavior
    now_ms: int
    venue_ms: int
    dice: Random
    asked: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)

    def order(self, order_id: str) -> Order | None:
        """Find an order by the venue's id."""
        return self.book.find(order_id, self.now_ms)

    def client_order(self, client_order_id: str) -> Order | None:
        """Find an order by the client's id."""
        return self.book.find_client(client_order_id, self.now_ms)

    def cancel(self, name: str, order: Order | None) -> Order | None:
        """Cancel what was asked for as *name*; give the order if the venue takes the cancel, else None."""
        if order is None:
            self.asked.append(name)
            return None
        self.asked.append(order.order_id if order.order_id == name else name)  # one string for book and log
        order.asked += 1
        if order.state not in LIVE:
            return None
        taken = self.book.take(order, self.now_ms, self.behavior)
        if order.state is State.FILLED:  # it was faster
            return None
        if taken:
            self.applied.append(order.order_id)
        return order

    def cancel_list(self, name: str, order_list: OrderList | None) -> bool:
        """Cancel the list that was asked for as *name*; False if the venue has nothing of it to cancel."""
        self.asked.append(name)
        legs = self.book.take_list(order_list, self.now_ms, self.behavior) if order_list is not None else []
        self.applied.extend([leg.order_id for leg in legs])
        return bool(legs)


@dataclass(frozen=True, slots=True)
class Route:
    """One call of a venue. With ``free_if_done`` a call that the venue answers with 200 costs nothing.

    ``ip_costs_of`` takes the place of ``ip_costs`` where the cost depends on the parameters.
    """

    purpose: Purpose
    handle: Callable[[Call], Reply]
    account_costs: Costs = ()
    ip_costs: Costs = ()
    ip_costs_of: Callable[[Request], Costs] | None = None
    free_if_done: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """The headers in which a venue tells how much of ``rule`` is used: name and value from (used, limit)."""

    rule: str
    scope: Scope
    headers: Callable[[int, int], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Venue:
    """One simulated venue.

    ``root`` is the documented REST root's path, and ``routes`` are keyed by method and path behind it; a path
    that ends in ``/*`` takes one more segment. ``time`` answers the public time calls. ``authenticate`` takes
    the request, the accounts by key and the venue's time, and raises DeniedError. ``limited`` words a breach,
    ``items`` gives the arrays of an answer in which orders are listed, so that a fault can spoil them.
    """

    name: str
    root: str
    routes: Mapping[tuple[str, str], Route]
    rules: tuple[Rule, ...]
    authenticate: Callable[[Request, Mapping[str, Account], int], Account]
    limited: Callable[[Request, Breach, int], Reply]
    not_found: Callable[[Request], Reply]
    maintenance: Callable[[Request], Reply]
    forbidden: Callable[[Request], Reply]
    items: Callable[[object], Sequence[list[object]]]
    new_order_id: Callable[[Random, int], str]
    kinds: tuple[str, ...]
    symbols: tuple[str, ...]
    quantities: tuple[str, str, str]
    settle_ms: int
    time: Mapping[tuple[str, str], tuple[Callable[[int], object], Costs]] = field(default_factory=dict)
    usage: Usage | None = None
    client_ids: bool = True
    list_ids: bool = False


def always(reply: Reply) -> Callable[[Request], Reply]:
    """Make a function that answers every request with *reply*."""

    def answer(request: Request) -> Reply:
        del request
        return reply

    return answer
