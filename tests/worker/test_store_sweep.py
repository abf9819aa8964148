"""Sweeps through the store: what is listed and canceled, and when an account is swept; on both kinds of Redis."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from connectors.calls import RefusalKind, Scope
from connectors.orders import IdKind
from connectors.outcomes import Status
from connectors.reads import Side
from tasks import keys
from tasks.batch import Priority
from tasks.drain import leftover
from tasks.ports import ClaimKind, Pause, Settlement
from tasks.report import sweeps
from tests.fakes import START_MS, said, work_on
from tests.tasks.book import READABLE, SETTLING_MS, SHIFTING, Floor
from tests.tasks.lanes import BOTH, connection_of


@pytest.fixture(params=BOTH)
def connection(request: pytest.FixtureRequest) -> Redis:
    return connection_of(request)


@pytest.fixture
def floor(connection: Redis) -> Floor:
    return Floor(connection)


def shown(floor: Floor) -> dict[str, str]:
    """Say how the sweep of each account stands."""
    found: Any = floor.redis.hgetall(keys.batch("b"))
    return sweeps(found)


def test_everything_open_is_canceled_and_proven(floor: Floor) -> None:
    floor.book.put(*"abcde")
    floor.book.put("p", "q", namespace="plan")
    floor.sweep()

    floor.run()

    report = floor.report()
    assert (report["verdict"], report["orders"], report["counts"]) == ("flat", 7, {"canceled": 7})
    assert report["calls"] == len(floor.book.calls)
    assert set(floor.book.states.values()) == {"canceled"}
    assert shown(floor) == {"main": "empty"}
    assert sorted(floor.book.asked("cancel")) == [["a", "b", "c", "d", "e"], ["p"], ["q"]]
    assert floor.ended == ["b"]


@pytest.mark.parametrize("pages", [0, 1])
def test_who_is_about_to_end_gives_a_listing_back(floor: Floor, pages: int) -> None:
    """It may take minutes at the venue's limits, and a service manager waits for half of one."""
    floor.book.put(*"abcde")
    floor.sweep()
    claim = floor.lanes.claim()
    assert claim.kind is ClaimKind.SWEEP
    drain = replace(floor.drain(), stopping=lambda: len(floor.book.calls) >= pages)

    assert drain.work_on(claim) is None

    assert len(floor.book.calls) == pages
    floor.lanes.sound()
    floor.run()
    assert floor.report()["verdict"] == "flat"


def test_nothing_open_is_flat_after_two_listings_apart_by_the_settling_time(floor: Floor) -> None:
    floor.sweep()

    floor.run()

    assert (floor.report()["verdict"], floor.report()["orders"], floor.report()["calls"]) == ("flat", 0, 4)
    first, second = floor.book.at("open")
    assert second - first >= SETTLING_MS


def test_a_second_empty_listing_that_comes_too_soon_proves_nothing(floor: Floor) -> None:
    floor.sweep()
    claim = floor.lanes.claim()

    settlement = floor.drain().sweeper.sweep(replace(claim, empty_ms=START_MS - SETTLING_MS + 1))

    assert not settlement.swept
    (again,) = settlement.again
    assert again.ready_ms == START_MS + 1
    assert floor.drain().sweeper.sweep(replace(claim, empty_ms=START_MS - SETTLING_MS)).swept


def test_orders_that_appear_after_an_empty_listing_are_taken_too(floor: Floor) -> None:
    floor.book.before = lambda path: floor.book.put("late") if len(floor.book.at("open")) == 1 else None
    floor.sweep()

    floor.run(until_ms=SETTLING_MS * 2)
    floor.book.before = lambda path: None
    floor.run()

    assert (floor.report()["verdict"], floor.report()["counts"]) == ("flat", {"canceled": 1})
    assert floor.book.states == {"late": "canceled"}
    *_, before, last = floor.book.at("open")
    assert last - before >= SETTLING_MS


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"symbol": "X"}, {"x", "sell", "old", "bot"}),
    ({"side": Side.SELL}, {"sell"}),
    ({"older_than_s": 60}, {"old"}),
    ({"client_order_id_prefix": "bot7-"}, {"bot"}),
    ({"symbol": "X", "side": Side.BUY}, {"old"}),
    ({"symbol": "Y", "side": Side.SELL}, set()),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_only_what_passes_every_filter_is_canceled(floor: Floor, filters: dict[str, Any], expected: set[str]) -> None:
    floor.book.put("x", symbol="X")
    floor.book.put("y", symbol="Y")
    floor.book.put("sell", symbol="X", side=Side.SELL, created_ms=START_MS)
    floor.book.put("old", symbol="X", side=Side.BUY, created_ms=START_MS - 60_001)
    floor.book.put("bot", symbol="X", client_order_id="bot7-1")
    floor.sweep(**filters)

    floor.run(until_ms=50_000)

    assert {name for name, status in floor.book.states.items() if status != "open"} == expected
    assert (floor.report()["verdict"], floor.report()["orders"]) == ("flat", len(expected))


