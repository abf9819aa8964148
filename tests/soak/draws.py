"""What a soak does and when, drawn from one seed before it starts; the only module that rolls dice.

The seed decides every fault and every batch with its orders, its ways in and its time.  It does not decide how
far the processes have come by then: two runs of a seed meet the same trouble, not the same interleaving.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from simulator.faults import NAMES
from simulator.venues import VENUES as SIMULATED
from tests.end_to_end.stage import VENUES

MISHAP_EVERY_S: Final = 10.0
BATCH_EVERY_S: Final = 1.5
FIRST_MISHAP_S, LEAST_GAP_S, MOST_GAP_S = 3.0, 1.0, 25.0
LEASE_S: Final = 1.5  # a worker that is silent for so long is taken for dead
STOPPED_S: Final = 3 * LEASE_S

# How often each kind of trouble comes up in one deal of the cards; the deal is shuffled, and then comes the next.
WORKER_CARDS: Final = ("worker.kill",) * 4 + ("worker.stop",) * 3 + ("worker.term",) * 2
REDIS_CARDS: Final = ("redis.kill",) * 2 + ("redis.freeze",) * 2 + ("redis.cut",) * 2
VENUE_CARDS: Final = ("venue.fault",) * 10 + ("venue.fills", "venue.losses")

WAYS: Final[Mapping[str, int]] = {"stream": 4, "task": 3, "client": 4, "cli": 1}
DEADLINES_S: Final = (1, 2, 3, 8, 12, 15, 20, 20, 30, 60)
PRIORITIES: Final = ("kill", "risk", "cleanup")
MOST_ORDERS: Final = {"binance": 100, "crypto_com": 300, "kuna": 150, "upbit": 300, "weex": 30}
VENUE_WEIGHTS: Final = {"binance": 3, "crypto_com": 4, "kuna": 2, "upbit": 4, "weex": 1}
OVERLAP, SAME_MOMENT, REPEATED, STRANGER, NAMELESS, CLIENT_IDS = 0.3, 0.15, 0.25, 0.1, 0.05, 0.4
RECENT: Final = 8  # batches that a new one may share orders with

FIRST_BURST_S, EARLY_BURSTS, FIRST_SWEEP_S = 0.5, 12, 4.0
SWEEP_EVERY_S: Final = 6.0
BURST_EVERY_S: Final = 2.0
REPLAY_EVERY_S: Final = 12.0
SWEEP_WAYS: Final = ("kill", "kill", "stream", "client", "task")
PREFIXES: Final = ("bot7-", "bot8-", "bot9-")
OLD_S: Final = 7_200
MOST_AT_ONCE: Final = {"binance": 20, "crypto_com": 20, "kuna": 6, "upbit": 30, "weex": 6}
SILENT_S: Final = (30.0, 45.0)  # long enough that the switch must fire, whatever happens meanwhile
BEATING_S: Final = (10.0, 40.0)
# Most where one call takes many; a limit of a venue's reads is no setting of ours, and WEEX and Crypto.com have one.
BULK_SHARES: Final = {"upbit": 0.85, "crypto_com": 0.08, "kuna": 0.05, "binance": 0.018, "weex": 0.002}
BULK_ORDERS: Final = 5_000  # of one batch
BULK_DEADLINE_S: Final = 1_800

Pick = tuple[str, int]  # a venue, and the place of an order among those that are seeded there


@dataclass(frozen=True, slots=True)
class Mishap:
    """One fault: what happens, at which time, for how long, and to whom.

    ``victim`` is a number that whoever carries it out takes modulo the number of candidates.
    """

    at_s: float
    kind: str
    lasts_s: float = 0.0
    victim: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """One batch before its orders have names: handed in by all of ``ways`` at once, under one id."""

    at_s: float
    batch_id: str
    picks: Sequence[Pick]
    kind: str
    priority: str
    deadline_s: int
    ways: Sequence[str]
    strangers: Sequence[str]
    nameless: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep: what it selects, and how it is handed in."""

    at_s: float
    batch_id: str
    select: Mapping[str, Any]
    priority: str
    deadline_s: int
    ways: Sequence[str]
    most: int | None


