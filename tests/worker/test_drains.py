"""The drains of one worker: a dispatcher for each account, and as many callers as there is work and as may be."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from connectors.calls import Limit, Request, Response, Scope
from tasks import keys
from tasks.batch import Priority
from tasks.clock import VenueClock
from tasks.drain import Drain
from tasks.errors import Unreachable
from tasks.ports import Grant, Wait, Why
from tests.fakes import PLAIN, START_MS, FakeClock, FakeLine, FakeLog, account_of, ids_of, said
from tests.tasks.lanes import Lanes, fake_redis
from worker.drains import ANSWER_WEIGHS, SETTLED_AT_ONCE, SLICE_MS, Drains
from worker.gate import WIDEST, Gate
from worker.store import LATEST_MS

PATIENCE_S = 10.0


def canceled(request: Request) -> Response:
    return said(statuses=dict.fromkeys(ids_of(request), "canceled"))


@dataclass
class Later:
    """A pool whose callers come to work when the dispatcher sleeps, one at a time."""

    waiting: deque[Callable[[], None]] = field(default_factory=deque)

    def submit(self, work: Callable[..., None], /, *arguments: Any) -> None:
        self.waiting.append(lambda: work(*arguments))


@dataclass
class Sleeper:
    """A signal that lets one caller work whenever somebody sleeps on it; without any, the time passes at once."""

    house: "House"
    is_set: bool = False

    def set(self) -> None:
        self.is_set = True

    def clear(self) -> None:
        self.is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        self.house.asleep()
        if self.house.later.waiting and not self.is_set:
            self.house.later.waiting.popleft()()
        elif not self.is_set:
            self.house.lanes.clock.sleep(timeout or 0)
        return self.is_set


@dataclass
class House:
    """A worker's drains over lanes in fakeredis, in one thread, or in many if there is a pool of them."""

    reply: Callable[[Request], Response] = canceled
    max_in_flight: int = 4
    limit: Limit = PLAIN.limits[0]
    pool: ThreadPoolExecutor | None = None
    log: FakeLog = field(default_factory=FakeLog)
    asleep: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        account = account_of(max_orders_per_call=1, max_in_flight=self.max_in_flight, limits=(self.limit,))
        self.lanes = Lanes(fake_redis(), account)
        self.line = FakeLine(deque([self.reply]))
        clock, self.later = self.lanes.clock, Later()
        drain = Drain(account, self.lanes.store, self.line, clock, self.log, VenueClock(), lambda batch: None)
        self.drains = Drains({account.name: drain}, self.later, clock, self.log)
        if self.pool is None:
            self.drains.signal = lambda: Sleeper(self)
        else:
            self.drains.pool = self.pool

    def put(self, batch_id: str, number: int, priority: Priority = Priority.KILL) -> None:
        self.lanes.put(batch_id, *(f"{batch_id} {place}" for place in range(number)), priority=priority)

    def done(self, batch_id: str) -> bool:
        self.lanes.sound()
        return bool(self.lanes.client.report(batch_id)["state"] == "done")

    def sent(self) -> list[str]:
        return [one for request in self.line.requests for one in ids_of(request)]


@pytest.mark.parametrize("threads", [0, 1, 8])
def test_a_lane_is_worked_empty(threads: int) -> None:
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        house = House(max_in_flight=12, pool=pool if threads else None)
        house.put("b", 30)

        assert house.drains.drain("main") is False

    assert house.done("b")
    assert Counter(house.sent()) == Counter(f"b {place}" for place in range(30))


def test_an_account_that_is_not_ours_is_left_alone() -> None:
    assert House().drains.drain("strange") is False


def test_an_empty_lane_is_left_at_once() -> None:
    house = House()

    assert house.drains.drain("main") is False
    assert house.lanes.now_ms == START_MS


def test_as_many_calls_run_at_once_as_are_allowed_and_no_more() -> None:
    meeting = threading.Barrier(4, timeout=PATIENCE_S)
    at_once, most, lock = 0, 0, threading.Lock()

    def together(request: Request) -> Response:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        meeting.wait()  # goes on when four are here, or breaks
        with lock:
            at_once -= 1
        return canceled(request)

    with ThreadPoolExecutor(8) as pool:
        house = House(together, pool=pool)
        house.put("b", 16)
        assert house.drains.drain("main") is False

    assert most == 4
    assert house.done("b")


