"""The command line: `ripcord`; turns words into calls, and errors into sentences and exit codes."""

import sys
from collections.abc import Callable
from typing import Any

import click

from tasks.errors import DocumentRefused, RipcordError, Unreachable, WaitTimeout
from worker.display import print_json, say
from worker.pipes import forgive_broken_pipes
from worker.settings import PortTaken

USAGE, UNREACHABLE, NOT_DONE = 2, 4, 5


EPILOG = """
\b
Exit codes: 0  flat, or the command did what it was asked
            1  not flat: at least one order is known to be live
            2  wrong usage, configuration or document
            3  unproven: none is known to be live, but some are not proven gone
            4  Redis, or another part that is needed, cannot be reached
            5  --wait ran out before the batch was done

Example: ripcord cancel --account upbit-main --priority kill --wait 6c1eac69-b9bc-4fbf-9982-e9c4641c453f
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EPILOG)
@click.option("--config", metavar="PATH", help="Configuration file (else $RIPCORD_CONFIG, else ./ripcord.toml).")
@click.version_option(package_name="ripcord", prog_name="ripcord")
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """Cancel exchange orders in bulk, and learn the truth about each one."""
    context.obj = config


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    import worker.cli_batches  # noqa: PLC0415  # these add their commands to the group
    import worker.cli_processes  # noqa: PLC0415
    import worker.cli_sweeps  # noqa: F401, PLC0415

    forgive_broken_pipes()
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code; every error of ours is told in a sentence on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="ripcord", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return USAGE
    except RipcordError as error:
        return _tell(error, as_json="--json" in (sys.argv[1:] if arguments is None else arguments))


def _tell(error: RipcordError, *, as_json: bool) -> int:
    lines = error.errors if isinstance(error, DocumentRefused) else str(error).splitlines()
    for line in lines:
        say(f"ripcord: {line}")
    if isinstance(error, DocumentRefused):
        say("ripcord: refused, nothing was sent")
        if as_json:
            print_json({"batch_id": error.batch_id, "state": "refused", "verdict": None, "errors": list(error.errors)})
        return USAGE
    if isinstance(error, Unreachable):
        say("ripcord: check that Redis runs and takes writes, and redis.url in the configuration")
        say("ripcord: $RIPCORD_REDIS_URL overrides that")
        return UNREACHABLE
    if isinstance(error, PortTaken):
        return UNREACHABLE
    return NOT_DONE if isinstance(error, WaitTimeout) else USAGE


json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
