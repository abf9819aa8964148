import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from worker import embedded
from worker.embedded import EmbeddedRedis, EmbeddedRedisError, find_server

pytestmark = pytest.mark.redis

OWNER = """
import sys, time
from worker.embedded import EmbeddedRedis
server = EmbeddedRedis()
server.start()
print(server.url, server._directory, flush=True)
time.sleep(60)
"""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(append_only=True) as server:
        yield server


def client_of(server: EmbeddedRedis) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


def exists(pid: int) -> bool:
    """Whether there is such a process; a child that ended and was reaped is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(url: str) -> bool:
    with Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False


def soon(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def fake_server(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_it_answers_on_loopback_with_the_settings_that_batches_need(server: EmbeddedRedis) -> None:
    with client_of(server) as client:
        settings = client.config_get("bind", "save", "maxmemory-policy", "appendonly")

    assert settings == {"bind": "127.0.0.1", "save": "", "maxmemory-policy": "noeviction", "appendonly": "yes"}
    assert server.url == f"redis://127.0.0.1:{server.port}/0"


def test_stop_leaves_no_process_and_no_file() -> None:
    server = EmbeddedRedis()
    server.start()
    pid, directory = server.pid, server._directory

    server.stop()
    server.stop()

    assert not exists(pid)
    assert directory is not None
    assert not directory.exists()


def test_a_directory_that_was_given_is_kept(tmp_path: Path) -> None:
    for expected in (None, "kept"):
        with EmbeddedRedis(append_only=True, directory=tmp_path) as server, client_of(server) as client:
            assert client.get("order") == expected
            client.set("order", "kept")

    assert tmp_path.exists()


def test_what_was_answered_survives_a_kill(server: EmbeddedRedis) -> None:
    url, first = server.url, server.pid
    with client_of(server) as client:
        client.set("order", "gone")
        server.kill()
        with pytest.raises(RedisConnectionError):
            client.get("order")

        server.restart()

        assert client.get("order") == "gone"
    assert server.url == url
    assert server.pid != first


def test_restart_ends_a_running_server_first(server: EmbeddedRedis) -> None:
    first = server.pid

    server.restart()

    assert server.pid != first
    assert not exists(first)


def test_a_server_that_died_by_itself_can_be_restarted(server: EmbeddedRedis) -> None:
    os.kill(server.pid, signal.SIGKILL)

    server.restart()

    with client_of(server) as client:
        assert client.ping()


def test_a_stopped_process_still_ends(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_S", 0.1)
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)

    server.stop()

    assert not exists(pid)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_it_does_not_outlive_its_owner(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url, _, directory = owner.stdout.readline().strip().partition(" ")
        assert answers(url)

        owner.send_signal(how)

    assert soon(lambda: not answers(url))
    assert soon(lambda: not Path(directory).exists())


def test_two_servers_share_nothing(server: EmbeddedRedis) -> None:
    with EmbeddedRedis() as other, client_of(server) as one, client_of(other) as two:
        one.set("order", "live")

        assert other.port != server.port
        assert two.get("order") is None


def test_a_port_that_somebody_else_answers_on_is_passed_over(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [port for port in embedded._candidate_ports() if port != server.port]
    monkeypatch.setattr(embedded, "_candidate_ports", lambda: iter([server.port, *others]))

    with EmbeddedRedis() as other:
        assert other.port in others


def test_a_restart_says_when_its_port_was_taken(server: EmbeddedRedis) -> None:
    with EmbeddedRedis() as other:
        other.kill()
        other._port = server.port

        with pytest.raises(EmbeddedRedisError, match=f"the last one tried was {server.port}"):
            other.restart()


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fake_server(tmp_path, "redis-server", "echo 'the sky is falling'; exit 1")
    monkeypatch.setattr(embedded, "find_server", lambda: broken)
    server = EmbeddedRedis()

    with pytest.raises(EmbeddedRedisError, match="does not start; it said last:\nthe sky is falling"):
        server.start()

    assert server._directory is None


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = fake_server(tmp_path, "redis-server", "exec sleep 60")
    monkeypatch.setattr(embedded, "find_server", lambda: silent)
    monkeypatch.setattr(embedded, "READY_POLLS", 5)

    with pytest.raises(EmbeddedRedisError, match="does not start"):
        EmbeddedRedis().start()


def test_a_new_enough_server_of_the_system_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = fake_server(tmp_path, "valkey-server", "echo 'Valkey server v=8.1.0 sha=0:0 malloc=libc bits=64'")
    fake_server(tmp_path, "redis-server", "echo 'Redis server v=6.0.16 sha=0:0 malloc=libc bits=64'")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server() == system


def test_without_any_server_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "BUNDLE", "no-such-package")

    with pytest.raises(EmbeddedRedisError, match="install redis-server 7 or newer"):
        find_server()


def test_the_lock_brings_a_server_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server().name == "valkey-server"


def test_before_the_start_there_is_no_address() -> None:
    server = EmbeddedRedis()

    with pytest.raises(EmbeddedRedisError, match="has not been started"):
        _ = server.url
    with pytest.raises(EmbeddedRedisError, match="is not running"):
        _ = server.pid


def test_a_running_server_is_not_started_twice(server: EmbeddedRedis) -> None:
    with pytest.raises(EmbeddedRedisError, match="already running"):
        server.start()


def test_every_test_starts_with_an_empty_server(redis_client: Redis) -> None:
    assert redis_client.dbsize() == 0
    redis_client.set("order", "left over")


def test_what_a_test_leaves_is_gone_for_the_next(redis_client: Redis) -> None:
    assert redis_client.dbsize() == 0
