import json
import subprocess
import sys

import pytest

FAULT = """
import logging
from worker.logs import configure_logs, get_log

def fails(key):
    raise ValueError("what went wrong")

configure_logs({form!r})
for tell in (logging.getLogger("somebody").error, get_log(worker="w").error):
    try:
        fails("TOP" + "SECRET")
    except ValueError:
        tell("it.failed", exc_info=True)
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_told_with_its_lines_and_without_values(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULT.format(form=form)], capture_output=True, text=True, timeout=30, check=True
    )

    told = done.stderr
    if form == "json":
        events = [json.loads(line) for line in told.splitlines()]
        assert [event["event"] for event in events] == ["it.failed"] * 2
        assert not [event for event in events if "exc_info" in event]
        told = "\n".join(event["exception"] for event in events)
    assert told.count("Traceback (most recent call last):\n") == 2
    assert told.count("in fails\n") == 2
    assert told.count("ValueError: what went wrong") == 2
    assert "TOPSECRET" not in told
