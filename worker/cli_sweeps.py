"""The commands that sweep and do again: kill, replay; and those of the dead man's switch: beat, heartbeats."""

import sys
from contextlib import ExitStack
from typing import Any, Final

import click
import redis

from connectors.reads import Side
from connectors.transport import Transport
from tasks.batch import EVERY_ACCOUNT, PRIORITIES, Account, Priority
from tasks.client import Client
from tasks.clock import SystemClock
from tasks.document import load_batch
from tasks.errors import Unreachable
from tasks.report import REFUSED_EXIT_CODE
from worker.cli import cli, json_option
from worker.cli_batches import WaitCommand, hand_in, reader, wait_option
from worker.display import print_json, print_table, say
from worker.dry_run import Lister, Planned, tell
from worker.heartbeats import show
from worker.settings import config_path, load
from worker.store import RedisStore

NOT_LISTED: Final = 3  # what is open there is not known
ALL_TYPED: Final = "all accounts"
FILTERS: Final = {
    "symbol": "symbol",
    "side": "side",
    "older_than": "older_than_s",
    "client_prefix": "client_order_id_prefix",
}


@cli.command(
    cls=WaitCommand,
    epilog="Example: ripcord kill --account upbit-main binance-main --reason 'limit breach' --wait 60",
)
@click.argument("more", metavar="", nargs=-1)
@click.option("--account", "accounts", metavar="NAME...", multiple=True, help="The accounts to sweep.")
@click.option("--all-accounts", is_flag=True, help="Every account of the configuration.")
@click.option("--symbol", metavar="S", help="Only orders of this symbol, in the venue's own form.")
@click.option("--side", type=click.Choice([side.value for side in Side]), help="Only orders of this side.")
@click.option("--older-than", type=float, metavar="S", help="Only orders that were made more than S seconds ago.")
@click.option("--client-prefix", metavar="P", help="Only orders whose client order id begins so.")
@click.option("--max-orders", type=int, metavar="N", help="Send nothing if more than N orders match.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the report.")
@click.option("--by", metavar="WHO", help="Who asks; kept in the report.")
@click.option("--priority", type=click.Choice([p.value for p in PRIORITIES]), default="kill", show_default=True)
@click.option("--deadline", type=float, metavar="S", help="Seconds, 1 to 3600; default 60. No cancel is sent after it.")
@click.option("--batch-id", metavar="ID", help="The same id again is the same batch. Made if absent.")
@click.option("--dry-run", is_flag=True, help="List what would be canceled, and cancel nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the scope on a terminal.")
@wait_option
@json_option
@click.pass_obj
def kill(
    config: str | None,
    /,
    more: tuple[str, ...],
    wait: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Cancel every open order of these accounts, or those that pass all filters, until nothing of them is open.

    On a terminal it asks for the scope to be typed, unless --yes; otherwise it never asks.  --dry-run calls the venues
    to list what is open, within the limits, and ends with 3 if an account could not be listed.
    """
    document = _document((*options["accounts"], *more), options)
    if dry_run:
        return _dry_run(config, document, as_json=as_json)
    if sys.stdin.isatty() and not yes:
        _confirm(config, document)
    return hand_in(config, document, wait, as_json=as_json)


def _document(accounts: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Make the document of the command's words.  An empty filter is given too, and refused: it must not widen."""
    if options["all_accounts"] == bool(accounts) or (accounts and not options["accounts"]):
        raise click.UsageError("name the accounts: either --account NAME..., or --all-accounts")
    if EVERY_ACCOUNT in accounts:
        raise click.UsageError("for every account say --all-accounts")
    filters = {field: options[name] for name, field in FILTERS.items() if options[name] is not None}
    select = {"accounts": [*accounts] or [EVERY_ACCOUNT]} | (filters or {"all": True})
    given = {
        "max_orders": options["max_orders"],
        "deadline_s": options["deadline"],
        "requested_by": options["by"],
        "batch_id": options["batch_id"],
    }
    document = {"version": 1, "select": select, "priority": options["priority"], "reason": options["reason"]}
    return document | {name: value for name, value in given.items() if value is not None}


def _confirm(config: str | None, document: dict[str, Any]) -> None:
    """Have a person type the scope.  Raises click.UsageError if something else is typed."""
    select = document["select"]
    accounts = select["accounts"]
    everything = accounts == [EVERY_ACCOUNT]
    named = sorted(load(config_path(config), secrets=False).accounts) if everything else accounts
    filters = ", ".join(f"{name} {select[name]}" for name in FILTERS.values() if name in select)
    say(f"This cancels {f'the open orders with {filters}' if filters else 'EVERY open order'} of: {', '.join(named)}")
    scope = ALL_TYPED if everything else " ".join(accounts)
    typed = click.prompt(f'Type "{scope}" to go on', err=True, default="", show_default=False)
    if typed.split() != scope.split():
        raise click.UsageError("the scope was not confirmed, and nothing was sent")


def _dry_run(config: str | None, document: dict[str, Any], *, as_json: bool) -> int:
    """Print what a kill would do.  Raises DocumentRefused and Unreachable."""
    settings = load(config_path(config))
    batch = load_batch(document, settings.accounts.keys())
    if batch.select is None:
        raise click.UsageError("there is nothing to sweep")
    names = [*settings.accounts] if batch.select.accounts == (EVERY_ACCOUNT,) else batch.select.accounts
    accounts = {name: settings.accounts[name] for name in names}
    clock = SystemClock()
    with Client(settings.redis_url) as client, ExitStack() as stack:
        clock.follow(client.now_ms(), clock.monotonic_s())
        store = RedisStore(client.redis, "dry-run", settings.accounts, keep_s=0, guard_ms=settings.guard_ms)
        lister = Lister(store, clock, batch.priority, clock.now_ms() + round(batch.deadline_s * 1000))

        def line_of(account: Account) -> Transport:
            line = Transport(account.base_url, pool_size=1, monotonic=clock.monotonic_s)
            stack.callback(line.close)
            return line

        try:
            found = lister.find_all(accounts, batch.select, line_of)
        except redis.RedisError as error:
            raise Unreachable(f"Redis does not answer ({type(error).__name__})") from None
        share = settings.cleanup_share if batch.priority is Priority.CLEANUP else 1.0
        planned = Planned(batch.select, limited=batch.max_orders is not None)
        told = tell(found, planned, share=share, guard_ms=settings.guard_ms, now_ms=clock.now_ms())
    if as_json:
        print_json(told)
    else:
        _print_dry_run(told)
    if batch.max_orders is not None and told["orders"] > batch.max_orders:
        say(f"ripcord: {told['orders']} orders are more than max_orders, {batch.max_orders}: the kill would be refused")
        return REFUSED_EXIT_CODE
    return NOT_LISTED if any(one.trouble for one in found) else 0


def _print_dry_run(told: dict[str, Any]) -> None:
    rows = [[row[name] for name in ("account", "symbol", "side", "age", "orders")] for row in told["matching"]]
    print_table(("account", "symbol", "side", "age", "orders"), rows)
    for row in told["accounts"]:
        if row["calls"] is not None:
            calls = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in row["calls"].items())
            click.echo(f"{row['account']}: {row['orders']} orders; calls: {calls}; at least {row['seconds']:.1f} s")
    for gap in told["not_covered"]:
        click.echo(f"not covered: {gap}")
    for note in told["notes"]:
        click.echo(f"note: {note}")
    click.echo(
        f"{told['orders']} orders, {told['calls']} calls, at least {told['seconds']:.1f} s at the venues' limits"
    )
    click.echo("nothing was canceled (--dry-run)")


