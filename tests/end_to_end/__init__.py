"""Tests with real processes: Redis, the simulated venues, workers and the command line."""

import pytest

pytest.register_assert_rewrite("tests.end_to_end.batches", "tests.end_to_end.stage")
