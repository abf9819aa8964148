"""One seed after the other, in one process of several."""

import gc

from tests.simulation.memory import Memory
from tests.simulation.world import World

_memory: list[Memory] = []


def play(seed: int) -> tuple[int, list[str]]:
    """Play one seed on a Redis in memory; gives the seed and what was broken."""
    if not _memory:
        _memory.append(Memory())
        gc.disable()  # it would take a fifth of the time
    if seed % 64 == 0:
        gc.collect()
    return seed, World(seed, _memory[0]).run()
