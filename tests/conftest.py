"""What every test may ask for: a real Redis, fresh for each test."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from worker.embedded import EmbeddedRedis

# Fresh examples in every run, in CI as well: hypothesis' own "ci" profile would repeat the same ones for ever.
# A failure prints what reproduces it.  How long an example takes says more about the machine than about the code.
settings.register_profile(
    "normal",
    max_examples=100,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("normal"), max_examples=10)
settings.register_profile("thorough", settings.get_profile("normal"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The one server of this test run.  A test that kills or stops Redis starts its own."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The address of the server, emptied for this test."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    """A client of the emptied server, with text for bytes."""
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
