"""Changes how a running simulator behaves: faults, limits, settling, clock; the only place that does."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from simulator import faults
from simulator.desk import Desk
from simulator.faults import Fault
from simulator.venues import VENUES

Document = Mapping[str, Any]


class ControlError(Exception):
    """What was asked of the control API makes no sense; the text says why."""


def only(document: Document, allowed: tuple[str, ...]) -> Document:
    """Give *document*; raises ControlError if it has a field that is not *allowed*."""
    unknown = document.keys() - set(allowed)
    if unknown:
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(allowed)}")
    return document


def get_faults(desk: Desk, document: Document) -> object:
    """Give the faults that are set, with their hits."""
    only(document, ())
    return {"faults": [_fault_row(fault) for fault in desk.faults.set]}


def _fault_row(fault: Fault) -> dict[str, object]:
    row = {f.name: getattr(fault, f.name) for f in fields(fault) if f.name != "dice"}
    return {**row, "on": sorted(fault.on)}


def set_fault(desk: Desk, document: Document) -> object:
    """Set one fault, or clear those of a venue, an account or all."""
    if document.get("clear"):
        only(document, ("clear", "venue", "account"))
        desk.faults.clear(document.get("venue"), document.get("account"))
        return {"faults": len(desk.faults.set)}
    allowed = ("fault", "venue", "account", "on", "probability", "calls", "delay_ms", "jitter_ms", "status", "seed")
    given = dict(only(document, allowed))
    if given.get("fault") not in faults.NAMES:
        raise ControlError(f"no fault {given.get('fault')!r}, but {', '.join(faults.NAMES)}")
    _known(desk, given)
    if "on" in given:
        given["on"] = faults.purposes(given["on"])
    given.setdefault("seed", desk.seed + len(desk.faults.set))
    desk.faults.set.append(Fault(**given))
    return {"faults": len(desk.faults.set)}


def _known(desk: Desk, document: Document) -> None:
    if document.get("venue") is not None and document["venue"] not in VENUES:
        raise ControlError(f"no venue {document['venue']!r}, but {', '.join(VENUES)}")
    if document.get("account") is not None and document["account"] not in desk.accounts:
        raise ControlError(f"there is no account {document['account']!r}")


def get_limits(desk: Desk, document: Document) -> object:
    """Give every rule as it stands, and the venues that keep none."""
    only(document, ())
    rules = {venue: [asdict(rule) for rule in rules] for venue, rules in desk.limiter.rules().items()}
    return {"off": sorted(desk.limiter.off), "rules": rules}


def set_limits(desk: Desk, document: Document) -> object:
    """Switch a venue's limits off or on, or change one rule; its windows start empty."""
    only(document, ("venue", "enabled", "rule", "limit", "per_ms", "lock_ms", "patience", "ban_ms"))
    _known(desk, document)
    venues = [document["venue"]] if "venue" in document else list(VENUES)
    for venue in venues:
        if document.get("enabled") is False:
            desk.limiter.off.add(venue)
        elif document.get("enabled") is True:
            desk.limiter.off.discard(venue)
        if "rule" in document:
            rule = desk.limiter.rule(venue, document["rule"])
            if rule is None:
                raise ControlError(f"{venue} has no rule {document['rule']!r}")
            names = ("limit", "per_ms", "lock_ms", "patience", "ban_ms")
            desk.limiter.set_rule(venue, replace(rule, **{n: document[n] for n in names if n in document}))
        desk.limiter.forget(venue)
    return get_limits(desk, {})


def set_behavior(desk: Desk, document: Document) -> object:
    """Change how orders settle, for an account, a venue or all; what is not named stays."""
    names = ("settle_ms", "fill_probability", "lost_probability", "cancels_rest", "bare_array", "leg_answers_list")
    given = only(document, ("venue", "account", *names))
    _known(desk, given)
    for account in desk.accounts.values():
        if given.get("venue") in (None, account.venue) and given.get("account") in (None, account.name):
            changed = {name: given[name] for name in names if name in given}
            desk.behaviors[account.name] = replace(desk.behaviors[account.name], **changed)
    return {name: asdict(behavior) for name, behavior in desk.behaviors.items()}


def set_clock(desk: Desk, document: Document) -> object:
    """Set the venues' clocks off from the true time."""
    desk.clock.skew_ms = int(only(document, ("skew_ms",))["skew_ms"])
    return {"skew_ms": desk.clock.skew_ms}
