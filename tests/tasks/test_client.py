"""The client against a real server: handing over, reading and waiting."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from connectors.outcomes import Status
from tasks import keys
from tasks.client import Client
from tasks.errors import DocumentRefused, UnknownBatch, WaitTimeout
from tests.fakes import FakeClock, account_of
from tests.tasks.lanes import Lanes

pytestmark = pytest.mark.redis

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "batch_id": "b",
    "account": "main",
    "orders": [{"order_id": "1"}, {"order_id": "2"}],
    "reason": "drill",
}


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with Client(redis_url) as client:
        yield client


@pytest.fixture
def lanes(redis_client: Redis) -> Lanes:
    """A worker's view of the same server, on the machine's clock."""
    lanes = Lanes(redis_client, account_of(max_orders_per_call=1))
    lanes.clock.ms = int(time.time() * 1000)
    return lanes


def inbox(redis: Redis) -> list[dict[str, Any]]:
    entries: Any = redis.xrange(keys.INBOX)
    return [json.loads(fields["batch"]) for _, fields in entries]


# Handing over


def test_a_batch_is_in_the_inbox_once_submit_has_answered(client: Client, redis_client: Redis) -> None:
    assert client.submit(DOCUMENT) == "b"

    assert inbox(redis_client) == [DOCUMENT]
    report = client.report("b")
    assert (report["state"], report["orders"], report["counts"]) == ("accepted", 2, {"pending": 2})
    assert (report["reason"], report["requested_by"], report["verdict"]) == ("drill", None, None)
    assert abs(report["submitted_ms"] - time.time() * 1000) < 60_000


def test_a_deadline_counts_from_redis_time_though_the_producers_clock_is_off(client: Client) -> None:
    client._clock = FakeClock(ms=1)

    client.submit(DOCUMENT)

    assert abs(client.report("b")["submitted_ms"] - time.time() * 1000) < 60_000


def test_a_batch_without_an_id_is_given_one(client: Client, redis_client: Redis) -> None:
    ids = {client.submit({**DOCUMENT, "batch_id": None}) for _ in range(3)}

    assert len(ids) == 3
    assert {document["batch_id"] for document in inbox(redis_client)} == ids


def test_a_batch_that_is_known_is_not_handed_over_again(client: Client, redis_client: Redis) -> None:
    first = client.hand_over(DOCUMENT)
    again = client.hand_over(dict(reversed(DOCUMENT.items())))

    assert (first.known, again.known) == (False, True)
    assert len(inbox(redis_client)) == 1


def test_the_same_id_with_other_content_is_refused(client: Client, redis_client: Redis) -> None:
    client.submit(DOCUMENT)

    with pytest.raises(DocumentRefused, match="'b' is known with other content"):
        client.submit(DOCUMENT | {"reason": "another"})

    assert len(inbox(redis_client)) == 1
    assert client.report("b")["state"] == "accepted"


def test_a_bad_document_is_refused_with_all_its_errors_and_recorded(client: Client, redis_client: Redis) -> None:
    with pytest.raises(DocumentRefused) as caught:
        client.submit(DOCUMENT | {"priority": "now", "orders": []})

    assert len(caught.value.errors) == 2
    report = client.report("b")
    assert (report["state"], set(report["errors"])) == ("refused", set(caught.value.errors))
    assert inbox(redis_client) == []
    client.submit(DOCUMENT)
    assert client.report("b")["state"] == "accepted"


def test_accounts_are_checked_where_they_are_known(client: Client) -> None:
    with pytest.raises(DocumentRefused, match="account 'main' is not configured"):
        client.hand_over(DOCUMENT, frozenset({"other"}))

    assert client.report("b")["state"] == "refused"


# Reading


def test_outcomes_come_in_the_documents_order(client: Client, lanes: Lanes) -> None:
    lanes.put("b", *map(str, range(1_203)))
    lanes.settle(lanes.claim())

    rows = client.outcomes("b", {"main": "upbit"})

    assert [row["order_id"] for row in rows] == [str(number) for number in range(1_203)]
    assert [row["status"] for row in rows[:2]] == ["canceled", "pending"]
    assert {row["venue"] for row in rows} == {"upbit"}


def test_venues_are_known_from_the_workers(client: Client, lanes: Lanes) -> None:
    lanes.put("b", "1")
    lanes.redis.delete(keys.ACCOUNT_VENUES)
    assert client.outcomes("b")[0]["venue"] is None
    lanes.redis.hset(keys.ACCOUNT_VENUES, "main", "kuna")

    assert client.outcomes("b")[0]["venue"] == "kuna"


def test_the_latest_batches_come_first(client: Client, lanes: Lanes) -> None:
    for name in "abc":
        lanes.put(name, "1")
        lanes.clock.ms += 1

    assert [report["batch_id"] for report in client.latest(2)] == ["c", "b"]
    assert [len(client.latest(count)) for count in (0, 3, 10)] == [0, 3, 3]


def test_workers_whose_hearts_beat_are_named(client: Client, lanes: Lanes) -> None:
    lanes.worker("w2")

    assert client.workers() == ["w1", "w2"]


@pytest.mark.parametrize("read", ["report", "progress", "outcomes", "wait"])
def test_a_batch_that_is_not_known_is_said_to_be_so(client: Client, read: str) -> None:
    with pytest.raises(UnknownBatch, match="no batch with the id 'nobody' is known"):
        getattr(client, read)("nobody")


# Waiting


def test_wait_gives_the_report_of_a_batch_that_is_done(client: Client, lanes: Lanes) -> None:
    lanes.put("b", "1")
    lanes.settle(lanes.claim(), Status.FILLED)

    report = client.wait("b", 0)

    assert (report["state"], report["verdict"], report["counts"]) == ("done", "flat", {"filled": 1})


def test_wait_gives_a_refused_batch_at_once(client: Client) -> None:
    client.record_refusal(DocumentRefused(["no"], "b"))

    assert client.wait("b", 5)["state"] == "refused"


def test_wait_wakes_when_the_batch_ends(client: Client, lanes: Lanes) -> None:
    lanes.put("b", "1")
    started_s = time.monotonic()
    later = threading.Timer(0.2, lambda: lanes.settle(lanes.claim()))
    later.start()

    report = client.wait("b", 60)

    later.join()
    assert report["verdict"] == "flat"
    assert 0.2 <= time.monotonic() - started_s < 30


def test_wait_gives_up_in_time_and_the_batch_goes_on(client: Client, lanes: Lanes) -> None:
    lanes.put("b", "1")
    started_s = time.monotonic()

    with pytest.raises(WaitTimeout, match=r"not done after 0\.2 s"):
        client.wait("b", 0.2)

    assert 0.15 < time.monotonic() - started_s < 30
    assert client.report("b")["state"] == "accepted"


def test_follow_gives_a_report_at_every_change(client: Client, lanes: Lanes) -> None:
    lanes.put("b", "1", "2")
    lanes.put("other", "1")
    seen = []
    for report in client.follow("b", int(time.time() * 1000) + 10_000):
        seen.append((report["state"], report["gone"]))
        claim = lanes.claim() if report["state"] != "done" else None
        if claim is not None:
            lanes.settle(claim)

    assert seen == [("accepted", 0), ("running", 1), ("done", 2)]


# Sweeps


def test_a_selection_is_written_down_with_the_batch(client: Client, redis_client: Redis) -> None:
    select = {"accounts": ["main"], "symbol": "LTCBTC", "side": "sell"}
    document = {"version": 1, "batch_id": "s", "select": select, "max_orders": 7, "replay_of": "b"}

    first = client.hand_over(document)
    again = client.hand_over(document)

    written: Any = redis_client.hgetall(keys.batch("s"))
    assert (first.known, again.known) == (False, True)
    assert written["select"] == '{"accounts":["main"],"symbol":"LTCBTC","side":"sell"}'
    assert (written["max_orders"], written["replay_of"], written["orders"]) == ("7", "b", "0")
    assert client.report("s")["replay_of"] == "b"
    client.submit(DOCUMENT)
    assert not {"select", "max_orders", "replay_of"} & redis_client.hgetall(keys.batch("b")).keys()
