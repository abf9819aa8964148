"""The accounts that the rows use: one of its own for each contender, so that counters can be told apart."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

LIFTED: Final = 10_000  # calls a second: the highest that a configuration takes
CALLS_AT_ONCE: Final = 64
KILL_ORDERS: Final = 40  # of each venue
KILL_VENUES: Final = ("binance", "crypto_com", "kuna", "upbit", "weex")
# Windows longer than a second cannot be lifted by a configuration, so that the kills of a long row take turns:
# WEEX takes 45 calls a minute of an account, of which a kill needs 4; Binance 6,000 of an IP, of which it needs 40.
KILLS_PER_ACCOUNT: Final[Mapping[str, int]] = {"weex": 10, "binance": 140}  # and one to warm up

Limits = Mapping[str, float]
UNLIMITED: Final[Limits] = {"calls_per_s": LIFTED, "max_in_flight": CALLS_AT_ONCE}


@dataclass(frozen=True, slots=True)
class Account:
    """One account: its venue, and what its configuration says of limits; ``ours`` if ripcord is to know it."""

    name: str
    venue: str
    limits: Limits = field(default_factory=dict)
    ours: bool = True

    def table(self) -> str:
        """Give its limits as TOML, behind its own table; empty if it has none."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.limits.items()]
        return "\n".join([f"[accounts.{self.name}.limits]", *lines, ""]) if lines else ""


def bulk_account(contender: str) -> Account:
    """Give the account of one contender of the bulk row."""
    ours = contender == "ripcord"
    return Account(f"bulk-{contender}", "upbit", UNLIMITED if ours else {}, ours)


def kill_accounts(kills: int) -> dict[str, list[Account]]:
    """Give ripcord's accounts for *kills* kills: for each venue as many as its long windows ask for."""
    return {
        venue: [
            Account(f"kill-{venue}-{number}", venue, _kill_limits(venue))
            for number in range(ceil(kills / kills_per_account(venue, kills)))
        ]
        for venue in KILL_VENUES
    }


def kills_per_account(venue: str, kills: int) -> int:
    """Say how many of *kills* kills one account of *venue* takes part in."""
    return KILLS_PER_ACCOUNT.get(venue, kills)


def _kill_limits(venue: str) -> Limits:
    # Binance has no limit of calls a second: one would only come on top.
    return {"max_in_flight": CALLS_AT_ONCE} if venue == "binance" else UNLIMITED


def naive_kill_accounts() -> list[Account]:
    """Give the naive worker's accounts for the kill row; it keeps no limits, so that one of each venue will do."""
    return [Account(f"kill-naive-{venue}", venue, ours=False) for venue in KILL_VENUES]


def keys_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Give the credentials out of what ``Control.add_account`` says of an account."""
    return {str(name): str(value) for name, value in row["keys"].items()}