def test_an_order_that_is_seen_again_is_in_the_batch_once(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.ends_ms = 5_000
    floor.sweep()

    floor.run()

    assert (floor.report()["orders"], floor.statuses()) == (1, ["canceled"])
    assert floor.report()["verdict"] == "flat"
    assert len(floor.book.at("open")) > 3


def test_a_listing_of_several_pages_that_shift_is_not_empty(connection: Redis) -> None:
    floor = Floor(connection, SHIFTING)
    floor.book.put(*"abcd", symbol="X")
    floor.sweep(side=Side.SELL, deadline_s=10)

    floor.run()

    assert floor.report()["verdict"] == "unproven"
    assert floor.book.asked("cancel") == []


def test_a_list_is_one_reference(connection: Redis) -> None:
    venue = replace(READABLE, id_kinds=(IdKind.ORDER_ID, IdKind.ORDER_LIST_ID), symbol_required=True)
    floor = Floor(connection, venue)
    floor.book.put("1", "2", order_list_id="77", symbol="X")
    floor.book.put("3", symbol="X")
    floor.sweep(deadline_s=5)

    floor.run()

    rows = floor.lanes.client.outcomes("b")
    assert {(row["order_list_id"], row["symbol"]) for row in rows if row["order_list_id"]} == {("77", "X")}
    assert len(rows) == 2


# max_orders


def test_more_orders_than_allowed_are_not_touched(floor: Floor) -> None:
    floor.book.put(*"abc")
    floor.sweep(max_orders=2)

    floor.run()

    report = floor.report()
    assert (report["state"], report["verdict"]) == ("refused", None)
    assert "3" in report["errors"][0]
    assert floor.book.asked("cancel") == []
    floor.lanes.sound()


def test_as_many_orders_as_allowed_are_canceled(floor: Floor) -> None:
    floor.book.put(*"abc")
    floor.sweep(max_orders=3)

    floor.run()

    assert floor.report()["counts"] == {"canceled": 3}


def test_the_orders_of_all_accounts_are_counted_before_any_is_canceled(floor: Floor) -> None:
    other = floor.also("other")
    floor.book.put(*"abc")
    other.book.put(*"defg")
    floor.sweep(accounts=("main", "other"), max_orders=6)

    floor.run(other)

    assert floor.report()["state"] == "refused"
    assert floor.book.asked("cancel") == other.book.asked("cancel") == []


def test_an_account_that_is_counted_waits_for_the_others(floor: Floor) -> None:
    other = floor.also("other")
    floor.book.put(*"abc")
    other.book.put(*"defg")
    floor.sweep(accounts=("main", "other"), max_orders=6)

    floor.run(until_ms=5_000)  # the other is late
    assert shown(floor)["main"] == "open: 3, other accounts are yet to be counted"
    assert floor.book.asked("cancel") == []
    floor.run(other)

    assert floor.report()["state"] == "refused"
    assert floor.book.asked("cancel") == other.book.asked("cancel") == []


def test_a_listing_that_ends_after_its_sweep_was_refused_changes_nothing(floor: Floor) -> None:
    other = floor.also("other")
    other.book.put(*"abcd")
    floor.sweep(accounts=("main", "other"), max_orders=3)
    listing = floor.lanes.claim()
    floor.clock.ms += 1_000
    floor.run(other)
    refused = floor.report()
    assert refused["state"] == "refused"

    floor.lanes.store.settle(listing, Settlement((), calls=1, sent_ms=START_MS), floor.clock.ms)

    assert floor.report() == refused


def test_two_accounts_within_the_most_are_swept(floor: Floor) -> None:
    other = floor.also("other")
    floor.book.put(*"abc")
    other.book.put(*"defg")
    floor.sweep(accounts=("main", "other"), max_orders=7)

    floor.run(other)

    assert (floor.report()["verdict"], floor.report()["counts"]) == ("flat", {"canceled": 7})


@pytest.mark.parametrize("kind", [RefusalKind.CREDENTIALS, RefusalKind.CALL])
def test_an_account_that_can_never_be_listed_does_not_hold_the_others_up(floor: Floor, kind: RefusalKind) -> None:
    other = floor.also("other")
    floor.book.put(*"abc")
    other.book.reply("plans", *[said(refusal=kind.value)] * 500)
    floor.sweep(accounts=("main", "other"), max_orders=3, deadline_s=20)

    floor.run(other)

    assert (floor.report()["verdict"], floor.report()["counts"]) == ("unproven", {"canceled": 3})
    assert shown(floor)["main"] == "empty"


@pytest.mark.parametrize(("theirs", "verdict", "open_there"), [(3, "flat", 0), (4, "unproven", 4)])
def test_an_account_that_pauses_does_not_hold_the_others_up_and_the_most_holds_for_it_too(
    floor: Floor, theirs: int, verdict: str, open_there: int
) -> None:
    other = floor.also("other")
    floor.book.put(*"abc")
    other.book.put(*"defg"[:theirs])
    floor.sweep(accounts=("main", "other"), max_orders=6, deadline_s=60)
    floor.lanes.pause(30_000, account="other")

    floor.run(other, until_ms=20_000)
    assert set(floor.book.states.values()) == {"canceled"}
    assert "open" in set(other.book.states.values())
    floor.run(other)

    assert floor.report()["verdict"] == verdict
    assert list(other.book.states.values()).count("open") == open_there


def test_the_most_holds_for_what_appears_later(floor: Floor) -> None:
    floor.book.put(*"abc")
    floor.sweep(max_orders=3, deadline_s=10)
    floor.step()
    floor.book.put("d")

    floor.run()

    assert floor.book.states["d"] == "open"
    assert floor.report()["verdict"] == "unproven"
    assert shown(floor)["main"] == "open: 1, more than max_orders in all"


# Failures, crashes, deadlines


@pytest.mark.parametrize("kind", RefusalKind)
def test_an_account_that_fails_leaves_the_others_alone_and_the_verdict_honest(floor: Floor, kind: RefusalKind) -> None:
    other = floor.also("other")
    floor.book.put("a")
    other.book.reply("open", *[said(refusal=kind.value)] * 500)
    floor.sweep(accounts=("main", "other"), deadline_s=10)

    floor.run(other)

    report = floor.report()
    assert (report["state"], report["verdict"], report["counts"]) == ("done", "unproven", {"canceled": 1})
    assert shown(floor)["main"] == "empty"
    assert shown(floor)["other"].startswith(("cannot list: ", "not listed yet"))
    assert floor.redis.hmget(keys.batch("b"), "swept", "sweeps") == ["1", "2"]


def test_a_listing_that_fails_once_is_made_again(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.reply("open", said(refusal="uncertain"))
    floor.sweep()

    floor.run()

    assert floor.report()["verdict"] == "flat"


def test_a_good_listing_ends_the_trouble(floor: Floor) -> None:
    """After a pause one call is a trial; when it is a listing, the others must not wait for ever."""
    pause = Pause(Scope.ACCOUNT, 100, 5_000, "down", rate=False, since_ms=START_MS)
    floor.lanes.store.pause("main", pause, START_MS)
    floor.clock.ms += 200
    floor.sweep()

    floor.step()

    found: Any = [floor.redis.hgetall(key) for key in floor.redis.scan_iter(keys.pause("account", "*"))]
    assert [("trial" in one, "failures" in one) for one in found] == [(False, False)]


def test_a_sweep_at_its_deadline_is_not_flat(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.ends_ms = None
    floor.sweep(deadline_s=5)

    floor.run()

    report = floor.report()
    assert (report["state"], report["verdict"], report["counts"]) == ("done", "not_flat", {"open": 1})
    assert shown(floor) == {"main": "open: 1"}


def test_a_sweep_that_nobody_works_on_ends_at_its_deadline(floor: Floor) -> None:
    floor.sweep(deadline_s=5)
    floor.clock.ms += 5_000

    floor.watch()

    assert (floor.report()["state"], floor.report()["verdict"]) == ("done", "unproven")


def test_a_sweep_in_the_hands_of_a_dead_worker_begins_again(floor: Floor) -> None:
    floor.book.put("a")
    floor.sweep()
    claim = floor.lanes.claim(floor.lanes.worker("w2"))
    assert claim.kind is ClaimKind.SWEEP
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, floor.clock.ms)
    assert seized is not None
    floor.lanes.store.settle(seized, leftover(seized, (), floor.clock.ms), floor.clock.ms)

    work_on(floor.drain(), claim)  # it was only slow: what it finds is not added
    assert floor.report()["orders"] == 0
    floor.run()

    assert (floor.report()["verdict"], floor.report()["orders"]) == ("flat", 1)


def test_the_calls_of_a_worker_that_dies_over_a_listing_are_counted(floor: Floor) -> None:
    floor.book.put(*"abcd")
    floor.sweep()
    worker = floor.lanes.worker("w2")
    claim = floor.lanes.claim(worker)

    def die(path: str) -> None:
        if path == "open":
            raise SystemExit

    floor.book.before = die
    with pytest.raises(SystemExit):
        work_on(floor.drain(worker), claim)
    floor.book.before = lambda path: None
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, floor.clock.ms)
    assert seized is not None
    floor.lanes.store.settle(seized, leftover(seized, (), floor.clock.ms), floor.clock.ms)

    floor.run()

    assert floor.report()["verdict"] == "flat"
    assert floor.report()["calls"] == len(floor.book.calls) + 1  # the one over which it died, before it was answered


def test_an_empty_listing_of_a_dead_worker_does_not_count(floor: Floor) -> None:
    floor.sweep()
    floor.step()
    floor.clock.ms += SETTLING_MS
    claim = floor.lanes.claim(floor.lanes.worker("w2"))
    assert claim.empty_ms is not None
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, floor.clock.ms)
    assert seized is not None
    floor.lanes.store.settle(seized, leftover(seized, (), floor.clock.ms), floor.clock.ms)

    floor.run()

    assert len(floor.book.at("open")) == 3
    assert floor.report()["verdict"] == "flat"