@dataclass(frozen=True, slots=True)
class Burst:
    """Orders that appear: of one account, and alike."""

    at_s: float
    account: str
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay, of a batch that ``victim`` chooses among those that have ended and are not flat."""

    at_s: float
    batch_id: str
    victim: int


@dataclass(frozen=True, slots=True)
class Draws:
    """All that one soak does.  ``beating`` says for each producer's heart from when to when it beats, in s.

    ``looks`` are the times, in s, at which the first worker's process is looked at between the start and the end.
    """

    mishaps: Sequence[Mishap]
    drafts: Sequence[Draft]
    sweeps: Sequence[Sweep] = ()
    bursts: Sequence[Burst] = ()
    replays: Sequence[Replay] = ()
    beating: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    looks: Sequence[float] = ()

    def needed(self) -> dict[str, int]:
        """Count the orders that each venue's book must have."""
        most = dict.fromkeys(VENUES, 0)
        for draft in self.drafts:
            for venue, place in draft.picks:
                most[venue] = max(most[venue], place + 1)
        return most


def draw(seed: int, seconds: float, hearts: Sequence[str] = ()) -> Draws:
    """Draw a soak of so many *seconds*, with producers' *hearts* by their names."""
    return Draws(  # streams apart: a change to one leaves the others
        list(_mishaps(Random(f"{seed} mishaps"), seconds)),
        list(_drafts(Random(f"{seed} batches"), seed, seconds)),
        list(_sweeps(Random(f"{seed} sweeps"), seed, seconds)),
        list(_bursts(Random(f"{seed} bursts"), seconds)),
        list(_replays(Random(f"{seed} replays"), seed, seconds)),
        {heart: list(_beating(Random(f"{seed} {heart}"), seconds)) for heart in hearts},
        [seconds / 2],
    )


def draw_bulk(seed: int, orders: int, seconds: float) -> Draws:
    """Draw a soak of so many *orders*, all handed in at once, with faults for at most so many *seconds*."""
    mishaps = list(_mishaps(Random(f"{seed} mishaps"), seconds))
    dice, picks = Random(f"{seed} bulk"), list[Pick]()
    for venue, share in BULK_SHARES.items():
        picks += [(venue, place) for place in range(int(orders * share))]
    picks += [("upbit", int(orders * BULK_SHARES["upbit"]) + place) for place in range(orders - len(picks))]
    dice.shuffle(picks)
    drafts = [
        Draft(
            0.5,
            f"soak-{seed}-{start // BULK_ORDERS:04}",
            tuple(picks[start : start + BULK_ORDERS]),
            ("client_order_id", "order_id")[dice.random() >= CLIENT_IDS],
            dice.choice(PRIORITIES),
            BULK_DEADLINE_S,
            _ways(dice),
            (),
            nameless=False,
        )
        for start in range(0, orders, BULK_ORDERS)
    ]
    return Draws(mishaps, drafts)


def _mishaps(dice: Random, seconds: float) -> Iterator[Mishap]:
    cards, names = _deal(dice, (*WORKER_CARDS, *REDIS_CARDS, *VENUE_CARDS)), _deal(dice, NAMES)
    at_s = FIRST_MISHAP_S
    while at_s < seconds:
        yield _mishap(dice, at_s, next(cards), names)
        at_s += min(MOST_GAP_S, max(LEAST_GAP_S, dice.expovariate(1 / MISHAP_EVERY_S)))


def _deal(dice: Random, cards: Sequence[str]) -> Iterator[str]:
    """Give the *cards* in a drawn order, again and again: a short soak sees many kinds, a long one every kind."""
    while True:
        yield from dice.sample(cards, len(cards))