@cli.command(cls=WaitCommand, epilog="Example: ripcord replay risk-2026-11-20-0001 --priority kill --wait 60")
@click.argument("batch")
@click.option("--priority", type=click.Choice([p.value for p in PRIORITIES]), help="Default: as before.")
@click.option("--deadline", type=float, metavar="S", help="Seconds, 1 to 3600; default: as before.")
@click.option("--by", metavar="WHO", help="Who asks; default: as before.")
@click.option("--reason", metavar="TEXT", help="Why; default: as before.")
@click.option("--batch-id", metavar="ID", help="The same id again is the same batch. Made if absent.")
@wait_option
@json_option
@click.pass_obj
def replay(config: str | None, /, batch: str, wait: str | None, *, as_json: bool, **options: Any) -> int:
    """Cancel again, in a new batch, the orders of a finished batch that are not gone.

    A sweep that is not flat is swept again, as orders that it has not found may be open too.
    """
    with reader(config) as client:
        document = client.replay_of(batch)
    if "orders" not in document and "select" not in document:
        say(f"ripcord: every order of batch {batch} is gone: there is nothing to do again")
        if as_json:
            print_json({"batch_id": None, "known": False})
        return 0
    given = {
        "priority": options["priority"],
        "deadline_s": options["deadline"],
        "requested_by": options["by"],
        "reason": options["reason"],
        "batch_id": options["batch_id"],
    }
    document |= {name: value for name, value in given.items() if value is not None}
    return hand_in(config, document, wait, as_json=as_json)


@cli.command(epilog="Example: ripcord beat risk-engine")
@click.argument("name")
@click.pass_obj
def beat(config: str | None, /, name: str) -> None:
    """Say that the producer NAME lives; [[heartbeats]] of the configuration says what follows when it falls silent."""
    settings = load(config_path(config), secrets=False)
    known = [heartbeat.name for heartbeat in settings.heartbeats]
    if name not in known:
        raise click.BadParameter(
            f"{name!r} is not among [[heartbeats]] of {config_path(config)}: {', '.join(known) or 'there are none'}",
            param_hint="NAME",
        )
    with Client(settings.redis_url) as client:
        client.beat(name)


@cli.command(epilog="Example: ripcord heartbeats --json")
@json_option
@click.pass_obj
def heartbeats(config: str | None, /, *, as_json: bool) -> None:
    """Show each heartbeat: never (beaten), armed, silent (it is due, but no worker has fired it) or fired."""
    settings = load(config_path(config), secrets=False)
    with Client(settings.redis_url) as client:
        rows = show(client, settings.heartbeats)
        now_ms = client.now_ms()
        workers = client.workers()
    if as_json:
        print_json(rows)
        return
    if not workers:
        say("ripcord: no worker runs, so nobody looks at heartbeats: start one with `ripcord worker`")
    header = ("heartbeat", "state", "silence", "last beat", "batch")
    print_table(
        header,
        (
            [r["heartbeat"], r["state"], f"{r['silence_s']:g} s",
             r["seen_ms"] and f"{max(0, now_ms - r['seen_ms']) / 1000:.1f} s ago", r["batch_id"]]
            for r in rows
        ),
    )  # fmt: skip
