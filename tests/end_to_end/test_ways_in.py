import csv
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from celery import Celery

from tasks.errors import UnknownBatch
from tests.end_to_end.audit import Truth, audit
from tests.end_to_end.batches import Document, Rows, document, jsonl, judge, named, run, stranger, what_came_of
from tests.end_to_end.stage import VENUES, Stage, producing
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

Way = Callable[[Stage, Document], str]


@pytest.fixture(scope="module")
def celery_app(shared_stage: Stage) -> Iterator[Celery]:
    with producing(shared_stage.redis.url) as app:
        yield app


def by_stream(stage: Stage, given: Document) -> str:
    with redis.Redis.from_url(stage.redis.url) as plain:
        plain.execute_command("XADD", "ripcord:inbox", "*", "batch", json.dumps(given))
    return str(given["batch_id"])


def by_client(stage: Stage, given: Document) -> str:
    return stage.client.submit(given)


def by_document_file(stage: Stage, given: Document) -> str:
    file = stage.folder / "batch.json"
    file.write_text(json.dumps(given, indent=1), encoding="utf-8")
    return printed_id(stage.cli("cancel", "--file", str(file), "--json"))


def by_document_on_stdin(stage: Stage, given: Document) -> str:
    return printed_id(stage.cli("cancel", "--file", "-", "--json", stdin=json.dumps(given)))


def by_json_lines(stage: Stage, given: Document) -> str:
    return printed_id(stage.cli("cancel", "--file", "-", "--json", *options(given), stdin=jsonl(given["orders"])))


def by_csv(stage: Stage, given: Document) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["account", "symbol", "order_id", "client_order_id", "order_list_id"])
    writer.writeheader()
    writer.writerows(given["orders"])
    file = stage.folder / "orders.csv"
    file.write_text(text.getvalue(), encoding="utf-8")
    return printed_id(stage.cli("cancel", "--file", str(file), "--json", *options(given)))


def options(given: Document) -> list[str]:
    return [
        "--batch-id", given["batch_id"], "--priority", given["priority"], "--deadline", str(given["deadline_s"]),
        "--by", given["requested_by"], "--reason", given["reason"], "--no-prove",
    ]  # fmt: skip


def printed_id(done: Any) -> str:
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == {"batch_id": printed["batch_id"], "known": False}
    return str(printed["batch_id"])


def is_known(stage: Stage, batch_id: str) -> bool:
    """Say whether a worker has taken a batch out of the inbox, which nothing but this tells a producer who XADDs."""
    try:
        return bool(stage.client.report(batch_id))
    except UnknownBatch:
        return False


def mixed_book(stage: Stage) -> Rows:
    """Open, partly filled, filled, canceled and unknown orders of every venue, and order lists."""
    rows: Rows = []
    for venue in VENUES:
        account = f"{venue}-sim"
        seeded = stage.control.seed(account, 6, filled=1, canceled=1, partly=1, lists=int(venue == "binance"))
        rows += named(seeded, account)
        rows.append(stranger(venue, account, seeded[0]["symbol"]))
    return rows


def given_for(orders: Rows) -> Document:
    return document(orders, priority="kill", requested_by="tests", reason="every way in")


@pytest.fixture(scope="module")
def reference(shared_stage: Stage) -> tuple[dict[str, Any], list[Any]]:
    """What the Client's way gives over the mixed book: the others must give the same."""
    shared_stage.clean()
    orders = mixed_book(shared_stage)
    report, outcomes = run(shared_stage, given_for(orders))
    judge(shared_stage, orders, report, outcomes)
    return report["counts"], what_came_of(outcomes)


