"""The limiter: it grants exactly what a slow definition over every window grants, and never more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Limit, Scope
from tasks import keys
from tasks.batch import Account
from tasks.ports import Claim, Grant, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.lanes import (
    BOTH,
    GUARD_MS,
    Lanes,
    connection_of,
    fake_redis,
    guarded_ms,
    held_until_ms,
    late_ms,
    share,
)
from worker.store import LATEST_MS, limit_key

# The windows are long, because the keys of the limiter expire by the server's own clock, and the test's runs faster.
LONG_MS = 50_000
CHUNKS = 60
Step = tuple[int, int, int, int | None]  # ms on, which account, how far ahead the clock is, when the call leaves

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
class Given:
    """One call that was allowed: its claim, and for when it is written down in each window."""

    claim: Claim
    account: Account
    at_ms: dict[str, int]


def used(grants: Sequence[Given], key: str, start_ms: int, end_ms: float = math.inf) -> int:
    """Count the units of the window *key* that were taken from *start_ms* up to, but not including, *end_ms*."""
    costs = ((grant.at_ms.get(key, -1), limit.cost) for grant in grants for limit in costing(grant.account, key))
    return sum(cost for at_ms, cost in costs if start_ms <= at_ms < end_ms)


def costing(account: Account, key: str) -> list[Limit]:
    return [limit for limit in account.limits if limit_key(account, limit) == key]


def allowed(grants: Sequence[Given], account: Account, now_ms: int) -> bool:
    """Say by definition whether a call keeps every limit.

    Of calls that are not settled it is not known when they left, and another worker's clock may be ahead, so that
    calls later than *now_ms* are written: this one may leave at any time between, and no window with such a time in
    it may be overdrawn.
    """
    for limit in account.limits:
        key = limit_key(account, limit)
        if used(grants, key, now_ms - guarded_ms(limit) + 1) + limit.cost > limit.units:
            return False
    return True


def earliest(grants: Sequence[Given], account: Account, now_ms: int) -> int:
    """Find the first time from *now_ms* on at which a call is allowed; that is now, or when a window lets go."""
    windows = {limit_key(account, limit): guarded_ms(limit) for limit in account.limits}
    ends = {at + windows[key] for grant in grants for key, at in grant.at_ms.items() if key in windows}
    return next(at_ms for at_ms in sorted({now_ms, *ends}) if at_ms >= now_ms and allowed(grants, account, at_ms))


def written(grants: Sequence[Given], account: Account, now_ms: int) -> dict[str, int]:
    """Say for when a call that is allowed now is written down: for as late as it may leave, and in no window earlier
    than another."""
    found = {}
    for limit in account.limits:
        key = limit_key(account, limit)
        shared = [grant.at_ms[key] for grant in grants if key in grant.at_ms]
        found[key] = max([now_ms + late_ms(limit), *shared])
    return found


def settle(lanes: Lanes, grant: Given, after_ms: int) -> None:
    """Settle a call that left *after_ms* after its permission."""
    lanes.settle(grant.claim, sent_ms=grant.claim.permitted_ms + after_ms)
    for limit in grant.account.limits:
        grant.at_ms[limit_key(grant.account, limit)] -= max(0, late_ms(limit) - after_ms)


def no_window_is_overdrawn(grants: Sequence[Given], account: Account) -> None:
    for limit in account.limits:
        key = limit_key(account, limit)
        for start_ms in {grant.at_ms[key] for grant in grants if key in grant.at_ms}:
            assert used(grants, key, start_ms, start_ms + guarded_ms(limit)) <= limit.units


def is_as_written(lanes: Lanes, grants: Sequence[Given], account: Account) -> None:
    for limit in account.limits:
        key = limit_key(account, limit)
        times = [int(text) for text in lanes.redis.lrange(key, 0, -1)]
        wanted = [grant.at_ms[key] for grant in grants for _ in range(limit.cost) if key in grant.at_ms]
        assert times == sorted(wanted, reverse=True)[: len(times)]
        assert len(times) >= min(len(wanted), 2 * limit.units)


def lanes_for(lanes: Lanes, account: Account, chunks: int = CHUNKS) -> Account:
    """Give *account* work without end, one order a call."""
    lanes.use(replace(account, max_orders_per_call=1, max_in_flight=10_000))
    lanes.put(f"b-{account.name}", *map(str, range(chunks)), deadline_s=3600)
    return lanes.account


def follows_the_definition(lanes: Lanes, accounts: Sequence[Account], steps: Sequence[Step]) -> None:
    """Claim after each step, for one account or the other, by a clock that is ahead; and compare."""
    given: list[Given] = []
    for step_ms, which, ahead_ms, after_ms in steps:
        lanes.clock.ms += step_ms
        lanes.account = account = accounts[which % len(accounts)]
        here_ms = lanes.now_ms + ahead_ms
        expected_ms = earliest(given, account, here_ms)
        if expected_ms > here_ms:
            assert lanes.store.claim(account.name, 1, here_ms) == Grant((), Wait(Why.LIMIT, expected_ms))
            lanes.clock.ms += expected_ms - here_ms
        (claim,) = lanes.store.claim(account.name, 1, expected_ms).claims
        assert claim.permitted_ms == expected_ms
        given.append(Given(claim, account, written(given, account, expected_ms)))
        is_as_written(lanes, given, account)
        if after_ms is not None:
            settle(lanes, given[-1], after_ms)
            is_as_written(lanes, given, account)
    for account in accounts:
        no_window_is_overdrawn(given, account)


ahead_ms = st.sampled_from([0, 0, 1, GUARD_MS, 3 * LONG_MS]) | st.integers(0, 2_000)
after_ms = st.none() | st.integers(0, LATEST_MS + 10)
many_steps = st.lists(st.tuples(steps_ms, st.integers(0, 1), ahead_ms, after_ms), max_size=25)


@share(0.25)
@given(several_limits, many_steps)
def test_it_grants_what_the_definition_grants_and_says_exactly_when(some: list[Limit], steps: list[Step]) -> None:
    lanes = Lanes(fake_redis())
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=tuple(some))))

    follows_the_definition(lanes, [account], steps)


@share(0.15)
@given(several_limits, many_steps)
def test_accounts_share_the_windows_of_their_ip_and_no_others(some: list[Limit], steps: list[Step]) -> None:
    lanes = Lanes(fake_redis())
    venue = replace(PLAIN, limits=tuple(some))
    accounts = [lanes_for(lanes, account_of(venue, name)) for name in ("one", "other")]

    follows_the_definition(lanes, accounts, steps)


@pytest.mark.redis
def test_a_real_server_grants_the_same(redis_client: object) -> None:
    lanes = Lanes(redis_client)  # type: ignore[arg-type]  # a Redis

    @share(1.5)
    @given(several_limits, many_steps)
    def same(some: list[Limit], steps: list[Step]) -> None:
        lanes.redis.flushall()
        lanes.clock.ms = START_MS
        venue = replace(PLAIN, limits=tuple(some))
        follows_the_definition(lanes, [lanes_for(lanes, account_of(venue, name)) for name in ("a", "b")], steps)

    same()


@share(0.3)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, LONG_MS // 2), st.integers(0, LONG_MS // 100)), min_size=5, max_size=40),
)
def test_clocks_that_disagree_by_less_than_the_guard_break_no_limit(units: int, steps: list[tuple[int, int]]) -> None:
    """Each worker's clock may be ahead of the true time by up to the guard."""
    lanes = Lanes(fake_redis())
    limit = Limit("calls", Scope.ACCOUNT, units, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    true_ms, sent_ms = START_MS, []
    for step_ms, ahead_ms in steps:
        true_ms += step_ms
        if lanes.store.claim(account.name, 1, true_ms + ahead_ms).claims:
            sent_ms.append(true_ms)

    for start in sent_ms:
        assert sum(start <= at < start + LONG_MS for at in sent_ms) <= units


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


def test_a_call_that_one_limit_refuses_takes_nothing_from_the_others(lanes: Lanes) -> None:
    wide, narrow = Limit("wide", Scope.KEY, 2, 2 * LONG_MS), Limit("narrow", Scope.KEY, 1, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(wide, narrow))))
    after_ms = held_until_ms(lanes.claim(), narrow)
    for _ in range(5):
        assert lanes.wait() == Wait(Why.LIMIT, after_ms)

    lanes.clock.ms = after_ms
    lanes.claim()
    assert lanes.redis.llen(limit_key(account, wide)) == 2


