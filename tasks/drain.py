"""Work on one account's lane: claim, sign, call, read, settle, chunk after chunk."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from connectors.calls import Answer, Refusal, RefusalKind, Scope, Usage, refuse
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Status
from connectors.transport import MaybeSent, NotSent, Withheld
from tasks.batch import Account
from tasks.clock import Clock, VenueClock
from tasks.fold import NEVER_TRIED, Standing
from tasks.ports import Claim, ClaimKind, Grant, Line, Log, Next, Part, Pause, Settlement, Store
from tasks.proof import Proof, group, known_as, to_read
from tasks.retry import STEPS, Step, Stop, pause_ms, stop_for
from tasks.standings import all_of, read_standings, standing_of, standings_of, tried_again
from tasks.sweep import Stopped, Sweeper

DEADLY = 3  # deaths of workers on one chunk until it is taken apart
ANSWER_LENGTH = 1_000  # bytes of an unlisted answer in the log
LATE = "the deadline came before it could be sent"
ELSEWHERE = "the deadline came, and another batch has sent a cancel of it"
LOST = "the worker that had sent it, or was about to, is gone"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt at a call gave: an answer, when it left (0: it did not), and what its headers tell."""

    answer: Answer
    sent_ms: int = 0
    usages: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    """All that it takes to work on one account's lane.  Safe to use from several threads at once.

    ``ended`` is told the id of each batch that a settlement ends; ``stopping`` says whether the process is about to
    end, so that a listing is given back.
    """

    account: Account
    store: Store
    line: Line
    clock: Clock
    log: Log
    venue_clock: VenueClock
    ended: Callable[[str], None]
    stopping: Callable[[], bool] = lambda: False
    unlisted: set[str] = field(default_factory=set)  # codes that were told already

    @property
    def sweeper(self) -> Sweeper:
        """What lists for this account."""
        venue_clock, stopping = self.venue_clock, self.stopping
        return Sweeper(self.account, self.store, self.line, self.clock, self.log, venue_clock, self._heed, stopping)

    def work_on(self, claim: Claim, built: Callable[[], None] = lambda: None) -> Settlement | None:
        """Carry out what *claim* permits; gives what there is to settle, or None if it was given back unsent.

        *built* is called when a request is signed and about to be sent, or none is to be.
        """
        try:
            settlement = self._carry_out(claim, built)
        except Stopped:
            settlement = None
        except Exception:
            if claim.kind in {ClaimKind.LIST, ClaimKind.SWEEP}:  # the store was away: its heart beats, so nobody
                self.store.release(claim, self.clock.now_ms())  # else would take the chunk for a minute
            raise
        if settlement is None:
            self.store.release(claim, self.clock.now_ms())
        return settlement

    def settle(self, answers: Sequence[tuple[Claim, Settlement]], most: int) -> Grant:
        """Settle what was carried out, and claim what goes next, at most *most* chunks."""
        settled, grant = self.store.turn(self.account.name, answers, most, self.clock.now_ms())
        for (claim, _), one in zip(answers, settled, strict=True):
            if one.ended:
                self._tell_end(claim.batch_id)
        return grant

    def _tell_end(self, batch_id: str) -> None:
        try:
            self.ended(batch_id)
        except Exception as error:  # noqa: BLE001  # a chunk may have been claimed already, and is yet to be sent
            self.log.warning("batch.end_not_told", batch=batch_id, error=repr(error))

    def _carry_out(self, claim: Claim, built: Callable[[], None]) -> Settlement | None:
        """Give what there is to settle; None if nothing was sent and the permission has run out."""
        if claim.kind not in {ClaimKind.SEND, ClaimKind.QUERY}:
            built()
        if claim.kind in {ClaimKind.LIST, ClaimKind.SWEEP}:
            return self.sweeper.look_up(claim) if claim.kind is ClaimKind.LIST else self.sweeper.sweep(claim)
        if claim.kind not in {ClaimKind.SEND, ClaimKind.QUERY}:
            paused = self._why_paused(claim) if claim.kind is ClaimKind.LATE else None
            # As of the claim: since then another batch may have sent a cancel of what nobody had in hands.
            return leftover(claim, self.account.venue.resend_safe, claim.permitted_ms, paused)
        started_ms = self.clock.now_ms()
        orders = self._orders(claim)
        try:
            attempt = self._call(claim, orders, built)
        except Withheld:
            self.log.info("call.withheld", account=self.account.name, chunk=claim.chunk_id)
            return None
        now_ms = self.clock.now_ms()
        refusal = attempt.answer.refusal
        log = self.log.info if refusal is None else self.log.warning
        log(
            "call.answered" if attempt.sent_ms else "call.not_sent",
            batch=claim.batch_id,
            account=self.account.name,
            chunk=claim.chunk_id,
            kind=claim.kind.value,
            attempt=claim.attempt,
            orders=len(claim.orders),
            ms=now_ms - started_ms,
            refusal=refusal and refusal.kind.value,
            code=refusal and refusal.code,
            message=refusal and refusal.message,
        )
        self._heed(refusal, claim.permitted_ms, now_ms)
        if claim.kind is ClaimKind.QUERY:
            return self._decide_read(claim, orders, attempt, now_ms)
        return self._decide(claim, attempt, now_ms)

    def _why_paused(self, claim: Claim) -> str | None:
        try:
            return self.store.paused_at(claim.account, claim.deadline_ms)
        except Exception as error:  # noqa: BLE001  # the chunk is in our hands and must be settled without the reason
            self.log.warning("account.pause_unknown", account=claim.account, error=repr(error))
            return None

    def _orders(self, claim: Claim) -> tuple[OrderRef, ...]:
        """Name the orders of *claim* by the venue's own ids, where those are known of all."""
        known = tuple(map(known_as, claim.orders, claim.known))
        return known if len({order.kind for order in known}) == 1 else claim.orders

    def _call(self, claim: Claim, orders: tuple[OrderRef, ...], built: Callable[[], None]) -> Attempt:
        """Make one attempt.  Raises Withheld if nothing was sent because it had become too late."""
        venue, credentials = self.account.venue, self.account.credentials
        sent_ms = 0

        def may_send() -> bool:
            nonlocal sent_ms
            sent_ms = self.clock.now_ms()
            return sent_ms < min(claim.use_by_ms, claim.deadline_ms)

        try:
            stamp = self.venue_clock.stamp(self.clock)
            if claim.kind is ClaimKind.QUERY:
                query = venue.queries[claim.query]
                request, read = query.build(orders, credentials, stamp), query.read
            elif claim.cancel_all is not None:
                whole = venue.cancel_alls[claim.cancel_all]
                request, read = whole.build(orders[0].symbol, credentials, stamp), whole.read
            else:
                request, read = venue.build_cancel(orders, credentials, stamp), venue.read_cancel
        except Exception as error:  # noqa: BLE001  # a fault of ours must cost one chunk, not the lane
            return self._not_built(claim, type(error).__name__)  # its text may hold a credential
        built()
        try:
            response = self.line.send(request, may_send)
        except Withheld:
            raise
        except NotSent as error:
            refusal = Refusal(RefusalKind.UNAVAILABLE, message=str(error))
            return Attempt(replace(all_of(claim, Status.NOT_SENT, Evidence.NOT_SENT, str(error)), refusal=refusal))
        except MaybeSent as error:
            return Attempt(refuse(claim.orders, Refusal(RefusalKind.UNCERTAIN, message=str(error))), sent_ms)
        except ValueError as error:
            return self._not_built(claim, str(error))
        response = replace(response, body=credentials.hide_in(response.body))
        answer = read(orders, response)
        if answer.unlisted is not None and answer.unlisted not in self.unlisted:
            self.unlisted.add(answer.unlisted)
            words = response.body[:ANSWER_LENGTH].decode("utf-8", "replace")
            status, code = response.status, answer.unlisted
            self.log.warning("venue.unlisted_code", venue=venue.name, code=code, status=status, answer=words)
        return Attempt(answer, sent_ms, venue.read_usage(response.headers) if venue.read_usage else ())

    def _not_built(self, claim: Claim, fault: str) -> Attempt:
        self.log.warning("call.not_built", account=self.account.name, chunk=claim.chunk_id, error=fault)
        message = f"ripcord could not build the call: {fault}"
        return Attempt(all_of(claim, Status.NOT_SENT, Evidence.NOT_SENT, message))

    def _heed(self, refusal: Refusal | None, since_ms: int, now_ms: int) -> None:
        """Let all wait whom the refusal of a call begun at *since_ms* concerns; measure the clock if that was why."""
        stop = refusal and stop_for(refusal)
        if refusal is not None and stop:
            self._pause(refusal, stop, since_ms, now_ms)
        if refusal is not None and refusal.kind is RefusalKind.CLOCK:
            self.measure_clock()

    def _decide(self, claim: Claim, attempt: Attempt, now_ms: int) -> Settlement:
        """Choose what follows the answer to a cancel: the end, the same again later, halves, or reading back."""
        answer = attempt.answer
        refusal = answer.refusal
        if claim.cancel_all is not None and (refusal or not attempt.sent_ms) and now_ms < claim.deadline_ms:
            return self._go_on_by_ids(claim, attempt, now_ms)
        step = Step.END if refusal is None else STEPS[refusal.kind]
        if step is Step.HALVE and len(claim.places) == 1:
            step = Step.END
        # Of a chunk that is halved nothing is known yet: one of its orders, not all, is at fault.
        standings = () if step is Step.HALVE else standings_of(claim, answer.outcomes, now_ms)
        again: tuple[Part, ...] = ()
        if step is Step.AGAIN:
            again = (Part(claim.places, now_ms + pause_ms(claim.attempt, self.clock.fraction())),)
        elif step is Step.HALVE:
            again = _halves(claim, now_ms)
        elif attempt.sent_ms:
            again = to_read(claim, standings, self.account.venue, now_ms)
        siblings = tuple((o.order, standing_of(o, claim.attempt, now_ms)) for o in answer.siblings)
        return self._settlement(attempt, standings + tried_again(claim, now_ms), again, siblings)

    def _go_on_by_ids(self, claim: Claim, attempt: Attempt, now_ms: int) -> Settlement:
        """Cancel by ids what a cancel-all that failed was to take.  If it may have been executed, that is noted."""
        refusal = attempt.answer.refusal
        doubtful = refusal is not None and refusal.kind is RefusalKind.UNCERTAIN
        standings = standings_of(claim, attempt.answer.outcomes, now_ms) if doubtful else ()
        places = group(zip(claim.places, claim.orders, strict=True), self.account)
        parts = tuple(Part(some, now_ms) for some in places)
        return self._settlement(attempt, standings + tried_again(claim, now_ms), parts)

    def _decide_read(self, claim: Claim, orders: tuple[OrderRef, ...], attempt: Attempt, now_ms: int) -> Settlement:
        """Choose what follows the answer to a query."""
        proof = Proof(self.account, now_ms, self.clock.fraction())
        found = proof.after_query(claim, orders, attempt.answer)
        return self._settlement(attempt, read_standings(claim, found, now_ms), found.parts)

    def _settlement(
        self,
        attempt: Attempt,
        standings: tuple[tuple[int, Standing], ...],
        again: tuple[Part, ...],
        siblings: tuple[tuple[OrderRef, Standing], ...] = (),
    ) -> Settlement:
        refusal = attempt.answer.refusal
        return Settlement(
            standings,
            calls=int(attempt.sent_ms > 0),
            siblings=siblings,
            again=again,
            sent_ms=attempt.sent_ms,
            well=attempt.sent_ms > 0 and (refusal is None or stop_for(refusal) is None),
            usages=attempt.usages,
        )

    def _pause(self, refusal: Refusal, stop: Stop, since_ms: int, now_ms: int) -> None:
        reason = " ".join(part for part in (refusal.kind, refusal.code, refusal.message) if part)
        scope = refusal.scope if not stop.trial else Scope.ACCOUNT  # a trial is made by each account for itself
        pause = Pause(scope, stop.wait_ms, stop.longest_ms, reason, not stop.trial, since_ms, stop.patience)
        try:
            until_ms = self.store.pause(self.account.name, pause, now_ms)
        except Exception as error:  # noqa: BLE001  # what the call taught is yet to be settled, whatever the store has
            self.log.warning("account.not_paused", account=self.account.name, error=repr(error))
            return
        if until_ms is not None:
            name = self.account.name
            self.log.warning("account.paused", account=name, scope=scope.value, ms=until_ms - now_ms, reason=reason)

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


