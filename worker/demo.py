"""The demo: a Redis, five simulated venues and a worker of its own, and a report compared with the venues' books."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from connectors.orders import IdKind
from connectors.outcomes import Status, Verdict
from connectors.registry import VENUES
from tasks.client import Client
from tasks.clock import SystemClock
from tasks.errors import RipcordError
from tasks.report import exit_code
from worker.display import follow, print_json, print_report, say
from worker.embedded import EmbeddedRedis, EmbeddedRedisError
from worker.settings import child_environment, load

START_S: Final = 20.0
DEADLINE_S: Final = 600
SLOW: Final = {"weex": 40, "kuna": 40}  # their limits allow a few calls a second, and each order is read by itself
FILLED_SHARE, UNKNOWN_SHARE, LIST_SHARE = 0.05, 0.02, 0.5
KINDS: Final = tuple(kind.value for kind in IdKind)
OPEN_STATES: Final = frozenset({"open", "partly_filled"})
LISTENING: Final = "listening on "
FAULTS: Final = (
    {"fault": "latency", "delay_ms": 20, "jitter_ms": 20},
    {"fault": "cut_after", "venue": "upbit", "calls": 1},
    {"fault": "error_5xx_after", "venue": "binance", "calls": 2},
    {"fault": "missing_items", "venue": "crypto_com", "calls": 1},
    {"fault": "rate_429", "venue": "crypto_com", "calls": 1, "delay_ms": 200},
    {"fault": "html", "venue": "upbit", "calls": 1},
)
WHAT_WAS_DONE: Final = (
    "Some orders were filled before the cancel came, some never existed, and the venues cut connections, answered\n"
    "with errors after canceling and left orders out.  Binance's answer is final; Crypto.com, Upbit, Kuna and WEEX\n"
    "only take a request, so each of their orders was read back until its venue named it as ended."
)


class DemoError(RipcordError):
    """A part of the demo did not start."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """The control side of the simulated venues."""

    url: str

    def ask(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        """Call the control API."""
        body = {"json": fields} if method == "POST" else {"params": fields}
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(method, f"{self.url}/_sim/{path}", timeout=60, **body)  # type: ignore[arg-type]
            response.raise_for_status()
            return dict(response.json())


def run_demo(number: int, *, as_json: bool) -> int:
    """Run the demo with *number* orders and give the exit code of its report (1 also if a claim was false)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is taken down on SIGTERM too
    clock = SystemClock()
    try:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="ripcord-demo-"))
            stack.callback(_remove, folder, clock)
            redis_url = stack.enter_context(EmbeddedRedis(directory=folder)).url
            config = folder / "ripcord.toml"
            parts = ("simulator", "--port", "0", "--config-out", str(config), "--redis-url", redis_url)
            log = stack.enter_context(_process(parts, folder / "simulator.log", config))
            simulator = Simulator(_listening(log, clock))
            stack.enter_context(_process(("worker", "worker"), folder / "worker.log", config))
            client = stack.enter_context(Client(redis_url))
            say(f"ripcord demo: {number} orders on five simulated venues, which fail as real ones do")
            document = _document(number, simulator, {a.venue.name: n for n, a in load(config).accounts.items()})
            batch_id = client.submit(document)
            found = follow(client, batch_id, clock.now_ms() + (DEADLINE_S + 30) * 1000)
            if found["state"] != "done":
                raise DemoError(f"the demo's batch did not end; the worker's log:\n{_tail(folder / 'worker.log')}")
            clock.sleep(1)  # venues that cancel after their answer do so within this time
            outcomes = client.outcomes(batch_id)
            accounts = {row["account"] for row in outcomes}
            contradictions = compare(outcomes, {name: simulator.ask("GET", "book", account=name) for name in accounts})
    except EmbeddedRedisError as error:
        raise DemoError(str(error)) from None
    return _tell(found, outcomes, contradictions, as_json=as_json)


def _tell(found: dict[str, Any], outcomes: list[dict[str, Any]], contradictions: list[str], *, as_json: bool) -> int:
    venues = dict(sorted(Counter(row["venue"] for row in outcomes).items()))
    if as_json:
        print_json(found | {"venues": venues})
    else:
        print_report(found)
        sys.stdout.write(f"venues    {', '.join(f'{name} {count}' for name, count in venues.items())}\n")
        sys.stdout.write(f"\n{WHAT_WAS_DONE}\n\n")
    for line in contradictions[:20]:
        say(f"ripcord demo: {line}")
    if contradictions:
        say(f"ripcord demo: {len(contradictions)} of {len(outcomes)} outcomes contradict the venues' books")
        return 1
    say(f"ripcord demo: compared with the venues' own books: {len(outcomes)} outcomes, none claims more than is true")
    return exit_code(found)


