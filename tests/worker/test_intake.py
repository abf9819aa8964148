"""The intake: every entry of the inbox becomes lanes or a refusal, once, whatever happens to its reader."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from tasks import keys
from tasks.batch import Priority
from tasks.client import Client
from tasks.errors import DocumentRefused, UnknownBatch
from tasks.ports import Tally
from tests.fakes import FakeLog, account_of
from tests.tasks.lanes import BOTH, Lanes, connection_of
from worker import intake as intake_module
from worker import store as store_module
from worker.intake import Intake

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "batch_id": "b",
    "account": "main",
    "orders": [{"order_id": value} for value in "abc"],
}


@dataclass
class Office:
    """One worker's intake over lanes."""

    lanes: Lanes
    hints: list[tuple[str, str]] = field(default_factory=list)
    begun: list[tuple[str, str]] = field(default_factory=list)
    log: FakeLog = field(default_factory=FakeLog)

    def __post_init__(self) -> None:
        self.intake = self.of("w1")
        self.intake.prepare()

    def of(self, name: str) -> Intake:
        store = self.lanes.worker(name)
        return Intake(
            client=self.lanes.client,
            store=store,
            accounts=self.lanes.accounts,
            clock=self.lanes.clock,
            log=self.log,
            reader=f"{name}#0",
            hint=lambda account, priority: self.hints.append((account, priority)),
            begin=lambda account, priority: self.begun.append((account, priority)),
        )

    def post(self, document: object) -> str:
        raw = document if isinstance(document, str) else json.dumps(document)
        return str(self.lanes.redis.xadd(keys.INBOX, {"batch": raw}))

    def refusals(self) -> list[tuple[str, list[str]]]:
        events = self.lanes.events("batch.refused")
        return [(event["batch_id"], json.loads(event["errors"])) for event in events]

    def state(self, batch_id: str) -> str | None:
        try:
            return str(self.lanes.client.report(batch_id)["state"])
        except UnknownBatch:
            return None

    def waiting(self) -> int:
        """Count the entries that are not done with."""
        return int(self.lanes.redis.xlen(keys.INBOX))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "BLOCK_MS", 1)


@pytest.fixture(params=BOTH)
def office(request: pytest.FixtureRequest) -> Office:
    return Office(Lanes(connection_of(request)))


def test_a_document_becomes_chunks_and_a_hint(office: Office) -> None:
    office.post(DOCUMENT | {"priority": "kill"})

    office.intake.step()

    assert office.lanes.statuses("b") == ["pending"] * 3
    assert office.lanes.redis.zcard(keys.lane("main", Priority.KILL)) == 1
    assert office.hints == office.begun == [("main", "kill")]
    assert office.waiting() == 0
    assert office.log.named("batch.planned")[0]["orders"] == 3
    office.lanes.sound()


