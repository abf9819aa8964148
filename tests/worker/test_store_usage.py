"""The limiter hears what the venue counts: calls made elsewhere with the same key or IP count too."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Limit, Scope, Usage
from tasks.ports import Claim, Settlement, Why
from tests.fakes import PLAIN, account_of
from tests.tasks.lanes import BOTH, Lanes, connection_of, fake_redis, guarded_ms, held_until_ms, late_ms, share
from worker.store import limit_key

LONG_MS = 50_000
UNITS = 6
LIMIT = Limit("weight", Scope.IP, UNITS, LONG_MS)


def lanes_on(connection: Any) -> Lanes:
    account = account_of(replace(PLAIN, limits=(LIMIT,)), max_orders_per_call=1, max_in_flight=100)
    lanes = Lanes(connection, account)
    lanes.put("b", *map(str, range(60)), deadline_s=3600)
    return lanes


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return lanes_on(connection_of(request))


def entries(lanes: Lanes) -> list[int]:
    found: Any = lanes.redis.lrange(limit_key(lanes.account, LIMIT), 0, -1)
    return [int(text) for text in found]


def moved(before: list[int], from_ms: int, to_ms: int) -> list[int]:
    """Give *before* with one of the entries for *from_ms* moved: it is known by now when its call left."""
    rest = list(before)
    rest.remove(from_ms)
    return sorted([*rest, to_ms], reverse=True)


def tell(lanes: Lanes, claim: Claim, left: int, sent_ms: int | None = None, **changes: Any) -> None:
    """Settle *claim*: in its answer the venue says how many units are left."""
    usage = replace(Usage(LIMIT.name, LONG_MS, left), **changes)
    sent_ms = lanes.now_ms if sent_ms is None else sent_ms
    lanes.store.settle(claim, Settlement((), 1, sent_ms=sent_ms, usages=(usage,)), lanes.now_ms)


@pytest.mark.parametrize("left", range(UNITS + 1))
def test_no_more_calls_are_granted_than_the_venue_says_are_left(lanes: Lanes, left: int) -> None:
    tell(lanes, lanes.claim(), left)

    grant = lanes.grant(UNITS)

    assert len(grant.claims) == min(left, UNITS - 1), "the call itself was one"
    assert grant.wait.why is Why.LIMIT
    lanes.clock.ms = grant.wait.until_ms or 0
    assert lanes.grant(1).claims


def test_what_the_venue_counts_lasts_for_a_window(lanes: Lanes) -> None:
    claim = lanes.claim()
    lanes.clock.ms = claim.permitted_ms + 1_000
    tell(lanes, claim, 0)

    assert lanes.wait().why is Why.LIMIT
    lanes.clock.ms = held_until_ms(claim, LIMIT)
    assert len(lanes.grant(UNITS).claims) == 1, "our own call's time is over"
    lanes.clock.ms += 1_000
    assert len(lanes.grant(UNITS).claims) == UNITS - 1


@pytest.mark.parametrize("left", [UNITS - 1, UNITS, UNITS + 3])
def test_a_venue_that_counts_no_more_than_we_do_changes_nothing(lanes: Lanes, left: int) -> None:
    claims = lanes.grant(2).claims
    before = entries(lanes)

    tell(lanes, claims[0], left)

    assert entries(lanes) == moved(before, before[0], lanes.now_ms)


def test_a_call_that_left_just_before_the_window_and_came_within_it_is_not_counted_twice(lanes: Lanes) -> None:
    for _ in range(UNITS):
        lanes.settle(lanes.claim())
    lanes.clock.ms += guarded_ms(LIMIT)
    before, claim = entries(lanes), lanes.claim()

    tell(lanes, claim, UNITS - 2, claim.permitted_ms - 1)

    assert entries(lanes) == [claim.permitted_ms, *before]


def test_own_calls_that_left_the_window_since_still_count_for_an_answer_from_before(lanes: Lanes) -> None:
    """Others were permitted before the answer came: those that the venue had counted must be remembered."""
    early = [lanes.claim() for _ in range(UNITS)]
    lanes.clock.ms = held_until_ms(early[-1], LIMIT)
    late = [lanes.claim() for _ in range(UNITS)]
    before = entries(lanes)
    lanes.store.release(late[-1], lanes.now_ms)

    tell(lanes, early[-1], 0, early[-1].permitted_ms)

    assert entries(lanes) == moved(before[1:], before[-1], early[-1].permitted_ms)
    assert len(lanes.grant(UNITS).claims) == 1


@pytest.mark.parametrize("changes", [{"limit": "other"}, {"per_ms": LONG_MS + 1}])
def test_what_is_said_of_another_window_changes_nothing(lanes: Lanes, changes: dict[str, Any]) -> None:
    claim = lanes.claim()

    tell(lanes, claim, 0, **changes)

    assert entries(lanes) == [claim.permitted_ms]


@pytest.mark.parametrize("left", [-1_000_000, -1, 0])
def test_a_window_that_is_overdrawn_is_full_and_no_more(lanes: Lanes, left: int) -> None:
    tell(lanes, lanes.claim(), left)

    assert len(entries(lanes)) == UNITS
    assert lanes.wait().why is Why.LIMIT


def test_all_who_share_the_window_wait(lanes: Lanes) -> None:
    other = replace(lanes.account, name="other")
    lanes.use(lanes.account, other)
    tell(lanes, lanes.claim(), 0)
    lanes.account = other
    lanes.put("c", "a")

    assert lanes.wait().why is Why.LIMIT


steps = st.tuples(
    st.integers(0, LONG_MS), st.integers(0, 3), st.none() | st.integers(-1, UNITS + 1), st.integers(0, 100)
)


@share(0.4)
@given(st.lists(steps, max_size=12))
def test_it_notes_what_a_slow_count_notes(many: list[tuple[int, int, int | None, int]]) -> None:
    """Entries are added until as many lie in the window before the call as the venue has counted."""
    lanes = lanes_on(fake_redis())
    for step_ms, calls, left, after_ms in many:
        lanes.clock.ms += step_ms
        claims = lanes.grant(calls).claims if calls else ()
        latest_ms = max(entries(lanes), default=0)
        for claim in claims:
            sent_ms = claim.permitted_ms + after_ms
            wanted = moved(entries(lanes), latest_ms, latest_ms - max(0, late_ms(LIMIT) - after_ms))
            if left is None:
                lanes.settle(claim, sent_ms=sent_ms)
                assert entries(lanes) == wanted
                continue
            tell(lanes, claim, left, sent_ms)
            counted = sum(at_ms > sent_ms - guarded_ms(LIMIT) for at_ms in wanted)
            missing = max(0, min(UNITS, UNITS - left) - counted)
            assert entries(lanes) == ([max([sent_ms, *wanted])] * missing + wanted)[: 2 * UNITS]
    assert entries(lanes) == sorted(entries(lanes), reverse=True)


def test_an_answer_that_is_settled_twice_is_noted_once(lanes: Lanes) -> None:
    claim = lanes.claim()
    tell(lanes, claim, 2)
    before = entries(lanes)

    tell(lanes, claim, 2)

    assert entries(lanes) == before
