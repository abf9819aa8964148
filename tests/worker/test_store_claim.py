"""The store: what is claimed, when, and what must wait; on fakeredis and on a real server."""

from dataclasses import replace

import pytest

from connectors.calls import Limit, Scope
from tasks import keys
from tasks.batch import Batch, Priority
from tasks.ports import ClaimKind, Grant, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of, refs
from tests.tasks.lanes import BOTH, Lanes, connection_of, held_until_ms, late_ms, orders_of

LETTERS = tuple("abcdefghijklmnopqrst")


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


# Claiming


def test_a_claim_says_all_that_a_call_needs(lanes: Lanes) -> None:
    lanes.put("b", *LETTERS)

    claim = lanes.claim()

    assert (claim.kind, claim.batch_id, claim.account, claim.attempt) == (ClaimKind.SEND, "b", "main", 1)
    assert (claim.places, claim.orders) == (tuple(range(8)), refs(*LETTERS[:8]))
    assert (claim.deadline_ms, claim.permitted_ms) == (START_MS + 60_000, lanes.now_ms)
    assert claim.use_by_ms == claim.permitted_ms + late_ms(*lanes.account.limits)
    assert lanes.client.report("b")["state"] == "running"
    lanes.sound()


def test_a_kill_goes_before_a_risk_batch_and_that_before_a_clean_up(lanes: Lanes) -> None:
    for priority in ("cleanup", "risk", "kill"):
        lanes.put(f"{priority}-1", f"{priority} a", priority=Priority(priority))
        lanes.put(f"{priority}-2", f"{priority} b", priority=Priority(priority))
        lanes.clock.ms += 1

    claimed = [lanes.claim().batch_id for _ in range(6)]

    assert claimed == ["kill-1", "kill-2", "risk-1", "risk-2", "cleanup-1", "cleanup-2"]
    lanes.sound()


def test_a_kill_that_must_wait_does_not_hold_up_others(lanes: Lanes) -> None:
    lanes.put("kill", "a", priority=Priority.KILL)
    claim = lanes.claim()
    lanes.again(claim, claim.places, ready_ms=START_MS + 500)
    lanes.put("risk", "b")

    assert lanes.claim().batch_id == "risk"
    assert lanes.wait() == Wait(Why.IDLE, START_MS + 500)
    lanes.clock.ms += 500
    assert lanes.claim().batch_id == "kill"


def test_of_equals_the_oldest_is_first(lanes: Lanes) -> None:
    for name in ("z", "m", "a"):
        lanes.put(name, name)
        lanes.clock.ms += 1

    assert [lanes.claim().batch_id for _ in range(3)] == ["z", "m", "a"]


def test_another_accounts_chunks_are_not_ours(lanes: Lanes) -> None:
    lanes.use(lanes.account, account_of(name="other"))
    lanes.put("b", "a")

    assert lanes.store.claim("other", 1, lanes.now_ms) == Grant((), Wait(Why.IDLE))


def test_no_more_calls_are_in_flight_than_are_allowed(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=4, max_in_flight=2))
    lanes.put("b", *LETTERS, priority=Priority.KILL)
    first, _ = lanes.claim(), lanes.claim(lanes.worker("w2"))

    assert lanes.wait() == Wait(Why.FULL)
    lanes.settle(first)
    lanes.claim()
    assert lanes.wait() == Wait(Why.FULL)
    lanes.sound()


def test_a_paused_account_gives_nothing_until_its_pause_is_over(lanes: Lanes) -> None:
    lanes.put("b", "a")
    assert lanes.pause(500) == START_MS + 500

    assert lanes.wait() == Wait(Why.PAUSED, START_MS + 500)
    lanes.clock.ms += 499
    assert lanes.wait() == Wait(Why.PAUSED, START_MS + 500)
    lanes.clock.ms += 1
    assert lanes.claim().kind is ClaimKind.SEND


def test_a_limit_says_exactly_until_when(lanes: Lanes) -> None:
    limit = Limit("calls", Scope.ACCOUNT, units=2, per_ms=60_000)
    lanes.use(account_of(replace(PLAIN, limits=(limit,))))
    lanes.put("b", *LETTERS, deadline_s=3600)
    first = lanes.claim()
    lanes.clock.ms += 7
    lanes.claim()

    after_ms = held_until_ms(first, limit)
    assert lanes.wait() == Wait(Why.LIMIT, after_ms)
    lanes.clock.ms = after_ms - 1
    assert lanes.wait() == Wait(Why.LIMIT, after_ms)
    lanes.clock.ms += 1
    lanes.claim()
    assert lanes.redis.zcard(keys.flights("main")) == 3


def test_past_the_deadline_nothing_is_sent(lanes: Lanes) -> None:
    lanes.use(account_of(replace(PLAIN, limits=(Limit("calls", Scope.ACCOUNT, units=1, per_ms=3_600_000),))))
    lanes.put("b", *LETTERS[:16])
    lanes.claim()
    assert lanes.wait().why is Why.LIMIT
    lanes.clock.ms += 60_000

    late = lanes.claim()

    assert (late.kind, late.attempt, late.places) == (ClaimKind.LATE, 0, tuple(range(8, 16)))
    lanes.sound()


def test_one_ms_before_the_deadline_is_in_time(lanes: Lanes) -> None:
    lanes.put("b", "a", deadline_s=1.5)
    lanes.clock.ms += 1_499

    assert lanes.claim().kind is ClaimKind.SEND


def test_the_deadline_counts_from_submission_not_from_planning(lanes: Lanes) -> None:
    batch = Batch("b", orders_of(lanes.account, "a"), deadline_s=2)
    lanes.accept(batch)
    lanes.clock.ms += 1_500
    lanes.enqueue(batch)

    assert lanes.claim().deadline_ms == START_MS + 2_000
