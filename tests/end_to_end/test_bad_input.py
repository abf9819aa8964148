import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from celery import Celery

from tasks import keys
from tasks.errors import DocumentRefused, UnknownBatch
from tests.end_to_end.batches import document, fresh_id, judge, named, run
from tests.end_to_end.stage import VENUES, Stage, producing
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

UUID: Final = "6c1eac69-b9bc-4fbf-9982-e9c4641c453f"
ORDER: Final = {"order_id": UUID, "account": "upbit-sim"}

# What is wrong, the document's fields, and a part of each error that has to be told.
BAD: Final[list[tuple[str, dict[str, Any], list[str]]]] = [
    ("no orders", {"orders": []}, ["orders"]),
    ("orders missing", {"orders": None}, ["orders"]),
    ("orders not an array", {"orders": {"order_id": UUID}}, ["orders"]),
    ("an order that is text", {"orders": [UUID, ORDER, 7, None]}, ["orders.0", "orders.2", "orders.3"]),
    ("too many orders", {"orders": [ORDER] * 100_001}, ["100,001"]),
    ("an unknown field", {"prioritty": "kill"}, ["prioritty"]),
    ("an unknown field of an order", {"orders": [ORDER | {"side": "buy"}]}, ["side"]),
    ("two ids", {"orders": [ORDER | {"client_order_id": "leg-7"}]}, ["orders.0"]),
    ("no id", {"orders": [{"account": "upbit-sim"}]}, ["orders.0"]),
    ("an id that is a number", {"orders": [ORDER | {"order_id": 12345678901234567890}]}, ["order_id"]),
    ("an empty id", {"orders": [ORDER | {"order_id": ""}]}, ["order_id"]),
    ("a control character in an id", {"orders": [ORDER | {"order_id": "a\nb"}]}, ["order_id"]),
    ("a control character in a symbol", {"orders": [ORDER | {"symbol": "a\x00b"}]}, ["symbol"]),
    ("a control character in the reason", {"reason": "a\x1b[31mb"}, ["reason"]),
    ("a lone surrogate in the reason", {"reason": "\ud800"}, ["reason"]),
    ("a reason of 5 MB", {"reason": "x" * 5_000_000}, ["reason"]),
    ("a name of 201 characters", {"requested_by": "x" * 201}, ["requested_by"]),
    ("no account at all", {"orders": [{"order_id": UUID}]}, ["account"]),
    ("another version", {"version": 2}, ["version"]),
    ("a version that is text", {"version": "1"}, ["version"]),
    ("a version that is true", {"version": True}, ["version"]),
    ("no version", {"version": None}, ["version"]),
    ("an unknown priority", {"priority": "urgent"}, ["priority"]),
    ("a priority that is an array", {"priority": ["kill"]}, ["priority"]),
    ("a deadline of nothing", {"deadline_s": 0}, ["deadline_s"]),
    ("a deadline of a day", {"deadline_s": 86_400}, ["deadline_s"]),
    ("a deadline that no float can hold", {"deadline_s": 10**400}, ["deadline_s"]),
    ("a deadline that is text", {"deadline_s": "60"}, ["deadline_s"]),
    ("a deadline that is true", {"deadline_s": True}, ["deadline_s"]),
    ("prove that is text", {"prove": "yes"}, ["prove"]),
    ("prove that is a number", {"prove": 1}, ["prove"]),
    (
        "everything at once",
        {"version": 3, "priority": "x", "deadline_s": -1, "prove": "n", "reason": 5, "orders": [{}, {"order_id": 1}]},
        ["version", "priority", "deadline_s", "prove", "reason", "orders.0", "orders.1"],
    ),
]
SMALL: Final = [case for case in BAD if case[0] in {"no orders", "two ids", "an unknown field", "everything at once"}]
every_bad_document = pytest.mark.parametrize(("fields", "errors"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
every_small_one = pytest.mark.parametrize(("fields", "errors"), [c[1:] for c in SMALL], ids=[c[0] for c in SMALL])


@pytest.fixture(scope="module")
def celery_app(shared_stage: Stage) -> Iterator[Celery]:
    with producing(shared_stage.redis.url) as app:
        yield app


@pytest.fixture(autouse=True)
def unharmed(stage: Stage) -> Iterator[None]:
    """After each test nothing was sent, and the same worker carries out a good batch."""
    pid = stage.workers[0].pid
    yield
    assert [call for call in stage.control.log() if call["method"] != "GET"] == []
    asked = named(stage.control.seed("binance-sim", 2), "binance-sim")
    report, outcomes = run(stage, document(asked))
    assert report["verdict"] == "flat"
    judge(stage, asked, report, outcomes)
    assert stage.workers[0].running()
    assert stage.workers[0].pid == pid


def bad(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (document([ORDER]) | fields).items() if value is not None}


def told(given: list[str], expected: list[str]) -> bool:
    """Say whether each expected part is in an error of its own."""
    return len(given) >= len(expected) and all(any(part in line for line in given) for part in expected)


def check_recorded(stage: Stage, batch_id: str, expected: list[str]) -> None:
    """The batch is refused under its id, with every error, and there is an event that says so."""
    assert until(lambda: stage.events("batch.refused", batch_id=batch_id))
    (event,) = stage.events("batch.refused", batch_id=batch_id)
    report = stage.client.report(batch_id)
    assert report["state"] == "refused"
    assert report["verdict"] is None
    assert report["calls"] == 0
    assert told(report["errors"], expected), report["errors"]
    assert json.loads(event["errors"]) == report["errors"]
    assert event["at_ms"].isdecimal()


@every_bad_document
def test_by_the_stream(stage: Stage, fields: dict[str, Any], errors: list[str]) -> None:
    given = bad(fields)

    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(given)})

    check_recorded(stage, given["batch_id"], errors)
    assert until(lambda: stage.raw.xlen("ripcord:inbox") == 0)


