"""Batches, accounts and plans as values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from connectors.calls import Limit
from connectors.credentials import Credentials
from connectors.orders import OrderRef
from connectors.reads import OpenOrder, Side
from connectors.venue import Venue


class Priority(StrEnum):
    """How urgent a batch is, most urgent first."""

    KILL = "kill"
    RISK = "risk"
    CLEANUP = "cleanup"


PRIORITIES = tuple(Priority)
EVERY_ACCOUNT: Final = "*"


@dataclass(frozen=True, slots=True)
class Account:
    """One set of credentials on one venue, with the limits that are kept for it.

    ``egress`` names the IP address that its calls leave from: accounts with the same one share IP limits.
    """

    name: str
    venue: Venue
    credentials: Credentials
    base_url: str
    max_orders_per_call: int
    max_in_flight: int
    limits: tuple[Limit, ...]
    egress: str = "default"

    @property
    def key_digest(self) -> str:
        """A short digest of the key: names it in a limit's scope without telling it."""
        return hashlib.sha256(self.credentials.api_key.encode()).hexdigest()[:16]


Accounts = Mapping[str, Account]


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a batch: which account, and how the venue names it."""

    account: str
    ref: OrderRef


@dataclass(frozen=True, slots=True)
class Selection:
    """The open orders that a sweep covers: those of its accounts that pass every filter that is not None.

    ``accounts`` are names, or ``EVERY_ACCOUNT`` alone for all that are configured.  ``all`` says that a selection
    without any filter is meant so.  ``symbol`` is in the venue's own form.
    """

    accounts: tuple[str, ...]
    all: bool = False
    symbol: str | None = None
    side: Side | None = None
    older_than_s: float | None = None
    client_order_id_prefix: str | None = None

    def matches(self, order: OpenOrder, now_ms: int) -> bool:
        """Say whether *order* passes every filter; one that does not tell what a filter asks for never does."""
        return (
            self.symbol in {None, order.symbol}
            and self.side in {None, order.side}
            and (self.older_than_s is None or _older(order, now_ms, self.older_than_s))
            and (self.client_order_id_prefix is None or _begins(order.client_order_id, self.client_order_id_prefix))
        )

    @property
    def content(self) -> list[object]:
        """All that it says, equal for equal selections, however they were written."""
        age_s = None if self.older_than_s is None else float(self.older_than_s)
        return [sorted(self.accounts), self.all, self.symbol, self.side, age_s, self.client_order_id_prefix]

    def document(self) -> dict[str, Any]:
        """Give the selection as a document spells it, without what was not given."""
        given = {"symbol": self.symbol, "side": self.side, "older_than_s": self.older_than_s}
        given |= {"client_order_id_prefix": self.client_order_id_prefix}
        every: dict[str, Any] = {"all": True} if self.all else {}
        return {"accounts": [*self.accounts]} | every | {n: v for n, v in given.items() if v is not None}


def read_selection(document: Mapping[str, Any]) -> Selection:
    """Make a selection of a valid document's ``select``."""
    side = document.get("side")
    return Selection(
        accounts=tuple(document["accounts"]),
        all=bool(document.get("all", False)),
        symbol=document.get("symbol"),
        side=None if side is None else Side(side),
        older_than_s=document.get("older_than_s"),
        client_order_id_prefix=document.get("client_order_id_prefix"),
    )


def _older(order: OpenOrder, now_ms: int, age_s: float) -> bool:
    return order.created_ms is not None and now_ms - order.created_ms > age_s * 1000


def _begins(client_order_id: str | None, prefix: str) -> bool:
    return client_order_id is not None and client_order_id.startswith(prefix)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a producer asked to cancel: ``orders``, or what ``select`` covers.  ``deadline_s`` counts from submission.

    With more than ``max_orders`` orders in the selection nothing is sent.  ``replay_of`` is the batch whose orders
    these are.
    """

    batch_id: str | None
    orders: tuple[Order, ...]
    priority: Priority = Priority.RISK
    deadline_s: float = 60
    prove: bool = True
    requested_by: str | None = None
    reason: str | None = None
    select: Selection | None = None
    max_orders: int | None = None
    replay_of: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over all that was asked; equal for equal content, however it was written."""
        refs = [[o.account, o.ref.kind, o.ref.value, o.ref.symbol] for o in self.orders]
        content: list[object] = [
            refs, self.priority, float(self.deadline_s), self.prove, self.requested_by, self.reason
        ]  # fmt: skip
        if self.select is not None or self.replay_of is not None:
            content += [self.select and self.select.content, self.max_orders, self.replay_of]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The orders that one venue call carries, by their place in the plan's ``orders``."""

    account: str
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch ready to be worked on: each order once, and in exactly one chunk or in ``invalid``.

    ``invalid`` maps the place of an order to the reason why its venue cannot take it.
    """

    orders: tuple[Order, ...]
    chunks: tuple[Chunk, ...]
    invalid: Mapping[int, str]
