"""Thousands of schedules of the product's own scripts and drains, and the same on a real server."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.memory import Memory
from tests.simulation.planted import BUGS, MOST_SEEDS, Bug, seeds_to_find
from tests.simulation.play import play
from tests.simulation.server import NOTHING_EXPIRES, Server
from tests.simulation.world import World

KNOWN = 4_900  # seeds from 0 on, the same in every run
FRESH = 100  # seeds that no run has had; `make simulate` plays a million
REAL_SEEDS = 200
BATCH = 50


def window() -> int:
    """Give the first seed of a window that no run has had; RIPCORD_SIMULATION_SEED repeats one."""
    return int(os.environ.get("RIPCORD_SIMULATION_SEED", time.time_ns() // 1_000_000 % 10**9))


def test_every_schedule_keeps_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    first = window()
    with capsys.disabled():
        print(f"\nsimulation: seeds 0..{KNOWN - 1}, {first}..{first + FRESH - 1}", end=" ", flush=True)

    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(play, [*range(KNOWN), *range(first, first + FRESH)], chunksize=BATCH))

    broken = [f"python -m tests.simulation --verbose --seed {seed}: {faults[0]}" for seed, faults, _ in found if faults]
    assert len(found) == KNOWN + FRESH
    assert broken == []


@pytest.mark.redis
def test_a_real_server_tells_the_same_as_the_one_in_memory(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nsimulation on a server: seeds 0..{REAL_SEEDS - 1}", end=" ", flush=True)
    memory, server = Memory(NOTHING_EXPIRES), Server(redis_url)

    for seed in range(REAL_SEEDS):
        simulated = World(seed, memory, digesting=True)
        real = World(seed, server, digesting=True, only_compared=True)

        assert simulated.run() == [], seed
        assert real.run() == [], seed
        assert real.digest == simulated.digest, seed
    server.close()


def test_a_seed_is_a_schedule() -> None:
    memory = Memory()
    one, same, other = (World(seed, memory, digesting=True) for seed in (7, 7, 8))

    for world in (one, same, other):
        world.run()

    assert one.digest == same.digest
    assert one.digest != other.digest


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found = seeds_to_find(bug)

    assert found is not None, f"not found in {MOST_SEEDS} seeds"
