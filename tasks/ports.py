"""What the operation needs of the outside: a store of chunks, a line to the venue, a log."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from connectors.calls import Request, Response
from connectors.orders import OrderRef
from tasks.batch import Account
from tasks.fold import Standing


class ClaimKind(StrEnum):
    """What is to be done with a claimed chunk."""

    SEND = "send"  # call the venue now; the permission is taken and the attempt noted
    LATE = "late"  # its deadline has come
    MOOT = "moot"  # each of its orders is known to be gone
    IDLE = "idle"  # seized from its lane, where nobody had claimed it


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk in our hands.  ``token`` proves it; ``attempt`` counts from 1.

    ``places`` and ``orders`` go together; ``behind`` is how many chunks of the account are ready after this.
    """

    kind: ClaimKind
    chunk_id: str
    batch_id: str
    account: str
    token: int
    attempt: int
    deadline_ms: int
    behind: int
    places: tuple[int, ...]
    orders: tuple[OrderRef, ...]


class Why(StrEnum):
    """Why there is nothing to claim."""

    IDLE = "idle"  # no chunk is ready
    PAUSED = "paused"  # the account waits
    FULL = "full"  # as many calls in flight as are allowed
    LIMIT = "limit"  # the venue's limit


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to claim before ``until_ms``; None if only new work or another's end changes that."""

    why: Why
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Orders of a chunk, by place, that are to be tried again from ``ready_ms`` on."""

    places: tuple[int, ...]
    ready_ms: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt taught.  Orders of the chunk that are in no part of ``again`` are settled.

    ``siblings`` are standings of orders that nobody asked for, by their references.
    """

    standings: tuple[tuple[int, Standing], ...]
    calls: int = 0
    siblings: tuple[tuple[OrderRef, Standing], ...] = ()
    again: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """``held`` is False if the chunk was no longer ours; ``ended`` is True if this ended the batch."""

    held: bool
    ended: bool


class Store(Protocol):
    """Where chunks wait and outcomes are kept."""

    def claim(self, account: Account, now_ms: int) -> Claim | Wait:
        """Take the most urgent chunk of *account* with the permission for one call."""

    def settle(self, claim: Claim, settlement: Settlement, now_ms: int) -> Settled:
        """Write what an attempt taught and give the chunk back, or its parts."""

    def pause(self, account: str, until_ms: int, reason: str, now_ms: int) -> bool:
        """Stop *account* until *until_ms*; False if it already waits that long."""


class Line(Protocol):
    """A line to one account's venue."""

    def send(self, request: Request) -> Response:
        """Send *request*.  Raises NotSent if nothing left the house, MaybeSent if something may have."""


class Log(Protocol):
    """Where events are told; the names are dotted constants, the rest are typed fields."""

    def info(self, event: str, /, **fields: object) -> object:
        """Tell of an ordinary event."""

    def warning(self, event: str, /, **fields: object) -> object:
        """Tell of an event that somebody should look at."""

    def error(self, event: str, /, **fields: object) -> object:
        """Tell of a fault of ours."""


Hint = Callable[[str, str], None]  # tells some worker that an account (1) has work of a priority (2)
