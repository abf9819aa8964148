"""The watch: what sleeps is woken, what the dead held is given back, what is late is ended."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import redis

from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Account, Batch, Priority
from tasks.client import HEARTBEAT_MS
from tasks.drain import DEADLY
from tasks.errors import UnknownBatch
from tasks.ports import ClaimKind, Next, Part, Settlement
from tests.fakes import PLAIN, START_MS, FakeLog, account_of
from tests.tasks.lanes import BOTH, Killed, Lanes, connection_of, dying_after, fake_redis, orders_of, standing
from worker import store as store_module
from worker.store import LONGEST_CALL_MS, WRITING_MS
from worker.watch import HOLD_MS, LATE_A_TICK, MORE_S, TICK_S, Watch

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


class Stop(threading.Event):
    """A stop that is never waited for, and knows for how long it would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.naps: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self.naps.append(timeout)
        return self.is_set()


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


def dead_worker_held(tower: Tower, account: Account) -> None:
    """Let a worker die with one of two chunks in hands."""
    tower.lanes.use(account)
    tower.lanes.put("b", "a", "b", "c")
    tower.lanes.claim()
    tower.lanes.settle(tower.lanes.claim())
    tower.lanes.kill("w1")


def test_what_a_dead_worker_held_is_sent_again_where_its_ids_last(tower: Tower) -> None:
    dead_worker_held(tower, account_of(max_orders_per_call=2))

    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["unknown", "unknown", "canceled"]
    assert (tower.ended, tower.hints) == ([], [("main", "risk")])
    assert [event["kind"] for event in tower.log.named("chunk.recovered")] == ["send"]
    tower.lanes.sound()
    again = tower.lanes.claim()
    assert (again.places, again.attempt) == ((0, 1), 2)
    tower.lanes.settle(again)
    assert tower.lanes.statuses("b") == ["canceled"] * 3


def test_what_a_dead_worker_held_is_unknown_where_its_ids_do_not_last_and_the_batch_ends(tower: Tower) -> None:
    dead_worker_held(tower, account_of(replace(PLAIN, resend_safe=frozenset()), max_orders_per_call=2))

    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["unknown", "unknown", "canceled"]
    assert tower.ended == ["b"]
    assert [event["kind"] for event in tower.log.named("chunk.recovered")] == ["send"]
    tower.lanes.sound()


def test_what_a_dead_worker_held_is_read_back_where_its_ids_do_not_last_and_the_batch_wants_proof(tower: Tower) -> None:
    tower.lanes.use(account_of(replace(PLAIN, resend_safe=frozenset())))
    tower.lanes.put("b", "a", prove=True)
    tower.lanes.claim()
    tower.lanes.kill("w1")

    tower.watch.tick()

    assert tower.lanes.statuses("b") == ["unknown"]
    assert tower.lanes.claim().kind is ClaimKind.QUERY
    tower.lanes.sound()


def test_three_deaths_are_again_and_again() -> None:
    assert DEADLY == 3


def die_on(tower: Tower, times: int) -> None:
    """Let so many workers die one after the other, each with a chunk in hands."""
    for number in range(times):
        tower.lanes.claim(tower.lanes.worker(f"dying-{number}"))
        tower.lanes.kill(f"dying-{number}")
        tower.watch.tick()


def test_a_chunk_on_which_workers_died_again_and_again_is_halved_and_the_halves_are_counted_anew(tower: Tower) -> None:
    tower.lanes.use(account_of(max_orders_per_call=4))
    tower.lanes.put("b", *"abcd")
    die_on(tower, DEADLY - 1)
    assert tower.lanes.redis.zcard(keys.lane("main", Priority.RISK)) == 1

    die_on(tower, 1)

    assert [fields["orders"] for fields in tower.log.named("chunk.poison")] == [4]
    assert tower.lanes.events("chunk.poison") == []
    tower.lanes.sound()
    halves = tower.lanes.grant(4).claims
    assert sorted(claim.places for claim in halves) == [(0, 1), (2, 3)]
    assert {tower.lanes.redis.hget(keys.chunk(claim.chunk_id), "deaths") or "0" for claim in halves} == {"0"}
    for claim in halves:
        tower.lanes.settle(claim)
    assert tower.lanes.client.report("b")["state"] == "done"


def test_the_order_that_kills_workers_is_found_and_ends_unknown_with_an_event(tower: Tower) -> None:
    tower.lanes.use(account_of(max_orders_per_call=4))
    tower.lanes.put("b", *"abcd")
    deaths = 0
    while claims := tower.lanes.grant(1, tower.lanes.worker("dying")).claims:
        (claim,) = claims
        if "c" in {order.value for order in claim.orders}:
            tower.lanes.kill("dying")
            deaths += 1
            tower.watch.tick()
        else:
            tower.lanes.settle(claim)
        tower.lanes.sound()

    assert deaths == 3 * DEADLY, "of four orders, of two, and alone"
    assert tower.lanes.statuses("b") == ["canceled", "canceled", "unknown", "canceled"]
    (event,) = tower.lanes.events("chunk.poison")
    assert (event["batch_id"], event["account"], json.loads(event["orders"])) == ("b", "main", [["order_id", "c"]])
    assert tower.lanes.client.report("b")["state"] == "done"