def test_a_sweep_that_is_given_back_goes_on(floor: Floor) -> None:
    floor.sweep()
    claim = floor.lanes.claim()

    floor.lanes.store.release(claim, floor.clock.ms)

    floor.lanes.sound()
    floor.run()
    assert floor.report()["verdict"] == "flat"


def fires_before(floor: Floor, path: str) -> None:
    """Let the plan order "a" become an ordinary one when *path* is called."""

    def fire(called: str) -> None:
        if called == path:
            floor.book.rows["a"] = replace(floor.book.rows["a"], namespace=None)

    floor.book.before = fire


def test_an_order_that_moves_while_the_account_is_listed_is_one_order(floor: Floor) -> None:
    floor.book.put("a", namespace="plan")
    fires_before(floor, "open")
    floor.sweep()

    floor.run()

    assert floor.statuses() == ["canceled"]
    assert floor.report()["verdict"] == "flat"


def test_what_a_late_holder_learned_of_a_sweeps_places_is_read_anew(floor: Floor) -> None:
    """After a Redis that has lost its last second they may be places of other orders."""
    floor.book.put("a")
    floor.sweep()
    floor.step()
    claim = floor.lanes.claim(floor.lanes.worker("w2"))
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, floor.clock.ms)
    assert (claim.kind, seized is not None) == (ClaimKind.SEND, True)

    assert not floor.lanes.settle(claim, Status.CANCELED).held

    floor.lanes.sound()
    assert floor.statuses() == ["pending"]


