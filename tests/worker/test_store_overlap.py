"""The store: batches that name the same order.  One cancel of it at a time, and all of them learn how it ended."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Account, Batch, Order, Priority
from tasks.drain import leftover
from tasks.ports import Claim, ClaimKind, Settled, Settlement, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.lanes import BOTH, Lanes, connection_of, standing

PARKED_MS = 15_000
REMEMBERED_MS = 300_000
MAIN = account_of(max_orders_per_call=3)
SYMBOLS = account_of(replace(PLAIN, symbol_required=True), max_orders_per_call=3)
NOT_OURS = Settled(held=False, ended=False)


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request), MAIN)


def put(lanes: Lanes, batch_id: str, *refs: OrderRef, account: Account | None = None, deadline_s: float = 3600) -> None:
    name = (account or lanes.account).name
    batch = Batch(batch_id, tuple(Order(name, ref) for ref in refs), deadline_s=deadline_s, prove=False)
    lanes.accept(batch)
    lanes.enqueue(batch)


def named(value: str, symbol: str | None = None, kind: IdKind = IdKind.ORDER_ID) -> OrderRef:
    return OrderRef(kind, value, symbol)


def values(claim: Claim) -> list[str]:
    return [order.value for order in claim.orders]


def busy(lanes: Lanes, account: str = "main") -> dict[str, str]:
    found: Any = lanes.redis.hgetall(keys.busy(account))
    return dict(found)


# One cancel at a time


def test_an_order_that_another_batch_has_in_flight_is_not_sent_a_second_time(lanes: Lanes) -> None:
    lanes.put("one", "a", "b")
    first = lanes.claim()
    lanes.put("two", "a", "b")

    assert lanes.wait() == Wait(Why.IDLE, START_MS + PARKED_MS)
    lanes.sound()
    lanes.settle(first)

    moot = lanes.claim()
    assert (moot.kind, moot.batch_id) == (ClaimKind.MOOT, "two")
    lanes.store.settle(moot, Settlement(()), START_MS)
    assert lanes.statuses("one") == lanes.statuses("two") == ["canceled"] * 2
    assert [lanes.client.report(name)["calls"] for name in ("one", "two")] == [1, 0]
    assert busy(lanes) == {}
    lanes.sound()


def test_those_that_nobody_has_are_sent_and_the_others_wait_apart(lanes: Lanes) -> None:
    lanes.put("one", "b")
    first = lanes.claim()
    lanes.put("two", "a", "b", "c")

    second = lanes.claim()

    assert (values(second), second.places) == (["a", "c"], (0, 2))
    assert lanes.wait() == Wait(Why.IDLE, START_MS + PARKED_MS)
    lanes.sound()
    lanes.settle(second)
    assert lanes.client.report("two")["state"] == "running"
    lanes.settle(first, Status.ACCEPTED)
    rest = lanes.claim()
    assert (rest.kind, values(rest), rest.places, rest.attempt) == (ClaimKind.SEND, ["b"], (1,), 1)
    lanes.sound()
    lanes.settle(rest)
    assert lanes.statuses("two") == ["canceled"] * 3
    assert lanes.client.report("two")["state"] == "done"


def test_an_order_that_three_batches_name_is_sent_by_one_after_the_other(lanes: Lanes) -> None:
    for name in ("one", "two", "three"):
        lanes.put(name, "a")
    sent = []
    for _ in range(3):
        claim = lanes.claim()
        assert lanes.wait().why is Why.IDLE
        sent.append(claim.batch_id)
        lanes.settle(claim, Status.ACCEPTED)
        lanes.sound()

    assert sorted(sent) == ["one", "three", "two"]
    assert {lanes.client.report(name)["state"] for name in sent} == {"done"}
    assert busy(lanes) == {}


def test_within_one_grant_it_is_one_at_a_time_too(lanes: Lanes) -> None:
    lanes.put("one", "a", "b")
    lanes.put("two", "b", "c")

    grant = lanes.grant(5)

    assert [values(claim) for claim in grant.claims] == [["a", "b"], ["c"]]
    lanes.sound()


@pytest.mark.parametrize("ending", ["released", "halved", "again"])
def test_however_a_flight_ends_those_that_wait_are_woken(lanes: Lanes, ending: str) -> None:
    lanes.put("one", "a", "b")
    first = lanes.claim()
    lanes.put("two", "a")
    assert lanes.wait().why is Why.IDLE
    lanes.clock.ms += 10

    if ending == "released":
        lanes.store.release(first, lanes.now_ms)
    elif ending == "halved":
        lanes.again(first, (0,), (1,), ready_ms=lanes.now_ms + 50)
    else:
        lanes.again(first, (0, 1), ready_ms=lanes.now_ms + 50)

    lanes.sound()
    batches = [claim.batch_id for claim in lanes.grant(5).claims]
    assert "two" in batches or batches == ["one"], batches
    lanes.clock.ms += 50
    lanes.sound()


def test_a_dead_holders_flight_ends_when_it_is_recovered(lanes: Lanes) -> None:
    lanes.put("one", "a")
    first = lanes.claim()
    lanes.put("two", "a")
    assert lanes.wait().why is Why.IDLE
    lanes.kill("w1")
    watch = lanes.worker("w2")
    seized = watch.seize(first.chunk_id, START_MS)
    assert seized is not None
    assert lanes.wait().why is Why.IDLE, "it is in the hands of the watch"
    lanes.store.settle(seized, Settlement(((0, standing(Status.UNKNOWN, START_MS)),)), START_MS)

    claim = lanes.claim()

    assert (claim.kind, claim.batch_id) == (ClaimKind.SEND, "two")
    assert lanes.statuses("two") == ["unknown"], "what is known to the one is known to the other"


def test_who_waits_looks_again_by_itself_after_a_while(lanes: Lanes) -> None:
    lanes.put("one", "a", deadline_s=3600)
    first = lanes.claim()
    lanes.put("two", "a", deadline_s=3600)
    assert lanes.wait().why is Why.IDLE
    lanes.redis.delete(keys.followers(first.chunk_id))
    lanes.settle(first, Status.ACCEPTED)

    assert lanes.wait() == Wait(Why.IDLE, START_MS + PARKED_MS)
    lanes.clock.ms += PARKED_MS
    assert lanes.claim().batch_id == "two"


def test_a_mark_of_a_chunk_that_is_forgotten_stops_nobody(lanes: Lanes) -> None:
    lanes.put("one", "a")
    claim = lanes.claim()
    for key in (keys.batch("one"), keys.orders("one"), keys.chunk(claim.chunk_id)):
        lanes.redis.delete(key)
    lanes.redis.zrem(keys.flights("main"), claim.chunk_id)
    lanes.redis.zrem(keys.BATCHES, "one")
    assert busy(lanes)
    lanes.put("two", "a")

    second = lanes.claim()

    assert (second.kind, values(second)) == (ClaimKind.SEND, ["a"])
    lanes.settle(second)
    assert busy(lanes) == {}
    lanes.sound()


def test_a_flight_whose_batch_is_forgotten_is_given_up_by_its_holder(lanes: Lanes) -> None:
    lanes.put("one", "a")
    first = lanes.claim()
    lanes.put("two", "a", deadline_s=3600)
    assert lanes.wait().why is Why.IDLE
    lanes.redis.delete(keys.batch("one"))

    assert lanes.settle(first) == NOT_OURS

    lanes.clock.ms += PARKED_MS
    assert lanes.claim().batch_id == "two"


def test_who_waits_past_its_deadline_ends_and_learns_the_outcome_still(lanes: Lanes) -> None:
    lanes.put("one", "a", deadline_s=3600)
    first = lanes.claim()
    lanes.put("two", "a", deadline_s=5)
    assert lanes.wait().why is Why.IDLE
    lanes.clock.ms += PARKED_MS
    late = lanes.claim()
    assert (late.kind, late.batch_id) == (ClaimKind.LATE, "two")
    lanes.settle(late, Status.NOT_SENT)
    assert lanes.client.report("two")["verdict"] == "not_flat"

    lanes.settle(first)

    assert lanes.statuses("two") == ["canceled"]
    assert lanes.client.report("two")["verdict"] == "flat"
    lanes.sound()


# What the others learn


@pytest.mark.parametrize("status", [status for status in Status if status not in {Status.PENDING, Status.INVALID}])
def test_those_that_wait_get_the_outcome(lanes: Lanes, status: Status) -> None:
    lanes.put("one", "x", "a")
    first = lanes.claim()
    lanes.put("two", "a")
    assert lanes.wait().why is Why.IDLE

    lanes.settle(first, status)

    assert lanes.statuses("two") == [status.value]
    assert lanes.client.report("two")["counts"] == {status.value: 1}
    lanes.sound()


def test_a_sibling_that_the_answer_names_is_told_to_those_that_wait_for_it(lanes: Lanes) -> None:
    lanes.put("one", "a", "b")
    first = lanes.claim()
    lanes.put("two", "a", "b")
    assert lanes.wait().why is Why.IDLE
    told = ((named("b"), standing(Status.FILLED, START_MS)),)

    known = ((0, standing(Status.ACCEPTED, START_MS)),)
    lanes.store.settle(first, Settlement(known, 1, siblings=told), START_MS)

    assert lanes.statuses("two") == ["accepted", "filled"]
    lanes.sound()


def test_a_weaker_word_never_weakens_what_the_other_batch_knows(lanes: Lanes) -> None:
    lanes.put("one", "a")
    lanes.settle(lanes.claim(), Status.ACCEPTED)
    lanes.put("two", "a")
    second = lanes.claim()
    lanes.put("three", "a")
    assert lanes.wait().why is Why.IDLE

    lanes.settle(second, Status.UNKNOWN)
    lanes.settle(lanes.claim(), Status.NOT_SENT)

    assert [lanes.statuses(name) for name in ("one", "two", "three")] == [["accepted"], ["unknown"], ["unknown"]]


# Names


def test_a_symbol_tells_orders_apart_only_where_the_venue_needs_it(lanes: Lanes) -> None:
    put(lanes, "one", named("1", "AB"))
    lanes.claim()
    put(lanes, "two", named("1"))
    put(lanes, "three", named("1", "CD"))
    assert lanes.wait().why is Why.IDLE


def test_where_it_does_two_symbols_are_two_orders(lanes: Lanes) -> None:
    lanes.use(SYMBOLS)
    put(lanes, "one", named("1", "AB"))
    first = lanes.claim()
    put(lanes, "two", named("1", "AB"), named("1", "CD"))

    second = lanes.claim()

    assert [order.symbol for order in second.orders] == ["CD"]
    lanes.settle(first, Status.FILLED)
    assert lanes.statuses("two") == ["filled", "pending"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("1"), named("1", kind=IdKind.CLIENT_ORDER_ID)),
        (named("1"), named("11")),
        (named('1","x'), named("1", "x")),
        (named("a\nb"), named("a")),
        (named("a|b"), named("a")),
        (named("größe 🛑"), named("größe")),
        (named("\\"), named('"')),
    ],
)
def test_different_names_are_different_orders(lanes: Lanes, one: OrderRef, other: OrderRef) -> None:
    put(lanes, "one", one)
    first = lanes.claim()
    put(lanes, "two", other)

    second = lanes.claim()

    assert second.batch_id == "two"
    lanes.sound()
    for claim in (first, second):
        lanes.settle(claim)
    assert busy(lanes) == {}


@pytest.mark.parametrize("value", ['1","x', "a\nb", "a|b", "größe 🛑", "\\", '"', "]", ",", "%d"])
def test_any_name_is_known_again(lanes: Lanes, value: str) -> None:
    put(lanes, "one", named(value))
    first = lanes.claim()
    put(lanes, "two", named(value))

    assert lanes.wait().why is Why.IDLE
    lanes.settle(first)
    assert lanes.statuses("two") == ["canceled"]
    assert busy(lanes) == {}


def test_another_accounts_order_of_the_same_name_is_another_order(lanes: Lanes) -> None:
    other = account_of(name="other")
    lanes.use(MAIN, other)
    put(lanes, "one", named("a"))
    put(lanes, "two", named("a"), account=other)

    claims = [lanes.store.claim(name, 5, START_MS).claims for name in ("main", "other")]

    assert [[claim.batch_id for claim in some] for some in claims] == [["one"], ["two"]]


def test_without_a_word_on_how_orders_are_named_a_symbol_tells_them_apart(lanes: Lanes) -> None:
    """As when Redis came back empty under living workers: two orders must not pass for one."""
    lanes.use(SYMBOLS)
    lanes.redis.delete(keys.ACCOUNT_NAMING)
    put(lanes, "one", named("1", "AB"))
    first = lanes.claim()
    put(lanes, "two", named("1", "CD"))

    assert lanes.claim().batch_id == "two"
    lanes.settle(first)
    assert lanes.statuses("two") == ["pending"]


# What is remembered


@pytest.mark.parametrize("status", [Status.CANCELED, Status.FILLED, Status.CLOSED])
@pytest.mark.parametrize("kind", [IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID])
def test_what_the_venue_has_named_as_gone_is_known_to_later_batches(lanes: Lanes, status: Status, kind: IdKind) -> None:
    put(lanes, "one", named("a", kind=kind))
    lanes.settle(lanes.claim(), status)
    lanes.clock.ms += 1_000
    put(lanes, "two", named("a", kind=kind), named("b", kind=kind))

    claim = lanes.claim()

    assert (claim.kind, values(claim)) == (ClaimKind.SEND, ["b"])
    assert lanes.statuses("two") == [status.value, "pending"]
    lanes.sound()
    lanes.settle(claim)
    assert lanes.client.report("two")["state"] == "done"
    assert lanes.client.outcomes("two")[0]["updated_ms"] == START_MS


def test_a_later_batch_of_nothing_else_needs_no_call(lanes: Lanes) -> None:
    lanes.put("one", "a")
    lanes.settle(lanes.claim())
    lanes.put("two", "a")

    claim = lanes.claim()

    assert claim.kind is ClaimKind.MOOT
    assert lanes.store.settle(claim, Settlement(()), START_MS) == Settled(held=True, ended=True)
    assert lanes.client.report("two")["counts"] == {"canceled": 1}
    assert lanes.client.report("two")["calls"] == 0


@pytest.mark.parametrize(
    "status", [Status.NOT_FOUND, Status.ACCEPTED, Status.UNKNOWN, Status.REJECTED, Status.NOT_SENT, Status.OPEN]
)
def test_what_is_less_than_that_is_tried_again(lanes: Lanes, status: Status) -> None:
    """Not found, too: a wrong symbol looks just like it, and an order may come into being later."""
    lanes.put("one", "a")
    lanes.settle(lanes.claim(), status)
    lanes.put("two", "a")

    assert lanes.claim().kind is ClaimKind.SEND
    assert lanes.statuses("two") == ["pending"]


DOUBTS = {Status.ACCEPTED: True, Status.UNKNOWN: True, Status.NOT_FOUND: True, Status.REJECTED: False,
          Status.NOT_SENT: False, Status.OPEN: False}  # fmt: skip


@pytest.mark.parametrize("seized", [False, True])
@pytest.mark.parametrize(("status", "doubt"), DOUBTS.items())
def test_what_another_batch_has_sent_is_not_said_to_be_not_sent(
    lanes: Lanes, status: Status, doubt: bool, seized: bool
) -> None:
    """The second batch waits in its lane until its deadline; the first one's cancel has come back meanwhile."""
    lanes.put("one", "a")
    first = lanes.claim()
    lanes.put("two", "a", "b", deadline_s=2)
    lanes.settle(first, status)
    lanes.clock.ms += 2_000

    late = lanes.store.seize("two/0.0", lanes.now_ms) if seized else lanes.claim()

    assert late is not None
    assert late.kind is (ClaimKind.IDLE if seized else ClaimKind.LATE)
    lanes.store.settle(late, leftover(late, frozenset(), lanes.now_ms), lanes.now_ms)
    assert lanes.statuses("two") == ["unknown" if doubt else "not_sent", "not_sent"]
    lanes.sound()