def test_what_is_claimed_at_once_is_no_more_than_threads_come_to_in_time() -> None:
    house, asked = House(max_in_flight=3 * WIDEST), []
    house.put("b", 4 * WIDEST)
    claim = house.lanes.store.claim

    def told(account: str, most: int, now_ms: int) -> Grant:
        asked.append(most)
        return claim(account, most, now_ms)

    house.lanes.store.claim = told  # type: ignore[method-assign]  # to see what it is asked for
    house.drains.drain("main")

    assert max(asked) == WIDEST
    assert house.done("b")


def test_one_hint_wakes_a_dispatcher_that_sleeps() -> None:
    """A chunk is to be tried in half a second; meanwhile a kill comes."""
    answers: list[bool] = []

    def a_kill_comes() -> None:
        if not answers:
            house.put("kill", 1)
            answers.append(house.drains.drain("main"))

    house = House(asleep=a_kill_comes)
    house.put("b", 1, Priority.RISK)
    house.lanes.again(house.lanes.claim(), (0,), ready_ms=START_MS + 500)

    assert house.drains.drain("main") is False

    assert answers == [False], "the second leaves the work to the first"
    assert house.sent() == ["kill 0", "b 0"]
    assert [request.headers["time"] for request in house.line.requests] == [str(START_MS), str(START_MS + 500)]


def test_a_hint_that_comes_too_late_for_a_dispatcher_is_not_lost() -> None:
    house = House(max_in_flight=1)
    house.put("b", 1)
    claim = house.lanes.store.claim

    def too_late(*args: Any) -> Grant:
        house.lanes.clock.ms += SLICE_MS
        assert house.drains.drain("main") is False
        return claim(*args)

    house.lanes.store.claim = too_late  # type: ignore[method-assign]  # something comes while it claims
    assert house.drains.drain("main") is True


class Racing:
    """A lock; *race* is run before it is taken for the fourth time: when a drain of an empty lane has seen enough."""

    def __init__(self, race: Callable[[], None]) -> None:
        self._lock, self._race, self._times = threading.Lock(), race, 0

    def __enter__(self) -> None:
        self._times += 1
        if self._times == 4:
            self._race()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_hint_that_comes_when_a_dispatcher_has_just_seen_that_there_is_nothing_is_not_lost() -> None:
    answers: list[bool] = []
    house = House()
    house.drains._lock = Racing(lambda: answers.append(house.drains.drain("main")))  # type: ignore[assignment]

    assert house.drains.drain("main") is True
    assert answers == [False]


def test_a_slice_ends_in_time_though_calls_are_in_flight_and_says_that_there_is_work_left() -> None:
    house = House(max_in_flight=1)
    house.put("b", 5)
    taken: list[Callable[[], None]] = []

    def hang() -> None:
        taken.extend(house.later.waiting)
        house.later.waiting.clear()

    house.asleep = hang

    assert house.drains.drain("main") is True
    assert (house.lanes.now_ms, house.sent()) == (START_MS + SLICE_MS, [])
    (call,) = taken
    house.asleep = lambda: None
    house.lanes.clock.ms = START_MS
    call()
    assert house.drains.drain("main") is False
    assert house.done("b")


@pytest.mark.parametrize(("per_ms", "left"), [(1_500, True), (30_000, False)])
def test_what_can_be_tried_soon_is_worth_another_slice(per_ms: int, left: bool) -> None:
    def slow(request: Request) -> Response:
        house.lanes.clock.ms += 700
        return canceled(request)

    house = House(slow, max_in_flight=1, limit=Limit("calls", Scope.ACCOUNT, 1, per_ms))
    house.put("b", 2)

    assert house.drains.drain("main") is left
    assert len(house.line.requests) == 1


def test_a_drain_that_is_told_to_stop_starts_nothing_more() -> None:
    def stopping(request: Request) -> Response:
        house.drains.stop.set()
        return canceled(request)

    house = House(stopping, max_in_flight=1)
    house.put("b", 5)

    house.drains.drain("main")

    assert len(house.line.requests) == 1
    house.lanes.sound()


def test_a_redis_that_is_away_ends_a_slice_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.put("b", 3)

    def away(*args: object) -> object:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(house.lanes.store, "claim", away)
        assert house.drains.drain("main") is True, "there may be work"
    assert house.log.named("drain.unreachable")[0]["error"] == "gone"

    house.drains.drain("main")
    assert house.done("b")


