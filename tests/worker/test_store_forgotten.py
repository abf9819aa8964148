"""The store: what is kept of a batch, for how long, and what happens when it is forgotten too early."""

import pytest

from tasks import keys
from tasks.batch import Batch
from tasks.errors import DocumentRefused
from tasks.ports import Wait, Why
from tests.fakes import account_of
from tests.tasks.lanes import BOTH, KEEP_S, Lanes, connection_of, orders_of
from tests.worker.test_watch import Tower
from worker import store as store_module


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request))


def of_batch(lanes: Lanes, batch_id: str) -> dict[str, int]:
    """Give the keys that belong to a batch, each with the seconds that it has left."""
    found = {key: int(lanes.redis.ttl(key)) for key in lanes.redis.scan_iter(f"{keys.PREFIX}*:{batch_id}*")}
    assert found
    return found


def forget(lanes: Lanes, batch_id: str) -> None:
    """Do what the expiry of a batch does."""
    for key in of_batch(lanes, batch_id):
        if not key.startswith(keys.chunk("")):
            lanes.redis.delete(key)


def test_every_key_of_a_batch_expires(lanes: Lanes) -> None:
    lanes.use(account_of(max_orders_per_call=4))
    lanes.put("b", *"abcdefgh", deadline_s=100)
    assert {ttl for ttl in of_batch(lanes, "b").values() if not KEEP_S < ttl <= KEEP_S + 100} == set()
    lanes.settle(lanes.claim())
    claim = lanes.claim()
    lanes.again(claim, claim.places[:2], claim.places[2:])
    assert len(of_batch(lanes, "b")) >= 7
    assert {ttl for ttl in of_batch(lanes, "b").values() if not KEEP_S < ttl <= KEEP_S + 100} == set()

    lanes.settle(lanes.claim())
    lanes.settle(lanes.claim())

    assert lanes.client.report("b")["state"] == "done"
    assert {ttl for ttl in of_batch(lanes, "b").values() if not KEEP_S < ttl <= KEEP_S + 100} == set()


def test_a_batch_that_is_done_keeps_its_orders_and_outcomes_and_nothing_else(lanes: Lanes) -> None:
    lanes.put("b", *"abcdefgh")
    lanes.settle(lanes.claim())

    assert set(of_batch(lanes, "b")) == {keys.batch("b"), keys.orders("b"), keys.outcomes("b")}


@pytest.mark.parametrize("whole", [True, False])
def test_a_chunk_whose_batch_is_forgotten_is_dropped_from_its_lane(lanes: Lanes, whole: bool) -> None:
    lanes.put("b", "a")
    lanes.put("c", "a", deadline_s=3600)
    chunks = [key for key in of_batch(lanes, "b") if key.startswith(keys.chunk(""))]
    forget(lanes, "b")
    if whole:
        lanes.redis.delete(*chunks)
    lanes.clock.ms += 100_000

    claim = lanes.claim()

    assert claim.batch_id == "c"
    lanes.settle(claim)
    assert lanes.wait() == Wait(Why.IDLE)
    assert not any(lanes.redis.exists(chunk) for chunk in chunks)


def test_a_call_whose_batch_is_forgotten_frees_its_place(lanes: Lanes) -> None:
    lanes.use(account_of(max_in_flight=1))
    lanes.put("b", "a")
    claim = lanes.claim()
    forget(lanes, "b")

    lanes.settle(claim)

    lanes.put("c", "a")
    assert lanes.claim().batch_id == "c"


@pytest.mark.parametrize("whole", [True, False])
def test_the_watch_clears_up_after_a_forgotten_batch(lanes: Lanes, whole: bool) -> None:
    tower = Tower(lanes)
    lanes.put("b", "a")
    claim = lanes.claim()
    lanes.put("c", "a")
    forget(lanes, "b")
    forget(lanes, "c")
    if whole:
        lanes.redis.delete(keys.chunk(claim.chunk_id))
    lanes.kill("w1")
    lanes.clock.ms += 100_000

    tower.watch.tick()

    assert lanes.redis.zcard(keys.flights("main")) == 0
    assert lanes.redis.zcard(keys.DEADLINES) == 0
    assert tower.ended == []


def test_an_accepted_and_a_refused_batch_have_an_end(lanes: Lanes) -> None:
    lanes.accept(Batch("b", orders_of(lanes.account, "a"), deadline_s=100))
    lanes.client.record_refusal(DocumentRefused(["no"], "r"))

    assert KEEP_S < of_batch(lanes, "b")[keys.batch("b")] <= KEEP_S + 100
    assert 0 < of_batch(lanes, "r")[keys.batch("r")] <= KEEP_S


def test_events_are_capped(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "KEEP_EVENTS", 100)
    for number in range(1_000):
        lanes.clock.ms += 1_000_000
        lanes.pause(1 + number)

    assert 100 <= lanes.redis.xlen(keys.EVENTS) <= 300  # whole blocks of entries are cut