def compare(outcomes: list[dict[str, Any]], books: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Find the outcomes that contradict the venues' books: a false gone, a false live, an unfounded accepted."""
    states: dict[tuple[str, str, str], set[str]] = {}
    for account, book in books.items():
        for order in book["orders"]:
            for name in KINDS:
                states.setdefault((account, name, str(order.get(name))), set()).add(order["state"])
    contradictions = []
    for row in outcomes:
        name, kind = next((row[kind], kind) for kind in KINDS if row[kind] is not None)
        found = states.get((row["account"], kind, name), set())
        if _contradicts(row, found):
            truth = " and ".join(sorted(found)) or "that it never existed"
            contradictions.append(f"{row['venue']} {name} is reported as {row['status']}, the book says {truth}")
    return contradictions


def _contradicts(row: Mapping[str, Any], found: set[str]) -> bool:
    """Say whether an outcome claims what the book denies; *found* are the states of the order, or of a list's legs."""
    lives = bool(found & OPEN_STATES)
    if row["status"] == Status.NOT_FOUND:
        return bool(found)
    if row["verdict"] == Verdict.LIVE:
        return bool(found) and not lives
    claims_an_end = row["verdict"] == Verdict.GONE or row["status"] == Status.ACCEPTED
    other_end = row["status"] in {Status.CANCELED, Status.FILLED} and row["status"] not in found
    return (claims_an_end and (lives or not found)) or other_end


def _document(number: int, simulator: Simulator, accounts: Mapping[str, str]) -> dict[str, Any]:
    """Fill the venues' books and name all of their orders, and some that never existed."""
    orders: list[dict[str, str]] = []
    for venue, count in _shares(number).items():
        account = accounts[venue]
        strangers = int(count * UNKNOWN_SHARE)
        real = count - strangers
        lists = int(real * LIST_SHARE) if venue == "binance" else 0
        seeded = simulator.ask(
            "POST", "orders", account=account, count=real - lists, lists=lists, filled=int(real * FILLED_SHARE)
        )["orders"]
        orders += [_reference(account, names) for names in seeded]
        orders += [_reference(account, _stranger(seeded[0], n)) for n in range(strangers)]
    for fault in FAULTS:
        simulator.ask("POST", "faults", **fault)
    return {
        "version": 1,
        "orders": orders,
        "priority": "kill",
        "deadline_s": DEADLINE_S,
        "requested_by": "ripcord demo",
        "reason": "demonstration",
    }


def _shares(number: int) -> dict[str, int]:
    """Spread the orders over the venues, evenly but for those whose limits would make a demo long."""
    shares = {name: min(number // len(VENUES), SLOW.get(name, number)) for name in VENUES}
    fast = [name for name in VENUES if name not in SLOW]
    rest = number - sum(shares.values())
    for place, name in enumerate(fast):
        shares[name] += rest // len(fast) + (place < rest % len(fast))
    return shares


def _reference(account: str, names: Mapping[str, str]) -> dict[str, str]:
    kind = "order_id" if "order_id" in names else "order_list_id"
    return {"account": account, kind: names[kind], "symbol": names["symbol"]}


def _stranger(names: Mapping[str, str], number: int) -> dict[str, str]:
    """Name an order that never existed, in the form of one that does."""
    known = names["order_id"]
    tail = f"{number:012d}" if "-" in known else f"9{number:04d}"
    return {"order_id": known[: -len(tail)] + tail, "symbol": names["symbol"]}


@contextmanager
def _process(parts: tuple[str, ...], log: Path, config: Path) -> Iterator[Path]:
    """Run one of our modules as a process of its own, with its log in a file; it ends with the block."""
    with log.open("wb") as out, subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-P", "-m", *parts],
        stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=child_environment(config),
    ) as process:  # fmt: skip
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _remove(folder: Path, clock: SystemClock) -> None:
    """Remove the demo's folder, also when a process that was just ended still writes into it."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        clock.sleep(0.1)


def _listening(log: Path, clock: SystemClock) -> str:
    """Wait until the simulator says where it listens."""
    until_ms = clock.now_ms() + START_S * 1000
    while clock.now_ms() < until_ms:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith(LISTENING):
                return line.removeprefix(LISTENING).strip()
        clock.sleep(0.02)
    raise DemoError(f"the simulated venues did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
