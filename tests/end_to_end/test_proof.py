"""Proof of flat, with real workers: every venue, whatever it answers, and nothing called gone that lives."""

import pytest

from tests.end_to_end.batches import document, judge, named, run, statuses
from tests.end_to_end.stage import VENUES, Stage

pytestmark = pytest.mark.processes

ASYNCHRONOUS = ("crypto_com", "kuna", "upbit", "weex")


@pytest.mark.parametrize("venue", VENUES)
def test_a_book_is_proven_flat(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    stage.control.behavior(account=account, settle_ms=300, fill_probability=0.3)
    asked = named(stage.control.seed(account, 25, partly=2, filled=2, canceled=2), account)

    report, outcomes = run(stage, document(asked, deadline_s=60, prove=True), 70)

    judge(stage, asked, report, outcomes)
    assert report["verdict"] == "flat"
    assert set(statuses(outcomes)) <= {"canceled", "filled", "closed"}


@pytest.mark.parametrize("venue", ["crypto_com", "upbit", "weex"])  # Kuna takes 3 s to settle, each time
def test_a_cancel_that_the_venue_forgets_is_sent_again(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    stage.control.behavior(account=account, settle_ms=50, lost_probability=0.5)
    asked = named(stage.control.seed(account, 6), account)

    report, outcomes = run(stage, document(asked, deadline_s=90, prove=True), 100)

    judge(stage, asked, report, outcomes)
    assert report["verdict"] == "flat"


@pytest.mark.parametrize("venue", ASYNCHRONOUS)
def test_without_proof_nothing_is_read(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    asked = named(stage.control.seed(account, 3), account)

    report, outcomes = run(stage, document(asked, prove=False))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) == {"accepted"}
    assert stage.control.counters()["accounts"][account]["read_calls"] == 0
