"""What deploy/ has systemd do."""

from configparser import RawConfigParser
from pathlib import Path

import pytest

UNITS = sorted(Path(__file__, "../../../deploy").resolve().glob("*.service"))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_process_that_ends_is_started_again_however_often(path: Path) -> None:
    """While Redis is away each start ends within a second; by itself systemd would give up after the fifth."""
    unit = RawConfigParser(strict=False)
    unit.read_string(path.read_text(encoding="utf-8"))

    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_there_are_units() -> None:
    assert [path.stem for path in UNITS] == ["ripcord-beat", "ripcord-worker@"]
