"""A Redis that is full: what is at work goes on, and what is new is refused whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis

from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Batch
from tasks.drain import DEADLY
from tasks.errors import DocumentRefused, Unreachable
from tasks.ports import ClaimKind, Next, Part, Settled, Settlement
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.lanes import Lanes, orders_of, standing
from tests.worker.test_watch import Tower
from worker import store as store_module
from worker.store import WRITING_MS

pytestmark = pytest.mark.redis

LAST = Settled(held=True, ended=True)


@pytest.fixture
def lanes(redis_client: redis.Redis) -> Iterator[Lanes]:
    yield Lanes(redis_client, account_of(max_orders_per_call=1))
    redis_client.config_set("maxmemory", 0)


@contextmanager
def full(lanes: Lanes) -> Iterator[None]:
    """Let Redis have no room."""
    lanes.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.OutOfMemoryError):
        lanes.redis.set("anything", "1")
    yield
    lanes.redis.config_set("maxmemory", 0)


def everything(lanes: Lanes) -> dict[str, Any]:
    """Give all that is stored."""
    read: dict[str, Callable[[str], Any]] = {
        "string": lanes.redis.get,
        "hash": lanes.redis.hgetall,
        "set": lanes.redis.smembers,
        "list": lambda key: lanes.redis.lrange(key, 0, -1),
        "zset": lambda key: lanes.redis.zrange(key, 0, -1, withscores=True),
        "stream": lanes.redis.xrange,
    }
    return {key: read[str(lanes.redis.type(key))](key) for key in sorted(lanes.redis.scan_iter())}


# What is at work goes on


def test_claims_settlements_and_turns_go_on_to_the_end_of_a_batch(lanes: Lanes) -> None:
    lanes.put("b", *"abcd")
    with full(lanes):
        first, second = lanes.grant(2).claims
        lanes.store.release(second, START_MS)
        lanes.again(first, first.places)
        claim = lanes.claim()
        settlement = Settlement(((0, standing(Status.CANCELED, START_MS)),), 1)
        settled, grant = lanes.store.turn("main", [(claim, settlement)], 1, START_MS)
        assert settled == [Settled(held=True, ended=False)]
        assert grant.claims, "one command did both"
        ends = [lanes.settle(claim) for claim in (*grant.claims, *lanes.grant(4).claims)]

    assert ends[-1] == LAST
    report = lanes.client.report("b")
    assert (report["state"], report["counts"], report["calls"]) == ("done", {"canceled": 4}, 5)
    assert lanes.events("batch.done")
    lanes.sound()


def test_halves_reads_and_orders_that_others_wait_for_go_on(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=4))
    lanes.put("b", *"abcd", prove=True)
    with full(lanes):
        claim = lanes.claim()
        read = (Part((0, 1), START_MS, Next.READ), Part((2,), START_MS), Part((3,), START_MS))
        accepted = tuple((place, standing(Status.ACCEPTED, START_MS)) for place in (0, 1))
        lanes.store.settle(claim, Settlement(accepted, 1, again=read), START_MS)
        claims = lanes.grant(9).claims
        assert sorted(claim.kind for claim in claims) == [ClaimKind.QUERY, ClaimKind.SEND, ClaimKind.SEND]
        assert [lanes.settle(claim) for claim in claims][-1] == LAST
    lanes.sound()


def test_pauses_begin_and_end(lanes: Lanes) -> None:
    with full(lanes):
        assert lanes.pause(500) == START_MS + 500
        assert lanes.client.pauses(["main"])
        assert lanes.store.resume(keys.pause("account", "main"), START_MS + 500) == "main"
    assert [len(lanes.events(f"account.{what}")) for what in ("paused", "resumed")] == [1, 1]


def test_the_watch_recovers_what_the_dead_held_and_ends_what_is_late(lanes: Lanes) -> None:
    lanes.use(account_of(replace(PLAIN, resend_safe=frozenset()), max_orders_per_call=1))
    tower = Tower(lanes)
    assert tower.watch.holds()
    lanes.put("held", "a")
    lanes.put("late", "b", deadline_s=1)
    lanes.claim()
    lanes.kill("w1")
    lanes.clock.ms += 1_000
    with full(lanes):
        assert tower.watch.holds(), "who has the watch keeps it"
        tower.watch.tick()

    assert sorted(tower.ended) == ["held", "late"]
    assert [lanes.statuses(name) for name in ("held", "late")] == [["unknown"], ["not_sent"]]
    lanes.sound()


def test_an_order_that_kills_workers_ends_though_its_event_cannot_be_told(lanes: Lanes) -> None:
    tower = Tower(lanes)
    lanes.put("b", "a")
    for number in range(DEADLY):
        lanes.claim(lanes.worker(f"dying-{number}"))
        lanes.kill(f"dying-{number}")
        if number < DEADLY - 1:
            tower.watch.tick()
    with full(lanes), pytest.raises(redis.OutOfMemoryError):
        tower.watch.tick()

    assert lanes.statuses("b") == ["unknown"]
    assert lanes.client.report("b")["state"] == "done"
    assert tower.log.named("chunk.poison")


def test_a_plan_that_was_never_written_to_the_end_is_given_up(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SLICE", 1)
    half_written(lanes)
    (claim,) = lanes.grant(1).claims
    lanes.settle(claim)
    lanes.clock.ms += 60_000 + WRITING_MS
    with full(lanes):
        assert lanes.store.abandon("b", lanes.now_ms)

    assert lanes.client.report("b")["counts"] == {"canceled": 1, "not_sent": 2}
    lanes.sound()


# What is new is refused whole


def test_a_batch_is_not_taken_in_and_nothing_of_it_is_written(lanes: Lanes) -> None:
    lanes.put("before", "a")
    stored = everything(lanes)
    with full(lanes), pytest.raises(Unreachable, match=r"Redis refuses to serve: .*maxmemory") as caught:
        lanes.client.submit({"version": 1, "batch_id": "b", "account": "main", "orders": [{"order_id": "a"}]})

    assert "script" not in str(caught.value)
    assert everything(lanes) == stored
    lanes.client.submit({"version": 1, "batch_id": "b", "account": "main", "orders": [{"order_id": "a"}]})
    assert lanes.client.report("b")["state"] == "accepted"


def test_a_batch_in_place_of_a_refused_one_is_not_taken_in_and_the_refusal_stays(lanes: Lanes) -> None:
    lanes.client.record_refusal(DocumentRefused(["no"], "b"))
    stored = everything(lanes)
    with full(lanes), pytest.raises(redis.OutOfMemoryError):
        lanes.accept(Batch("b", orders_of(lanes.account, "a")))

    assert everything(lanes) == stored
    assert lanes.client.report("b")["errors"] == ["no"]
    lanes.put("b", "a")
    assert lanes.client.report("b")["state"] == "accepted"


def test_a_known_batch_is_known(lanes: Lanes) -> None:
    batch = lanes.put("b", "a")
    with full(lanes):
        assert lanes.client.accept(batch, "b", "") is True


def half_written(lanes: Lanes) -> Batch:
    """Write one slice of three, of one order each; then Redis is full."""
    batch = Batch("b", orders_of(lanes.account, "a", "b", "c"), prove=False)
    lanes.accept(batch)
    write, written = lanes.store._enqueue, 0

    def fills_up(**call: Any) -> object:
        nonlocal written
        written += 1
        if written == 2:
            raise redis.OutOfMemoryError("OOM command not allowed")
        return write(**call)

    lanes.store._enqueue = fills_up
    with pytest.raises(redis.OutOfMemoryError):
        lanes.enqueue(batch)
    lanes.store._enqueue = write
    return batch


def test_a_slice_of_a_plan_is_not_written_and_comes_when_there_is_room(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SLICE", 1)
    batch = half_written(lanes)
    stored = everything(lanes)
    with full(lanes), pytest.raises(redis.OutOfMemoryError):
        lanes.enqueue(batch)

    assert everything(lanes) == stored
    lanes.sound()
    lanes.enqueue(batch)
    assert lanes.statuses("b") == ["pending"] * 3
    lanes.sound()


def test_the_first_slice_of_a_plan_is_not_written_either(lanes: Lanes) -> None:
    batch = Batch("b", orders_of(lanes.account, "a", "bad"), prove=False)
    lanes.accept(batch)
    stored = everything(lanes)
    with full(lanes), pytest.raises(redis.OutOfMemoryError):
        lanes.enqueue(batch)

    assert everything(lanes) == stored


def test_a_refusal_is_not_recorded_by_halves(lanes: Lanes) -> None:
    stored = everything(lanes)
    with full(lanes), pytest.raises(Unreachable):
        lanes.client.record_refusal(DocumentRefused(["no"], "b"))

    assert everything(lanes) == stored
