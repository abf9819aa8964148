from typing import Any

import pytest

from benchmarks.judge import judge, judge_running

COUNTED: dict[str, Any] = {
    "asked": 20,
    "applied": 20,
    "bad_signatures": 0,
    "breaches": {},
    "statuses": {"200": 1},
}
UNTOUCHED: dict[str, Any] = {"calls": 0, "breaches": {}, "bad_signatures": 0, "orders": {}}


def counters(nobody: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"accounts": {"a": COUNTED | more}, "nobody": {} if nobody is None else {"upbit:nobody": nobody}}


def test_every_order_exactly_once_and_nothing_else_counts() -> None:
    assert judge(counters(), {"a": 20}) == []
    assert judge_running(counters(), ["a"]) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"asked": 19, "applied": 19}, [f"19 orders {each}, and 20 were to be" for each in ("asked for", "canceled")]),
        ({"asked": 21}, ["21 orders asked for, and 20 were to be"]),
        ({"applied": 19}, ["19 orders canceled, and 20 were to be"]),
        ({"bad_signatures": 2}, ["2 bad signatures"]),
        ({"breaches": {"default": 3}}, ["3 breaches of default"]),
        ({"statuses": {"200": 1, "429": 4}}, ["4 answers with status 429"]),
    ],
)  # fmt: skip
def test_whatever_a_counter_says_otherwise_is_told(more: dict[str, Any], words: list[str]) -> None:
    assert judge(counters(**more), {"a": 20}) == [f"a: {each}" for each in words]


def test_an_account_that_nobody_called_canceled_nothing() -> None:
    found = judge({"accounts": {"a": UNTOUCHED}, "nobody": {}}, {"a": 1})
    assert found == ["a: 0 orders asked for, and 1 were to be", "a: 0 orders canceled, and 1 were to be"]


def test_an_account_that_there_is_not_is_a_fault() -> None:
    assert judge(counters(), {"a": 20, "b": 1}) == ["b: the simulator has no such account"]


def test_accounts_that_were_not_named_are_not_judged() -> None:
    assert judge(counters(applied=3), {}) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"applied": 7}, ["20 orders asked for, and 7 were to be"]),
        ({"breaches": {"default": 1}}, ["1 breaches of default"]),
        ({"bad_signatures": 1}, ["1 bad signatures"]),
    ],
)
def test_what_still_runs_may_be_unfinished_but_asks_for_no_order_twice(more: dict[str, Any], words: list[str]) -> None:
    assert judge_running(counters(**more), ["a"]) == [f"a: {each}" for each in words]


def test_a_clean_up_that_has_not_begun_is_no_fault() -> None:
    assert judge_running({"accounts": {"a": UNTOUCHED}, "nobody": {}}, ["a"]) == []


def test_strangers_may_ask_for_the_time_and_nothing_else() -> None:
    times = {"bad_signatures": 0, "breaches": {}, "statuses": {"200": 5}, "time_calls": 5}
    denied = counters(times | {"bad_signatures": 1})

    assert judge(counters(times), {"a": 20}) == []
    assert judge(denied, {"a": 20}) == judge_running(denied, ["a"]) == ["upbit:nobody: 1 bad signatures"]
