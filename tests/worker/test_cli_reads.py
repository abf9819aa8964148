import csv
import io
import json
import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tasks import keys
from tests.end_to_end.batches import document, named, run
from tests.end_to_end.stage import VENUES, Process, Stage, staged
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

OUTCOME: Final[dict[str, tuple[type, ...]]] = {
    "account": (str,),
    "venue": (str,),
    "symbol": (str, type(None)),
    "order_id": (str, type(None)),
    "client_order_id": (str, type(None)),
    "order_list_id": (str, type(None)),
    "client_order_list_id": (str, type(None)),
    "status": (str,),
    "verdict": (str,),
    "filled_qty": (str, type(None)),
    "code": (str, type(None)),
    "message": (str, type(None)),
    "evidence": (str, type(None)),
    "attempts": (int,),
    "updated_ms": (int, type(None)),
}
STATUSES: Final = {
    "pending", "canceled", "filled", "closed", "accepted", "not_found", "rejected", "open", "not_sent", "invalid",
    "unknown",
}  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("reads")) as stage:
        stage.worker()
        yield stage


@pytest.fixture(scope="module")
def finished(stage: Stage) -> dict[str, Any]:
    """The report of a batch in which there is something of everything."""
    asked = []
    for venue in VENUES:
        asked += named(stage.control.seed(f"{venue}-sim", 4, filled=1), f"{venue}-sim")
    asked += named(stage.control.seed("binance-sim", lists=1), "binance-sim")
    asked += named(stage.control.seed("weex-sim", 1), "weex-sim", "client_order_id")
    asked.append({"order_id": "no number", "symbol": "LTCBTC", "account": "binance-sim"})
    return run(stage, document(asked, requested_by="désk", reason='[bold]reads[/bold], ,"quoted"'))[0]


