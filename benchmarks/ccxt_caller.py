"""Cancels with ccxt, sync or async; runs in an environment of its own and is told what to cancel by lines of JSON."""

import asyncio
import json
import sys
import time
from typing import Any

import ccxt
import ccxt.async_support

CONCURRENT = 50


def patch(exchange: Any, base_url: str) -> None:
    """Point *exchange* at another address, and spare it the list of markets; README.md says why."""
    exchange.urls["api"] = {"public": base_url, "private": base_url}
    exchange.set_markets([])


def options(job: dict[str, Any]) -> dict[str, Any]:
    """Give ccxt's configuration for *job*: its keys, and no limit."""
    return {"apiKey": job["keys"]["api_key"], "secret": job["keys"]["api_secret"], "enableRateLimit": False}


def cancel(exchange: Any, orders: list[str]) -> float:
    """Cancel one order after the other; gives the seconds that it took."""
    started_s = time.perf_counter()
    done = [exchange.cancel_order(order) for order in orders]
    return checked(orders, done, time.perf_counter() - started_s)


async def cancel_async(exchange: Any, orders: list[str]) -> float:
    """Cancel 50 orders at once; gives the seconds that it took."""
    places = asyncio.Semaphore(CONCURRENT)

    async def one(order: str) -> Any:
        async with places:
            return await exchange.cancel_order(order)

    started_s = time.perf_counter()
    done = await asyncio.gather(*map(one, orders))
    return checked(orders, done, time.perf_counter() - started_s)


def checked(orders: list[str], done: list[Any], took_s: float) -> float:
    """Give *took_s* if every answer names its order."""
    if [row["id"] for row in done] != orders:
        raise SystemExit("an answer does not name its order")
    return took_s


async def main() -> None:
    """Answer each job, until there is none left; connections are kept from one to the next."""
    sync: Any = None
    unsync: Any = None
    for line in sys.stdin:
        job = json.loads(line)
        if job["concurrent"]:
            unsync = unsync or ccxt.async_support.upbit(options(job))
            patch(unsync, job["base_url"])
            seconds = await cancel_async(unsync, job["orders"])
        else:
            sync = sync or ccxt.upbit(options(job))
            patch(sync, job["base_url"])
            seconds = cancel(sync, job["orders"])
        sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
        sys.stdout.flush()
    if unsync is not None:
        await unsync.close()


if __name__ == "__main__":
    asyncio.run(main())
