import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.end_to_end.batches import document, fresh_id, jsonl, judge, named
from tests.end_to_end.stage import VENUES, Process, Stage, secrets_of, staged
from tests.end_to_end.waiting import until
from worker.settings import child_environment

pytestmark = pytest.mark.processes

COMMANDS: Final = (
    "demo", "worker", "simulator", "cancel", "kill", "replay", "show", "outcomes", "watch", "list", "beat",
    "heartbeats", "check", "venues",
)  # fmt: skip
REPORT: Final[dict[str, tuple[type, ...]]] = {
    "batch_id": (str,),
    "state": (str,),
    "verdict": (str, type(None)),
    "orders": (int,),
    "gone": (int,),
    "live": (int,),
    "unproven": (int,),
    "counts": (dict,),
    "calls": (int,),
    "priority": (str,),
    "requested_by": (str, type(None)),
    "reason": (str, type(None)),
    "replay_of": (type(None),),
    "submitted_ms": (int,),
    "first_call_ms": (int, type(None)),
    "done_ms": (int, type(None)),
    "errors": (list,),
}
UUID: Final = "6c1eac69-b9bc-4fbf-9982-e9c4641c453f"


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("cli")) as stage:
        stage.worker()
        yield stage


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.clean()
    return module_stage


def check_shape(report: dict[str, Any]) -> None:
    assert list(report) == list(REPORT)
    for name, kinds in REPORT.items():
        assert type(report[name]) in kinds, (name, report[name])
    assert all(type(number) is int and number > 0 for number in report["counts"].values())


def ids_of(stage: Stage, venue: str, count: int, kind: str = "order_id", **plan: Any) -> list[str]:
    return [row[kind] for row in stage.control.seed(f"{venue}-sim", count, **plan)]


# Exit codes


def test_0_when_every_order_is_gone(stage: Stage) -> None:
    ids = ids_of(stage, "binance", 3, symbol="LTCBTC")

    done = stage.cli("cancel", "--account", "binance-sim", "--symbol", "LTCBTC", "--wait", "--json", *ids)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    check_shape(report)
    assert report["verdict"] == "flat"
    asked = [{"account": "binance-sim", "symbol": "LTCBTC", "order_id": each} for each in ids]
    judge(stage, asked, report, stage.client.outcomes(report["batch_id"]))


def test_1_when_an_order_is_known_to_live(stage: Stage) -> None:
    ids = ids_of(stage, "binance", 1)

    done = stage.here("cancel", "--account", "binance-sim", "--wait", "--json", *ids)  # no symbol, so invalid

    assert done.returncode == 1
    check_shape(json.loads(done.stdout))


def test_3_when_something_is_not_proven(stage: Stage) -> None:
    stage.control.fault("error_5xx_before", venue="upbit")
    ids = ids_of(stage, "upbit", 2)

    done = stage.cli("cancel", "--account", "upbit-sim", "--deadline", "2", "--wait", "--json", *ids)

    assert done.returncode == 3, done.stderr
    check_shape(json.loads(done.stdout))
    shown = stage.cli("show", json.loads(done.stdout)["batch_id"])
    assert shown.returncode == 3
    assert "unproven" in shown.stdout


