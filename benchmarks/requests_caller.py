"""Cancels with requests alone, in one loop or in many threads, 20 orders a call; told what by lines of JSON."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from benchmarks.chunks import chunked
from benchmarks.naive import send

ORDERS_PER_CALL = 20
THREADS = 64

_local = threading.local()


def cancel(target: dict[str, Any], orders: list[str], pool: ThreadPoolExecutor | None) -> float:
    """Cancel *orders*, one call after the other or in *pool*; gives the seconds that it took."""
    jobs = [[{"order_id": order} for order in chunk] for chunk in chunked(orders, ORDERS_PER_CALL)]
    started_s = time.perf_counter()
    done = list(pool.map(lambda job: _send(target, job), jobs) if pool else (_send(target, job) for job in jobs))
    took_s = time.perf_counter() - started_s
    if any(status != "accepted" for rows in done for _, status in rows):
        raise SystemExit("an order was not canceled")
    return took_s


def _send(target: dict[str, Any], job: list[dict[str, str]]) -> list[list[str]]:
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        session.trust_env = False
    return send(session, target, job)


def main() -> None:
    """Answer each job, until there is none left."""
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            job = json.loads(line)
            target = {"venue": "upbit", "base_url": job["base_url"], "keys": job["keys"]}
            seconds = cancel(target, job["orders"], pool if job["threads"] else None)
            sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
