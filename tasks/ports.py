"""What the operation needs of the outside: a store of chunks, a line to the venue, a log."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from connectors.calls import Limit, Request, Response, Scope, Usage
from connectors.orders import OrderRef
from connectors.transport import always
from tasks.batch import Selection
from tasks.fold import Standing


class ClaimKind(StrEnum):
    """What is to be done with a claimed chunk."""

    SEND = "send"  # cancel now; the permission is taken and the attempt noted
    QUERY = "query"  # ask now how the orders stand; the permission is taken
    LIST = "list"  # look whether the orders are in a listing; each page needs its permission
    SWEEP = "sweep"  # list what is open, and cancel what matches
    LATE = "late"  # its deadline has come
    MOOT = "moot"  # each of its orders is known to be gone
    IDLE = "idle"  # seized from its lane, where nobody had claimed it


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk in our hands.  ``token`` proves it; ``attempt`` counts from 1.

    ``places``, ``orders`` and ``known`` (what is known of each) go together.  Its call was permitted at
    ``permitted_ms``, and may leave before ``use_by_ms``.  ``deaths`` is how many workers have died with it in
    hands; with ``prove`` its orders are read back.  Of a QUERY ``query`` says which of the venue's it is; of a LIST
    ``strange`` are the places of orders that the venue does not know by themselves, and with ``only_open`` all can be
    asked for, and it is to show which are still open; of a LATE or IDLE one
    ``elsewhere`` are those of orders that another batch has sent a cancel of; of a SWEEP ``empty_ms`` is since
    when nothing was seen that matches.  A SEND with a ``cancel_all`` cancels by that one of the venue's, not by ids.
    """

    kind: ClaimKind
    chunk_id: str
    batch_id: str
    account: str
    token: int
    attempt: int
    deadline_ms: int
    places: tuple[int, ...]
    orders: tuple[OrderRef, ...]
    permitted_ms: int = 0
    use_by_ms: int = 0
    deaths: int = 0
    prove: bool = False
    known: tuple[Standing | None, ...] = ()
    query: int = 0
    strange: frozenset[int] = frozenset()
    elsewhere: frozenset[int] = frozenset()
    empty_ms: int | None = None
    cancel_all: int | None = None
    only_open: bool = False


class Why(StrEnum):
    """Why there is nothing more to claim."""

    MORE = "more"  # there may be: as many were given as were asked for
    IDLE = "idle"  # no chunk is ready
    PAUSED = "paused"  # the account, or all that share its key or IP, waits
    FULL = "full"  # as many calls in flight as are allowed
    LIMIT = "limit"  # the venue's limit


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to claim before ``until_ms``; None if only new work or another's end changes that."""

    why: Why
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Claimed chunks, and what to wait for before more can be claimed."""

    claims: tuple[Claim, ...]
    wait: Wait


class Next(StrEnum):
    """What is to be done next with orders of a chunk."""

    CANCEL = "cancel"  # cancel them (again)
    READ = "read"  # ask how they stand, several at once where the venue can
    SINGLE = "single"  # ask for each by itself
    UNKNOWN = "unknown"  # the venue does not know them by themselves: look in a listing
    LISTING = "listing"  # they cannot be asked for: look in a listing
    SWEEP = "sweep"  # list again


@dataclass(frozen=True, slots=True)
class Part:
    """Orders of a chunk, by place, that go on: with which step, and from when on.

    ``namespace`` is where they are by what was read last ('': among the ordinary ones), or None if that is as it was.
    Of a sweep ``places`` is since when it is empty, if it is.
    """

    places: tuple[int, ...]
    ready_ms: int
    step: Next = Next.CANCEL
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt taught.  Orders of the chunk that are in no part of ``again`` are settled.

    ``siblings`` are standings of orders that nobody asked for, by their references.  ``calls`` left at
    ``sent_ms``; those of a listing were counted as they were permitted, and this takes back what did not leave.
    ``well`` is True if the venue has served the call, so that an earlier failure is over; ``usages`` are what its
    answer told of the limits.  ``sweep`` says how the sweep of the account stands, and ``swept`` that it has shown the
    account empty.
    """

    standings: tuple[tuple[int, Standing], ...]
    calls: int = 0
    siblings: tuple[tuple[OrderRef, Standing], ...] = ()
    again: tuple[Part, ...] = ()
    sent_ms: int = 0
    well: bool = False
    usages: tuple[Usage, ...] = ()
    sweep: str = ""
    swept: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """``held`` is False if the chunk was no longer ours; ``ended`` is True if this ended the batch."""

    held: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop for all who share ``scope`` with the account, because of a call begun at ``since_ms``.

    It lasts ``wait_ms``; again and again it doubles up to ``longest_ms``.  Unless it is for the rate alone, the
    first call after it is a trial.  The first ``patience`` failures in a row stop nobody.
    """

    scope: Scope
    wait_ms: int
    longest_ms: int
    reason: str
    rate: bool
    since_ms: int
    patience: int = 0


@dataclass(frozen=True, slots=True)
class Permission:
    """A call may leave before ``use_by_ms``; or, if that is None, it is worth asking again at ``again_ms``."""

    use_by_ms: int | None
    again_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """What a sweep looks for: its selection, and the most orders that it may cancel, if there is a most."""

    select: Selection
    max_orders: int | None


class Tally(StrEnum):
    """Whether a sweep with a most may go on."""

    GO = "go"
    WAIT = "wait"  # other accounts are yet to be counted
    REFUSED = "refused"  # too many match: the batch has ended


@dataclass(frozen=True, slots=True)
class Group:
    """Orders found by a sweep that one call cancels: by their ids, or by that one of the venue's cancel-alls."""

    orders: tuple[OrderRef, ...]
    cancel_all: int | None = None