def test_an_id_that_may_be_used_again_leaves_doubt_even_if_its_order_was_canceled(lanes: Lanes) -> None:
    lanes.use(account_of(replace(PLAIN, resend_safe=frozenset({IdKind.ORDER_ID}))))
    put(lanes, "one", named("a", kind=IdKind.CLIENT_ORDER_ID))
    lanes.settle(lanes.claim())
    put(lanes, "two", named("a", kind=IdKind.CLIENT_ORDER_ID), deadline_s=1)
    lanes.clock.ms += 1_000

    late = lanes.claim()
    lanes.store.settle(late, leftover(late, frozenset(), lanes.now_ms), lanes.now_ms)

    assert lanes.statuses("two") == ["unknown"]


def test_an_id_that_may_be_used_again_is_not_remembered(lanes: Lanes) -> None:
    lanes.use(account_of(replace(PLAIN, resend_safe=frozenset({IdKind.ORDER_ID}))))
    put(lanes, "one", named("a", kind=IdKind.CLIENT_ORDER_ID))
    lanes.settle(lanes.claim())
    put(lanes, "two", named("a", kind=IdKind.CLIENT_ORDER_ID))

    assert lanes.claim().kind is ClaimKind.SEND
    assert lanes.statuses("two") == ["pending"]
    assert [*lanes.redis.scan_iter(f"{keys.gone('main')}*")] == []


