"""The drains of one worker: one for each account, as many loops as there is work, and no more than are allowed."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
import redis

from connectors.calls import Request, Response
from connectors.venue import Limit, Scope
from tasks.batch import Priority
from tasks.drain import Drain, VenueClock
from tasks.errors import Unreachable
from tasks.ports import Claim, Why
from tests.fakes import PLAIN, FakeClock, FakeLine, FakeLog, account_of, ids_of, said
from tests.tasks.lanes import Lanes, fake_redis
from worker.drains import SLICE_MS, Drains
from worker.store import RedisStore

PATIENCE_S = 10.0


def canceled(request: Request) -> Response:
    return said(statuses=dict.fromkeys(ids_of(request), "canceled"))


@dataclass
class House:
    """A worker's drains over lanes in fakeredis."""

    reply: Callable[[Request], Response] = canceled
    max_in_flight: int = 4
    threads: int = 8
    limit: Limit = PLAIN.limits[0]
    log: FakeLog = field(default_factory=FakeLog)

    def __post_init__(self) -> None:
        account = account_of(max_orders_per_call=1, max_in_flight=self.max_in_flight, limits=(self.limit,))
        self.lanes = Lanes(fake_redis(), account)
        self.line = FakeLine(deque([self.reply]))
        self.pool = ThreadPoolExecutor(self.threads)
        clock = self.lanes.clock
        drain = Drain(account, self.lanes.store, self.line, clock, self.log, VenueClock(), lambda batch: None)
        self.drains = Drains({account.name: drain}, self.pool, clock, self.log)

    def put(self, batch_id: str, number: int) -> None:
        self.lanes.put(batch_id, *map(str, range(number)), priority=Priority.KILL)

    def done(self, batch_id: str) -> bool:
        self.lanes.sound()
        return bool(self.lanes.client.report(batch_id)["state"] == "done")


@pytest.fixture(name="house")
def _house() -> Iterator[House]:
    house = House()
    yield house
    house.pool.shutdown()


def test_a_lane_is_worked_empty(house: House) -> None:
    house.put("b", 30)

    assert house.drains.drain("main") is False

    assert house.done("b")
    assert Counter(one for request in house.line.requests for one in ids_of(request)) == Counter(map(str, range(30)))


def test_an_account_that_is_not_ours_is_left_alone(house: House) -> None:
    assert house.drains.drain("strange") is False


def test_an_empty_lane_is_left_at_once(house: House) -> None:
    assert house.drains.drain("main") is False
    assert house.lanes.clock.slept == []


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

    house = House(together)
    house.put("b", 16)

    assert house.drains.drain("main") is False

    house.pool.shutdown()
    assert most == 4
    assert house.done("b")


def test_one_free_thread_is_enough() -> None:
    house = House(max_in_flight=8, threads=1)
    house.put("b", 20)

    assert house.drains.drain("main") is False

    house.pool.shutdown()
    assert house.done("b")


def test_a_hint_that_comes_while_a_drain_runs_is_not_lost() -> None:
    answers: list[bool] = []

    def hinted(request: Request) -> Response:
        if not answers:
            answers.append(house.drains.drain("main"))
        return canceled(request)

    house = House(hinted, max_in_flight=1)
    house.put("b", 2)

    assert house.drains.drain("main") is True

    house.pool.shutdown()
    assert answers == [False]
    assert house.drains.drain("main") is False


def test_a_slice_that_ends_with_work_left_says_so() -> None:
    def slow(request: Request) -> Response:
        house.lanes.clock.ms += SLICE_MS // 2
        return canceled(request)

    house = House(slow, max_in_flight=1)
    house.put("b", 5)

    assert house.drains.drain("main") is True
    assert len(house.line.requests) == 2
    while house.drains.drain("main"):
        pass

    house.pool.shutdown()
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
    house.pool.shutdown()


def test_a_drain_that_is_told_to_stop_starts_nothing_more() -> None:
    def stopping(request: Request) -> Response:
        house.drains.stop.set()
        return canceled(request)

    house = House(stopping, max_in_flight=1)
    house.put("b", 5)

    house.drains.drain("main")

    assert len(house.line.requests) == 1
    house.pool.shutdown()
    house.lanes.sound()


def test_a_redis_that_is_away_ends_a_slice_and_breaks_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put("b", 3)
    claim, calls = house.lanes.store.claim, 0

    def away(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls < 3:
            return claim(*args)  # type: ignore[arg-type]  # as they came
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(house.lanes.store, "claim", away)
        assert house.drains.drain("main") is False
    assert house.log.named("drain.unreachable")[0]["error"] == "gone"

    house.drains.drain("main")
    assert house.done("b")


def test_a_batch_whose_end_cannot_be_told_breaks_nothing(house: House) -> None:
    def ended(batch_id: str) -> None:
        raise Unreachable("away")

    house.drains.accounts["main"] = replace(house.drains.accounts["main"], ended=ended)
    house.put("b", 1)

    house.drains.drain("main")

    assert house.done("b")
    assert house.log.named("drain.unreachable")


def test_two_workers_share_one_account(house: House) -> None:
    """Each has its own drains; neither sends what the other sends."""
    house.put("b", 40)
    other = RedisStore(house.lanes.redis, "w2", 1_000, 10)
    line = FakeLine(deque([canceled]))
    drain = Drain(house.lanes.account, other, line, FakeClock(), house.log, VenueClock(), lambda batch: None)
    drains = Drains({"main": drain}, house.pool, FakeClock(), house.log)

    threads = [threading.Thread(target=one.drain, args=("main",)) for one in (house.drains, drains)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    while not house.done("b"):  # both may have found the account full
        house.drains.drain("main")

    sent = [one for request in house.line.requests + line.requests for one in ids_of(request)]
    assert Counter(sent) == Counter(map(str, range(40)))


def test_a_full_account_is_left_to_those_who_fill_it() -> None:
    house = House(max_in_flight=1)
    house.put("b", 2)
    claim = house.lanes.store.claim(house.lanes.account, house.lanes.now_ms)
    assert isinstance(claim, Claim)

    assert house.lanes.wait().why is Why.FULL
    assert house.drains.drain("main") is False
    house.pool.shutdown()
