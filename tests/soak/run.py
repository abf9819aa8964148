"""One soak from start to end: set the stage, let things happen, make quiet, wait, and judge."""

import heapq
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

from celery.exceptions import TimeoutError as NoResult
from redis import RedisError

from tasks import keys
from tasks.errors import UnknownBatch, Unreachable
from tests.end_to_end.batches import Rows, document, jsonl, named
from tests.end_to_end.stage import VENUES, Process, Stage, add_account, secrets_of, staged
from tests.end_to_end.truth import Row, Truth
from tests.end_to_end.waiting import until
from tests.soak import findings, leftovers, mishaps, summary, vitals
from tests.soak.clockwork import (
    DEADLINE_S,
    HEARTS,
    SLACK_MS,
    Heart,
    audit_heart,
    audit_schedule,
    fired_ms,
    selection_of,
    tables,
)
from tests.soak.crew import Crew
from tests.soak.draws import BULK_DEADLINE_S, Draws, Mishap, desk, draw, draw_bulk
from tests.soak.findings import Asked, Record, Told
from tests.soak.producers import Handed, Producers

TICK_S: Final = 0.05
LONGEST_END_S: Final = 150.0  # a Celery message of a dead worker comes back after a minute, and has a deadline then
QUIET_S: Final = 40.0  # the longest pause that the venues ask for, and some hints that are under way
LAST_MESSAGE_S: Final = 75.0  # what a killed worker had taken from Celery's queue comes back a minute later
RESULT_S: Final = 5.0
LOOK_S: Final = 1.0
KILL_BEAT_S: Final = 25.0
SETTLE_MS: Final = (50, 300, 1_500)
AWAY: Final = {"delay_ms": 20, "jitter_ms": 60}  # as venues are: who answers at once is never met with a call in flight
BULK_CALLS_PER_S: Final = 1_000
BULK_LIMITS: Final = 1_000  # times what the venues allow: above what is configured
WARM_UP: Final = {"binance": 80, "crypto_com": 160, "kuna": 100, "upbit": 400, "weex": 10}
PROBE: Final = {"binance": 4, "crypto_com": 4, "kuna": 4, "upbit": 4, "weex": 4}
SHARES: Final = {"filled": 0.05, "canceled": 0.03, "partly": 0.1}


@dataclass(slots=True)
class Timeline:
    """Things to do, each at its time."""

    start_s: float = field(default_factory=time.monotonic)
    _numbers: Any = field(default_factory=count)
    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def now_s(self) -> float:
        """Give the seconds since the start."""
        return time.monotonic() - self.start_s

    def add(self, at_s: float, thing: Callable[[], None]) -> None:
        """Have *thing* done at that time."""
        heapq.heappush(self._heap, (at_s, next(self._numbers), thing))

    def step(self, *, at_once: bool = False) -> bool:
        """Do what is due, or *at_once* all that is left; False if nothing is left."""
        while self._heap and (at_once or self._heap[0][0] <= self.now_s()):
            heapq.heappop(self._heap)[2]()
        return bool(self._heap)


