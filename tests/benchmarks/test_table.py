import pytest

from benchmarks.rows import Row, Target
from benchmarks.table import summary, write

FAST = Target("kill, p50", 11.4, 12, " ms", at_most=True)
SLOW = Target("speed", 2.43, 3, "x")


def row(**more: object) -> Row:
    given = {"name": "kill", "title": "Kill switch", "header": ("way", "p50"), "lines": [("ripcord", "+11 ms")],
             "samples": {}, "faults": (), "targets": (FAST, SLOW), "note": "A note."}  # fmt: skip
    return Row(**(given | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("figure", "at_most", "met"),
    [(12.0, True, True), (12.1, True, False), (12.0, False, True), (11.9, False, False)],
)
def test_a_target_is_met_at_its_bound(figure: float, at_most: bool, met: bool) -> None:
    assert Target("", figure, 12.0, at_most=at_most).met is met


def test_the_table_shows_targets_rows_and_facts() -> None:
    text = write([row()], {"cores": "2"}, 3)

    assert "| kill | kill, p50 | ≤ 12 ms | 11.4 ms | met |" in text
    assert "| kill | speed | ≥ 3x | 2.43x | missed |" in text
    assert "## Kill switch\n\n| way | p50 |\n| --- | --- |\n| ripcord | +11 ms |\n\nA note." in text
    assert "* cores: 2\n* rounds: 3" in text
    assert "not count" not in text


def test_a_row_with_faults_does_not_count_and_says_so_everywhere() -> None:
    failed = row(faults=("a: 3 breaches of default",))

    text = write([failed, row(name="rate")], {}, 1)

    assert "**These rows do not count**, as the venues' counters contradict them: kill." in text
    assert "| kill | kill, p50 | ≤ 12 ms | 11.4 ms | does not count |" in text
    assert "| rate | kill, p50 | ≤ 12 ms | 11.4 ms | met |" in text
    assert "* a: 3 breaches of default" in text
    assert "DOES NOT COUNT: a: 3 breaches of default" in summary(failed)
    assert "met" not in summary(failed)
    assert not failed.counts
