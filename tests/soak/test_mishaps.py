"""What carries troubles out: the simulator is one that runs in this process."""

from types import SimpleNamespace
from typing import Any, cast

from simulator.control import Control
from simulator.serve import running_simulator
from tests.soak import mishaps
from tests.soak.crew import Crew
from tests.soak.draws import Mishap


def test_a_fault_that_ends_leaves_the_others_as_they_are() -> None:
    with running_simulator() as simulator:
        control = Control(simulator.url)
        stage: Any = SimpleNamespace(control=control)
        crew = cast(Crew, None)
        control.fault("latency", seed=1, delay_ms=20, jitter_ms=60)
        control.fault("rate_429", seed=2, venue="upbit", calls=3)
        before = control.faults()

        _, end = mishaps.begin(stage, crew, Mishap(0, "venue.fault", settings={"fault": "html", "seed": 3}))
        assert len(control.faults()) == 3
        end()

        assert control.faults() == before
