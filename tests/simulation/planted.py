"""Bugs that the simulation must find: each is a way in which somebody could get the product wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.calls import Answer, Refusal, RefusalKind, Scope
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reads import Page
from tasks import drain as drain_module
from tasks import listing as listing_module
from tasks import proof as proof_module
from tasks import sweep as sweep_module
from tasks.batch import Selection
from tasks.drain import Attempt, Drain
from tasks.fold import STRENGTH, Standing
from tasks.listing import Listed, ListingFailed
from tasks.ports import Claim, ClaimKind, Part, Pause, Permission, Settlement
from tasks.proof import Proof, Read
from tasks.sweep import Sweeper
from tests.simulation.memory import Memory
from tests.simulation.world import World, replace_in_scripts
from worker import drains as drains_module
from worker import watch as watch_module
from worker.drains import Answered
from worker.store import RedisStore

MOST_SEEDS: Final = 5_000


@dataclass(frozen=True)
class Bug:
    """One planted bug: what is replaced in scripts, and what in modules and classes."""

    name: str
    scripts: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    patches: tuple[tuple[Any, str, Any], ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug in the product for a while."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in self.patches]
        replace_in_scripts(self.scripts)
        for owner, name, value in self.patches:
            setattr(owner, name, value)
        try:
            yield
        finally:
            replace_in_scripts({})
            for owner, name, value in before:
                setattr(owner, name, value)


def _refuse_as(status: Status) -> Callable[[tuple[OrderRef, ...], Refusal], Answer]:
    def refuse(orders: tuple[OrderRef, ...], refusal: Refusal) -> Answer:
        outcomes = tuple(Outcome(order, status, Evidence.CANCEL_ANSWER) for order in orders)
        return Answer(outcomes, refusal if refusal.kind is not RefusalKind.UNCERTAIN else None)

    return refuse


def _halves(claim: Claim, now_ms: int) -> tuple[Part, ...]:
    middle = (len(claim.places) + 1) // 2
    return tuple(Part(part, now_ms) for part in (claim.places[:middle], claim.places[middle + 1 :]) if part)


_call = Drain._call
_pause = RedisStore.pause
_next_slice = RedisStore._next_slice
_leftover = drain_module.leftover


def _call_without_use_by(self: Drain, claim: Claim, orders: tuple[OrderRef, ...], built: Callable[[], None]) -> Attempt:
    return _call(self, replace(claim, use_by_ms=claim.deadline_ms), orders, built)


def _first_alone(answers: list[Answered]) -> list[Answered]:
    first = answers[:1]
    answers.clear()
    return first


def _pause_account(self: RedisStore, account: str, pause: Pause, now_ms: int) -> int | None:
    return _pause(self, account, replace(pause, scope=Scope.ACCOUNT), now_ms)


def _pause_a_second(self: RedisStore, account: str, pause: Pause, now_ms: int) -> int | None:
    return _pause(self, account, replace(pause, wait_ms=min(pause.wait_ms, 100)), now_ms)


def _one_slice(self: RedisStore, batch_id: str) -> int | None:
    return 0 if _next_slice(self, batch_id) == 0 else None


def _never_sent(claim: Claim, safe: Any, now_ms: int, paused: str | None = None) -> Settlement:
    kind = ClaimKind.IDLE if claim.kind is ClaimKind.SEND else claim.kind
    return _leftover(replace(claim, kind=kind), safe, now_ms, paused)


def _end_of_the_lost(claim: Claim, safe: Any, now_ms: int, paused: str | None = None) -> Settlement:
    return replace(_leftover(claim, safe, now_ms, paused), standings=())


_after_query = Proof.after_query
_after_open = Proof._after_open
_ask = listing_module._Caller.ask
_take = Sweeper._take
_list_open = sweep_module.list_open


def _not_known_is_gone(self: Proof, claim: Claim, orders: Sequence[OrderRef], answer: Answer) -> Read:
    unknown = Evidence.NOT_KNOWN
    found = (replace(o, status=Status.NOT_FOUND) if o.evidence is unknown else o for o in answer.outcomes)
    return _after_query(self, claim, orders, replace(answer, outcomes=tuple(found)))


def _not_known_is_settled(self: Proof, claim: Claim, orders: Sequence[OrderRef], answer: Answer) -> Read:
    known = tuple(one and replace(one, at_ms=0) for one in claim.known)
    return _after_query(self, replace(claim, known=known), orders, answer)


def _open_once(self: Proof, place: int, order: OrderRef, outcome: Outcome, known: Standing | None) -> Any:
    return _after_open(self, place, order, outcome, Standing(STRENGTH[Status.OPEN], self.now_ms, Status.OPEN, "{}"))


def _first_page(self: Any, *args: Any) -> Page:
    return replace(_ask(self, *args), cursor=None)


def _failed_is_empty(self: Any, *args: Any) -> Page:
    try:
        return _ask(self, *args)
    except ListingFailed:
        return Page(())


def _empty_once(self: Sweeper, claim: Claim, *args: Any) -> Settlement:
    return _take(self, replace(claim, empty_ms=0), *args)


def _all_whole(*args: Any, **named: Any) -> Listed:
    return replace(_list_open(*args, **named), whole=True)


def _not_read_again(claim: Claim, safe: Any, now_ms: int, paused: str | None = None) -> Settlement:
    reading = claim.kind in {ClaimKind.QUERY, ClaimKind.LIST}
    return Settlement(()) if reading else _leftover(claim, safe, now_ms, paused)


def _swept_by_death(claim: Claim, safe: Any, now_ms: int, paused: str | None = None) -> Settlement:
    once = claim.kind is ClaimKind.SWEEP and claim.empty_ms is not None
    return Settlement((), swept=True, sweep="empty") if once else _leftover(claim, safe, now_ms, paused)


def _page_at_once(self: RedisStore, claim: Claim, limits: Any, now_ms: int) -> Permission:
    return Permission(now_ms + 5)


BUGS: Final = (
    Bug("a time-out is read as canceled", patches=((drain_module, "refuse", _refuse_as(Status.CANCELED)),)),
    Bug("a time-out is read as not sent", patches=((drain_module, "refuse", _refuse_as(Status.NOT_SENT)),)),
    Bug("a time-out is read as rejected", patches=((drain_module, "refuse", _refuse_as(Status.REJECTED)),)),
    Bug("what a dead worker held was never sent", patches=((watch_module, "leftover", _never_sent),)),
    Bug("what a dead worker held leaves no trace", patches=((watch_module, "leftover", _end_of_the_lost),)),
    Bug("a dead worker keeps its chunks", {"seize": (("[^#]*')) == 1", "[^#]*')) >= 0"),)}),
    Bug("a living worker's chunks are taken", {"seize": (("[^#]*')) == 1", "[^#]*')) == 2"),)}),
    Bug("a permission is no sign of life", {"seize": (("tonumber(ARGV[7]) > now", "0 > now"),)}),
    Bug(
        "no note before sending",
        {"claiming": (("redis.call('HINCRBY', chunk, 'attempts', 1)", "local _ = chunk"),)},
    ),
    Bug("no use-by", patches=((Drain, "_call", _call_without_use_by),)),
    Bug("no fencing", {"settling": (("c[1] == token and ", ""),)}),
    Bug("tokens begin anew after a lost second", {"lib": (("'0') + 1, now[1] * 1000000 + now[2])", "'0') + 1, 0)"),)}),
    Bug("the last evidence wins", {"lib": (("not was or stronger(standing, was)", "true"),)}),
    Bug(
        "one call more than the limit",
        {"claiming": (("LINDEX', limit[1], units - limit[4])", "LINDEX', limit[1], units)"),)},
    ),
    Bug("no guard", {"claiming": (("tonumber(ARGV[i + 2]), ", "tonumber(ARGV[i + 2]) - 10, "),)}),
    Bug("a clean-up takes all", {"claiming": (("priority == 'cleanup' and", "false and"),)}),
    Bug(
        "a clean-up goes before a kill",
        {"lib": (("{ 'kill', 'risk', 'cleanup' }", "{ 'cleanup', 'risk', 'kill' }"),)},
    ),
    Bug("cancels of one order overlap", {"claiming": (("if other and other ~= id", "if false and other ~= id"),)}),
    Bug("who waited for an answer is not woken", {"lib": (("redis.call('ZADD', lane, now, waiting)", "return"),)}),
    Bug("who waited for an answer stays noted", {"lib": (("redis.call('DEL', P .. 'followers:' .. id)\nend", "end"),)}),
    Bug(
        "orders stay marked as in flight",
        {"lib": (("redis.call('HDEL', P .. 'busy:' .. account, unpack(names))", ""),)},
    ),
    Bug(
        "a release keeps the permission",
        {"release": (("redis.call('LREM', limit, units, latest)", "local _ = limit"),)},
    ),
    Bug(
        "a release gives back another's permission too",
        {"release": (("units, latest)", "units + 1, latest)"),)},
    ),
    Bug(
        "a call that may leave later counts from its permission on",
        {"claiming": (("local latest, newest = now + limit[5],", "local latest, newest = now,"),)},
    ),
    Bug(
        "a call that left late counts from its permission on",
        {"settling": (("math.max(0, tonumber(slack) - elapsed)", "tonumber(slack)"),)},
    ),
    Bug("lost claims are not taken back", patches=((RedisStore, "take_back", lambda self, now_ms: None),)),
    Bug("the account alone pauses, not its IP", patches=((RedisStore, "pause", _pause_account),)),
    Bug("a pause is shorter than the venue asks", patches=((RedisStore, "pause", _pause_a_second),)),
    Bug("pauses are ignored", {"claiming": (("if paused > now then", "if false then"),)}),
    Bug("a trial lets all through", {"claiming": (("most, wanted = 1, math.min(wanted, 1)", "wanted = wanted + 0"),)}),
    Bug(
        "sent after the deadline",
        {
            "claiming": (
                ("deadline <= now and 'late'", "false and 'late'"),
                ("tonumber(c[3]), permission", "c[3] + 3600000, permission"),
            )
        },
    ),
    Bug("of answers that are settled together one counts", patches=((drains_module, "_first_of", _first_alone),)),
    Bug("halves lose an order", patches=((drain_module, "_halves", _halves),)),
    Bug("a deadly chunk is never halved", patches=((drain_module, "DEADLY", 99),)),
    Bug("counts only grow", {"lib": (("if by ~= 0 then", "if by > 0 then"),)}),
    Bug("a plan written in part is taken for done", patches=((RedisStore, "_next_slice", _one_slice),)),
    Bug(
        "names that may be used again are sent again",
        patches=((RedisStore, "lasting", lambda self, account: frozenset(IdKind)),),
    ),
    Bug("open once is canceled again", patches=((Proof, "_after_open", _open_once),)),
    Bug("not known once is gone", patches=((Proof, "after_query", _not_known_is_gone),)),
    Bug("not known counts however early it is said", patches=((Proof, "after_query", _not_known_is_settled),)),
    Bug("a listing without client ids shows client ids", patches=((proof_module, "_would_show", lambda *_: True),)),
    Bug("the first page is the whole listing", patches=((listing_module._Caller, "ask", _first_page),)),
    Bug("what is no listing is an empty one", patches=((listing_module._Caller, "ask", _failed_is_empty),)),
    Bug("pages that shift are whole", patches=((sweep_module, "list_open", _all_whole),)),
    Bug("one empty listing ends a sweep", patches=((Sweeper, "_take", _empty_once),)),
    Bug("a worker's death stands for the second listing", patches=((watch_module, "leftover", _swept_by_death),)),
    Bug("what a dead worker was reading is not read again", patches=((watch_module, "leftover", _not_read_again),)),
    Bug(
        "queries without permission",
        {"claiming": (("'query', permit(query.limits, now)", "'query', ''"),)},
    ),
    Bug("pages without permission", patches=((RedisStore, "permit", _page_at_once),)),
    Bug("a release keeps a query's permission", {"release": (("c[7] or ''", "c[4] == 'send' and c[7] or ''"),)}),
    Bug(
        "a read that is given back is a cancel",
        {"release": (("if c[4] == 'query' or c[4] == 'list' then", "if false then"),)},
    ),
    Bug(
        "a late read weakens what is gone",
        {
            "lib": (
                (
                    "local function stronger(a, b)",
                    "local function stronger(a, b)\n  if string.find(a, '|open|', 1, true) then return true end",
                ),
            )
        },
    ),
    Bug("an order is read twice at once", {"claiming": (("redis.call('ZREM', waiting, unpack(members))", ""),)}),
    Bug("late reads are not given up", {"expire": (("redis.call('HINCRBY', batch, 'left', -given_up)", ""),)}),
    Bug(
        "a sweep adds what it has found before",
        {"grow": (("if redis.call('HEXISTS', names, ARGV[i]) == 0 then", "if true then"),)},
        ((RedisStore, "new_among", lambda self, claim, orders: list(orders)),),
    ),
    Bug("a sweep heeds no filter", patches=((Selection, "matches", lambda self, order, now_ms: True),)),
    Bug(
        "a sweep heeds no most",
        {
            "tally": (("if total > most then", "if false then"),),
            "grow": (("and known + total > tonumber(ARGV[6])", "and false"),),
        },
    ),
)


def seeds_to_find(bug: Bug, most: int = MOST_SEEDS) -> tuple[int, str] | None:
    """Say how many seeds it takes to find *bug*, and what is seen; None if it is not found."""
    with bug.planted():
        memory = Memory()
        for seed in range(most):
            faults = World(seed, memory).run()
            if faults:
                return seed + 1, faults[0]
    return None