def test_a_sweep_over_no_account_ends_and_is_not_flat(floor: Floor) -> None:
    floor.sweep(accounts=())

    floor.run(until_ms=1_000)

    assert (floor.report()["state"], floor.report()["verdict"]) == ("done", "unproven")


def test_a_kill_goes_between_two_pages(floor: Floor) -> None:
    floor.book.put(*"abcdefgh")
    floor.book.put("k")
    floor.sweep("s")
    sweep = floor.lanes.claim()
    handed_in: list[str] = []

    def kill(path: str) -> None:
        if path == "open" and not handed_in:
            handed_in.append(floor.cancel("k", batch_id="kill", priority=Priority.KILL))

    floor.book.before = kill
    sleep = floor.clock.sleep
    floor.clock.sleep = lambda seconds: (sleep(seconds), floor.step())[0]  # type: ignore[method-assign]  # another thread

    work_on(floor.drain(), sweep)

    paths = [path for _, path, _ in floor.book.calls]
    assert paths.index("cancel") < len(paths) - 1
    assert paths.count("open") == 3


def test_each_account_is_listed_again_only_after_the_settling_time(floor: Floor) -> None:
    floor.book.put("a")
    floor.book.ends_ms = 4_000
    floor.sweep()

    floor.run()

    times = floor.book.at("open")
    assert all(later - earlier >= SETTLING_MS for earlier, later in itertools.pairwise(times))
    assert floor.statuses() == [Status.CANCELED]
