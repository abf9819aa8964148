"""What goes wrong in one schedule: every number is drawn from its seed."""

from dataclasses import dataclass, fields
from random import Random


@dataclass(slots=True)
class Weather:
    """The faults of one schedule, and how often they come.  Rates are probabilities of one event each time."""

    dice: Random
    workers: int = 2
    faults_end_ms: int = 3_000  # since the start; from then on nothing goes wrong any more
    kills: float = 0.0  # of each worker that starts: it dies at one of its switches
    stops: float = 0.0  # … is stopped at one of its switches, for longer than a lease
    kill_within: int = 150  # switches
    slow_command: float = 0.0  # of each command: it takes up to 50 ms
    command_lost: float = 0.0  # … does not reach Redis
    reply_lost: float = 0.0  # … is executed, and the caller sees a time-out
    lost_second: bool = False  # Redis restarts once, and has lost up to a second
    redis_down: bool = False  # Redis is away once, and has lost nothing
    answer_lost: float = 0.0  # of each call: executed, no answer comes
    request_lost: float = 0.0  # … not executed, no answer comes
    answer_late: float = 0.0
    server_error: float = 0.0  # … 5xx, executed or not
    busy: float = 0.0  # … 503: not executed
    rate_limit: float = 0.0  # … 429 for no reason of ours
    omits: float = 0.0  # of each order in an answer: it is not named
    refused: float = 0.0  # of each call: no connection
    maintenance: bool = False  # for a while the venue serves nobody
    bad_key: bool = False  # for a while the venue refuses the key
    accepts: bool = False  # the venue only takes cancels in, and executes them a little later
    forgotten: float = 0.0  # … of each order so taken in: it is not executed at all
    lag: float = 0.0  # of the settling time: what reads may lag behind the engine
    improper: float = 0.0  # of each listing: it is none, though its status is 200
    births: float = 0.0  # of each order: it is placed at some time, not before
    fires: float = 0.0  # of each order of a second namespace: it becomes an ordinary one at some time
    forgets: bool = False  # the venue knows nothing of orders that have ended
    tells_usage: bool = False  # the venue's answers tell what is left of the limits
    others_call: float = 0.0  # of each call: somebody else has called with the same key
    hint_lost: float = 0.0
    hint_twice: float = 0.0
    fills: float = 0.0  # of each order: it fills at some time
    poison: bool = False  # one order kills every worker that sends it
    bad_reference: float = 0.0  # of each order: it spoils its call
    stubborn: float = 0.0  # of each order: the venue refuses to cancel it
    connecting_ms: int = 0  # a connection takes up to this long before the bytes leave
    clock_spread_ms: int = 0  # clocks of workers differ by up to this
    clock_steps: bool = False  # a worker's clock is set by up to two seconds, until its next heartbeat
    latency_ms: int = 10
    jitter_ms: int = 1
    strict: bool = True  # clocks and jitter stay below the guard: no call may breach a limit

    def told(self) -> str:
        """List what goes wrong, for a reader."""
        named = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name != "dice")
        return "weather: " + ", ".join(f"{name} {value:.3g}" for name, value in named if value)


def draw(dice: Random) -> Weather:
    """Draw a mix: each fault is in about a third of the schedules, so that no fault hides behind the others."""

    def some(most: float, chance: float = 0.3) -> float:
        return dice.random() * most if dice.random() < chance else 0.0

    def maybe(chance: float) -> bool:
        return dice.random() < chance

    clock_steps = maybe(0.1)
    spread = dice.choice([0, 0, 1])
    return Weather(
        dice,
        workers=dice.choice([2, 2, 3]),
        faults_end_ms=dice.randint(1_000, 4_000),
        kills=some(1.0, 0.4),
        stops=some(1.0, 0.3),
        kill_within=dice.choice([40, 150, 400]),
        slow_command=some(0.1),
        command_lost=some(0.05),
        reply_lost=some(0.08),
        lost_second=maybe(0.12),
        redis_down=maybe(0.1),
        answer_lost=some(0.3),
        request_lost=some(0.2),
        answer_late=some(0.3),
        server_error=some(0.3),
        busy=some(0.3),
        rate_limit=some(0.2),
        omits=some(0.2),
        refused=some(0.3),
        maintenance=maybe(0.1),
        bad_key=maybe(0.08),
        accepts=maybe(0.4),
        forgotten=some(0.4),
        lag=some(0.8, 0.5) if not clock_steps else 0.0,
        improper=some(0.4),
        births=some(0.5) if not clock_steps else 0.0,
        fires=some(0.7),
        forgets=maybe(0.15),
        tells_usage=maybe(0.2),
        others_call=some(0.3, 0.15),
        hint_lost=some(0.5),
        hint_twice=some(0.5),
        fills=some(0.5),
        poison=maybe(0.08),
        bad_reference=some(0.15),
        stubborn=some(0.2),
        connecting_ms=dice.choice([0, 0, 3, 20]),
        clock_spread_ms=spread,
        clock_steps=clock_steps,
        latency_ms=dice.choice([1, 10, 50]),
        jitter_ms=dice.choice([0, 1, 2]),
        strict=not clock_steps,
    )
