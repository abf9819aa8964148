"""A client of the control API, for tests, demos and drills; it needs nothing but the standard library."""

import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlencode, urlsplit

ORDER_NAMES = ("order_id", "client_order_id", "order_list_id", "client_order_list_id")


class ControlRefusedError(Exception):
    """The simulator did not take what was asked of it; the text is its own."""


class Control:
    """Steers the simulator at *url*. Every method asks once, and gives the answer's JSON."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._timeout_s = timeout_s

    def health(self) -> dict[str, Any]:
        """Say whether it is up, and the time in its clock."""
        return self._ask("GET", "health")

    def accounts(self) -> list[dict[str, Any]]:
        """Give every account: name, venue, root (the path of its base_url) and keys."""
        return list(self._ask("GET", "accounts")["accounts"])

    def add_account(self, venue: str, name: str, **keys: str) -> dict[str, Any]:
        """Open an account; *keys* are api_key, api_secret, passphrase, public_key or public_pem, else made up."""
        return self._ask("POST", "accounts", {"venue": venue, "name": name, **keys})

    def seed(self, account: str, count: int = 0, **plan: Any) -> list[dict[str, str]]:
        """Make orders in bulk (see ``simulator.seeding.Plan``) and give every name of each."""
        return list(self._ask("POST", "orders", {"account": account, "count": count, **plan})["orders"])

    def seed_orders(self, account: str, orders: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Make these very orders (see ``simulator.seeding.Given``) and give every name of each."""
        return list(self._ask("POST", "orders", {"account": account, "orders": list(orders)})["orders"])

    def set_states(self, account: str, order_ids: Sequence[str], state: str) -> None:
        """Change orders behind the callers' back, as a market does."""
        self._ask("POST", "states", {"account": account, "order_ids": list(order_ids), "state": state})

    def book(self, account: str) -> list[dict[str, Any]]:
        """Give every order of the account as it truly is."""
        return list(self._ask("GET", "book", {"account": account})["orders"])

    def lists(self, account: str) -> list[dict[str, Any]]:
        """Give every order list of the account: its names, its symbol and its legs' ids."""
        return list(self._ask("GET", "book", {"account": account})["lists"])

    def log(self, account: str | None = None, since_ms: int = 0, limit: int = 200_000) -> list[dict[str, Any]]:
        """Give the newest calls, oldest first."""
        query = {"since_ms": since_ms, "limit": limit} | ({"account": account} if account else {})
        return list(self._ask("GET", "log", query)["calls"])

    def counters(self, *, orders: bool = True) -> dict[str, Any]:
        """Give sums of calls and breaches, and by account calls, applied cancels, breaches and order states.

        Counting the states of large books stalls the venues for some milliseconds; *orders* False leaves it out.
        """
        return self._ask("GET", "counters", {} if orders else {"orders": "no"})

    def fault(self, fault: str, **settings: Any) -> None:
        """Set a fault (see ``simulator.faults.Fault``): for an account or a venue, with probability or calls."""
        self._ask("POST", "faults", {"fault": fault, **settings})

    def faults(self) -> list[dict[str, Any]]:
        """Give the faults that are set, with their hits."""
        return list(self._ask("GET", "faults")["faults"])

    def clear_faults(self, **where: str) -> None:
        """Forget the faults of a venue or an account, or all of them."""
        self._ask("POST", "faults", {"clear": True, **where})

    def limits(self, **settings: Any) -> dict[str, Any]:
        """Switch limits (``enabled``) or change one ``rule`` of a ``venue``; without settings, give them."""
        return self._ask("POST", "limits", settings) if settings else self._ask("GET", "limits")

    def behavior(self, **settings: Any) -> dict[str, Any]:
        """Change how orders settle (see ``simulator.book.Behavior``), for an account, a venue or all."""
        return self._ask("POST", "behavior", settings)

    def clock(self, skew_ms: int) -> None:
        """Set the venues' clocks off by *skew_ms*."""
        self._ask("POST", "clock", {"skew_ms": skew_ms})

    def reset(self) -> None:
        """Put everything but the accounts back to the start."""
        self._ask("POST", "reset")

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        target = f"/_sim/{path}"
        if method == "GET" and document:
            target += f"?{urlencode(document)}"
        body = json.dumps(document or {}).encode() if method == "POST" else None
        with closing(http.client.HTTPConnection(*self._address, timeout=self._timeout_s)) as connection:
            connection.request(method, target, body, {"Connection": "close"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        if response.status != 200:
            raise ControlRefusedError(answer["error"])
        return dict(answer)


def references(
    orders: Iterable[Mapping[str, str]], by: str = "order_id", account: str | None = None
) -> list[dict[str, str]]:
    """Turn names as seeding gives them into order references: one id each, with the symbol.

    *by* is the id to use; an order that has no such id (a list, say) is named by the first that it has.
    """
    found = []
    for names in orders:
        kind = by if by in names else next(each for each in ORDER_NAMES if each in names)
        reference = {kind: names[kind], "symbol": names["symbol"]}
        found.append(reference | ({"account": account} if account else {}))
    return found