def test_what_is_late_or_moot_takes_no_permission(lanes: Lanes) -> None:
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(Limit("calls", Scope.KEY, 1, 9_000_000),))))
    lanes.clock.ms += 3_600_000

    for _ in range(3):
        assert lanes.claim().kind == "late"
    assert not lanes.redis.exists(limit_key(account, account.limits[0]))


def test_a_limiter_keeps_no_more_than_two_windows_and_forgets_them(lanes: Lanes) -> None:
    limit = Limit("calls", Scope.KEY, 3, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    for _ in range(9):
        lanes.claim()
        lanes.clock.ms += 2 * guarded_ms(limit)

    key = limit_key(account, limit)
    assert lanes.redis.llen(key) == 6
    assert LONG_MS < lanes.redis.pttl(key) <= 2 * guarded_ms(limit) + late_ms(limit)


def test_a_call_that_is_written_for_later_is_remembered_for_longer(lanes: Lanes) -> None:
    """Another worker, whose clock is ahead, has written a call in a window of their IP."""
    ahead_ms = 5_000
    limit = Limit("weight", Scope.IP, 10, 1_000)
    other, own = account_of(PLAIN, "other", limits=(limit,)), account_of(PLAIN, limits=(limit,))
    lanes.use(other)
    lanes.put("a", "x")
    assert lanes.store.claim("other", 1, lanes.now_ms + ahead_ms).claims
    lanes.use(own)
    lanes.put("b", "x")
    seconds, micros = lanes.redis.time()

    lanes.claim()

    lasts_ms = int(lanes.redis.pexpiretime(limit_key(own, limit))) - (seconds * 1000 + micros // 1000)
    assert lasts_ms >= ahead_ms + guarded_ms(limit)


@pytest.mark.parametrize("others", [0, 3])
def test_a_call_counts_from_when_it_left_once_that_is_known(lanes: Lanes, others: int) -> None:
    limit = Limit("weight", Scope.KEY, 10, LONG_MS, cost=2)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    claims = [lanes.claim() for _ in range(1 + others)]
    latest_ms = START_MS + late_ms(limit)
    lanes.clock.ms += 200

    assert lanes.settle(claims[0], sent_ms=START_MS + 7).held

    times = [int(text) for text in lanes.redis.lrange(limit_key(account, limit), 0, -1)]
    assert times == [latest_ms] * 2 * others + [START_MS + 7] * 2
    assert lanes.redis.pttl(limit_key(account, limit)) > LONG_MS


@pytest.mark.parametrize(("before", "later"), [(1, 18), (1, 19), (1, 20), (0, 20), (0, 60), (1, 97), (0, 98)])
def test_it_is_found_among_many_that_were_permitted_later(lanes: Lanes, before: int, later: int) -> None:
    limit = Limit("calls", Scope.KEY, 200, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))), chunks=120)
    for _ in range(before):
        lanes.settle(lanes.claim())
    lanes.clock.ms += 10
    claim = lanes.claim()
    lanes.clock.ms += 100
    assert len(lanes.grant(later).claims) == later

    lanes.settle(claim, sent_ms=claim.permitted_ms + 1)

    times = [int(text) for text in lanes.redis.lrange(limit_key(account, limit), 0, -1)]
    assert times == [START_MS + 160] * later + [START_MS + 11] + [START_MS] * before