def _mishap(dice: Random, at_s: float, kind: str, names: Iterator[str]) -> Mishap:
    lasts_s = {
        "worker.stop": STOPPED_S,
        "redis.kill": dice.choice((0.0, 0.5, 3.0)),
        "redis.freeze": dice.uniform(1.0, 5.0),
        "venue.fault": dice.uniform(5.0, 20.0),
        "venue.fills": dice.uniform(5.0, 20.0),
        "venue.losses": dice.uniform(5.0, 20.0),
    }.get(kind, 0.0)
    settings: dict[str, Any] = {}
    if kind.startswith("venue."):
        venue = dice.choice((*VENUES, None))  # None: all of them
        settings = _fault(dice, next(names)) if kind == "venue.fault" else {"probability": dice.uniform(0.05, 0.4)}
        settings |= {"venue": venue} if venue is not None else {}
    return Mishap(at_s, kind, lasts_s, dice.randrange(1_000), settings)


def _fault(dice: Random, name: str) -> dict[str, Any]:
    """Draw what the simulator's control API is told of the fault called *name*."""
    drawn: dict[str, Any] = {
        "fault": name,
        "seed": dice.randrange(1_000_000),
        "probability": dice.choice((0.3, 0.6, 1.0)),
        "on": dice.choice((["cancel"], ["cancel", "read"], ["cancel", "read", "time"])),
    }
    if name in {"hang", "hang_before"}:
        drawn |= {"delay_ms": dice.choice((500, 3_000, 12_000)), "calls": 10}
    elif name == "latency":
        drawn |= {"delay_ms": dice.choice((20, 200, 1_500)), "jitter_ms": dice.choice((0, 100, 1_000))}
    elif name == "rate_429":
        drawn |= {"delay_ms": dice.choice((200, 1_000, 5_000)), "calls": dice.choice((1, 3, 20))}
    elif name.startswith("html"):
        drawn |= {"status": dice.choice((200, 403, 404, 500, 503))}
    elif name == "forbidden":
        drawn |= {"calls": 2}  # each pauses its account for a quarter of a minute
    return drawn


