"""The store: what is written when a chunk is settled; on fakeredis and on a real server."""

import json
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.outcomes import Status
from tasks import keys
from tasks.drain import leftover
from tasks.fold import Standing, fold
from tasks.ports import ClaimKind, Part, Settled, Settlement, Wait, Why
from tests.fakes import START_MS, account_of, refs
from tests.tasks.lanes import BOTH, Lanes, connection_of, fake_redis, share, standing
from tests.tasks.test_fold import standings

LETTERS = "abcdefgh"
OURS = Settled(held=True, ended=False)
LAST = Settled(held=True, ended=True)
NOT_OURS = Settled(held=False, ended=False)


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


def small_calls(lanes: Lanes, most: int) -> None:
    """Let the account's calls carry at most so many orders."""
    lanes.use(account_of(max_orders_per_call=most))


# Settling


def test_the_last_chunk_ends_the_batch(lanes: Lanes) -> None:
    small_calls(lanes, 4)
    lanes.put("b", *LETTERS)

    assert lanes.settle(lanes.claim()) == OURS
    lanes.sound()
    lanes.clock.ms += 9
    assert lanes.settle(lanes.claim(), Status.FILLED) == LAST

    report = lanes.client.report("b")
    assert (report["state"], report["verdict"], report["done_ms"]) == ("done", "flat", START_MS + 9)
    assert (report["calls"], report["counts"]) == (2, {"canceled": 4, "filled": 4})
    lanes.sound()


def test_each_settlement_is_an_event_and_the_last_one_is_the_end(lanes: Lanes) -> None:
    small_calls(lanes, 4)
    lanes.put("b", *LETTERS)
    for _ in range(2):
        lanes.settle(lanes.claim())

    (progress,) = lanes.events("batch.progress")
    (done,) = lanes.events("batch.done")
    assert (progress["batch_id"], progress["account"], progress["orders"]) == ("b", "main", "8")
    assert json.loads(progress["counts"]) == {"canceled": 4}
    assert (done["batch_id"], done["at_ms"], json.loads(done["counts"])) == ("b", str(START_MS), {"canceled": 8})


def test_different_outcomes_of_one_call_are_counted_each(lanes: Lanes) -> None:
    lanes.put("b", "a", "b", "c")
    claim = lanes.claim()
    known = (Status.CANCELED, Status.UNKNOWN, Status.REJECTED)

    lanes.store.settle(claim, Settlement(tuple(enumerate(standing(s, START_MS) for s in known)), 1), START_MS)

    assert lanes.statuses("b") == ["canceled", "unknown", "rejected"]
    assert lanes.client.progress("b") == {"main": {"orders": 3, "gone": 1, "live": 1, "unproven": 1}}
    lanes.sound()


