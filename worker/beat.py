"""Celery beat's scheduler: hands the sweeps of [[sweeps]] in, once for every slot of time however many beats run."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis
from celery import Celery
from celery.beat import Scheduler

from tasks.client import Client
from tasks.clock import Clock, SystemClock
from tasks.errors import DocumentRefused, Unreachable
from tasks.ports import Log
from worker.logs import get_log
from worker.settings import config_path, load
from worker.sweeps import Schedule, cron_of

MINUTE_MS: Final = 60_000
LOOK_BACK_MINUTES: Final = 1_440  # a beat that was asleep for longer waits for the next time
TRY_AGAIN_S: Final = 1.0
LONGEST_NAP_S: Final = 60.0


def latest_slot_ms(schedule: Schedule, now_ms: int) -> int:
    """Give the time, at or before *now_ms*, for which *schedule* is to be run; 0 if there is none within a day."""
    if schedule.every_s is not None:
        return now_ms - now_ms % (schedule.every_s * 1000)
    cron = cron_of(schedule.cron or "")
    minute = datetime.fromtimestamp(now_ms // MINUTE_MS * 60, UTC)
    for _ in range(LOOK_BACK_MINUTES):
        fits = (
            minute.minute in cron.minute
            and minute.hour in cron.hour
            and minute.isoweekday() % 7 in cron.day_of_week
            and minute.day in cron.day_of_month
            and minute.month in cron.month_of_year
        )
        if fits:
            return int(minute.timestamp()) * 1000
        minute -= timedelta(minutes=1)
    return 0


def nap_s(schedule: Schedule, now_ms: int) -> float:
    """Say after how many seconds it is worth looking at *schedule* again."""
    slot_ms = MINUTE_MS if schedule.every_s is None else schedule.every_s * 1000
    return (slot_ms - now_ms % slot_ms) / 1000


class Sweeper:
    """Hands in what is due.  A slot that began before this process is not its own; a slot missed is not made up for."""

    def __init__(
        self, schedules: Collection[Schedule], client: Client, accounts: Collection[str], clock: Clock, log: Log
    ) -> None:
        self._schedules = schedules
        self._client = client
        self._accounts = frozenset(accounts)
        self._clock = clock
        self._log = log
        now_ms = clock.now_ms()
        self._done = {schedule.name: latest_slot_ms(schedule, now_ms) for schedule in schedules}

    def tick(self) -> float:
        """Hand in every sweep whose slot has come; gives the seconds until it is worth coming again."""
        now_ms = self._clock.now_ms()
        nap = LONGEST_NAP_S
        for schedule in self._schedules:
            slot_ms = latest_slot_ms(schedule, now_ms)
            handed_in = slot_ms <= self._done[schedule.name] or self._hand_in(schedule, slot_ms)
            if handed_in:
                self._done[schedule.name] = max(slot_ms, self._done[schedule.name])
            nap = min(nap, nap_s(schedule, now_ms) if handed_in else TRY_AGAIN_S)
        return nap

    def _hand_in(self, schedule: Schedule, slot_ms: int) -> bool:
        """Hand one sweep in; gives False if that is to be tried again."""
        batch_id = f"sweep-{schedule.name}-{slot_ms}"
        document: Mapping[str, Any] = {**schedule.document, "batch_id": batch_id}
        try:
            known = self._client.hand_over(document, self._accounts).known
        except Unreachable as error:
            self._log.warning("sweep.not_handed_in", sweep=schedule.name, batch=batch_id, error=str(error))
            return False
        except DocumentRefused as error:
            self._log.error("sweep.refused", sweep=schedule.name, batch=batch_id, errors=list(error.errors))
        else:
            self._log.info("sweep.known" if known else "sweep.handed_in", sweep=schedule.name, batch=batch_id)
        return True


class SweepScheduler(Scheduler):
    """What `celery -A worker.app beat` runs; without Celery messages: a batch is in Redis at once, or tried again."""

    def __init__(self, app: Celery, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        super().__init__(app, *args, lazy=True, **kwargs)
        if lazy:
            return
        settings = load(config_path(None), secrets=False)
        log = get_log()
        self._client = Client(settings.redis_url, keep_days=settings.keep_days)
        self._clock = SystemClock()
        self._follow()
        self._sweeper = Sweeper(settings.schedules, self._client, settings.accounts, self._clock, log)
        log.info("beat.started", sweeps=[schedule.name for schedule in settings.schedules])

    def tick(self, *_: Any, **__: Any) -> float:
        """Do one round; gives the seconds until the next."""
        self._follow()
        return self._sweeper.tick()

    def _follow(self) -> None:
        """Take Redis' time, so that all beats have the same, as long as Redis answers."""
        asked_at_s = self._clock.monotonic_s()
        with suppress(redis.RedisError):
            seconds, micros = self._client.redis.time()
            self._clock.follow(seconds * 1000 + micros / 1000, asked_at_s)

    def close(self) -> None:
        """Let go of Redis."""
        self._client.close()
        super().close()