class Store(Protocol):
    """Where chunks wait and outcomes are kept."""

    def claim(self, account: str, most: int, now_ms: int) -> Grant:
        """Take the most urgent chunks of *account*, at most *most*, each with the permission for one call."""

    def turn(
        self, account: str, answers: Sequence[tuple[Claim, Settlement]], most: int, now_ms: int
    ) -> tuple[list[Settled], Grant]:
        """Settle claims of *account* and take its next chunks, at most *most*, in one go."""

    def permit(self, claim: Claim, limits: tuple[Limit, ...], now_ms: int) -> Permission:
        """Take the permission for one call for work that is in hands, or say when it is worth asking again."""

    def selection(self, batch_id: str) -> Sought | None:
        """Give what a sweep looks for; None if the batch is no sweep, or no longer open."""

    def tally(self, claim: Claim, number: int, most: int, now_ms: int) -> Tally:
        """Count the orders that match a selection with a most; nothing is sent before all accounts are counted."""

    def new_among(self, claim: Claim, orders: Iterable[OrderRef]) -> list[OrderRef]:
        """Give those of *orders* that the batch of a sweep does not have yet."""

    def grow(self, claim: Claim, groups: Sequence[Group], most: int, now_ms: int) -> int | None:
        """Add orders that a sweep has found, those that are new; gives how many, or None if they are too many."""

    def release(self, claim: Claim, now_ms: int) -> None:
        """Give a chunk back that was not sent, and its permission with it."""

    def pause(self, account: str, pause: Pause, now_ms: int) -> int | None:
        """Stop *account* and all that share the pause's scope; gives until when, or None if they wait that long."""

    def paused_at(self, account: str, at_ms: int) -> str | None:
        """Say why *account* waited at a time of the last hours, if it did."""


class Line(Protocol):
    """A line to one account's venue."""

    def send(self, request: Request, may_send: Callable[[], bool] = always) -> Response:
        """Send *request* if *may_send* says so just before its first byte leaves.

        Raises NotSent if nothing left the house (Withheld if that was for *may_send*), MaybeSent if something may have.
        """


class Log(Protocol):
    """Where events are told; the names are dotted constants, the rest are typed fields."""

    def info(self, event: str, /, **fields: object) -> object:
        """Tell of an ordinary event."""

    def warning(self, event: str, /, **fields: object) -> object:
        """Tell of an event that somebody should look at."""

    def error(self, event: str, /, **fields: object) -> object:
        """Tell of a fault of ours."""


Hint = Callable[[str, str], None]  # tells some worker that an account (1) has work of a priority (2)