@pytest.mark.parametrize(
    "way",
    [by_stream, by_client, by_document_file, by_document_on_stdin, by_json_lines, by_csv],
    ids=lambda way: way.__name__,
)
def test_every_way_in_gives_the_same_outcomes(stage: Stage, reference: tuple[Any, Any], way: Way) -> None:
    given = given_for(mixed_book(stage))

    batch_id = way(stage, given)

    assert batch_id == given["batch_id"]
    assert until(lambda: is_known(stage, batch_id))
    report = stage.client.wait(batch_id, 40)
    outcomes = stage.client.outcomes(batch_id)
    judge(stage, given["orders"], report, outcomes)
    assert (report["counts"], what_came_of(outcomes)) == reference
    assert (report["priority"], report["requested_by"], report["reason"]) == ("kill", "tests", "every way in")


@pytest.mark.parametrize("queue", ["ripcord.kill", "ripcord.risk", "ripcord.cleanup"])
def test_a_celery_task_gives_the_report_once_the_batch_is_done(
    stage: Stage, celery_app: Celery, reference: tuple[Any, Any], queue: str
) -> None:
    given = given_for(mixed_book(stage))
    stage.control.fault("latency", delay_ms=200, calls=1)

    report = celery_app.send_task("ripcord.cancel_batch", [given], queue=queue).get(timeout=40)

    assert report["state"] == "done"
    assert report == stage.client.report(given["batch_id"])
    outcomes = stage.client.outcomes(given["batch_id"])
    judge(stage, given["orders"], report, outcomes)
    assert (report["counts"], what_came_of(outcomes)) == reference


def test_a_celery_task_takes_the_document_by_name_and_makes_an_id(stage: Stage, celery_app: Celery) -> None:
    given = document(named(stage.control.seed("binance-sim", 2), "binance-sim"))
    del given["batch_id"]

    result = celery_app.send_task("ripcord.cancel_batch", kwargs={"document": given}, queue="ripcord.risk")
    report = result.get(timeout=40)

    assert report["batch_id"]
    assert report["verdict"] == "flat"
    assert stage.client.report(report["batch_id"]) == report


def test_the_task_of_a_batch_that_is_done_gives_its_report_again(stage: Stage, celery_app: Celery) -> None:
    given = document(named(stage.control.seed("binance-sim", 2), "binance-sim"))
    first = celery_app.send_task("ripcord.cancel_batch", [given], queue="ripcord.kill").get(timeout=40)

    again = celery_app.send_task("ripcord.cancel_batch", [given], queue="ripcord.kill").get(timeout=40)

    assert again == first
    assert len(stage.control.log()) == 2


def test_ids_are_made_where_a_document_has_none(stage: Stage) -> None:
    given = document(named(stage.control.seed("binance-sim", 1), "binance-sim"))
    del given["batch_id"]

    first, second = stage.client.submit(given), stage.client.submit(given)

    assert first != second
    assert {stage.client.wait(batch_id, 40)["state"] for batch_id in (first, second)} == {"done"}


def test_a_document_without_an_id_in_the_stream_is_found_by_its_event(stage: Stage) -> None:
    given = document(named(stage.control.seed("binance-sim", 1), "binance-sim"), reason="no id in the stream")
    del given["batch_id"]
    before = {event["batch_id"] for event in stage.events("batch.accepted")}

    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(given)})

    assert until(lambda: {event["batch_id"] for event in stage.events("batch.accepted")} - before)
    (batch_id,) = {event["batch_id"] for event in stage.events("batch.accepted")} - before
    assert stage.client.wait(batch_id, 40)["reason"] == "no id in the stream"


