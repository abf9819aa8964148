"""What follows from reading orders back; pure.

An order counts as gone only when an answer names it so, or when the venue, asked for it by itself, does not know it
and a whole listing of the open orders does not show it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.calls import Answer, RefusalKind
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reads import OpenOrder, Query
from connectors.venue import Venue
from tasks.batch import Account
from tasks.budget import renewal_ms
from tasks.fold import GONE, Standing, fold, strength
from tasks.listing import Listed
from tasks.ports import Claim, Next, Part

FIRST_READ_MS: Final = 250  # most venues have ended an order long before
READ_TOGETHER_MS: Final = 100  # what is canceled within so long is read by one query, where it can ask for many
LONGEST_READ_MS: Final = 5_000
MOST_SETTLINGS: Final = 5  # after so many settling times at most an order is looked at again that was canceled again
DOUBTFUL: Final = frozenset({Status.ACCEPTED, Status.UNKNOWN})
UNREADABLE: Final = frozenset({RefusalKind.REFERENCE, RefusalKind.CALL})  # asking the same again will not help
GIVEN_NAMES: Final[Mapping[IdKind, Callable[[OpenOrder], str | None]]] = {
    IdKind.ORDER_ID: lambda row: row.order_id,
    IdKind.CLIENT_ORDER_ID: lambda row: row.client_order_id,
    IdKind.ORDER_LIST_ID: lambda row: row.order_list_id,
}


@dataclass(frozen=True, slots=True)
class Read:
    """What reading taught: an outcome for each place that it says something of, and how the places go on."""

    outcomes: Mapping[int, Outcome]
    parts: tuple[Part, ...]


def can_prove(venue: Venue) -> bool:
    """Say whether orders can be read back at *venue*."""
    return bool(venue.queries and venue.listings)


def known_as(order: OrderRef, known: Standing | None) -> OrderRef:
    """Name *order* by the venue's own id where an answer has told it: a client id may name another order later."""
    order_id = known and order.kind is IdKind.CLIENT_ORDER_ID and known.told.get("order_id")
    return replace(order, kind=IdKind.ORDER_ID, value=str(order_id)) if order_id else order


def lists_from(venue: Venue, query: Query, *, of_symbol: bool = False) -> int | None:
    """Say from how many orders on, that *query* would ask for one by one, a listing goes first; None for never.

    A listing shows which are still open, and no more: the others are asked for.  So it goes first where it takes half
    of what the queries take, of calls and of the budget.  With *of_symbol* all are of one, and that is listed alone.
    """
    if query.max_orders > 1 or not venue.listings:
        return None
    if of_symbol and any(listing.symbol_limits is None for listing in venue.listings):
        return None
    own = [listing.symbol_limits if of_symbol else listing.limits for listing in venue.listings]
    listing_ms, query_ms = renewal_ms([(limits or (), 1) for limits in own]), renewal_ms([(query.limits, 1)])
    return max(2 * len(own), math.ceil(2 * listing_ms / query_ms) if query_ms else 0)


def to_read(claim: Claim, standings: Iterable[tuple[int, Standing]], venue: Venue, now_ms: int) -> tuple[Part, ...]:
    """Choose what is to be read after a cancel: what the venue took or may have taken, and did not end by name.

    What an earlier attempt left in doubt stays so, whatever this one was answered.  An order that was shown open before
    this cancel gets the whole settling time, and more each time, so that the next read that shows it open counts.
    """
    if not claim.prove or not can_prove(venue):
        return ()
    known = dict(zip(claim.places, claim.known, strict=False))
    stands = {place: fold(known.get(place) or one, one).status for place, one in standings}
    doubtful = tuple(place for place, status in stands.items() if status in DOUBTFUL)
    shown = tuple(place for place, status in stands.items() if status is Status.OPEN)
    later_ms = venue.settling_ms * min(max(1, claim.attempt - 1), MOST_SETTLINGS)
    first_ms = now_ms + min(FIRST_READ_MS, venue.settling_ms)
    if any(query.max_orders > 1 for query in venue.queries):
        first_ms += -first_ms % READ_TOGETHER_MS
    parts = (
        Part(doubtful, first_ms, Next.READ),
        Part(shown, now_ms + max(FIRST_READ_MS, later_ms), Next.READ),
    )
    return tuple(part for part in parts if part.places)


