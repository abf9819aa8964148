"""The sweeps of the configuration: [[sweeps]] are run on a schedule, [[heartbeats]] when a producer falls silent."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from celery.schedules import ParseException, crontab

from tasks.document import load_batch
from tasks.errors import DocumentRefused
from tasks.selection import FILTERS

NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
NAME_RULE: Final = "must be 1 to 64 of A-Z a-z 0-9 . _ -"
SELECTION: Final = ("accounts", "all", *FILTERS)
DOCUMENT: Final = ("max_orders", "priority", "deadline_s", "requested_by", "reason")
SHORTEST_S: Final = 1
LONGEST_S: Final = 86_400 * 7
CRON_FIELDS: Final = 5


class SweepTroubles(ValueError):
    """What is wrong with a table: ``troubles`` maps the key (or '') to a sentence."""

    def __init__(self, troubles: list[tuple[str, str]]) -> None:
        self.troubles = troubles
        super().__init__("; ".join(f"{key} {trouble}" for key, trouble in troubles))


@dataclass(frozen=True, slots=True)
class Schedule:
    """A sweep that is run every ``every_s`` seconds since the epoch, or at the minutes of ``cron`` (UTC)."""

    name: str
    document: Mapping[str, Any]
    every_s: int | None = None
    cron: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sweep that is run when nothing has beaten for ``silence_s`` seconds, after it has beaten once."""

    name: str
    document: Mapping[str, Any]
    silence_s: float


def read_schedule(table: Mapping[str, Any], accounts: Collection[str]) -> Schedule:
    """Read one table of [[sweeps]].  Raises SweepTroubles."""
    document, troubles = _read(table, ("every_s", "cron"), "cleanup", "schedule", accounts)
    every_s, cron = table.get("every_s"), table.get("cron")
    if (every_s is None) == (cron is None):
        troubles.append(("", 'must say when: either every_s = SECONDS, or cron = "m h dom mon dow" (UTC)'))
    if every_s is not None and not (type(every_s) is int and SHORTEST_S <= every_s <= LONGEST_S):
        troubles.append(("every_s", f"must be a whole number of seconds from {SHORTEST_S} to {LONGEST_S:,}"))
    if cron is not None and not _is_cron(cron):
        troubles.append(("cron", 'must be five fields "m h dom mon dow", such as "*/15 * * * mon-fri"'))
    if troubles:
        raise SweepTroubles(troubles)
    return Schedule(table["name"], document, every_s, cron)


def read_heartbeat(table: Mapping[str, Any], accounts: Collection[str]) -> Heartbeat:
    """Read one table of [[heartbeats]].  Raises SweepTroubles."""
    document, troubles = _read(table, ("silence_s",), "kill", "heartbeat", accounts)
    silence_s = table.get("silence_s")
    fits = isinstance(silence_s, int | float) and not isinstance(silence_s, bool)
    if not fits or not SHORTEST_S <= (silence_s or 0) <= LONGEST_S:
        troubles.append(("silence_s", f"must be a number of seconds from {SHORTEST_S} to {LONGEST_S:,}"))
    if troubles:
        raise SweepTroubles(troubles)
    return Heartbeat(table["name"], document, float(silence_s or 0))


def cron_of(text: str) -> crontab:
    """Make Celery's crontab of "m h dom mon dow".  Raises ValueError if it is none."""
    if len(text.split()) != CRON_FIELDS:
        raise ValueError(f"{text!r} has not {CRON_FIELDS} fields")
    try:
        return crontab.from_string(" ".join(text.split()))  # its own arguments have another order
    except (ParseException, KeyError) as error:
        raise ValueError(f"{text!r}: {error}") from None


def _is_cron(text: object) -> bool:
    try:
        return isinstance(text, str) and cron_of(text) is not None
    except ValueError:
        return False


def _read(
    table: Mapping[str, Any], when: tuple[str, ...], priority: str, kind: str, accounts: Collection[str]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Read the document of a table, and say what is wrong with it and the name."""
    allowed = ("name", *when, *SELECTION, *DOCUMENT)
    troubles = [(key, f"is not a known key; allowed: {', '.join(allowed)}") for key in table if key not in allowed]
    name = table.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        troubles.append(("name", NAME_RULE))
    document = {"version": 1, "priority": priority, "requested_by": f"{kind} {name}"}
    document |= {key: table[key] for key in DOCUMENT if key in table}
    document["select"] = {key: table[key] for key in SELECTION if key in table}
    try:
        load_batch(document, accounts)
    except DocumentRefused as error:
        troubles += [("", sentence.removeprefix("select.")) for sentence in error.errors]
    return document, troubles
