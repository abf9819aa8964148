"""Work on one account's lane: claim, sign, call, read, settle, chunk after chunk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from connectors.calls import Answer, Refusal, RefusalKind, Stamp, refuse
from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.transport import MaybeSent, NotSent
from tasks.batch import Account
from tasks.clock import Clock
from tasks.fold import NEVER_TRIED, Standing, strength
from tasks.ports import Claim, ClaimKind, Line, Log, Part, Settled, Settlement, Store, Wait, Why
from tasks.report import details
from tasks.retry import STEPS, Step, account_pause_ms, pause_ms

NAP_MS = 25
ANSWER_LENGTH = 1_000  # bytes of an unlisted answer in the log
LATE = "the deadline came before it could be sent"
LOST = "the worker that had sent it, or was about to, is gone"


class VenueClock:
    """An account's time as its venue sees it; shared by the account's loops."""

    def __init__(self) -> None:
        self.ahead_ms = 0  # how far the venue's clock is ahead of ours
        self._last_ms = 0
        self._lock = Lock()

    def stamp(self, clock: Clock) -> Stamp:
        """Make the stamp of one attempt.  No two have the same time: some venues take it for a nonce."""
        with self._lock:
            self._last_ms = max(self._last_ms + 1, clock.now_ms() + self.ahead_ms)
            return Stamp(self._last_ms, clock.token())


@dataclass(frozen=True, slots=True)
class Drain:
    """All that it takes to work on one account's lane.  Safe to run in several threads at once.

    ``ended`` is told the id of each batch that a settlement ends.
    """

    account: Account
    store: Store
    line: Line
    clock: Clock
    log: Log
    venue_clock: VenueClock
    ended: Callable[[str], None]
    unlisted: set[str] = field(default_factory=set)  # codes that were told already

    def run(self, until_ms: int, claimed: Callable[[int], None], stopped: Callable[[], bool]) -> Wait | None:
        """Work until *until_ms*, until nothing can be claimed before it, or until *stopped*.

        *claimed* is told how many chunks were ready behind each that was claimed.  Gives the reason for
        stopping early, or None if the time ran out with work perhaps left.
        """
        while not stopped():
            now_ms = self.clock.now_ms()
            if now_ms >= until_ms:
                return None
            claim = self.store.claim(self.account, now_ms)
            if isinstance(claim, Wait):
                if claim.why is Why.FULL or claim.until_ms is None or claim.until_ms >= until_ms:
                    return claim
                # In short naps: a kill may come, and need no waiting at all.
                self.clock.sleep(min(NAP_MS, claim.until_ms - now_ms) / 1000)
                continue
            claimed(claim.behind)
            self.work(claim)
        return None

    def work(self, claim: Claim) -> Settled:
        """Carry out what *claim* permits, and settle it."""
        send = claim.kind is ClaimKind.SEND
        settlement = self._send(claim) if send else leftover(claim, self.clock.now_ms())
        settled = self.store.settle(claim, settlement, self.clock.now_ms())
        if settled.ended:
            self.ended(claim.batch_id)
        return settled

    def _send(self, claim: Claim) -> Settlement:
        started_ms = self.clock.now_ms()
        answer, calls = self._call(claim)
        now_ms = self.clock.now_ms()
        log = self.log.info if answer.refusal is None else self.log.warning
        log(
            "call.answered" if calls else "call.not_sent",
            batch=claim.batch_id,
            account=self.account.name,
            chunk=claim.chunk_id,
            attempt=claim.attempt,
            orders=len(claim.orders),
            ms=now_ms - started_ms,
            refusal=answer.refusal and answer.refusal.kind.value,
            code=answer.refusal and answer.refusal.code,
            message=answer.refusal and answer.refusal.message,
        )
        return self._decide(claim, answer, calls, now_ms)

    def _call(self, claim: Claim) -> tuple[Answer, int]:
        """Make one attempt.  Gives what is known of each order now, and how many calls that took."""
        venue = self.account.venue
        try:
            request = venue.build_cancel(claim.orders, self.account.credentials, self.venue_clock.stamp(self.clock))
        except Exception as error:  # noqa: BLE001  # a fault of ours must cost one chunk, not the lane
            return self._not_built(claim, type(error).__name__), 0  # its text may hold a credential
        if self.clock.now_ms() >= claim.deadline_ms:
            return Answer(tuple(Outcome(o, Status.NOT_SENT, Evidence.NOT_SENT, None, LATE) for o in claim.orders)), 0
        try:
            response = self.line.send(request)
        except NotSent as error:
            refusal = Refusal(RefusalKind.UNAVAILABLE, message=str(error))
            outcomes = (Outcome(o, Status.NOT_SENT, Evidence.NOT_SENT, None, str(error)) for o in claim.orders)
            return Answer(tuple(outcomes), refusal), 0
        except MaybeSent as error:
            return refuse(claim.orders, Refusal(RefusalKind.UNCERTAIN, message=str(error))), 1
        except ValueError as error:
            return self._not_built(claim, str(error)), 0
        response = replace(response, body=self.account.credentials.hide_in(response.body))
        answer = venue.read_cancel(claim.orders, response)
        if answer.unlisted is not None and answer.unlisted not in self.unlisted:
            self.unlisted.add(answer.unlisted)
            words = response.body[:ANSWER_LENGTH].decode("utf-8", "replace")
            status, code = response.status, answer.unlisted
            self.log.warning("venue.unlisted_code", venue=venue.name, code=code, status=status, answer=words)
        return answer, 1

    def _not_built(self, claim: Claim, fault: str) -> Answer:
        self.log.warning("call.not_built", account=self.account.name, chunk=claim.chunk_id, error=fault)
        message = f"ripcord could not build the call: {fault}"
        outcomes = (Outcome(o, Status.NOT_SENT, Evidence.NOT_SENT, None, message) for o in claim.orders)
        return Answer(tuple(outcomes))

    def _decide(self, claim: Claim, answer: Answer, calls: int, now_ms: int) -> Settlement:
        """Choose what follows *answer*: the end, the same again later, or halves."""
        refusal = answer.refusal
        step = Step.END if refusal is None else STEPS[refusal.kind]
        if step is Step.HALVE and len(claim.places) == 1:
            step = Step.END
        if refusal is not None:
            self._pause(refusal, now_ms)
            if refusal.kind is RefusalKind.CLOCK:
                self.measure_clock()
        standings = _standings(claim, answer.outcomes, now_ms)
        siblings = tuple((o.order, _standing(o, claim.attempt, now_ms)) for o in answer.siblings)
        again: tuple[Part, ...] = ()
        if step is Step.AGAIN:
            wait_ms = pause_ms(claim.attempt, self.clock.fraction())
            again = (Part(claim.places, now_ms + wait_ms),)
        elif step is Step.HALVE:
            # Nothing is known of the orders yet: one of them, not all, is at fault.
            standings = ()
            middle = (len(claim.places) + 1) // 2
            again = (Part(claim.places[:middle], now_ms), Part(claim.places[middle:], now_ms))
        return Settlement(standings, calls, siblings, again)

    def _pause(self, refusal: Refusal, now_ms: int) -> None:
        wait_ms = account_pause_ms(refusal.kind, refusal.pause_ms)
        if wait_ms is None:
            return
        reason = " ".join(part for part in (refusal.kind, refusal.code, refusal.message) if part)
        try:
            paused = self.store.pause(self.account.name, now_ms + wait_ms, reason, now_ms)
        except Exception as error:  # noqa: BLE001  # what the call taught is yet to be settled, whatever the store has
            self.log.warning("account.not_paused", account=self.account.name, error=repr(error))
            return
        if paused:
            self.log.warning("account.paused", account=self.account.name, ms=wait_ms, reason=reason)

    def measure_clock(self) -> None:
        """Ask the venue for its time, where it tells it; a failure leaves the offset as it was."""
        venue = self.account.venue
        if venue.clock_request is None or venue.read_clock is None:
            return
        asked_ms = self.clock.now_ms()
        try:
            there_ms = venue.read_clock(self.line.send(venue.clock_request))
        except (NotSent, MaybeSent, ValueError) as error:
            self.log.warning("venue.clock_unknown", account=self.account.name, error=str(error))
            return
        if there_ms is not None:
            self.venue_clock.ahead_ms = there_ms - (asked_ms + self.clock.now_ms()) // 2
            self.log.info("venue.clock", account=self.account.name, ahead_ms=self.venue_clock.ahead_ms)


def leftover(claim: Claim, now_ms: int) -> Settlement:
    """Settle a chunk that is not to be sent (any more).

    What waited past its deadline was not sent by us now, whatever an earlier attempt learned stands.  What
    was in the hands of a worker that is gone may have been executed.
    """
    if claim.kind is ClaimKind.MOOT:
        return Settlement(())
    if claim.kind is ClaimKind.SEND:
        outcomes = [Outcome(o, Status.UNKNOWN, Evidence.NO_ANSWER, None, LOST) for o in claim.orders]
        return Settlement(_standings(claim, outcomes, now_ms), calls=1)
    outcomes = [Outcome(o, Status.NOT_SENT, Evidence.NOT_SENT, None, LATE) for o in claim.orders]
    # A little weaker than an earlier attempt that was not executed, so that the venue's own words are kept.
    standings = (replace(s, strength=NEVER_TRIED) for _, s in _standings(claim, outcomes, now_ms))
    return Settlement(tuple(zip(claim.places, standings, strict=True)))


def _standings(claim: Claim, outcomes: Sequence[Outcome], at_ms: int) -> tuple[tuple[int, Standing], ...]:
    paired = zip(claim.places, outcomes, strict=True)
    return tuple((place, _standing(outcome, claim.attempt, at_ms)) for place, outcome in paired)


def _standing(outcome: Outcome, attempt: int, at_ms: int) -> Standing:
    return Standing(strength(outcome), at_ms, outcome.status, details(outcome, attempt))


def invalid(order: OrderRef, reason: str, now_ms: int) -> Standing:
    """Give the standing of a reference that its venue cannot take; it is never sent."""
    return _standing(Outcome(order, Status.INVALID, Evidence.REFERENCE, None, reason), 0, now_ms)