def test_show_as_json(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("show", finished["batch_id"], "--json")

    assert json.loads(done.stdout) == finished
    assert done.returncode == 1
    assert done.stderr == ""


def test_show_for_people(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("show", finished["batch_id"])

    assert done.returncode == 1
    assert finished["batch_id"] in done.stdout
    assert "not_flat" in done.stdout
    assert "désk" in done.stdout
    assert '[bold]reads[/bold], ,"quoted"' in done.stdout
    assert done.stderr == ""


def test_watch_of_a_finished_batch(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("watch", finished["batch_id"], "--json")

    assert json.loads(done.stdout) == finished
    assert done.returncode == 1


def test_outcomes_as_json_lines(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("outcomes", finished["batch_id"], "--json")

    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == finished["orders"]
    for row in rows:
        assert list(row) == list(OUTCOME)
        for name, kinds in OUTCOME.items():
            assert type(row[name]) in kinds, (name, row[name])
        assert row["status"] in STATUSES
        assert row["venue"] == row["account"].removesuffix("-sim")
        assert any(row[name] for name in list(OUTCOME)[3:7])
        assert finished["submitted_ms"] <= row["updated_ms"] <= finished["done_ms"]
    assert rows == stage.client.outcomes(finished["batch_id"])
    assert done.stderr == ""


def test_outcomes_as_csv(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("outcomes", finished["batch_id"], "--csv")

    rows = list(csv.DictReader(io.StringIO(done.stdout), strict=True))
    assert list(rows[0]) == list(OUTCOME)
    expected = stage.client.outcomes(finished["batch_id"])
    assert rows == [{name: "" if value is None else str(value) for name, value in row.items()} for row in expected]


def test_outcomes_for_people(stage: Stage, finished: dict[str, Any]) -> None:
    done = stage.here("outcomes", finished["batch_id"])

    assert len(done.stdout.splitlines()) == finished["orders"] + 1
    for row in stage.client.outcomes(finished["batch_id"]):
        assert any(row[name] and row[name] in done.stdout for name in list(OUTCOME)[3:7])


@pytest.mark.parametrize("verdict", ["gone", "live", "unproven"])
@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_outcomes_of_one_verdict(stage: Stage, finished: dict[str, Any], verdict: str, form: str | None) -> None:
    done = stage.here("outcomes", finished["batch_id"], "--verdict", verdict, *([form] if form else []))

    assert len(done.stdout.splitlines()) == finished[verdict] + (form != "--json")


def test_list(stage: Stage, finished: dict[str, Any]) -> None:
    later = run(stage, document([{"order_id": "x", "account": "kuna-sim"}]))[0]

    as_json, limited, plain = (
        stage.here("list", "--json"),
        stage.here("list", "--json", "--limit", "1"),
        stage.here("list"),
    )

    listed = json.loads(as_json.stdout)
    assert listed[0] == later
    assert finished in listed
    assert [row["submitted_ms"] for row in listed] == sorted((row["submitted_ms"] for row in listed), reverse=True)
    assert json.loads(limited.stdout) == [later]
    assert finished["batch_id"] in plain.stdout
    assert (as_json.returncode, limited.returncode, plain.returncode) == (0, 0, 0)


def test_show_and_watch_of_a_batch_that_runs(stage: Stage) -> None:
    stage.control.fault("latency", venue="kuna", delay_ms=300)
    running = stage.client.submit(document(named(stage.control.seed("kuna-sim", 25), "kuna-sim")))
    assert until(lambda: stage.client.report(running)["state"] == "running")
    stage.workers[0].send(signal.SIGSTOP)  # so that it runs for as long as is looked at

    shown = stage.here("show", running, "--json")
    with Process(("worker", "watch", running, "--json"), stage.folder / "watch.log", stage.config) as watching:
        assert until(lambda: "kuna-sim" in watching.text())
        stage.workers[0].send(signal.SIGCONT)
        code = watching.end(signal.SIGCONT)  # it ends by itself

    assert shown.returncode == 0
    assert json.loads(shown.stdout)["verdict"] is None
    assert code in (0, 3)
    assert json.loads(watching.text().splitlines()[-1])["state"] == "done"
    stage.control.clear_faults()


def test_show_list_and_watch_of_a_batch_that_was_refused(stage: Stage) -> None:
    stage.raw.xadd("ripcord:inbox", {"batch": '{"batch_id": "refused-1", "version": 9, "orders": []}'})
    assert until(lambda: stage.events("batch.refused", batch_id="refused-1"))

    refused = [stage.here(*words, "refused-1", "--json") for words in (["show"], ["watch"])]
    plain = stage.here("show", "refused-1")

    for done in refused:
        assert done.returncode == 2
        assert json.loads(done.stdout)["state"] == "refused"
        assert json.loads(done.stdout)["errors"]
    assert plain.returncode == 2
    assert "version" in plain.stdout
    assert "refused-1" in stage.here("list").stdout


def test_check_names_accounts_and_workers_and_calls_no_venue(stage: Stage) -> None:
    stage.control.reset()

    as_json, plain = stage.here("check", "--json"), stage.here("check")

    assert (as_json.returncode, plain.returncode) == (0, 0)
    found = json.loads(as_json.stdout)
    assert {row["account"] for row in found["accounts"]} == {f"{venue}-sim" for venue in VENUES}
    assert len(found["workers"]) == 1
    assert found["redis"] == "reachable"
    for row in found["accounts"]:
        assert row["account"] in plain.stdout
        assert row["venue"] in VENUES
        assert row["limits"]
        assert row["takes"]
        assert row["paused"] is None
    assert stage.control.log() == []


def test_venues_says_what_each_takes_and_proves(stage: Stage) -> None:
    as_json, plain = stage.here("venues", "--json"), stage.here("venues")

    rows = {row["venue"]: row for row in json.loads(as_json.stdout)}
    assert set(rows) == set(VENUES)
    assert all(row["limits"] and row["success_proves"] and row["takes"] for row in rows.values())
    assert rows["kuna"]["takes"] == ["order_id"]
    assert len(rows["binance"]["takes"]) == 4
    assert [venue for venue, row in rows.items() if row["symbol"] == "required"] == ["binance"]
    assert all(row["success_proves"] in plain.stdout for row in rows.values())


def test_a_paused_account_is_shown_by_check(stage: Stage) -> None:
    stage.control.fault("rate_429", venue="kuna", delay_ms=1_000, calls=1)
    batch_id = stage.client.submit(document(named(stage.control.seed("kuna-sim", 1), "kuna-sim")))
    assert until(lambda: stage.client.pauses(["kuna-sim"]))
    (key,) = stage.raw.smembers(keys.PAUSED)
    stage.raw.hset(key, "until_ms", 10**13)  # so that it lasts for this test

    found = json.loads(stage.here("check", "--json").stdout)

    paused = {row["account"]: row["paused"] for row in found["accounts"]}
    assert "rate_limit" in paused.pop("kuna-sim")
    assert set(paused.values()) == {None}
    stage.raw.hset(key, "until_ms", 0)
    assert stage.client.wait(batch_id, 30)["state"] == "done"


def test_outcomes_before_planning_say_so_where_they_cannot_be_shown(stage: Stage) -> None:
    stage.raw.hset(keys.batch("unplanned"), mapping={"batch_id": "unplanned", "state": "accepted", "orders": 3})

    done = stage.here("outcomes", "unplanned", "--json")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "ripcord: batch unplanned is not planned yet: none of its 3 orders can be shown\n"
