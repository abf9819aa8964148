"""The command line ``python -m simulator``; it only reads its arguments."""

import argparse
import sys
from pathlib import Path

from simulator.serve import main


def _run() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description="The five simulated venues in one process."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument("--config-out", type=Path, help="write a ready ripcord.toml here, its secrets beside it")
    parser.add_argument("--redis-url", help="the Redis that the configuration names")
    parser.add_argument("--seed", type=int, default=0, help="seed of the ids and the dice")
    parser.add_argument("--no-limits", action="store_true", help="keep no rate limits, for measuring")
    args = parser.parse_args()
    return main(args.port, args.config_out, redis_url=args.redis_url, seed=args.seed, limits=not args.no_limits)


if __name__ == "__main__":
    sys.exit(_run())
