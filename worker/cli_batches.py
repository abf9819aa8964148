"""The commands that hand batches in and read them: cancel, show, outcomes, watch, list."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from connectors.orders import IdKind
from connectors.outcomes import Verdict
from tasks.batch import PRIORITIES
from tasks.client import FINAL_STATES, Client
from tasks.clock import SystemClock
from tasks.errors import WaitTimeout
from tasks.report import exit_code
from worker.cli import cli, json_option
from worker.display import follow, print_csv, print_json, print_json_lines, print_pauses, print_report, print_table, say
from worker.references import name_of, parse, read_file
from worker.settings import Settings, config_path, load

FOREVER: Final = ""  # --wait without a number
SECONDS: Final = re.compile(r"\d{1,5}(\.\d+)?")  # what may be --wait's number; venues' own ids are longer
GRACE_S: Final = 15.0  # after the deadline calls in flight may take this long to end
OUTCOME_HEADER: Final = (
    "account", "venue", "symbol", "order_id", "client_order_id", "order_list_id", "client_order_list_id",
    "status", "verdict", "filled_qty", "code", "message", "evidence", "attempts", "updated_ms",
)  # fmt: skip


class WaitCommand(click.Command):
    """A command whose --wait may stand alone or before a number of seconds."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join --wait to its number, so that a bare one never swallows an order id."""
        joined: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                joined += [word, *rest]
                break
            if word == "--wait":
                word = f"--wait={rest.pop(0) if rest and SECONDS.fullmatch(rest[0]) else FOREVER}"
            joined.append(word)
        return super().parse_args(ctx, joined)


wait_option: Callable[[Any], Any] = click.option(
    "--wait", metavar="[S]", help="Wait until the batch is done, at most S seconds (default: deadline and 15 s)."
)


@cli.command(
    cls=WaitCommand,
    epilog="Example: ripcord cancel --account upbit-main --priority kill --reason 'limit breach' --wait 30 "
    "6c1eac69-b9bc-4fbf-9982-e9c4641c453f e7f41e24-7199-4cf4-9b02-72971cb69a4d",
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--file", "file", metavar="PATH", help="A batch document, or JSON Lines or CSV of references; - is stdin."
)
@click.option("--account", metavar="NAME", help="The account of orders that name none.")
@click.option("--symbol", metavar="S", help="The symbol of the IDs, in the venue's own form.")
@click.option("--client-ids", is_flag=True, help="The IDs are client order ids.")
@click.option("--priority", type=click.Choice([p.value for p in PRIORITIES]), help="Default: risk.")
@click.option("--deadline", type=float, metavar="S", help="Seconds, 1 to 3600; default 60. No cancel is sent after it.")
@click.option("--no-prove", is_flag=True, help="Report the venue's answers as they are.")
@click.option("--by", metavar="WHO", help="Who asks; kept in the report.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the report.")
@click.option("--batch-id", metavar="ID", help="The same id again is the same batch. Made if absent.")
@wait_option
@json_option
@click.pass_obj
def cancel(config: str | None, /, ids: tuple[str, ...], file: str | None, *, as_json: bool, **options: Any) -> int:
    """Cancel these orders.

    With a number after it, --wait takes that as seconds, so put it before other options or write --wait=S.
    """
    wait = options.pop("wait")
    return hand_in(config, _document(ids, file, options), wait, as_json=as_json)


def hand_in(config: str | None, document: dict[str, Any], wait: str | None, *, as_json: bool) -> int:
    """Hand a document over, wait for it if *wait* (the option's words) is given, and give the exit code."""
    seconds = _seconds(wait)
    settings = load(config_path(config), secrets=False)
    with _client(settings) as client:
        handed = client.hand_over(document, frozenset(settings.accounts))
        if handed.known:
            say(f"ripcord: batch {handed.batch_id} was known already; nothing is sent twice")
        if seconds is None:
            if as_json:
                print_json({"batch_id": handed.batch_id, "known": handed.known})
            else:
                click.echo(handed.batch_id)
            return 0
        return _follow(client, handed.batch_id, seconds or _longest(document), as_json=as_json)


@cli.command(epilog="Example: ripcord show risk-2026-11-20-0001 --json")
@click.argument("batch")
@json_option
@click.pass_obj
def show(config: str | None, /, batch: str, *, as_json: bool) -> int:
    """Show what is known of a batch; a finished one gives its verdict as the exit code."""
    with reader(config) as client:
        return _print(client, client.report(batch), as_json=as_json)


