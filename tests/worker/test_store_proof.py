"""Reading orders back through the store: what is asked when, and what is known in the end; on both kinds of Redis."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from connectors.calls import Limit, RefusalKind, Scope
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status
from connectors.transport import MaybeSent
from tasks.batch import Batch, Order, Priority
from tasks.drain import leftover
from tasks.ports import ClaimKind, Next, Part, Settlement
from tests.fakes import START_MS, account_of, said, work_on
from tests.tasks.book import BLIND, READABLE, SETTLING_MS, SHIFTING, SINGLE, Floor
from tests.tasks.lanes import BOTH, connection_of, standing


@pytest.fixture(params=BOTH)
def connection(request: pytest.FixtureRequest) -> Redis:
    return connection_of(request)


@pytest.fixture
def floor(connection: Redis) -> Floor:
    return Floor(connection)


def part(place: int, ready_ms: int) -> Part:
    return Part((place,), ready_ms, Next.READ)


def test_what_was_accepted_is_read_back_until_it_is_gone(floor: Floor) -> None:
    floor.book.put("a", "b")
    floor.cancel("a", "b")

    floor.run()

    assert floor.statuses() == ["canceled"] * 2
    assert floor.book.calls == [(START_MS, "cancel", ["a", "b"]), (START_MS + 300, "many", ["a", "b"])]
    assert (floor.report()["verdict"], floor.report()["calls"]) == ("flat", 2)
    assert floor.ended == ["b"]


def test_without_proof_the_venues_answer_stands(floor: Floor) -> None:
    floor.book.put("a", "b")
    floor.cancel("a", "b", prove=False)

    floor.run()

    assert floor.statuses() == ["accepted"] * 2
    assert [path for _, path, _ in floor.book.calls] == ["cancel"]
    assert floor.report()["verdict"] == "unproven"


def test_a_call_without_an_answer_is_read_back_and_not_sent_again(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.states["a"] = "filled"
    floor.book.reply("cancel", MaybeSent("ReadTimeout"))
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["filled"]
    assert floor.book.asked("cancel") == [["a"]]


def test_an_order_that_stays_open_is_canceled_again(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.reply("cancel", said(statuses={"a": "accepted"}))  # and forgotten
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["canceled"]
    assert [path for _, path, _ in floor.book.calls] == ["cancel", "many", "many", "cancel", "many"]


def test_settling_is_waited_for(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.ends_ms = SETTLING_MS - 1
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["canceled"]
    assert len(floor.book.asked("cancel")) == 1


# One query for many


def small_cancels(floor: Floor, most: int) -> None:
    floor.lanes.use(account_of(floor.venue, max_orders_per_call=most))


def test_orders_of_several_calls_share_queries_up_to_their_most(floor: Floor) -> None:
    small_cancels(floor, 2)
    names = list("abcdef")
    floor.book.put(*names)
    floor.cancel(*names)

    floor.run()

    assert floor.statuses() == ["canceled"] * 6
    assert floor.book.asked("cancel") == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert floor.book.asked("many") == [["a", "b", "c", "d"], ["e", "f"]]


def test_one_that_the_query_leaves_out_is_asked_for_by_itself(floor: Floor) -> None:
    floor.book.put("a", "b", "c")
    floor.book.left_out = {"b"}
    floor.cancel("a", "b", "c")

    floor.run()

    assert floor.statuses() == ["canceled"] * 3
    assert floor.book.asked("many") == [["a", "b", "c"]]
    assert floor.book.asked("one") == [["b"]]


@pytest.mark.parametrize("kind", [RefusalKind.REFERENCE, RefusalKind.CALL])
def test_a_query_that_cannot_be_read_is_taken_apart_at_once(floor: Floor, kind: RefusalKind) -> None:
    floor.book.put("a", "b")
    floor.book.reply("many", said(refusal=kind.value))
    floor.cancel("a", "b")

    floor.run()

    assert floor.statuses() == ["canceled"] * 2
    assert sorted(floor.book.asked("one")) == [["a"], ["b"]]
    assert floor.book.at("one") == [START_MS + 300] * 2


HARMLESS = [kind for kind in RefusalKind if kind not in {RefusalKind.REFERENCE, RefusalKind.CALL}]


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_refusal_of_a_query_ends_and_splits_nothing(floor: Floor, kind: RefusalKind) -> None:
    floor.book.put("a", "b")
    floor.book.reply("many", said(refusal=kind.value))
    floor.cancel("a", "b")

    floor.run()

    assert floor.statuses() == ["canceled"] * 2
    assert floor.book.asked("many") == [["a", "b"]] * 2
    assert floor.book.asked("one") == []


@pytest.mark.parametrize("kind", RefusalKind)
def test_reads_that_are_refused_to_the_end_leave_what_is_known(floor: Floor, kind: RefusalKind) -> None:
    floor.book.put("a", "b")
    for path in ("many", "one", "open", "plans"):
        floor.book.reply(path, *[said(refusal=kind.value)] * 500)
    floor.cancel("a", "b", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["accepted"] * 2
    assert (floor.report()["state"], floor.report()["verdict"]) == ("done", "unproven")
    assert floor.report()["calls"] == len(floor.book.calls)
    assert START_MS + 10_000 <= floor.report()["done_ms"] <= START_MS + 10_100


# A listing where there is no query for many

EIGHT = tuple("abcdefgh")


@pytest.fixture
def single(connection: Redis) -> Floor:
    """Give a floor where orders are asked for one by one: a listing goes first from four on."""
    return Floor(connection, SINGLE)


def test_a_listing_shows_what_is_still_open_and_each_of_the_others_is_asked_for_once(single: Floor) -> None:
    single.book.put(*EIGHT)
    single.book.ends_ms = 900
    single.cancel(*EIGHT)

    single.run()

    assert single.statuses() == ["canceled"] * 8
    assert sorted(single.book.asked("one")) == [[name] for name in EIGHT]
    assert len(single.book.at("plans")) >= 2
    assert {row["evidence"] for row in single.lanes.client.outcomes("b")} == {"order query"}


def test_a_few_are_asked_for_without_a_listing(single: Floor) -> None:
    single.book.put(*EIGHT[:3])
    single.cancel(*EIGHT[:3])

    single.run()

    assert single.statuses() == ["canceled"] * 3
    assert single.book.at("open") == []


def test_what_a_listing_leaves_out_is_not_gone(single: Floor) -> None:
    """It lags behind: the venue, asked for each of them, shows them open."""
    single.book.put(*EIGHT)
    single.book.ends_ms = None
    single.book.reply("open", *[said(rows=[], cursor=None)] * 500)
    single.cancel(*EIGHT, deadline_s=10)

    single.run()

    assert single.statuses() == ["open"] * 8


def test_what_neither_a_listing_nor_the_venue_knows_is_not_found_as_ever(single: Floor) -> None:
    single.book.put("other")
    single.cancel(*EIGHT)

    single.run()

    assert single.statuses() == ["not_found"] * 8
    assert {name for (name,) in single.book.asked("one")} == {*EIGHT}
    assert min(at_ms for at_ms, path, _ in single.book.calls if path == "open") >= START_MS + 250


@pytest.mark.parametrize("kind", RefusalKind)
def test_a_listing_that_fails_leaves_the_queries(single: Floor, kind: RefusalKind) -> None:
    single.book.put(*EIGHT)
    for path in ("plans", "open"):
        single.book.reply(path, *[said(refusal=kind.value)] * 500)
    single.cancel(*EIGHT)

    single.run()

    assert single.statuses() == ["canceled"] * 8


def test_orders_that_become_due_wait_for_the_end_of_a_listing_under_way(single: Floor) -> None:
    single.lanes.use(account_of(SINGLE, max_orders_per_call=4))
    single.book.put(*EIGHT)
    single.book.ends_ms = 5_000
    single.cancel(*EIGHT)
    single.step()
    single.clock.ms += 100
    single.step()
    single.clock.ms += 150
    listing = single.lanes.claim(single.lanes.worker("w2"))
    assert (listing.kind, listing.only_open, len(listing.places)) == (ClaimKind.LIST, True, 4)
    single.clock.ms += 100

    assert not single.step()
    single.lanes.sound()
    work_on(single.drain(single.lanes.worker("w2")), listing)
    single.run()

    assert single.statuses() == ["canceled"] * 8


def test_a_listing_of_what_is_open_in_the_hands_of_a_dead_worker_goes_on(single: Floor) -> None:
    single.book.put(*EIGHT)
    single.cancel(*EIGHT)
    single.step()
    single.clock.ms += 250
    listing = single.lanes.claim(single.lanes.worker("w2"))
    single.lanes.kill("w2")
    seized = single.lanes.store.seize(listing.chunk_id, single.clock.ms)
    assert seized is not None
    single.lanes.store.settle(seized, leftover(seized, SINGLE.resend_safe, single.clock.ms), single.clock.ms)

    single.run()

    assert single.statuses() == ["canceled"] * 8
    assert len(single.book.asked("cancel")) == 1


def test_names_that_may_mean_another_order_later_are_not_looked_up_in_a_listing(single: Floor) -> None:
    names = [f"leg{number}" for number in range(8)]
    for number, name in enumerate(names):
        single.book.put(str(number), client_order_id=name)
    orders = tuple(Order("main", OrderRef(IdKind.CLIENT_ORDER_ID, name)) for name in names)
    single.lanes.accept(batch := Batch("b", orders))
    single.lanes.enqueue(batch)

    single.run()

    assert single.statuses() == ["canceled"] * 8
    assert single.book.at("open") == []


def test_orders_of_one_symbol_are_listed_alone_where_that_is_cheaper(connection: Redis) -> None:
    listings = tuple(
        replace(one, symbol_limits=one.limits, limits=(replace(one.limits[0], cost=50),)) for one in SINGLE.listings
    )
    floor = Floor(connection, replace(SINGLE, listings=listings, symbol_required=True))
    floor.book.put(*EIGHT, symbol="X")
    floor.book.ends_ms = 900
    orders = tuple(Order("main", OrderRef(IdKind.ORDER_ID, name, "X")) for name in EIGHT)
    floor.lanes.accept(batch := Batch("b", orders))
    floor.lanes.enqueue(batch)

    floor.run()

    assert floor.statuses() == ["canceled"] * 8
    assert {symbol for symbol, _ in floor.book.asked("plans")} == {"X"}
    assert len(floor.book.asked("one")) == 8


# What the venue does not know


def test_what_is_not_known_and_not_listed_is_not_found_once_it_is_settled(floor: Floor) -> None:
    floor.book.put("other")
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["not_found"]
    assert [path for _, path, _ in floor.book.calls][:2] == ["cancel", "many"]
    assert [path for _, path, _ in floor.book.calls][-3:] == ["one", "plans", "open"]
    assert floor.book.calls[-2][0] >= START_MS + SETTLING_MS
    (row,) = floor.lanes.client.outcomes("b")
    assert (row["evidence"], row["attempts"]) == ("listing", 1)


def test_what_is_not_known_by_itself_and_listed_is_canceled_where_it_is(floor: Floor) -> None:
    floor.book.put("a", namespace="plan")
    floor.book.reply("cancel", said(statuses={"a": "accepted"}))  # the ordinary call does nothing for it
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["canceled"]
    paths = [path for _, path, _ in floor.book.calls]
    assert paths[paths.index("plans") :] == ["plans", "open", "plan", "cancel", "plan"]


def test_a_listing_of_several_pages_that_shift_proves_nothing(connection: Redis) -> None:
    floor = Floor(connection, SHIFTING)
    floor.book.put("v", "w", "x", "y")
    floor.cancel("a", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["accepted"]
    assert floor.book.asked("open")


def test_one_page_that_might_shift_is_whole(connection: Redis) -> None:
    floor = Floor(connection, SHIFTING)
    floor.book.put("v", "w")
    floor.cancel("a", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["not_found"]


def test_a_listing_that_cannot_be_read_proves_nothing(floor: Floor) -> None:
    floor.book.reply("plans", *[said(refusal="call")] * 500)
    floor.cancel("a", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["accepted"]
    assert floor.book.asked("plans")


def test_what_cannot_be_asked_for_is_never_not_found(connection: Redis) -> None:
    venue = replace(READABLE, queries=(replace(SINGLE.queries[0], id_kinds=(IdKind.CLIENT_ORDER_ID,)),))
    floor = Floor(connection, venue)
    floor.cancel("a", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["accepted"]
    assert floor.book.asked("open")


def test_a_venue_without_reads_is_not_read(connection: Redis) -> None:
    floor = Floor(connection, BLIND)
    floor.book.put("a")
    floor.cancel("a")

    floor.run()

    assert floor.statuses() == ["accepted"]
    assert len(floor.book.calls) == 1


# The second cancel


def test_each_cancel_has_the_settling_time_before_the_next(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.ends_ms = None
    floor.cancel("a", deadline_s=30)

    floor.run()

    assert floor.statuses() == ["open"]
    times = floor.book.at("cancel")
    assert len(times) > 2
    assert all(later - earlier >= SETTLING_MS for earlier, later in itertools.pairwise(times))


def test_every_attempt_is_counted(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.reply("cancel", *[said(statuses={"a": "accepted"})] * 2)
    floor.cancel("a")

    floor.run()

    (row,) = floor.lanes.client.outcomes("b")
    assert (row["status"], row["attempts"], len(floor.book.asked("cancel"))) == ("canceled", 3, 3)


def test_a_refused_second_cancel_does_not_end_the_proof_of_the_first(floor: Floor) -> None:
    """A worker died in mid-call; its cancel may have been taken, and the next one is refused because of that."""
    floor.book.put("a")
    floor.book.ends_ms = 2_000
    floor.cancel("a")
    claim = floor.lanes.claim(floor.lanes.worker("w2"))
    floor.book.ending["a"] = START_MS + 2_000
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, START_MS)
    assert seized is not None
    floor.lanes.store.settle(seized, leftover(seized, READABLE.resend_safe, START_MS), START_MS)
    floor.book.reply("cancel", said(statuses={"a": "rejected"}))

    floor.run()

    assert floor.statuses() == ["canceled"]


# Client ids


def by_client_id(floor: Floor, value: str, **fields: Any) -> None:
    floor.lanes.accept(batch := Batch("b", (Order("main", OrderRef(IdKind.CLIENT_ORDER_ID, value)),), **fields))
    floor.lanes.enqueue(batch)


def test_a_client_id_is_canceled_again_by_the_venues_own_id(floor: Floor) -> None:
    floor.book.put("7", client_order_id="leg")
    floor.book.reply("cancel", said(statuses={"leg": "accepted"}))
    by_client_id(floor, "leg")

    floor.run()

    assert floor.statuses() == ["canceled"]
    assert floor.book.asked("cancel") == [["leg"], ["7"]]


def test_a_client_id_that_is_used_again_is_not_taken_for_the_first_order(floor: Floor) -> None:
    """The venue forgets its order 7 at once, and has placed order 9 with the same client id."""
    floor.book.put("7", client_order_id="leg")
    floor.book.reply("many", said(leg={"status": "open", "order_id": "7"}))

    def use_again(path: str) -> None:
        if path == "one":
            floor.book.states.pop("7", None)
            floor.book.rows.pop("7", None)
            floor.book.put("9", client_order_id="leg")

    floor.book.before = use_again
    floor.book.ends_ms = None
    floor.book.left_out = {"7"}
    by_client_id(floor, "leg", deadline_s=30)

    floor.run()

    assert floor.book.states["9"] == "open"
    assert ["9"] not in floor.book.asked("cancel")
    assert len(floor.book.asked("cancel")) == 1
    assert floor.statuses() == ["not_found"]


def test_a_client_id_that_rows_need_not_tell_is_not_proven_by_a_listing(floor: Floor) -> None:
    floor.book.put("7")
    by_client_id(floor, "leg", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["accepted"]
    assert floor.book.asked("open")


def test_a_client_id_that_every_row_would_tell_is(floor: Floor) -> None:
    floor.book.put("7", client_order_id="other")
    by_client_id(floor, "leg", deadline_s=10)

    floor.run()

    assert floor.statuses() == ["not_found"]


# Crashes, deadlines, priorities, limits


@pytest.mark.parametrize("path", ["many", "one", "open"])
def test_a_read_in_the_hands_of_a_dead_worker_goes_on(floor: Floor, path: str) -> None:
    floor.book.put("a")
    if path != "many":
        floor.book.left_out = {"a"}
    if path == "open":
        floor.book.states["a"] = "not_known"
    kind = {"many": ClaimKind.QUERY, "one": ClaimKind.QUERY, "open": ClaimKind.LIST}[path]
    floor.cancel("a")
    other = floor.lanes.worker("w2")
    while True:
        grant = floor.lanes.grant(1, other)
        if grant.claims and grant.claims[0].kind is kind and (path == "many" or floor.book.asked("many")):
            break
        for claim in grant.claims:
            work_on(floor.drain(other), claim)
        floor.clock.ms += 0 if grant.claims else 50
    floor.lanes.kill("w2")
    floor.lanes.sound()
    seized = floor.lanes.store.seize(grant.claims[0].chunk_id, floor.clock.ms)
    assert seized is not None
    floor.lanes.store.settle(seized, leftover(seized, READABLE.resend_safe, floor.clock.ms), floor.clock.ms)
    floor.lanes.sound()

    floor.run()

    assert floor.statuses() == ["not_found" if path == "open" else "canceled"]
    assert len(floor.book.asked("cancel")) == 1
    assert floor.drain(other).store.settle(grant.claims[0], Settlement(()), floor.clock.ms).held is False


def test_a_read_that_is_given_back_is_read_and_not_canceled(floor: Floor) -> None:
    floor.book.put("a")
    floor.cancel("a")
    floor.step()
    floor.clock.ms += 300
    claim = floor.lanes.claim()
    assert claim.kind is ClaimKind.QUERY

    floor.lanes.store.release(claim, floor.clock.ms)

    floor.lanes.sound()
    floor.run()
    assert floor.statuses() == ["canceled"]
    assert len(floor.book.asked("cancel")) == 1


def test_a_read_under_way_at_the_deadline_counts_and_ends_the_batch(floor: Floor) -> None:
    floor.book.put("a", "b")
    floor.cancel("a", "b", deadline_s=10)
    floor.step()
    floor.clock.ms += 300
    claim = floor.lanes.claim()
    floor.clock.ms = START_MS + 10_000
    floor.watch()
    assert floor.report()["state"] == "running"

    settlement = Settlement(((0, standing(Status.CANCELED, floor.clock.ms)),), 1, again=(part(1, floor.clock.ms),))
    floor.lanes.store.settle(claim, settlement, floor.clock.ms)
    floor.lanes.sound()
    floor.watch()

    assert floor.statuses() == ["canceled", "accepted"]
    assert floor.report()["state"] == "done"


def test_a_batch_whose_reads_were_given_up_ends_no_earlier_than_that(floor: Floor) -> None:
    """A worker read its clock, then Redis was away for a while; in between the deadline came."""
    floor.book.put("a", "b")
    floor.cancel("a", "b", deadline_s=10)
    floor.step()
    floor.clock.ms += 300
    claim = floor.lanes.claim()
    read_ms = floor.clock.ms
    floor.lanes.store.settle(claim, Settlement((), again=(part(0, read_ms), part(1, read_ms + 1))), read_ms)
    last = floor.lanes.claim()
    assert last.places == (0,)
    floor.clock.ms = START_MS + 10_000
    floor.watch()
    floor.lanes.store.settle(last, Settlement(((0, standing(Status.CANCELED, read_ms)),), 1), read_ms)

    assert floor.report()["state"] == "done"
    assert floor.report()["done_ms"] >= START_MS + 10_000


def test_cancels_go_before_reads_and_reads_before_lower_priorities(floor: Floor) -> None:
    floor.book.put("a", "b", "c")
    floor.cancel("a", batch_id="kill", priority=Priority.KILL)
    floor.step()
    floor.clock.ms += 300
    floor.cancel("b", batch_id="risk")
    floor.cancel("c", batch_id="kill2", priority=Priority.KILL)

    for _ in range(3):
        floor.step()

    assert [(path, names) for _, path, names in floor.book.calls[1:]] == [
        ("cancel", ["c"]),
        ("many", ["a"]),
        ("cancel", ["b"]),
    ]


def test_reads_and_cancels_share_their_window(connection: Redis) -> None:
    one = (Limit("calls", Scope.ACCOUNT, units=1, per_ms=1_000),)
    queries = tuple(replace(query, limits=one) for query in READABLE.queries)
    floor = Floor(connection, replace(READABLE, queries=queries, limits=one))
    floor.book.put(*"abcdefghij")
    floor.cancel(*"abcdefghij")

    floor.run()

    assert floor.statuses() == ["canceled"] * 10
    times = [at_ms for at_ms, _, _ in floor.book.calls]
    assert all(later - earlier >= 1_000 for earlier, later in itertools.pairwise(times))


def test_pauses_between_reads_grow_and_have_jitter(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.reply("many", *[said()] * 500)
    floor.book.reply("one", *[said()] * 500)
    floor.cancel("a", deadline_s=60)

    floor.run()

    times = floor.book.at("one")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert floor.statuses() == ["accepted"]
    assert gaps[0] < 2_000
    assert 3_500 <= gaps[-1] <= 5_050


def test_a_listing_lets_a_kill_go_first_though_no_place_is_free(connection: Redis) -> None:
    """A sweep holds the account's one place; it must neither keep the kill waiting for ever nor wait for it."""
    floor = Floor(connection, account=account_of(READABLE, max_in_flight=1))
    floor.book.put("a")
    floor.sweep("s")
    sweep = floor.lanes.claim()
    floor.cancel("a", batch_id="kill", priority=Priority.KILL)

    work_on(floor.drain(), sweep)

    assert floor.clock.ms < START_MS + 1_000
    floor.step()
    assert floor.book.asked("cancel") == [["a"]]


def test_an_order_that_has_left_its_namespace_is_asked_for_and_canceled_as_an_ordinary_one(floor: Floor) -> None:
    floor.book.put("a", namespace="plan")
    floor.book.ends_ms = None
    floor.cancel("a")
    floor.run(until_ms=5_000)
    assert floor.book.asked("plan")

    floor.book.rows["a"] = replace(floor.book.rows["a"], namespace=None)
    floor.book.ends_ms = 0
    floor.run()

    assert floor.statuses() == ["canceled"]
