"""Starts and stops a simulator, in this process or in a thread; the only module with an event loop of its own."""

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from simulator.config import write_config
from simulator.control_api import front
from simulator.desk import Desk
from simulator.http import Connection

HOST = "127.0.0.1"
BACKLOG = 1024


async def serve(desk: Desk, port: int, started: Callable[[str], None], stop: asyncio.Event) -> None:
    """Answer on *port* (0: a free one) until *stop* is set; *started* is told the URL once it is reachable."""
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    answer = front(desk)
    server = await loop.create_server(lambda: Connection(answer, connections), HOST, port, backlog=BACKLOG)
    try:
        started(f"http://{HOST}:{server.sockets[0].getsockname()[1]}")
        await stop.wait()
    finally:
        server.close()
        for connection in list(connections):
            connection.hang_up()
        await asyncio.sleep(0)  # lets the transports close their sockets
        await server.wait_closed()


def main(
    port: int, config_out: Path | None = None, *, redis_url: str | None = None, seed: int = 0, limits: bool = True
) -> int:
    """Run a simulator until SIGTERM or SIGINT, and give the process's exit code."""
    desk = Desk(seed)
    if not limits:
        desk.limiter.off.update(desk.limiter.rules())

    def started(url: str) -> None:
        if config_out is not None:
            write_config(config_out, url, desk.accounts.values(), redis_url)
        sys.stderr.write(f"listening on {url}\n")
        sys.stderr.flush()

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(desk, port, started, stop)

    gc.set_threshold(50_000, 20, 100)  # large books hold no cycles: looking for some would only stall the calls
    try:
        asyncio.run(run())
    except OSError as error:
        sys.stderr.write(f"the simulator cannot start: {error}\n")
        return 4
    return 0


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator in a thread of this process. Steer it through ``url``; ``desk`` belongs to that thread."""

    url: str
    desk: Desk


@contextmanager
def running_simulator(port: int = 0, *, seed: int = 0) -> Iterator[RunningSimulator]:
    """Run a simulator in a daemon thread for as long as the block lasts."""
    desk = Desk(seed)
    ready = threading.Event()
    urls: list[str] = []
    errors: list[OSError] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))

        def started(url: str) -> None:
            urls.append(url)
            ready.set()

        await serve(desk, port, started, stop)

    def body() -> None:
        try:
            asyncio.run(run())
        except OSError as error:  # the port is taken
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=body, name="simulator", daemon=True)
    thread.start()
    ready.wait()
    if errors:
        thread.join()
        raise errors[0]
    try:
        yield RunningSimulator(urls[0], desk)
    finally:
        loop, stop = stops[0]
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=5)