def soak(folder: Path, seed: int, seconds: float, guard_ms: int, orders: int | None = None) -> list[str]:
    """Run one soak with its files in *folder*, print what it does, and give what is wrong.

    *guard_ms* is the workers' ``limiter.guard_ms``.  With *orders* it lasts until so many have ended.
    """
    draws = draw_bulk(seed, orders, BULK_DEADLINE_S) if orders else draw(seed, seconds, [*HEARTS])
    summary.say(f"soak: seed {seed}, {seconds:g} s, {len(draws.mishaps)} faults, {len(draws.drafts)} batches")
    # `always`, not `everysec`: what was acknowledged, and every attempt and permission that was noted, is there
    # again after a kill, so that the audit need excuse nothing.  With everysec the last second (two, while a sync
    # is slow) may be gone: batches acknowledged then, and notes of calls that were made.  The audit would have to
    # excuse these losses, and breaches and calls that no report counts for a window after each restart; only
    # "no false gone" would hold as it stands.
    with staged(folder, append_only=True, seed=seed, guard_ms=guard_ms) as stage:
        _configure(stage, bulk=orders is not None)
        crew = Crew(stage)
        crew.fill(1)  # alone, so that whoever is measured has had all of its lines and places in use
        warm = _quiet_batch(stage, f"soak-{seed}-warm-up", WARM_UP, delay_ms=1_000)
        crew.fill()
        warm_told = _told(stage, [warm])  # before its keys are removed
        until(lambda: not _paused(stage), QUIET_S)
        post = crew.posts[0]
        before = _clean_contents(stage)
        crew.look()
        _behave(stage, seed, away=orders is None)
        producers = Producers(stage, _seeded(stage, draws, seed))
        own = Clockwork(stage, draws.beating)
        happened, lasted_s = _happen(stage, crew, producers, draws, own)
        quiet_ms = time.time() * 1000
        _settle(stage, crew, producers, own)
        summary.say("soak: every batch has ended, or has had its time; one more, in quiet")
        probe = _quiet_batch(stage, f"soak-{seed}-probe", PROBE)
        asked = [warm, *(_asked(handed) for handed in producers.handed), *own.asked(), probe]
        results = [(each.document["batch_id"], task) for each in producers.handed for task in each.tasks]
        answers = [(batch_id, _result(producers, task)) for batch_id, task in results]
        producers.app.close()
        told = warm_told | _told(stage, asked)
        known = [each.batch_id for each in asked]
        until(lambda: not leftovers.remaining(leftovers.read(stage.raw), known), LAST_MESSAGE_S)
        others = leftovers.remaining(leftovers.read(stage.raw), known)
        events = stage.events()
        after = _clean_contents(stage)
        crew.look()
        others += leftovers.grown(before, after) + vitals.compare(post.name, *crew.looks[-2:])
        others += [f"the worker {post.name} did not live through"] if post.started > 1 else []
        crew.end()
        others += crew.faults + crew.written_faults() + _probe_faults(told.get(probe.batch_id))
        others += own.findings({batch_id: each.report for batch_id, each in told.items()}, happened)
        truth = Truth.of(stage.control, _accounts())
        record = Record(asked, told, answers, truth, quiet_ms, crew.seized(), events, others)
        found = findings.findings(record)
        rows = summary.count(record, crew, [row["kind"] for row in happened]) + vitals.told(post.name, crew.looks)
        rows.append(("orders a second", f"{sum(len(each.outcomes) for each in told.values()) / lasted_s:.0f}"))
        rows.append(("Redis", leftovers.told(before, after)))
        rows += summary.verdicts(record, found)
        if found:
            _keep(folder, stage, record, happened)
            _tell_breaches(stage, happened)
    summary.print_table([("seed", f"{seed}, guard_ms {guard_ms}"), *rows])
    summary.print_findings(found)
    return found


def _configure(stage: Stage, *, bulk: bool) -> None:
    """Open the accounts that sweeps go over, and write down what the workers need to know."""
    for venue in VENUES:
        stage.control.add_account(venue, desk(venue))
        add_account(stage.config, desk(venue), venue, stage.simulator_url, secrets_of(venue, desk(venue)))
    text = "" if bulk else tables()
    if bulk:
        # Raised, not switched off: Upbit tells in every answer how many calls are left, and the workers heed it.
        for venue, rules in stage.control.limits()["rules"].items():
            for rule in rules:
                stage.control.limits(venue=venue, rule=rule["name"], limit=rule["limit"] * BULK_LIMITS)
        text += "".join(f"\n[accounts.{venue}-sim.limits]\ncalls_per_s = {BULK_CALLS_PER_S}\n" for venue in VENUES)
    with stage.config.open("a", encoding="utf-8") as config:
        config.write(text)


