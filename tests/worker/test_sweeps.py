"""[[sweeps]] and [[heartbeats]]: what a table may say, and what is refused."""

import pytest

from tasks.batch import Priority, Selection
from tasks.document import load_batch
from tests.worker.test_settings import ACCOUNT, Write, environment, write
from worker.settings import ConfigurationError, load

__all__ = ["environment", "write"]  # the fixtures

SWEEP = ACCOUNT + '[[sweeps]]\nname = "tidy"\naccounts = ["main"]\n'
HEARTBEAT = ACCOUNT + '[[heartbeats]]\nname = "engine"\naccounts = ["*"]\n'


def test_a_sweep_says_what_and_when(write: Write) -> None:
    more = 'symbol = "KRW-BTC"\nmax_orders = 5\npriority = "risk"\ndeadline_s = 9\nreason = "nightly"\nevery_s = 60\n'

    (schedule,) = load(write(SWEEP + more)).schedules

    batch = load_batch(dict(schedule.document))
    assert (schedule.name, schedule.every_s, schedule.cron) == ("tidy", 60, None)
    assert batch.select == Selection(("main",), symbol="KRW-BTC")
    assert (batch.max_orders, batch.priority, batch.deadline_s, batch.reason) == (5, Priority.RISK, 9, "nightly")
    assert batch.requested_by == "schedule tidy"


def test_a_sweep_is_a_clean_up_and_a_heartbeat_a_kill_unless_they_say_otherwise(write: Write) -> None:
    settings = load(
        write(SWEEP + 'all = true\ncron = "0 3 * * *"\n' + HEARTBEAT[len(ACCOUNT) :] + "all = true\nsilence_s = 5")
    )

    (schedule,), (heartbeat,) = settings.schedules, settings.heartbeats
    assert (schedule.cron, schedule.document["priority"]) == ("0 3 * * *", "cleanup")
    assert (heartbeat.name, heartbeat.silence_s, heartbeat.document["priority"]) == ("engine", 5, "kill")
    assert load_batch(dict(heartbeat.document)).select == Selection(("*",), all=True)


REFUSED: dict[str, tuple[str, str]] = {
    "no when": (SWEEP + "all = true", "FILE: sweeps[0] must say when: either every_s = SECONDS, or cron"),
    "twice when": (SWEEP + 'all = true\nevery_s = 5\ncron = "* * * * *"', "FILE: sweeps[0] must say when"),
    "no filter": (SWEEP + "every_s = 5", "FILE: sweeps[0] all: must be true for every open order; or give a filter"),
    "misspelt": (
        SWEEP + "all = true\nevery_s = 5\nsimbol = 'X'",
        "FILE: sweeps[0].simbol is not a known key; allowed:",
    ),
    "stranger": (SWEEP.replace('["main"]', '["x"]') + "all = true\nevery_s = 5", "account 'x' is not configured"),
    "every 0": (SWEEP + "all = true\nevery_s = 0", "FILE: sweeps[0].every_s must be a whole number of seconds from 1"),
    "every 1.5": (SWEEP + "all = true\nevery_s = 1.5", "sweeps[0].every_s must be a whole number"),
    "cron of four": (
        SWEEP + 'all = true\ncron = "* * * *"',
        'FILE: sweeps[0].cron must be five fields "m h dom mon dow"',
    ),
    "cron of minute 60": (SWEEP + 'all = true\ncron = "60 * * * *"', "sweeps[0].cron must be five fields"),
    "cron of words": (SWEEP + 'all = true\ncron = "a b c d e"', "sweeps[0].cron must be five fields"),
    "name": (SWEEP.replace("tidy", "a b") + "all = true\nevery_s = 5", "FILE: sweeps[0].name must be 1 to 64 of"),
    "max_orders": (SWEEP + "all = true\nevery_s = 5\nmax_orders = 0", "FILE: sweeps[0] max_orders: must be from 1"),
    "same name": (
        SWEEP + "all = true\nevery_s = 5\n" + SWEEP[len(ACCOUNT) :] + "all = true\nevery_s = 5",
        "FILE: sweeps[1].name 'tidy' is another one's already",
    ),
    "no table": ("sweeps = 5", "FILE: sweeps: Not a valid list."),
    "no silence": (HEARTBEAT + "all = true", "FILE: heartbeats[0].silence_s must be a number of seconds from 1"),
    "silence 0": (HEARTBEAT + "all = true\nsilence_s = 0", "FILE: heartbeats[0].silence_s must be a number"),
    "silence true": (HEARTBEAT + "all = true\nsilence_s = true", "heartbeats[0].silence_s must be a number"),
    "silence nan": (HEARTBEAT + "all = true\nsilence_s = nan", "heartbeats[0].silence_s must be a number"),
    "when": (HEARTBEAT + "all = true\nsilence_s = 5\nevery_s = 5", "heartbeats[0].every_s is not a known key"),
}


@pytest.mark.parametrize(("text", "error"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_run_is_refused_at_the_start(write: Write, text: str, error: str) -> None:
    path = write(text)

    with pytest.raises(ConfigurationError) as caught:
        load(path)

    assert error in str(caught.value).replace(str(path), "FILE")


def test_every_trouble_of_every_table_is_told(write: Write) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(SWEEP + "x = 1\n" + SWEEP[len(ACCOUNT) :] + "y = 1"))

    assert len(str(caught.value).splitlines()) == 6
