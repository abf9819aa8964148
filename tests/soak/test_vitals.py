import os
import threading
from dataclasses import replace

import pytest

from tests.soak.vitals import MAY_GROW, PROC, Vitals, compare, read, told

START = Vitals(rss_mib=60, threads=30, files=50)


def test_growth_within_bounds_is_no_finding() -> None:
    end = Vitals(60 + MAY_GROW.rss_mib, 30 + MAY_GROW.threads, 50 + MAY_GROW.files)

    assert compare("w", START, end) == []
    assert compare("w", START, None) == []


@pytest.mark.parametrize("name", ["rss_mib", "threads", "files"])
def test_growth_beyond_bounds_is_found(name: str) -> None:
    end = replace(START, **{name: getattr(START, name) + getattr(MAY_GROW, name) + 1})

    (line,) = compare("w", START, end)

    assert name in line


def test_the_table_has_every_look() -> None:
    assert told("w", [START, None, replace(START, files=51)])[-1] == ("w: files", "50 → 51")


@pytest.mark.skipif(not PROC.is_dir(), reason="this system has no /proc")
def test_our_own_vitals_are_read() -> None:
    before = read(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    files = [os.dup(0) for _ in range(3)]
    after = read(os.getpid())
    for file in files:
        os.close(file)
    done.set()
    thread.join()

    assert before is not None
    assert after is not None
    assert (after.threads, after.files) == (before.threads + 1, before.files + 3)
    assert 5 < after.rss_mib < 5_000
