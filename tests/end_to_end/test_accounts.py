import json
import signal
from typing import Final
from urllib.parse import urlsplit

import pytest

from simulator.control import Control
from tests.end_to_end.audit import Truth, audit
from tests.end_to_end.batches import document, judge, named, run, statuses
from tests.end_to_end.stage import VENUES, Stage, simulated
from tests.end_to_end.waiting import until
from worker.settings import load

pytestmark = pytest.mark.processes

ENDED: Final = {"canceled", "accepted"}


@pytest.mark.parametrize("suffix", ["wrong-key", "wrong-secret", "wrong-passphrase"])
def test_wrong_keys_are_told_in_the_venues_words_and_are_not_hammered(stage: Stage, suffix: str) -> None:
    """The account pauses and says so; those of the same venues with good keys go on."""
    venues = ["weex"] if suffix == "wrong-passphrase" else VENUES
    good, bad, before = [], [], {}
    for venue in venues:
        wrong, symbol = f"{venue}-{suffix}", stage.control.seed(f"{venue}-other", 1)[0]["symbol"]
        good += named(stage.control.seed(f"{venue}-sim", 3), f"{venue}-sim")
        ids = [row["order_id"] for row in stage.control.seed(f"{venue}-other", 25)]
        bad += [{"order_id": each, "symbol": symbol, "account": wrong} for each in ids]
        before[wrong] = len(stage.events("account.paused", account=wrong))

    report, outcomes = run(stage, document([*good, *bad], deadline_s=2))

    counters = stage.control.counters()
    refused = {
        venue: counters["accounts"].get(f"{venue}-{suffix}", {}).get("cancel_calls", 0)
        + counters["nobody"].get(f"{venue}:nobody", {}).get("cancel_calls", 0)
        for venue in venues
    }
    for venue in venues:
        wrong = f"{venue}-{suffix}"
        mine = [row for row in outcomes if row["account"] == wrong]
        assert set(statuses(mine)) <= {"rejected", "not_sent"}
        assert "rejected" in statuses(mine)
        assert all(row["code"] for row in mine if row["status"] == "rejected")
        assert all(row["message"] for row in mine)
        paused = stage.events("account.paused", account=wrong)[before[wrong] :]
        assert paused
        assert "credentials" in paused[0]["reason"]
        assert 1 <= refused[venue] <= load(stage.config).accounts[wrong].max_in_flight  # those under way at once
    assert report["verdict"] == "not_flat"
    others = [row for row in outcomes if not row["account"].endswith(suffix)]
    assert set(statuses(others)) <= ENDED
    truth = Truth.of(stage.control, [f"{venue}-sim" for venue in venues])
    verdicts = {name: sum(row["verdict"] == name for row in others) for name in ("gone", "live", "unproven")}
    own = {**report, **verdicts, "state": "running", "orders": len(good), "counts": counted(others)}
    assert audit(truth, good, own, others) == []
    made = sum(counters["accounts"][f"{venue}-sim"]["cancel_calls"] for venue in venues)
    assert report["calls"] == sum(refused.values()) + made


def counted(outcomes: list[dict[str, str]]) -> dict[str, int]:
    found = statuses(outcomes)
    return {status: found.count(status) for status in found}


def test_a_wrong_account_stops_no_other_of_the_same_venue(stage: Stage) -> None:
    """Also not when it has a great deal more to do, and its batch is more urgent."""
    wrong = [{"order_id": str(n), "symbol": "LTCBTC", "account": "binance-wrong-secret"} for n in range(1, 200)]
    urgent = stage.client.submit(document(wrong, priority="kill", deadline_s=8))
    asked = named(stage.control.seed("binance-other", 10), "binance-other")

    report, outcomes = run(stage, document(asked, priority="cleanup"))

    truth = Truth.of(stage.control, ["binance-other"])
    assert audit(truth, asked, report, outcomes) == []
    assert report["verdict"] == "flat"
    assert report["done_ms"] - report["submitted_ms"] < 7_500
    assert stage.client.wait(urgent, 20)["gone"] == 0


