"""The store: who waits after trouble, for how long, and what ends it; on fakeredis and on a real server."""

from dataclasses import dataclass, replace

import pytest

from connectors.calls import Scope
from connectors.credentials import Credentials
from connectors.outcomes import Status
from tasks import keys
from tasks.batch import Account
from tasks.ports import Claim, Wait, Why
from tests.fakes import PLAIN, START_MS, account_of
from tests.tasks.lanes import BOTH, Lanes, connection_of
from worker.store import pause_key

LETTERS = "abcdefgh"
FORGOTTEN_MS = 60_000
SHARED = Credentials("one key", "s3cr3t", "s3cr3t")
MAIN = account_of(name="main", credentials=SHARED, egress="here", max_orders_per_call=1)
SAME_KEY = account_of(name="same key", credentials=SHARED, egress="there", max_orders_per_call=1)
SAME_IP = account_of(name="same ip", egress="here", max_orders_per_call=1)
STRANGE = account_of(name="strange", egress="there", max_orders_per_call=1)
ELSEWHERE = replace(MAIN, name="elsewhere", venue=replace(PLAIN, name="other"))
ALL = (MAIN, SAME_KEY, SAME_IP, STRANGE, ELSEWHERE)


@pytest.fixture(params=BOTH)
def lanes(request: pytest.FixtureRequest) -> Lanes:
    return Lanes(connection_of(request), MAIN)


@dataclass
class Trouble:
    """An account whose venue or key is in trouble: each failure costs one call."""

    lanes: Lanes
    wait_ms: int = 100
    longest_ms: int = 5_000
    patience: int = 0

    def __post_init__(self) -> None:
        self.lanes.put("b", *LETTERS, deadline_s=3600)

    def fail(self, claim: Claim, since_ms: int | None = None) -> int | None:
        """Let the call of *claim* fail, and say until when the account waits, if that is news."""
        until_ms = self.lanes.pause(
            self.wait_ms, rate=False, since_ms=since_ms, longest_ms=self.longest_ms, patience=self.patience
        )
        self.lanes.again(claim, claim.places)
        return until_ms

    def succeed(self, claim: Claim) -> None:
        self.lanes.settle(claim, Status.ACCEPTED, well=True)

    def lasted(self, claim: Claim) -> int:
        """Let the call of *claim* fail and the pause pass, and say how long it was."""
        until_ms = self.fail(claim)
        assert until_ms is not None
        lasted_ms = until_ms - self.lanes.now_ms
        self.lanes.clock.ms = until_ms
        return lasted_ms


# Who waits


@pytest.mark.parametrize(
    ("scope", "waiting"),
    [
        (Scope.ACCOUNT, {"main"}),
        (Scope.KEY, {"main", "same key"}),
        (Scope.IP, {"main", "same ip"}),
    ],
)
def test_all_who_share_the_scope_wait_and_nobody_else(lanes: Lanes, scope: Scope, waiting: set[str]) -> None:
    lanes.use(*ALL)
    for account in ALL:
        lanes.account = account
        lanes.put(account.name.replace(" ", "-"), "a")

    lanes.pause(500, scope, account="main")

    waits = {account.name: lanes.store.claim(account.name, 1, lanes.now_ms).wait for account in ALL}
    assert {name for name, wait in waits.items() if wait == Wait(Why.PAUSED, START_MS + 500)} == waiting
    assert {name for name, wait in waits.items() if wait == Wait(Why.MORE)} == waits.keys() - waiting
    told = lanes.client.pauses(iter([account.name for account in ALL]))
    assert told == dict.fromkeys(sorted(waiting), "0.5 s more: 429")


def test_of_several_pauses_the_longest_counts(lanes: Lanes) -> None:
    lanes.put("b", "a")
    lanes.pause(500, Scope.KEY, reason="key")
    lanes.pause(900, Scope.IP, reason="ip")
    lanes.pause(200, reason="account")

    assert lanes.wait() == Wait(Why.PAUSED, START_MS + 900)
    assert lanes.client.pauses(["main"]) == {"main": "0.9 s more: ip"}


def test_the_client_tells_of_all_accounts_though_several_pauses_run(lanes: Lanes) -> None:
    lanes.use(*ALL)
    lanes.pause(500, account="main", reason="one")
    lanes.pause(700, account="strange", reason="two")

    told = lanes.client.pauses(account.name for account in ALL)

    assert told == {"main": "0.5 s more: one", "strange": "0.7 s more: two"}


# Told once, and ended once


