"""Takes each call from the door to its answer: limits, keys, faults, the venue itself, the log."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from simulator import faults
from simulator.accounts import Account, make_account
from simulator.book import Behavior, Book
from simulator.clock import Clock
from simulator.faults import Fault, Faults
from simulator.http import Answer, Request, render
from simulator.journal import Entry, Journal
from simulator.limiter import Breach, Limiter, Scope
from simulator.venue import Call, DeniedError, Purpose, Reply, Route, Venue
from simulator.venues import VENUES

EGRESS = "egress"  # every caller is on this machine, so they share one address


@dataclass(slots=True)
class Outcome:
    """What has become of a call so far."""

    reply: Reply
    account: Account | None = None
    asked: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    fault: Fault | None = None
    breach: Breach | None = None
    denied: bool = False
    answer: Answer | None = None  # where a fault has put another one in the reply's place


class Desk:
    """The five venues with their accounts and books."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.clock = Clock()
        self.limiter = Limiter()
        self.faults = Faults()
        self.journal = Journal()
        self.accounts: dict[str, Account] = {}
        self.books: dict[str, Book] = {}
        self.behaviors: dict[str, Behavior] = {}
        self.numbers: dict[str, Iterator[int]] = {}
        self.dice = Random(seed)
        self._keys: dict[str, dict[str, Account]] = {name: {} for name in VENUES}
        for venue in VENUES.values():
            self.add_account(make_account(venue.name, f"{venue.name}-sim"))
        self.reset()

    def add_account(self, account: Account) -> None:
        """Open *account*; raises ValueError if its name or one of its keys is taken."""
        keys = self._keys[account.venue]
        names = [key for key in (account.api_key, account.public_key) if key is not None]
        if account.name in self.accounts or any(name in keys for name in names):
            raise ValueError(f"account {account.name}: the name or a key is taken")
        self.accounts[account.name] = account
        keys.update(dict.fromkeys(names, account))
        self._open_book(account)

    def reset(self) -> None:
        """Put everything but the accounts back to the start: books, log, limits, faults, clock, ids and dice."""
        self.clock.skew_ms = 0
        self.faults.set.clear()
        self.journal.clear()
        self.dice = Random(self.seed)
        self.limiter = Limiter()
        for venue in VENUES.values():
            self.numbers[venue.name] = itertools.count(1)
            for rule in venue.rules:
                self.limiter.set_rule(venue.name, rule)
        for account in self.accounts.values():
            self._open_book(account)

    def _open_book(self, account: Account) -> None:
        self.books[account.name] = Book(Random(f"{self.seed} {account.name}"))
        self.behaviors[account.name] = Behavior(settle_ms=VENUES[account.venue].settle_ms)

    def answer(self, venue: Venue, request: Request) -> Answer:
        """Answer one call of *venue*; the request's path is cut to what is behind the venue's root."""
        path = request.path = request.path[len(venue.root) :]
        at_ms = self.clock.now_ms()
        key = (request.method, path)
        if key in venue.time:
            purpose, outcome = Purpose.TIME, self._tell_time(venue, request)
        else:
            route = venue.routes.get(key) or venue.routes.get((request.method, f"{path.rpartition('/')[0]}/*"))
            if route is None:
                purpose, outcome = Purpose.READ, Outcome(venue.not_found(request))
            else:
                purpose, outcome = route.purpose, self._serve(venue, route, request)
        account = outcome.account.name if outcome.account is not None else None
        answer = outcome.answer or self._wrap(venue, account, outcome)
        if self.faults.set:
            delay_s = answer.delay_s + self.faults.delay_s(venue.name, account, purpose)
            answer = replace(answer, delay_s=delay_s)
        entry = Entry(
            at_ms,
            venue.name,
            account,
            request.method,
            path,
            outcome.asked,
            int(answer.data[9:12]) if answer.data else 0,
            outcome.applied,
            outcome.fault.fault if outcome.fault is not None else None,
            outcome.breach.rule.name if outcome.breach is not None else None,
            purpose,
            int(answer.delay_s * 1000),
        )
        self.journal.write(entry, denied=outcome.denied)
        return answer

    def _tell_time(self, venue: Venue, request: Request) -> Outcome:
        tell, costs = venue.time[request.method, request.path]
        now_us = self.clock.steady_us()
        breach = self.limiter.check(venue.name, costs, EGRESS, now_us)
        if breach is not None:
            return Outcome(venue.limited(request, breach, self.clock.venue_ms()), breach=breach)
        self.limiter.charge(venue.name, costs, EGRESS, now_us)
        outcome = Outcome(Reply(200, tell(self.clock.venue_ms())))
        fault = self.faults.draw(venue.name, None, Purpose.TIME)
        if fault is not None:
            self._strike(venue, request, fault, outcome)
        return outcome

    def _serve(self, venue: Venue, route: Route, request: Request) -> Outcome:
        now_us, venue_ms = self.clock.steady_us(), self.clock.venue_ms()
        ip_costs = route.ip_costs_of(request) if route.ip_costs_of is not None else route.ip_costs
        breach = self.limiter.check(venue.name, ip_costs, EGRESS, now_us) if ip_costs else None
        if breach is not None:
            return Outcome(venue.limited(request, breach, venue_ms), breach=breach)
        try:
            account = venue.authenticate(request, self._keys[venue.name], venue_ms)
        except DeniedError as denied:
            outcome = Outcome(denied.reply, denied.account, denied=True)
        else:
            outcome = self._admit(venue, route, request, account)
        if ip_costs and not (route.free_if_done and outcome.reply.status == 200):
            self.limiter.charge(venue.name, ip_costs, EGRESS, now_us)
        return outcome

    def _admit(self, venue: Venue, route: Route, request: Request, account: Account) -> Outcome:
        now_us, venue_ms = self.clock.steady_us(), self.clock.venue_ms()
        breach = self.limiter.check(venue.name, route.account_costs, account.name, now_us)
        if breach is not None:
            return Outcome(venue.limited(request, breach, venue_ms), account, breach=breach)
        self.limiter.charge(venue.name, route.account_costs, account.name, now_us)
        fault = self.faults.draw(venue.name, account.name, route.purpose) if self.faults.set else None
        if fault is not None and fault.fault in faults.BEFORE:
            answer = faults.BEFORE[fault.fault](fault, venue, request, venue_ms)
            return Outcome(Reply(0, None), account, fault=fault, answer=answer)
        book, behavior = self.books[account.name], self.behaviors[account.name]
        call = Call(request, account, book, behavior, self.clock.now_ms(), venue_ms, self.dice)
        outcome = Outcome(route.handle(call), account, tuple(call.asked), tuple(call.applied))
        if fault is not None:
            self._strike(venue, request, fault, outcome)
        return outcome

    def _strike(self, venue: Venue, request: Request, fault: Fault, outcome: Outcome) -> None:
        """Let *fault* spoil a call that was carried out."""
        outcome.fault = fault
        instead = faults.AFTER.get(fault.fault) or faults.BEFORE.get(fault.fault)
        if instead is not None:
            outcome.answer = instead(fault, venue, request, self.clock.venue_ms())
            return
        outcome.reply = faults.spoil(fault, venue, outcome.reply)
        if fault.fault == "truncated":
            account = outcome.account.name if outcome.account is not None else None
            outcome.answer = faults.truncate(self._wrap(venue, account, outcome).data)

    def _wrap(self, venue: Venue, account: str | None, outcome: Outcome) -> Answer:
        reply = outcome.reply
        usage, headers = venue.usage, reply.headers
        holder = EGRESS if usage is not None and usage.scope is Scope.IP else account
        if usage is not None and holder is not None:
            rule = self.limiter.rule(venue.name, usage.rule)
            used = self.limiter.used(venue.name, usage.rule, holder, self.clock.steady_us())
            headers = (*headers, *usage.headers(used, rule.limit if rule is not None else 0))
        return Answer(render(reply.status, reply.payload, headers))