@pytest.mark.parametrize(("slices", "told"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (9, 5)])
def test_a_plan_of_many_slices_is_worked_on_as_it_grows(
    office: Office, slices: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has claimed all that there was must hear of what comes later: the watch looks twice a second only."""
    monkeypatch.setattr(store_module, "SLICE", 1)
    most = office.lanes.account.max_orders_per_call
    orders = [{"order_id": str(number)} for number in range((slices - 1) * most + 1)]
    office.post(DOCUMENT | {"orders": orders})

    office.intake.step()

    assert office.hints == office.begun == [("main", "risk")] * told


def test_work_begins_here_before_anybody_is_told(office: Office) -> None:
    told: list[str] = []
    intake = replace(
        office.intake,
        begin=lambda account, priority: told.append("begin"),
        hint=lambda account, priority: told.append("hint"),
    )
    office.post(DOCUMENT)

    intake.step()

    assert told == ["begin", "hint"]


def test_others_are_told_though_work_cannot_begin_here(office: Office) -> None:
    def closed(account: str, priority: str) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    office.post(DOCUMENT)

    replace(office.intake, begin=closed).step()

    assert len(office.hints) == 1


def test_what_the_client_hands_over_is_planned_once(office: Office) -> None:
    office.lanes.client.submit(DOCUMENT)
    office.post(DOCUMENT)

    office.intake.step()
    office.intake.step()

    assert office.waiting() == 0
    assert len(office.lanes.events("batch.accepted")) == 1
    assert office.log.named("batch.known") == [{"batch": "b"}]
    office.lanes.sound()


def test_a_document_without_an_id_is_known_by_its_entry(office: Office) -> None:
    entry = office.post(DOCUMENT | {"batch_id": None})

    office.intake.step()

    assert office.state(f"inbox-{entry}") == "accepted"


@pytest.mark.parametrize(
    ("raw", "batch_id", "error"),
    [
        ("nonsense", "", "the document is not JSON"),
        ("[" * 100_000, "", "nested too deeply"),
        ("[]", "", "the document must be a JSON object, not an array"),
        ('{"batch_id": "b", "version": NaN}', "", "NaN is not JSON"),
        ('{"batch_id": "a b"}', "", "batch_id: must be 1 to 128"),
        ('{"batch_id": "b"}', "b", "orders: must name the orders to cancel"),
        (json.dumps(DOCUMENT | {"account": "other"}), "b", "account 'other' is not configured (configured: main)"),
        (json.dumps(DOCUMENT | {"reason": "x" * 5_000_000}), "b", "reason: has 5,000,000 characters"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_bad_document_is_recorded_and_does_not_stop_the_inbox(
    office: Office, raw: str, batch_id: str, error: str
) -> None:
    office.post(raw)
    office.post(DOCUMENT | {"batch_id": "next"})

    office.intake.step()
    office.intake.step()

    ((refused_id, errors),) = office.refusals()
    assert refused_id == batch_id
    assert any(error in one for one in errors)
    assert office.state("b") == ("refused" if batch_id else None)
    assert office.state("next") == "accepted"
    assert office.waiting() == 0


def test_an_entry_without_a_document_is_refused(office: Office) -> None:
    office.lanes.redis.xadd(keys.INBOX, {"job": "x"})

    office.intake.step()

    assert office.refusals() == [("", ["the entry has no field 'batch' with the document as JSON"])]
    assert office.waiting() == 0


def test_a_sweep_that_matched_too_many_stays_refused_when_its_entry_comes_again(office: Office) -> None:
    """Its reader may have died before it was done with the entry, or its Celery task is delivered twice."""
    select = {"accounts": ["main"], "all": True}
    raw = json.dumps({"version": 1, "batch_id": "b", "select": select, "max_orders": 1})
    entry = office.post(raw)
    office.intake.take(entry, raw)
    store, now_ms = office.lanes.store, office.lanes.clock.ms
    assert store.tally(office.lanes.claim(), 2, 1, now_ms) is Tally.REFUSED

    office.of("w2").take(entry, raw)

    assert office.state("b") == "refused"
    office.of("w2").take(office.post(raw), raw)
    assert office.state("b") == "refused"
    assert office.lanes.client.submit(json.loads(raw)) == "b"
    assert office.state("b") == "refused"
    with pytest.raises(DocumentRefused):
        office.of("w2").take("7-1", json.dumps(json.loads(raw) | {"max_orders": -1}))
    office.of("w2").take(office.post(raw), raw)
    assert office.state("b") == "refused"
    office.lanes.client.submit(json.loads(raw) | {"max_orders": 2})
    assert office.state("b") == "accepted", "of what was refused nothing was sent, so another content may have its id"


def test_the_same_id_with_other_content_is_refused_and_the_first_goes_on(office: Office) -> None:
    office.post(DOCUMENT)
    office.post(DOCUMENT | {"reason": "another"})

    office.intake.step()
    office.intake.step()

    ((batch_id, errors),) = office.refusals()
    assert (batch_id, errors) == ("b", ["batch_id: 'b' is known with other content: choose another id"])
    assert office.state("b") == "accepted"
    office.lanes.sound()


def test_a_batch_whose_account_was_not_known_to_its_producer_ends_as_refused(office: Office) -> None:
    office.lanes.client.submit(DOCUMENT | {"account": "other"})
    assert office.state("b") == "accepted"

    office.intake.step()

    assert office.state("b") == "refused"
    assert office.lanes.client.report("b")["errors"] == ["account 'other' is not configured (configured: main)"]


def test_an_entry_whose_reader_died_is_taken_over(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    monkeypatch.setattr(store_module, "SLICE", 2)
    office.lanes.account = office.lanes.accounts["main"] = account_of(max_orders_per_call=1)
    dying = office.of("w2")
    write, slices = dying.store._enqueue, 0

    def dies(**call: object) -> object:
        nonlocal slices
        slices += 1
        if slices > 1:
            raise KeyboardInterrupt  # as little of a handler as kill -9 would leave
        return write(**call)

    dying.store._enqueue = dies
    office.post(DOCUMENT)
    with pytest.raises(KeyboardInterrupt):
        dying.step()
    assert office.waiting() == 1

    office.intake.step()
    assert office.waiting() == 1, "its reader lives"
    office.lanes.kill("w2")
    office.intake.step()

    assert office.waiting() == 0
    assert office.lanes.statuses("b") == ["pending"] * 3
    assert office.lanes.redis.zcard(keys.lane("main", Priority.RISK)) == 3
    office.lanes.sound()


def test_a_plan_that_a_reader_thought_dead_left_half_written_is_finished(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is thought dead and its entry taken over; it wakes, writes one slice more, and dies."""
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    monkeypatch.setattr(store_module, "SLICE", 1)
    office.lanes.use(account_of(max_orders_per_call=1))
    sleeping, waking = office.of("w2"), office.of("w3")
    slices = 0

    def one_more_and_dies(**call: object) -> object:
        nonlocal slices
        slices += 1
        if slices > 1:
            raise KeyboardInterrupt
        return write(**call)

    def overtaken(**call: object) -> object:
        """Write no slice before the other has written it."""
        waking.store._enqueue = taken
        with pytest.raises(KeyboardInterrupt):
            sleeping.take(entry, json.dumps(DOCUMENT))
        return taken(**call)

    write, taken = sleeping.store._enqueue, waking.store._enqueue
    sleeping.store._enqueue = one_more_and_dies
    waking.store._enqueue = overtaken
    entry = office.post(DOCUMENT)

    waking.step()

    assert office.waiting() == 0
    assert office.lanes.statuses("b") == ["pending"] * 3
    assert office.lanes.redis.zcard(keys.lane("main", Priority.RISK)) == 3
    office.lanes.sound()


def many(office: Office, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give a document for three accounts, and have it written in slices of one order."""
    monkeypatch.setattr(store_module, "SLICE", 1)
    office.lanes.use(*(account_of(name=name, max_orders_per_call=1) for name in ("few", "many", "some")))
    numbers = {"few": 1, "many": 4, "some": 2}
    orders = [{"order_id": f"{name} {n}", "account": name} for name, number in numbers.items() for n in range(number)]
    return DOCUMENT | {"account": None, "orders": orders}


def test_accounts_are_woken_when_their_chunks_are_written_those_with_most_calls_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.post(many(office, monkeypatch))
    written: list[int] = []
    told: list[tuple[str, int]] = []
    write = office.intake.store._enqueue

    def watched(**call: Any) -> object:
        written.append(1)
        return write(**call)

    office.intake.store._enqueue = watched
    hinting = replace(office.intake, hint=lambda account, priority: told.append((account, len(written))))

    hinting.step()

    assert told == [("many", 1), ("some", 2), ("many", 4), ("few", 4), ("many", 7), ("some", 7)]
    assert len(written) == 7
    assert len(office.lanes.grant(9).claims) + len(office.lanes.store.claim("many", 9, office.lanes.now_ms).claims) == 5


def test_a_hint_that_cannot_be_told_costs_no_order(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when Redis takes the plan and has no room for Celery's message."""

    def lost(account: str, priority: str) -> None:
        raise RuntimeError("no broker")

    office.post(many(office, monkeypatch))

    replace(office.intake, hint=lost).step()

    assert office.lanes.statuses("b") == ["pending"] * 7
    assert {told["account"] for told in office.log.named("hint.lost")} == {"few", "many", "some"}
    assert office.refusals() == []
    office.lanes.sound()


def test_a_worker_has_readers_of_its_own_names_and_an_entry_is_read_by_one(office: Office) -> None:
    readers = [replace(office.intake, reader=f"w1#{number}") for number in range(2)]
    for name in ("one", "two"):
        office.post(DOCUMENT | {"batch_id": name})

    for reader in readers:
        reader.step()

    assert (office.state("one"), office.state("two")) == ("accepted", "accepted")
    assert len(office.log.named("batch.planned")) == 2
    assert office.waiting() == 0


def test_what_another_reader_of_a_living_worker_is_reading_stays_with_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    office.post(DOCUMENT)
    office.lanes.redis.xreadgroup(keys.INBOX_GROUP, "w1#1", {keys.INBOX: ">"}, count=1)

    office.intake.step()
    assert office.waiting() == 1
    owner = replace(office.intake, reader="w1#1")

    soon(lambda: owner.step() or office.waiting() == 0)  # type: ignore[func-returns-value]  # it gives None


def test_an_entry_that_redis_lost_us_is_taken_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    write = office.intake.store._enqueue

    def away(**call: object) -> object:
        raise redis.ConnectionError("away")

    office.intake.store._enqueue = away
    office.post(DOCUMENT)
    with pytest.raises(redis.ConnectionError):
        office.intake.step()
    office.intake.store._enqueue = write

    office.intake.step()

    assert office.waiting() == 0
    assert office.lanes.statuses("b") == ["pending"] * 3


@pytest.mark.parametrize("lost", ["its plan", "the batch"])
def test_an_entry_whose_batch_redis_has_lost_since_is_taken_again(
    office: Office, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """As a Redis that restarts without its last second does, between the plan and the end of its entry."""
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    write = office.intake.store.enqueue

    def write_and_lose(batch_id: str, *args: object, **named: object) -> None:
        if lost == "the batch":
            office.lanes.redis.delete(keys.batch(batch_id))

    office.intake.store.enqueue = write_and_lose  # type: ignore[method-assign]
    office.post(DOCUMENT)
    office.intake.step()
    assert office.waiting() == 1
    assert office.log.named("batch.lost")[0]["batch"] == "b"
    office.intake.store.enqueue = write  # type: ignore[method-assign]

    office.intake.step()

    assert office.waiting() == 0
    assert office.lanes.statuses("b") == ["pending"] * 3
    office.lanes.sound()


def test_a_fault_of_ours_costs_one_document(office: Office) -> None:
    def breaks(order: object) -> str:
        raise ZeroDivisionError

    good = office.lanes.account
    office.lanes.accounts["broken"] = account_of(replace(good.venue, check_order=breaks), "broken")
    office.post(DOCUMENT | {"batch_id": "first", "account": "broken"})
    office.post(DOCUMENT)

    office.intake.step()
    office.intake.step()

    assert office.refusals() == [("first", ["ripcord failed on this document: ZeroDivisionError"])]
    assert (office.state("first"), office.state("b")) == ("refused", "accepted")
    assert office.waiting() == 0


def test_an_entry_that_cannot_be_written_now_does_not_block_those_behind_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Redis is full: the entry stays, and is taken again."""
    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    write = office.intake.store._enqueue

    def full(**call: Any) -> object:
        if call["args"][0] == "b":
            raise redis.OutOfMemoryError("OOM command not allowed")
        return write(**call)

    office.intake.store._enqueue = full
    office.post(DOCUMENT)
    office.post(DOCUMENT | {"batch_id": "next"})
    office.intake.step()
    office.intake.step()
    assert office.lanes.statuses("next") == ["pending"] * 3
    assert office.waiting() == 1

    office.intake.store._enqueue = write
    office.intake.step()

    assert office.lanes.statuses("b") == ["pending"] * 3
    assert office.waiting() == 0


@pytest.mark.redis
def test_bytes_that_are_no_utf_8_do_not_stop_the_inbox(redis_url: str, redis_client: redis.Redis) -> None:
    lanes = Lanes(redis_client)
    with Client(redis_url, clock=lanes.clock) as client, redis.Redis.from_url(redis_url) as raw:
        lanes.client = client
        office = Office(lanes)
        raw.xadd(keys.INBOX, {b"batch": b'{"version": 1, "reason": "\xff"}'})
        raw.xadd(keys.INBOX, {b"b\xff": b"{}"})
        raw.xadd(keys.INBOX, {b"batch": b"\xff\xfe\x00"})
        office.post(DOCUMENT)
        for _ in range(4):
            office.intake.step()

        assert office.state("b") == "accepted"
        assert len(office.refusals()) == 3
        assert office.waiting() == 0


def test_the_group_of_readers_is_made_once(office: Office) -> None:
    office.intake.prepare()
    office.of("w2").prepare()

    groups: Any = office.lanes.redis.xinfo_groups(keys.INBOX)
    assert [group["name"] for group in groups] == [keys.INBOX_GROUP]


@pytest.mark.redis
def test_readers_that_are_gone_for_good_are_removed(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start of a worker makes some; one that left an entry behind stays until that is taken over."""
    office = Office(Lanes(redis_client))
    for name in ("gone", "left-an-entry", "lives"):
        reader = office.of(name)
        office.post(DOCUMENT | {"batch_id": name})
        redis_client.xreadgroup(keys.INBOX_GROUP, reader.reader, {keys.INBOX: ">"})
    redis_client.xack(keys.INBOX, keys.INBOX_GROUP, *(pending_of(redis_client, "gone#0")))
    redis_client.xack(keys.INBOX, keys.INBOX_GROUP, *(pending_of(redis_client, "lives#0")))
    for name in ("gone", "left-an-entry"):
        office.lanes.kill(name)

    office.intake.prepare()
    assert readers(redis_client) == {"gone#0", "left-an-entry#0", "lives#0"}
    monkeypatch.setattr(intake_module, "SILENT_MS", 0)
    office.intake.prepare()
    assert readers(redis_client) == {"left-an-entry#0", "lives#0"}

    monkeypatch.setattr(intake_module, "ABANDONED_MS", 0)
    office.intake.step()
    office.intake.prepare()
    assert readers(redis_client) == {"lives#0", "w1#0"}
    assert office.state("left-an-entry") == "accepted"


def readers(connection: redis.Redis) -> set[str]:
    found: Any = connection.xinfo_consumers(keys.INBOX, keys.INBOX_GROUP)
    return {row["name"] for row in found}


def pending_of(connection: redis.Redis, reader: str) -> list[str]:
    found: Any = connection.xpending_range(keys.INBOX, keys.INBOX_GROUP, "-", "+", 10, consumername=reader)
    return [row["message_id"] for row in found]


def test_what_was_posted_before_any_worker_lived_is_taken(office: Office) -> None:
    office.lanes.redis.delete(keys.INBOX)
    office.post(DOCUMENT)

    office.intake.prepare()
    office.intake.step()

    assert office.state("b") == "accepted"


def test_a_redis_that_came_back_empty_is_read_again(office: Office) -> None:
    stop = threading.Event()
    office.lanes.redis.flushall()

    reading = threading.Thread(target=office.intake.run, args=(stop,), daemon=True)
    reading.start()
    office.post(DOCUMENT)
    soon(lambda: office.state("b") == "accepted")
    stop.set()
    reading.join(10)

    assert not reading.is_alive()
    assert office.log.named("inbox.unreachable")
    assert office.lanes.redis.hkeys(keys.ACCOUNT_NAMING) == ["main"], "the scripts know the accounts again"


def soon(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(500):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it did not happen within 5 s")
