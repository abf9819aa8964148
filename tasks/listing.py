"""What an account's venue shows as open: every page of every listing, or nothing; the only caller of listings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from connectors.calls import Limit, Refusal, RefusalKind
from connectors.reads import Listing, OpenOrder, Page
from connectors.transport import MaybeSent, NotSent, Withheld
from tasks.batch import Account
from tasks.clock import Clock, VenueClock
from tasks.errors import RipcordError
from tasks.ports import Line

MOST_PAGES: Final = 2_000  # of one listing: a venue that never comes to an end is not listing

MaySend = Callable[[], bool]  # says just before the first byte whether the permission still holds
Permit = Callable[[tuple[Limit, ...]], MaySend]  # returns when one call that counts in these limits may leave


@dataclass(frozen=True, slots=True)
class Listed:
    """The open orders of an account; ``whole`` if what is not among them was not open."""

    orders: tuple[OpenOrder, ...]
    whole: bool


class ListingFailed(RipcordError):
    """An account's open orders could not be listed; what was read of them until then says nothing.

    ``refusal`` is the venue's, or what stands for it where nothing was sent (``unavailable``) or no whole answer
    came (``uncertain``).  ``unlisted`` is a code that the venue's table does not know, for the log.
    """

    def __init__(self, account: str, where: str, refusal: Refusal, unlisted: str | None = None) -> None:
        self.account = account
        self.refusal = refusal
        self.unlisted = unlisted
        words = " ".join(part for part in (refusal.kind.value, refusal.code, refusal.message) if part)
        super().__init__(f"cannot list the open orders of {account} ({where}): {words}")


def list_open(
    account: Account, line: Line, clock: Clock, venue_clock: VenueClock, permit: Permit, *, symbol: str | None = None
) -> Listed:
    """List every open order of *account* in all of its venue's namespaces, or those of *symbol* (in its own form).

    Each order comes once in each namespace, as it was read last.  Where pages shift while orders leave, a listing of
    several pages is not whole.  *permit* is asked before every call and may raise;
    otherwise only ListingFailed is raised, for any page that is not a proper listing.
    """
    caller = _Caller(account, line, clock, venue_clock)
    listings = account.venue.listings
    if not listings:
        raise caller.failure(
            "no listing", RefusalKind.CALL, f"ripcord cannot ask {account.venue.title} for open orders"
        )
    found: dict[tuple[str, str | None], OpenOrder] = {}
    whole = True
    for listing in listings:
        limits = listing.limits if symbol is None else listing.symbol_limits or listing.limits
        cursor: str | None = None
        cursors: set[str] = set()
        while True:
            may_send = permit(limits)
            where = f"{listing.name}, page {len(cursors) + 1}"
            try:
                page = caller.ask(listing, where, symbol, cursor, may_send)
            except Withheld:  # this process was too busy to use the permission in time
                continue
            found |= {(order.order_id, order.namespace): order for order in page.orders}
            cursor = page.cursor
            if cursor is None:
                break
            whole = whole and not listing.pages_shift
            if cursor in cursors or len(cursors) >= MOST_PAGES - 1:
                raise caller.failure(where, RefusalKind.UNCERTAIN, "the pages of the listing do not come to an end")
            cursors.add(cursor)
    return Listed(tuple(found.values()), whole)


@dataclass(frozen=True, slots=True)
class _Caller:
    """One account's calls for a listing."""

    account: Account
    line: Line
    clock: Clock
    venue_clock: VenueClock

    def ask(self, listing: Listing, where: str, symbol: str | None, cursor: str | None, may_send: MaySend) -> Page:
        """Ask for one page.  Raises ListingFailed if there is no proper one, Withheld if the permission has run out."""
        credentials = self.account.credentials
        try:
            request = listing.build(symbol, cursor, credentials, self.venue_clock.stamp(self.clock))
        except Exception as error:  # noqa: BLE001  # a fault of ours must not look like an empty account
            fault = type(error).__name__  # its text may hold a credential
            raise self.failure(where, RefusalKind.CALL, f"ripcord could not build the call: {fault}") from None
        try:
            response = self.line.send(request, may_send)
        except Withheld:
            raise
        except NotSent as error:
            raise self.failure(where, RefusalKind.UNAVAILABLE, str(error)) from None
        except MaybeSent as error:
            raise self.failure(where, RefusalKind.UNCERTAIN, str(error)) from None
        except ValueError as error:
            raise self.failure(where, RefusalKind.CALL, f"ripcord could not build the call: {error}") from None
        page = listing.read(replace(response, body=credentials.hide_in(response.body)), cursor)
        if page.refusal is not None:
            raise ListingFailed(self.account.name, where, page.refusal, page.unlisted)
        return page

    def failure(self, where: str, kind: RefusalKind, message: str) -> ListingFailed:
        """Make the failure of a listing for which there is no answer of the venue."""
        return ListingFailed(self.account.name, where, Refusal(kind, message=message))