def _drafts(dice: Random, seed: int, seconds: float) -> Iterator[Draft]:
    used = dict.fromkeys(VENUES, 0)
    recent: list[Sequence[Pick]] = []
    at_s, number = 0.5, 0
    while at_s < seconds:
        picks = _picks(dice, used)
        if recent and dice.random() < OVERLAP:
            known = dice.choice(recent[-RECENT:])
            shared = dice.sample(known, dice.choice((len(known), max(1, len(known) // 2), 1)))
            picks = shared if dice.random() < 0.5 else [*picks, *shared]
        recent.append(picks)
        kinds = ("client_order_id", "order_id")
        yield Draft(
            at_s,
            f"soak-{seed}-{number:04}",
            tuple(picks),
            kinds[dice.random() >= CLIENT_IDS],
            dice.choice(PRIORITIES),
            dice.choice(DEADLINES_S),
            _ways(dice),
            (dice.choice(VENUES),) if dice.random() < STRANGER else (),
            dice.random() < NAMELESS,
        )
        number += 1
        if dice.random() >= SAME_MOMENT:
            at_s += dice.expovariate(1 / BATCH_EVERY_S)


def _picks(dice: Random, used: dict[str, int]) -> list[Pick]:
    """Pick orders that no batch has named so far: one to some hundred, of one venue or several."""
    size = int(10 ** dice.uniform(0, 2.5))
    names, weights = list(VENUE_WEIGHTS), list(VENUE_WEIGHTS.values())
    several = dice.choices(names, weights, k=1 if dice.random() < 0.6 else dice.randint(2, 8))
    picks: list[Pick] = []
    for venue in sorted(set(several)):
        count = min(MOST_ORDERS[venue], max(1, size // len(set(several))))
        picks += [(venue, used[venue] + place) for place in range(count)]
        used[venue] += count
    dice.shuffle(picks)
    return picks


def _ways(dice: Random) -> tuple[str, ...]:
    count = dice.randint(2, 4) if dice.random() < REPEATED else 1
    return tuple(dice.choices(list(WAYS), list(WAYS.values()), k=count))


def desk(venue: str) -> str:
    """Name the account of *venue* whose orders appear while sweeps go over it; no list names any of them."""
    return f"{venue}-desk"


def _sweeps(dice: Random, seed: int, seconds: float) -> Iterator[Sweep]:
    at_s, number = FIRST_SWEEP_S, 0
    while at_s < seconds:
        yield Sweep(
            at_s,
            f"soak-{seed}-s{number:03}",
            _selection(dice),
            dice.choice(PRIORITIES),
            dice.choice((8, 20, 40, 60, 60)),
            tuple(dice.choices(SWEEP_WAYS, k=2 if dice.random() < REPEATED else 1)),
            dice.choice((3, 10, 10_000)) if dice.random() < 0.25 else None,
        )
        number += 1
        at_s += dice.expovariate(1 / SWEEP_EVERY_S)


def _selection(dice: Random) -> dict[str, Any]:
    venues = dice.sample(VENUES, dice.choice((1, 1, 2, 5)))
    filters: dict[str, Any] = {}
    if dice.random() < 0.2:
        venues = venues[:1]
        filters["symbol"] = dice.choice(SIMULATED[venues[0]].symbols)
    if dice.random() < 0.25:
        filters["side"] = dice.choice(("buy", "sell"))
    if dice.random() < 0.25:
        filters["older_than_s"] = dice.choice((2, OLD_S // 2))
    if dice.random() < 0.25:
        filters["client_order_id_prefix"] = dice.choice(PREFIXES)
    accounts = [desk(venue) for venue in venues]
    if "client_order_id_prefix" in filters and "symbol" not in filters and dice.random() < 0.5:
        accounts = ["*"]  # the orders of lists have another prefix
    return {"accounts": accounts} | (filters or {"all": True})


def _bursts(dice: Random, seconds: float) -> Iterator[Burst]:
    at_s, number = FIRST_BURST_S, 0
    while at_s < seconds:
        venue = dice.choice(VENUES)
        simulated, listed = SIMULATED[venue], dice.random() < 0.15
        plan: dict[str, Any] = {
            "count": dice.randint(1, MOST_AT_ONCE[venue]),
            "side": dice.choice(("buy", "sell")),
            "kind": dice.choice((simulated.kinds[0], *simulated.kinds)),
            "symbol": dice.choice((None, *simulated.symbols)),
            "client_id_prefix": dice.choice(PREFIXES),
            # Only before the first sweep: the book tells when an order was made, not since when it is there.
            "age_ms": dice.choice((0, OLD_S * 1_000)) if number < EARLY_BURSTS else 0,
        }
        if simulated.list_ids and dice.random() < 0.3:
            plan["lists"] = dice.randint(1, 4)
        # Among the orders of lists only sweeps by prefix find them.
        yield Burst(at_s, f"{venue}-sim" if listed else desk(venue), plan)
        number += 1
        at_s += 0 if number < EARLY_BURSTS else dice.expovariate(1 / BURST_EVERY_S)


def _replays(dice: Random, seed: int, seconds: float) -> Iterator[Replay]:
    at_s, number = 15.0, 0
    while at_s < seconds:
        yield Replay(at_s, f"soak-{seed}-r{number:03}", dice.randrange(1_000))
        number += 1
        at_s += dice.expovariate(1 / REPLAY_EVERY_S)


def _beating(dice: Random, seconds: float) -> Iterator[tuple[float, float]]:
    at_s = dice.uniform(1.0, 5.0)
    while at_s < seconds:
        end_s = at_s + dice.uniform(*BEATING_S)
        yield at_s, min(end_s, seconds)
        at_s = end_s + dice.uniform(*SILENT_S)