@pytest.mark.parametrize("error", [redis.ConnectionError("gone"), ZeroDivisionError()])
def test_a_caller_that_fails_frees_its_place(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(max_in_flight=1)
    house.put("b", 3)

    def fails(*args: object) -> object:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(house.lanes.store, "turn", fails)
        house.drains.drain("main")
    assert len(house.log.named("drain.unreachable") + house.log.named("drain.fault")) == 1
    assert house.sent() == ["b 0"]
    house.lanes.redis.delete(keys.flights("main"), keys.busy("main"))  # as if the watch had been here

    house.drains.drain("main")
    assert house.sent() == ["b 0", "b 1", "b 2"]


def settling_all_at_once(house: House) -> list[int]:
    """Let all other callers answer while the first one settles; gives how many answers each command settles."""
    settled: list[int] = []
    turn = house.lanes.store.turn

    def slow(account: str, answers: Any, most: int, now_ms: int) -> Any:
        settled.append(len(answers))
        for _ in range(len(house.later.waiting)):
            house.later.waiting.popleft()()
        return turn(account, answers, most, now_ms)

    house.lanes.store.turn = slow  # type: ignore[method-assign]  # to see what it is asked for
    return settled


def test_answers_that_come_while_another_is_settled_are_settled_together() -> None:
    house = House(max_in_flight=8)
    house.put("b", 12)
    settled = settling_all_at_once(house)

    house.drains.drain("main")

    assert house.done("b")
    assert Counter(house.sent()) == Counter(f"b {place}" for place in range(12))
    assert settled[:2] == [1, 7]
    assert sum(settled) == 12
    (lane,) = house.drains._lanes.values()
    assert (lane.callers, lane.answers, lane.settling) == (0, [], False)


def test_what_was_claimed_behind_an_answer_does_not_wait_until_the_next_ones_are_settled() -> None:
    house = House(max_in_flight=2)
    house.put("b", 6)
    turn = house.lanes.store.turn

    def slow(*args: Any) -> Any:
        house.lanes.clock.ms += LATEST_MS * 3 // 5
        return turn(*args)

    house.lanes.store.turn = slow  # type: ignore[method-assign]  # each takes more than half of a permission
    settled = settling_all_at_once(house)
    house.drains.drain("main")

    assert house.done("b")
    assert sum(settled) == 6
    assert house.line.withheld == []


def test_no_more_orders_are_settled_by_one_script_than_take_it_a_moment() -> None:
    most = SETTLED_AT_ONCE // (ANSWER_WEIGHS + 1)
    house = House(max_in_flight=most + 9)
    house.drains.gate = Gate(2 * most)
    house.put("b", most + 9)
    settled = settling_all_at_once(house)

    house.drains.drain("main")

    assert house.done("b")
    assert settled == [1, most, 8]


def test_answers_that_cannot_be_settled_free_their_places_and_those_that_come_next_are_settled() -> None:
    house = House(max_in_flight=4)
    house.put("b", 8)
    settled = settling_all_at_once(house)
    turn = house.lanes.store.turn

    def fails(account: str, answers: Any, most: int, now_ms: int) -> Any:
        found = turn(account, answers, most, now_ms)
        if len(settled) == 2:
            raise redis.ConnectionError("gone")
        return found

    house.lanes.store.turn = fails  # type: ignore[method-assign]  # Redis goes away for a moment
    house.drains.drain("main")

    assert len(house.log.named("drain.unreachable")) == 1
    (lane,) = house.drains._lanes.values()
    assert (lane.callers, lane.answers, lane.settling) == (0, [], False)
    assert house.drains.gate.enter(WIDEST) == WIDEST


def test_what_was_claimed_when_the_pool_is_shut_down_is_given_back() -> None:
    house = House(max_in_flight=2)
    house.put("b", 4)

    def shut_down(*_: object) -> None:
        house.drains.stop.set()
        raise RuntimeError("cannot schedule new futures after shutdown")

    house.later.submit = shut_down  # type: ignore[method-assign]  # as an executor's
    house.drains.drain("main")

    assert house.sent() == []
    assert house.lanes.redis.zcard(keys.flights("main")) == 0
    assert house.drains.gate.enter(WIDEST) == WIDEST
    house.lanes.sound()
    assert [claim.attempt for claim in house.lanes.grant(4).claims] == [1, 1]


def test_what_was_given_back_as_no_thread_could_be_started_is_not_sent_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An executor has queued it by then."""
    start, callers = threading.Thread.start, []

    def few(thread: threading.Thread) -> None:
        if thread.name.startswith("caller"):
            callers.append(thread)
            if len(callers) in {2, 3}:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    with ThreadPoolExecutor(8, thread_name_prefix="caller") as pool:
        house = House(max_in_flight=8, pool=pool)
        house.put("b", 12)
        while house.drains.drain("main"):
            pass

    assert house.done("b")
    assert Counter(house.sent()) == Counter(f"b {place}" for place in range(12))
    (lane,) = house.drains._lanes.values()
    assert lane.callers == 0
    assert house.drains.gate.enter(2 * WIDEST) == WIDEST


def test_a_batch_whose_end_cannot_be_told_breaks_nothing_and_what_was_claimed_behind_it_is_sent() -> None:
    def ended(batch_id: str) -> None:
        raise Unreachable("away")

    house = House(max_in_flight=1)
    house.drains.accounts["main"] = replace(house.drains.accounts["main"], ended=ended)
    house.put("b", 1)
    house.put("c", 2)

    house.drains.drain("main")

    assert house.done("b")
    assert house.done("c")
    assert [told["batch"] for told in house.log.named("batch.end_not_told")] == ["b", "c"]


def test_a_worker_that_is_too_busy_gives_back_and_claims_less_at_once() -> None:
    """All threads came to their calls too late: then fewer are claimed at once, and more as they leave in time."""
    house, asked = House(max_in_flight=3 * WIDEST), []
    house.put("b", 40)
    claim = house.lanes.store.claim

    def told(account: str, most: int, now_ms: int) -> Grant:
        asked.append(most)
        return claim(account, most, now_ms)

    def busy() -> None:
        house.lanes.clock.ms += 20_000 if len(asked) == 1 and len(house.later.waiting) == WIDEST else 0

    house.lanes.store.claim = told  # type: ignore[method-assign]  # to see what it is asked for
    house.asleep = busy
    while house.drains.drain("main"):
        pass

    assert asked[0] == WIDEST
    assert len(house.line.withheld) == WIDEST
    assert asked[1] < WIDEST // 2
    assert house.done("b")
    assert Counter(house.sent()) == Counter(f"b {place}" for place in range(40))
    del asked[:]
    house.put("c", 40)
    house.drains.drain("main")
    assert max(asked) == WIDEST


def test_calls_that_hang_hold_no_place_in_the_gate() -> None:
    """A venue hangs with more calls than the gate lets in at once; another account's calls go out."""
    free, hanging = threading.Event(), threading.Semaphore(0)

    def hang(request: Request) -> Response:
        hanging.release()
        assert free.wait(PATIENCE_S)
        return canceled(request)

    with ThreadPoolExecutor(3 * WIDEST) as pool:
        house, other = House(hang, max_in_flight=2 * WIDEST, pool=pool), House(pool=pool)
        other.drains.gate = house.drains.gate
        house.put("b", 2 * WIDEST)
        other.put("c", 10)
        dispatcher = threading.Thread(target=house.drains.drain, args=("main",))
        dispatcher.start()
        assert all(hanging.acquire(timeout=PATIENCE_S) for _ in range(2 * WIDEST))

        other.drains.drain("main")
        assert other.done("c")
        free.set()
        dispatcher.join(PATIENCE_S)

    assert house.done("b")


def test_two_workers_share_one_account() -> None:
    """Each has its own drains; neither sends what the other sends."""
    with ThreadPoolExecutor(8) as pool:
        house = House(pool=pool)
        house.put("b", 40)
        other, line = house.lanes.worker("w2"), FakeLine(deque([canceled]))
        drain = Drain(house.lanes.account, other, line, FakeClock(), house.log, VenueClock(), lambda batch: None)
        drains = Drains({"main": drain}, pool, FakeClock(), house.log)

        threads = [threading.Thread(target=one.drain, args=("main",)) for one in (house.drains, drains)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        house.drains.drain("main")  # both may have found the account full

    assert house.done("b")
    sent = house.sent() + [one for request in line.requests for one in ids_of(request)]
    assert Counter(sent) == Counter(f"b {place}" for place in range(40))


def test_a_full_account_is_left_to_those_who_fill_it() -> None:
    house = House(max_in_flight=1)
    house.put("b", 2)
    house.lanes.claim()

    assert house.lanes.wait() == Wait(Why.FULL)
    assert house.drains.drain("main") is False
