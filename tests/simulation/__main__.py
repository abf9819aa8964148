"""Play schedules: ``python -m tests.simulation --seed 7 --verbose``."""

import argparse
import os
import time
from multiprocessing import Pool

from tests.simulation.memory import Memory
from tests.simulation.planted import BUGS, seeds_to_find
from tests.simulation.play import play
from tests.simulation.world import World

SHOWN = 40
SEEN = 120  # characters of what is seen, in the table


def main() -> int:
    """Play what the command line asks for; gives 1 if a rule was broken, or a planted bug not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay one schedule")
    parser.add_argument("--verbose", action="store_true", help="with --seed: tell all that happens")
    parser.add_argument("--seeds", default="0..999999", help="play many: FIRST..LAST")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; by default one for each core")
    parser.add_argument("--planted", action="store_true", help="say how many seeds each planted bug takes")
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed, given.verbose)
    if given.planted:
        return planted(given.jobs)
    first, last = map(int, given.seeds.split(".."))
    return many(first, last, given.jobs)


def one(seed: int, verbose: bool) -> int:
    """Replay one schedule."""
    world = World(seed, Memory(), print if verbose else None)
    if verbose:
        print(world.weather.told())
    faults = world.run()
    print(*faults or [f"seed {seed}: nothing is wrong"], sep="\n")
    return int(bool(faults))


def many(first: int, last: int, jobs: int) -> int:
    """Play a window of seeds."""
    started, broken, audited = time.monotonic(), 0, 0
    with Pool(jobs) as pool:
        for number, (seed, faults, orders) in enumerate(pool.imap_unordered(play, range(first, last + 1), 50), 1):
            audited += orders
            if faults:
                broken += 1
                if broken <= SHOWN:
                    print(f"seed {seed}: {faults[0]}", flush=True)
            if number % 10_000 == 0:
                print(f"{number} played, {broken} broken", flush=True)
    number, took_s = last - first + 1, time.monotonic() - started
    rate = number / took_s * 60
    print(f"seeds {first}..{last}: {broken} of {number} broken, {audited} orders audited; {rate:.0f} a minute")
    return int(bool(broken))


def planted(jobs: int) -> int:
    """Print the table of planted bugs."""
    missed = 0
    print("| planted bug | seeds | what is seen first |\n|---|---|---|")
    with Pool(jobs) as pool:
        for bug, found in zip(BUGS, pool.imap(_find, range(len(BUGS)), 1), strict=True):
            missed += found is None
            seen = found and found[1].split(": [Round")[0].replace("|", "/")[:SEEN]
            print(f"| {bug.name} | {found[0]} | {seen} |" if found else f"| {bug.name} | not found | |", flush=True)
    return int(missed > 0)


def _find(number: int) -> tuple[int, str] | None:
    return seeds_to_find(BUGS[number])


if __name__ == "__main__":
    raise SystemExit(main())