def test_a_pause_is_told_once_and_a_longer_one_stays(lanes: Lanes) -> None:
    assert lanes.pause(500, since_ms=START_MS) == START_MS + 500
    before = START_MS - 1  # all of these were under way when it began
    assert lanes.pause(400, since_ms=before) is None
    assert lanes.pause(500, since_ms=before) is None
    assert lanes.pause(600, since_ms=before, reason="longer") == START_MS + 600

    told = [(event["until_ms"], event["reason"], event["scope"]) for event in lanes.events("account.paused")]
    assert told == [(str(START_MS + 500), "429", "account:main"), (str(START_MS + 600), "longer", "account:main")]
    assert lanes.client.pauses(["main", "other"]) == {"main": "0.6 s more: longer"}


@pytest.mark.parametrize("scope", Scope)
def test_a_pause_ends_when_its_time_is_over_and_not_before(lanes: Lanes, scope: Scope) -> None:
    key = pause_key(MAIN, scope)
    lanes.pause(500, scope)

    assert lanes.store.resume(key, START_MS + 499) is None
    assert lanes.store.resume(key, START_MS + 500) == "main"
    assert lanes.store.resume(key, START_MS + 501) is None

    (event,) = lanes.events("account.resumed")
    assert (event["account"], event["at_ms"]) == ("main", str(START_MS + 500))
    (paused,) = lanes.events("account.paused")
    assert event["scope"] == paused["scope"] == key.removeprefix(f"{keys.PREFIX}pause:")
    assert lanes.client.pauses(["main"]) == {}
    assert not lanes.redis.exists(keys.PAUSED)


def test_an_event_tells_no_key(lanes: Lanes) -> None:
    lanes.pause(500, Scope.KEY)

    (event,) = lanes.events("account.paused")
    assert event["scope"] == f"key:plain:{MAIN.key_digest}"
    assert SHARED.api_key not in str(event)


def test_a_pause_that_is_forgotten_leaves_the_list(lanes: Lanes) -> None:
    lanes.pause(500)
    key = pause_key(MAIN, Scope.ACCOUNT)
    lanes.redis.delete(key)

    assert lanes.store.resume(key, START_MS) is None
    assert not lanes.redis.exists(keys.PAUSED)
    assert lanes.events("account.resumed") == []


def test_why_an_account_waited_is_known_afterwards(lanes: Lanes) -> None:
    lanes.pause(500, Scope.IP, reason="banned")
    lanes.store.resume(pause_key(MAIN, Scope.IP), START_MS + 500)

    asked = [START_MS - 1, START_MS, START_MS + 500, START_MS + 501]
    assert [lanes.store.paused_at("main", at_ms) for at_ms in asked] == [None, "banned", "banned", None]
    assert lanes.store.paused_at("nobody", START_MS) is None


# Again and again


def test_trouble_that_comes_again_doubles_up_to_the_longest(lanes: Lanes) -> None:
    trouble = Trouble(lanes, longest_ms=700)

    assert [trouble.lasted(lanes.claim()) for _ in range(6)] == [100, 200, 400, 700, 700, 700]


def test_a_rate_limit_that_comes_again_doubles_whatever_the_venue_asks_for(lanes: Lanes) -> None:
    asked_ms = [1_000, 1_000, 10, 3_000]
    lasted_ms = []
    for wait_ms in asked_ms:
        until_ms = lanes.pause(wait_ms, longest_ms=5_000)
        assert until_ms is not None
        lasted_ms.append(until_ms - lanes.now_ms)
        lanes.clock.ms = until_ms

    assert lasted_ms == [1_000, 2_000, 40, 5_000]


def test_a_venue_that_asks_for_more_than_our_longest_gets_it(lanes: Lanes) -> None:
    assert lanes.pause(900_000, longest_ms=300_000) == START_MS + 900_000


@pytest.mark.parametrize(("kept_ms", "wait_ms"), [(FORGOTTEN_MS, 200), (FORGOTTEN_MS + 1, 100)])
def test_a_limit_that_was_kept_for_a_while_is_forgotten_to_have_been_breached(
    lanes: Lanes, kept_ms: int, wait_ms: int
) -> None:
    lanes.pause(100)
    lanes.clock.ms += 100 + kept_ms

    assert lanes.pause(100) == lanes.now_ms + wait_ms


def test_a_good_answer_does_not_forget_that_a_limit_was_breached(lanes: Lanes) -> None:
    lanes.put("b", "a")
    lanes.pause(100)
    lanes.clock.ms += 100
    lanes.settle(lanes.claim(), well=True)

    assert lanes.pause(100) == lanes.now_ms + 200


