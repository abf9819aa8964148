"""The limiter: it grants exactly what a slow definition over every window grants, and never more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.venue import Limit, Scope
from tasks import keys
from tasks.batch import Account
from tasks.ports import Claim, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.lanes import BOTH, GUARD_MS, Lanes, connection_of, fake_redis, share
from worker.store import limit_key

# The windows are long, because the keys of the limiter expire by the server's own clock, and the test's runs faster.
LONG_MS = 50_000
CHUNKS = 60

limits = st.integers(1, 4).flatmap(
    lambda units: st.builds(
        Limit,
        name=st.sampled_from(["calls", "weight"]),
        scope=st.sampled_from(Scope),
        units=st.just(units),
        per_ms=st.integers(LONG_MS, LONG_MS + 50),
        cost=st.integers(1, units),
    )
)
several_limits = st.lists(limits, min_size=1, max_size=3, unique_by=lambda limit: limit.per_ms)
steps_ms = st.sampled_from([0, 1, LONG_MS // 2, LONG_MS, LONG_MS + GUARD_MS]) | st.integers(0, LONG_MS + 100)


@dataclass(frozen=True)
class Grant:
    """One call that was allowed."""

    at_ms: int
    account: Account


def used(grants: Sequence[Grant], key: str, start_ms: int, end_ms: int) -> int:
    """Count the units of the window *key* that were taken from *start_ms* up to, but not including, *end_ms*."""
    costs = ((grant.at_ms, limit.cost) for grant in grants for limit in costing(grant.account, key))
    return sum(cost for at_ms, cost in costs if start_ms <= at_ms < end_ms)


def costing(account: Account, key: str) -> list[Limit]:
    return [limit for limit in account.limits if limit_key(account, limit) == key]


def allowed(grants: Sequence[Grant], account: Account, at_ms: int) -> bool:
    """Say by definition whether a call at *at_ms* keeps every limit, in every window that it falls into."""
    for limit in account.limits:
        key, width_ms = limit_key(account, limit), limit.per_ms + GUARD_MS
        starts = [grant.at_ms for grant in grants if at_ms - width_ms < grant.at_ms <= at_ms] + [at_ms]
        if any(used(grants, key, start, start + width_ms) + limit.cost > limit.units for start in starts):
            return False
    return True


def earliest(grants: Sequence[Grant], account: Account, now_ms: int) -> int:
    """Find the first time from *now_ms* on at which a call is allowed; that is now, or when a window lets go."""
    ends = {grant.at_ms + limit.per_ms + GUARD_MS for grant in grants for limit in account.limits}
    return next(at_ms for at_ms in sorted({now_ms, *ends}) if at_ms >= now_ms and allowed(grants, account, at_ms))


def lanes_for(lanes: Lanes, account: Account) -> Account:
    """Give *account* work without end, one order a call."""
    lanes.account = lanes.accounts[account.name] = replace(account, max_orders_per_call=1, max_in_flight=10_000)
    lanes.put(f"b-{account.name}", *map(str, range(CHUNKS)), deadline_s=3600)
    return lanes.account


def follows_the_definition(lanes: Lanes, accounts: Sequence[Account], steps: Sequence[tuple[int, int]]) -> None:
    """Claim for one account or the other after each step, and compare."""
    grants: list[Grant] = []
    for step_ms, which in steps:
        lanes.clock.ms += step_ms
        account = accounts[which % len(accounts)]
        expected_ms = earliest(grants, account, lanes.now_ms)
        answer = lanes.store.claim(account, lanes.now_ms)
        if expected_ms > lanes.now_ms:
            assert answer == Wait(Why.LIMIT, expected_ms)
            lanes.clock.ms = expected_ms
            answer = lanes.store.claim(account, expected_ms)
        assert isinstance(answer, Claim)
        grants.append(Grant(lanes.now_ms, account))


many_steps = st.lists(st.tuples(steps_ms, st.integers(0, 1)), max_size=25)


@share(0.25)
@given(several_limits, many_steps)
def test_it_grants_what_the_definition_grants_and_says_exactly_when(
    some: list[Limit], steps: list[tuple[int, int]]
) -> None:
    lanes = Lanes(fake_redis())
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=tuple(some))))

    follows_the_definition(lanes, [account], steps)


@share(0.15)
@given(several_limits, many_steps)
def test_accounts_share_the_windows_of_their_ip_and_no_others(some: list[Limit], steps: list[tuple[int, int]]) -> None:
    lanes = Lanes(fake_redis())
    venue = replace(PLAIN, limits=tuple(some))
    accounts = [lanes_for(lanes, account_of(venue, name)) for name in ("one", "other")]

    follows_the_definition(lanes, accounts, steps)


@pytest.mark.redis
def test_a_real_server_grants_the_same(redis_client: object) -> None:
    lanes = Lanes(redis_client)  # type: ignore[arg-type]  # a Redis

    @share(1.5)
    @given(several_limits, many_steps)
    def same(some: list[Limit], steps: list[tuple[int, int]]) -> None:
        lanes.redis.flushall()
        lanes.clock.ms = START_MS
        venue = replace(PLAIN, limits=tuple(some))
        follows_the_definition(lanes, [lanes_for(lanes, account_of(venue, name)) for name in ("a", "b")], steps)

    same()


@share(0.3)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, LONG_MS // 2), st.integers(0, GUARD_MS)), min_size=5, max_size=40),
)
def test_clocks_that_disagree_by_less_than_the_guard_break_no_limit(units: int, steps: list[tuple[int, int]]) -> None:
    """Each worker's clock may be ahead of the true time by up to the guard."""
    lanes = Lanes(fake_redis())
    limit = Limit("calls", Scope.ACCOUNT, units, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    true_ms, sent_ms = START_MS, []
    for step_ms, ahead_ms in steps:
        true_ms += step_ms
        if isinstance(lanes.store.claim(account, true_ms + ahead_ms), Claim):
            sent_ms.append(true_ms)

    for start in sent_ms:
        assert sum(start <= at < start + LONG_MS for at in sent_ms) <= units


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


def test_a_call_that_one_limit_refuses_takes_nothing_from_the_others(lanes: Lanes) -> None:
    wide, narrow = Limit("wide", Scope.KEY, 2, 2 * LONG_MS), Limit("narrow", Scope.KEY, 1, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(wide, narrow))))
    lanes.claim()
    for _ in range(5):
        assert lanes.wait() == Wait(Why.LIMIT, START_MS + LONG_MS + GUARD_MS)

    lanes.clock.ms += LONG_MS + GUARD_MS
    lanes.claim()
    assert lanes.redis.llen(limit_key(account, wide)) == 2


def test_what_is_late_or_moot_takes_no_permission(lanes: Lanes) -> None:
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(Limit("calls", Scope.KEY, 1, 9_000_000),))))
    lanes.clock.ms += 3_600_000

    for _ in range(3):
        assert lanes.claim().kind == "late"
    assert not lanes.redis.exists(limit_key(account, account.limits[0]))


def test_a_limiter_keeps_no_more_than_its_window_and_forgets_it(lanes: Lanes) -> None:
    limit = Limit("calls", Scope.KEY, 3, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    for _ in range(9):
        lanes.claim()
        lanes.clock.ms += LONG_MS

    key = limit_key(account, limit)
    assert lanes.redis.llen(key) == 3
    assert LONG_MS < lanes.redis.pttl(key) <= 2 * (LONG_MS + GUARD_MS)


def test_a_key_is_named_without_telling_it() -> None:
    account = account_of()
    key = limit_key(account, Limit("calls", Scope.KEY, 1, 1000))

    assert account.credentials.api_key not in key
    assert key == keys.limit("plain", "calls", account.key_digest, 1000)
    assert limit_key(account, Limit("ip", Scope.IP, 1, 1000)) == keys.limit("plain", "ip", "default", 1000)
