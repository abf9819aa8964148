"""Sweeps that nobody hands in: on a schedule, and when a producer falls silent; and when each has to come."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks import keys

BEAT_EVERY_S: Final = 0.4
SLACK_MS: Final = 15_000  # a watch that was killed, its successor's start, and a machine that is busy
EVERY_S: Final = 15
STALE: Final = {"accounts": ["*"], "client_order_id_prefix": "bot9-"}
DEADLINE_S: Final = 60  # the default


@dataclass(frozen=True, slots=True)
class Switch:
    """A producer's: after which silence it fires, how long its beats live, and what is swept then."""

    silence_s: float
    expiry_s: int
    select: Mapping[str, Any]


HEARTS: Final[Mapping[str, Switch]] = {
    "engine-1": Switch(4.0, 3, {"accounts": ["upbit-desk", "binance-desk"], "all": True}),
    "engine-2": Switch(6.0, 60, {"accounts": ["*"], "client_order_id_prefix": "bot8-"}),
}


def tables() -> str:
    """Give the part of the configuration that has the schedule and the switches."""
    text = f'\n[[sweeps]]\nname = "stale"\nevery_s = {EVERY_S}\n{_keys(STALE)}'
    for name, switch in HEARTS.items():
        text += f'\n[[heartbeats]]\nname = "{name}"\nsilence_s = {switch.silence_s:g}\n{_keys(switch.select)}'
    return text


def _keys(select: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in select.items())


def selection_of(batch_id: str) -> Mapping[str, Any] | None:
    """Say what a batch selects that the schedule or a switch has handed in; None for any other."""
    if batch_id.startswith("sweep-stale-"):
        return STALE
    return next((switch.select for name, switch in HEARTS.items() if batch_id.startswith(f"beat-{name}-")), None)


def audit_schedule(batch_ids: Iterable[str], from_ms: float, until_ms: float) -> list[str]:
    """Say which slots between two times were not swept; a beat was there all the time."""
    slot_ms = EVERY_S * 1000
    swept = {int(batch_id.rpartition("-")[2]) for batch_id in batch_ids if batch_id.startswith("sweep-stale-")}
    slots = range(math.ceil(from_ms / slot_ms) * slot_ms, int(until_ms) - slot_ms, slot_ms)
    return [f"schedule: the slot {slot} was not swept" for slot in slots if slot not in swept]


@dataclass(frozen=True, slots=True)
class Beat:
    """One try to beat: from when to when, in ms since the epoch, and whether Redis has said yes."""

    from_ms: float
    until_ms: float
    done: bool


@dataclass(slots=True)
class Heart:
    """One producer's, beating in a thread at the times that were drawn (in s since ``start_s``)."""

    name: str
    url: str
    beating: Sequence[tuple[float, float]]
    start_s: float
    beats: list[Beat] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Fall silent for good."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        number = 0
        with Redis.from_url(self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as redis:
            while not self._stop.wait(BEAT_EVERY_S):
                now_s = time.monotonic() - self.start_s
                if not any(start <= now_s < end for start, end in self.beating):
                    continue
                number += 1
                from_ms, done = time.time() * 1000, True
                try:
                    redis.set(keys.beat(self.name), number, ex=HEARTS[self.name].expiry_s)
                except RedisError:
                    done = False
                self.beats.append(Beat(from_ms, time.time() * 1000, done))


def audit_heart(
    name: str, beats: Sequence[Beat], fires_ms: Sequence[float], troubles: Sequence[float], end_ms: float
) -> list[str]:
    """Say when a switch fired though its producer beat (or tried to), failed to fire, or fired twice.

    *fires_ms* are the times at which its sweeps were handed in, *troubles* those at which something went wrong: the
    silence may count from then on.  *end_ms* is when it was looked at last.
    """
    found, silence_ms = [], HEARTS[name].silence_s * 1000
    for at_ms in fires_ms:
        near = [beat for beat in beats if at_ms - silence_ms < beat.from_ms and beat.until_ms < at_ms]
        if near or not any(beat.done and beat.from_ms < at_ms for beat in beats):
            last = f"its last beat was {(at_ms - near[-1].from_ms) / 1000:.1f} s before" if near else "it never beat"
            found.append(f"heartbeat {name}: it fired at {at_ms:.0f} ms, and {last}")
    for last, following in _silences(beats, end_ms):
        fires = [at_ms for at_ms in fires_ms if last < at_ms <= following]
        since_ms = max([last, *(at_ms for at_ms in troubles if last < at_ms < following)])
        if len(fires) > 1:
            found.append(f"heartbeat {name}: it fired {len(fires)} times in the silence after {last:.0f} ms")
        if not fires and since_ms + silence_ms + SLACK_MS < following:
            found.append(f"heartbeat {name}: it did not fire in the silence after {last:.0f} ms")
    return found


def _silences(beats: Sequence[Beat], end_ms: float) -> list[tuple[float, float]]:
    """Give from when to when nothing beat, after something has."""
    found, last = [], None
    for beat in beats:
        if last is not None and beat.from_ms - last > SLACK_MS:
            found.append((last, beat.from_ms))
        last = beat.until_ms if beat.done else last
    return found if last is None else [*found, (last, end_ms)]


def fired_ms(reports: Mapping[str, Mapping[str, Any]], name: str) -> list[float]:
    """Give the times at which the sweeps of one heartbeat were handed in."""
    return [float(row["submitted_ms"]) for batch, row in reports.items() if batch.startswith(f"beat-{name}-")]