@pytest.mark.parametrize("first", [by_stream, by_client, by_document_file], ids=lambda way: way.__name__)
@pytest.mark.parametrize("running", [True, False], ids=["running", "done"])
def test_the_same_id_again_sends_nothing_twice(stage: Stage, celery_app: Celery, first: Way, *, running: bool) -> None:
    given = document([row for venue in ("binance", "upbit") for row in seeded(stage, venue, 5)])
    if running:
        stage.control.fault("latency", delay_ms=300)
    first(stage, given)
    assert until(lambda: is_known(stage, given["batch_id"]))
    if not running:
        stage.client.wait(given["batch_id"], 40)
    differently_written = json.loads(json.dumps(given, sort_keys=True)) | {"priority": "risk"}

    assert stage.client.hand_over(differently_written).known
    assert json.loads(stage.cli("cancel", "--file", "-", "--json", stdin=json.dumps(given)).stdout) == {
        "batch_id": given["batch_id"], "known": True,
    }  # fmt: skip
    by_stream(stage, given)
    report = celery_app.send_task("ripcord.cancel_batch", [given], queue="ripcord.kill").get(timeout=40)

    assert until(lambda: stage.raw.xlen("ripcord:inbox") == 0)
    assert report == stage.client.report(given["batch_id"])
    judge(stage, given["orders"], report, stage.client.outcomes(given["batch_id"]))
    asked = [name for call in stage.control.log() for name in call["asked"]]
    assert len(asked) == len(set(asked)) == 10
    assert len(stage.events("batch.accepted", batch_id=given["batch_id"])) == 1
    assert len(stage.events("batch.done", batch_id=given["batch_id"])) == 1


def test_three_at_once_are_one_batch(stage: Stage) -> None:
    given = document([row for venue in ("binance", "upbit") for row in seeded(stage, venue, 5)])

    with ThreadPoolExecutor(3) as pool:
        handed = list(pool.map(stage.client.hand_over, [given] * 3))

    assert sorted(each.known for each in handed) == [False, True, True]
    report = stage.client.wait(given["batch_id"], 40)
    judge(stage, given["orders"], report, stage.client.outcomes(given["batch_id"]))
    asked = [name for call in stage.control.log() for name in call["asked"]]
    assert len(asked) == len(set(asked)) == 10


def test_the_same_order_twice_is_one_order_with_one_outcome(stage: Stage) -> None:
    rows = seeded(stage, "binance", 2) + seeded(stage, "upbit", 2)
    given = document([*rows, *reversed(rows), rows[0]])

    report, outcomes = run(stage, given)

    assert report["orders"] == len(outcomes) == 4
    judge(stage, given["orders"], report, outcomes)


def test_no_batch_id_takes_what_belongs_to_another(stage: Stage) -> None:
    """Ids may hold colons, as the names of Redis' keys do."""
    first = document(seeded(stage, "upbit", 3))
    run(stage, first)
    kinds = ("orders", "outcomes", "names", "chunks", "awaiting", "batch", "chunk")
    others = [document(seeded(stage, "binance", 1), batch_id=f"{first['batch_id']}:{kind}") for kind in kinds]
    others += [document(seeded(stage, "binance", 1), batch_id=f"{kind}:{first['batch_id']}") for kind in kinds]

    for each in others:
        report, outcomes = run(stage, each)
        assert report["verdict"] == "flat"
        assert len(outcomes) == 1

    report, outcomes = stage.client.report(first["batch_id"]), stage.client.outcomes(first["batch_id"])
    truth = Truth.of(stage.control, ["upbit-sim"])
    assert audit(truth, first["orders"], report, outcomes) == []


def test_a_large_batch_goes_through(stage: Stage) -> None:
    """Large enough for several slices of the plan, with one document of some 300 kB in the stream."""
    stage.control.limits(venue="upbit", enabled=False)
    rows = named(stage.control.seed("upbit-sim", 2_000), "upbit-sim")
    given = document(rows, deadline_s=5)

    by_stream(stage, given)

    assert until(lambda: is_known(stage, given["batch_id"]))
    report = stage.client.wait(given["batch_id"], 40)
    judge(stage, rows, report, stage.client.outcomes(given["batch_id"]))
    stage.control.limits(venue="upbit", enabled=True)


def seeded(stage: Stage, venue: str, count: int, **plan: Any) -> Rows:
    return named(stage.control.seed(f"{venue}-sim", count, **plan), f"{venue}-sim")
