"""The store: chunks taken from lanes and from dead workers."""

import pytest

from connectors.calls import Limit, Scope
from tasks import keys
from tasks.client import HEARTBEAT_MS
from tasks.drain import leftover
from tasks.ports import ClaimKind, Settled, Wait, Why
from tests.fakes import START_MS, refs
from tests.tasks.lanes import BOTH, Lanes, connection_of
from worker.store import LONGEST_CALL_MS, SETTLING_MS

LAST = Settled(held=True, ended=True)


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


def only_chunk(lanes: Lanes) -> str:
    """Give the id of the one chunk that there is."""
    (key,) = lanes.redis.scan_iter(keys.chunk("*"))
    return str(key).removeprefix(keys.chunk(""))


# Seizing


def test_a_chunk_that_is_late_is_seized_in_its_lane_and_not_before(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    lanes.clock.ms += 59_999
    assert lanes.worker("w2").seize(only_chunk(lanes), lanes.now_ms) is None
    lanes.clock.ms += 1

    claim = lanes.worker("w2").seize(only_chunk(lanes), lanes.now_ms)

    assert claim is not None
    assert (claim.kind, claim.places, claim.orders) == (ClaimKind.IDLE, (0, 1), refs("a", "b"))
    assert (claim.account, claim.batch_id, claim.deadline_ms) == ("main", "b", START_MS + 60_000)
    assert lanes.wait() == Wait(Why.IDLE)
    lanes.sound()
    assert lanes.store.settle(claim, leftover(claim, (), START_MS), START_MS) == LAST
    assert lanes.statuses("b") == ["not_sent"] * 2


def test_a_living_workers_chunk_is_not_seized(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()

    assert lanes.worker("w2").seize(claim.chunk_id, START_MS) is None
    lanes.clock.ms += LONGEST_CALL_MS - 1
    assert lanes.worker("w2").seize(claim.chunk_id, lanes.now_ms) is None
    assert lanes.settle(claim) == LAST


def test_what_a_living_worker_has_held_for_too_long_is_seized(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()

    seized = lanes.worker("w2").seize(claim.chunk_id, START_MS + LONGEST_CALL_MS)

    assert seized is not None
    assert seized.kind is ClaimKind.SEND


def test_whoever_goes_on_asking_for_the_calls_of_its_work_keeps_it(lanes: Lanes) -> None:
    """A listing of many pages, at a slow limit or over a pause, may take minutes."""
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.clock.ms += LONGEST_CALL_MS - 1
    one_a_minute = Limit("pages", Scope.ACCOUNT, units=1, per_ms=60_000)
    assert lanes.store.permit(claim, (one_a_minute,), lanes.now_ms).use_by_ms is not None
    lanes.clock.ms += LONGEST_CALL_MS - 1
    assert lanes.worker("w2").seize(claim.chunk_id, lanes.now_ms) is None
    assert lanes.store.permit(claim, (one_a_minute,), lanes.now_ms).use_by_ms is None
    asked_ms = lanes.now_ms
    lanes.clock.ms += LONGEST_CALL_MS - 1
    assert lanes.worker("w2").seize(claim.chunk_id, lanes.now_ms) is None

    assert lanes.worker("w2").seize(claim.chunk_id, asked_ms + LONGEST_CALL_MS) is not None


def test_who_has_lost_its_work_does_not_keep_it_by_asking(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.clock.ms += LONGEST_CALL_MS
    assert lanes.worker("w2").seize(claim.chunk_id, lanes.now_ms) is not None

    lanes.clock.ms += SETTLING_MS
    lanes.store.permit(claim, (), lanes.now_ms)

    assert lanes.worker("w3").seize(claim.chunk_id, lanes.now_ms) is not None


def test_a_dead_workers_chunk_is_seized_and_may_have_been_sent(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.kill("w1")
    other = lanes.worker("w2")

    seized = other.seize(claim.chunk_id, START_MS)

    assert seized is not None
    assert (seized.kind, seized.attempt, seized.token > claim.token) == (ClaimKind.SEND, 1, True)
    lanes.sound()
    assert other.seize(claim.chunk_id, START_MS) is None
    other.settle(seized, leftover(seized, (), START_MS), START_MS)
    assert lanes.statuses("b") == ["unknown"]
    assert lanes.client.report("b")["calls"] == 1


def test_who_was_stopped_and_claims_before_its_heart_beats_is_no_dead_worker(lanes: Lanes) -> None:
    """Its call may be about to leave: whoever took the chunk now would send the same cancel beside it."""
    lanes.put("b", "a")
    lanes.redis.delete(keys.worker("w1"))
    claim = lanes.claim()
    other = lanes.worker("w2")

    assert other.seize(claim.chunk_id, START_MS) is None
    assert other.seize(claim.chunk_id, START_MS + HEARTBEAT_MS - 1) is None
    assert other.seize(claim.chunk_id, START_MS + HEARTBEAT_MS) is not None


def test_what_was_seized_from_a_dead_worker_can_be_seized_again(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.kill("w1")
    assert lanes.worker("w2").seize(claim.chunk_id, START_MS) is not None
    lanes.kill("w2")

    third = lanes.worker("w3").seize(claim.chunk_id, START_MS)

    assert third is not None
    assert third.kind is ClaimKind.SEND


def test_a_dead_watch_that_seized_from_a_lane_sent_nothing(lanes: Lanes) -> None:
    lanes.put("b", "a")
    lanes.clock.ms += 60_000
    assert lanes.worker("w2").seize(only_chunk(lanes), lanes.now_ms) is not None
    lanes.kill("w2")

    claim = lanes.worker("w3").seize(only_chunk(lanes), lanes.now_ms)

    assert claim is not None
    assert claim.kind is ClaimKind.IDLE


def test_what_is_settled_or_strange_is_not_seized(lanes: Lanes) -> None:
    lanes.put("b", "a")
    chunk_id = only_chunk(lanes)
    lanes.settle(lanes.claim())

    assert lanes.store.seize(chunk_id, START_MS) is None
    assert lanes.store.seize("x/0.0", START_MS) is None


def test_ready_names_the_most_urgent_work_that_may_be_tried(lanes: Lanes) -> None:
    assert lanes.store.ready("main", START_MS) is None
    lanes.put("b", "a")
    claim = lanes.claim()
    assert lanes.store.ready("main", START_MS) is None

    lanes.again(claim, claim.places, ready_ms=START_MS + 5)

    assert lanes.store.ready("main", START_MS + 4) is None
    assert lanes.store.ready("main", START_MS + 5) == "risk"
