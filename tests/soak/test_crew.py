"""Who has to end within half a minute: whoever was there to be asked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.end_to_end.stage import Process
from tests.end_to_end.waiting import until
from tests.soak.crew import Crew, Post

pytestmark = pytest.mark.processes
NO_STAGE: Any = None


@pytest.mark.parametrize(
    ("module", "lives"), [(("http.server", "--bind", "127.0.0.1", "0"), True), (("json.tool",), False)]
)
def test_only_a_process_that_runs_is_asked_to_end(tmp_path: Path, module: tuple[str, ...], lives: bool) -> None:
    """A SIGTERM in the second between an end and the next start must not be counted against the successor."""
    with Process(module, tmp_path / "log", tmp_path / "ripcord.toml") as process:
        assert until(lambda: process.running() is lives)
        post = Post("general-1", (), process)

        Crew(NO_STAGE, [post]).terminate(post)

        assert (post.asked_at_s is not None) is lives


@pytest.mark.parametrize(("started", "faults"), [(False, 0), (True, 1)])
def test_a_signal_ends_a_worker_well_once_it_has_started(tmp_path: Path, started: bool, faults: int) -> None:
    log = tmp_path / "log"
    with Process(("http.server", "--bind", "127.0.0.1", "0"), log, tmp_path / "ripcord.toml") as process:
        assert until(process.running)
        post = Post("general-2", (), process)
        crew = Crew(NO_STAGE, [Post("general-1", (), process), post])
        if started:
            log.write_text('{"event": "worker.started"}\n', encoding="utf-8")

        crew.terminate(post)
        assert until(lambda: not process.running())
        crew._note_end(post)

    assert len(crew.faults) == faults


def test_the_cancels_that_lost_their_workers_are_read_from_the_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    head = '{"batch": "one", "account": "a", "timestamp": "2026-11-21T22:01:50.500000Z", '
    told = [("chunk.recovered", "send"), ("chunk.late", "send"), ("chunk.recovered", "query"), ("chunk.poison", "send")]
    with Process(("json.tool",), log, tmp_path / "ripcord.toml") as process:
        assert until(lambda: not process.running())
        log.write_text("".join(f'{head}"event": "{event}", "kind": "{kind}"}}\n' for event, kind in told))
        stage: Any = SimpleNamespace(workers=[process])

        assert Crew(stage).seized() == [("one", "a", 1_795_298_510_500)] * 2


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ('{"event": "drain.fault", "account": "a", "error": "KeyError()"}', True),
        ('{"event": "drain.unreachable", "account": "a", "error": "away"}', False),
        ("Traceback (most recent call last):", True),
        (
            '{"event": "Could not ack", "exception": "Traceback (most recent call last):"}',
            False,
        ),  # kombu, without Redis
    ],
)
def test_faults_of_a_worker_are_read_from_its_log(tmp_path: Path, line: str, is_found: bool) -> None:
    log = tmp_path / "worker-7.log"
    with Process(("json.tool",), log, tmp_path / "ripcord.toml") as process:
        assert until(lambda: not process.running())
        log.write_text(f"{line}\n", encoding="utf-8")
        stage: Any = SimpleNamespace(workers=[process])

        found = Crew(stage).written_faults()

    assert bool(found) is is_found
    assert all(line.startswith("worker of worker-7.log wrote ") for line in found)
