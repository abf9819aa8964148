"""What follows from reading orders back, whatever is read: nothing is lost, and nothing is gone without evidence."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Answer, Refusal, RefusalKind
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import VERDICTS, Evidence, Outcome, Status, Verdict
from connectors.reads import OpenOrder
from connectors.registry import VENUES
from connectors.venue import Venue
from tasks.budget import renewal_ms
from tasks.fold import Standing
from tasks.listing import Listed
from tasks.ports import Claim, ClaimKind
from tasks.proof import LONGEST_READ_MS, MOST_SETTLINGS, Proof, Read, lists_from, to_read
from tasks.standings import standing_of
from tests.fakes import START_MS, account_of
from tests.tasks.book import BLIND, READABLE, SINGLE

ACCOUNT = account_of(READABLE)
IDS = tuple("abcdef")
READS = (Status.OPEN, Status.CANCELED, Status.FILLED, Status.CLOSED)
LEARNED = (Status.ACCEPTED, Status.UNKNOWN, Status.OPEN, Status.REJECTED, Status.NOT_SENT)


def refs(values: str) -> tuple[OrderRef, ...]:
    return tuple(OrderRef(IdKind.ORDER_ID, value) for value in values)


@st.composite
def claims(draw: st.DrawFn, kind: ClaimKind = ClaimKind.LIST, **more: Any) -> Claim:
    values = draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    orders = refs("".join(values))
    places = tuple(range(10, 10 + len(orders)))
    known = []
    for order in orders:
        status, ago_ms = draw(st.none() | st.sampled_from(LEARNED)), draw(st.integers(0, 10_000))
        outcome = status and Outcome(order, status, Evidence.CANCEL_ANSWER)
        known.append(outcome and standing_of(outcome, 1, START_MS - ago_ms))
    return Claim(
        kind, "b/1", "b", "main", 1, draw(st.integers(1, 9)), START_MS + 60_000, places, orders, known=tuple(known),
        prove=True, **more,
    )  # fmt: skip


def gone(read: Read) -> set[int]:
    return {place for place, outcome in read.outcomes.items() if VERDICTS[outcome.status] is Verdict.GONE}


def whole(claim: Claim, read: Read) -> None:
    """Every order goes on in exactly one part, unless it is gone."""
    on = Counter(place for part in read.parts for place in part.places)
    assert on == Counter(set(claim.places) - gone(read))
    assert all(part.ready_ms >= START_MS for part in read.parts)


@given(claims(ClaimKind.QUERY), st.data())
def test_after_a_query_only_what_it_names_as_ended_is_gone(claim: Claim, data: st.DataObject) -> None:
    refusal = data.draw(st.none() | st.sampled_from(RefusalKind).map(Refusal))
    outcomes = []
    for order in claim.orders:
        status = None if refusal else data.draw(st.none() | st.sampled_from(READS))
        unknown = st.sampled_from((Evidence.NO_ANSWER,) if refusal else (Evidence.NO_ANSWER, Evidence.NOT_KNOWN))
        evidence = Evidence.ORDER_QUERY if status else data.draw(unknown)
        outcomes.append(Outcome(order, status or Status.UNKNOWN, evidence))

    read = Proof(ACCOUNT, START_MS, data.draw(st.floats(0, 0.99))).after_query(
        claim, claim.orders, Answer(tuple(outcomes), refusal)
    )

    whole(claim, read)
    ended = {place for place, one in zip(claim.places, outcomes, strict=True) if VERDICTS[one.status] is Verdict.GONE}
    assert gone(read) == ended


@given(st.data(), st.booleans(), st.booleans())
def test_after_a_listing_only_what_is_strange_and_not_in_a_whole_one_is_gone(
    data: st.DataObject, complete: bool, only_open: bool
) -> None:
    claim = data.draw(claims(only_open=only_open))
    strange = () if only_open else data.draw(st.sets(st.sampled_from(claim.places)))
    claim = Claim(**{name: getattr(claim, name) for name in Claim.__slots__} | {"strange": frozenset(strange)})
    shown = data.draw(st.sets(st.sampled_from(IDS)))
    listed = Listed(tuple(OpenOrder(value) for value in sorted(shown)), complete)

    read = Proof(ACCOUNT, START_MS, 0.5).after_listing(claim, listed)

    whole(claim, read)
    absent = {place for place, order in zip(claim.places, claim.orders, strict=True) if order.value not in shown}
    assert gone(read) == (absent & set(strange) if complete else set())
    assert {place for place, one in read.outcomes.items() if one.status is Status.OPEN} == set(claim.places) - absent


@given(claims(ClaimKind.SEND), st.data())
def test_what_a_cancel_left_in_doubt_is_read(claim: Claim, data: st.DataObject) -> None:
    statuses = [data.draw(st.sampled_from([*LEARNED, *READS[1:]])) for _ in claim.places]
    outcomes = [Outcome(o, s, Evidence.CANCEL_ANSWER) for o, s in zip(claim.orders, statuses, strict=True)]
    standings = [(p, standing_of(o, 1, START_MS)) for p, o in zip(claim.places, outcomes, strict=True)]

    parts = to_read(claim, standings, READABLE, START_MS)

    stands = {place: max(known or one, one).status for (place, one), known in zip(standings, claim.known, strict=True)}
    doubtful = {place for place, one in stands.items() if one in {Status.ACCEPTED, Status.UNKNOWN, Status.OPEN}}
    assert Counter(place for part in parts for place in part.places) == Counter(doubtful)
    assert all(START_MS < part.ready_ms <= START_MS + READABLE.settling_ms * MOST_SETTLINGS for part in parts)
    assert to_read(claim, standings, BLIND, START_MS) == ()


@pytest.mark.parametrize(("venue", "together"), [(READABLE, True), (SINGLE, False)])
def test_what_is_canceled_within_a_moment_is_read_at_once_where_one_query_asks_for_many(
    venue: Venue, together: bool
) -> None:
    claim = Claim(
        ClaimKind.SEND, "b/1", "b", "main", 1, 1, START_MS + 60_000, (0,), refs("a"), known=(None,), prove=True
    )
    taken = [(0, standing_of(Outcome(claim.orders[0], Status.ACCEPTED, Evidence.CANCEL_ANSWER), 1, START_MS))]

    times = [to_read(claim, taken, venue, START_MS + after_ms)[0].ready_ms for after_ms in (51, 99, 150)]

    assert times == ([START_MS + 400] * 3 if together else [START_MS + 301, START_MS + 349, START_MS + 400])


@given(st.none() | st.integers(0, 10**6), st.floats(0, 0.999))
def test_reads_come_neither_at_once_nor_after_the_longest_time(ago_ms: int | None, fraction: float) -> None:
    known = None if ago_ms is None else Standing(50, START_MS - ago_ms, Status.ACCEPTED, "{}")

    later_ms = Proof(ACCOUNT, START_MS, fraction).later_ms(known) - START_MS

    assert READABLE.settling_ms * 3 // 4 <= later_ms <= LONGEST_READ_MS


def test_from_how_many_orders_on_a_listing_goes_first() -> None:
    found = {
        name: [(lists_from(venue, query), lists_from(venue, query, of_symbol=True)) for query in venue.queries]
        for name, venue in VENUES.items()
    }

    assert found == {
        "binance": [(40, 3), (40, 3)],
        "crypto_com": [(20, None), (4, None)],
        "kuna": [(6, None)],
        "upbit": [(None, None), (2, None)],
        "weex": [(5, None), (5, None)],
    }


def test_a_listing_that_goes_first_takes_half_of_the_queries_at_most() -> None:
    for venue in VENUES.values():
        for query in venue.queries:
            number = lists_from(venue, query)
            if number is not None:
                listing = [(one.limits, 1) for one in venue.listings]
                assert 2 * renewal_ms(listing) <= renewal_ms([(query.limits, number)]) + 1e-6
                assert 2 * len(listing) <= number