def test_a_breached_limit_makes_no_trouble_longer_and_no_trouble_a_breach(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    lanes.pause(100)
    lanes.clock.ms += 100
    lanes.pause(100)
    lanes.clock.ms += 200

    assert trouble.lasted(lanes.claim()) == 100
    assert lanes.pause(100) == lanes.now_ms + 400


def test_trouble_in_flight_when_the_pause_began_is_the_same_trouble(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    first, second, third = lanes.grant(3).claims
    lanes.clock.ms += 50
    assert trouble.fail(first, START_MS) == lanes.now_ms + 100
    for claim in (second, third):
        lanes.clock.ms += 10
        assert trouble.fail(claim, START_MS) == lanes.now_ms + 100, "as long as the first"
    lanes.clock.ms += 100

    trial = lanes.claim()
    assert trouble.fail(trial) == lanes.now_ms + 200, "after the pause it is new trouble"


# Patience and trials


def test_the_first_failures_in_a_row_stop_nobody(lanes: Lanes) -> None:
    trouble = Trouble(lanes, patience=2)

    assert [trouble.fail(lanes.claim()) for _ in range(2)] == [None, None]
    assert lanes.events("account.paused") == []
    assert trouble.fail(lanes.claim()) == lanes.now_ms + 100


def test_a_good_answer_between_failures_begins_the_row_anew(lanes: Lanes) -> None:
    trouble = Trouble(lanes, patience=2)
    for _ in range(3):
        assert [trouble.fail(lanes.claim()) for _ in range(2)] == [None, None]
        trouble.succeed(lanes.claim())

    assert lanes.events("account.paused") == []


def test_after_a_pause_one_call_goes_alone_until_the_venue_is_well(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    trouble.lasted(lanes.claim())

    (trial,) = lanes.grant(5).claims
    assert lanes.wait() == Wait(Why.FULL, lanes.now_ms + 25), "look again soon: another's trial may end well"
    lanes.sound()
    trouble.succeed(trial)

    assert len(lanes.grant(5).claims) == 5


def test_a_trial_that_fails_is_followed_by_a_pause_and_another_trial(lanes: Lanes) -> None:
    trouble = Trouble(lanes)

    assert [trouble.lasted(lanes.claim()) for _ in range(3)] == [100, 200, 400]
    assert len(lanes.grant(5).claims) == 1


def test_a_good_answer_forgets_the_trouble(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    for _ in range(3):
        trouble.lasted(lanes.claim())
    trouble.succeed(lanes.claim())

    assert trouble.lasted(lanes.claim()) == 100


def test_a_rate_limit_needs_no_trial(lanes: Lanes) -> None:
    lanes.put("b", *LETTERS)
    lanes.pause(100)
    lanes.clock.ms += 100

    assert len(lanes.grant(5).claims) == 5


def test_a_trial_that_runs_into_a_rate_limit_is_still_ended_by_a_good_answer(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    trouble.lasted(lanes.claim())
    trial = lanes.claim()
    lanes.pause(100)
    lanes.again(trial, trial.places)
    lanes.clock.ms += 10_000

    trouble.succeed(lanes.claim())

    assert len(lanes.grant(5).claims) == 5


def test_a_good_answer_to_one_account_ends_no_others_trial(lanes: Lanes) -> None:
    lanes.use(*ALL)
    trouble = Trouble(lanes)
    trouble.lasted(lanes.claim())
    lanes.account = SAME_KEY
    lanes.put("c", "a")
    trouble.succeed(lanes.claim())

    lanes.account = MAIN
    assert len(lanes.grant(5).claims) == 1


def test_what_is_late_is_told_during_a_trial_one_at_a_time(lanes: Lanes) -> None:
    trouble = Trouble(lanes)
    trouble.lasted(lanes.claim())
    lanes.clock.ms += 3_600_000

    kinds = []
    for _ in LETTERS:
        (claim,) = lanes.grant(5).claims
        kinds.append(claim.kind.value)
        lanes.settle(claim, Status.NOT_SENT)

    assert kinds == ["late"] * 8
    assert lanes.client.report("b")["state"] == "done"


def test_what_is_known_of_pauses_expires(lanes: Lanes) -> None:
    lanes.pause(100, patience=1)
    assert 0 < lanes.redis.pttl(pause_key(MAIN, Scope.ACCOUNT)) <= 86_400_000
    lanes.pause(100)
    assert 0 < lanes.redis.pttl(pause_key(MAIN, Scope.ACCOUNT)) <= 86_400_000


def test_accounts_that_share_a_scope_name_it_alike() -> None:
    def names(account: Account) -> list[str]:
        return [pause_key(account, scope).removeprefix(f"{keys.PREFIX}pause:") for scope in Scope]

    assert names(MAIN) == ["account:main", f"key:plain:{MAIN.key_digest}", "ip:plain:here"]
    assert names(SAME_KEY)[1] == names(MAIN)[1]
    assert names(SAME_IP)[2] == names(MAIN)[2]
    assert not {*names(ELSEWHERE)} & {*names(MAIN)}, "another venue's limits are its own"