def test_what_a_watch_had_seized_does_not_count_as_a_death(tower: Tower) -> None:
    tower.lanes.put("b", "a")
    claim = tower.lanes.claim()
    tower.lanes.kill("w1")
    for number in range(DEADLY + 1):
        watch = tower.lanes.worker(f"watch-{number}")
        seized = watch.seize(claim.chunk_id, tower.lanes.now_ms)
        assert seized is not None
        assert seized.deaths == 1
        tower.lanes.kill(f"watch-{number}")


def test_a_batch_whose_plan_was_never_finished_ends_as_not_sent(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SLICE", 2)
    batch = Batch("b", orders_of(tower.lanes.account, *"abcdef"), prove=False)
    tower.lanes.accept(batch)
    with pytest.raises(Killed):
        tower.lanes.enqueue(batch, dying_after(tower.lanes, 1))
    tower.lanes.settle(tower.lanes.claim())
    tower.lanes.clock.ms += 60_000 + WRITING_MS - 1
    tower.watch.tick()
    assert tower.ended == [], "somebody may still be writing it"

    tower.lanes.clock.ms += 1
    tower.watch.tick()

    assert tower.ended == ["b"]
    report = tower.lanes.client.report("b")
    assert (report["state"], report["verdict"]) == ("done", "not_flat")
    assert (report["orders"], report["counts"]) == (6, {"canceled": 2, "not_sent": 4})
    tower.lanes.sound()
    tower.lanes.enqueue(batch)
    assert tower.lanes.client.report("b")["counts"] == {"canceled": 2, "not_sent": 4}


def test_a_batch_that_is_claimed_too_late_to_be_read_is_ended(tower: Tower) -> None:
    """The claim takes it out of the lane, so that no other comes upon it; its orders stay for the watch."""
    lanes = tower.lanes
    lanes.put("b", "a", deadline_s=1)
    claim = lanes.claim()
    doubtful = tuple((place, standing(Status.UNKNOWN, lanes.now_ms)) for place in claim.places)
    to_read = (Part(claim.places, lanes.now_ms, Next.READ),)
    lanes.store.settle(claim, Settlement(doubtful, 1, again=to_read), lanes.now_ms)
    lanes.clock.ms += 1_000

    assert lanes.grant(1).claims == ()
    lanes.sound()
    tower.watch.tick()

    assert tower.ended == ["b"]
    assert lanes.statuses("b") == ["unknown"]
    lanes.sound()


def test_a_hint_that_cannot_be_told_keeps_the_watch_from_nothing(tower: Tower) -> None:
    def lost(account: str, priority: str) -> None:
        raise RuntimeError("no broker")

    tower.lanes.put("b", "a")
    tower.lanes.put("late", "b", deadline_s=1)
    tower.lanes.clock.ms += 1_000

    replace(tower.watch, hint=lost).tick()

    assert tower.ended == ["late"]
    assert tower.log.named("hint.lost")


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
    tower.lanes.clock.ms += HEARTBEAT_MS
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


def test_a_late_batch_of_many_chunks_holds_up_neither_a_small_one_nor_the_heartbeats(tower: Tower) -> None:
    """Each round ends a portion of it, and the next one follows at once."""
    lanes = tower.lanes
    lanes.put("large", *(f"l{number}" for number in range(2 * (LATE_A_TICK + 5))), deadline_s=1)
    lanes.put("small", "a", "b", deadline_s=2)
    lanes.clock.ms += 3_000
    stop, pending = Stop(), []

    class Looks:
        """Heartbeats that are only counted; the third look is the last."""

        def tick(self, now_ms: int) -> None:
            pending.append(lanes.client.report("large")["counts"].get("pending", 0))
            if len(pending) == 3:
                stop.set()

    replace(tower.watch, heartbeats=Looks()).run(stop)  # type: ignore[arg-type]  # as much of one as is asked for

    assert tower.ended == ["small", "large"]
    assert pending == [LATE_A_TICK * 2 + 10, LATE_A_TICK + 10, 0]
    assert stop.naps == [TICK_S, MORE_S, TICK_S]
    assert not tower.log.named("watch.fault")
    assert lanes.client.report("large")["counts"] == {"not_sent": 2 * (LATE_A_TICK + 5)}
    lanes.sound()


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
    tower.lanes.pause(500)
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