@pytest.mark.parametrize("account", ["binance-ed25519", "binance-rsa", "kuna-simple", "upbit-hs512"])
def test_every_kind_of_key(stage: Stage, account: str) -> None:
    own = {"kuna-simple": "kuna-sim", "upbit-hs512": "upbit-sim"}.get(account, account)
    asked = [row | {"account": account} for row in named(stage.control.seed(own, 5), own)]

    report, outcomes = run(stage, document(asked))

    assert set(statuses(outcomes)) <= ENDED
    assert until(lambda: {order["state"] for order in stage.control.book(own)} == {"canceled"})
    counters = stage.control.counters()["accounts"][own]
    assert (counters["bad_signatures"], counters["breaches"]) == (0, {})
    assert report["calls"] == counters["cancel_calls"]


def test_two_accounts_of_one_venue_in_one_batch(stage: Stage) -> None:
    asked = []
    for venue in VENUES:
        for account in (f"{venue}-sim", f"{venue}-other"):
            asked += named(stage.control.seed(account, 3), account)

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED


def test_an_order_asked_of_the_wrong_account_is_not_claimed(stage: Stage) -> None:
    asked = []
    for venue in VENUES:
        asked += [
            row | {"account": f"{venue}-other"} for row in named(stage.control.seed(f"{venue}-sim", 2), f"{venue}-sim")
        ]

    report, outcomes = run(stage, document(asked, deadline_s=3))

    assert set(statuses(outcomes)) <= {"unknown", "not_found"}
    judge(stage, asked, report, outcomes)
    for venue in VENUES:
        assert {order["state"] for order in stage.control.book(f"{venue}-sim")} == {"open"}


def away(stage: Stage) -> list[dict[str, str]]:
    rows = []
    for venue in VENUES:
        rows += [
            row | {"account": f"{venue}-away"} for row in named(stage.control.seed(f"{venue}-sim", 4), f"{venue}-sim")
        ]
    return rows


def test_a_venue_that_refuses_connections_leaves_orders_that_were_not_sent(stage: Stage) -> None:
    asked = away(stage)
    given = document(asked, deadline_s=2)

    done = stage.cli("cancel", "--file", "-", "--wait", "--json", stdin=json.dumps(given))

    report, outcomes = stage.client.report(given["batch_id"]), stage.client.outcomes(given["batch_id"])
    assert done.returncode == 1, done.stderr
    assert set(statuses(outcomes)) == {"not_sent"}
    assert report["verdict"] == "not_flat"
    assert report["calls"] == 0
    assert report["done_ms"] - report["submitted_ms"] < 20_000
    assert stage.control.log() == []
    assert all("nothing was sent" in row["message"] for row in outcomes)


def test_a_venue_that_comes_back_in_time_cancels(stage: Stage) -> None:
    """The same orders are in the book of a second simulator, which starts while the batch waits."""
    port = urlsplit(load(stage.config).accounts["upbit-away"].base_url).port or 0
    asked = away(stage)
    worker = stage.workers[0]
    batch_id = stage.client.submit(document(asked))
    assert until(lambda: [event for event in worker.events("call.not_sent") if event["batch"] == batch_id])

    worker.send(signal.SIGSTOP)  # so that it finds the book filled
    with simulated(stage.folder, stage.folder / "away.toml", stage.redis.url, port) as url:
        control = Control(url)
        for venue in VENUES:
            orders = [
                {"order_id": row["order_id"], "symbol": row["symbol"]} for row in asked if venue in row["account"]
            ]
            control.seed_orders(f"{venue}-sim", orders)
        worker.send(signal.SIGCONT)
        report = stage.client.wait(batch_id, 40)
        accounts = [f"{venue}-sim" for venue in VENUES]
        assert until(lambda: all(order["state"] == "canceled" for name in accounts for order in control.book(name)))

    assert set(statuses(stage.client.outcomes(batch_id))) <= ENDED
    assert report["counts"].keys() <= ENDED
    assert stage.control.log() == []