def leftover(claim: Claim, resend_safe: Collection[IdKind], now_ms: int, paused: str | None = None) -> Settlement:
    """Settle a chunk that is not to be sent now, or was in the hands of a worker that is gone.

    What waited past its deadline was not sent by us now, whatever an earlier attempt learned stands; *paused* is
    why its account waited then.  What a worker had in hands may have been executed.  It is sent again where its
    orders' ids name them for ever (*resend_safe*); a chunk on which workers died again and again in halves.
    """
    if claim.kind is ClaimKind.MOOT:
        return Settlement(())
    if claim.kind is ClaimKind.SWEEP:
        # At the deadline what its last listing showed stands.
        return Settlement((), again=() if now_ms >= claim.deadline_ms else (Part((), now_ms, Next.SWEEP),))
    read_back = (Part(claim.places, now_ms, Next.READ),)
    if claim.kind is ClaimKind.LIST:
        return Settlement((), again=read_back)
    if claim.kind is ClaimKind.QUERY:
        return Settlement((), calls=1, again=read_back, sent_ms=min(claim.permitted_ms, now_ms))
    if claim.kind is ClaimKind.SEND:
        lost = standings_of(claim, all_of(claim, Status.UNKNOWN, Evidence.NO_ANSWER, LOST).outcomes, now_ms)
        again: tuple[Part, ...] = ()
        poisonous = claim.deaths >= DEADLY
        # What a cancel-all was to take is more than a cancel by ids can carry, so it is read and taken apart then.
        safe = claim.cancel_all is None and all(order.kind in resend_safe for order in claim.orders)
        if poisonous and len(claim.places) == 1:
            again = ()  # whoever sends it dies
        elif safe and now_ms < claim.deadline_ms:
            again = _halves(claim, now_ms) if poisonous else (Part(claim.places, now_ms),)
        elif claim.prove and now_ms < claim.deadline_ms:
            again = read_back
        return Settlement(lost, calls=1, again=again, sent_ms=min(claim.permitted_ms, now_ms))
    outcomes = all_of(claim, Status.NOT_SENT, Evidence.NOT_SENT, f"{LATE}: {paused}" if paused else LATE).outcomes
    # A little weaker than an earlier attempt that was not executed, so that the venue's own words are kept.
    standings = [replace(s, strength=NEVER_TRIED) for _, s in standings_of(claim, outcomes, now_ms)]
    # What another batch has tried to cancel may be gone, now or in a moment.
    doubts = standings_of(claim, all_of(claim, Status.UNKNOWN, Evidence.NO_ANSWER, ELSEWHERE).outcomes, now_ms)
    chosen = zip(claim.places, standings, doubts, strict=True)
    return Settlement(tuple(doubt if place in claim.elsewhere else (place, one) for place, one, doubt in chosen))


def _halves(claim: Claim, now_ms: int) -> tuple[Part, ...]:
    middle = (len(claim.places) + 1) // 2
    return Part(claim.places[:middle], now_ms), Part(claim.places[middle:], now_ms)
