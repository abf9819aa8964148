"""A stage for the drain: a made-up store on the one side, a made-up venue on the other."""

from collections import deque
from dataclasses import dataclass, field

from connectors.transport import NotSent
from connectors.venue import Venue
from tasks.clock import VenueClock
from tasks.drain import Drain
from tasks.ports import Wait, Why
from tests.fakes import PLAIN, FakeClock, FakeLine, FakeLog, FakeStore, Reply, account_of, ids_of, refs, said, work_on

NAMES = ("a", "b", "c", "d")
CANCELED = said(statuses=dict.fromkeys(NAMES, "canceled"))


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

    def run(self, *chunks: tuple[str, ...]) -> Wait:
        """Add *chunks*, and work until only new work could change anything; time passes where it must."""
        for chunk in chunks:
            self.store.put(refs(*chunk))
        while True:
            grant = self.store.claim(self.account.name, 1, self.clock.now_ms())
            wait = grant.wait
            for claim in grant.claims:
                wait = work_on(self.drain, claim, go_on=True)
            if wait.why is not Why.MORE:
                if wait.until_ms is None:
                    return wait
                self.clock.ms = max(self.clock.ms, wait.until_ms)

    def work(self) -> Wait:
        """Claim one chunk, carry it out and claim nothing behind it."""
        (claim,) = self.store.claim(self.account.name, 1, self.clock.now_ms()).claims
        return work_on(self.drain, claim)

    def sent(self) -> list[list[str]]:
        return [ids_of(request) for request in self.line.requests if request.method == "POST"]


def not_sent() -> NotSent:
    return NotSent("no connection to the venue, so nothing was sent: ConnectTimeout")