def _behave(stage: Stage, seed: int, *, away: bool) -> None:
    """Let cancels take their time, and some orders fill meanwhile; *away* as if there were a network between."""
    dice = Random(f"{seed} behavior")
    for venue in VENUES:
        settle = {} if venue == "binance" else {"settle_ms": dice.choice(SETTLE_MS)}  # its engine answers
        stage.control.behavior(venue=venue, fill_probability=mishaps.FILLS, **settle)
    if away:
        stage.control.fault("latency", seed=dice.randrange(1_000_000), **AWAY)


def _happen(
    stage: Stage, crew: Crew, producers: Producers, draws: Draws, own: "Clockwork"
) -> tuple[list[dict[str, Any]], float]:
    """Let everything happen at its time, take back every fault that has not ended.

    Gives what happened when, and how many seconds it took.  If the orders are all that is asked for, it ends with them.
    """
    line, troubles, happened = Timeline(), Timeline(), list[dict[str, Any]]()
    _plan(line, stage, crew, producers, draws)
    for mishap in draws.mishaps:
        line.add(mishap.at_s, lambda mishap=mishap: happened.append(_begin(stage, crew, mishap, troubles)))  # type: ignore[misc]
    if draws.beating:
        own.start(line)
    troubles.start_s = line.start_s
    bulk, looked_s = not draws.beating, 0.0
    while line.step():
        troubles.step()
        crew.tend()
        until(lambda: False, TICK_S)
        if bulk and line.now_s() - looked_s > LOOK_S:
            looked_s = line.now_s()
            if producers.handed and all(_ended(stage, each.document["batch_id"]) for each in producers.handed):
                break
    lasted_s = line.now_s()
    troubles.step(at_once=True)
    stage.control.clear_faults()
    stage.control.behavior(fill_probability=0.0)
    return happened, lasted_s


def _plan(line: Timeline, stage: Stage, crew: Crew, producers: Producers, draws: Draws) -> None:
    for draft in draws.drafts:
        line.add(draft.at_s, partial(producers.hand_in, draft))
    for sweep in draws.sweeps:
        line.add(sweep.at_s, partial(producers.sweep, sweep))
    for burst in draws.bursts:
        line.add(burst.at_s, partial(stage.control.seed, burst.account, **burst.plan))
    for replay in draws.replays:
        line.add(replay.at_s, partial(producers.replay, replay))
    for at_s in draws.looks:
        line.add(at_s, crew.look)


def _begin(stage: Stage, crew: Crew, mishap: Mishap, troubles: Timeline) -> dict[str, Any]:
    at_ms = int(time.time() * 1000)
    whom, end = mishaps.begin(stage, crew, mishap)
    lasts = f" for {mishap.lasts_s:.1f} s" if mishap.lasts_s else ""
    summary.say(f"{troubles.now_s():7.1f} s  {mishap.kind:<12} {whom}{lasts}")
    troubles.add(troubles.now_s() + mishap.lasts_s, end)
    return {"at_ms": at_ms, "kind": mishap.kind, "whom": whom, "lasts_s": mishap.lasts_s}


def _settle(stage: Stage, crew: Crew, producers: Producers, own: "Clockwork") -> None:
    """Wait in quiet until every batch has ended, every worker works and no account pauses, or time is up."""
    summary.say("soak: quiet; waiting for every batch to end")
    producers.close()
    own.stop(crew)
    waiting = {handed.document["batch_id"] for handed in producers.handed} | {each.batch_id for each in own.asked()}

    def ended() -> bool:
        crew.tend()
        for batch_id in sorted(waiting):
            if _ended(stage, batch_id):
                waiting.discard(batch_id)
        return not waiting and crew.working()

    until(ended, LONGEST_END_S)
    until(lambda: crew.tend() or not _paused(stage), QUIET_S)


