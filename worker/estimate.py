"""How long calls take at the least, at the venues' limits; pure."""

import heapq
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``units`` in any ``per_ms`` milliseconds, of which a call takes ``cost``; ``key`` says who shares it."""

    key: Hashable
    units: int
    per_ms: int
    cost: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the windows it counts in, and how long after the account's call before it may leave at the earliest."""

    windows: tuple[Window, ...]
    after_ms: int = 0


@dataclass(slots=True)
class _Log:
    """The calls of one window that still count: time and cost, the oldest first."""

    calls: deque[tuple[int, int]] = field(default_factory=deque)
    spent: int = 0

    def allowed_ms(self, window: Window, at_ms: int) -> int:
        """Say from when on, not before *at_ms*, a call fits."""
        spent = self.spent
        for made_ms, units in self.calls:
            if spent + window.cost <= window.units:
                break
            spent -= units
            at_ms = max(at_ms, made_ms + window.per_ms)
        return at_ms

    def note(self, window: Window, at_ms: int) -> None:
        while self.calls and self.calls[0][0] + window.per_ms <= at_ms:
            self.spent -= self.calls.popleft()[1]
        self.calls.append((at_ms, window.cost))
        self.spent += window.cost


def last_call_ms(queues: Mapping[str, Sequence[Call]]) -> dict[str, int]:
    """Say for each account after how many milliseconds its last call can leave, if every call leaves when it may.

    Accounts work side by side; of two that wait for one window the first named goes first.
    """
    logs: dict[Hashable, _Log] = {}
    last = dict.fromkeys(queues, 0)
    places = dict.fromkeys(queues, 0)
    names = list(queues)
    heap = [(queues[name][0].after_ms, number) for number, name in enumerate(names) if queues[name]]
    heapq.heapify(heap)
    while heap:
        at_ms, number = heapq.heappop(heap)
        name = names[number]
        call = queues[name][places[name]]
        may_ms = max(
            (logs.setdefault(window.key, _Log()).allowed_ms(window, at_ms) for window in call.windows), default=at_ms
        )
        if may_ms > at_ms:
            heapq.heappush(heap, (may_ms, number))
            continue
        for window in call.windows:
            logs[window.key].note(window, at_ms)
        last[name] = at_ms
        places[name] += 1
        if places[name] < len(queues[name]):
            heapq.heappush(heap, (at_ms + queues[name][places[name]].after_ms, number))
    return last