def test_a_chunk_that_is_to_be_tried_again_waits_for_its_time(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    claim = lanes.claim()

    assert lanes.again(claim, claim.places, ready_ms=START_MS + 70) == OURS

    lanes.sound()
    assert lanes.wait() == Wait(Why.IDLE, START_MS + 70)
    lanes.clock.ms += 70
    second = lanes.claim()
    assert (second.chunk_id, second.attempt, second.orders) == (claim.chunk_id, 2, claim.orders)
    assert second.token > claim.token


@pytest.mark.parametrize("size", range(2, 9))
def test_halves_go_on_until_each_order_stands_alone(lanes: Lanes, size: int) -> None:
    lanes.put("b", *LETTERS[:size])
    seen: list[tuple[int, ...]] = []
    while claims := lanes.grant(1).claims:
        (claim,) = claims
        middle = (len(claim.places) + 1) // 2
        if middle == len(claim.places):
            seen.append(claim.places)
            lanes.settle(claim)
        else:
            lanes.again(claim, claim.places[:middle], claim.places[middle:])
        lanes.sound()

    assert sorted(seen) == [(place,) for place in range(size)]
    assert lanes.client.report("b")["counts"] == {"canceled": size}


def test_a_part_of_a_chunk_may_be_settled_and_the_rest_tried_again(lanes: Lanes) -> None:
    lanes.put("b", "a", "b", "c")
    claim = lanes.claim()
    known = ((0, standing(Status.CANCELED, START_MS)),)

    lanes.store.settle(claim, Settlement(known, 1, again=(Part((1, 2), START_MS),)), START_MS)

    lanes.sound()
    assert lanes.redis.hget(keys.batch("b"), "left") == "2"
    assert lanes.claim().places == (1, 2)


def test_a_stale_holder_settles_nothing_but_what_it_learned_counts(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    stale = lanes.claim()
    lanes.kill("w1")
    seized = lanes.worker("w2").seize(stale.chunk_id, START_MS)
    assert seized is not None

    assert lanes.settle(stale, Status.CANCELED) == NOT_OURS

    lanes.sound()
    report = lanes.client.report("b")
    assert (report["state"], report["counts"]) == ("running", {"canceled": 2})
    assert lanes.store.settle(seized, leftover(seized, (), START_MS), START_MS) == LAST
    assert lanes.statuses("b") == ["canceled"] * 2
    lanes.sound()


def test_a_stale_holder_cannot_bring_a_chunk_back(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    stale = lanes.claim()
    lanes.kill("w1")
    seized = lanes.worker("w2").seize(stale.chunk_id, START_MS)
    assert seized is not None
    assert lanes.again(stale, (0,), (1,)) == NOT_OURS
    lanes.settle(seized)

    assert lanes.again(stale, (0,), (1,)) == NOT_OURS
    assert lanes.wait() == Wait(Why.IDLE)
    lanes.sound()


def test_settling_twice_is_settling_once(lanes: Lanes) -> None:
    """A worker may repeat a settlement whose answer was lost."""
    small_calls(lanes, 2)
    lanes.put("b", "a", "b", "c")
    claim = lanes.claim()

    assert lanes.settle(claim) == OURS
    assert lanes.settle(claim) == NOT_OURS

    assert lanes.client.report("b")["counts"] == {"canceled": 2, "pending": 1}
    lanes.sound()


def test_a_batch_ends_no_earlier_than_its_last_outcome(lanes: Lanes) -> None:
    """Settlements of two workers overtake each other."""
    small_calls(lanes, 1)
    lanes.put("b", "a", "b")
    first, second = lanes.claim(), lanes.claim()
    lanes.clock.ms += 7
    lanes.settle(first)
    lanes.clock.ms -= 4

    assert lanes.settle(second) == LAST

    report, outcomes = lanes.client.report("b"), lanes.client.outcomes("b")
    assert report["done_ms"] == max(row["updated_ms"] for row in outcomes) == START_MS + 7


def test_giving_a_chunk_back_twice_is_giving_it_back_once(lanes: Lanes) -> None:
    lanes.put("b", "a", "b")
    claim = lanes.claim()

    assert lanes.again(claim, claim.places[:1], claim.places[1:]) == OURS
    assert lanes.again(claim, claim.places[:1], claim.places[1:]) == NOT_OURS

    lanes.sound()
    assert lanes.client.report("b")["calls"] == 1


def test_what_comes_after_the_end_still_counts(lanes: Lanes) -> None:
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.settle(claim, Status.UNKNOWN)
    assert lanes.client.report("b")["verdict"] == "unproven"

    assert lanes.settle(claim, Status.CANCELED) == NOT_OURS

    assert lanes.client.report("b")["verdict"] == "flat"
    assert len(lanes.events("batch.done")) == 1
    lanes.sound()


# Siblings and what is moot


def test_a_sibling_that_the_answer_names_is_settled_without_a_call(lanes: Lanes) -> None:
    small_calls(lanes, 1)
    lanes.put("b", "a", "b", "c")
    told = ((refs("b")[0], standing(Status.CANCELED, START_MS)), (refs("z")[0], standing(Status.CANCELED, START_MS)))

    lanes.settle(lanes.claim(), siblings=told)

    assert lanes.statuses("b") == ["canceled", "canceled", "pending"]
    lanes.sound()
    moot = lanes.claim()
    assert (moot.kind, moot.places, moot.attempt) == (ClaimKind.MOOT, (1,), 0)
    assert lanes.store.settle(moot, leftover(moot, (), START_MS), START_MS) == OURS
    assert lanes.settle(lanes.claim()) == LAST
    assert lanes.client.report("b")["calls"] == 2
    lanes.sound()


def test_a_chunk_is_sent_without_the_orders_that_are_gone(lanes: Lanes) -> None:
    small_calls(lanes, 3)
    lanes.put("b", *"abcdef")
    told = tuple((ref, standing(Status.FILLED, START_MS)) for ref in refs("d", "f"))
    lanes.settle(lanes.claim(), siblings=told)

    claim = lanes.claim()
    assert (claim.kind, claim.places, claim.orders) == (ClaimKind.SEND, (4,), refs("e"))
    lanes.again(claim, claim.places)
    lanes.sound()
    assert lanes.settle(lanes.claim()) == LAST
    assert lanes.statuses("b") == ["canceled", "canceled", "canceled", "filled", "canceled", "filled"]


def test_a_siblings_weaker_word_never_weakens_what_is_known(lanes: Lanes) -> None:
    small_calls(lanes, 1)
    lanes.put("b", "a", "b")
    lanes.settle(lanes.claim())

    lanes.settle(lanes.claim(), siblings=((refs("a")[0], standing(Status.UNKNOWN, START_MS + 9)),))

    assert lanes.statuses("b") == ["canceled", "canceled"]
    lanes.sound()


# The fold


@share(0.4)
@given(st.lists(standings, min_size=1, max_size=8))
def test_the_script_folds_like_the_function(many: list[Standing]) -> None:
    lanes = Lanes(fake_redis())
    lanes.put("b", "a", "b")
    claim = lanes.claim()
    for one in many:
        lanes.store.settle(claim, Settlement(((0, one),), again=(Part((0, 1), START_MS),)), START_MS)

    kept = lanes.redis.hget(keys.outcomes("b"), "0")

    assert kept == reduce(fold, many).text()
    lanes.sound()


@pytest.mark.redis
def test_a_real_server_folds_like_the_function(redis_client: object) -> None:
    lanes = Lanes(redis_client)  # type: ignore[arg-type]  # a Redis

    @given(st.lists(standings, min_size=1, max_size=8))
    def folds(many: list[Standing]) -> None:
        lanes.redis.flushall()
        lanes.put("b", "a", "b")
        claim = lanes.claim()
        for one in many:
            lanes.store.settle(claim, Settlement(((0, one),), again=(Part((0, 1), START_MS),)), START_MS)
        assert lanes.redis.hget(keys.outcomes("b"), "0") == reduce(fold, many).text()
        lanes.sound()

    folds()