def test_what_is_remembered_by_one_symbol_says_nothing_of_another(lanes: Lanes) -> None:
    lanes.use(SYMBOLS)
    put(lanes, "one", named("1", "AB"))
    lanes.settle(lanes.claim())
    put(lanes, "two", named("1", "CD"))

    assert lanes.claim().kind is ClaimKind.SEND


@pytest.mark.parametrize(("later_ms", "kind"), [(REMEMBERED_MS, ClaimKind.MOOT), (2 * REMEMBERED_MS, ClaimKind.SEND)])
def test_it_is_remembered_for_some_minutes_and_then_forgotten(lanes: Lanes, later_ms: int, kind: ClaimKind) -> None:
    lanes.put("one", "a", deadline_s=3600)
    lanes.settle(lanes.claim())
    (key,) = lanes.redis.scan_iter(f"{keys.gone('main')}*")
    assert 0 < lanes.redis.pttl(key) <= 2 * REMEMBERED_MS
    lanes.clock.ms += later_ms
    lanes.put("two", "a", deadline_s=3600)

    assert lanes.claim().kind is kind


def test_what_two_times_remember_is_counted_once(lanes: Lanes) -> None:
    for name in ("one", "two"):
        lanes.put(name, "a", deadline_s=3600)
    first = lanes.claim()
    lanes.settle(first, Status.ACCEPTED)
    second = lanes.claim()
    lanes.settle(first)
    lanes.clock.ms += REMEMBERED_MS
    lanes.settle(second, Status.FILLED)
    lanes.put("three", "a")

    assert lanes.claim().kind is ClaimKind.MOOT
    assert lanes.statuses("three") == ["filled"]
    lanes.sound()


