"""`ripcord kill` and `ripcord replay`: the documents that they hand in, the questions they ask, their exit codes."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from tasks import keys
from tasks.fold import Standing, strength
from tasks.report import details
from worker.cli import main

BASE = ["kill", "--account", "main", "--reason", "drill"]


class Terminal(io.StringIO):
    """A stdin at which a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = "".join(
        f'[accounts.{name}]\nvenue = "upbit"\napi_key = "env:NOT_SET"\napi_secret = "env:NOT_SET"\n'
        for name in ("main", "other")
    )
    path = tmp_path / "ripcord.toml"
    path.write_text(f'[redis]\nurl = "{redis_url}"\n{accounts}', encoding="utf-8")
    monkeypatch.delenv("RIPCORD_REDIS_URL", raising=False)
    monkeypatch.setenv("RIPCORD_CONFIG", str(path))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main([*arguments])
    return int(left.value.code or 0)


def handed_in(redis_client: Redis) -> list[dict[str, Any]]:
    entries: Any = redis_client.xrange(keys.INBOX)
    return [json.loads(fields["batch"]) for _, fields in entries]


# Kill


def test_a_kill_without_filters_says_that_it_means_everything(
    redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(*BASE, "--json")

    (document,) = handed_in(redis_client)
    told = json.loads(capsys.readouterr().out)
    assert (code, told) == (0, {"batch_id": document.pop("batch_id"), "known": False})
    assert document == {
        "version": 1,
        "select": {"accounts": ["main"], "all": True},
        "priority": "kill",
        "reason": "drill",
    }


def test_a_kill_with_everything_said(redis_client: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    filters = ["--symbol", "KRW-BTC", "--side", "sell", "--older-than", "90", "--client-prefix", "bot7-"]
    more = ["--max-orders", "5", "--by", "desk", "--priority", "risk", "--deadline", "9", "--batch-id", "k-1"]

    assert run("kill", "--account", "main", "other", "--reason", "drill", *filters, *more) == 0

    (document,) = handed_in(redis_client)
    assert document == {
        "version": 1,
        "batch_id": "k-1",
        "select": {
            "accounts": ["main", "other"],
            "symbol": "KRW-BTC",
            "side": "sell",
            "older_than_s": 90.0,
            "client_order_id_prefix": "bot7-",
        },
        "max_orders": 5,
        "priority": "risk",
        "deadline_s": 9.0,
        "reason": "drill",
        "requested_by": "desk",
    }
    assert capsys.readouterr().out == "k-1\n"


def test_accounts_may_be_named_again_and_again_or_be_all(redis_client: Redis) -> None:
    run("kill", "--account", "main", "--account", "other", "--reason", "drill")
    run("kill", "--all-accounts", "--reason", "drill")

    assert [document["select"]["accounts"] for document in handed_in(redis_client)] == [["main", "other"], ["*"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["kill", "--reason", "drill"], "either --account NAME..., or --all-accounts"),
        (["kill", "main", "--reason", "drill"], "either --account NAME..., or --all-accounts"),
        (["kill", "--all-accounts", "main", "--reason", "drill"], "either --account NAME..., or --all-accounts"),
        ([*BASE, "--all-accounts"], "either --account NAME..., or --all-accounts"),
        (["kill", "--account", "*", "--reason", "drill"], "say --all-accounts"),
        (["kill", "--account", "main"], "--reason"),
        (["kill", "--account", "nobody", "--reason", "drill"], "'nobody' is not configured"),
        ([*BASE, "--symbol", ""], "select.symbol: must not be empty"),
        ([*BASE, "--client-prefix", ""], "select.client_order_id_prefix: must not be empty"),
        ([*BASE, "--side", "up"], "--side"),
        ([*BASE, "--older-than", "soon"], "--older-than"),
        ([*BASE, "--older-than", "-1"], "select.older_than_s: must be from 0"),
        ([*BASE, "--max-orders", "0"], "max_orders: must be from 1 to 100,000"),
        ([*BASE, "--deadline", "0"], "deadline_s: must be from 1 to 3600"),
        ([*BASE, "--wait=soon"], "--wait"),
        (["replay"], "BATCH"),
        (["replay", "no-such-batch"], "no batch with the id 'no-such-batch' is known"),
    ],
)
def test_wrong_usage_says_what_to_do_and_sends_nothing(
    redis_client: Redis, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(*arguments) == 2

    assert says in capsys.readouterr().err
    assert handed_in(redis_client) == []


def test_a_wait_that_runs_out_is_5(redis_client: Redis) -> None:
    assert run(*BASE, "--wait", "0.1") == 5
    assert len(handed_in(redis_client)) == 1


@pytest.mark.parametrize(
    ("scope", "typed", "taken"),
    [
        (["--account", "main"], "main\n", True),
        (["--account", "main", "other"], "main  other\n", True),
        (["--all-accounts"], "all accounts\n", True),
        (["--account", "main", "other"], "main\n", False),
        (["--all-accounts"], "yes\n", False),
        (["--all-accounts"], "\n", False),
    ],
)
def test_on_a_terminal_the_scope_must_be_typed(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, scope: list[str], typed: str, taken: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    assert run("kill", *scope, "--reason", "drill") == (0 if taken else 2)

    assert len(handed_in(redis_client)) == int(taken)


def test_the_question_tells_the_scope_and_leaves_stdout_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("all accounts\n"))

    run("kill", "--all-accounts", "--reason", "drill", "--json")

    told = capsys.readouterr()
    assert "EVERY open order of: main, other" in told.err
    assert json.loads(told.out)["known"] is False


def test_nothing_is_asked_with_yes_or_without_a_terminal(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert run(*BASE, "--yes") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert run(*BASE) == 0

    assert len(handed_in(redis_client)) == 2


# Replay


def finished(redis_client: Redis, *statuses: Status, **fields: str) -> None:
    """Write down a batch ``b`` that is done, with one order of each of these statuses."""
    batch = {"batch_id": "b", "state": "done", "orders": str(len(statuses)), "priority": "kill", "deadline_s": "30"}
    batch |= {"prove": "1", "submitted_ms": "1", "reason": "before"}
    for place, status in enumerate(statuses):
        order = OrderRef(IdKind.ORDER_ID, f"id-{place}")
        known = Outcome(order, status, Evidence.CANCEL_ANSWER)
        standing = Standing(strength(known), 5, status, details(known, 1))
        redis_client.hset(keys.orders("b"), str(place), json.dumps(["main", order.kind, order.value, None]))
        redis_client.hset(keys.outcomes("b"), str(place), standing.text())
        batch[f"n:{status}"] = str(statuses.count(status))
    redis_client.hset(keys.batch("b"), mapping=batch | fields)


def test_a_replay_asks_for_what_is_not_gone_and_names_the_batch_before(
    redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(redis_client, Status.CANCELED, Status.UNKNOWN, Status.FILLED, Status.OPEN)

    assert run("replay", "b", "--json") == 0

    (document,) = handed_in(redis_client)
    assert document.pop("batch_id") == json.loads(capsys.readouterr().out)["batch_id"] != "b"
    assert document == {
        "version": 1,
        "replay_of": "b",
        "orders": [{"account": "main", "order_id": "id-1"}, {"account": "main", "order_id": "id-3"}],
        "priority": "kill",
        "deadline_s": 30.0,
        "prove": True,
        "reason": "before",
    }


def test_a_replay_is_shown_as_one(redis_client: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    finished(redis_client, Status.OPEN)
    run("replay", "b", "--batch-id", "again", "--priority", "risk", "--deadline", "5", "--reason", "now", "--by", "me")
    capsys.readouterr()

    run("show", "again", "--json")

    report = json.loads(capsys.readouterr().out)
    assert (report["replay_of"], report["priority"], report["reason"], report["requested_by"]) == (
        "b",
        "risk",
        "now",
        "me",
    )
    (document,) = handed_in(redis_client)
    assert document["deadline_s"] == 5


def test_with_nothing_to_do_again_it_says_so(redis_client: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    finished(redis_client, Status.CANCELED, Status.CLOSED)

    assert run("replay", "b", "--json") == 0

    told = capsys.readouterr()
    assert "every order of batch b is gone" in told.err
    assert json.loads(told.out) == {"batch_id": None, "known": False}
    assert handed_in(redis_client) == []


@pytest.mark.parametrize(
    ("state", "says"),
    [("accepted", "is accepted: wait"), ("running", "is running: wait"), ("refused", "was refused")],
)
def test_what_is_not_done_is_not_replayed(
    redis_client: Redis, capsys: pytest.CaptureFixture[str], state: str, says: str
) -> None:
    finished(redis_client, Status.OPEN, state=state)

    assert run("replay", "b") == 2

    assert says in capsys.readouterr().err
    assert handed_in(redis_client) == []


def test_a_sweep_of_which_an_account_was_not_shown_empty_is_swept_again(redis_client: Redis) -> None:
    select = {"accounts": ["main"], "all": True}
    finished(redis_client, Status.CANCELED, select=json.dumps(select), max_orders="7", sweeps="1", swept="0")

    assert run("replay", "b", "--priority", "cleanup") == 0

    (document,) = handed_in(redis_client)
    assert (document["select"], document["max_orders"], document["replay_of"]) == (select, 7, "b")
    assert (document["priority"], "orders" in document) == ("cleanup", False)