@every_bad_document
def test_by_the_client(stage: Stage, fields: dict[str, Any], errors: list[str]) -> None:
    given = bad(fields)

    with pytest.raises(DocumentRefused) as refused:
        stage.client.submit(given)

    assert told(list(refused.value.errors), errors), refused.value.errors
    check_recorded(stage, given["batch_id"], errors)


@every_bad_document
def test_by_celery(stage: Stage, celery_app: Celery, fields: dict[str, Any], errors: list[str]) -> None:
    given = bad(fields)

    with pytest.raises(ValueError, match=errors[0]) as refused:
        celery_app.send_task("ripcord.cancel_batch", [given], queue="ripcord.risk").get(timeout=20)

    assert told(str(refused.value).split("; "), errors), refused.value
    check_recorded(stage, given["batch_id"], errors)


@every_small_one
def test_by_a_file(stage: Stage, fields: dict[str, Any], errors: list[str]) -> None:
    given = bad(fields)

    done = stage.here("cancel", "--file", "-", "--json", "--wait", "5", stdin=json.dumps(given))

    assert done.returncode == 2, done.stderr
    printed = json.loads(done.stdout)
    assert printed["state"] == "refused"
    assert told(printed["errors"], errors)
    assert all(line in done.stderr for line in printed["errors"])
    check_recorded(stage, given["batch_id"], errors)


@pytest.mark.parametrize(
    "raw",
    ["", "no JSON", "[]", "null", '"text"', "7", "{", '{"version": 1', "[" * 100_000, '{"version": NaN}', "\x00"],
    ids=repr,
)
def test_what_is_no_document_is_recorded_as_an_event(stage: Stage, raw: str) -> None:
    before = len(stage.events("batch.refused"))

    stage.raw.xadd("ripcord:inbox", {"batch": raw})

    assert until(lambda: len(stage.events("batch.refused")) == before + 1)
    event = stage.events("batch.refused")[-1]
    assert event["batch_id"] == ""
    assert json.loads(event["errors"])


