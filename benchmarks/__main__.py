"""The command line ``python -m benchmarks``: runs rows, and writes down what they gave."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import bulk, commands, fairness, first_byte, kill, proof, rate, table
from benchmarks.accounts import Account
from benchmarks.house import CCXT_PYTHON, House, furnished
from benchmarks.machine import describe, load
from benchmarks.rows import Row

ROUNDS: Final = 3
KILLS: Final = 200
KILLS_PER_ROUND: Final = 67
FIRST_BYTES_PER_ROUND: Final = 45
NAMES: Final = ("bulk", "kill", "commands", "rate", "proof", "fairness", "first-byte")  # the last leaves work behind
HERE: Final = Path(__file__).parent


def main() -> int:
    """Run the rows that were asked for; gives 1 if one of them does not count."""
    given = _arguments()
    rounds, names = given.rounds, _names(given.rows)
    if "bulk" in names and not CCXT_PYTHON.exists():
        sys.stderr.write("ccxt's environment is missing: run `make bench`, or leave out the row bulk\n")
        return 2
    loads, started_s = [load()], time.monotonic()
    rows = []
    kills = min(KILLS, KILLS_PER_ROUND * rounds)
    with furnished(_accounts(rounds), names, kills) as house:
        for row in _measure(house, names, rounds, kills):
            print(table.summary(row), f"  [{time.monotonic() - started_s:.0f} s]", sep="\n", flush=True)
            rows.append(row)
        facts = describe(house.redis, [*loads, load()])
    given.out.write_text(table.write(rows, facts, rounds), encoding="utf-8")
    samples = {row.name: {"counts": row.counts, "faults": row.faults, "samples": row.samples} for row in rows}
    document = {"facts": facts, "rounds": rounds, "rows": samples}
    given.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row.counts for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default=",".join(NAMES), help=f"which: {', '.join(NAMES)} (with cpu and memory)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often; a kill row has 67 kills a round")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md", help="the table; samples go beside it as JSON")
    given = parser.parse_args()
    strangers = set(given.rows.split(",")) - set(NAMES)
    if strangers or given.rounds < 1:
        parser.error(f"no such rows or rounds: {', '.join(sorted(strangers)) or given.rounds}")
    return given


def _names(given: str) -> list[str]:
    return [name for name in NAMES if name in given.split(",")]


def _accounts(rounds: int) -> list[Account]:
    return [
        *commands.accounts(),
        *rate.accounts(),
        *proof.accounts(),
        *fairness.accounts(rounds),
        *first_byte.accounts(),
    ]


def _measure(house: House, names: Iterable[str], rounds: int, kills: int) -> Iterator[Row]:
    ways: dict[str, Callable[[], tuple[Row, ...]]] = {
        "bulk": lambda: bulk.measure(house, rounds),
        "kill": lambda: (kill.measure(house, kills),),
        "commands": lambda: (commands.measure(house),),
        "rate": lambda: (rate.measure(house),),
        "proof": lambda: (proof.measure(house),),
        "fairness": lambda: (fairness.measure(house, rounds),),
        "first-byte": lambda: first_byte.measure(house, FIRST_BYTES_PER_ROUND * rounds),
    }
    for name in names:
        yield from ways[name]()


if __name__ == "__main__":
    sys.exit(main())