@dataclass(frozen=True, slots=True)
class Proof:
    """Decides what follows from reading orders of *account* back at ``now_ms``; ``fraction`` is a roll of the dice."""

    account: Account
    now_ms: int
    fraction: float

    def after_query(self, claim: Claim, orders: Sequence[OrderRef], answer: Answer) -> Read:
        """Choose what follows a query for *orders*, those of *claim* as the venue knows them."""
        several = self.account.venue.queries[claim.query].max_orders > 1
        unreadable = answer.refusal is not None and answer.refusal.kind in UNREADABLE
        outcomes: dict[int, Outcome] = {}
        going: list[_Going] = []
        for place, order, known, outcome in zip(claim.places, orders, claim.known, answer.outcomes, strict=True):
            later_ms = self.later_ms(known)
            if strength(outcome) >= GONE:
                outcomes[place] = outcome
            elif outcome.status is Status.OPEN:
                outcomes[place] = outcome
                going.append(self._after_open(place, order, outcome, known))
            elif outcome.evidence is Evidence.NOT_KNOWN:
                # What was ordered just now may not be known everywhere yet.
                settled = known is not None and self.now_ms - known.at_ms >= self.account.venue.settling_ms
                step, at_ms = (Next.UNKNOWN, self.now_ms) if settled else (Next.SINGLE, later_ms)
                going.append(_Going(place, order, step, at_ms))
            elif several and (unreadable or answer.refusal is None):  # the others must not suffer for one
                going.append(_Going(place, order, Next.SINGLE, self.now_ms if unreadable else later_ms))
            elif unreadable:
                going.append(_Going(place, order, Next.LISTING, self.now_ms))
            else:
                going.append(_Going(place, order, Next.READ if several else Next.SINGLE, later_ms))
        return Read(outcomes, _parts(going, self.account))

    def after_listing(self, claim: Claim, listed: Listed) -> Read:
        """Choose what follows a listing in which the orders of *claim* were looked up."""
        venue = self.account.venue
        rows = {name: row for row in listed.orders for name in _names(row, venue)}
        without_symbol = {name[:2] for name in rows}
        outcomes: dict[int, Outcome] = {}
        going: list[_Going] = []
        for place, order, known in zip(claim.places, claim.orders, claim.known, strict=True):
            own = known_as(order, known)
            row = rows.get(_name(own, venue))
            strange = place in claim.strange
            if row is not None:
                filled, order_id = row.filled_qty, row.order_id
                outcomes[place] = Outcome(order, Status.OPEN, Evidence.LISTING, filled_qty=filled, order_id=order_id)
                going.append(self._after_open(place, replace(own, namespace=row.namespace), outcomes[place], known))
            elif claim.only_open:
                going.append(_Going(place, order, Next.SINGLE, self.now_ms))
            elif strange and _name(own, venue)[:2] in without_symbol:
                # Perhaps its symbol is wrong; then it is open.
                message = "the venue does not know it, but an open order of another symbol has this id"
                outcomes[place] = Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN, message=message)
                going.append(_Going(place, order, Next.SINGLE, self.later_ms(known)))
            elif strange and listed.whole and _would_show(listed, own):
                message = "the venue does not know it, and a listing of the open orders does not show it"
                outcomes[place] = Outcome(order, Status.NOT_FOUND, Evidence.LISTING, message=message)
            else:
                going.append(_Going(place, order, Next.SINGLE if strange else Next.LISTING, self.later_ms(known)))
        return Read(outcomes, _parts(going, self.account))

    def later_ms(self, known: Standing | None) -> int:
        """Say when to read an order again: after half as long as it was waited so far, with jitter."""
        waited_ms = self.now_ms - known.at_ms if known is not None else 0
        full = min(LONGEST_READ_MS, max(self.account.venue.settling_ms, waited_ms // 2))
        return self.now_ms + full * 3 // 4 + int(full / 4 * self.fraction)

    def _after_open(self, place: int, order: OrderRef, outcome: Outcome, known: Standing | None) -> "_Going":
        """Cancel again what was shown open twice: reads lag behind what was done."""
        twice = known is not None and known.status is Status.OPEN
        # A client id that may be used again is never sent twice; the venue's own id, once known, is.
        named = order.kind is IdKind.CLIENT_ORDER_ID and outcome.order_id is not None
        safe = order.kind in self.account.venue.resend_safe or named
        again = twice and safe
        return _Going(place, order, Next.CANCEL if again else Next.READ, self.now_ms if again else self.later_ms(known))


@dataclass(frozen=True, slots=True)
class _Going:
    """An order that is not done with: its next step, and when."""

    place: int
    order: OrderRef
    step: Next
    at_ms: int


def group(orders: Iterable[tuple[int, OrderRef]], account: Account) -> list[tuple[int, ...]]:
    """Split places with their orders into what one cancel can carry."""
    venue = account.venue
    groups: dict[tuple[IdKind, str | None, str | None], list[int]] = {}
    for place, order in orders:
        symbol = order.symbol if venue.one_symbol_per_call else None
        groups.setdefault((order.kind, order.namespace, symbol), []).append(place)
    found = []
    for (_, space, _), places in groups.items():
        most = account.max_orders_per_call
        most = most if space is None else min(most, venue.namespaces[space])
        found += [tuple(places[start : start + most]) for start in range(0, len(places), most)]
    return found


def _parts(going: Iterable[_Going], account: Account) -> tuple[Part, ...]:
    read: dict[tuple[Next, int, str | None], list[int]] = {}
    cancel: list[_Going] = []
    for one in going:
        if one.step is Next.CANCEL:
            cancel.append(one)
        else:
            read.setdefault((one.step, one.at_ms, one.order.namespace), []).append(one.place)
    parts = [Part(tuple(places), at_ms, step, space or "") for (step, at_ms, space), places in read.items()]
    spaces = {one.place: (one.at_ms, one.order.namespace) for one in cancel}
    for places in group(((one.place, one.order) for one in cancel), account):
        at_ms, space = spaces[places[0]]
        parts.append(Part(places, at_ms, Next.CANCEL, space or ""))
    return tuple(parts)


def _would_show(listed: Listed, order: OrderRef) -> bool:
    """Say whether *order*, if it were open, would be recognized in the listing by the name that we have for it."""
    if order.kind is IdKind.CLIENT_ORDER_ID:
        return all(row.client_order_id is not None for row in listed.orders)
    return order.kind in GIVEN_NAMES


_Name = tuple[IdKind, str, str | None]  # kind, id, and the symbol where that tells orders apart


def _names(row: OpenOrder, venue: Venue) -> list[_Name]:
    return [
        _name(OrderRef(kind, value, row.symbol), venue) for kind, give in GIVEN_NAMES.items() if (value := give(row))
    ]


def _name(order: OrderRef, venue: Venue) -> _Name:
    value = order.value.lower() if UUID_FORM.fullmatch(order.value) else order.value
    return order.kind, value, order.symbol if venue.symbol_required else None
