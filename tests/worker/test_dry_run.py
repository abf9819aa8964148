"""`ripcord kill --dry-run`: tells what a kill would do, says what it could not list, and cancels nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.venues import VENUES as SIMULATED
from tests.end_to_end.stage import Stage, add_account, free_port, secrets_of, staged

pytestmark = pytest.mark.processes

REASON = ["--reason", "drill", "--dry-run"]


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("dry")) as stage:
        away = f"http://127.0.0.1:{free_port()}"
        add_account(stage.config, "upbit-away", "upbit", away, secrets_of("upbit", "upbit-sim"))
        yield stage


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.clean()
    return module_stage


def told(stage: Stage, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = stage.here("kill", *arguments, *REASON, "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("venue", ["binance", "crypto_com", "kuna", "upbit", "weex"])
def test_it_counts_what_is_open_at_each_venue_and_cancels_nothing(stage: Stage, venue: str) -> None:
    seeded = stage.control.seed(f"{venue}-sim", 7)

    found = told(stage, "--account", f"{venue}-sim")

    assert found["orders"] == len(seeded) == sum(row["orders"] for row in found["matching"])
    (account,) = found["accounts"]
    assert account["calls"]["cancel"] >= 1
    # Binance's answer is final, Upbit is asked for 100 at once, and at Kuna and WEEX a listing goes first.
    prove = {"binance": 0, "upbit": 1, "kuna": 3 + 7, "weex": 2 + 7}
    assert account["calls"]["prove"] == prove.get(venue, 7)
    assert found["calls"] == sum(account["calls"].values())
    assert found["seconds"] > 0
    again = told(stage, "--account", f"{venue}-sim")
    assert again["orders"] == len(seeded)
    assert stage.events("batch.accepted") == []


def test_filters_narrow_it_and_max_orders_says_that_a_kill_would_be_refused(stage: Stage) -> None:
    stage.control.seed("binance-sim", 3, symbol="LTCBTC")
    stage.control.seed("binance-sim", 2, symbol="ETHBTC")

    found = told(stage, "--account", "binance-sim", "--symbol", "LTCBTC")
    assert (found["orders"], {row["symbol"] for row in found["matching"]}) == (3, {"LTCBTC"})
    everything = told(stage, "--account", "binance-sim")
    for side in ("buy", "sell"):
        expected = sum(row["orders"] for row in everything["matching"] if row["side"] == side)
        assert told(stage, "--account", "binance-sim", "--side", side)["orders"] == expected
    assert told(stage, "--account", "binance-sim", "--older-than", "86400")["orders"] == 0
    assert told(stage, "--account", "binance-sim", "--max-orders", "5")["orders"] == 5
    assert told(stage, "--account", "binance-sim", "--max-orders", "4", code=2)["orders"] == 5


def test_an_account_that_cannot_be_listed_is_said_and_is_3(stage: Stage) -> None:
    stage.control.seed("upbit-sim", 2)

    found = told(stage, "--account", "upbit-sim", "upbit-away", code=3)

    assert found["orders"] == 2
    assert [row["orders"] for row in found["accounts"]] == [2, None]
    assert any("cannot list the open orders of upbit-away" in note for note in found["not_covered"])
    plain = stage.here("kill", "--account", "upbit-away", *REASON)
    assert plain.returncode == 3
    assert "not covered: cannot list" in plain.stdout
    assert "nothing was canceled" in plain.stdout


def test_nothing_open_is_0_orders(stage: Stage) -> None:
    found = told(stage, "--account", "upbit-sim")

    assert (found["orders"], found["matching"], found["accounts"][0]["calls"]["cancel"]) == (0, [], 0)


def test_an_empty_account_takes_two_listings_and_one_settling_time(stage: Stage) -> None:
    """As the kill itself: the listing that finds nothing is the first of the two."""
    found = told(stage, "--account", "kuna-sim")

    assert found["accounts"][0]["calls"] == {"list": 3, "cancel": 0, "prove": 0, "show_empty": 3}
    assert found["seconds"] == 3


def test_calls_and_seconds_follow_from_the_limits(stage: Stage) -> None:
    """70 orders at 20 a call; 30 calls a second are room for all."""
    stage.control.seed("upbit-sim", 70)

    found = told(stage, "--account", "upbit-sim")

    (account,) = found["accounts"]
    assert account["calls"] == {"list": 1, "cancel": 4, "prove": 1, "show_empty": 2}
    assert found["seconds"] < 60


def test_an_account_is_listed_again_while_its_orders_are_proven(stage: Stage) -> None:
    """54 calls at 5 a second: both settling times of 3 s are over long before the last order is asked for."""
    stage.control.seed("kuna-sim", 40)

    found = told(stage, "--account", "kuna-sim")

    assert sum(found["accounts"][0]["calls"].values()) == 54
    assert 10 <= found["seconds"] < 11.5


@pytest.mark.parametrize(
    ("venue", "calls"), [("binance", 1), ("crypto_com", 1), ("weex", 1), ("kuna", 2), ("upbit", 2)]
)
def test_a_cancel_all_is_counted_as_the_one_call_that_it_is(stage: Stage, venue: str, calls: int) -> None:
    account = f"{venue}-sim"
    stage.control.seed(account, 30, symbol=SIMULATED[venue].symbols[0])

    assert told(stage, "--account", account)["accounts"][0]["calls"]["cancel"] == calls
    limited = told(stage, "--account", account, "--max-orders", "30")
    assert limited["accounts"][0]["calls"]["cancel"] == {"binance": 30, "crypto_com": 3, "weex": 3}.get(venue, calls)


def test_a_note_of_the_venue_is_no_gap(stage: Stage) -> None:
    found = told(stage, "--account", "crypto_com-sim")

    assert found["not_covered"] == []
    assert any("namespace of their own" in note for note in found["notes"])
    plain = stage.here("kill", "--account", "crypto_com-sim", *REASON)
    assert "not covered" not in plain.stdout
    assert "note: crypto_com-sim: " in plain.stdout


def test_an_account_nobody_configured_is_refused(stage: Stage) -> None:
    done = stage.here("kill", "--account", "nobody", *REASON)

    assert done.returncode == 2
    assert "'nobody' is not configured" in done.stderr
