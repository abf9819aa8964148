"""The store: several claims at once, and what a clean-up leaves free for a kill."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Limit, Scope
from connectors.outcomes import Status
from tasks.batch import Account, Priority
from tasks.ports import ClaimKind, Grant, Next, Part, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.book import SINGLE
from tests.tasks.lanes import BOTH, Lanes, connection_of, fake_redis, guarded_ms, held_until_ms, share

LONG_MS = 50_000
CLEANUP, KILL = Priority.CLEANUP, Priority.KILL


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request), account_of(max_orders_per_call=1))


def work_for(lanes: Lanes, batch_id: str, number: int, priority: Priority = Priority.RISK) -> None:
    lanes.put(batch_id, *(f"{batch_id} {place}" for place in range(number)), priority=priority, deadline_s=3600)


def limited(*limits: Limit, most: int = 100) -> Account:
    return account_of(replace(PLAIN, limits=limits), max_orders_per_call=1, max_in_flight=most)


def drop_all(lanes: Lanes, grant: Grant) -> int:
    """Settle what was claimed, and say how many claims there were."""
    for claim in grant.claims:
        lanes.settle(claim)
    return len(grant.claims)


# Several claims


def test_as_many_are_given_as_are_asked_for_in_their_order(lanes: Lanes) -> None:
    work_for(lanes, "b", 4)
    work_for(lanes, "kill", 1, KILL)

    grant = lanes.grant(3)

    assert [claim.orders[0].value for claim in grant.claims] == ["kill 0", "b 0", "b 1"]
    assert grant.wait == Wait(Why.MORE)
    assert len({claim.token for claim in grant.claims}) == 3
    lanes.sound()
    assert [lanes.settle(claim).held for claim in grant.claims] == [True] * 3
    lanes.sound()


def test_behind_fewer_than_asked_for_stands_what_to_wait_for(lanes: Lanes) -> None:
    work_for(lanes, "b", 2)
    claim = lanes.claim()
    lanes.again(claim, claim.places, ready_ms=START_MS + 70)

    grant = lanes.grant(5)

    assert (len(grant.claims), grant.wait) == (1, Wait(Why.IDLE, START_MS + 70))


def test_a_limit_gives_as_many_as_it_allows_and_says_when_the_next_is_due(lanes: Lanes) -> None:
    limit = Limit("calls", Scope.KEY, 6, LONG_MS, cost=2)
    lanes.use(limited(limit))
    work_for(lanes, "b", 9)

    grant = lanes.grant(9)

    assert len(grant.claims) == 3
    assert grant.wait == Wait(Why.LIMIT, held_until_ms(grant.claims[0], limit))
    lanes.sound()


def test_no_more_are_given_than_places_are_free(lanes: Lanes) -> None:
    lanes.use(limited(Limit("calls", Scope.KEY, 100, LONG_MS), most=3))
    work_for(lanes, "b", 9)
    lanes.claim()

    grant = lanes.grant(9)

    assert (len(grant.claims), grant.wait) == (2, Wait(Why.FULL))


# Limits of their own


CANCELS, READS = Limit("cancels", Scope.KEY, 2, LONG_MS), Limit("reads", Scope.KEY, 1, LONG_MS)


def reading(cancels: Limit, reads: Limit) -> Account:
    (query,) = SINGLE.queries
    venue = replace(SINGLE, limits=(cancels,), queries=(replace(query, limits=(reads,)),))
    return account_of(venue, max_orders_per_call=1, max_in_flight=100)


def to_be_read(lanes: Lanes, batch_id: str, number: int, priority: Priority) -> None:
    """Put a batch of which each order was canceled, and is to be read."""
    values = (f"{batch_id} {place}" for place in range(number))
    lanes.put(batch_id, *values, priority=priority, deadline_s=3600, prove=True)
    for claim in lanes.grant(number).claims:
        lanes.settle(claim, Status.ACCEPTED, again=(Part(claim.places, lanes.now_ms, Next.READ),))


def test_what_is_read_does_not_hold_up_cancels_of_another_limit(lanes: Lanes) -> None:
    lanes.use(reading(replace(CANCELS, units=9), READS))
    to_be_read(lanes, "kill", 3, KILL)
    work_for(lanes, "b", 2)

    grant = lanes.grant(9)

    kinds = [(claim.kind, claim.batch_id) for claim in grant.claims]
    assert kinds == [(ClaimKind.QUERY, "kill"), (ClaimKind.SEND, "b"), (ClaimKind.SEND, "b")]
    assert grant.wait == Wait(Why.LIMIT, held_until_ms(grant.claims[0], READS))
    lanes.sound()


def test_cancels_do_not_hold_up_what_is_read_by_another_limit(lanes: Lanes) -> None:
    lanes.use(reading(CANCELS, replace(READS, units=9)))
    to_be_read(lanes, "b", 2, Priority.RISK)
    lanes.clock.ms += 1_000
    work_for(lanes, "kill", 2, KILL)

    grant = lanes.grant(9)

    assert [(claim.kind, claim.batch_id) for claim in grant.claims] == [(ClaimKind.QUERY, "b")] * 2
    assert grant.wait == Wait(Why.LIMIT, START_MS + guarded_ms(CANCELS))
    lanes.sound()


def test_what_a_limit_holds_up_keeps_its_place_before_what_is_less_urgent(lanes: Lanes) -> None:
    """A call that needs more units than are left is not overtaken by those that need fewer."""
    limit = Limit("weight", Scope.KEY, 10, LONG_MS)
    lanes.use(reading(limit, replace(limit, cost=8)))
    to_be_read(lanes, "kill", 3, KILL)
    work_for(lanes, "b", 2)

    assert lanes.wait() == Wait(Why.LIMIT, START_MS + guarded_ms(limit))
    lanes.sound()


# What a clean-up leaves free


@pytest.mark.parametrize(("most", "places"), [(1, 1), (2, 1), (3, 2), (4, 2), (10, 7)])
def test_a_clean_up_leaves_places_for_a_kill(lanes: Lanes, most: int, places: int) -> None:
    lanes.use(limited(Limit("calls", Scope.KEY, 100, LONG_MS), most=most))
    work_for(lanes, "b", 20, CLEANUP)

    assert len(lanes.grant(20).claims) == places
    assert lanes.wait() == Wait(Why.FULL)
    work_for(lanes, "kill", 20, KILL)

    grant = lanes.grant(20)
    assert [claim.batch_id for claim in grant.claims] == ["kill"] * (most - places)
    assert grant.wait == Wait(Why.FULL)
    lanes.sound()


@pytest.mark.parametrize("priority", [Priority.RISK, KILL])
def test_what_is_more_urgent_may_use_all_places_and_the_whole_window(lanes: Lanes, priority: Priority) -> None:
    lanes.use(limited(Limit("calls", Scope.KEY, 10, LONG_MS), most=10))
    work_for(lanes, "b", 20, priority)

    assert len(lanes.grant(20).claims) == 10


@pytest.mark.parametrize(
    ("units", "cost", "calls"), [(1, 1, 1), (2, 1, 1), (10, 1, 7), (4, 4, 1), (5, 4, 1), (29, 10, 1), (30, 10, 2)]
)
def test_a_clean_up_leaves_a_share_of_every_window(lanes: Lanes, units: int, cost: int, calls: int) -> None:
    """It always gets its turn, also where a single call costs more than its share."""
    limit = Limit("weight", Scope.KEY, units, LONG_MS, cost)
    lanes.use(limited(limit))
    work_for(lanes, "b", 20, CLEANUP)

    grant = lanes.grant(20)

    assert len(grant.claims) == calls
    assert grant.wait == Wait(Why.LIMIT, held_until_ms(grant.claims[0], limit))
    lanes.clock.ms += 2 * guarded_ms(limit)
    assert len(lanes.grant(20).claims) == calls


some_limits = st.lists(
    st.integers(1, 10).flatmap(
        lambda cost: st.builds(
            Limit,
            st.just("weight"),
            st.sampled_from(Scope),
            units=st.integers(2 * cost, 40),
            per_ms=st.integers(LONG_MS, 60_000),
            cost=st.just(cost),
        )
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda limit: limit.per_ms,
)


@share(0.4)
@given(some_limits, st.integers(2, 20), st.lists(st.integers(0, LONG_MS), max_size=6))
def test_a_kills_first_call_never_waits_for_what_a_clean_up_used(
    limits: list[Limit], most: int, steps_ms: list[int]
) -> None:
    """Wherever a window, and the places, have room for two calls at all."""
    lanes = Lanes(fake_redis())
    lanes.use(limited(*limits, most=most))
    work_for(lanes, "b", 60, CLEANUP)
    in_flight = lanes.grant(60)
    for step_ms in steps_ms:
        lanes.clock.ms += step_ms
        drop_all(lanes, in_flight)
        in_flight = lanes.grant(60)
    work_for(lanes, "kill", 1, KILL)

    assert [claim.batch_id for claim in lanes.grant(1).claims] == ["kill"]
