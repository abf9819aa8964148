"""The commands that start processes or look at the set-up: worker, simulator, demo, check, venues."""

import os
import signal
import sys
from types import FrameType
from typing import Any, Final

import click

from connectors.calls import Limit
from connectors.registry import VENUES
from connectors.venue import Venue
from tasks.batch import PRIORITIES, Account
from tasks.client import Client
from worker.cli import cli, json_option
from worker.display import print_json, print_table, say
from worker.settings import config_path, load, use_config

QUEUES: Final = tuple(p.value for p in PRIORITIES)
INTERRUPTED: Final = 130  # as shells have it


@cli.command(epilog="Example: ripcord worker --queues kill --concurrency 16")
@click.option("--queues", metavar="LIST", default=",".join(QUEUES), show_default=True, help="Queues to serve.")
@click.option("--concurrency", type=click.IntRange(1, 1024), default=64, show_default=True, help="Calls at once.")
@click.pass_obj
def worker(config: str | None, /, queues: str, concurrency: int) -> int:
    """Run a worker until SIGTERM or Ctrl-C; calls in flight then end and are settled.

    Run one for everything and one for kills alone, so that a dead venue cannot fill the places a kill needs.
    """
    names = [name.strip().removeprefix("ripcord.") for name in queues.split(",") if name.strip()]
    strangers = [name for name in names if name not in QUEUES]
    if strangers or not names:
        raise click.BadParameter(
            f"{', '.join(strangers) or 'none'}: choose from {', '.join(QUEUES)}", param_hint="--queues"
        )
    path = config_path(config)
    settings = load(path)
    if not settings.accounts:
        say(f"ripcord: {path} has no accounts: every batch will be refused")
    with Client(settings.redis_url) as client:
        client.ping()  # a worker that runs waits for Redis; one that starts without it has most likely a wrong address
    use_config(path)
    from worker.app import StartRefused, app, queue  # noqa: PLC0415  # the application needs the configuration to be set

    ordered = [queue(name) for name in QUEUES if name in names]
    try:
        process = app.Worker(queues=ordered, concurrency=concurrency, quiet=True, loglevel="WARNING")
    except StartRefused as refused:
        raise refused.error from None
    _end_on_interrupt(process)
    process.start()
    return int(process.exitcode or 0)


def _end_on_interrupt(process: Any) -> None:
    """Have *process* take Ctrl-C for SIGTERM.  A second one, or SIGQUIT, ends it at once: others give its chunks back.

    Celery's own second step would terminate the calls, which its pool of threads cannot.
    """
    install = process.install_platform_tweaks

    def leave(*_: object) -> None:
        os._exit(INTERRUPTED)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, leave)
        end_well: Any = signal.getsignal(signal.SIGTERM)
        end_well(number, frame)

    def tweak(instance: object) -> None:
        install(instance)
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGQUIT, leave)

    process.install_platform_tweaks = tweak


@cli.command(epilog="Example: ripcord simulator --port 8900 --config-out ripcord.toml")
@click.option("--port", type=click.IntRange(0, 65_535), default=8900, show_default=True, help="0 picks a free one.")
@click.option("--config-out", metavar="PATH", help="Write a ready configuration for the simulated venues.")
def simulator(port: int, config_out: str | None) -> None:
    """Run the five simulated venues until SIGTERM or Ctrl-C."""
    command = [sys.executable, "-P", "-m", "simulator", "--port", str(port)]
    # This process becomes the simulator: nothing is imported from it, and no signal has to be passed on.
    os.execv(sys.executable, command + (["--config-out", config_out] if config_out else []))  # noqa: S606  # our own module


@cli.command(epilog="Example: ripcord demo --orders 5000")
@click.option("--orders", type=click.IntRange(5, 100_000), default=1000, show_default=True, help="How many to cancel.")
@json_option
def demo(orders: int, *, as_json: bool) -> int:
    """Cancel simulated orders over all five venues, and compare the report with the venues' own books.

    It starts a Redis, the venues and a worker of its own, needs no configuration and no network, and leaves
    nothing behind.
    """
    from worker.demo import run_demo  # noqa: PLC0415  # only the demo needs a server of its own

    return run_demo(orders, as_json=as_json)


@cli.command(epilog="Example: ripcord check --json")
@json_option
@click.pass_obj
def check(config: str | None, /, *, as_json: bool) -> None:
    """Load the configuration, reach Redis, and say what each account may do.  Calls no venue."""
    path = config_path(config)
    settings = load(path)
    with Client(settings.redis_url, keep_days=settings.keep_days) as client:
        workers = client.workers()
        pauses = client.pauses(list(settings.accounts))
    rows = [_account(account) | {"paused": pauses.get(name)} for name, account in settings.accounts.items()]
    if as_json:
        print_json({"config": str(path), "redis": "reachable", "workers": workers, "accounts": rows})
        return
    click.echo(f"configuration  {path}: fine, {len(rows)} accounts")
    click.echo("redis          reachable")
    click.echo(f"workers        {len(workers)} alive" + ("" if workers else ": start one with `ripcord worker`"))
    header = ("account", "venue", "takes", "orders per call", "calls in flight", "limits", "paused")
    print_table(
        header,
        (
            [r["account"], r["venue"], ", ".join(r["takes"]), r["max_orders_per_call"], r["max_in_flight"],
             "; ".join(r["limits"]), r["paused"]]
            for r in rows
        ),
    )  # fmt: skip


@cli.command(epilog="Example: ripcord venues")
@json_option
def venues(*, as_json: bool) -> None:
    """Show the five venues: limits, id kinds, and what their answer to a cancel proves."""
    rows = [_venue(venue) for venue in VENUES.values()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['venue']}: {row['title']}")
        for name in (
            "base_url",
            "takes",
            "symbol",
            "credentials",
            "max_orders_per_call",
            "limits",
            "success_proves",
            "note",
        ):
            value = row[name]
            if value:
                click.echo(f"  {name.replace('_', ' '):<20} {'; '.join(value) if isinstance(value, list) else value}")


def _venue(venue: Venue) -> dict[str, Any]:
    return {
        "venue": venue.name,
        "title": venue.title,
        "base_url": venue.base_url,
        "takes": [kind.value for kind in venue.id_kinds],
        "symbol": "required" if venue.symbol_required else "optional",
        "credentials": [", ".join(sorted(names)) for names in venue.credential_sets],
        "max_orders_per_call": venue.max_orders_per_call,
        "max_in_flight": venue.max_in_flight,
        "limits": [_limit(limit) for limit in venue.limits],
        "success_proves": venue.success_proves,
        "note": venue.note,
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "account": account.name,
        "venue": account.venue.name,
        "base_url": account.base_url,
        "takes": [kind.value for kind in account.venue.id_kinds],
        "max_orders_per_call": account.max_orders_per_call,
        "max_in_flight": account.max_in_flight,
        "limits": [_limit(limit) for limit in account.limits],
        "success_proves": account.venue.success_proves,
    }


def _limit(limit: Limit) -> str:
    cost = "" if limit.cost == 1 else f", a cancel counts {limit.cost}"
    return f"{limit.units} per {limit.per_ms / 1000:g} s by {limit.scope.value} ({limit.name}{cost})"
