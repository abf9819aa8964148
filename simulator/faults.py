"""Faults on demand, drawn reproducibly; the only place where an answer is spoiled."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from simulator.http import Answer, Request, render
from simulator.limiter import Breach
from simulator.venue import Purpose, Reply, Venue

CLOUDFLARE: Final = b"<!DOCTYPE html><html><head><title>Access denied</title></head><body>Error 1020</body></html>"
BAD_GATEWAY: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
MAX_HANG_S: Final = 30.0
LATENCY: Final = "latency"


@dataclass(slots=True)
class Fault:
    """One fault that is set.

    It hits calls of ``venue`` or ``account`` (None: any) for the purposes in ``on``, each with ``probability``,
    and at most ``calls`` of them. ``delay_ms`` is for latency (with up to ``jitter_ms`` more), for how long a
    call hangs, and for how long a 429 asks to wait; ``status`` is for HTML. Its own dice make the draws the same
    for the same seed.
    """

    fault: str
    venue: str | None = None
    account: str | None = None
    on: frozenset[Purpose] = frozenset({Purpose.CANCEL, Purpose.READ})
    probability: float = 1.0
    calls: int | None = None
    delay_ms: int = 0
    jitter_ms: int = 0
    status: int = 403
    seed: int = 0
    hits: int = 0
    dice: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)

    def strikes(self, venue: str, account: str | None, purpose: Purpose) -> bool:
        """Roll the dice for one call."""
        if self.calls is not None and self.hits >= self.calls:
            return False
        if purpose not in self.on or self.venue not in (None, venue) or self.account not in (None, account):
            return False
        if self.probability < 1.0 and self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The faults that are set, in the order in which they were; of those that hit a call the first one counts."""

    def __init__(self) -> None:
        self.set: list[Fault] = []

    def draw(self, venue: str, account: str | None, purpose: Purpose) -> Fault | None:
        """Draw the fault that hits one call; latency is not among them."""
        for fault in self.set:
            if fault.fault != LATENCY and fault.strikes(venue, account, purpose):
                return fault
        return None

    def delay_s(self, venue: str, account: str | None, purpose: Purpose) -> float:
        """Draw how long the answer to one call is held back."""
        delay_ms = 0.0
        for fault in self.set:
            if fault.fault == LATENCY and fault.strikes(venue, account, purpose):
                delay_ms += fault.delay_ms + fault.dice.uniform(0, fault.jitter_ms)
        return delay_ms / 1000

    def clear(self, venue: str | None, account: str | None) -> None:
        """Forget the faults of one venue or account, or all of them."""
        kept = [f for f in self.set if (venue and f.venue != venue) or (account and f.account != account)]
        self.set = kept


def _html(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del venue, request, venue_ms
    return Answer(render(fault.status, CLOUDFLARE))


def _bad_gateway(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del fault, venue, request, venue_ms
    return Answer(render(502, BAD_GATEWAY))


def _cut(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del fault, venue, request, venue_ms
    return Answer(b"", close=True)


def _reset(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del fault, venue, request, venue_ms
    return Answer(b"", reset=True)


def _hang(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del venue, request, venue_ms
    return Answer(b"", min(MAX_HANG_S, fault.delay_ms / 1000 or MAX_HANG_S), close=True)


def _rate_limited(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    reply = venue.limited(request, Breach(venue.rules[0], fault.delay_ms or 1000, banned=False), venue_ms)
    return Answer(render(reply.status, reply.payload, reply.headers))


def _maintenance(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del fault, venue_ms
    reply = venue.maintenance(request)
    return Answer(render(reply.status, reply.payload, reply.headers))


def _forbidden(fault: Fault, venue: Venue, request: Request, venue_ms: int) -> Answer:
    del fault, venue_ms
    reply = venue.forbidden(request)
    return Answer(render(reply.status, reply.payload, reply.headers))


Replacement = Callable[[Fault, Venue, Request, int], Answer]
BEFORE: Final[Mapping[str, Replacement]] = {  # the call is not carried out
    "cut_before": _cut,
    "reset_before": _reset,
    "error_5xx_before": _bad_gateway,
    "html": _html,
    "rate_429": _rate_limited,
    "maintenance": _maintenance,
    "forbidden": _forbidden,
    "hang_before": _hang,
}
AFTER: Final[Mapping[str, Replacement]] = {  # it is, but the caller does not learn how it went
    "cut_after": _cut,
    "reset_after": _reset,
    "error_5xx_after": _bad_gateway,
    "html_after": _html,
    "hang": _hang,
}


def _leave_out(items: list[object], dice: Random) -> None:
    if items:
        doomed = dice.randrange(len(items))
        items[:] = [item for place, item in enumerate(items) if place != doomed and dice.random() < 0.5]


def _double(items: list[object], dice: Random) -> None:
    if items:
        items.append(dice.choice(items))


def _shuffle(items: list[object], dice: Random) -> None:
    if len(items) > 1:
        items.reverse()
        dice.shuffle(items)


def _swap_types(value: object) -> object:
    """Turn whole numbers into text, and text of digits into numbers, at every level."""
    if isinstance(value, dict):
        return {name: _swap_types(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_swap_types(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


SPOILED_ITEMS: Final[Mapping[str, Callable[[list[object], Random], None]]] = {
    "missing_items": _leave_out,
    "reordered_items": _shuffle,
    "duplicate_items": _double,
}
NAMES: Final = (LATENCY, *BEFORE, *AFTER, *SPOILED_ITEMS, "wrong_types", "truncated")


def spoil(fault: Fault, venue: Venue, reply: Reply) -> Reply:
    """Spoil what the reply says, where that is what *fault* does."""
    change = SPOILED_ITEMS.get(fault.fault)
    if change is not None:
        for items in venue.items(reply.payload):
            change(items, fault.dice)
    if fault.fault == "wrong_types":
        return Reply(reply.status, _swap_types(reply.payload), reply.headers)
    return reply


def truncate(data: bytes) -> Answer:
    """Send an answer up to the middle of its body, and hang up."""
    head, gap, body = data.partition(b"\r\n\r\n")
    return Answer(head + gap + body[: len(body) // 2], close=True)


def purposes(names: Iterable[str]) -> frozenset[Purpose]:
    """Read the purposes that a fault is meant for; raises ValueError for one that there is not."""
    return frozenset(Purpose(name) for name in names)
