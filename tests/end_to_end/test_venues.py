from typing import Any, Final

import pytest

from tests.end_to_end.batches import Rows, document, judge, named, run, statuses, stranger
from tests.end_to_end.stage import VENUES, Stage

pytestmark = pytest.mark.processes

ASYNCHRONOUS: Final = ("crypto_com", "kuna", "upbit", "weex")  # these only take a request
ID_KINDS: Final = {
    "binance": ("order_id", "client_order_id"),
    "crypto_com": ("order_id", "client_order_id"),
    "kuna": ("order_id",),
    "upbit": ("order_id", "client_order_id"),
    "weex": ("order_id", "client_order_id"),
}
# What may be said of an order that the venue was right to cancel, and of one that was filled or canceled before, or
# never was: without reading back less is known, and never anything else.
ENDED: Final = {"canceled", "accepted"}
PAST: Final = {"unknown", "filled", "canceled", "closed"}
NEVER: Final = {"unknown", "not_found"}
INVALID: Final[dict[str, list[dict[str, str]]]] = {
    "binance": [
        {"order_id": "77"},
        {"order_id": "leg-7", "symbol": "LTCBTC"},
        {"order_list_id": "x", "symbol": "LTCBTC"},
        {"order_id": "1" * 21, "symbol": "LTCBTC"},
    ],
    "crypto_com": [{"client_order_id": "x" * 37}, {"order_list_id": "7"}, {"client_order_list_id": "7"}],
    "kuna": [{"order_id": "7"}, {"client_order_id": "leg-7"}, {"order_list_id": "7"}],
    "upbit": [{"order_list_id": "7"}, {"client_order_list_id": "7"}],
    "weex": [{"client_order_id": "x" * 41}, {"order_list_id": "7"}],
}


@pytest.mark.parametrize(("venue", "kind"), [(venue, kind) for venue in VENUES for kind in ID_KINDS[venue]])
def test_a_mixed_book(stage: Stage, venue: str, kind: str) -> None:
    """More than fit one call: open and partly filled orders, some that ended before, and one that never was."""
    account = f"{venue}-sim"
    opened = named(stage.control.seed(account, 22, partly=2), account, kind)
    past = named(stage.control.seed(account, 3, filled=2, canceled=1), account, kind)
    never = [{kind: stranger(venue, account, "")["order_id"], "symbol": opened[0]["symbol"], "account": account}]
    asked = [*opened[:11], *past, *never, *opened[11:]]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    said = {row[kind]: row["status"] for row in outcomes}
    spoiled = {"unknown"} if venue == "kuna" else set()  # one order that ended makes the whole of Kuna's answer unclear
    assert {said[row[kind]] for row in opened} <= ENDED | spoiled
    assert {said[row[kind]] for row in past} <= PAST
    assert {said[row[kind]] for row in never} <= NEVER
    assert all(row["venue"] == venue and row["attempts"] >= 1 and row["updated_ms"] for row in outcomes)
    assert [row[kind] for row in outcomes] == [row[kind] for row in asked]
    assert {order["state"] for order in stage.control.book(account)} <= {"canceled", "filled"}


