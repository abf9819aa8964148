"""Work that lists an account: sweeping a selection, and looking orders up that cannot be asked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from connectors.calls import Limit, Refusal, RefusalKind
from connectors.orders import IdKind, OrderRef
from connectors.reads import OpenOrder
from connectors.transport import Withheld
from tasks.batch import Account
from tasks.cancel_all import plan_cancels
from tasks.clock import Clock, VenueClock
from tasks.fold import Standing
from tasks.listing import Listed, ListingFailed, MaySend, list_open
from tasks.ports import Claim, Line, Log, Next, Part, Settlement, Sought, Store, Tally
from tasks.proof import Proof
from tasks.standings import read_standings

NAP_MS: Final = 250  # how long a call that is not permitted yet is waited for at once
TALLY_MS: Final = 200  # how soon it is looked again whether all accounts are counted
RETRY_MS: Final = 1_000
HOPELESS: Final = frozenset({RefusalKind.CREDENTIALS, RefusalKind.CALL})  # listing again will hardly help


class Stopped(Exception):
    """The process is about to end, and a listing may take longer than it is given."""


Heed = Callable[[Refusal | None, int, int], None]  # a refusal of a call begun at (2), as of now (3)


@dataclass(slots=True)
class Calls:
    """The calls that one piece of work has made: how many were permitted and left, and when the first one did."""

    permitted: int = 0
    number: int = 0
    first_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Lists one account, for what is in hands.  *heed* is told of every refusal.

    Raises Stopped between two pages once *stopping* says so: what is in hands is to be given back.
    """

    account: Account
    store: Store
    line: Line
    clock: Clock
    log: Log
    venue_clock: VenueClock
    heed: Heed
    stopping: Callable[[], bool]
    calls: Calls = field(default_factory=Calls)

    def look_up(self, claim: Claim) -> Settlement:
        """Look the orders of *claim* up among all that are open."""
        symbols = {order.symbol for order in claim.orders}
        listed = self._list(claim, next(iter(symbols)) if claim.only_open and len(symbols) == 1 else None)
        now_ms = self.clock.now_ms()
        proof = Proof(self.account, now_ms, self.clock.fraction())
        if isinstance(listed, Listed):
            found = proof.after_listing(claim, listed)
            return self._settlement(found.parts, read_standings(claim, found, now_ms), well=True)
        later_ms = max((proof.later_ms(known) for known in claim.known), default=now_ms + RETRY_MS)
        known_by_itself = tuple(place for place in claim.places if place in claim.strange)
        others = tuple(place for place in claim.places if place not in claim.strange)
        step = Next.SINGLE if claim.only_open else Next.LISTING
        parts = (Part(known_by_itself, later_ms, Next.UNKNOWN), Part(others, later_ms, step))
        return self._settlement(tuple(part for part in parts if part.places))

    def sweep(self, claim: Claim) -> Settlement:
        """List the account, have canceled what matches, and list again; twice nothing, and it is swept."""
        sought = self.store.selection(claim.batch_id)
        if sought is None:
            return Settlement(())
        listed = self._list(claim, sought.select.symbol)
        now_ms = self.clock.now_ms()
        if not isinstance(listed, Listed):
            if sought.max_orders is not None and listed is not None and listed.kind in HOPELESS:
                self.store.tally(claim, 0, sought.max_orders, now_ms)
            words = " ".join(part for part in (listed.code, listed.message) if part) if listed else "no time left"
            again = Part((), now_ms + RETRY_MS, Next.SWEEP)
            return self._settlement((again,), sweep=f"cannot list: {words}")
        there_ms = now_ms + self.venue_clock.ahead_ms
        refs = references((row for row in listed.orders if sought.select.matches(row, there_ms)), self.account)
        return replace(self._take(claim, sought, refs, listed.whole, now_ms), well=True)

    def _take(self, claim: Claim, sought: Sought, refs: list[OrderRef], whole: bool, now_ms: int) -> Settlement:
        settling_ms = self.account.venue.settling_ms
        if sought.max_orders is not None:
            tally = self.store.tally(claim, len(refs), sought.max_orders, now_ms)
            if tally is Tally.REFUSED:
                return self._settlement(())
            if tally is Tally.WAIT:
                again = Part((), now_ms + TALLY_MS, Next.SWEEP)
                return self._settlement((again,), sweep=f"open: {len(refs)}, other accounts are yet to be counted")
        if not refs and whole:
            if claim.empty_ms is not None and now_ms - claim.empty_ms >= settling_ms:
                return self._settlement((), sweep="empty", swept=True)
            since_ms = now_ms if claim.empty_ms is None else claim.empty_ms
            again = Part((since_ms,), since_ms + settling_ms, Next.SWEEP)
            return self._settlement((again,), sweep="empty once")
        # Orders that are placed meanwhile would be over the most; what a listing missed would have no outcome; and
        # what a cancel-all has ended takes reading back to be known.
        ids_only = sought.max_orders is not None or not whole or not claim.prove
        fresh = self.store.new_among(claim, refs)
        groups = plan_cancels(fresh, self.account, sought.select, ids_only=ids_only)
        added = self.store.grow(claim, groups, sought.max_orders or 0, now_ms)
        text = f"open: {len(refs)}" if added is not None else f"open: {len(refs)}, more than max_orders in all"
        if added:
            self.log.info("sweep.found", batch=claim.batch_id, account=claim.account, open=len(refs), new=added)
        return self._settlement((Part((), now_ms + settling_ms, Next.SWEEP),), sweep=text)

    def _list(self, claim: Claim, symbol: str | None) -> Listed | Refusal | None:
        """List the account; gives why it cannot be listed if so, or None if the deadline came."""
        permit = self._permit(claim)
        try:
            return list_open(self.account, self.line, self.clock, self.venue_clock, permit, symbol=symbol)
        except Withheld:
            return None
        except ListingFailed as error:
            self.log.warning("account.not_listed", account=self.account.name, batch=claim.batch_id, error=str(error))
            self.heed(error.refusal, claim.permitted_ms, self.clock.now_ms())
            return error.refusal

    def _permit(self, claim: Claim) -> Callable[[tuple[Limit, ...]], MaySend]:
        def permit(limits: tuple[Limit, ...]) -> MaySend:
            """Wait until a call with *limits* is allowed.  Raises Withheld at the deadline."""
            while (now_ms := self.clock.now_ms()) < claim.deadline_ms:
                if self.stopping():
                    raise Stopped
                permission = self.store.permit(claim, limits, now_ms)
                if permission.use_by_ms is not None:
                    self.calls.permitted += 1
                    return self._may_send(min(permission.use_by_ms, claim.deadline_ms))
                self.clock.sleep(min(permission.again_ms - now_ms, NAP_MS) / 1000)
            raise Withheld("the deadline came before the account could be listed")

        return permit

    def _may_send(self, use_by_ms: int) -> MaySend:
        def may_send() -> bool:
            now_ms = self.clock.now_ms()
            if now_ms >= use_by_ms:
                return False
            self.calls.number += 1
            self.calls.first_ms = self.calls.first_ms or now_ms
            return True

        return may_send

    def _settlement(
        self,
        again: tuple[Part, ...],
        standings: tuple[tuple[int, Standing], ...] = (),
        *,
        sweep: str = "",
        swept: bool = False,
        well: bool = False,
    ) -> Settlement:
        left, first_ms = self.calls.number - self.calls.permitted, self.calls.first_ms
        return Settlement(standings, calls=left, again=again, sent_ms=first_ms, well=well, sweep=sweep, swept=swept)


def references(rows: Iterable[OpenOrder], account: Account) -> list[OrderRef]:
    """Name each order once, in the namespace where it was listed last: one may move while an account is listed."""
    found = (_reference(row, account) for row in rows)
    return list({(ref.kind, ref.value, ref.symbol): ref for ref in found}.values())


def _reference(row: OpenOrder, account: Account) -> OrderRef:
    """Name a row as a cancel does: a leg of a list by its list, with which it goes."""
    if row.order_list_id is not None and IdKind.ORDER_LIST_ID in account.venue.id_kinds:
        return OrderRef(IdKind.ORDER_LIST_ID, row.order_list_id, row.symbol, row.namespace)
    return OrderRef(IdKind.ORDER_ID, row.order_id, row.symbol, row.namespace)
