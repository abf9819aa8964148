"""The command line ``python -m tests.soak``; it only reads its arguments and keeps or removes the folder."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.soak.run import soak
from tests.soak.summary import say


def main() -> int:
    """Run a soak; gives 0 if it is clean, 1 if there are findings."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Trouble real processes for some minutes, and audit what they said; exit code 1 if it is not true.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults go on (default 10)")
    parser.add_argument(
        "--orders",
        type=int,
        help="cancel so many orders at once, at venues that allow far more calls; faults go on until all have ended",
    )
    parser.add_argument("--seed", type=int, help="decides every fault and batch; drawn and printed if not given")
    parser.add_argument(
        "--guard-ms",
        type=int,
        default=20,
        help="the workers' limiter.guard_ms (default 20: the venues share the machine); more where others do, too",
    )
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error("--minutes must be above 0")
    seed = SystemRandom().randrange(1_000_000) if args.seed is None else args.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is taken down on SIGTERM too
    folder = Path(tempfile.mkdtemp(prefix=f"ripcord-soak-{seed}-"))
    found = ["it did not come to its end"]
    try:
        found = soak(folder, seed, args.minutes * 60, args.guard_ms, args.orders)
    finally:
        if found:
            say(f"soak: the logs, reports and calls are in {folder}; repeat it with --seed {seed}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
