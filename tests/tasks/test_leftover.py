"""What is left over: chunks that are not to be sent (any more), and references that never are."""

from dataclasses import replace

import pytest

from connectors.orders import IdKind
from connectors.outcomes import Status
from tasks.drain import DEADLY, LATE, LOST, leftover
from tasks.fold import NEVER_TRIED
from tasks.ports import Claim, ClaimKind, Next, Part, Settlement
from tasks.standings import invalid
from tests.fakes import START_MS, refs

LASTING = frozenset({IdKind.ORDER_ID})
DEADLINE_MS = START_MS + 1


def claim_of(kind: ClaimKind, deaths: int = 1) -> Claim:
    return Claim(kind, "b/0", "b", "main", 1, 2, DEADLINE_MS, (3, 5, 7), refs(*"abc"), START_MS - 9, 0, deaths)


def parts(claim: Claim, now_ms: int = START_MS) -> list[tuple[int, ...]]:
    settlement = leftover(claim, LASTING, now_ms)
    assert all(part.ready_ms == now_ms for part in settlement.again)
    return [part.places for part in settlement.again]


def test_what_a_dead_worker_may_have_sent_is_unknown_and_counts_as_a_call() -> None:
    settlement = leftover(claim_of(ClaimKind.SEND), (), START_MS)

    assert [(place, standing.status) for place, standing in settlement.standings] == [
        (3, Status.UNKNOWN),
        (5, Status.UNKNOWN),
        (7, Status.UNKNOWN),
    ]
    assert all(LOST in standing.details for _, standing in settlement.standings)
    assert (settlement.calls, settlement.sent_ms) == (1, START_MS - 9)
    assert (settlement.again, settlement.siblings, settlement.well) == ((), (), False)


@pytest.mark.parametrize(("kind", "calls"), [(ClaimKind.QUERY, 1), (ClaimKind.LIST, 0)])
def test_a_read_of_a_dead_worker_is_made_again_and_a_query_counts_as_a_call(kind: ClaimKind, calls: int) -> None:
    """The calls of a listing were counted as each was permitted."""
    claim = claim_of(kind)

    settlement = leftover(claim, (), START_MS)

    assert settlement.again == (Part(claim.places, START_MS, Next.READ),)
    assert settlement.calls == calls


def test_a_permission_for_later_was_no_call_of_the_future() -> None:
    claim = replace(claim_of(ClaimKind.SEND), permitted_ms=START_MS + 6_000)

    assert leftover(claim, (), START_MS).sent_ms == START_MS


def test_it_is_sent_again_where_its_ids_name_one_order_for_ever() -> None:
    settlement = leftover(claim_of(ClaimKind.SEND), LASTING, START_MS)

    assert settlement.again == (Part((3, 5, 7), START_MS),)
    assert {standing.status for _, standing in settlement.standings} == {Status.UNKNOWN}


def test_it_is_not_sent_again_where_a_single_id_may_name_another_order_by_now() -> None:
    claim = claim_of(ClaimKind.SEND)
    orders = (*claim.orders[:2], replace(claim.orders[2], kind=IdKind.CLIENT_ORDER_ID))

    assert parts(replace(claim, orders=orders)) == []


def test_it_is_not_sent_again_past_its_deadline() -> None:
    assert parts(claim_of(ClaimKind.SEND), DEADLINE_MS - 1) == [(3, 5, 7)]
    assert parts(claim_of(ClaimKind.SEND), DEADLINE_MS) == []


def test_a_chunk_on_which_workers_died_again_and_again_is_halved() -> None:
    assert parts(claim_of(ClaimKind.SEND, DEADLY - 1)) == [(3, 5, 7)]
    assert parts(claim_of(ClaimKind.SEND, DEADLY)) == [(3, 5), (7,)]


def test_the_order_that_does_it_alone_is_not_sent_again() -> None:
    claim = claim_of(ClaimKind.SEND, DEADLY)

    assert parts(replace(claim, places=(3,), orders=refs("a"))) == []


@pytest.mark.parametrize("kind", [ClaimKind.LATE, ClaimKind.IDLE])
@pytest.mark.parametrize(("paused", "words"), [(None, f'"{LATE}"'), ("429 slow down", f'"{LATE}: 429 slow down"')])
def test_what_never_left_its_lane_is_not_sent_and_says_why(kind: ClaimKind, paused: str | None, words: str) -> None:
    settlement = leftover(claim_of(kind), LASTING, START_MS, paused)

    assert {standing.status for _, standing in settlement.standings} == {Status.NOT_SENT}
    assert {standing.strength for _, standing in settlement.standings} == {NEVER_TRIED}
    assert all(words in standing.details for _, standing in settlement.standings)
    assert (settlement.calls, settlement.again) == (0, ())


def test_what_is_moot_needs_no_word() -> None:
    assert leftover(claim_of(ClaimKind.MOOT), LASTING, START_MS) == Settlement(())


def test_an_invalid_reference_says_why_and_was_never_attempted() -> None:
    standing = invalid(refs("a")[0], "no symbol", START_MS)

    assert (standing.status, standing.at_ms) == (Status.INVALID, START_MS)
    assert '"evidence":"reference"' in standing.details
    assert '"attempts":0' in standing.details
    assert '"message":"no symbol"' in standing.details
