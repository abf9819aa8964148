from functools import partial
from typing import Any, Final

import pytest

from tests.end_to_end.batches import Rows, document, judge, named, run, statuses
from tests.end_to_end.stage import VENUES, Stage
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.processes

ENDED: Final = {"canceled", "accepted"}
QUIET: Final = ("binance", "crypto_com", "kuna", "upbit")  # WEEX asks for ten seconds after a 429


def seeded(stage: Stage, venue: str, count: int, **plan: Any) -> Rows:
    return named(stage.control.seed(f"{venue}-sim", count, **plan), f"{venue}-sim")


@pytest.mark.parametrize("venue", VENUES)
def test_slow_answers_change_nothing(stage: Stage, venue: str) -> None:
    stage.control.fault("latency", venue=venue, delay_ms=100, jitter_ms=100)
    asked = seeded(stage, venue, 12)

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("cut_before", {}),
        ("cut_after", {}),
        ("error_5xx_before", {}),
        ("error_5xx_after", {}),
        ("html", {"status": 200}),
        ("html", {"status": 503}),
        ("html_after", {"status": 200}),
        ("html_after", {"status": 502}),
        ("truncated", {}),
        ("wrong_types", {}),
        ("hang", {"delay_ms": 300}),
        ("hang_before", {"delay_ms": 300}),
    ],
)
def test_an_answer_that_tells_nothing_leaves_doubt(
    stage: Stage, venue: str, fault: str, settings: dict[str, Any]
) -> None:
    """Whether the cancels were carried out or not cannot be told apart, so that nothing may be claimed."""
    stage.control.fault(fault, venue=venue, on=["cancel"], **settings)
    asked = seeded(stage, venue, 3, filled=1)

    report, outcomes = run(stage, document(asked, deadline_s=2))

    judge(stage, asked, report, outcomes)
    assert report["live"] == 0
    if fault != "wrong_types":  # where an order's own name can still be read
        assert report["gone"] == 0 or "before" not in fault


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("fault", ["missing_items", "reordered_items", "duplicate_items"])
def test_spoiled_lists_of_items_put_no_words_into_another_orders_mouth(stage: Stage, venue: str, fault: str) -> None:
    stage.control.fault(fault, venue=venue, on=["cancel"])
    asked = seeded(stage, venue, 10, filled=1, canceled=1)

    report, outcomes = run(stage, document(asked, deadline_s=4))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED | {"unknown", "filled"}


@pytest.mark.parametrize("fault", ["missing_items", "reordered_items", "duplicate_items", "truncated", "wrong_types"])
def test_spoiled_order_lists(stage: Stage, fault: str) -> None:
    stage.control.fault(fault, venue="binance", on=["cancel"])
    names = stage.control.seed("binance-sim", lists=4, filled_lists=1, legs=3)
    asked = named(names, "binance-sim")

    report, outcomes = run(stage, document(asked, deadline_s=4))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= {"canceled", "unknown", "closed"}


def test_a_rate_limit_pauses_the_account_and_the_call_is_made_again(stage: Stage) -> None:
    for venue in QUIET:
        stage.control.fault("rate_429", venue=venue, calls=1, delay_ms=300)
    asked = [row for venue in QUIET for row in seeded(stage, venue, 6)]
    before = {f"{venue}-sim": events_of(stage, f"{venue}-sim") for venue in QUIET}

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED
    for account, known in before.items():
        assert until(partial(has_events, stage, account, len(known) + 2))
        paused, resumed = events_of(stage, account)[len(known) :]
        assert (paused["type"], resumed["type"]) == ("account.paused", "account.resumed")
        assert "rate_limit" in paused["reason"]
        from_ms, until_ms = int(paused["at_ms"]), int(paused["until_ms"])
        assert from_ms < until_ms <= int(resumed["at_ms"])
        times = [call["at_ms"] for call in stage.control.log(account)]
        assert [at_ms for at_ms in times if from_ms + 50 < at_ms < until_ms] == []


def has_events(stage: Stage, account: str, number: int) -> bool:
    return len(events_of(stage, account)) == number


def events_of(stage: Stage, account: str) -> list[dict[str, str]]:
    return [row for row in stage.events(account=account) if row["type"] in {"account.paused", "account.resumed"}]


def test_a_rate_limit_of_one_account_stops_no_other(stage: Stage) -> None:
    stage.control.fault("rate_429", venue="kuna", calls=1, delay_ms=6_000)
    asked = [row for venue in VENUES for row in seeded(stage, venue, 2)]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    calls = [call for call in stage.control.log() if call["account"] != "kuna-sim"]
    assert max(call["at_ms"] for call in calls) - report["submitted_ms"] < 5_500


def test_a_rate_limit_that_does_not_end_leaves_orders_that_were_not_sent(stage: Stage) -> None:
    stage.control.fault("rate_429", delay_ms=60_000)
    asked = [row for venue in VENUES for row in seeded(stage, venue, 2)]

    report, outcomes = run(stage, document(asked, deadline_s=2))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) == {"not_sent"}
    assert report["verdict"] == "not_flat"
    assert report["calls"] <= 12  # not hammered: one call or two, and those that were under way at once
    assert all(row["message"] for row in outcomes)


@pytest.mark.parametrize("venue", VENUES)
def test_maintenance_that_ends_in_time(stage: Stage, venue: str) -> None:
    """Where the venue says so definitely, the call is made again; elsewhere doubt is left."""
    stage.control.fault("maintenance", venue=venue, calls=1)
    asked = seeded(stage, venue, 2)

    report, outcomes = run(stage, document(asked, deadline_s=4))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED | {"unknown"}


@pytest.mark.parametrize("venue", VENUES)
def test_a_key_without_permission_is_told_in_the_venues_words(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    stage.control.fault("forbidden", venue=venue)
    asked = seeded(stage, venue, 3)

    report, outcomes = run(stage, document(asked, deadline_s=3))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= {"rejected", "not_sent"}
    assert "rejected" in statuses(outcomes)
    assert all(row["code"] and row["message"] for row in outcomes if row["status"] == "rejected")
    assert stage.events("account.paused", account=account)


def test_every_fault_at_once_claims_nothing_that_is_not_so(stage: Stage) -> None:
    for number, fault in enumerate(
        ("cut_before", "cut_after", "error_5xx_before", "error_5xx_after", "html", "html_after", "missing_items",
         "reordered_items", "duplicate_items", "wrong_types", "truncated", "maintenance")
    ):  # fmt: skip
        status = {"status": 502} if fault == "html_after" else {}  # a firewall's 403 comes before the venue
        stage.control.fault(fault, probability=0.08, seed=number, **status)
    stage.control.fault("latency", delay_ms=5, jitter_ms=30)
    for venue in VENUES:
        stage.control.behavior(venue=venue, fill_probability=0.1, lost_probability=0.1 if venue != "binance" else 0.0)
    counts = {"binance": 40, "crypto_com": 150, "kuna": 80, "upbit": 150, "weex": 60}
    asked = [row for venue, count in counts.items() for row in seeded(stage, venue, count, filled=5, partly=3)]
    asked += named(stage.control.seed("binance-sim", lists=5, filled_lists=1), "binance-sim")

    report, outcomes = run(stage, document(asked, deadline_s=10))

    judge(stage, asked, report, outcomes, breaches=None)  # what the cuts cost in new connections upsets the pace
