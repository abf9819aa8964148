"""The drain: what is done with a chunk, for every way in which a call can end."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.calls import REFUSED_AS, RefusalKind, Request, Response, Scope, Stamp, Usage
from connectors.credentials import Credentials
from connectors.orders import OrderRef
from connectors.outcomes import Status
from connectors.transport import MaybeSent
from tasks.drain import LATE
from tasks.fold import NEVER_TRIED, REFUSED_BY_NAME, STRENGTH
from tasks.ports import ClaimKind, Pause, Wait, Why
from tasks.retry import STEPS, STOPS, Step
from tests.fakes import PLAIN, SECRET, START_MS, FakeClock, ids_of, refs, said, work_on
from tests.tasks.stage import CANCELED, NAMES, Stage, not_sent


def test_a_chunk_is_sent_once_and_settled() -> None:
    stage = Stage((CANCELED,))

    assert stage.run(NAMES) == Wait(Why.IDLE)

    assert stage.sent() == [list(NAMES)]
    assert stage.store.statuses() == ["canceled"] * 4
    assert (stage.store.calls, stage.store.left, stage.ended) == (1, 0, ["b"])


def test_chunk_after_chunk_is_worked_on_with_one_command_each() -> None:
    stage = Stage((CANCELED,))

    assert stage.run(*((name,) for name in NAMES)) == Wait(Why.IDLE)

    assert stage.sent() == [["a"], ["b"], ["c"], ["d"]]
    assert stage.store.turns == 4


def test_a_drain_that_is_not_to_go_on_settles_and_claims_nothing_more() -> None:
    stage = Stage((CANCELED,))
    stage.store.put(refs("a"))
    stage.store.put(refs("b"))

    assert stage.work() == Wait(Why.MORE)

    assert (stage.sent(), stage.store.turns, stage.store.left) == ([["a"]], 1, 1)


@pytest.mark.parametrize("kind", RefusalKind)
def test_every_refusal_leads_to_its_step(kind: RefusalKind) -> None:
    venue = replace(PLAIN, read_clock=lambda response: None)
    stage = Stage((said(refusal=kind.value, code="7", message="no"), CANCELED), venue)
    stage.store.put(refs(*NAMES))

    stage.work()

    ((_, settlement),) = stage.store.settlements
    places = [part.places for part in settlement.again]
    assert places == {Step.END: [], Step.AGAIN: [(0, 1, 2, 3)], Step.HALVE: [(0, 1), (2, 3)]}[STEPS[kind]]
    if STEPS[kind] is Step.HALVE:
        assert settlement.standings == ()
    else:
        assert {standing.status for _, standing in settlement.standings} == {REFUSED_AS[kind]}
        assert all('"code":"7","message":"no"' in standing.details for _, standing in settlement.standings)
    assert (settlement.calls, settlement.sent_ms) == (1, START_MS)
    assert settlement.well == (kind not in STOPS)


@pytest.mark.parametrize("kind", [kind for kind in RefusalKind if STEPS[kind] is Step.AGAIN])
def test_what_was_not_executed_is_tried_again_until_it_is(kind: RefusalKind) -> None:
    no = said(refusal=kind.value)
    clock_answer = said()
    stage = Stage((no, CANCELED), replace(PLAIN, read_clock=lambda response: None))
    if kind is RefusalKind.CLOCK:
        stage.line.replies = deque([no, clock_answer, CANCELED])

    stage.run(NAMES)

    assert stage.sent() == [list(NAMES)] * 2
    assert stage.store.statuses() == ["canceled"] * 4
    assert [claim.attempt for claim, _ in stage.store.settlements] == [1, 2]
    assert stage.store.calls == 2


@pytest.mark.parametrize("kind", [RefusalKind.UNCERTAIN, RefusalKind.CALL, RefusalKind.CREDENTIALS])
def test_doubt_and_definite_refusals_are_not_sent_again(kind: RefusalKind) -> None:
    stage = Stage((said(refusal=kind.value), CANCELED))

    stage.run(NAMES)

    assert stage.sent() == [list(NAMES)]
    assert stage.store.statuses() == [REFUSED_AS[kind].value] * 4
    assert stage.store.left == 0


def test_what_was_not_sent_is_tried_again_and_is_no_call() -> None:
    stage = Stage((not_sent(), not_sent(), not_sent(), CANCELED))

    stage.run(NAMES)

    assert stage.store.calls == 1
    assert stage.store.statuses() == ["canceled"] * 4
    assert [claim.attempt for claim, _ in stage.store.settlements] == [1, 2, 3, 4]
    ready = [settlement.again[0].ready_ms for _, settlement in stage.store.settlements[:3]]
    assert ready == [START_MS + 50, START_MS + 150, START_MS + 350]
    stop = STOPS[RefusalKind.UNAVAILABLE]
    ((until_ms, pause),) = stage.store.pauses  # the first two failures in a row stopped nobody
    assert (until_ms, pause.scope, pause.rate) == (START_MS + 150 + stop.wait_ms, Scope.ACCOUNT, False)
    assert (pause.longest_ms, pause.patience) == (stop.longest_ms, 2)
    assert len(stage.log.named("call.not_sent")) == 3


def test_pauses_between_attempts_have_jitter() -> None:
    stage = Stage((not_sent(), CANCELED), clock=FakeClock(dice=0.5))

    stage.run(("a",))

    assert stage.store.settlements[0][1].again[0].ready_ms == START_MS + 75


def test_a_venue_that_never_takes_a_connection_leaves_not_sent_with_its_reason() -> None:
    stage = Stage((not_sent(),))

    stage.run(NAMES)

    assert stage.store.statuses() == ["not_sent"] * 4
    assert all("ConnectTimeout" in standing.details for standing in stage.store.known.values())
    assert all(f"{LATE}: " not in standing.details for standing in stage.store.known.values())
    assert stage.store.calls == 0
    claims = [claim.kind for claim, _ in stage.store.settlements]
    assert (claims[-1], set(claims[:-1])) == (ClaimKind.LATE, {ClaimKind.SEND})
    assert stage.clock.ms < START_MS + 66_000


def test_what_may_have_been_sent_is_unknown_and_a_call() -> None:
    stage = Stage((MaybeSent("the call may have been executed: ReadTimeout"), CANCELED))

    stage.run(NAMES)

    assert stage.sent() == [list(NAMES)]
    assert stage.store.statuses() == ["unknown"] * 4
    assert all("ReadTimeout" in standing.details for standing in stage.store.known.values())
    assert stage.store.calls == 1


def test_an_answer_without_an_order_leaves_that_order_unknown() -> None:
    stage = Stage((said(statuses={"a": "canceled", "c": "rejected"}),))

    stage.run(NAMES)

    assert stage.store.statuses() == ["canceled", "unknown", "rejected", "unknown"]
    assert [stage.store.known[place].strength for place in range(3)] == [
        STRENGTH[Status.CANCELED],
        STRENGTH[Status.UNKNOWN],
        REFUSED_BY_NAME,
    ]


def refusing(*culprits: str) -> Callable[[Request], Response]:
    """Answer like a venue that refuses the whole call when one of *culprits* is in it."""

    def reply(request: Request) -> Response:
        ids = ids_of(request)
        if set(culprits) & set(ids):
            return said(refusal="reference", code="bad id")
        return said(statuses=dict.fromkeys(ids, "canceled"))

    return reply


@pytest.mark.parametrize("culprit", "abcdefgh")
def test_a_refused_chunk_is_halved_until_the_culprit_stands_alone(culprit: str) -> None:
    stage = Stage((refusing(culprit),))

    stage.run(tuple("abcdefgh"))

    expected = ["rejected" if name == culprit else "canceled" for name in "abcdefgh"]
    assert stage.store.statuses() == expected
    assert stage.store.calls == len(stage.sent()) == 7
    assert stage.store.left == 0


def test_several_culprits_are_found_and_no_order_is_lost() -> None:
    stage = Stage((refusing("a", "d", "e"),))

    stage.run(tuple("abcde"))

    assert stage.store.statuses() == ["rejected", "canceled", "canceled", "rejected", "rejected"]


def test_what_was_not_sent_is_known_as_of_its_claim() -> None:
    """Another batch may send a cancel of it as soon as it was claimed."""
    stage = Stage((CANCELED,))
    stage.store.put(refs("a"))
    stage.clock.ms = stage.store.deadline_ms
    (claim,) = stage.store.claim("main", 1, stage.clock.ms).claims
    stage.clock.ms += 35

    work_on(stage.drain, claim)

    assert [standing.at_ms for standing in stage.store.known.values()] == [stage.store.deadline_ms]


def test_a_chunk_past_its_deadline_is_not_sent() -> None:
    stage = Stage((CANCELED,))
    stage.clock.ms = stage.store.deadline_ms

    stage.run(NAMES)

    assert stage.sent() == []
    assert stage.store.statuses() == ["not_sent"] * 4
    assert {standing.strength for standing in stage.store.known.values()} == {NEVER_TRIED}
    assert all(LATE in standing.details for standing in stage.store.known.values())
    assert stage.store.calls == 0


def test_what_was_claimed_in_time_is_not_sent_once_the_deadline_has_come() -> None:
    """The worker was stopped between claim and send."""

    def slow(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        stage.clock.ms = stage.store.deadline_ms
        return PLAIN.build_cancel(orders, credentials, stamp)

    stage = Stage((CANCELED,), replace(PLAIN, build_cancel=slow))

    stage.run(NAMES)

    assert stage.sent() == []
    assert stage.store.statuses() == ["not_sent"] * 4
    assert stage.store.calls == 0
    (claim,) = (claim for claim, _ in stage.store.settlements)
    assert claim.kind is ClaimKind.LATE, "claimed anew, it is known whether another batch has sent a cancel"


def test_a_permission_that_has_run_out_gives_the_chunk_back_unsent() -> None:
    """The worker was stopped between claim and send for longer than the limiter's guard allows."""

    def slow(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        if not stage.line.withheld:
            stage.clock.ms += 10
        return PLAIN.build_cancel(orders, credentials, stamp)

    stage = Stage((CANCELED,), replace(PLAIN, build_cancel=slow))
    stage.store.use_by_ms = 10
    stage.store.put(refs(*NAMES))

    assert stage.work() == Wait(Why.MORE)

    assert (stage.sent(), stage.store.settlements) == ([], [])
    assert [claim.places for claim in stage.store.released] == [(0, 1, 2, 3)]
    assert len(stage.log.named("call.withheld")) == 1
    stage.run()
    assert (stage.sent(), stage.store.statuses()) == ([list(NAMES)], ["canceled"] * 4)
    assert [claim.attempt for claim, _ in stage.store.settlements] == [1]


def test_one_ms_before_its_permission_runs_out_a_call_is_sent() -> None:
    stage = Stage((CANCELED,))
    stage.store.use_by_ms = 1

    stage.run(NAMES)

    assert (stage.store.statuses(), stage.store.released) == (["canceled"] * 4, [])


def test_a_chunk_whose_orders_are_gone_is_not_sent() -> None:
    stage = Stage((said(statuses={"a": "canceled", "b": "filled"}),))
    stage.store.put(refs("a"))
    stage.store.put(refs("b"))
    stage.work()
    ((ref, standing),) = stage.store.siblings
    stage.store.known[1] = standing  # what the store does with a sibling

    stage.run()

    assert ref == refs("b")[0]
    assert stage.sent() == [["a"]]
    assert stage.store.statuses() == ["canceled", "filled"]


RATE, CREDENTIALS = STOPS[RefusalKind.RATE_LIMIT], STOPS[RefusalKind.CREDENTIALS]


@pytest.mark.parametrize(("asked_ms", "pause_ms"), [(None, RATE.wait_ms), (2_500, 2_500), (0, 1)])
@pytest.mark.parametrize("scope", Scope)
def test_a_rate_limit_stops_its_scope_for_as_long_as_the_venue_says(
    asked_ms: int | None, pause_ms: int, scope: Scope
) -> None:
    no = said(refusal="rate_limit", code="429", message="slow down", pause_ms=asked_ms, scope=scope.value)
    stage = Stage((no, CANCELED))

    stage.run(("a",), ("b",))

    expected = Pause(scope, pause_ms, RATE.longest_ms, "rate_limit 429 slow down", rate=True, since_ms=START_MS)
    assert stage.store.pauses == [(START_MS + pause_ms, expected)]
    assert stage.clock.ms >= START_MS + pause_ms
    assert stage.store.statuses() == ["canceled"] * 2


def test_bad_credentials_stop_the_account_and_each_trial_costs_one_chunk() -> None:
    stage = Stage((said(refusal="credentials", code="-2015", message="Invalid API-key", scope="ip"), CANCELED))

    stage.run(("a",), ("b",))

    reason = "credentials -2015 Invalid API-key"
    expected = Pause(Scope.ACCOUNT, CREDENTIALS.wait_ms, CREDENTIALS.longest_ms, reason, rate=False, since_ms=START_MS)
    assert stage.store.pauses == [(START_MS + CREDENTIALS.wait_ms, expected)]
    assert stage.clock.ms == START_MS + CREDENTIALS.wait_ms
    assert stage.store.statuses() == ["rejected", "canceled"]
    assert len(stage.log.named("account.paused")) == 1


def test_a_pause_that_runs_already_is_not_told_twice() -> None:
    stage = Stage((said(refusal="rate_limit", pause_ms=9_000),))
    stage.store.put(refs("a"))
    stage.store.put(refs("b"))
    claims = stage.store.claim("main", 2, START_MS).claims

    for claim in claims:
        work_on(stage.drain, claim)

    assert len(stage.store.pauses) == len(stage.log.named("account.paused")) == 1


def test_what_waits_until_its_deadline_because_of_a_pause_says_so() -> None:
    stage = Stage((said(refusal="credentials", code="-2015"),))
    stage.store.deadline_ms = START_MS + 10_000

    stage.run(("a",), ("b",))

    assert stage.store.statuses() == ["rejected", "not_sent"]
    assert f"{LATE}: credentials -2015" in stage.store.known[1].details


def test_what_the_venue_counts_of_our_limits_is_handed_on() -> None:
    usage = Usage("calls", 60_000, 7)
    venue = replace(PLAIN, read_usage=lambda headers: (usage,) if headers["used"] == "3" else ())
    stage = Stage((replace(CANCELED, headers={"used": "3"}),), venue)

    stage.run(NAMES)

    assert stage.store.settlements[0][1].usages == (usage,)


def test_what_a_call_taught_is_settled_though_the_pause_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> bool:
        raise ConnectionError("away")

    stage = Stage((said(refusal="credentials", code="-2015"),))
    monkeypatch.setattr(stage.store, "pause", away)

    stage.run(("a",))

    assert stage.store.statuses() == ["rejected"]
    assert len(stage.log.named("account.not_paused")) == 1


def test_a_code_that_the_venue_never_told_us_of_is_logged_once() -> None:
    stage = Stage((said(refusal="uncertain", code="-9999", unlisted="-9999"),))

    stage.run(("a",), ("b",))

    (told,) = stage.log.named("venue.unlisted_code")
    assert (told["venue"], told["code"], told["status"]) == ("plain", "-9999", 200)


def test_a_key_that_the_venue_repeats_is_neither_logged_nor_kept() -> None:
    stage = Stage((said(refusal="call", code="1", message=f"bad key {SECRET}", unlisted="1"),))

    stage.run(("a",))

    assert SECRET not in str(stage.log.events) + str(stage.store.settlements)
    assert "bad key" in stage.store.known[0].details


def test_a_call_that_cannot_be_built_costs_its_chunk_alone_and_tells_no_secret() -> None:
    def build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        if orders[0].value == "a":
            raise ValueError(f"cannot sign with {credentials.api_secret}")
        return PLAIN.build_cancel(orders, credentials, stamp)

    stage = Stage((CANCELED,), replace(PLAIN, build_cancel=build))

    stage.run(("a", "b"), ("c",))

    assert stage.store.statuses() == ["not_sent", "not_sent", "canceled"]
    assert stage.store.calls == 1
    assert stage.log.named("call.not_built") == [{"account": "main", "chunk": "b/0", "error": "ValueError"}]
    assert SECRET not in str(stage.log.events) + str(stage.store.settlements)


def test_the_log_of_a_call_has_what_one_looks_for() -> None:
    stage = Stage((said(refusal="call", code="5", message="no"),))

    stage.run(("a", "b"))

    ((level, _, fields),) = [event for event in stage.log.events if event[1] == "call.answered"]
    assert level == "warning"
    assert fields == {
        "batch": "b",
        "account": "main",
        "chunk": "b/0",
        "kind": "send",
        "attempt": 1,
        "orders": 2,
        "ms": 0,
        "refusal": "call",
        "code": "5",
        "message": "no",
    }