def test_one_that_belongs_far_behind_stays_at_its_latest(lanes: Lanes) -> None:
    limit = Limit("calls", Scope.KEY, 300, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))), chunks=200)
    claim = lanes.claim()
    lanes.clock.ms += 100
    lanes.grant(150)

    lanes.settle(claim, sent_ms=claim.permitted_ms + 1)

    times = [int(text) for text in lanes.redis.lrange(limit_key(account, limit), 0, -1)]
    assert times == [START_MS + 150] * 150 + [START_MS + 50]


@pytest.mark.parametrize("change", ["not sent", "seized", "forgotten", "sent at the last moment"])
def test_a_call_counts_for_as_late_as_it_may_have_left_where_that_is_not_known(lanes: Lanes, change: str) -> None:
    limit = Limit("weight", Scope.KEY, 10, LONG_MS)
    account = lanes_for(lanes, account_of(replace(PLAIN, limits=(limit,))))
    key, claim = limit_key(account, limit), lanes.claim()
    latest_ms = START_MS + late_ms(limit)
    lanes.clock.ms += 200
    if change == "seized":
        lanes.kill("w1")
        assert lanes.worker("w2").seize(claim.chunk_id, lanes.now_ms) is not None
    if change == "forgotten":
        lanes.redis.delete(key)

    lanes.settle(claim, sent_ms={"not sent": 0, "sent at the last moment": latest_ms + 3}.get(change, START_MS + 1))

    assert lanes.redis.lrange(key, 0, -1) == ([] if change == "forgotten" else [str(latest_ms)])


def test_a_key_is_named_without_telling_it() -> None:
    account = account_of()
    key = limit_key(account, Limit("calls", Scope.KEY, 1, 1000))

    assert account.credentials.api_key not in key
    assert key == keys.limit("plain", "calls", account.key_digest, 1000)
    assert limit_key(account, Limit("ip", Scope.IP, 1, 1000)) == keys.limit("plain", "ip", "default", 1000)


@pytest.mark.parametrize(("units", "per_ms", "share"), [(30, 1_000, 0.97), (3, 100, 0.97), (45, 60_000, 0.97)])
def test_calls_that_always_wait_are_granted_at_the_rate_of_the_widened_window(
    units: int, per_ms: int, share: float
) -> None:
    """Bursts that use up a window at once, and calls that take 50 ms, lose nothing of it."""
    lanes = Lanes(fake_redis())
    limit = Limit("calls", Scope.KEY, units, per_ms)
    lanes.use(account_of(replace(PLAIN, limits=(limit,)), max_orders_per_call=1, max_in_flight=16))
    windows = 20 if units < 40 else 4
    lanes.put("b", *map(str, range(units * windows)), deadline_s=3600)
    flights: list[tuple[int, Claim]] = []
    left_ms: list[int] = []
    while len(left_ms) < units * windows:
        grant = lanes.grant(16)
        flights += [(lanes.now_ms + 50, claim) for claim in grant.claims]
        left_ms += [lanes.now_ms] * len(grant.claims)
        lanes.clock.ms = min([at_ms for at_ms, _ in flights] + [grant.wait.until_ms or math.inf])  # type: ignore[assignment]
        for _, claim in [flight for flight in flights if flight[0] <= lanes.now_ms]:
            lanes.settle(claim)
        flights = [flight for flight in flights if flight[0] > lanes.now_ms]

    ideal_ms = (windows - 1) * guarded_ms(limit)
    assert ideal_ms / (left_ms[-1] - left_ms[0]) >= share
