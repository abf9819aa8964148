"""Rate limits as sliding windows in whole microseconds; the only place that counts what is allowed."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class Scope(StrEnum):
    """Whose calls are counted together."""

    ACCOUNT = "account"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class Rule:
    """At most ``limit`` units in any window of ``per_ms``.

    After a breach everything is refused for ``lock_ms``. Whoever goes on after ``patience`` refusals in a row is
    banned for ``ban_ms``; a patience of None never bans.
    """

    name: str
    scope: Scope
    limit: int
    per_ms: int
    lock_ms: int = 0
    patience: int | None = None
    ban_ms: int = 0


@dataclass(frozen=True, slots=True)
class Breach:
    """A call that is refused: by which rule, for how much longer, and whether it is a ban by now."""

    rule: Rule
    retry_ms: int
    banned: bool


@dataclass(slots=True)
class Window:
    """The units of one holder under one rule, and what its breaches have led to."""

    log: deque[tuple[int, int]] = field(default_factory=deque)
    used: int = 0
    refused_in_a_row: int = 0
    locked_until_us: int = 0
    banned_until_us: int = 0

    def slide(self, now_us: int, per_ms: int) -> int:
        """Forget what is a whole window old, and give the units that still count."""
        oldest_us = now_us - per_ms * 1000
        log = self.log
        while log and log[0][0] <= oldest_us:
            self.used -= log.popleft()[1]
        return self.used


Costs = tuple[tuple[str, int], ...]


class Limiter:
    """Every window of every venue."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str], Rule] = {}
        self._windows: dict[tuple[str, str, str], Window] = {}
        self.off: set[str] = set()

    def set_rule(self, venue: str, rule: Rule) -> None:
        """Make *rule* the venue's rule of that name."""
        self._rules[venue, rule.name] = rule

    def rule(self, venue: str, name: str) -> Rule | None:
        """Give the rule of that name, as it stands now."""
        return self._rules.get((venue, name))

    def rules(self) -> dict[str, list[Rule]]:
        """Give every rule, by venue."""
        by_venue: dict[str, list[Rule]] = {}
        for (venue, _), rule in self._rules.items():
            by_venue.setdefault(venue, []).append(rule)
        return by_venue

    def check(self, venue: str, costs: Costs, holder: str, now_us: int) -> Breach | None:
        """Say whether a call with these *costs* would breach a rule; charges nothing."""
        if venue in self.off:
            return None
        for name, units in costs:
            window = self._window(venue, name, holder)
            breach = _check(self._rules[venue, name], window, units, now_us)
            if breach is not None:
                return breach
        return None

    def charge(self, venue: str, costs: Costs, holder: str, now_us: int) -> None:
        """Count a call with these *costs*."""
        if venue in self.off:
            return
        for name, units in costs:
            window = self._window(venue, name, holder)
            window.log.append((now_us, units))
            window.used += units
            window.refused_in_a_row = 0

    def used(self, venue: str, name: str, holder: str, now_us: int) -> int:
        """Give the units that *holder* has used in the window that ends now."""
        return self._window(venue, name, holder).slide(now_us, self._rules[venue, name].per_ms)

    def forget(self, venue: str | None = None) -> None:
        """Empty the windows and lift the bans, of one venue or of all."""
        for key in [key for key in self._windows if venue is None or key[0] == venue]:
            del self._windows[key]

    def _window(self, venue: str, name: str, holder: str) -> Window:
        key = (venue, name, holder)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window()
        return window


def _check(rule: Rule, window: Window, units: int, now_us: int) -> Breach | None:
    if now_us < window.banned_until_us:
        return Breach(rule, _ms_until(window.banned_until_us, now_us), banned=True)
    used = window.slide(now_us, rule.per_ms)
    if now_us >= window.locked_until_us and used + units <= rule.limit:
        return None
    if now_us >= window.locked_until_us:
        window.locked_until_us = now_us + rule.lock_ms * 1000
    window.refused_in_a_row += 1
    if rule.patience is not None and window.refused_in_a_row > rule.patience:
        window.banned_until_us = now_us + rule.ban_ms * 1000
        window.refused_in_a_row = 0  # when the ban is over, patience starts anew
        return Breach(rule, rule.ban_ms, banned=True)
    free_us = max(window.locked_until_us, _free_at_us(rule, window, units))
    return Breach(rule, _ms_until(free_us, now_us), banned=False)


def _free_at_us(rule: Rule, window: Window, units: int) -> int:
    """Say when enough of the window will have passed for *units* more."""
    left = window.used
    if left + units <= rule.limit:
        return 0
    for at_us, cost in window.log:
        left -= cost
        if left + units <= rule.limit:
            return at_us + rule.per_ms * 1000
    return 0  # more than the limit itself allows: no wait will do


def _ms_until(then_us: int, now_us: int) -> int:
    return max(0, -(-(then_us - now_us) // 1000))
