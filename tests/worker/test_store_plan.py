"""The store: taking batches in and writing their plans, each slice once; on fakeredis and on a real server."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Batch, Priority
from tasks.errors import DocumentRefused
from tasks.ports import Settled, Wait, Why
from tests.fakes import START_MS, account_of
from tests.tasks.lanes import BOTH, Killed, Lanes, connection_of, dying_after, interrupted, orders_of
from worker import store as store_module

LETTERS = tuple("abcdefghijklmnopqrst")


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


# Taking in


def test_a_new_batch_is_written_down_once_and_then_known(lanes: Lanes) -> None:
    batch = Batch("b", orders_of(lanes.account, "a"), reason="drill")

    assert lanes.client.accept(batch, "b", "{}") is False
    lanes.clock.ms += 5
    assert lanes.client.accept(batch, "b", "{}") is True

    assert lanes.redis.xlen(keys.INBOX) == 1
    assert len(lanes.events("batch.accepted")) == 1
    report = lanes.client.report("b")
    assert (report["state"], report["submitted_ms"], report["reason"]) == ("accepted", START_MS, "drill")


def test_the_same_id_with_other_content_is_refused_and_changes_nothing(lanes: Lanes) -> None:
    batch = lanes.put("b", "a", "c")
    before = lanes.redis.hgetall(keys.batch("b"))

    with pytest.raises(DocumentRefused, match="known with other content") as caught:
        lanes.client.accept(replace(batch, deadline_s=61), "b", "")
    lanes.client.record_refusal(caught.value)

    assert lanes.redis.hgetall(keys.batch("b")) == before
    (event,) = lanes.events("batch.refused")
    assert event["batch_id"] == "b"
    lanes.sound()


def test_a_refused_batch_frees_its_id(lanes: Lanes) -> None:
    lanes.client.record_refusal(DocumentRefused(["because"], "b"))
    assert lanes.client.report("b")["errors"] == ["because"]

    lanes.put("b", "a")

    report = lanes.client.report("b")
    assert (report["state"], report["errors"], report["orders"]) == ("accepted", [], 1)
    lanes.sound()


def test_a_refusal_never_touches_a_batch_that_is_at_work(lanes: Lanes) -> None:
    batch = lanes.put("b", "a")

    lanes.client.record_refusal(DocumentRefused(["because"], "b"), batch.digest)

    assert lanes.client.report("b")["state"] == "accepted"
    lanes.settle(lanes.claim())
    assert lanes.client.report("b")["state"] == "done"


def test_a_batch_that_was_taken_in_can_still_be_refused_by_the_worker_that_plans_it(lanes: Lanes) -> None:
    batch = Batch("b", orders_of(lanes.account, "a"))
    lanes.accept(batch)

    lanes.client.record_refusal(DocumentRefused(["account 'main' is not configured"], "b"), batch.digest)

    assert lanes.client.report("b")["state"] == "refused"


def test_a_plan_is_written_whole(lanes: Lanes) -> None:
    lanes.put("b", *LETTERS, "bad", "a")

    assert lanes.statuses("b") == ["pending"] * 20 + ["invalid"]
    report = lanes.client.report("b")
    assert (report["orders"], report["counts"]) == (21, {"invalid": 1, "pending": 20})
    assert lanes.client.progress("b") == {"main": {"orders": 21, "gone": 0, "live": 1, "unproven": 20}}
    lanes.sound()


def test_a_batch_of_nothing_but_invalid_references_is_done_at_once(lanes: Lanes) -> None:
    lanes.put("b", "bad1", "bad2")

    report = lanes.client.report("b")
    assert (report["state"], report["verdict"], report["counts"]) == ("done", "not_flat", {"invalid": 2})
    assert len(lanes.events("batch.done")) == 1
    lanes.sound()


# Writing in slices


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SLICE", 4)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("slices", range(6))
def test_a_plan_that_was_interrupted_is_finished_by_another(lanes: Lanes, slices: int) -> None:
    lanes.use(account_of(max_orders_per_call=2))
    batch = Batch("b", orders_of(lanes.account, *LETTERS, "bad"))
    lanes.accept(batch)
    with pytest.raises(Killed):
        lanes.enqueue(batch, dying_after(lanes, slices))
    lanes.sound()

    lanes.clock.ms += 1_000
    lanes.enqueue(batch)
    lanes.enqueue(batch)

    assert lanes.client.report("b")["counts"] == {"invalid": 1, "pending": 20}
    assert lanes.redis.zcard(keys.lane("main", Priority.RISK)) == 10
    lanes.sound()


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("slices", range(5))
def test_two_workers_that_write_the_same_plan_write_it_once(lanes: Lanes, slices: int) -> None:
    """As when the entry of a slow reader is taken over, and the reader goes on."""
    lanes.use(account_of(max_orders_per_call=4))
    batch = Batch("b", orders_of(lanes.account, *LETTERS))
    lanes.accept(batch)

    lanes.enqueue(batch, interrupted(lanes, slices, then=lambda: lanes.enqueue(batch)))

    places = sorted(place for _ in range(5) for place in lanes.claim().places)
    assert places == list(range(20))
    assert lanes.wait() == Wait(Why.IDLE)
    lanes.sound()


@pytest.mark.usefixtures("small_slices")
def test_many_workers_at_once_write_a_plan_once(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=1))
    batch = Batch("b", orders_of(lanes.account, *map(str, range(200))))
    lanes.accept(batch)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: lanes.enqueue(batch, lanes.worker(name)), "1234"))

    assert lanes.redis.zcard(keys.lane("main", Priority.RISK)) == 200
    lanes.sound()


@pytest.mark.usefixtures("small_slices")
def test_what_is_written_can_be_worked_on_before_the_rest_is(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=4))
    batch = Batch("b", orders_of(lanes.account, *LETTERS))
    lanes.accept(batch)
    with pytest.raises(Killed):
        lanes.enqueue(batch, dying_after(lanes, 1))

    assert lanes.settle(lanes.claim()) == Settled(held=True, ended=False)
    assert lanes.client.report("b")["state"] == "running"
    lanes.sound()
    lanes.enqueue(batch)
    for _ in range(4):
        assert lanes.client.report("b")["state"] == "running"
        lanes.settle(lanes.claim())

    assert lanes.client.report("b")["counts"] == {"canceled": 20}
    assert lanes.client.report("b")["state"] == "done"
    lanes.sound()


@pytest.mark.usefixtures("small_slices")
def test_halving_while_the_rest_of_the_plan_is_still_being_written_loses_no_order(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=4))
    batch = Batch("b", orders_of(lanes.account, *"abcdefgh"))
    lanes.accept(batch)
    with pytest.raises(Killed):
        lanes.enqueue(batch, dying_after(lanes, 1))
    claim = lanes.claim()
    lanes.again(claim, claim.places[:2], claim.places[2:])
    lanes.sound()

    lanes.enqueue(batch)

    lanes.sound()
    assert sorted(place for _ in range(3) for place in lanes.claim().places) == list(range(8))


@pytest.mark.parametrize("part", ["orders", "outcomes", "names", "chunks", "awaiting"])
def test_a_batch_id_cannot_name_a_part_of_another_batch(lanes: Lanes, part: str) -> None:
    lanes.put("b", "a", "b")
    lanes.settle(lanes.claim(), Status.UNKNOWN)
    lanes.put("b2", "a", "b")

    lanes.put(f"b:{part}", "c")
    lanes.put(f"b2:{part}", "c")

    assert lanes.statuses("b") == ["unknown"] * 2
    assert lanes.statuses("b2") == ["pending"] * 2
    lanes.sound()