def test_a_kill_finds_what_a_clean_up_has_ended(lanes: Lanes) -> None:
    lanes.put("one", "a", "b", priority=Priority.CLEANUP)
    lanes.settle(lanes.claim())
    lanes.put("two", "b", "a", priority=Priority.KILL)

    assert lanes.claim().kind is ClaimKind.MOOT
    assert lanes.statuses("two") == ["canceled"] * 2


@pytest.mark.parametrize("by_watch", [True, False])
def test_a_late_order_that_another_batch_cancels_just_now_is_in_doubt_and_is_told_what_comes(
    lanes: Lanes, *, by_watch: bool
) -> None:
    lanes.put("b1", "a")
    held = lanes.claim()
    lanes.put("b2", "a", "b", deadline_s=1)
    lanes.clock.ms += 1_000

    (chunk,) = lanes.redis.smembers(keys.chunks("b2"))
    claim = lanes.store.seize(chunk, lanes.now_ms) if by_watch else lanes.claim()
    assert claim is not None
    lanes.store.settle(claim, leftover(claim, frozenset(), lanes.now_ms), lanes.now_ms)

    assert lanes.statuses("b2") == ["unknown", "not_sent"]
    assert lanes.client.report("b2")["state"] == "done"
    lanes.settle(held)
    assert lanes.statuses("b2") == ["canceled", "not_sent"]
    lanes.sound()
