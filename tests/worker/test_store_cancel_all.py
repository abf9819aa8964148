"""A sweep by the venue's own cancel-all: when it is taken, and what follows when it fails; on both kinds of Redis."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from connectors.calls import Limit, RefusalKind, Scope
from connectors.outcomes import Status
from connectors.reads import Side
from connectors.transport import MaybeSent, NotSent
from tasks import cancel_all
from tasks.drain import leftover
from tasks.ports import Claim, ClaimKind
from tests.fakes import START_MS, account_of, said, work_on
from tests.tasks.book import SETTLING_MS, SHIFTING, WHOLE, Floor
from tests.tasks.lanes import BOTH, connection_of

NAMES = tuple(f"o{number}" for number in range(20))  # three calls by ids


@pytest.fixture(params=BOTH)
def connection(request: pytest.FixtureRequest) -> Redis:
    return connection_of(request)


@pytest.fixture
def floor(connection: Redis) -> Floor:
    return Floor(connection, WHOLE)


def paths(floor: Floor) -> list[str]:
    """Give the cancels that came in, by their paths."""
    return [path for _, path, _ in floor.book.calls if path in {"cancel", "all", "all_plans", "symbol"}]


def claimed(floor: Floor) -> Claim:
    """Let the account be listed, and give the cancel-all into the hands of another worker."""
    floor.sweep()
    floor.step()
    claim = floor.lanes.claim(floor.lanes.worker("w2"))
    assert (claim.kind, claim.cancel_all, len(claim.places)) == (ClaimKind.SEND, 0, len(NAMES))
    return claim


def lose(floor: Floor, claim: Claim) -> None:
    """Let the worker that has *claim* die, and a watch take it up."""
    floor.lanes.kill("w2")
    seized = floor.lanes.store.seize(claim.chunk_id, floor.clock.ms)
    assert seized is not None
    lasting = floor.lanes.store.lasting("main")
    floor.lanes.store.settle(seized, leftover(seized, lasting, floor.clock.ms), floor.clock.ms)
    floor.lanes.sound()


def honest(floor: Floor) -> bool:
    """Say whether no order is told to be gone that is not."""
    told = floor.lanes.client.outcomes("b")
    return all(floor.book.states[row["order_id"]] != "open" for row in told if row["verdict"] == "gone")


def test_one_call_takes_all_and_every_order_is_read_back(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.put("p", "q", namespace="plan")
    floor.sweep()

    floor.run()

    assert paths(floor) == ["all", "all_plans"]
    report = floor.report()
    assert (report["verdict"], report["counts"]) == ("flat", {"canceled": 22})
    assert report["calls"] == len(floor.book.calls)
    assert {row["evidence"] for row in floor.lanes.client.outcomes("b")} == {"order query"}


def test_as_few_calls_by_ids_go_by_ids(floor: Floor) -> None:
    floor.book.put(*NAMES[:8])
    floor.book.put("p", namespace="plan")
    floor.sweep()

    floor.run()

    assert paths(floor) == ["cancel", "cancel"]
    assert floor.report()["verdict"] == "flat"


def test_one_symbol_is_taken_alone(floor: Floor) -> None:
    floor.book.put(*NAMES, symbol="X")
    floor.book.put("y", symbol="Y")
    floor.sweep(symbol="X")

    floor.run()

    assert floor.book.asked("symbol") == [["X"]]
    assert paths(floor) == ["symbol"]
    assert (floor.report()["verdict"], floor.book.states["y"]) == ("flat", "open")


BY_IDS: list[dict[str, Any]] = [
    {"side": Side.SELL},
    {"older_than_s": 1},
    {"client_order_id_prefix": "bot"},
    {"symbol": "X", "side": Side.SELL},
    {"max_orders": 20},
    {"prove": False},
]


@pytest.mark.parametrize("fields", BY_IDS, ids=str)
def test_what_a_cancel_all_might_not_cover_exactly_goes_by_ids(floor: Floor, fields: dict[str, Any]) -> None:
    for number, name in enumerate(NAMES):
        floor.book.put(name, symbol="X", side=Side.SELL, created_ms=START_MS - 60_000, client_order_id=f"bot-{number}")
    floor.sweep(**fields)

    floor.run()

    assert paths(floor) == ["cancel"] * 3
    assert set(floor.book.states.values()) == {"canceled"}


def test_a_listing_that_may_have_missed_orders_goes_by_ids(connection: Redis) -> None:
    floor = Floor(connection, replace(SHIFTING, cancel_alls=WHOLE.cancel_alls))
    floor.book.put(*NAMES)
    floor.sweep()

    floor.run(until_ms=500)

    assert set(paths(floor)) == {"cancel"}


# Failures


@pytest.mark.parametrize("kind", RefusalKind)
def test_a_refused_cancel_all_goes_on_by_ids(floor: Floor, kind: RefusalKind) -> None:
    floor.book.put(*NAMES)
    floor.book.reply("all", said(refusal=kind.value))
    floor.sweep()

    floor.run()

    assert paths(floor) == ["all", *["cancel"] * 3]
    assert floor.report()["counts"] == {"canceled": 20}
    assert floor.report()["verdict"] == "flat"
    assert {row["attempts"] for row in floor.lanes.client.outcomes("b")} == {2}


@pytest.mark.parametrize(
    "failure", [NotSent("refused"), MaybeSent("ReadTimeout"), ValueError("cannot be built")], ids=repr
)
def test_a_cancel_all_without_an_answer_goes_on_by_ids(floor: Floor, failure: Exception) -> None:
    floor.book.put(*NAMES)
    floor.book.reply("all", failure)
    floor.sweep()
    floor.step()

    floor.step()
    assert set(floor.statuses()) == {"unknown" if isinstance(failure, MaybeSent) else "pending"}
    floor.run()

    assert paths(floor) == ["all", *["cancel"] * 3]
    assert floor.report()["counts"] == {"canceled": 20}


def test_a_cancel_all_without_an_answer_that_was_executed_is_read_and_never_live(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.reply("all", MaybeSent("ReadTimeout"))
    floor.book.before = lambda path: floor.book.states.update(dict.fromkeys(NAMES, "filled")) if path == "all" else None
    floor.book.reply("cancel", *[said(statuses=dict.fromkeys(NAMES, "rejected"))] * 3)  # they are not open any more
    floor.sweep()

    floor.run()

    assert floor.report()["counts"] == {"filled": 20}


def test_a_cancel_all_that_is_taken_and_does_nothing_is_found_out(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.reply("all", said())
    floor.sweep()

    while floor.clock.ms < START_MS + 10_000:
        floor.step()
        assert honest(floor)
        floor.clock.ms += 10
    floor.run()

    assert floor.report()["counts"] == {"canceled": 20}
    assert paths(floor)[0] == "all"
    assert set(paths(floor)[1:]) == {"cancel"}


def test_what_only_a_cancel_all_has_ended_and_the_venue_forgets_is_not_found(floor: Floor) -> None:
    """Its answer is no attempt by name; without a standing of its own, "not known" would never count as settled."""
    floor.book.put(*NAMES)
    floor.book.ends_ms = None

    def forget(path: str) -> None:
        if path == "all":
            floor.book.states.update(dict.fromkeys(NAMES, "not_known"))

    floor.book.before = forget
    floor.sweep()

    floor.run()

    assert floor.report()["counts"] == {"not_found": 20}
    assert min(floor.book.at("one")) >= START_MS + 250
    assert floor.report()["verdict"] == "flat"


def test_an_order_that_outlives_a_cancel_all_is_live_at_the_deadline(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.ends_ms = None
    floor.sweep(deadline_s=8)

    floor.run()

    assert (floor.report()["verdict"], floor.report()["counts"]) == ("not_flat", {"open": 20})


# Crashes, deadlines, limits, others


@pytest.mark.parametrize("executed", [True, False])
def test_a_worker_that_dies_over_a_cancel_all_has_perhaps_sent_it(floor: Floor, executed: bool) -> None:
    floor.book.put(*NAMES)
    claim = claimed(floor)
    if executed:
        floor.book.ending.update(dict.fromkeys(NAMES, floor.clock.ms))
    lose(floor, claim)
    assert set(floor.statuses()) == {"unknown"}

    while floor.report()["state"] != "done":
        if not floor.step():
            floor.watch()
            floor.clock.ms += 50
        assert honest(floor)

    assert floor.report()["counts"] == {"canceled": 20}
    assert floor.report()["verdict"] == "flat"
    assert paths(floor) == [] if executed else set(paths(floor)) == {"cancel"}
    assert all(len(names) <= 8 for names in floor.book.asked("cancel"))
    assert not floor.lanes.store.settle(claim, leftover(claim, (), floor.clock.ms), floor.clock.ms).held


def test_a_cancel_all_that_is_given_back_is_taken_again(floor: Floor) -> None:
    floor.book.put(*NAMES)
    claim = claimed(floor)

    floor.lanes.store.release(claim, floor.clock.ms)
    floor.lanes.sound()
    floor.run()

    assert paths(floor) == ["all"]
    assert {row["attempts"] for row in floor.lanes.client.outcomes("b")} == {1}
    assert floor.report()["counts"] == {"canceled": 20}


def test_a_cancel_all_is_not_sent_after_the_deadline(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.sweep(deadline_s=5)
    floor.step()
    floor.clock.ms += 5_000

    floor.watch()

    assert paths(floor) == []
    assert (floor.report()["state"], floor.report()["counts"]) == ("done", {"not_sent": 20})


def test_cancel_alls_count_in_their_own_windows(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel_all, "MOST_ORDERS", 5)
    rare = (Limit("cancel-alls", Scope.ACCOUNT, units=2, per_ms=1_000),)
    alls = tuple(replace(call, limits=rare) for call in WHOLE.cancel_alls)
    often = (Limit("calls", Scope.ACCOUNT, units=1, per_ms=1_000),)
    venue = replace(WHOLE, cancel_alls=alls, limits=often)
    floor = Floor(connection, account=account_of(venue, max_orders_per_call=1))
    floor.book.put(*NAMES)
    floor.book.ends_ms = None
    floor.sweep(deadline_s=5)

    floor.run()

    times = floor.book.at("all")
    assert len(times) == 4
    assert all(later - earlier >= 1_000 for earlier, later in zip(times, times[2:], strict=False))


def test_what_another_batch_has_in_flight_is_taken_too_and_ends_for_both(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.cancel("o3", "o4", batch_id="other")
    held = floor.lanes.claim(floor.lanes.worker("w2"))
    floor.sweep()
    floor.step()
    floor.step()
    assert paths(floor) == ["all"]
    floor.lanes.sound()

    work_on(floor.drain(floor.lanes.worker("w2")), held)
    floor.lanes.sound()
    floor.run()

    assert floor.report()["counts"] == {"canceled": 20}
    assert floor.statuses("other") == ["canceled"] * 2


def test_a_batch_that_names_what_a_cancel_all_has_in_flight_waits_for_it(floor: Floor) -> None:
    floor.book.put(*NAMES)
    claim = claimed(floor)
    floor.cancel("o3", batch_id="other")

    assert not floor.step()
    work_on(floor.drain(floor.lanes.worker("w2")), claim)
    floor.run()

    assert floor.statuses("other") == ["canceled"]
    assert floor.report()["counts"] == {"canceled": 20}


def test_what_appears_later_goes_by_ids_while_it_is_little(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.ends_ms = SETTLING_MS // 2
    floor.sweep()
    floor.step()
    floor.step()
    floor.book.put("late")

    floor.run()

    assert paths(floor) == ["all", "cancel"]
    assert floor.book.asked("cancel") == [["late"]]
    assert (floor.report()["verdict"], floor.report()["orders"]) == ("flat", 21)


def test_nothing_is_gone_before_the_venue_says_so(floor: Floor) -> None:
    floor.book.put(*NAMES)
    floor.book.ends_ms = 3_000
    floor.sweep()

    for _ in itertools.takewhile(lambda _: floor.report()["state"] != "done", range(10_000)):
        if not floor.step():
            floor.clock.ms += 50
        assert honest(floor)

    assert floor.report()["counts"] == {Status.CANCELED.value: 20}
