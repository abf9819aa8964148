from collections.abc import Callable, Iterator

import pytest

from simulator.control import Control
from simulator.serve import RunningSimulator, running_simulator
from tests.simulator.callers import Caller


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSimulator]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def control(running: RunningSimulator) -> Control:
    control = Control(running.url)
    control.reset()
    return control


@pytest.fixture
def caller(running: RunningSimulator, control: Control) -> Callable[[str], Caller]:
    return lambda venue: Caller(running.url, f"{venue}-sim")
