"""One simulated worker: the product's store, drains, watch and planning, with a heart, an intake and hints."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import redis

from connectors.calls import Request, Response
from connectors.transport import always
from tasks import keys
from tasks.client import HEARTBEAT_MS
from tasks.clock import VenueClock
from tasks.drain import Drain
from tasks.errors import RipcordError
from tasks.ports import Claim, Settlement
from tests.simulation.connection import Connection
from tests.simulation.threads import Process, SimClock, SimSignal
from worker.drains import Drains
from worker.intake import Intake
from worker.store import RedisStore
from worker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.batch import Account
    from tests.simulation.world import World

HEARTBEAT_S: Final = 0.5
OWNERS: Final = "simulation:owners"  # hash: entry of the inbox -> the worker that has it
SURPRISES: Final = frozenset({"drain.fault", "watch.fault", "call.not_built", "inbox.fault", "account.not_paused"})


class SimDrain(Drain):
    """The product's drain; notes whose call it is, so that the line can tell."""

    def _carry_out(self, claim: Claim, built: "Callable[[], None]") -> Settlement | None:
        line: Any = self.line
        line.worker.world.scheduler.current.notes["claim"] = claim
        return super()._carry_out(claim, built)


@dataclass(slots=True)
class Line:
    """A line to the simulated venue."""

    worker: "Worker"
    account: "Account"

    def send(self, request: Request, may_send: "Callable[[], bool]" = always) -> Response:
        return self.worker.world.send(self.worker, self.account, request, may_send)


@dataclass(slots=True)
class SimLog:
    """Tells what the product logs; what it never should log is a finding."""

    world: "World"
    process: Process

    def info(self, event: str, /, **fields: object) -> None:
        self._tell(event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self._tell(event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        self._tell(event, fields)

    def _tell(self, event: str, fields: dict[str, object]) -> None:
        if self.world.tell is not None:
            self.world.trace(self.process.name, f"log {event} {fields}")
        if event in SURPRISES and not any(name in str(fields) for name in ("ConnectionError", "TimeoutError")):
            self.world.fault(f"{self.process.name} logs {event}: {fields}")


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process, from its start to its death."""

    world: "World"
    name: str
    process: Process = field(init=False)
    clock: SimClock = field(init=False)
    drains: Drains = field(init=False)
    connection: Connection = field(init=False)
    store: RedisStore = field(init=False)
    stop: SimSignal = field(init=False)
    intake: Intake = field(init=False)
    dies_at: int = 0
    stops_at: int = 0

    def __post_init__(self) -> None:
        world = self.world
        weather, dice = world.weather, world.scheduler.dice
        self.process = Process(self.name, self)
        if dice.random() < weather.kills:
            self.dies_at = dice.randint(1, weather.kill_within)
        if dice.random() < weather.stops:
            self.stops_at = dice.randint(1, weather.kill_within)
        self.clock = SimClock(world.scheduler, dice.randint(0, weather.clock_spread_ms))
        self.stop = SimSignal(world.scheduler)
        world.scheduler.spawn(self.process, self._run)

    def submit(self, work: "Callable[..., None]", /, *args: Any) -> None:
        """Be the pool that carries callers."""
        self.world.scheduler.spawn(self.process, work, *args)

    def _run(self) -> None:
        world, process = self.world, self.process
        self.connection = connection = Connection(world, process)
        log: Any = SimLog(world, process)
        anything: Any = connection
        while True:
            try:
                connection.set(keys.worker(self.name), "1", px=HEARTBEAT_MS)
                self.store = RedisStore(
                    anything,
                    self.name,
                    world.accounts,
                    keep_s=world.checks.keep_s,
                    guard_ms=world.checks.guard_ms,
                    cleanup_share=world.checks.share,
                    patient=Connection(world, process, patient=True),  # type: ignore[arg-type]
                )
                self.store.publish()
                break
            except redis.RedisError:
                self.world.scheduler.sleep(500)
        self.drains = Drains({}, self, self.clock, log, signal=lambda: SimSignal(world.scheduler))
        for account in world.accounts.values():
            drain = SimDrain(account, self.store, Line(self, account), self.clock, log, VenueClock(), self._ended)
            self.drains.accounts[account.name] = drain
        watch = Watch(
            anything, self.store, self.clock, log, self.name, world.checks.keep_s, world.hint, self._ended, _nothing
        )
        self.intake = Intake(
            world.checks.client(connection),
            self.store,
            world.accounts,
            self.clock,
            log,
            f"{self.name}#0",
            world.hint,
            lambda account, _priority: self.take_hint(account),
        )
        stop: Any = self.stop
        for work, args in ((watch.run, (stop,)), (self._take_in, ())):
            world.scheduler.spawn(process, work, *args)
        self._beat_on()

    def _ended(self, batch_id: str) -> None:
        """Read the report, as a worker does at the end of a batch."""
        self.connection.hgetall(keys.batch(batch_id))

    def _beat_on(self) -> None:
        world, weather = self.world, self.world.weather
        dice = world.scheduler.dice
        while not self.stop.wait(HEARTBEAT_S):
            try:
                self.connection.set(keys.worker(self.name), "1", px=HEARTBEAT_MS)
            except redis.RedisError:
                continue
            self.clock.offset_ms = dice.randint(0, weather.clock_spread_ms)
            if weather.clock_steps and not world.fair and dice.random() < 0.3:
                self.clock.offset_ms = dice.choice([-2_000, -500, -50, 50, 500, 2_000])

    def take_hint(self, account: str) -> None:
        """Do what the task of a hint does."""
        if hasattr(self, "drains"):
            self.world.scheduler.spawn(self.process, self._drain, account)

    def _drain(self, account: str) -> None:
        try:
            if self.drains.drain(account):
                priority = self.store.ready(account, self.clock.now_ms())
                if priority is not None:
                    self.world.hint(account, priority)
        except redis.RedisError:
            pass  # the hint is lost

    def _take_in(self) -> None:
        """Take documents from the inbox, and those of readers that are gone."""
        connection, dice = self.connection, self.world.scheduler.dice
        while not self.stop.wait(dice.choice([0.005, 0.3])):
            try:
                for entry, fields in connection.xrange(keys.INBOX):
                    owner = connection.hget(OWNERS, entry)
                    if owner and owner != self.name and connection.exists(keys.worker(owner)):
                        continue
                    connection.hset(OWNERS, entry, self.name)
                    batch_id = fields["batch"]
                    batch = self.world.batches[batch_id]
                    self.intake.client.accept(batch, batch_id, "", entry)
                    self.intake._plan(batch_id, batch)
                    self.store.acknowledge(keys.INBOX_GROUP, entry, batch_id)
                    connection.hdel(OWNERS, entry)
            except (redis.RedisError, RipcordError):
                continue


def _nothing(_: str) -> None:
    """Answer nobody: no Celery task waits."""