@cli.command(epilog="Example: ripcord outcomes risk-2026-11-20-0001 --verdict live --csv > live.csv")
@click.argument("batch")
@click.option("--verdict", type=click.Choice([v.value for v in Verdict]), help="Only orders with this verdict.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header.")
@json_option
@click.pass_obj
def outcomes(config: str | None, /, batch: str, verdict: str | None, *, as_csv: bool, as_json: bool) -> None:
    """Show the outcome of each order of a batch; --json prints JSON Lines."""
    if as_csv and as_json:
        raise click.UsageError("choose --csv or --json")
    with reader(config) as client:
        known = client.outcomes(batch)
        missing = client.report(batch)["orders"] - len(known)
    if missing > 0 and not known:
        say(f"ripcord: batch {batch} is not planned yet: none of its {missing} orders can be shown")
    rows = [row for row in known if verdict in {None, row["verdict"]}]
    if as_json:
        print_json_lines(rows)
    elif as_csv:
        print_csv(rows, OUTCOME_HEADER)
    else:
        header = ("account", "order", "symbol", "status", "verdict", "filled", "code", "message")
        print_table(header, ([*_named(row), row["filled_qty"], row["code"], row["message"]] for row in rows))


@cli.command(epilog="Example: ripcord watch risk-2026-11-20-0001")
@click.argument("batch")
@json_option
@click.pass_obj
def watch(config: str | None, /, batch: str, *, as_json: bool) -> int:
    """Watch a batch until it is done; the exit code is its verdict."""
    with reader(config) as client:
        return _follow(client, batch, None, as_json=as_json)


@cli.command("list", epilog="Example: ripcord list --limit 5")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first.")
@json_option
@click.pass_obj
def list_(config: str | None, /, limit: int, *, as_json: bool) -> None:
    """List the latest batches, and the accounts that pause."""
    with reader(config) as client:
        found = client.latest(limit)
        pauses = {} if as_json else client.pauses(client.accounts())
    if as_json:
        print_json(found)
        return
    header = ("batch_id", "state", "verdict", "priority", "orders", "gone", "live", "unproven", "requested_by")
    print_table(header, ([row[name] for name in header] for row in found))
    print_pauses(pauses)


def _document(ids: tuple[str, ...], file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Make the document of the command's words; what is given as an option stands above the file's."""
    if bool(ids) == (file is not None):
        raise click.UsageError("name the orders: either IDs, or --file PATH (- for stdin)")
    if file is not None and (options["symbol"] or options["client_ids"]):
        raise click.UsageError("--symbol and --client-ids are for IDs; a file names each order's own")
    if ids and not options["account"]:
        raise click.UsageError("name the account of the IDs with --account")
    if file is None:
        kind = IdKind.CLIENT_ORDER_ID if options["client_ids"] else IdKind.ORDER_ID
        symbol = {"symbol": options["symbol"]} if options["symbol"] else {}
        document: dict[str, Any] = {"version": 1, "orders": [{kind.value: value} | symbol for value in ids]}
    else:
        document = parse(read_file(file), name_of(file))
    given = {
        "account": options["account"],
        "priority": options["priority"],
        "deadline_s": options["deadline"],
        "prove": False if options["no_prove"] else None,
        "requested_by": options["by"],
        "reason": options["reason"],
        "batch_id": options["batch_id"],
    }
    return document | {name: value for name, value in given.items() if value is not None}


def _seconds(wait: str | None) -> float | None:
    """Read --wait: None if it was not given, 0 for as long as the batch may take."""
    if wait is None:
        return None
    if wait == FOREVER:
        return 0.0
    try:
        seconds = float(wait)
    except ValueError:
        seconds = -1
    if not 0 < seconds <= 86_400:
        raise click.BadParameter("must be a number of seconds above 0", param_hint="--wait")
    return seconds


def _longest(document: Mapping[str, Any]) -> float:
    return float(document.get("deadline_s") or 60) + GRACE_S


def _follow(client: Client, batch_id: str, seconds: float | None, *, as_json: bool) -> int:
    """Show progress until a batch is done, then its report.  Raises WaitTimeout after *seconds*, with it as it is."""
    until_ms = None if seconds is None else SystemClock().now_ms() + seconds * 1000
    found = follow(client, batch_id, until_ms)
    code = _print(client, found, as_json=as_json)
    if found["state"] not in FINAL_STATES:
        hint = "" if found["first_call_ms"] else "; no call was made yet: does a worker run, and is its account paused?"
        raise WaitTimeout(f"batch {batch_id} was not done after {seconds:g} s; it goes on{hint}")
    return code


def _print(client: Client, found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(found)
    else:
        batch_id = found["batch_id"]
        sweeps = client.sweeps(batch_id)
        print_report(found, sweeps, client.pauses([*client.progress(batch_id), *sweeps]))
    return exit_code(found) if found["state"] in FINAL_STATES else 0


def _named(row: Mapping[str, Any]) -> list[object]:
    name = next((row[kind] for kind in IdKind if row[kind]), None)
    return [row["account"], name, row["symbol"], row["status"], row["verdict"]]


def reader(config: str | None) -> Client:
    """Make a client for commands that need no account."""
    return _client(load(config_path(config), secrets=False, need_file=False))


def _client(settings: Settings) -> Client:
    return Client(settings.redis_url, keep_days=settings.keep_days)
