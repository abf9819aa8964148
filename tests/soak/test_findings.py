"""A soak that finds nothing proves nothing: here its audit is given made-up records, and has to find each lie."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.end_to_end.audit import SURELY_WAITS_MS, VERDICTS
from tests.end_to_end.truth import Truth
from tests.soak.findings import GRACE_MS, SEND_SLACK_MS, Asked, Record, Told, findings
from tests.soak.summary import CHECKS, MOST_REASONS, unproven, verdicts

ACCOUNT = "upbit-sim"
START_MS, DEADLINE_S = 1_000_000, 10
DEADLINE_MS = START_MS + DEADLINE_S * 1_000
CANCELED, OPEN, MISSED = "u-canceled", "u-open", "u-missed"


def reference(order_id: str) -> dict[str, Any]:
    return {"order_id": order_id, "account": ACCOUNT, "symbol": None}


def outcome(order_id: str, status: str, updated_ms: int = START_MS + 500) -> dict[str, Any]:
    names = dict.fromkeys(("client_order_id", "order_list_id", "client_order_list_id"))
    told = {"status": status, "verdict": VERDICTS[status], "filled_qty": None, "updated_ms": updated_ms}
    return reference(order_id) | names | told


def report(batch_id: str, outcomes: Sequence[Mapping[str, Any]], **fields: Any) -> dict[str, Any]:
    verdicts = Counter(row["verdict"] for row in outcomes)
    verdict = "not_flat" if verdicts["live"] else "flat" if verdicts["gone"] == len(outcomes) else "unproven"
    head = {"batch_id": batch_id, "state": "done", "verdict": verdict, "orders": len(outcomes), "calls": 1}
    times = {"submitted_ms": START_MS, "done_ms": START_MS + 500, "errors": []}
    counts = {"counts": dict(Counter(row["status"] for row in outcomes))}
    return head | times | counts | {name: verdicts[name] for name in ("gone", "live", "unproven")} | fields


def order(order_id: str, state: str) -> dict[str, Any]:
    """Make a row of the book, of an order that was there before the batches."""
    fields = {"client_order_id": "bot-1", "symbol": "X", "side": "buy", "kind": "normal", "filled_qty": "0"}
    return fields | {"order_id": order_id, "state": state, "created_ms": 1, "updated_ms": START_MS + 100}


def truth(**counters: Any) -> Truth:
    """Give a book of which one order was canceled by a call in time, and two never were; one of these was asked for."""
    states = {CANCELED: "canceled", OPEN: "open", MISSED: "open"}
    orders = {(ACCOUNT, "order_id", order_id): [order(order_id, state)] for order_id, state in states.items()}
    counts = {"cancel_calls": 1, "breaches": {}, "bad_signatures": 0} | counters
    return Truth(
        venues={ACCOUNT: "upbit"},
        orders=orders,
        applied={(ACCOUNT, CANCELED): [START_MS + 100]},
        asked={(ACCOUNT, CANCELED): [START_MS + 100], (ACCOUNT, OPEN): [START_MS + 100]},
        counters={"accounts": {ACCOUNT: counts}, "nobody": {}},
    )


def told(**fields: Any) -> Told:
    outcomes = [outcome(CANCELED, "canceled"), outcome(OPEN, "unknown"), outcome(MISSED, "not_sent")]
    return Told(report("one", outcomes, **fields), outcomes)


def record(**fields: Any) -> Record:
    """Make the record of a soak of one batch, in which everything is true."""
    asked = Asked("one", [reference(each) for each in (CANCELED, OPEN, MISSED)], DEADLINE_S, acknowledged=True)
    given = {"asked": [asked], "told": {"one": told()}, "answers": [("one", told().report)], "truth": truth()}
    return Record(**(given | {"quiet_ms": START_MS} | fields))


def changed(place: int, status: str) -> Record:
    outcomes = list(told().outcomes)
    outcomes[place] = outcome(outcomes[place]["order_id"], status)
    return record(told={"one": Told(report("one", outcomes), outcomes)})


def test_the_truth_is_clean() -> None:
    assert findings(record()) == []


@pytest.mark.parametrize(("place", "order_id"), [(1, OPEN), (2, MISSED)])
def test_an_outcome_that_was_changed_to_canceled_is_found(place: int, order_id: str) -> None:
    (line, *_) = findings(changed(place, "canceled"))

    assert line == f"batch one: {ACCOUNT} order_id {order_id}: canceled, but FALSE GONE; the book says ['open']"


@pytest.mark.parametrize("status", ["not_sent", "rejected", "invalid", "open"])
def test_an_order_that_was_canceled_and_is_called_live_is_found(status: str) -> None:
    found = findings(changed(0, status))

    assert any("canceled" in line and CANCELED in line for line in found) is (status != "open")


def test_a_missing_outcome_is_found() -> None:
    outcomes = told().outcomes[:2]

    (line,) = findings(record(told={"one": Told(report("one", outcomes), outcomes)}, answers=[]))

    assert MISSED in line
    assert "has no outcome" in line


@pytest.mark.parametrize("calls", [{"cancel_calls": 2}, {"read_calls": 1}])
def test_a_surplus_call_is_found(calls: dict[str, int]) -> None:
    assert findings(record(truth=truth(**calls))) == ["the reports count 1 calls, the simulator 2"]


def test_a_call_that_was_noted_and_never_left_is_none() -> None:
    assert findings(record(truth=truth(cancel_calls=0))) == []


def test_a_breach_and_a_bad_signature_are_found() -> None:
    found = findings(record(truth=truth(breaches={"default": 1}, bad_signatures=2)))

    assert found == ["1 breaches, and 0 were expected", "2 bad_signatures, and 0 were expected"]


def test_an_acknowledged_batch_that_nobody_knows_is_found() -> None:
    lost = record(told={}, answers=[], truth=truth(cancel_calls=0))

    assert "batch one: LOST: a way in has answered, and nobody knows it" in findings(lost)


def test_a_batch_that_nobody_was_promised_may_be_unknown() -> None:
    asked = replace(record().asked[0], acknowledged=False)
    nothing = replace(truth(cancel_calls=0), asked={})

    assert findings(record(asked=[asked], told={}, answers=[], truth=nothing)) == []


@pytest.mark.parametrize("state", ["accepted", "running", "refused"])
def test_a_batch_that_has_not_ended_is_found(state: str) -> None:
    found = findings(record(told={"one": told(state=state, done_ms=None, verdict=None)}))

    assert found[0].startswith(f"batch one: its state is {state}, and it should be done")


def test_a_refusal_of_a_way_in_is_found() -> None:
    asked = replace(record().asked[0], refusals=("cli: exit code 2",))

    assert findings(record(asked=[asked])) == ["batch one: refused: cli: exit code 2"]


@pytest.mark.parametrize("quiet_ms", [START_MS, DEADLINE_MS + 60_000])
def test_a_late_end_is_found_counted_from_the_deadline_or_from_the_last_fault(quiet_ms: int) -> None:
    last_ms = max(DEADLINE_MS, quiet_ms) + GRACE_MS

    assert findings(record(quiet_ms=quiet_ms, told={"one": told(done_ms=last_ms)})) == []
    found = findings(record(quiet_ms=quiet_ms, told={"one": told(done_ms=last_ms + 1_000)}))
    assert found == ["batch one: it was done 1.0 s later than it may be"]


def test_a_cancel_after_the_deadline_is_found() -> None:
    late = {(ACCOUNT, OPEN): [DEADLINE_MS + SEND_SLACK_MS, DEADLINE_MS + SEND_SLACK_MS + 2_000]}

    (line,) = findings(record(truth=replace(truth(), asked=late)))

    assert line.endswith("2.0 s after its last deadline")


def test_a_cancel_that_nobody_asked_for_is_found() -> None:
    strange = {(ACCOUNT, "u-strange"): [START_MS + 100]}

    (line,) = findings(record(truth=replace(truth(), asked=strange)))

    assert line.endswith("no batch asked for it")


def test_a_celery_task_without_a_result_or_with_anothers_is_found() -> None:
    assert findings(record(answers=[("one", None)]))
    assert findings(record(answers=[("one", told().report | {"batch_id": "two"})]))
    assert findings(record(answers=[("one", told().report | {"state": "running"})]))


def test_what_others_have_found_is_passed_on() -> None:
    assert findings(record(others=["Redis: the key x remains"])) == ["Redis: the key x remains"]


def overlapping(applied_ms: int, *, told_ms: int = START_MS + 500) -> Record:
    """Let a second batch, 5 s later, ask for one order of the first, which called it not sent at *told_ms*."""
    second = report("two", [outcome(MISSED, "accepted")], submitted_ms=START_MS + 5_000, done_ms=START_MS + 6_000)
    asked = Asked("two", [reference(MISSED)], DEADLINE_S, acknowledged=True)
    times = {(ACCOUNT, MISSED): [applied_ms]}
    known = truth(cancel_calls=2)
    base = record(truth=replace(known, applied={**known.applied, **times}, asked={**known.asked, **times}))
    outcomes = [*told().outcomes[:2], outcome(MISSED, "not_sent", told_ms)]
    first = Told(report("one", outcomes, done_ms=DEADLINE_MS), outcomes)  # its other orders took their time
    both = {"one": first, "two": Told(second, [outcome(MISSED, "accepted")])}
    return replace(base, asked=[*base.asked, asked], told=both)


def test_what_another_batch_did_later_makes_no_lie_of_not_sent() -> None:
    assert findings(overlapping(START_MS + 5_500)) == []


def test_what_another_batch_did_meanwhile_does() -> None:
    (line,) = findings(overlapping(START_MS + 5_500, told_ms=START_MS + 7_000))

    assert f"{MISSED}: not_sent, but a cancel of it was applied" in line


def test_what_no_other_batch_can_have_done_does() -> None:
    assert any("not_sent, but a cancel of it" in line for line in findings(overlapping(START_MS + 700)))


def swept(shown: str = "empty", **fields: Any) -> Record:
    """Make the record of one sweep by a filter, which took the one order that it covers and was told flat."""
    base = truth()
    row = outcome(CANCELED, "canceled")
    asked = Asked("one", (), DEADLINE_S, acknowledged=True, select={"accounts": [ACCOUNT], "side": "buy"})
    sides = {"open": {"side": "sell"}}
    orders = {key: [row | sides.get(row["state"], {}) for row in rows] for key, rows in base.orders.items()}
    known = replace(base, orders=orders, asked={(ACCOUNT, CANCELED): [START_MS + 100]})
    told = {"one": Told(report("one", [row], **fields), [row], {ACCOUNT: shown})}
    return record(asked=[asked], told=told, answers=[], truth=known)


def test_a_sweep_that_tells_the_truth_is_clean() -> None:
    assert findings(swept()) == []


def test_a_sweep_that_is_flat_though_an_account_was_not_shown_empty_is_found() -> None:
    (line,) = findings(swept("cannot list: no"))

    assert "verdict" in line
    assert findings(swept("cannot list: no", verdict="unproven")) == []


def test_a_false_flat_is_found() -> None:
    base = swept()
    opened = {(ACCOUNT, "order_id", "u-more"): [order("u-more", "open")]}

    lines = findings(replace(base, truth=replace(base.truth, orders={**base.truth.orders, **opened})))

    assert any("FALSE FLAT" in line and "u-more" in line for line in lines)


def test_a_cancel_of_an_order_that_a_sweep_does_not_cover_is_found() -> None:
    base = swept()
    asked = {**base.truth.asked, (ACCOUNT, OPEN): [START_MS + 100]}

    (line,) = findings(replace(base, truth=replace(base.truth, asked=asked)))

    assert line.endswith("no batch asked for it")


def test_a_sweep_that_was_refused_for_too_many_orders_is_no_finding_and_one_of_few_is() -> None:
    base = swept()
    refused = Told(report("one", (), state="refused", verdict=None, calls=1), ())
    quiet = replace(base.truth, asked={})

    def given(most: int) -> list[str]:
        asked = replace(base.asked[0], most=most)
        return findings(replace(base, asked=[asked], told={"one": refused}, truth=quiet))

    assert given(0) == []
    assert any("was refused" in line for line in given(1))


def test_a_replay_that_leaves_an_order_out_is_found() -> None:
    row = outcome(OPEN, "unknown")
    second = Told(report("two", [row], calls=0), [row])
    asked = Asked("two", [reference(OPEN)], DEADLINE_S, acknowledged=True, replay_of="one")
    base = record()

    (line,) = findings(replace(base, asked=[*base.asked, asked], told={**base.told, "two": second}))

    assert MISSED in line
    assert line.endswith("not replayed")


def test_how_many_orders_are_unproven_and_why_is_told() -> None:
    """Two of one reason, one of them open in the book; a third, and an account, of batches that do not count."""
    asked, sweep = record().asked[0], {"accounts": [ACCOUNT], "all": True}
    rows = [
        outcome(order_id, "unknown") | {"venue": "upbit", "evidence": None, "code": None, "message": message}
        for order_id, message in ((CANCELED, "no answer after 1 s"), (OPEN, "no answer after 20 s"))
    ]
    told = {
        "one": Told(report("one", rows), rows, {"weex-desk": "open: 7", "upbit-desk": "empty"}),
        "quiet": Told(report("quiet", rows), rows),
        "refused": Told(report("refused", (), state="refused", verdict=None), ()),
    }
    batches = [
        replace(asked, select=sweep),
        replace(asked, batch_id="quiet", proves=False),
        replace(asked, batch_id="refused"),
    ]

    assert unproven(record(asked=batches, told=told)) == [
        ("orders unproven", "2 of 2 when their deadlines came; the book has 1 of them open"),
        ("unproven by deadline", "2 of 2 in 10 s"),
        ("unproven, known last", "2 upbit unknown: no answer after # s"),
        ("accounts not swept", "1 weex-desk: open: #"),
    ]


def test_reasons_that_are_left_out_are_counted() -> None:
    message = [chr(ord("a") + number // 26) + chr(ord("a") + number % 26) for number in range(MOST_REASONS + 10)]
    rows = [
        outcome(OPEN, "unknown") | {"venue": "upbit", "evidence": None, "code": None, "message": m} for m in message
    ]

    *_, last = unproven(record(told={"one": Told(report("one", rows), rows)}))

    assert last == ("unproven, known last", "10 of rarer reasons")


def test_each_finding_is_counted_as_what_it_is() -> None:
    base, lost = changed(1, "canceled"), replace(record().asked[0], batch_id="lost")
    truth = replace(base.truth, flights={(ACCOUNT, MISSED): [(1, 50), (40, 50)]})
    counters = {"accounts": {ACCOUNT: {"cancel_calls": 1, "breaches": {"x": 2}, "bad_signatures": 1}}, "nobody": {}}
    others = ["Redis: the key x remains", "worker general-2 ended with 1", "schedule: the slot 7 was not swept"]
    whole = replace(base, asked=[*base.asked, lost], truth=replace(truth, counters=counters), others=others)
    whole = replace(whole, events=[ended({"canceled": 3})])
    audited, *counted = verdicts(whole, findings(whole))

    assert audited == ("audited", "3 outcomes of 1 batches with 3 orders and 1 calls in the books of 1 accounts")
    assert dict(counted) == dict.fromkeys((name for name, _ in CHECKS), "1") | {
        "lost orders": "0",
        "false flat": "0",
        "other false claims": "1",
        "breaches": "2",
    }


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (lambda: record(told={"one": Told(report("one", told().outcomes[:2]), told().outcomes[:2])}), "lost orders"),
        (lambda: changed(0, "not_sent"), "other false claims"),
        (lambda: changed(1, "accepted"), "other false claims"),
    ],
)
def test_a_lie_is_counted_as_one(planted: Callable[[], Record], check: str) -> None:
    given = planted()

    assert dict(verdicts(given, findings(given)))[check] == "1"


FIRST_MS = START_MS + 100


def flying(second_ms: int, **fields: Any) -> Record:
    """Let an order be named by a cancel that waits for half a second, and by another one at *second_ms*."""
    flights = {(ACCOUNT, CANCELED): [(FIRST_MS, FIRST_MS + 500), (second_ms, second_ms)]}
    return record(truth=replace(truth(), flights=flights), **fields)


@pytest.mark.parametrize(
    ("second_ms", "is_found"), [(FIRST_MS + 499, True), (FIRST_MS + 1, True), (FIRST_MS + 500, False)]
)
def test_two_cancels_in_flight_are_found(second_ms: int, is_found: bool) -> None:
    found = findings(flying(second_ms))

    assert [line for line in found if "TWO CANCELS IN FLIGHT" in line] == found
    assert bool(found) is is_found


def test_a_long_flight_hides_no_second_one_behind_a_short_one() -> None:
    flights = {(ACCOUNT, CANCELED): [(FIRST_MS, FIRST_MS + 500), (FIRST_MS + 500, FIRST_MS + 510)]}
    longer = {(ACCOUNT, CANCELED): [(FIRST_MS, FIRST_MS + 500), (FIRST_MS + 10, FIRST_MS + 20), (FIRST_MS + 400, 0)]}

    assert findings(record(truth=replace(truth(), flights=flights))) == []
    assert len(findings(record(truth=replace(truth(), flights=longer)))) == 2


def test_a_caller_that_has_given_up_has_nothing_in_flight() -> None:
    late_ms = FIRST_MS + SURELY_WAITS_MS
    flights = {(ACCOUNT, CANCELED): [(FIRST_MS, FIRST_MS + 12_000), (late_ms, late_ms)]}

    assert findings(record(truth=replace(truth(), flights=flights))) == []


@pytest.mark.parametrize(
    ("seized", "is_found"),
    [
        (("one", ACCOUNT, FIRST_MS + 100), False),
        (("one", ACCOUNT, FIRST_MS + 300), True),
        (("one", "upbit-desk", FIRST_MS + 100), True),
        (("two", ACCOUNT, FIRST_MS + 100), True),
    ],
)
def test_what_was_taken_from_the_dead_is_in_flight_for_nobody(seized: tuple[str, str, float], is_found: bool) -> None:
    assert bool(findings(flying(FIRST_MS + 200, seized=[seized]))) is is_found


def test_an_order_that_is_known_by_two_kinds_of_id_passes_for_two() -> None:
    base = flying(FIRST_MS + 200)
    rows = [outcome(CANCELED, "canceled") | {"order_id": None, "client_order_id": "bot-7"}]
    booked = base.truth.orders | {(ACCOUNT, "client_order_id", "bot-7"): [order(CANCELED, "canceled")]}  # type: ignore[operator]
    asked = replace(base.asked[0], batch_id="two", orders=rows)
    both = {**base.told, "two": Told(report("two", rows, calls=0), rows)}

    assert (
        findings(replace(base, asked=[*base.asked, asked], told=both, truth=replace(base.truth, orders=booked))) == []
    )


def ended(counts: Mapping[str, int]) -> dict[str, str]:
    return {"type": "batch.done", "batch_id": "one", "at_ms": str(START_MS + 500), "counts": json.dumps(counts)}


def test_an_end_that_was_told_twice_or_never_is_found() -> None:
    end = ended(told().report["counts"])
    accepted = {"type": "batch.accepted", "batch_id": "one", "at_ms": str(START_MS - 1)}
    forgotten = accepted | {"at_ms": str(START_MS + 1)}

    assert findings(record(events=[accepted, end])) == []
    assert findings(record(events=[forgotten])) == []
    assert findings(record(events=[accepted])) == ["batch one: its end was told 0 times"]
    assert findings(record(events=[end, end])) == ["batch one: its end was told 2 times"]


@pytest.mark.parametrize(
    ("counts", "is_found"),
    [
        ({"unknown": 2, "not_sent": 1}, False),  # it was proven later
        ({"filled": 1, "unknown": 2}, False),
        ({"canceled": 2, "unknown": 1}, True),
        ({"canceled": 1, "unknown": 1}, True),  # of two orders
    ],
)
def test_what_is_weakened_after_the_end_is_found(counts: dict[str, int], is_found: bool) -> None:
    found = findings(record(events=[ended(counts)]))

    assert [line for line in found if "WEAKENED" in line] == found
    assert bool(found) is is_found


DESK = "binance-desk"
CALL_MS = START_MS + 100


def taken(found: str = "1", *, at_ms: int = CALL_MS, asked: Sequence[str] = ("1", "2"), **fields: Any) -> Record:
    """Let a sweep of everything find one of two orders of a symbol, and take both with one cancel-all.

    The other was in no listing: one had left it out, or had come too early for it.  *fields* are the sweep's.
    """
    symbols = {"1": "X", "2": "X", "3": "Y"}
    known = Truth(
        venues={DESK: "binance", ACCOUNT: "upbit"},
        orders={(DESK, "order_id", each): [order(each, "canceled") | {"symbol": symbols[each]}] for each in symbols},
        applied={(DESK, each): [at_ms] for each in asked},
        asked={},
        counters={"accounts": {DESK: {"cancel_calls": 1, "breaches": {}, "bad_signatures": 0}}, "nobody": {}},
        cancel_alls=[{"at_ms": at_ms, "account": DESK, "asked": asked}],
    )
    row = outcome(found, "canceled") | {"account": DESK}
    select = {"accounts": [DESK], "all": True}
    sweep = Asked("one", (), DEADLINE_S, acknowledged=True, select=fields.pop("select", select), **fields)
    told = Told(report("one", [row]), [row], {DESK: "empty"})
    return record(asked=[sweep], told={"one": told}, answers=[], truth=known)


def stray(given: Record) -> list[str]:
    return [line for line in findings(given) if f"{DESK}: a cancel-all came" in line]


def test_a_cancel_all_may_take_what_its_sweep_has_not_found() -> None:
    assert findings(taken()) == []
    assert findings(taken(asked=())) == []
    assert stray(taken(select={"accounts": ["*"], "symbol": "X"})) == []


@pytest.mark.parametrize(
    "select",
    [
        {"accounts": [DESK], "symbol": "Y"},
        {"accounts": [DESK], "side": "buy"},
        {"accounts": [DESK], "older_than_s": 1},
        {"accounts": [DESK], "client_order_id_prefix": "bot"},
        {"accounts": [ACCOUNT], "all": True},
    ],
)
def test_a_cancel_all_of_more_than_its_sweep_selects_is_found(select: dict[str, Any]) -> None:
    (line,) = stray(taken(select=select))

    assert line.endswith("took 1, 2; no sweep that ran then selects all of that")


def test_a_cancel_all_beside_a_most_is_found() -> None:
    assert stray(taken(most=10))


def test_a_cancel_all_of_a_symbol_of_which_its_sweep_had_found_nothing_is_found() -> None:
    assert stray(taken("3"))


@pytest.mark.parametrize("at_ms", [START_MS - 1, START_MS + 500 + SEND_SLACK_MS + 1])
@pytest.mark.parametrize("asked", [("1", "2"), ()])
def test_a_cancel_all_before_its_sweep_or_after_its_end_is_found(at_ms: int, asked: tuple[str, ...]) -> None:
    assert stray(taken(at_ms=at_ms, asked=asked))


def test_a_cancel_all_is_not_excused_by_a_batch_that_names_what_it_took() -> None:
    base = taken()
    rows = [outcome(each, "canceled") | {"account": DESK} for each in ("1", "2")]
    asked = Asked("one", [reference(each) | {"account": DESK} for each in ("1", "2")], DEADLINE_S, acknowledged=True)

    assert stray(replace(base, asked=[asked], told={"one": Told(report("one", rows), rows)}))


@pytest.mark.parametrize(
    ("order_id", "told_ms", "lies"),
    [("1", CALL_MS - 1, False), ("1", CALL_MS + 1, True), ("2", CALL_MS - 1, False), ("2", CALL_MS + 1, False)],
)
def test_not_sent_is_a_lie_once_a_cancel_all_took_the_order_that_its_sweep_had_found(
    order_id: str, told_ms: int, lies: bool
) -> None:
    """Of what its sweep had not found nobody can know that it went."""
    base = taken()
    row = outcome(order_id, "not_sent", told_ms) | {"account": DESK}
    second = Asked("two", [reference(order_id) | {"account": DESK}], DEADLINE_S, acknowledged=True)
    both = {**base.told, "two": Told(report("two", [row], calls=0), [row])}

    lines = findings(replace(base, asked=[*base.asked, second], told=both))

    assert [line for line in lines if "a cancel of it was applied" in line] == lines
    assert bool(lines) is lies


@pytest.mark.parametrize(
    ("theirs", "sent", "lies"),
    [("client_order_id", (), False), ("client_order_id", ("1",), True), ("order_id", ("1",), True)],
)
def test_not_sent_is_a_lie_unless_the_cancel_came_by_another_name(
    theirs: str, sent: tuple[str, ...], lies: bool
) -> None:
    """Two batches name one order; *sent* are the ids under which its cancel came, beside the client id."""
    row = outcome("1", "not_sent", CALL_MS + 1)
    other = outcome("1", "canceled") | ({"client_order_id": "bot-1"} if theirs == "client_order_id" else {})
    names = {"order_id": None, theirs: other[theirs], "account": ACCOUNT, "symbol": None}
    (booked,) = rows = [order("1", "canceled")]
    known = replace(
        truth(),
        orders={(ACCOUNT, kind, str(booked[kind])): rows for kind in ("order_id", "client_order_id")},
        applied={(ACCOUNT, "1"): [CALL_MS]},
        asked={(ACCOUNT, each): [CALL_MS] for each in ("bot-1", *sent)},
    )
    asked = [Asked("one", [reference("1")], DEADLINE_S, acknowledged=True), Asked("two", [names], DEADLINE_S, True)]
    both = {"one": Told(report("one", [row]), [row]), "two": Told(report("two", [other]), [other])}

    lines = findings(record(asked=asked, told=both, answers=[], truth=known))

    assert [line for line in lines if "not_sent, but a cancel of it was applied" in line] == lines
    assert bool(lines) is lies