def test_5_when_the_wait_runs_out_and_the_batch_goes_on(stage: Stage) -> None:
    ids = ids_of(stage, "upbit", 1)
    stage.workers[0].send(signal.SIGSTOP)

    done = stage.cli(
        "cancel", "--account", "upbit-sim", "--batch-id", (batch := fresh_id()), "--wait", "0.3", "--json", *ids
    )

    assert done.returncode == 5
    report = json.loads(done.stdout)
    check_shape(report)
    assert (report["batch_id"], report["state"], report["verdict"]) == (batch, "accepted", None)
    assert batch in done.stderr
    assert "goes on" in done.stderr
    shown = stage.cli("show", batch, "--json")
    assert shown.returncode == 0
    check_shape(json.loads(shown.stdout))
    assert json.loads(shown.stdout)["state"] == "accepted"
    stage.workers[0].send(signal.SIGCONT)
    assert stage.client.wait(batch, 20)["state"] == "done"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["--no-such-option", "list"],
        ["cancel"],
        ["cancel", UUID],
        ["cancel", "--account", "upbit-sim"],
        ["cancel", "--account", "upbit-sim", "--no-such-option", UUID],
        ["cancel", "--account", "upbit-sim", "--priority", "urgent", UUID],
        ["cancel", "--account", "upbit-sim", "--deadline", "soon", UUID],
        ["cancel", "--account", "upbit-sim", "--deadline", "0.5", UUID],
        ["cancel", "--account", "upbit-sim", "--deadline", "3601", UUID],
        ["cancel", "--account", "upbit-sim", "--wait=soon", UUID],
        ["cancel", "--account", "upbit-sim", "--wait=0", UUID],
        ["cancel", "--account", "upbit-sim", "--wait=-5", UUID],
        ["cancel", "--account", "nobody", UUID],
        ["cancel", "--account", "upbit-sim", "--batch-id", "a b", UUID],
        ["cancel", "--account", "upbit-sim", "--reason", "x" * 201, UUID],
        ["cancel", "--account", "upbit-sim", "--file", "x.json", UUID],
        ["cancel", "--file", "no-such-file.json"],
        ["cancel", "--file", "/"],
        ["show"],
        ["show", "no-such-batch"],
        ["show", "no-such-batch", "--json"],
        ["show", "a", "b"],
        ["show", "*"],
        ["outcomes", "no-such-batch"],
        ["outcomes", "no-such-batch", "--verdict", "dead"],
        ["outcomes", "no-such-batch", "--json", "--csv"],
        ["watch", "no-such-batch"],
        ["list", "--limit", "0"],
        ["list", "extra"],
        ["check", "extra"],
        ["venues", "extra"],
        ["simulator", "--port", "70000"],
        ["demo", "--orders", "1"],
        ["demo", "--orders", "x"],
    ],
    ids=" ".join,
)
def test_2_for_wrong_usage_with_a_sentence_on_stderr(stage: Stage, arguments: list[str]) -> None:
    done = stage.here(*arguments)

    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert "refused" not in done.stdout
    assert stage.control.log() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, ["no such file", "--config"]),
        ("[redis", ["TOML"]),
        ("[reddis]\nurl = 'x'", ["reddis", "redis", "accounts"]),
        ("[redis]\nurl = 'http://x'", ["redis.url", "redis://"]),
        ("[redis]\nport = 6379", ["redis.port", "url"]),
        ("[accounts.a]\nvenue = 'kraken'\napi_key = 'env:A'", ["accounts.a.venue", "kuna", "upbit"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'env:NOT_SET_ANYWHERE'", ["accounts.a.api_key", "NOT_SET_ANYWHERE"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'file:/no/such/file'", ["accounts.a.api_key", "/no/such/file"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'thevalueitself'", ["accounts.a.api_key", "env:NAME", "file:PATH"]),
        ("[accounts.a]\nvenue = 'upbit'\napi_key = 'env:HOME'", ["accounts.a", "api_secret"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'env:HOME'\nsecret = 'x'", ["accounts.a.secret", "api_secret"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'env:HOME'\nbase_url = 'x'", ["accounts.a.base_url", "http"]),
        ("[accounts.a]\nvenue = 'kuna'\napi_key = 'env:HOME'\n[accounts.a.limits]\nmax_orders_per_call = 21", ["20"]),
        (
            "[accounts.a]\nvenue = 'kuna'\napi_key = 'env:HOME'\n[accounts.a.limits]\nper_day = 1",
            ["per_day", "calls_per_s"],
        ),
        ("[accounts.'a b']\nvenue = 'kuna'\napi_key = 'env:HOME'", ["a b"]),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["worker"]], ids=" ".join)
def test_2_for_a_wrong_configuration_that_names_the_file_and_the_key(
    stage: Stage, text: str | None, says: list[str], command: list[str]
) -> None:
    config = stage.folder / "wrong.toml"
    config.unlink(missing_ok=True)
    if text is not None:
        config.write_text(text, encoding="utf-8")

    done = stage.here("--config", str(config), *command, config=stage.folder / "other.toml")

    assert done.returncode == 2, done.stderr
    assert str(config) in done.stderr
    assert all(part in done.stderr for part in says), done.stderr
    assert "thevalueitself" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# cancel


def test_cancel_without_wait_prints_the_batch_id(stage: Stage) -> None:
    (one, other) = ids_of(stage, "upbit", 2)

    plain = stage.here("cancel", "--account", "upbit-sim", one)
    printed = stage.here("cancel", "--account", "upbit-sim", "--json", other)

    assert plain.returncode == printed.returncode == 0
    assert stage.client.wait(plain.stdout.strip(), 20)["orders"] == 1
    found = json.loads(printed.stdout)
    assert found == {"batch_id": found["batch_id"], "known": False}
    assert stage.client.wait(found["batch_id"], 20)["orders"] == 1


@pytest.mark.parametrize(
    ("venue", "wait"),
    [
        *((venue, ["--wait"]) for venue in VENUES),
        *(("binance", words) for words in (["--wait", "30"], ["--wait=30.5"])),
    ],
)
def test_wait_before_the_ids_takes_a_number_and_never_an_id(stage: Stage, venue: str, wait: list[str]) -> None:
    seeded = stage.control.seed(f"{venue}-sim", 2, symbol=None)
    ids = [row["order_id"] for row in seeded]
    symbol = seeded[0]["symbol"]

    done = stage.here("cancel", "--account", f"{venue}-sim", "--symbol", symbol, "--no-prove", "--json", *wait, *ids)

    report = json.loads(done.stdout)
    assert report["orders"] == 2
    assert [row["order_id"] for row in stage.client.outcomes(report["batch_id"])] == ids


def test_every_option_of_cancel_arrives(stage: Stage) -> None:
    ids = ids_of(stage, "crypto_com", 2, "client_order_id", symbol="CRO_USD")
    batch_id = fresh_id()

    done = stage.here(
        "cancel", "--account", "crypto_com-sim", "--symbol", "CRO_USD", "--client-ids", "--priority", "kill",
        "--deadline", "9.5", "--no-prove", "--by", "desk 7", "--reason", "limit breach: ä", "--batch-id", batch_id,
        "--wait", "20", "--json", *ids,
    )  # fmt: skip

    report = json.loads(done.stdout)
    check_shape(report)
    assert (report["batch_id"], report["priority"]) == (batch_id, "kill")
    assert (report["requested_by"], report["reason"]) == ("desk 7", "limit breach: ä")
    rows = stage.client.outcomes(batch_id)
    assert [row["client_order_id"] for row in rows] == ids
    assert {row["symbol"] for row in rows} == {"CRO_USD"}
    same = {
        "version": 1, "batch_id": batch_id, "account": "crypto_com-sim", "priority": "kill", "deadline_s": 9.5,
        "prove": False, "requested_by": "desk 7", "reason": "limit breach: ä",
        "orders": [{"client_order_id": each, "symbol": "CRO_USD"} for each in ids],
    }  # fmt: skip
    assert stage.client.hand_over(same).known


def test_the_same_batch_id_again_is_known_and_waits_for_the_same_batch(stage: Stage) -> None:
    ids = ids_of(stage, "binance", 2, symbol="LTCBTC")
    arguments = ["cancel", "--account", "binance-sim", "--symbol", "LTCBTC", "--batch-id", fresh_id(), "--json", *ids]
    first = stage.here(*arguments, "--wait")

    known = stage.here(*arguments)
    again = stage.here(*arguments, "--wait")
    other = stage.here(*arguments, "--reason", "another")

    assert json.loads(known.stdout) == {"batch_id": json.loads(first.stdout)["batch_id"], "known": True}
    assert again.stdout == first.stdout
    assert (known.returncode, again.returncode, other.returncode) == (0, 0, 2)
    assert "known with other content" in other.stderr
    assert json.loads(other.stdout)["state"] == "refused"
    assert len(stage.control.log()) == 2


def test_ids_that_look_like_options_go_behind_a_double_dash(stage: Stage) -> None:
    rows = stage.control.seed_orders("binance-sim", [{"client_order_id": "--wait", "symbol": "LTCBTC"}])

    done = stage.here(
        "cancel",
        "--account",
        "binance-sim",
        "--symbol",
        "LTCBTC",
        "--client-ids",
        "--wait",
        "--",
        rows[0]["client_order_id"],
    )

    assert done.returncode == 0, done.stderr


def test_options_stand_above_what_a_file_says(stage: Stage) -> None:
    given = document(named(stage.control.seed("upbit-sim", 1), "upbit-sim"), priority="cleanup", reason="file")

    done = stage.here(
        "cancel", "--file", "-", "--priority", "kill", "--reason", "option", "--wait", "--json", stdin=json.dumps(given)
    )

    report = json.loads(done.stdout)
    assert (report["priority"], report["reason"], report["batch_id"]) == ("kill", "option", given["batch_id"])


def test_the_account_of_the_options_is_for_references_that_name_none(stage: Stage) -> None:
    rows = [{"order_id": each} for each in ids_of(stage, "upbit", 2)]
    rows.append(named(stage.control.seed("kuna-sim", 1), "kuna-sim")[0])

    done = stage.here("cancel", "--file", "-", "--account", "upbit-sim", "--wait", "--json", stdin=jsonl(rows))

    report = json.loads(done.stdout)
    assert [row["account"] for row in stage.client.outcomes(report["batch_id"])] == [
        "upbit-sim",
        "upbit-sim",
        "kuna-sim",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("{", "JSON"),
        ('{"order_id": "1"}\n{"order_id": \n', "line 2"),
        ("id,side\n1,buy\n", "header"),
        ("order_id,account\n1,upbit-sim,extra\n", "line 2"),
        ("just a text\n", "header"),
        ('[{"order_id": "1"}]', "header"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("order_id,account\n", "at least one order"),
        ('{"version": 1, "orders": [], "batch_id": "x"}', "at least one order"),
        ('{"orders": [{"order_id": "1"}]}', "version: must be 1"),
        ('{"order_id": "1", "side": "buy"}', "side"),
        ("order_id,client_order_id,account\n1,2,upbit-sim\n", "exactly one"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_the_line(stage: Stage, text: str | bytes, says: str) -> None:
    done = stage.here("cancel", "--file", "-", "--account", "upbit-sim", "--json", stdin=text)

    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["state"] == "refused"
    assert stage.control.log() == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_files_as_other_systems_write_them(stage: Stage, ending: str, mark: str) -> None:
    ids = ids_of(stage, "upbit", 3)
    text = mark + ending.join(["account, order_id ", *(f"upbit-sim, {each} " for each in ids), "", ""])

    done = stage.here("cancel", "--file", "-", "--wait", "--json", stdin=text)

    report = json.loads(done.stdout)
    assert [row["order_id"] for row in stage.client.outcomes(report["batch_id"])] == ids


def test_the_outcomes_of_a_batch_can_be_handed_in_again(stage: Stage) -> None:
    stage.control.fault("error_5xx_before", venue="upbit")
    ids = ids_of(stage, "upbit", 3)
    first = json.loads(
        stage.cli("cancel", "--account", "upbit-sim", "--deadline", "2", "--wait", "--json", *ids).stdout
    )
    lines = stage.cli("outcomes", first["batch_id"], "--verdict", "unproven", "--json")
    stage.control.clear_faults()

    again = stage.cli("cancel", "--file", "-", "--wait", "--json", stdin=lines.stdout)

    report = json.loads(again.stdout)
    assert report["orders"] == 3
    assert report["batch_id"] != first["batch_id"]
    assert until(lambda: {order["state"] for order in stage.control.book("upbit-sim")} == {"canceled"})


def test_progress_and_logs_never_reach_stdout(stage: Stage) -> None:
    ids = ids_of(stage, "kuna", 45)

    done = stage.cli("cancel", "--account", "kuna-sim", "--wait", "--json", *ids)

    assert len(done.stdout.splitlines()) == 1
    check_shape(json.loads(done.stdout))
    assert "kuna-sim" in done.stderr  # the progress


def test_a_reader_that_has_seen_enough_gets_no_traceback(stage: Stage) -> None:
    asked = [{"order_id": str(n), "account": "kuna-sim"} for n in range(3_000)]
    batch_id = stage.client.submit(document(asked))
    stage.client.wait(batch_id, 30)
    command = [sys.executable, "-P", "-m", "worker", "outcomes", batch_id, "--json"]
    environment = child_environment(stage.config)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(20)

    assert "Traceback" not in said


# help


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(stage: Stage, command: str) -> None:
    done = stage.here(command, "--help")

    assert done.returncode == 0
    assert f"Example: ripcord {command}" in done.stdout
    assert done.stderr == ""


def test_the_help_lists_every_command_and_the_exit_codes(stage: Stage) -> None:
    done = stage.here("--help")

    assert done.returncode == 0
    assert all(f"  {command} " in done.stdout for command in COMMANDS)
    assert all(f" {code}  " in done.stdout for code in (0, 1, 2, 3, 4, 5))


def test_the_configuration_is_found_in_the_working_directory(stage: Stage) -> None:
    done = stage.here("check", "--json", RIPCORD_CONFIG="")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"] == "ripcord.toml"


def test_the_address_in_the_environment_alone_will_do_for_readers(stage: Stage) -> None:
    done = stage.here("list", "--json", config=stage.folder / "missing.toml", RIPCORD_REDIS_URL=stage.redis.url)

    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


def test_the_simulator_command_writes_a_configuration_that_works(stage: Stage) -> None:
    config = stage.folder / "written.toml"
    log = stage.folder / "simulator-command.log"
    with Process(("worker", "simulator", "--port", "0", "--config-out", str(config)), log, stage.config) as process:
        assert until(lambda: "listening on" in process.text()), process.text()

        done = stage.cli("check", "--json", config=config, RIPCORD_REDIS_URL=stage.redis.url)

        assert done.returncode == 0, done.stderr
        assert {row["venue"] for row in json.loads(done.stdout)["accounts"]} == set(VENUES)
        written = config.read_text(encoding="utf-8")
        assert not any(secret in written for venue in VENUES for secret in secrets_of(venue, f"{venue}-sim").values())
        process.send_to_all(signal.SIGINT)  # as Ctrl-C does
        assert until(lambda: not process.running())


def test_the_simulator_command_ends_whole_on_sigterm(stage: Stage) -> None:
    log = stage.folder / "simulator-ended.log"
    with Process(("worker", "simulator", "--port", "0"), log, stage.config) as process:
        assert until(lambda: "listening on" in process.text()), process.text()
        port = int(process.text().rpartition(":")[2])

        process.send(signal.SIGTERM)

        assert until(lambda: not process.running())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2).close()
