"""Batches, accounts and plans as values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from connectors.credentials import Credentials
from connectors.orders import OrderRef
from connectors.venue import Limit, Venue


class Priority(StrEnum):
    """How urgent a batch is, most urgent first."""

    KILL = "kill"
    RISK = "risk"
    CLEANUP = "cleanup"


PRIORITIES = tuple(Priority)


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
class Batch:
    """What a producer asked to cancel.  ``deadline_s`` counts from submission."""

    batch_id: str | None
    orders: tuple[Order, ...]
    priority: Priority = Priority.RISK
    deadline_s: float = 60
    prove: bool = True
    requested_by: str | None = None
    reason: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over all that was asked; equal for equal content, however it was written."""
        refs = [[o.account, o.ref.kind, o.ref.value, o.ref.symbol] for o in self.orders]
        content = [refs, self.priority, float(self.deadline_s), self.prove, self.requested_by, self.reason]
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