@pytest.mark.parametrize("venue", VENUES)
def test_one_order_alone(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    asked = named(stage.control.seed(account, 1), account)

    report, outcomes = run(stage, document(asked, priority="kill"))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED
    assert outcomes[0]["evidence"]


@pytest.mark.parametrize("venue", [venue for venue in VENUES if "client_order_id" in ID_KINDS[venue]])
def test_both_kinds_of_id_in_one_batch(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    seeded = stage.control.seed(account, 6)
    asked = named(seeded[:3], account) + named(seeded[3:], account, "client_order_id")

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED


@pytest.mark.parametrize("venue", [venue for venue in VENUES if "client_order_id" in ID_KINDS[venue]])
def test_one_order_by_both_of_its_names_is_two_references_and_both_are_true(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    seeded = stage.control.seed(account, 2, partly=1)
    asked = named(seeded, account) + named(seeded, account, "client_order_id")

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= ENDED | PAST


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("symbol", ["with", "without"])
def test_the_symbol_is_needed_on_binance_alone(stage: Stage, venue: str, symbol: str) -> None:
    account = f"{venue}-sim"
    asked = named(stage.control.seed(account, 2), account)
    if symbol == "without":
        for row in asked:
            del row["symbol"]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    needed = venue == "binance" and symbol == "without"
    assert set(statuses(outcomes)) <= ({"invalid"} if needed else ENDED)


@pytest.mark.parametrize("venue", ["binance", "crypto_com"])
def test_a_wrong_symbol_is_no_proof_that_an_order_is_gone(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    symbols = {"binance": ("LTCBTC", "BTCUSDT"), "crypto_com": ("CRO_USD", "BTC_USD")}[venue]
    asked = named(stage.control.seed(account, 2, symbol=symbols[0]), account)
    wrong = [row | {"symbol": symbols[1]} for row in asked]

    _, outcomes = run(stage, document(wrong, deadline_s=3))

    assert {row["verdict"] for row in outcomes} <= {"unproven", "live"}


@pytest.mark.parametrize("venue", VENUES)
def test_references_that_the_venue_cannot_take_do_not_stop_the_others(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    opened = named(stage.control.seed(account, 5), account)
    bad = [row | {"account": account} for row in INVALID[venue]]
    asked = [*bad[:2], *opened, *bad[2:]]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert report["counts"]["invalid"] == len(bad)
    assert report["verdict"] == "not_flat"
    said = [row["status"] for row in outcomes]
    assert said.count("invalid") == len(bad)
    assert {status for status in said if status != "invalid"} <= ENDED
    assert all(row["message"] for row in outcomes if row["status"] == "invalid")


def lists(stage: Stage, number: int, **plan: Any) -> list[dict[str, Any]]:
    stage.control.seed("binance-sim", lists=number, **plan)
    return stage.control.lists("binance-sim")[-number:]


def legs(each: dict[str, Any]) -> Rows:
    return [{"order_id": leg, "symbol": each["symbol"], "account": "binance-sim"} for leg in each["order_ids"]]


def whole(each: dict[str, Any], kind: str = "order_list_id") -> dict[str, Any]:
    return {kind: each[kind], "symbol": each["symbol"], "account": "binance-sim"}


@pytest.mark.parametrize("kind", ["order_list_id", "client_order_list_id"])
@pytest.mark.parametrize("count", [2, 3])
def test_order_lists(stage: Stage, kind: str, count: int) -> None:
    asked = [whole(each, kind) for each in lists(stage, 4, legs=count)]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert report["verdict"] == "flat"
    assert report["counts"] == {"canceled": 4}
    assert {order["state"] for order in stage.control.book("binance-sim")} == {"canceled"}


@pytest.mark.parametrize("kind", ["order_list_id", "client_order_list_id"])
def test_a_list_of_which_a_leg_was_filled_before(stage: Stage, kind: str) -> None:
    asked = [whole(each, kind) for each in lists(stage, 2, filled_lists=1)]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert outcomes[0]["status"] == "canceled"
    assert outcomes[1]["status"] in PAST


@pytest.mark.parametrize("answers_list", [True, False], ids=["answered by the list", "answered by the leg"])
def test_one_leg_of_a_list_cancels_the_list(stage: Stage, *, answers_list: bool) -> None:
    stage.control.behavior(venue="binance", leg_answers_list=answers_list)
    asked = [legs(each)[0] for each in lists(stage, 2)]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert report["counts"] == {"canceled": 2}
    assert {order["state"] for order in stage.control.book("binance-sim")} == {"canceled"}


@pytest.mark.parametrize("answers_list", [True, False], ids=["answered by the list", "answered by the leg"])
@pytest.mark.parametrize("order", ["list first", "legs first", "legs alone"])
def test_the_legs_of_one_list_and_the_list(stage: Stage, order: str, *, answers_list: bool) -> None:
    """All of them are gone with the first cancel; what the others are answered then must not hide it."""
    stage.control.behavior(venue="binance", leg_answers_list=answers_list)
    asked: Rows = []
    for each in lists(stage, 3):
        parts = {"list first": [whole(each), *legs(each)], "legs first": [*legs(each), whole(each)]}
        asked += parts.get(order, legs(each))

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    if answers_list:
        assert report["verdict"] == "flat"
    else:
        assert set(statuses(outcomes)) <= ENDED | PAST


def test_a_list_by_both_of_its_names(stage: Stage) -> None:
    each = lists(stage, 1)[0]
    asked = [whole(each), whole(each, "client_order_list_id")]

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert report["counts"] == {"canceled": 2}


@pytest.mark.parametrize("venue", ASYNCHRONOUS)
def test_a_cancel_that_was_taken_and_then_forgotten_is_not_claimed(stage: Stage, venue: str) -> None:
    """The venue takes every request, and cancels nothing: none of these orders may be said to be gone."""
    account = f"{venue}-sim"
    stage.control.behavior(account=account, lost_probability=1.0, settle_ms=20)
    asked = named(stage.control.seed(account, 4), account)

    report, outcomes = run(stage, document(asked, deadline_s=2))

    judge(stage, asked, report, outcomes)
    assert report["gone"] == 0
    assert set(statuses(outcomes)) <= {"accepted", "open"}


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_that_fills_while_it_is_canceled_is_not_said_to_be_canceled(stage: Stage, venue: str) -> None:
    account = f"{venue}-sim"
    stage.control.behavior(account=account, fill_probability=1.0)
    asked = named(stage.control.seed(account, 4), account)

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert set(statuses(outcomes)) <= {"accepted", "unknown", "filled"}


def test_ids_and_symbols_that_need_encoding_arrive_as_they_are(stage: Stage) -> None:
    """Client ids with everything that a URL, a JSON string or a signature could trip over."""
    odd = ["a b", "a+b", "a%20b", "a&b=c", "ä/ö?ü#", 'q"uote', "back\\slash", "日本", "[x]", "a,b", "'", "%", "ab;c"]
    asked: Rows = []
    for venue, symbol in (
        ("binance", "LTCBTC"),
        ("crypto_com", "CRO_USD"),
        ("upbit", "SGD-BTC"),
        ("weex", "cmt_btcusdt"),
    ):
        account = f"{venue}-sim"
        orders = [{"client_order_id": value, "symbol": symbol} for value in odd]
        asked += named(stage.control.seed_orders(account, orders), account, "client_order_id")

    report, outcomes = run(stage, document(asked))

    judge(stage, asked, report, outcomes)
    assert [row["client_order_id"] for row in outcomes] == odd * 4
    assert set(statuses(outcomes)) <= ENDED


def test_five_venues_in_one_batch(stage: Stage) -> None:
    asked = [row for venue in VENUES for row in named(stage.control.seed(f"{venue}-sim", 12), f"{venue}-sim")]

    report, outcomes = run(stage, document(asked, account="upbit-sim"))

    judge(stage, asked, report, outcomes)
    assert report["live"] == 0
    assert set(statuses(outcomes)) <= ENDED
    for venue in VENUES:
        assert {order["state"] for order in stage.control.book(f"{venue}-sim")} == {"canceled"}
