"""The store: settling and claiming in one go, answers that are lost, and chunks that are given back unsent."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from connectors.calls import Limit, Scope
from connectors.outcomes import Status
from tasks import keys
from tasks.drain import leftover
from tasks.ports import Claim, ClaimKind, Grant, Next, Part, Settled, Settlement, Wait, Why
from tests.fakes import START_MS, account_of, refs
from tests.tasks.book import READABLE
from tests.tasks.lane_model import losing
from tests.tasks.lanes import BOTH, Lanes, connection_of, standing
from worker.store import RedisStore, limit_key

LONG_MS = 50_000
LIMIT = Limit("weight", Scope.KEY, 6, LONG_MS, cost=2)
PLAIN_B = refs("b")[0]
OURS, LAST, NOT_OURS = Settled(held=True, ended=False), Settled(held=True, ended=True), Settled(held=False, ended=False)


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request), account_of(max_orders_per_call=1))


def canceled(lanes: Lanes, claim: Claim) -> Settlement:
    return Settlement(tuple((place, standing(Status.CANCELED, lanes.now_ms)) for place in claim.places), 1)


def turn(lanes: Lanes, claim: Claim) -> tuple[Settled, Grant]:
    (settled,), grant = lanes.store.turn(claim.account, [(claim, canceled(lanes, claim))], 1, lanes.now_ms)
    return settled, grant


def chunks_in_flight(lanes: Lanes) -> list[str]:
    found: Any = lanes.redis.zrange(keys.flights("main"), 0, -1)
    return list(found)


def units_used(lanes: Lanes) -> int:
    return int(lanes.redis.llen(limit_key(lanes.account, lanes.account.limits[0])))


# Turns


def test_a_turn_settles_one_chunk_and_claims_the_next(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")

    settled, grant = turn(lanes, lanes.claim())

    assert settled == OURS
    (claim,) = grant.claims
    assert (claim.places, claim.kind, grant.wait) == ((1,), ClaimKind.SEND, Wait(Why.MORE))
    assert lanes.statuses("b") == ["canceled", "pending"]
    lanes.sound()
    assert turn(lanes, claim) == (LAST, Grant((), Wait(Why.IDLE)))
    assert lanes.client.report("b")["calls"] == 2
    lanes.sound()


def test_a_turn_settles_several_chunks_and_claims_as_many_as_are_asked_for(lanes: Lanes) -> None:
    lanes.put("b", *"abcdef")
    claims = lanes.grant(3).claims
    answers = [(claim, canceled(lanes, claim)) for claim in (*claims, claims[0])]

    settled, grant = lanes.store.turn("main", answers, 2, lanes.now_ms)

    assert settled == [OURS, OURS, OURS, NOT_OURS]
    assert ([claim.places for claim in grant.claims], grant.wait) == ([(3,), (4,)], Wait(Why.MORE))
    assert lanes.client.report("b")["calls"] == 3
    lanes.sound()
    rest = [(claim, canceled(lanes, claim)) for claim in (*grant.claims, lanes.claim())]
    assert lanes.store.turn("main", rest, 0, lanes.now_ms) == ([OURS, OURS, LAST], Grant((), Wait(Why.MORE)))
    lanes.sound()


@pytest.mark.parametrize("carried_out", [True, False])
def test_where_redis_fails_at_a_turn_all_its_answers_are_settled_by_one_patient_command(
    lanes: Lanes, carried_out: bool
) -> None:
    """One by one, each would have the whole of the patience, one after the other."""
    lanes.put("b", *"abc")
    claims = lanes.grant(3).claims
    settle, tried = lanes.store._settle, []

    def counted(**arguments: Any) -> Any:
        tried.append(arguments["args"][0])
        return settle(**arguments)

    lanes.store._settle = counted
    with losing(lanes.store, "_turn", print, carried_out=carried_out):
        settled, grant = lanes.store.turn("main", [(one, canceled(lanes, one)) for one in claims], 1, lanes.now_ms)

    assert (tried, grant) == ([3], Grant((), Wait(Why.MORE)))
    assert settled == ([NOT_OURS] * 3 if carried_out else [OURS, OURS, LAST])
    assert lanes.statuses("b") == ["canceled"] * 3
    assert lanes.client.report("b")["calls"] == 3


def test_an_answer_that_redis_does_not_take_leaves_the_others_alone(lanes: Lanes) -> None:
    lanes.put("b", *"abc")
    claims = lanes.grant(3).claims
    settle = lanes.store._settle

    def refuses_the_second(**arguments: Any) -> Any:
        if claims[1].chunk_id in arguments["args"]:
            raise redis.ResponseError
        return settle(**arguments)

    lanes.store._settle = refuses_the_second
    with losing(lanes.store, "_turn", print, carried_out=False), pytest.raises(redis.ResponseError):
        lanes.store.turn("main", [(claim, canceled(lanes, claim)) for claim in claims], 1, lanes.now_ms)

    assert lanes.statuses("b") == ["canceled", "pending", "canceled"]
    assert chunks_in_flight(lanes) == [claims[1].chunk_id]


def test_the_place_of_what_is_settled_is_free_for_what_is_claimed(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=1, max_in_flight=1))
    lanes.put("b", "a", "b")

    _, grant = turn(lanes, lanes.claim())

    assert [claim.places for claim in grant.claims] == [(1,)]


def test_a_turn_of_a_chunk_that_is_no_longer_ours_still_claims(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    claim = lanes.claim()
    lanes.kill("w1")
    assert lanes.worker("w2").seize(claim.chunk_id, START_MS) is not None

    settled, grant = turn(lanes, claim)

    assert settled == NOT_OURS
    assert [claim.places for claim in grant.claims] == [(1,)]
    assert lanes.statuses("b") == ["canceled", "pending"]
    lanes.sound()


@pytest.mark.parametrize("carried_out", [True, False])
def test_where_redis_fails_at_a_turn_what_was_learned_is_settled_and_what_was_claimed_is_given_back(
    lanes: Lanes, carried_out: bool
) -> None:
    lanes.put("b", "a", "b")
    claim = lanes.claim()
    lost: list[Any] = []

    with losing(lanes.store, "_turn", lost.append, carried_out=carried_out):
        settled, grant = turn(lanes, claim)

    assert settled == (NOT_OURS if carried_out else OURS)
    assert grant == Grant((), Wait(Why.MORE))
    assert lanes.statuses("b") == ["canceled", "pending"]
    assert lanes.client.report("b")["calls"] == 1, "it was one call, however often it is settled"
    assert len(chunks_in_flight(lanes)) == carried_out
    again = lanes.claim()
    assert (again.places, again.attempt) == ((1,), 1)
    lanes.sound()


def test_where_redis_stays_away_a_turn_says_so(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()

    with (
        losing(lanes.store, "_turn", print),
        losing(lanes.store, "_settle", print, carried_out=False),
        pytest.raises(redis.ConnectionError),
    ):
        turn(lanes, claim)


# Lost answers


def lose(store: RedisStore, lanes: Lanes, most: int) -> None:
    with losing(store, "_claim", lambda answer: None), pytest.raises(redis.ConnectionError):
        store.claim("main", most, lanes.now_ms)


def test_what_was_claimed_for_an_answer_that_got_lost_is_taken_back_at_the_next_claim(lanes: Lanes) -> None:
    lanes.use(account_of(lanes.account.venue, max_orders_per_call=1, limits=(LIMIT,)))
    lanes.put("b", *"abcde")
    lose(lanes.store, lanes, 3)
    assert (len(chunks_in_flight(lanes)), units_used(lanes)) == (3, 6)

    grant = lanes.grant(5)

    assert [claim.attempt for claim in grant.claims] == [1, 1, 1]
    assert len({claim.places for claim in grant.claims}) == 3
    assert (len(chunks_in_flight(lanes)), units_used(lanes)) == (3, 6)
    lanes.sound()


def test_it_is_taken_back_by_a_claim_for_another_account(lanes: Lanes) -> None:
    lanes.use(lanes.account, account_of(name="other"))
    lanes.put("b", "a")
    lose(lanes.store, lanes, 1)

    assert lanes.store.claim("other", 1, lanes.now_ms).claims == ()

    assert chunks_in_flight(lanes) == []
    lanes.sound()


def test_it_is_taken_back_once_and_what_others_have_stays_with_them(lanes: Lanes) -> None:
    lanes.put("b", *"abc")
    ours, theirs = lanes.claim(), lanes.claim(lanes.worker("w2"))
    lose(lanes.store, lanes, 1)

    first = lanes.claim()
    assert lanes.grant(5).claims == ()

    assert len({claim.chunk_id for claim in (ours, theirs, first)}) == 3
    assert [lanes.settle(claim).held for claim in (ours, theirs, first)] == [True] * 3
    assert lanes.client.report("b")["state"] == "done"


def test_it_is_taken_back_when_redis_is_there_again(lanes: Lanes) -> None:
    lanes.put("b", "a")
    lose(lanes.store, lanes, 1)
    with losing(lanes.store, "_release", print, carried_out=False), pytest.raises(redis.ConnectionError):
        lanes.claim()
    assert len(chunks_in_flight(lanes)) == 1

    assert lanes.claim().attempt == 1


def test_of_two_threads_that_take_it_back_none_fails(lanes: Lanes) -> None:
    class Raced(list[tuple[str, str, str]]):
        def __len__(self) -> int:
            there = super().__len__()
            self.clear()  # the other thread has just given back the last one
            return there

    lanes.put("b", "a")
    lanes.store._lost = Raced([("main", "", "w1#0")])

    assert lanes.claim().places == (0,)


def test_a_claim_that_never_came_to_redis_takes_nothing_back(lanes: Lanes) -> None:
    lanes.put("b", "a")
    with losing(lanes.store, "_claim", print, carried_out=False), pytest.raises(redis.ConnectionError):
        lanes.claim()

    assert lanes.claim().attempt == 1
    lanes.sound()


def test_what_the_watch_has_taken_over_meanwhile_is_not_taken_back_from_it(lanes: Lanes) -> None:
    lanes.put("b", "a")
    lose(lanes.store, lanes, 1)
    (chunk_id,) = chunks_in_flight(lanes)
    lanes.kill("w1")
    seized = lanes.worker("w2").seize(chunk_id, START_MS)
    assert seized is not None

    assert lanes.grant(1).claims == ()

    assert lanes.store.settle(seized, leftover(seized, (), START_MS), START_MS) == LAST


# Giving back


def test_what_is_given_back_takes_its_permission_and_its_attempt_with_it(lanes: Lanes) -> None:
    lanes.use(account_of(lanes.account.venue, max_orders_per_call=1, limits=(LIMIT,)))
    lanes.put("b", *"abcd", deadline_s=3600)
    first, second, third = lanes.grant(3).claims
    assert lanes.wait().why is Why.LIMIT

    lanes.store.release(second, lanes.now_ms)

    lanes.sound()
    assert units_used(lanes) == 4
    claims = [lanes.claim()]
    assert lanes.wait().why is Why.LIMIT
    for claim in (first, third):
        lanes.settle(claim)
    lanes.clock.ms += 2 * LONG_MS
    claims += lanes.grant(2).claims
    assert sorted((claim.places, claim.attempt) for claim in claims) == [((1,), 1), ((3,), 1)]
    assert lanes.client.report("b")["calls"] == 2
    assert lanes.statuses("b") == ["canceled", "pending", "canceled", "pending"]


def test_a_permission_of_the_same_time_that_another_call_has_stays(lanes: Lanes) -> None:
    lanes.use(account_of(lanes.account.venue, max_orders_per_call=1, limits=(LIMIT,)))
    lanes.put("b", *"abcd")
    for claim in lanes.grant(2).claims:
        lanes.store.release(claim, lanes.now_ms)
    assert units_used(lanes) == 0

    assert len(lanes.grant(4).claims) == 3


def test_who_gave_a_chunk_back_settles_it_no_more(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.store.release(claim, lanes.now_ms)

    assert lanes.settle(claim) == NOT_OURS

    assert lanes.client.report("b")["state"] == "running"
    lanes.sound()
    lanes.store.release(claim, lanes.now_ms)
    again = lanes.claim()
    assert (again.kind, again.token > claim.token + 1) == (ClaimKind.MOOT, True), "what it learned counts"


def test_what_another_holds_by_now_is_not_given_back(lanes: Lanes) -> None:
    lanes.use(account_of(lanes.account.venue, max_orders_per_call=1, limits=(LIMIT,)))
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.kill("w1")
    seized = lanes.worker("w2").seize(claim.chunk_id, START_MS)
    assert seized is not None

    lanes.store.release(claim, lanes.now_ms)

    assert (chunks_in_flight(lanes), units_used(lanes)) == ([claim.chunk_id], 2)
    assert lanes.settle(seized) == LAST


@pytest.mark.parametrize("kind", [ClaimKind.LATE, ClaimKind.MOOT])
def test_what_had_no_permission_is_given_back_without_one(lanes: Lanes, kind: ClaimKind) -> None:
    lanes.use(account_of(lanes.account.venue, max_orders_per_call=1, limits=(LIMIT,)))
    lanes.put("b", "a", "b")
    told = ((PLAIN_B, standing(Status.CANCELED, START_MS)),) if kind is ClaimKind.MOOT else ()
    lanes.settle(lanes.claim(), siblings=told)
    lanes.clock.ms += 60_000 if kind is ClaimKind.LATE else 0
    claim = lanes.claim()
    assert claim.kind is kind

    lanes.store.release(claim, lanes.now_ms)

    assert units_used(lanes) == 2
    again = lanes.claim()
    assert (again.kind, again.attempt) == (kind, 0)


# Tokens


@pytest.mark.parametrize("later_ms", [1_000, -1])
@pytest.mark.parametrize("token", [None, "7"])
def test_a_token_grows_though_redis_has_lost_its_last_second(lanes: Lanes, token: str | None, later_ms: int) -> None:
    """Also for a command that was under way since before the restart."""
    lanes.put("b", *"abcd")
    stale = lanes.grant(3).claims
    lanes.redis.delete(keys.account("main"))
    if token is not None:
        lanes.redis.hset(keys.account("main"), "token", token)
    lanes.clock.ms += later_ms
    lanes.put("c", *"efgh")

    assert lanes.claim().token > max(claim.token for claim in stale)


def test_tokens_grow_within_a_millisecond_and_when_the_clock_is_set_back(lanes: Lanes) -> None:
    lanes.put("b", *"abcd")
    tokens = [claim.token for claim in lanes.grant(2).claims]
    lanes.clock.ms -= 5_000
    lanes.put("c", *"efgh")
    tokens += [claim.token for claim in lanes.grant(3).claims]
    assert len(tokens) == 5

    assert tokens == sorted(set(tokens))


# Reads


def to_be_read(lanes: Lanes) -> Claim:
    """Give the claim of a query for an order that the venue has accepted to cancel."""
    lanes.put("b", "a", prove=True)
    claim = lanes.claim()
    accepted = ((0, standing(Status.ACCEPTED, START_MS)),)
    lanes.store.settle(claim, Settlement(accepted, 1, again=(Part((0,), START_MS, Next.READ),)), START_MS)
    query = lanes.claim()
    assert query.kind is ClaimKind.QUERY
    return query


@pytest.mark.parametrize("known", ["given back", "lost"])
def test_a_query_that_was_not_sent_is_a_query_again_and_no_cancel(lanes: Lanes, known: str) -> None:
    """An order that the venue has accepted to cancel is canceled again only when it is shown open."""
    query = to_be_read(lanes)
    lanes.store.release(query, lanes.now_ms)
    lanes.sound()
    if known == "lost":
        lose(lanes.store, lanes, 1)

    again = lanes.claim()

    assert (again.kind, again.places, again.orders) == (ClaimKind.QUERY, query.places, query.orders)
    lanes.sound()
    assert lanes.settle(query) == NOT_OURS
    assert lanes.settle(again) == LAST
    lanes.sound()


def test_a_query_that_was_not_sent_gives_its_own_permission_back(lanes: Lanes) -> None:
    """It was taken of other limits than a cancel's, and of one that they share another number of units."""
    own, shared = Limit("reads", Scope.ACCOUNT, 9, LONG_MS, cost=3), replace(LIMIT, cost=1)
    queries = tuple(replace(one, limits=(own, shared)) for one in READABLE.queries)
    lanes.use(account_of(replace(READABLE, limits=(LIMIT,), queries=queries), max_orders_per_call=1))
    query = to_be_read(lanes)
    windows = [limit_key(lanes.account, limit) for limit in (own, shared)]
    assert [lanes.redis.llen(window) for window in windows] == [3, 3]

    lanes.store.release(query, lanes.now_ms)

    assert [lanes.redis.llen(window) for window in windows] == [0, 2]


def test_a_listing_that_was_not_made_is_no_cancel(lanes: Lanes) -> None:
    query = to_be_read(lanes)
    lanes.store.settle(query, Settlement((), again=(Part((0,), START_MS, Next.LISTING),)), START_MS)
    claim = lanes.claim()
    assert claim.kind is ClaimKind.LIST

    lanes.store.release(claim, lanes.now_ms)

    lanes.sound()
    assert lanes.claim().kind in {ClaimKind.QUERY, ClaimKind.LIST}
    assert lanes.client.report("b")["state"] == "running"
