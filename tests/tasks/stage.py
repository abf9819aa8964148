"""A stage for the drain: a made-up store on the one side, a made-up venue on the other."""

from collections import deque
from dataclasses import dataclass, field

from connectors.transport import NotSent
from connectors.venue import Venue
from tasks.drain import Drain, VenueClock
from tasks.ports import Wait
from tests.fakes import PLAIN, START_MS, FakeClock, FakeLine, FakeLog, FakeStore, Reply, account_of, ids_of, refs, said

NAMES = ("a", "b", "c", "d")
CANCELED = said(statuses=dict.fromkeys(NAMES, "canceled"))
MUCH_LATER_MS = START_MS + 600_000


@dataclass
class Stage:
    """A drain between a made-up store and a made-up venue."""

    replies: tuple[Reply, ...]
    venue: Venue = PLAIN
    clock: FakeClock = field(default_factory=FakeClock)
    log: FakeLog = field(default_factory=FakeLog)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = account_of(self.venue)
        self.store = FakeStore(self.account)
        self.line = FakeLine(deque(self.replies))
        self.venue_clock = VenueClock()
        self.drain = Drain(
            self.account, self.store, self.line, self.clock, self.log, self.venue_clock, self.ended.append
        )

    def run(self, *chunks: tuple[str, ...], until_ms: int = MUCH_LATER_MS) -> Wait | None:
        for chunk in chunks:
            self.store.put(refs(*chunk))
        return self.drain.run(until_ms, lambda behind: None, lambda: False)

    def sent(self) -> list[list[str]]:
        return [ids_of(request) for request in self.line.requests if request.method == "POST"]


def not_sent() -> NotSent:
    return NotSent("no connection to the venue, so nothing was sent: ConnectTimeout")
