import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.end_to_end.waiting import until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]

VENUES: Final = {"binance", "crypto_com", "kuna", "upbit", "weex"}
MARK: Final = "DEMO_TEST_MARK"
RUNNING: Final = "unproven"  # a line of progress has been told


class Demo:
    """A demo under way: its process, and all that it has started."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, folder: Path) -> None:
        self.process = process
        self._mark = f"{MARK}={mark}".encode()
        self._folder = folder

    def stderr(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8")

    def stdout(self) -> str:
        return (self._folder / "stdout").read_text(encoding="utf-8")

    def family(self) -> list[int]:
        """Find every process that has our mark in its environment."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdecimal() and self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def files(self) -> list[str]:
        return [str(path) for path in (self._folder / "tmp").rglob("*")]

    def nothing_left(self) -> bool:
        return not self.family() and not self.files()


@contextmanager
def demo(folder: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    mark = uuid.uuid4().hex
    (folder / "tmp").mkdir()
    (folder / "home").mkdir()
    clean: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith("RIPCORD_")}
    own = {"TMPDIR": str(folder / "tmp"), MARK: mark}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, for ever
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err, subprocess.Popen(
        [sys.executable, "-P", "-m", "worker", "demo", *arguments],
        stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder / "home", env={**clean, **own, **environment},
        start_new_session=True,
    ) as process:  # fmt: skip
        signal.signal(signal.SIGINT, before)
        running = Demo(process, mark, folder)
        try:
            yield running
        finally:
            for pid in running.family():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_demo_reports_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--orders", "50", "--json") as running:
        assert running.process.wait(60) in (0, 3), running.stderr()

        report = json.loads(running.stdout())
        assert report["state"] == "done"
        assert report["orders"] == 50
        assert report["live"] == 0
        assert set(report["venues"]) == VENUES
        assert sum(report["venues"].values()) == 50
        assert all(report["venues"].values())
        assert report["gone"] > 0
        assert "none claims more than is true" in running.stderr()
        assert until(running.nothing_left, 5), (running.family(), running.files())
        assert [*(tmp_path / "home").iterdir()] == []


def test_a_demo_needs_nothing_of_its_environment(tmp_path: Path) -> None:
    nonsense = {
        "RIPCORD_REDIS_URL": "redis://no-such-host.invalid:1/0",
        "RIPCORD_CONFIG": "/no/such/file.toml",
        "RIPCORD_METRICS_PORT": "no port",
        "RIPCORD_LOG": "console",
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
        "LANG": "C",
        "LC_ALL": "C",
    }
    with demo(tmp_path, "--orders", "7", **nonsense) as running:
        assert running.process.wait(60) in (0, 3), running.stderr()
        assert "venues    binance 2, crypto_com 2, kuna 1, upbit 1, weex 1" in running.stdout()
        assert "unproven" in running.stdout()
        assert until(running.nothing_left, 5)


@pytest.mark.parametrize(
    ("how", "when"),
    [
        ("SIGINT", "while it starts"),
        ("SIGTERM", "while it starts"),
        ("SIGTERM", "while it works"),
        ("Ctrl-C", "while it works"),
    ],
)
def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path, how: str, when: str) -> None:
    with demo(tmp_path, "--orders", "1000") as running:
        if when == "while it starts":
            assert until(running.files)  # its folder is there, and soon its Redis
        else:
            assert until(lambda: RUNNING in running.stderr()), running.stderr()

        if how == "Ctrl-C":
            os.killpg(running.process.pid, signal.SIGINT)  # a terminal sends it to all of them
        else:
            running.process.send_signal(signal.Signals[how])

        assert running.process.wait(25) not in (0, 1, 3)
        assert until(running.nothing_left, 5), (running.family(), running.files())
        assert running.stdout() == ""
        assert "Traceback" not in running.stderr()
