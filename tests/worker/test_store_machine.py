"""The store under any sequence of what workers, watches and time can do: its structure holds, and everything ends."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.calls import Limit, Scope, Usage
from connectors.outcomes import Status
from tasks.batch import Batch, Order, Priority
from tasks.ports import Claim, Next, Part, Pause, Settlement
from tests.fakes import PLAIN, account_of, refs
from tests.tasks.lane_model import LaneModel
from tests.tasks.lanes import Lanes, fake_redis, guarded_ms, share, standing
from worker import store as store_module
from worker.store import RedisStore

LONG_MS = 50_000  # the limiter's keys expire by the server's clock, and the machine's runs faster
CALLS = 4
WORKERS = ("w1", "w2", "w3")
MANY = account_of(
    replace(PLAIN, limits=(Limit("calls", Scope.KEY, CALLS, LONG_MS),)), "many", max_orders_per_call=3, max_in_flight=3
)
WIDTH_MS = guarded_ms(MANY.limits[0])
ALONE = account_of(PLAIN, "alone", max_orders_per_call=1, max_in_flight=3)
ACCOUNTS = {account.name: account for account in (MANY, ALONE)}
CHANGED = ACCOUNTS | {"many": replace(MANY, max_orders_per_call=2)}
ANSWERS = tuple(status for status in Status if status not in (Status.PENDING, Status.INVALID))

accounts = st.sampled_from(sorted(ACCOUNTS))
workers = st.sampled_from(WORKERS)
values = st.sampled_from([*"abcdefghijkl", "bad"])
orders = st.lists(st.tuples(accounts, values), min_size=3, max_size=12)
some_status = st.sampled_from(ANSWERS)
which_one = st.integers(0, 20)


@dataclass(frozen=True)
class SomeAnswer:
    """What one call teaches of up to three orders, of an order that nobody asked for, and what follows.

    ``left`` is how many calls the venue says that we have left in our window; ``fate`` is the fate of a turn.
    """

    statuses: tuple[Status, ...]
    shape: str
    step: Next
    pause_ms: int
    siblings: tuple[tuple[str, Status], ...]
    well: bool
    left: int
    fate: str


answers = st.builds(
    SomeAnswer,
    statuses=st.tuples(some_status, some_status, some_status),
    shape=st.sampled_from(["end", "halves", "again", "part", "read", "rest read"]),
    step=st.sampled_from([Next.READ, Next.SINGLE, Next.UNKNOWN, Next.LISTING]),
    pause_ms=st.sampled_from([0, 50, 5_000]),
    siblings=st.lists(st.tuples(values, some_status), max_size=1).map(tuple),
    well=st.booleans(),
    left=st.integers(0, CALLS),
    fate=st.sampled_from(["told", "told", "answer lost", "command lost"]),
)


pauses = st.builds(
    Pause,
    scope=st.sampled_from(Scope),
    wait_ms=st.sampled_from([1, 40]),
    longest_ms=st.just(1_000),
    reason=st.just("429"),
    rate=st.booleans(),
    since_ms=st.just(0),
    patience=st.integers(0, 1),
)


class LaneMachine(RuleBasedStateMachine):
    """What three workers may do to two accounts."""

    def __init__(self) -> None:
        super().__init__()
        self.slice, store_module.SLICE = store_module.SLICE, 2  # type: ignore[misc]  # a constant, for everybody else
        self.lanes = Lanes(fake_redis(), MANY)
        self.lanes.use(MANY, ALONE)
        self.model = LaneModel(self.lanes, ACCOUNTS)
        self.stores = {name: self.lanes.worker(name) for name in WORKERS}

    @initialize(orders=orders, slices=st.integers(0, 4))
    def submit_one(self, orders: list[tuple[str, str]], slices: int) -> None:
        self.submit(orders, Priority.RISK, 3600, slices)

    @precondition(lambda self: len(self.model.batches) < 4)
    @rule(
        orders=orders,
        priority=st.sampled_from(Priority),
        deadline_s=st.sampled_from([3600, 60, 1]),
        slices=st.integers(0, 5),
    )
    def submit(self, orders: list[tuple[str, str]], priority: Priority, deadline_s: int, slices: int) -> None:
        asked = tuple(Order(account, refs(value)[0]) for account, value in orders)
        self.model.submit(Batch(f"b{len(self.model.batches)}", asked, priority, deadline_s), slices)

    @rule(which=which_one, changed=st.booleans())
    def plan_again(self, which: int, changed: bool) -> None:
        batch = self.model.batches[f"b{which % len(self.model.batches)}"]
        self.model.plan_again(batch, CHANGED if changed else ACCOUNTS)

    @rule(account=accounts, worker=workers, most=st.integers(1, 4))
    def claim(self, account: str, worker: str, most: int) -> None:
        self.model.claim(self.stores[worker], account, most)

    @rule(account=accounts, worker=workers, most=st.integers(1, 4))
    def lose_claim(self, account: str, worker: str, most: int) -> None:
        self.model.lose_claim(self.stores[worker], account, most)

    @rule(account=accounts, worker=workers, answers=st.lists(answers, min_size=1, max_size=4))
    def work(self, account: str, worker: str, answers: list[SomeAnswer]) -> None:
        """Claim and settle at once, as a worker does that nothing happens to."""
        for answer in answers:
            for claim in self.model.claim(self.stores[worker], account, 1):
                self.answer(self.stores[worker], claim, answer)

    @precondition(lambda self: self.model.claims)
    @rule(which=which_one, answer=answers)
    def settle(self, which: int, answer: SomeAnswer) -> None:
        """Settle what was claimed at any time, by whoever has it, or had it once."""
        self.answer(*self.one_of_the_last(which), answer)

    @precondition(lambda self: self.model.claims)
    @rule(which=which_one, some=st.lists(answers, min_size=1, max_size=3), most=st.integers(0, 3))
    def turn(self, which: int, some: list[SomeAnswer], most: int) -> None:
        """Settle several as above, and claim the next."""
        store, first = self.one_of_the_last(which)
        claims = [first]
        claims += [one for its, one in self.model.claims[-6:] if its is store and one.account == first.account]
        pairs = [(claim, self.settlement(claim, answer)) for claim, answer in zip(claims, some, strict=False)]
        # Once one has ended the batch, siblings that another names are not looked up any more.
        pairs[1:] = [(claim, replace(settlement, siblings=())) for claim, settlement in pairs[1:]]
        self.model.turn(store, first.account, pairs, most, some[0].fate)

    @precondition(lambda self: self.model.claims)
    @rule(which=which_one)
    def release(self, which: int) -> None:
        """Give back what was claimed at any time, unsent."""
        self.model.release(*self.one_of_the_last(which))

    def one_of_the_last(self, which: int) -> tuple[RedisStore, Claim]:
        return self.model.claims[-1 - which % min(len(self.model.claims), 6)]

    def answer(self, store: RedisStore, claim: Claim, answer: SomeAnswer) -> None:
        self.model.settle(store, claim, self.settlement(claim, answer))

    def settlement(self, claim: Claim, answer: SomeAnswer) -> Settlement:
        now_ms = self.lanes.now_ms
        known = tuple((p, standing(s, now_ms)) for p, s in zip(claim.places, answer.statuses, strict=False))
        half = (len(claim.places) + 1) // 2
        parts = {
            "end": [],
            "again": [claim.places],
            "halves": [claim.places[:half], claim.places[half:]],
            "part": [claim.places[-1:]],
            "read": [],
            "rest read": [claim.places[:half]],
        }[answer.shape]
        again = tuple(Part(places, now_ms + answer.pause_ms) for places in parts if places)
        read = {"read": claim.places, "rest read": claim.places[half:]}.get(answer.shape)
        if read:
            again += (Part(read, now_ms + answer.pause_ms, answer.step),)
        siblings = tuple((refs(value)[0], standing(status, now_ms)) for value, status in answer.siblings)
        learned = () if answer.shape == "halves" else known
        usages = (Usage("calls", LONG_MS, answer.left),)
        return Settlement(learned, 1, siblings, again, now_ms, answer.well, usages)

    @rule(worker=workers, living=st.booleans())
    def die_or_live(self, worker: str, living: bool) -> None:
        if living:
            self.lanes.worker(worker)
        else:
            self.lanes.kill(worker)

    @precondition(lambda self: self.model.claims)
    @rule(which=which_one, worker=workers)
    def seize(self, which: int, worker: str) -> None:
        _, claim = self.model.claims[which % len(self.model.claims)]
        self.model.seize(self.stores[worker], claim.chunk_id)

    @rule(worker=workers)
    def watch(self, worker: str) -> None:
        self.model.watch(self.stores[worker])

    @rule(account=accounts, pause=pauses, ago_ms=st.sampled_from([0, 30]))
    def pause(self, account: str, pause: Pause, ago_ms: int) -> None:
        self.model.pause(account, replace(pause, since_ms=self.lanes.now_ms - ago_ms))

    @rule(ms=st.sampled_from([1, 50, 5_000, WIDTH_MS]))
    def wait(self, ms: int) -> None:
        self.lanes.clock.ms += ms

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.model.check()
        granted_ms = self.model.granted_ms.get("many", [])
        for start in granted_ms:
            assert sum(start <= at < start + WIDTH_MS for at in granted_ms) <= CALLS

    def teardown(self) -> None:
        """Let the faults end: then every batch ends, and every order has an outcome."""
        store_module.SLICE = self.slice  # type: ignore[misc]  # as it was
        for batch in self.model.batches.values():
            self.model.plan_again(batch, ACCOUNTS)
        self.lanes.clock.ms += 3_600_000
        for worker in WORKERS:
            self.lanes.kill(worker)
        self.lanes.worker("w1")
        self.model.watch(self.stores["w1"])
        self.model.check()
        self.model.check_end()


TestLanes = LaneMachine.TestCase
TestLanes.settings = settings(share(0.4), stateful_step_count=40, report_multiple_bugs=False)
