"""Outcomes as they are written down: what an attempt, or reading back, taught of the orders of a claim; pure."""

from collections.abc import Sequence
from dataclasses import replace

from connectors.calls import Answer
from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from tasks.fold import Standing, strength
from tasks.ports import Claim
from tasks.proof import Read
from tasks.report import COMPACT, details


def standings_of(claim: Claim, outcomes: Sequence[Outcome], at_ms: int) -> tuple[tuple[int, Standing], ...]:
    """Write down an outcome for each order of *claim*."""
    paired = zip(claim.places, outcomes, strict=True)
    return tuple((place, standing_of(outcome, claim.attempt, at_ms)) for place, outcome in paired)


def standing_of(outcome: Outcome, attempt: int, at_ms: int) -> Standing:
    """Write down what *attempt* (from 1) taught of an order."""
    return Standing(strength(outcome), at_ms, outcome.status, details(outcome, attempt))


def tried_again(claim: Claim, at_ms: int) -> tuple[tuple[int, Standing], ...]:
    """Note the attempt with the orders of *claim* that a read had shown open: that says more than most answers do.

    Reading back counts from the attempt; what is told of the order is as old as the read.
    """
    shown = ((place, one) for place, one in zip(claim.places, claim.known, strict=False) if one)
    return tuple((place, _tried_again(one, claim.attempt, at_ms)) for place, one in shown if one.status is Status.OPEN)


def _tried_again(shown: Standing, attempt: int, at_ms: int) -> Standing:
    details = COMPACT({"updated_ms": shown.at_ms, **shown.told, "attempts": attempt})
    return replace(shown, at_ms=max(at_ms, shown.at_ms), details=details)


def invalid(order: OrderRef, reason: str, now_ms: int) -> Standing:
    """Give the standing of a reference that its venue cannot take; it is never sent."""
    return standing_of(Outcome(order, Status.INVALID, Evidence.REFERENCE, None, reason), 0, now_ms)


def read_standings(claim: Claim, found: Read, at_ms: int) -> tuple[tuple[int, Standing], ...]:
    """Write down what reading taught; an order was tried as often as it was canceled."""
    known = dict(zip(claim.places, claim.known, strict=True))
    tried = {place: int(one.told.get("attempts", 0)) if one else 0 for place, one in known.items()}
    asked = dict(zip(claim.places, claim.orders, strict=True))
    outcomes = {place: replace(outcome, order=asked[place]) for place, outcome in found.outcomes.items()}
    return tuple((place, standing_of(outcome, tried[place], at_ms)) for place, outcome in outcomes.items())


def all_of(claim: Claim, status: Status, evidence: Evidence, message: str) -> Answer:
    """Give every order of *claim* the same outcome."""
    return Answer(tuple(Outcome(order, status, evidence, None, message) for order in claim.orders))