def _ended(stage: Stage, batch_id: str) -> bool:
    return (_report(stage, batch_id) or {}).get("state") in {"done", "refused"}


@dataclass(slots=True)
class Clockwork:
    """What runs by itself: two beats, of which the second dies once, and the producers' hearts."""

    stage: Stage
    beating: Mapping[str, Sequence[tuple[float, float]]]
    hearts: list[Heart] = field(default_factory=list)
    from_ms: float = 0
    until_ms: float = 0
    silent_ms: float = 0
    _beats: list[Process] = field(default_factory=list)

    def start(self, line: Timeline) -> None:
        """Start everything."""
        self._beat()
        assert until(lambda: self._beats[0].events("beat.started"), LONGEST_END_S), self._beats[0].text()
        self._beat()
        self.from_ms = time.time() * 1000
        line.start_s = time.monotonic()
        line.add(KILL_BEAT_S, lambda: self._beats[1].send(signal.SIGKILL))
        line.add(KILL_BEAT_S + 3, self._beat)
        for name, beating in self.beating.items():
            self.hearts.append(Heart(name, self.stage.redis.url, beating, line.start_s))
            self.hearts[-1].start()

    def _beat(self) -> None:
        log = self.stage.folder / f"beat-{len(self._beats)}.log"
        process = Process(("celery", "-A", "worker.app", "beat"), log, self.stage.config)
        self._beats.append(self.stage.stack.enter_context(process))

    def stop(self, crew: Crew) -> None:
        """Let the beats end and the hearts fall silent, and wait until every switch has fired for the last time."""
        self.until_ms = time.time() * 1000
        for beat in self._beats:
            beat.end()
        for heart in self.hearts:
            heart.stop()
        longest_s = max((HEARTS[heart.name].silence_s for heart in self.hearts), default=0)
        fired = lambda heart: int(self.stage.client.heartbeat(heart.name).get("fired_ms", 0)) > 0  # noqa: E731
        until(lambda: crew.tend() or all(map(fired, self.hearts)), longest_s + SLACK_MS / 1000)
        self.silent_ms = time.time() * 1000

    def asked(self) -> list[Asked]:
        """Give every batch that nobody handed in."""
        known: Any = self.stage.raw.zrange(keys.BATCHES, 0, -1)
        chosen = ((batch_id, selection_of(batch_id)) for batch_id in known)
        return [Asked(name, (), DEADLINE_S, acknowledged=True, select=select) for name, select in chosen if select]

    def findings(self, reports: Mapping[str, Row], happened: Sequence[Row]) -> list[str]:
        """Say which of these batches should not be, or should be and is not."""
        if not self.hearts:
            return []
        troubles = [
            row["at_ms"] + lasted_ms
            for row in happened
            if not row["kind"].startswith("venue.")
            for lasted_ms in (0, row["lasts_s"] * 1000)
        ]
        found = audit_schedule(reports, self.from_ms, self.until_ms)
        for heart in self.hearts:
            times = fired_ms(reports, heart.name)
            found += audit_heart(heart.name, heart.beats, times, troubles, self.silent_ms)
        return found


def _report(stage: Stage, batch_id: str) -> dict[str, Any] | None:
    try:
        return stage.client.report(batch_id)
    except (UnknownBatch, Unreachable):
        return None


def _paused(stage: Stage) -> bool:
    try:
        return bool(stage.client.pauses(_accounts()))
    except Unreachable:
        return True


def _accounts() -> list[str]:
    return [account for venue in VENUES for account in (f"{venue}-sim", desk(venue))]


