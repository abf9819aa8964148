"""Carries out what was drawn: each function begins one kind of trouble, and gives what ends it."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.stage import VENUES, Stage
from tests.soak.crew import Crew
from tests.soak.draws import Mishap
from worker.embedded import EmbeddedRedisError

End = Callable[[], None]
Begun = tuple[str, End]  # to whom it happens, and what ends it
ALL: Final = "all venues"
FILLS: Final = 0.03  # of the orders that are being canceled, all the time


def begin(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    """Begin *mishap*."""
    return KINDS[mishap.kind](stage, crew, mishap)


def _kill_worker(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    post = crew.post(mishap.victim, may_end=True)
    crew.kill(post)
    return post.name, _nothing


def _terminate_worker(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    post = crew.post(mishap.victim, may_end=True)
    crew.terminate(post)
    return post.name, _nothing


def _stop_worker(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    post = crew.post(mishap.victim, may_end=False)
    process = post.process
    process.send(signal.SIGSTOP)
    return post.name, lambda: process.send(signal.SIGCONT)


def _kill_redis(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    stage.redis.kill()
    return f"Redis, away for {mishap.lasts_s:g} s", stage.redis.restart


def _freeze_redis(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    try:
        pid = stage.redis.pid
    except EmbeddedRedisError:
        return "Redis, which is away already", _nothing
    os.kill(pid, signal.SIGSTOP)
    return "Redis", lambda: _continue(pid)


def _continue(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was killed meanwhile
        os.kill(pid, signal.SIGCONT)


def _cut_connections(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    """Cut every second connection, or all."""
    never = Retry(NoBackoff(), 0)
    cut = 0
    with Redis.from_url(stage.redis.url, socket_timeout=1, retry=never) as client, suppress(RedisError):
        mine = client.client_id()
        for each in client.client_list():
            if int(each["id"]) != mine and (int(each["id"]) + mishap.victim) % (1 + mishap.victim % 2) == 0:
                cut += client.client_kill_filter(_id=each["id"])
    return f"{cut} connections to Redis", _nothing


def _set_fault(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    settings = dict(mishap.settings)
    stage.control.fault(**settings)
    told = [f"{name} {settings[name]:g}" for name in ("probability", "calls", "delay_ms", "status") if name in settings]
    where = settings.get("venue", ALL)
    return f"{settings['fault']} at {where}, {', '.join(told)}", lambda: _clear(stage, settings)


def _clear(stage: Stage, settings: Mapping[str, Any]) -> None:
    """Take back one fault: the control API clears a venue's as a whole, so the others are set anew."""
    others = [row for row in stage.control.faults() if row["seed"] != settings["seed"]]
    stage.control.clear_faults()
    for row in others:
        left = row["calls"] and row["calls"] - row["hits"]
        if left != 0:
            kept = {name: value for name, value in row.items() if value is not None and name not in {"hits", "calls"}}
            stage.control.fault(**kept, **({"calls": left} if left else {}))


def _fills(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    return _behave(stage, mishap, "fill_probability", VENUES)


def _losses(stage: Stage, crew: Crew, mishap: Mishap) -> Begun:
    """Let venues forget cancels that they took; Binance answers when the engine has done it, and so cannot."""
    return _behave(stage, mishap, "lost_probability", [venue for venue in VENUES if venue != "binance"])


def _behave(stage: Stage, mishap: Mishap, name: str, able: Any) -> Begun:
    venue, probability = mishap.settings.get("venue"), mishap.settings["probability"]
    venues = [each for each in able if venue in (None, each)]

    def tell(value: float) -> None:
        for each in venues:
            stage.control.behavior(venue=each, **{name: value})

    tell(probability)
    usual = FILLS if name == "fill_probability" else 0.0
    return f"{name} {probability:.2f} at {', '.join(venues) or 'no venue that can'}", lambda: tell(usual)


def _nothing() -> None:
    """End what ends by itself."""


KINDS: Final[Mapping[str, Callable[[Stage, Crew, Mishap], Begun]]] = {
    "worker.kill": _kill_worker,
    "worker.stop": _stop_worker,
    "worker.term": _terminate_worker,
    "redis.kill": _kill_redis,
    "redis.freeze": _freeze_redis,
    "redis.cut": _cut_connections,
    "venue.fault": _set_fault,
    "venue.fills": _fills,
    "venue.losses": _losses,
}
