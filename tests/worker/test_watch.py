"""The watch: what sleeps is woken, what the dead held is given back, what is late is ended."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import redis

from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Priority
from tasks.errors import UnknownBatch
from tests.fakes import START_MS, FakeLog, account_of
from tests.tasks.lanes import BOTH, Lanes, connection_of, fake_redis
from worker.store import LONGEST_CALL_MS
from worker.watch import HOLD_MS, Watch

KEEP_S = 1_000


@dataclass
class Tower:
    """A watch over lanes, and all that it says."""

    lanes: Lanes
    hints: list[tuple[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    log: FakeLog = field(default_factory=FakeLog)

    def __post_init__(self) -> None:
        self.watch = self.of("w2")

    def of(self, name: str) -> Watch:
        return Watch(
            redis=self.lanes.redis,
            store=self.lanes.worker(name),
            clock=self.lanes.clock,
            log=self.log,
            worker_id=name,
            keep_s=KEEP_S,
            hint=lambda account, priority: self.hints.append((account, priority)),
            ended=self.ended.append,
            answer=self.answered.append,
        )


@pytest.fixture(params=BOTH)
def tower(request: pytest.FixtureRequest) -> Tower:
    lanes = Lanes(connection_of(request), account_of(max_orders_per_call=2))
    return Tower(lanes)


def test_of_all_workers_one_holds_the_watch(tower: Tower) -> None:
    one, other = tower.watch, tower.of("w3")

    assert [one.holds(), other.holds(), one.holds(), other.holds()] == [True, False, True, False]
    assert 0 < tower.lanes.redis.pttl(keys.WATCH) <= HOLD_MS
    tower.lanes.redis.delete(keys.WATCH)
    assert [other.holds(), one.holds()] == [True, False]


def test_work_that_nobody_works_on_is_hinted_at_by_its_urgency(tower: Tower) -> None:
    tower.lanes.put("b", "a", priority=Priority.CLEANUP)
    tower.lanes.put("k", "a", priority=Priority.KILL)

    tower.watch.tick()

    assert tower.hints == [("main", "kill")]


def test_what_must_wait_is_not_hinted_at(tower: Tower) -> None:
    tower.lanes.put("b", "a")
    claim = tower.lanes.claim()
    tower.lanes.again(claim, claim.places, ready_ms=START_MS + 10)

    tower.watch.tick()
    assert tower.hints == []
    tower.lanes.clock.ms += 10
    tower.watch.tick()
    assert tower.hints == [("main", "risk")]


def test_what_a_dead_worker_held_is_unknown_and_the_batch_ends(tower: Tower) -> None:
    tower.lanes.put("b", "a", "b", "c")
    tower.lanes.claim()
    tower.lanes.settle(tower.lanes.claim())
    tower.lanes.kill("w1")

    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["unknown", "unknown", "canceled"]
    assert tower.ended == ["b"]
    assert [event["kind"] for event in tower.log.named("chunk.recovered")] == ["send"]
    tower.lanes.sound()


def test_what_a_living_worker_holds_stays_with_it(tower: Tower) -> None:
    tower.lanes.put("b", "a", deadline_s=3600)
    claim = tower.lanes.claim()
    tower.lanes.clock.ms += LONGEST_CALL_MS - 1
    tower.watch.tick()

    assert tower.lanes.settle(claim).held


def test_a_call_that_is_in_flight_at_the_deadline_may_still_be_answered(tower: Tower) -> None:
    tower.lanes.put("b", "a", "b", "c")
    tower.lanes.clock.ms += 59_000
    claim = tower.lanes.claim()
    tower.lanes.clock.ms += 1_000

    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["pending", "pending", "not_sent"]
    assert tower.ended == []
    tower.lanes.settle(claim)
    assert tower.lanes.client.report("b")["counts"] == {"canceled": 2, "not_sent": 1}
    tower.lanes.sound()


def test_a_chunk_that_comes_back_while_the_watch_looks_stays_in_its_lane(tower: Tower) -> None:
    """It was in flight when the watch read the list, and is given back before it is seized."""
    tower.lanes.put("b", "a")
    claim = tower.lanes.claim()
    seize = tower.watch.store.seize

    def after_it_came_back(*args: object) -> object:
        tower.lanes.again(claim, claim.places)
        return seize(*args)  # type: ignore[arg-type]  # as they came

    tower.watch.store.seize = after_it_came_back  # type: ignore[assignment, method-assign]  # between two commands
    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["pending"]
    assert tower.lanes.claim().attempt == 2
    tower.lanes.sound()


def test_a_batch_that_nobody_works_on_ends_at_its_deadline_and_not_before(tower: Tower) -> None:
    tower.lanes.put("b", *"abcde", deadline_s=5)
    tower.lanes.put("long", "a", deadline_s=50)
    tower.lanes.clock.ms += 4_999
    tower.watch.tick()
    assert tower.lanes.statuses("b") == ["pending"] * 5

    tower.lanes.clock.ms += 1
    tower.watch.tick()

    report = tower.lanes.client.report("b")
    assert (report["state"], report["verdict"], report["counts"]) == ("done", "not_flat", {"not_sent": 5})
    assert report["calls"] == 0
    assert tower.ended == ["b"]
    assert tower.lanes.statuses("long") == ["pending"]
    tower.lanes.sound()


def test_an_order_that_was_tried_before_the_deadline_keeps_what_was_learned(tower: Tower) -> None:
    tower.lanes.put("b", "a")
    claim = tower.lanes.claim()
    tower.lanes.settle(claim, Status.NOT_SENT, again=())
    tower.lanes.put("c", "a")
    tried = tower.lanes.claim()
    tower.lanes.again(tried, tried.places, ready_ms=START_MS + 100_000)
    tower.lanes.clock.ms += 60_000

    tower.watch.tick()

    assert tower.lanes.statuses("c") == ["not_sent"]
    assert sorted(tower.ended) == ["c"]
    tower.lanes.sound()


def test_a_pause_that_is_over_is_said_to_be(tower: Tower) -> None:
    tower.lanes.put("b", "a")
    tower.lanes.store.pause("main", START_MS + 500, "429", START_MS)
    tower.watch.tick()
    assert tower.lanes.events("account.resumed") == []

    tower.lanes.clock.ms += 500
    tower.watch.tick()
    tower.watch.tick()

    assert len(tower.lanes.events("account.resumed")) == 1
    assert tower.log.named("account.resumed") == [{"account": "main"}]


def test_tasks_that_wait_are_answered(tower: Tower) -> None:
    tower.lanes.redis.sadd(keys.AWAITED, "b", "c")

    tower.watch.tick()

    assert sorted(tower.answered) == ["b", "c"]


def test_the_list_of_batches_forgets_what_is_forgotten(tower: Tower) -> None:
    tower.lanes.put("old", "a")
    tower.lanes.clock.ms += KEEP_S * 1000 // 2
    tower.lanes.put("new", "a")
    tower.lanes.clock.ms += KEEP_S * 1000 // 2

    tower.watch.tick()

    assert tower.lanes.redis.zrange(keys.BATCHES, 0, -1) == ["new"]


def test_two_watches_at_once_do_no_harm(tower: Tower) -> None:
    tower.lanes.put("b", *map(str, range(60)), deadline_s=5)
    tower.lanes.clock.ms += 5_000
    watches = [tower.of(name) for name in ("w2", "w3", "w4")]

    threads = [threading.Thread(target=watch.tick) for watch in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tower.ended == ["b"]
    assert tower.lanes.client.report("b")["counts"] == {"not_sent": 60}
    tower.lanes.sound()


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("away"), redis.ResponseError("?"), UnknownBatch("b"), KeyError()]
)
def test_the_watch_outlives_whatever_happens_in_a_round(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = Tower(Lanes(fake_redis()))
    stop, ticks = threading.Event(), 0

    def tick(watch: Watch) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            raise error
        stop.set()

    monkeypatch.setattr("worker.watch.TICK_S", 0.001)
    monkeypatch.setattr(Watch, "tick", tick)
    run_for_a_while(lambda: tower.watch.run(stop))

    assert ticks == 2
    assert len(tower.log.named("watch.unreachable") + tower.log.named("watch.fault")) == 1


def run_for_a_while(target: Callable[[], None]) -> None:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