def _seeded(stage: Stage, draws: Draws, seed: int) -> dict[str, list[dict[str, str]]]:
    """Fill the books, mix the orders' states, and give the names in the order in which drafts count them."""
    dice, books = Random(f"{seed} books"), {}
    for venue, needed in draws.needed().items():
        plan = {name: int(needed * share) for name, share in SHARES.items()}
        lists = {"lists": needed // 10, "filled_lists": needed // 100} if venue == "binance" else {}
        names = stage.control.seed(f"{venue}-sim", max(1, needed), **plan, **lists)
        books[venue] = dice.sample(names, len(names))
    return books


def _quiet_batch(stage: Stage, batch_id: str, counts: dict[str, int], delay_ms: int = 0) -> Asked:
    """Have one batch done in quiet; with slow answers, so that every place and line is in use once."""
    rows: Rows = []
    for venue, number in counts.items():
        rows += named(stage.control.seed(f"{venue}-sim", number, client_id_prefix=f"{batch_id}-"), f"{venue}-sim")
    if delay_ms:
        stage.control.fault("latency", delay_ms=delay_ms)
    given = document(rows, batch_id=batch_id, deadline_s=60)
    stage.client.submit(given)
    until(lambda: (_report(stage, batch_id) or {}).get("state") == "done", 80)
    stage.control.clear_faults()
    return Asked(batch_id, rows, 60, acknowledged=True, proves=False)


def _probe_faults(told: Told | None) -> list[str]:
    """Say what a batch in quiet has not come to: a crew that came through everything works as on its first day."""
    if told is None:
        return []  # lost, as is said of it elsewhere
    batch_id = told.report["batch_id"]
    wrong = [row for row in told.outcomes if row["status"] not in {"canceled", "accepted"}]
    return [f"batch {batch_id}: in quiet, {row['account']} {row['order_id']} ended {row['status']}" for row in wrong]


def _clean_contents(stage: Stage) -> leftovers.Contents:
    leftovers.remove_what_expires(stage.raw)
    until(lambda: False, 1.0)  # hints and heartbeats under way
    return leftovers.read(stage.raw)


def _asked(handed: Handed) -> Asked:
    given = handed.document
    return Asked(
        given["batch_id"],
        given.get("orders", ()),
        given["deadline_s"],
        handed.acknowledged,
        handed.refusals,
        given.get("select"),
        given.get("max_orders"),
        given.get("replay_of"),
    )


def _told(stage: Stage, asked: Sequence[Asked]) -> dict[str, Told]:
    found = {}
    for each in asked:
        report = _report(stage, each.batch_id)
        if report is not None:
            outcomes, shown = stage.client.outcomes(each.batch_id), stage.client.sweeps(each.batch_id)
            found[each.batch_id] = Told(report, outcomes, shown)
    return found


def _result(producers: Producers, task: str) -> Row | None:
    try:
        return dict(producers.app.AsyncResult(task).get(timeout=RESULT_S))
    except (NoResult, RedisError, ValueError):
        return None


def _tell_breaches(stage: Stage, happened: Rows) -> None:
    """Say of each call that broke a limit what came shortly before it."""
    for call in stage.control.log():
        if call["breach"] is not None:
            before = [each for each in happened if each["at_ms"] <= call["at_ms"]]
            last = f"{(call['at_ms'] - before[-1]['at_ms']) / 1000:.1f} s after {before[-1]['kind']}" if before else ""
            summary.say(f"soak: breach of {call['breach']} at {call['venue']}, {call['at_ms']} ms {last}")


def _keep(folder: Path, stage: Stage, record: Record, happened: Rows) -> None:
    """Write down what the findings rest on, beside the logs."""
    batches = [
        {"asked": list(each.orders), "acknowledged": each.acknowledged, "deadline_s": each.deadline_s}
        | ({"report": told.report, "outcomes": list(told.outcomes)} if told is not None else {"batch": each.batch_id})
        for each in record.asked
        for told in (record.told.get(each.batch_id),)
    ]
    kept = {"faults": happened, "calls": stage.control.log(), "batches": batches, "events": stage.events()}
    for name, rows in kept.items():
        (folder / f"{name}.jsonl").write_text(jsonl(rows), encoding="utf-8")
