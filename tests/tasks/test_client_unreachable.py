"""The client without Redis: one clear error within three seconds, and no password in it."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from tasks.client import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, Client
from tasks.errors import BadAddress, DocumentRefused, Unreachable
from tests.connectors.peer import answering, peer, refused_port
from tests.tasks.test_client import DOCUMENT
from worker.embedded import EmbeddedRedis

pytestmark = pytest.mark.redis

PASSWORD = "hunter2-never-tell"
SOON_S = 10.0  # by its timeouts it is 3 s; redis-py by itself would take more than 20
USES: dict[str, Callable[[Client], object]] = {
    "submit": lambda client: client.submit(DOCUMENT),
    "report": lambda client: client.report("b"),
    "progress": lambda client: client.progress("b"),
    "outcomes": lambda client: client.outcomes("b"),
    "wait": lambda client: client.wait("b", 60),
    "follow": lambda client: next(client.follow("b")),
    "latest": lambda client: client.latest(5),
    "workers": lambda client: client.workers(),
    "pauses": lambda client: client.pauses(["main"]),
}


def unreachable(client: Client, use: Callable[[Client], object]) -> str:
    started_s = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        use(client)
    assert time.monotonic() - started_s < SOON_S
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert PASSWORD not in shown
    return str(caught.value)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_refused_port_is_said_to_be_so(use: Callable[[Client], object]) -> None:
    port = refused_port()
    with Client(f"redis://user:{PASSWORD}@127.0.0.1:{port}/0") as client:
        assert f"Redis at 127.0.0.1:{port}/0 does not answer" in unreachable(client, use)


@pytest.fixture(scope="module")
def frozen() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with EmbeddedRedis() as server:
        os.kill(server.pid, signal.SIGSTOP)
        yield server.url
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize("use", [USES["submit"], USES["wait"]], ids=["submit", "wait"])
def test_a_frozen_server_is_noticed_in_time(frozen: str, use: Callable[[Client], object]) -> None:
    with Client(frozen.replace("redis://", f"redis://:{PASSWORD}@")) as client:
        unreachable(client, use)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_silence_is_waited_for_once_and_not_for_three_seconds(use: Callable[[Client], object]) -> None:
    with peer(answering(b"")) as silent, Client(f"redis://127.0.0.1:{silent.port}/0") as client:
        unreachable(client, use)

        assert silent.connections == 1
    assert CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S < 3


def test_a_server_that_freezes_under_us_is_noticed_in_time_and_used_again() -> None:
    with EmbeddedRedis() as server, Client(server.url) as client:
        client.submit(DOCUMENT)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            unreachable(client, USES["report"])
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert client.report("b")["state"] == "accepted"


@pytest.mark.parametrize("query", ["?password={}", "?username=x&password={}", "?db=0&password={}"])
def test_a_password_in_the_query_is_not_told(query: str) -> None:
    with Client(f"redis://127.0.0.1:{refused_port()}/0{query.format(PASSWORD)}") as client:
        unreachable(client, USES["report"])


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:pa/{PASSWORD}@127.0.0.1:6379/0",
        f"redis://127.0.0.1:{PASSWORD}/0",
        f"redis://:{PASSWORD}#x@127.0.0.1:1",
        "redis://[oops/0",
        f"http://:{PASSWORD}@127.0.0.1/0",
        "",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        Client(url)

    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "redis://[USER:PASSWORD@]HOST[:PORT][/DB]" in str(caught.value)


def test_something_that_is_no_redis_is_said_to_be_so() -> None:
    with (
        peer(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as http,
        Client(f"redis://127.0.0.1:{http.port}/0") as client,
    ):
        unreachable(client, USES["report"])


def test_a_bad_document_is_refused_though_redis_is_away() -> None:
    """What is wrong with the document matters more than that the refusal cannot be recorded."""
    with Client(f"redis://127.0.0.1:{refused_port()}/0") as client, pytest.raises(DocumentRefused):
        client.submit({})


def test_a_wrong_password_is_not_repeated() -> None:
    with EmbeddedRedis() as server, Redis.from_url(server.url) as redis:
        redis.config_set("requirepass", "another")
        with Client(server.url.replace("redis://", f"redis://:{PASSWORD}@")) as client:
            unreachable(client, USES["report"])


def test_a_server_that_is_no_more_writable_is_said_to_refuse() -> None:
    with EmbeddedRedis() as server, Redis.from_url(server.url) as redis, Client(server.url) as client:
        redis.config_set("min-replicas-to-write", "1")
        assert "Redis refuses to serve" in unreachable(client, USES["submit"])
