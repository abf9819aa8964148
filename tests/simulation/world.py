"""One schedule: Redis, workers, a venue and producers under one seed, until every batch has ended."""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

import redis

from connectors.calls import Limit, Request, Response, Scope
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.reads import Side
from connectors.transport import MaybeSent, NotSent, Withheld
from tasks import keys
from tasks.batch import EVERY_ACCOUNT, Account, Batch, Order, Priority, Selection
from tasks.errors import RipcordError
from tasks.ports import Claim
from tests.fakes import START_MS
from tests.simulation.checks import Checks, accept_script
from tests.simulation.connection import Connection
from tests.simulation.threads import Process, Scheduler
from tests.simulation.venue import CLOCK_TOLERANCE_MS, PLAN, Call, Exchange, Kind, Reads, Truth, make_venue
from tests.simulation.weather import Weather, draw
from tests.simulation.worker import Worker
from worker import store as store_module

SLICE: Final = 3  # orders of a plan in one script, so that plans have several
READ_TIMEOUT_MS: Final = 3_000
PATIENCE_MS: Final = 12_000  # past its deadline and all faults: heartbeat, watch, a call that hangs, clearing up
CLEAR_UP_MS: Final = 1_000
ENDED: Final = frozenset({"done", "refused"})


@dataclass(slots=True)
class World:
    """Everything that one seed draws, and what became of it."""

    seed: int
    redis: Any
    tell: Callable[[str], None] | None = None
    only_compared: bool = False  # whether another run of the same schedule is checked
    digesting: bool = False  # whether a second run is to be compared with this one
    weather: Weather = field(init=False)
    scheduler: Scheduler = field(init=False)
    exchange: Exchange = field(default_factory=Exchange)
    accounts: dict[str, Account] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    submitted_ms: dict[str, int] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    checks: Checks = field(init=False)
    down_until_ms: int = 0
    started: int = 0
    lost_from_ms: int | None = None
    lost_to_ms: int = 0
    troubled: tuple[int, int] = (0, 0)
    digest: int = 0
    producer: Process = field(default_factory=lambda: Process("producer"))
    _names: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        dice = Random(self.seed)
        self.weather = draw(dice)
        self.scheduler = Scheduler(dice, START_MS, self.fault, lambda: not self.faults, self._count_switch)
        self.checks = Checks(self)
        self._names = _names_of_scripts()

    # what happened

    def fault(self, text: str) -> None:
        """Note that a rule was broken; the schedule ends."""
        self.trace("FAULT", text)
        self.faults.append(text)

    def trace(self, who: str, what: str) -> None:
        """Tell what happens, for a reader and for the comparison of two runs."""
        if self.tell is None and not self.digesting:
            return
        line = f"{self.scheduler.now_ms - START_MS:6d} {who:9s} {what}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        if self.tell is not None:
            self.tell(line)

    @property
    def fair(self) -> bool:
        """Whether faults have ended."""
        return self.scheduler.now_ms - START_MS >= self.weather.faults_end_ms

    def strikes(self, rate: float) -> bool:
        """Roll whether a fault of this rate comes now."""
        return rate > 0 and not self.fair and self.scheduler.dice.random() < rate

    # Redis

    def command(self, name: str, *args: object) -> Any:
        """Run a command at once."""
        self.redis.at(self.scheduler.now_ms)
        return self.redis.command(name, *args)

    def commands(self, every: Iterable[Sequence[object]]) -> Any:
        """Run one command after the other at once."""
        self.redis.at(self.scheduler.now_ms)
        return self.redis.commands(every)

    def script_name(self, text: str) -> str:
        """Name a script by its text."""
        return self._names[text]

    def run_script(self, name: str, text: str, keys_: list[str], args: list[Any]) -> Any:
        """Run a script at once, and look at what it did."""
        self.redis.at(self.scheduler.now_ms)
        found = self.redis.script(text, keys_, args)
        thread = self.scheduler.current
        if thread is not None and (self.digesting or self.tell is not None):
            told = args[2:] if name == "acknowledge" else args[:4]  # an entry's id is the server's own
            self.trace(thread.process.name, f"{name} {' '.join(map(str, told))} -> {found}")
        self.checks.after_script(name, args, found)
        return found

    def carry_out(self, work: Callable[[], Any], label: str) -> Any:
        """Run *work* on Redis as a thread sees it: after some time, and not always with an answer."""
        scheduler, weather = self.scheduler, self.weather
        dice = scheduler.dice
        slow = self.strikes(weather.slow_command)
        scheduler.sleep(dice.randint(1, 50) if slow else int(dice.random() * 1.3))
        if scheduler.now_ms < self.down_until_ms:
            scheduler.sleep(50)
            raise redis.ConnectionError("simulated: Redis is away")
        if self.strikes(weather.command_lost):
            self.trace("redis", f"{label} is lost")
            scheduler.sleep(dice.choice([1, 500]))
            raise redis.ConnectionError("simulated: the command is lost")
        found = work()
        if self.strikes(weather.reply_lost):
            self.trace("redis", f"the reply to {label} is lost")
            scheduler.sleep(dice.choice([1, 500, 2_000]))
            raise redis.TimeoutError("simulated: the reply is lost")
        if dice.random() < 0.3:
            scheduler.sleep(dice.randint(1, 50) if slow else 0)
        return found

    # processes

    def _count_switch(self, process: Process) -> None:
        """Let a process die or stop at the switch that was drawn for it."""
        process.switches += 1
        worker = process.worker
        if worker is None or self.fair:
            return
        if process.switches == worker.dies_at:
            self.kill(worker)
        elif process.switches == worker.stops_at:
            ms = self.scheduler.dice.choice([20, 700, 2_000, 5_000])
            self.trace(process.name, f"is stopped for {ms} ms")
            process.stopped_until_ms = self.scheduler.now_ms + ms

    def kill(self, worker: Worker) -> None:
        """Kill a worker as with -9; another is started somewhat later."""
        if worker.process.dead:
            return
        self.trace(worker.process.name, "is killed")
        worker.process.dead = True
        self.scheduler.at(self.scheduler.now_ms + self.scheduler.dice.randint(100, 1_000), self.start_worker)

    def start_worker(self) -> None:
        """Start a worker with a name of its own."""
        self.started += 1
        self.workers.append(Worker(self, f"w{self.started}"))

    def hint(self, account: str, priority: str) -> None:
        """Carry a hint to some worker, as Celery would: perhaps not, perhaps twice."""
        weather, dice = self.weather, self.scheduler.dice
        if self.strikes(weather.hint_lost):
            return
        for _ in range(2 if self.strikes(weather.hint_twice) else 1):
            self.scheduler.at(self.scheduler.now_ms + dice.randint(0, 3), lambda: self._deliver(account))

    def _deliver(self, account: str) -> None:
        alive = [worker for worker in self.workers if not worker.process.dead]
        if alive:
            self.scheduler.dice.choice(alive).take_hint(account)

    # venue

    def send(self, worker: Worker, account: Account, request: Request, may_send: Callable[[], bool]) -> Response:
        """Carry one call of a worker to the venue and its answer back."""
        scheduler, weather = self.scheduler, self.weather
        dice = scheduler.dice
        if request.target == "/time":
            scheduler.sleep(2 * weather.latency_ms)
            if self.strikes(weather.refused):
                raise NotSent("simulated: no connection")
            return Response(200, str(scheduler.now_ms - weather.latency_ms).encode())
        thread = scheduler.current
        assert thread is not None
        claim: Claim = thread.notes["claim"]
        scheduler.sleep(dice.randint(0, weather.connecting_ms) if weather.connecting_ms else 0)
        if self.strikes(weather.refused):
            self.trace(worker.process.name, f"finds no connection for {claim.chunk_id}")
            raise NotSent("simulated: no connection")
        if not may_send():
            self.trace(worker.process.name, f"does not send {claim.chunk_id} any more")
            raise Withheld("simulated: too late")
        call = self._call_of(account, request, claim, worker)
        self.trace(worker.process.name, f"sends {claim.chunk_id} {request.target} {request.body!r}")
        self.checks.leaves(call, worker.clock.now_ms(), thread)
        call.fate = self._fate()
        there_ms = weather.latency_ms + dice.randint(0, weather.jitter_ms)
        back_ms = weather.latency_ms
        if call.fate == "answer_late":
            back_ms += dice.choice([200, 1_000, READ_TIMEOUT_MS - 200 - weather.latency_ms])
        if call.fate != "request_lost":
            scheduler.at(scheduler.now_ms + there_ms, lambda: self._arrives(call))
        poisoned = call.kind == "cancel" and any(self.exchange.find(account.name, one).poison for one in call.ids)
        if poisoned and dice.random() < 0.5:
            self.kill(worker)
        try:
            if call.fate in {"request_lost", "answer_lost"}:
                scheduler.sleep(dice.choice([there_ms + 1, READ_TIMEOUT_MS]))
                raise MaybeSent("simulated: no answer")
            scheduler.sleep(there_ms + back_ms)
            if poisoned:
                self.kill(worker)
            scheduler.give_up_if_dead()
        finally:
            call.over = not worker.process.dead
        assert call.response is not None
        self.trace(worker.process.name, f"has the answer to {claim.chunk_id}: {call.response.body!r}")
        self.checks.answered(call, thread)
        return call.response

    def _call_of(self, account: Account, request: Request, claim: Claim, worker: Worker) -> Call:
        """Read what a request is."""
        _, path, *space = request.target.split("/")
        body: Any = json.loads(request.body)
        limits = account.limits if path == "cancel" else self.exchange.kind.limits
        ids, asked = (tuple(body), (None, None)) if path != "list" else ((), (body[0], body[1]))
        names = tuple(order.value for order in claim.orders) if path == "cancel" else ids
        stamp_ms = int(request.headers["time"])
        return Call(
            account,
            path,
            (space[0] or None) if space else None,
            ids,
            names,
            limits,
            claim,
            worker.process.name,
            self.scheduler.now_ms,
            stamp_ms,
            asked,
        )

    def _fate(self) -> str:
        weather = self.weather
        for name in ("answer_lost", "request_lost", "answer_late", "server_error", "busy", "rate_limit"):
            if self.strikes(getattr(weather, name)):
                return name
        return ""

    def _arrives(self, call: Call) -> None:
        weather, exchange, dice = self.weather, self.exchange, self.scheduler.dice
        now_ms = self.scheduler.now_ms
        breached = exchange.count(call, now_ms)
        if self.strikes(weather.others_call):
            for limit, key in exchange.windows(call.account, call.limits):
                exchange.arrivals[key].extend([now_ms] * limit.cost)
                exchange.outsiders.add(key)
        if breached:
            self.checks.breached(call, breached)
        document: dict[str, Any]
        troubled = self.troubled[0] <= now_ms - START_MS < self.troubled[1] and not self.fair
        if breached or call.fate == "rate_limit":
            document = {"refusal": "rate_limit", "scope": call.limits[-1].scope.value}
            if dice.random() < 0.5:
                document["pause_ms"] = dice.choice([300, 1_000])
        elif abs(call.stamp_ms - now_ms) > CLOCK_TOLERANCE_MS:
            document = {"refusal": "clock"}
        elif troubled and weather.bad_key:
            document = {"refusal": "credentials"}
        elif call.fate == "busy" or (troubled and weather.maintenance):
            document = {"refusal": "unavailable"}
        elif call.fate == "server_error":
            if dice.random() < 0.5 and call.kind == "cancel":
                self._execute(call)
            document = {"refusal": "uncertain"}
        elif call.kind == "cancel":
            document = self._execute(call)
        else:
            document = self._look(call)
        headers = {"left": exchange.left(call.account)} if weather.tells_usage and call.kind == "cancel" else {}
        call.response = Response(200, json.dumps(document).encode(), headers)
        self.trace("venue", f"{call.claim.chunk_id} of {call.worker}: {document}")

    def _look(self, call: Call) -> dict[str, Any]:
        """Answer a read, as things stood some time ago."""
        weather, dice, now_ms = self.weather, self.scheduler.dice, self.scheduler.now_ms
        lag_ms = dice.randint(0, self.lag_ms) if self.lag_ms else 0
        if call.kind == "list":
            if self.strikes(weather.improper):
                return {"maintenance": "back soon"}
            document = self.exchange.list(call, now_ms, lag_ms)
        else:
            omits = {one: self.strikes(weather.omits) for one in call.ids}
            document = self.exchange.look(call, now_ms, lag_ms, weather.forgets, omits)
        self.checks.shown(call, document)
        return document

    @property
    def lag_ms(self) -> int:
        """How far reads may lag behind the engine: less than the settling time."""
        return int(self.weather.lag * self.exchange.kind.settling_ms)

    def _execute(self, call: Call) -> dict[str, Any]:
        dice, weather = self.scheduler.dice, self.weather
        omits = {one: self.strikes(weather.omits) for one in call.ids}
        # Who can be asked how an order stands goes on so when all faults have ended.
        accepts = weather.accepts and (not self.fair or self.exchange.kind.reads is not Reads.NONE)
        answer = self.exchange.execute(call, self.scheduler.now_ms, accepts, omits)
        if accepts and call.executed:
            for one in call.ids:
                if not self.strikes(weather.forgotten):
                    order = self.exchange.find(call.account.name, one)
                    after_ms = dice.choice([0, 100, 600])
                    self.scheduler.at(
                        self.scheduler.now_ms + after_ms,
                        lambda order=order: self._cancel_late(call, order),  # type: ignore[misc]
                    )
        return answer

    def _cancel_late(self, call: Call, order: Truth) -> None:
        here = order.space_at(self.scheduler.now_ms) == call.namespace
        if order.state == "open" and here and not order.stubborn and not order.spoils:
            order.become("canceled", self.scheduler.now_ms)

    def _fill(self, order: Truth) -> None:
        if order.state == "open" and not order.stubborn:
            order.become("filled", self.scheduler.now_ms)

    # one schedule

    def run(self) -> list[str]:
        """Play the schedule; gives what was broken."""
        before = store_module._whole_script, store_module.SLICE
        store_module._whole_script, store_module.SLICE = _cached_script, SLICE  # type: ignore[misc]  # for a while
        try:
            self.redis.reset()
            self.redis.at(START_MS)
            self._set_up()
            weather = self.weather
            end_ms = START_MS + weather.faults_end_ms
            self.scheduler.run(end_ms)
            self.trace("weather", "all faults end")
            while not self.faults and not self._all_done() and self.scheduler.now_ms < self._last_ms():
                before_ms = self.scheduler.now_ms
                self.scheduler.run(before_ms + 500)
                self.scheduler.now_ms = max(self.scheduler.now_ms, before_ms + 500)
            if not self.faults:
                self.scheduler.run(self.scheduler.now_ms + CLEAR_UP_MS)
            if not self.faults and not self.only_compared:
                self.checks.at_the_end()
        finally:
            self.scheduler.close()
            store_module._whole_script, store_module.SLICE = before  # type: ignore[misc]
        return self.faults

    def _last_ms(self) -> int:
        """Say by when everything must have ended."""
        now_ms = self.scheduler.now_ms
        ends = [self.submitted_ms.get(one, now_ms) + self._deadline_ms(one) for one in self.batches]
        patience_ms = PATIENCE_MS + (store_module.LONGEST_CALL_MS if self.lost_from_ms is not None else 0)
        return max(START_MS + self.weather.faults_end_ms, *ends) + patience_ms

    def _deadline_ms(self, batch_id: str) -> int:
        return int(self.batches[batch_id].deadline_s * 1000)

    def _all_done(self) -> bool:
        taken = self.submitted_ms.keys() >= self.batches.keys()  # a producer without an answer hands in again
        return taken and all(self.command("HGET", keys.batch(one), "state") in ENDED for one in self.batches)

    def _set_up(self) -> None:
        weather, dice, scheduler = self.weather, self.scheduler.dice, self.scheduler
        self._draw_accounts()
        for _ in range(weather.workers):
            scheduler.at(START_MS + dice.randint(0, 50), self.start_worker)
        for number in range(dice.randint(1, 5)):
            batch = self._draw_batch(f"b{number}")
            self.batches[f"b{number}"] = batch
            at_ms = dice.choice([0, 0, dice.randint(0, weather.faults_end_ms)])
            truths = (self.exchange.orders.get((one.account, one.ref.value)) for one in batch.orders)
            at_ms = max([at_ms, *(truth.born_ms - START_MS for truth in truths if truth)])
            scheduler.spawn(self.producer, self._submit, f"b{number}", delay_ms=at_ms)
        for truth in self.exchange.orders.values():
            if truth.born_ms:
                scheduler.at(truth.born_ms, lambda truth=truth: truth.become("open", truth.born_ms))  # type: ignore[misc]
            if dice.random() < weather.fills:
                at_ms = START_MS + dice.randint(0, 3_000)
                scheduler.at(at_ms, lambda truth=truth: self._fill(truth))  # type: ignore[misc]
        start = dice.randint(0, weather.faults_end_ms)
        self.troubled = (start, start + dice.randint(100, 2_000))
        if weather.lost_second:
            crash_ms = dice.randint(200, weather.faults_end_ms)
            lost_ms = dice.randint(1, min(1_000, crash_ms))
            scheduler.at(START_MS + crash_ms - lost_ms, lambda: self._crash_later(START_MS + crash_ms))
        elif weather.redis_down:
            down_ms = dice.randint(0, weather.faults_end_ms)
            scheduler.at(START_MS + down_ms, lambda: self._go_down(scheduler.now_ms + dice.randint(50, 2_500)))

    def _go_down(self, until_ms: int) -> None:
        self.trace("redis", f"is away for {until_ms - self.scheduler.now_ms} ms")
        self.down_until_ms = until_ms

    def _crash_later(self, at_ms: int) -> None:
        kept = self.redis.snapshot()
        from_ms = self.scheduler.now_ms
        self.scheduler.at(at_ms, lambda: self._crash(kept, from_ms))

    def _crash(self, kept: Any, from_ms: int) -> None:
        self.trace("redis", f"restarts and has lost {self.scheduler.now_ms - from_ms} ms")
        self.redis.restore(kept)
        self.lost_from_ms, self.lost_to_ms = from_ms, self.scheduler.now_ms
        self.down_until_ms = self.scheduler.now_ms + self.scheduler.dice.randint(100, 800)
        self.checks.restored()
        for name, account in self.accounts.items():  # the workers' readers of the inbox publish anew when Redis is back
            lasting = "".join(f"{kind}," for kind in sorted(account.venue.resend_safe))
            self.command("HSET", keys.ACCOUNT_NAMING, name, f"{int(account.venue.symbol_required)} {lasting}")
        for batch_id in self.submitted_ms.copy():
            if not self.command("EXISTS", keys.batch(batch_id)):
                self.trace("producer", f"hands {batch_id} in again: it is forgotten")
                self.scheduler.spawn(self.producer, self._submit, batch_id)

    def _draw_accounts(self) -> None:
        dice, weather = self.scheduler.dice, self.weather
        cost = dice.choice([1, 1, 2])
        limits = tuple(
            dice.sample(
                [
                    Limit("second", Scope.ACCOUNT, dice.choice([1, 3, 6]), dice.choice([200, 1_000])),
                    Limit("key", Scope.KEY, dice.choice([3, 5]), 100),
                    Limit("weight", Scope.IP, cost * dice.choice([4, 10]), dice.choice([500, 3_000]), cost),
                ],
                dice.randint(1, 3),
            )
        )
        self.exchange.kind = kind = self._draw_kind(limits)
        venue = make_venue("plain", limits, weather.tells_usage, kind)
        for number in range(dice.choice([1, 1, 2, 3])):
            name = f"a{number}"
            key = dice.choice(["k0", f"k{number}"])
            egress = dice.choice(["default", f"ip{number}"])
            self.accounts[name] = Account(
                name,
                venue,
                Credentials(key, "s3cr3t-of-the-account"),
                venue.base_url,
                max_orders_per_call=dice.choice([1, 2, 4]),
                max_in_flight=dice.choice([1, 2, 4]),
                limits=limits,
                egress=egress,
            )
            for order in range(dice.randint(2, 9)):
                truth = self._draw_order(f"o{order}")
                truth.poison = weather.poison and number == 0 and order == 1
                self.exchange.orders[name, truth.value] = truth
        self.checks.prepare()

    def _draw_kind(self, limits: tuple[Limit, ...]) -> Kind:
        """Draw how the venue reads: its reads share some of the limits of cancels, at another cost."""
        dice = self.scheduler.dice
        shared = tuple(
            replace(one, cost=dice.choice([1, min(2, one.units)]))
            for one in dice.sample(limits, dice.randint(0, len(limits)))
        )
        own = (Limit("reads", Scope.ACCOUNT, dice.choice([2, 6]), dice.choice([200, 1_000])),)
        return Kind(
            dice.choice([Reads.NONE, *Reads]),
            shared + own if dice.random() < 0.5 or not shared else shared,
            planned=dice.random() < 0.3,
            shifts=dice.random() < 0.3,
            page=dice.choice([2, 3, 20]),
            settling_ms=dice.choice([200, 500, 1_000]),
            tells_client_ids=dice.random() < 0.7,
        )

    def _draw_order(self, value: str) -> Truth:
        dice, weather = self.scheduler.dice, self.weather
        kind = IdKind.CLIENT_ORDER_ID if dice.random() < 0.2 else IdKind.ORDER_ID
        truth = Truth(
            kind,
            value,
            ["filled" if dice.random() < 0.05 else "open"],
            symbol=dice.choice("AB"),
            side=dice.choice(["buy", "sell"]),
            spoils=dice.random() < weather.bad_reference,
            stubborn=dice.random() < weather.stubborn,
        )
        if dice.random() < weather.births:
            truth.states[0], truth.born_ms = "unborn", START_MS + dice.randint(0, weather.faults_end_ms)
        if self.exchange.kind.planned and dice.random() < 0.4:
            truth.namespace = PLAN
            if dice.random() < weather.fires:
                truth.fires_ms = START_MS + dice.randint(0, weather.faults_end_ms)
        return truth

    def _draw_batch(self, batch_id: str) -> Batch:
        dice = self.scheduler.dice
        kind = self.exchange.kind
        if kind.reads is not Reads.NONE and dice.random() < 0.3:
            return self._draw_sweep(batch_id)
        everything = list(self.exchange.orders.items())
        chosen = dice.sample(everything, dice.randint(1, len(everything)))
        orders = [Order(account, OrderRef(truth.kind, value)) for (account, value), truth in chosen]
        if dice.random() < 0.2:
            orders.append(Order(next(iter(self.accounts)), OrderRef(IdKind.ORDER_ID, "invalid")))
        deadline_s = dice.choice([1, 2, 4, 8, 20 if self.weather.poison else 3])
        prove = kind.reads is not Reads.NONE and dice.random() < 0.85
        return Batch(batch_id, tuple(orders), dice.choice(list(Priority)), float(deadline_s), prove)

    def _draw_sweep(self, batch_id: str) -> Batch:
        dice = self.scheduler.dice
        names = list(self.accounts)
        chosen = (EVERY_ACCOUNT,) if dice.random() < 0.4 else tuple(dice.sample(names, dice.randint(1, len(names))))
        filters: dict[str, Any] = dice.choice([{}, {}, {"symbol": "A"}, {"side": Side.BUY}])
        select = Selection(chosen, all=not filters, **filters)
        most = dice.choice([None, None, None, 1, 6, 100])
        priority, deadline_s = dice.choice(list(Priority)), float(dice.choice([2, 4, 8, 12]))
        return Batch(batch_id, (), priority, deadline_s, select=select, max_orders=most)

    def _submit(self, batch_id: str) -> None:
        """Hand a batch in until it is taken, as a producer does."""
        connection = Connection(self, self.producer)
        while True:
            try:
                self.checks.client(connection).accept(self.batches[batch_id], batch_id, batch_id)
            except (redis.RedisError, RipcordError):
                self.scheduler.sleep(200)
                continue
            if self.command("EXISTS", keys.batch(batch_id)):
                self.submitted_ms.setdefault(batch_id, self.scheduler.now_ms)
                return
            self.trace("producer", f"hands {batch_id} in again: it was forgotten before the reply came")


_SCRIPTS: dict[str, str] = {}
_NAMES: dict[str, str] = {}
_replacements: dict[str, list[tuple[str, str]]] = {}
_read_script = store_module._script


def _cached_script(name: str) -> str:
    """Give the whole text of a script: the same object each time, so that nothing has to compare two texts."""
    if name not in _SCRIPTS:
        _SCRIPTS[name] = "\n".join(_changed_script(part) for part in ("lib", *store_module.SCRIPTS[name], name))
    return _SCRIPTS[name]


def _changed_script(name: str) -> str:
    text = _read_script(name)
    for old, new in _replacements.get(name, []):
        assert old in text, f"{name}.lua has no {old!r}"
        text = text.replace(old, new)
    return text


def _names_of_scripts() -> dict[str, str]:
    """Give the whole text of each script with its name."""
    if not _NAMES:
        _NAMES.update({_cached_script(name): name for name in store_module.SCRIPTS})
        _NAMES[accept_script()] = "accept"
    return _NAMES


def replace_in_scripts(changes: dict[str, list[tuple[str, str]]]) -> None:
    """Plant bugs in scripts; {} takes them out again."""
    _replacements.clear()
    _replacements.update(changes)
    _SCRIPTS.clear()
    _NAMES.clear()
