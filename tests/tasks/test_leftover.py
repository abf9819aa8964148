"""What is left over: chunks that are not to be sent (any more), and references that never are."""

import pytest

from connectors.outcomes import Status
from tasks.drain import LOST, invalid, leftover
from tasks.fold import NEVER_TRIED
from tasks.ports import Claim, ClaimKind, Settlement
from tests.fakes import START_MS, refs


def claim_of(kind: ClaimKind) -> Claim:
    return Claim(kind, "b/0", "b", "main", 1, 2, START_MS + 1, 0, (3, 5), refs("a", "b"))


def settled(kind: ClaimKind) -> Settlement:
    settlement = leftover(claim_of(kind), START_MS)
    assert settlement.again == ()
    assert settlement.siblings == ()
    return settlement


def test_what_a_dead_worker_may_have_sent_is_unknown_and_counts_as_a_call() -> None:
    settlement = settled(ClaimKind.SEND)

    assert [(place, standing.status) for place, standing in settlement.standings] == [
        (3, Status.UNKNOWN),
        (5, Status.UNKNOWN),
    ]
    assert all(LOST in standing.details for _, standing in settlement.standings)
    assert settlement.calls == 1


@pytest.mark.parametrize("kind", [ClaimKind.LATE, ClaimKind.IDLE])
def test_what_never_left_its_lane_is_not_sent(kind: ClaimKind) -> None:
    settlement = settled(kind)

    assert {standing.status for _, standing in settlement.standings} == {Status.NOT_SENT}
    assert {standing.strength for _, standing in settlement.standings} == {NEVER_TRIED}
    assert settlement.calls == 0


def test_what_is_moot_needs_no_word() -> None:
    assert settled(ClaimKind.MOOT) == Settlement(())


def test_an_invalid_reference_says_why_and_was_never_attempted() -> None:
    standing = invalid(refs("a")[0], "no symbol", START_MS)

    assert (standing.status, standing.at_ms) == (Status.INVALID, START_MS)
    assert '"evidence":"reference"' in standing.details
    assert '"attempts":0' in standing.details
    assert '"message":"no symbol"' in standing.details
