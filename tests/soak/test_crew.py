"""Who has to end within half a minute: whoever was there to be asked."""

from pathlib import Path
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