@pytest.mark.parametrize("fields", [{"bach": "{}"}, {"document": "{}", "x": "y"}], ids=repr)
def test_an_entry_without_the_field_is_recorded_as_an_event(stage: Stage, fields: dict[Any, Any]) -> None:
    before = len(stage.events("batch.refused"))

    stage.raw.xadd("ripcord:inbox", fields)

    assert until(lambda: len(stage.events("batch.refused")) == before + 1)
    assert "batch" in stage.events("batch.refused")[-1]["errors"]


def test_bytes_that_are_no_text_are_recorded_as_an_event(stage: Stage) -> None:
    before = len(stage.events("batch.refused"))

    stage.raw.xadd("ripcord:inbox", {"batch": b'{"version": 1, "reason": "\xff\xfe"}'})

    assert until(lambda: len(stage.events("batch.refused")) == before + 1)


@pytest.mark.parametrize("batch_id", ["", "a b", "x" * 129, "ä", 7, ["a"], {"a": 1}, "a\n", "../x"], ids=repr)
def test_an_unusable_id_is_told_by_an_event_alone(stage: Stage, batch_id: object) -> None:
    before = len(stage.events("batch.refused"))
    batches = stage.raw.zcard(keys.BATCHES)

    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(document([ORDER], batch_id=batch_id))})

    assert until(lambda: len(stage.events("batch.refused")) == before + 1)
    event = stage.events("batch.refused")[-1]
    assert event["batch_id"] == ""
    assert "batch_id" in event["errors"]
    assert stage.raw.zcard(keys.BATCHES) == batches


@pytest.mark.parametrize(
    "orders", [[{"order_id": UUID, "account": "nobody"}], [ORDER, {"order_id": "1", "account": "x"}]]
)
def test_an_account_that_nobody_configured_refuses_the_whole_batch(
    stage: Stage, celery_app: Celery, orders: list[dict[str, str]]
) -> None:
    stranger = orders[-1]["account"]
    by_stream, by_client, by_task, by_cli = (document(orders) for _ in range(4))

    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(by_stream)})
    stage.client.submit(by_client)
    with pytest.raises(ValueError, match=stranger):
        celery_app.send_task("ripcord.cancel_batch", [by_task], queue="ripcord.kill").get(timeout=20)
    done = stage.here("cancel", "--file", "-", "--json", stdin=json.dumps(by_cli))

    assert done.returncode == 2
    assert stranger in done.stdout
    assert stage.client.wait(by_client["batch_id"], 20)["state"] == "refused"
    for each in (by_stream, by_client, by_task, by_cli):
        check_recorded(stage, each["batch_id"], [stranger])
        assert "upbit-sim" in stage.client.report(each["batch_id"])["errors"][0]


def test_every_unknown_account_is_listed(stage: Stage) -> None:
    given = document([{"order_id": str(n), "account": f"nobody-{n}"} for n in range(20)])

    stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(given)})

    check_recorded(stage, given["batch_id"], [f"'nobody-{n}'" for n in range(20)])


def test_a_thousand_errors_are_cut_and_counted(stage: Stage) -> None:
    given = document([{"order_id": n, "account": "upbit-sim"} for n in range(1_000)])

    with pytest.raises(DocumentRefused) as refused:
        stage.client.submit(given)

    assert len(refused.value.errors) == 101
    assert "900 more" in refused.value.errors[-1]


@pytest.mark.parametrize(
    ("arguments", "named_arguments"),
    [
        ([], {}),
        ([{"version": 1}, {"version": 1}], {}),
        ([], {"batch": {"version": 1}}),
        ([{"version": 1}], {"document": {"version": 1}}),
        (["not a document"], {}),
        ([7], {}),
        ([None], {}),
        ([["a"]], {}),
        ([], {"document": "x" * 1000}),
    ],
    ids=repr,
)
def test_a_task_with_wrong_arguments(
    stage: Stage, celery_app: Celery, arguments: list[Any], named_arguments: dict[str, Any]
) -> None:
    before = len(stage.events("batch.refused"))

    result = celery_app.send_task("ripcord.cancel_batch", arguments, named_arguments, queue="ripcord.kill")

    with pytest.raises(ValueError, match=r"."):
        result.get(timeout=20)
    assert len(stage.events("batch.refused")) == before + 1


