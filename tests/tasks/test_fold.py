"""The fold: the strongest evidence stands, in whatever order it came."""

import json
from collections.abc import Iterable
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import REFUSED_AS, Refusal, RefusalKind, refuse
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import VERDICTS, Evidence, Outcome, Status, Verdict
from tasks.fold import GONE, NEVER_TRIED, REFUSED_BY_NAME, STRENGTH, Standing, fold, strength
from tasks.report import details

ORDER = OrderRef(IdKind.ORDER_ID, "1")
any_text = st.text(max_size=30) | st.sampled_from(["|", "a|b|c", "40|1|unknown|{}", "größe 超過 🛑", '"\\', "\ud800"])
outcomes = st.builds(
    Outcome,
    order=st.just(ORDER),
    status=st.sampled_from(Status),
    evidence=st.sampled_from(Evidence),
    code=st.none() | any_text,
    message=st.none() | any_text,
    filled_qty=st.none() | any_text,
    order_id=st.none() | any_text,
)
times = st.integers(0, 3) | st.integers(0, 10**15 - 1)
standings = st.builds(
    lambda outcome, at_ms, attempt: Standing(strength(outcome), at_ms, outcome.status, details(outcome, attempt)),
    outcomes,
    times,
    st.integers(0, 3),
)


def folded(many: Iterable[Standing]) -> Standing:
    return reduce(fold, many)


def standing(status: Status, at_ms: int = 1, evidence: Evidence = Evidence.CANCEL_ANSWER) -> Standing:
    outcome = Outcome(ORDER, status, evidence)
    return Standing(strength(outcome), at_ms, status, details(outcome, 1))


@given(standings, standings, standings)
def test_it_ignores_arrival_order(a: Standing, b: Standing, c: Standing) -> None:
    assert fold(a, b) == fold(b, a)
    assert fold(a, fold(b, c)) == fold(fold(a, b), c)
    assert fold(a, a) == a


@given(st.lists(standings, min_size=1, max_size=6))
def test_it_keeps_the_strongest_and_of_equals_the_latest(many: list[Standing]) -> None:
    kept = folded(many)

    assert kept in many
    assert kept.strength == max(one.strength for one in many)
    assert kept.at_ms == max(one.at_ms for one in many if one.strength == kept.strength)


@given(st.lists(standings, min_size=1, max_size=6))
def test_nothing_takes_back_that_an_order_is_gone(many: list[Standing]) -> None:
    gone = [one for one in many if VERDICTS[one.status] is Verdict.GONE]

    assert VERDICTS[folded(many).status] is Verdict.GONE if gone else folded(many) in many
    assert (VERDICTS[folded(many).status] is Verdict.GONE) == bool(gone)


@given(standings)
def test_a_standing_survives_being_written(one: Standing) -> None:
    text = one.text()

    assert Standing.read(text) == one
    assert Standing.read(text.encode().decode()) == one


@given(standings, standings)
def test_texts_compare_like_standings(one: Standing, other: Standing) -> None:
    """The script compares texts; both must choose the same."""
    assert max(one.text(), other.text()) == fold(one, other).text()


@given(outcomes, st.integers(0, 9))
def test_details_are_ascii_json_without_nulls(outcome: Outcome, attempts: int) -> None:
    text = details(outcome, attempts)

    assert text.isascii()
    assert None not in json.loads(text).values()
    assert json.loads(text).get("message") == outcome.message


def test_every_status_has_a_strength_of_two_digits() -> None:
    assert set(STRENGTH) == set(Status)
    assert all(0 <= number <= 99 for number in STRENGTH.values())
    assert len(set(STRENGTH.values())) == len(STRENGTH)


def test_what_is_gone_is_exactly_what_is_strong_enough() -> None:
    assert {status for status, number in STRENGTH.items() if number >= GONE} == {
        status for status, verdict in VERDICTS.items() if verdict is Verdict.GONE
    }


@pytest.mark.parametrize("kind", [kind for kind in RefusalKind if kind is not RefusalKind.UNCERTAIN])
def test_a_refusal_of_the_whole_call_never_hides_that_an_order_may_have_been_executed(kind: RefusalKind) -> None:
    (refused,) = refuse((ORDER,), Refusal(kind)).outcomes
    unknown = standing(Status.UNKNOWN, at_ms=1, evidence=Evidence.NO_ANSWER)
    later = Standing(strength(refused), 2, refused.status, details(refused, 2))

    assert refused.status is REFUSED_AS[kind]
    assert fold(unknown, later) == unknown


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.ACCEPTED])
def test_a_refusal_that_names_the_order_hides_no_other_attempt(status: Status) -> None:
    """Batches may overlap: another's call may be executed after the refusal of ours, or before."""
    by_name = standing(Status.REJECTED, at_ms=2)
    other = standing(status, at_ms=1)

    assert fold(other, by_name) == other


def test_a_refusal_that_names_the_order_counts_more_than_one_of_the_whole_call() -> None:
    by_name = standing(Status.REJECTED, at_ms=1)
    whole = standing(Status.REJECTED, at_ms=2, evidence=Evidence.CALL_REFUSED)

    assert fold(whole, by_name) == by_name
    assert STRENGTH[Status.REJECTED] < by_name.strength == REFUSED_BY_NAME < STRENGTH[Status.UNKNOWN]


def test_a_deadline_hides_nothing_that_an_attempt_taught() -> None:
    late = Standing(NEVER_TRIED, 9, Status.NOT_SENT, "{}")
    attempted = [one for one in Status if one not in (Status.PENDING, Status.INVALID)]

    assert [fold(late, standing(status)).status for status in attempted] == attempted
    assert fold(late, standing(Status.PENDING)) == late


def test_all_orders_of_arrival_of_one_of_each_status_end_alike() -> None:
    some = [standing(status) for status in (Status.NOT_SENT, Status.UNKNOWN, Status.ACCEPTED, Status.REJECTED)]

    assert {folded(order) for order in permutations([*some, standing(Status.CANCELED)])} == {standing(Status.CANCELED)}
    assert {folded(order) for order in permutations(some)} == {standing(Status.ACCEPTED)}
