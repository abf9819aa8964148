import pytest

from tests.end_to_end.stage import producing
from worker.embedded import EmbeddedRedis

pytestmark = pytest.mark.redis


def test_a_result_that_is_garbage_reaches_for_no_redis_that_is_gone() -> None:
    with EmbeddedRedis() as server, producing(server.url) as app:
        task = app.send_task("nobody.does_this", [], queue="nobody")

    task.__del__()