def test_an_unknown_task_and_a_wrong_hint_harm_nobody(stage: Stage, celery_app: Celery) -> None:
    celery_app.send_task("ripcord.no_such_task", [1], queue="ripcord.kill")
    celery_app.send_task("ripcord.drain", ["nobody"], queue="ripcord.kill")
    celery_app.send_task("ripcord.drain", [["a"], 2], queue="ripcord.kill")
    celery_app.send_task("ripcord.drain", [{"a": 1}], queue="ripcord.kill")
    done = celery_app.send_task("ripcord.cancel_batch", [bad({"version": 9})], queue="ripcord.cleanup")

    with pytest.raises(ValueError, match="version"):
        done.get(timeout=20)


@pytest.mark.parametrize("how", ["stream", "client", "celery", "file"])
def test_a_known_id_with_other_content_is_refused_and_the_first_batch_stays(
    stage: Stage, celery_app: Celery, how: str
) -> None:
    asked = named(stage.control.seed("kuna-sim", 1, canceled=1), "kuna-sim")
    invalid = [{"order_id": "no UUID", "account": "kuna-sim"}]  # is not sent, so that the log stays empty
    first = document(invalid, reason="first")
    report, _ = run(stage, first)
    other = first | {"orders": asked}
    before = len(stage.events("batch.refused"))

    send: dict[str, Callable[[], object]] = {
        "stream": lambda: stage.raw.xadd("ripcord:inbox", {"batch": json.dumps(other)}),
        "client": lambda: stage.client.submit(other),
        "celery": lambda: celery_app.send_task("ripcord.cancel_batch", [other], queue="ripcord.kill").get(timeout=20),
        "file": lambda: stage.here("cancel", "--file", "-", stdin=json.dumps(other)),
    }
    if how in {"client", "celery"}:
        with pytest.raises(ValueError, match="known with other content"):
            send[how]()
    else:
        answer = send[how]()
        assert how == "stream" or getattr(answer, "returncode") == 2  # noqa: B009  # of two kinds

    assert until(lambda: len(stage.events("batch.refused")) == before + 1)
    assert "known with other content" in stage.events("batch.refused")[-1]["errors"]
    assert stage.client.report(first["batch_id"]) == report


def test_a_refused_id_may_be_used_again_with_a_good_document(stage: Stage) -> None:
    given = bad({"priority": "urgent"})
    with pytest.raises(DocumentRefused):
        stage.client.submit(given)
    good = document([{"order_id": "no UUID", "account": "kuna-sim"}], batch_id=given["batch_id"])

    report, outcomes = run(stage, good)

    assert report["errors"] == []
    assert report["counts"] == {"invalid": 1}
    judge(stage, good["orders"], report, outcomes)


def test_nothing_of_a_refused_batch_is_known(stage: Stage) -> None:
    given = bad({"version": 5})
    with pytest.raises(DocumentRefused):
        stage.client.submit(given)

    assert stage.client.outcomes(given["batch_id"]) == []
    with pytest.raises(UnknownBatch):
        stage.client.report(fresh_id())


def test_a_batch_of_invalid_references_alone_is_done_at_once(stage: Stage) -> None:
    bad_ids = {"binance": "abc", "crypto_com": "", "kuna": "x", "upbit": "y", "weex": ""}
    asked = [
        {"client_order_id": "x" * 60 if bad_ids[venue] == "" else bad_ids[venue], "account": f"{venue}-sim"}
        for venue in VENUES
        if venue != "upbit"
    ]
    asked += [{"order_list_id": "7", "account": f"{venue}-sim"} for venue in VENUES if venue != "binance"]
    asked += [{"order_id": "7", "account": "binance-sim"}]

    report, outcomes = run(stage, document(asked), 10)

    assert report["counts"] == {"invalid": len(asked)}
    assert report["verdict"] == "not_flat"
    assert all(row["message"] and row["evidence"] == "reference" and row["attempts"] == 0 for row in outcomes)
    judge(stage, asked, report, outcomes)
