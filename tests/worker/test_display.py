"""What show and list tell of sweeps and pauses."""

import json
from pathlib import Path

import pytest
from redis import Redis

from tasks import keys
from tasks.client import Client
from worker.cli import main

SWEEP = {"version": 1, "batch_id": "s", "select": {"accounts": ["*"], "all": True}}


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> str:
    """A configuration without accounts, for commands that only read."""
    path = tmp_path / "ripcord.toml"
    path.write_text(f'[redis]\nurl = "{redis_url}"\n', encoding="utf-8")
    return str(path)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIPCORD_REDIS_URL", raising=False)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([*arguments])
    return int(left.value.code or 0), capsys.readouterr().out


def sweep(redis_url: str, redis_client: Redis, **fields: str) -> None:
    with Client(redis_url) as client:
        client.submit(SWEEP)
    redis_client.hset(keys.batch("s"), mapping=fields)


def pause(redis_client: Redis, *accounts: str) -> None:
    """Pause accounts for an hour."""
    for name in accounts:
        key = keys.pause("account", name)
        redis_client.sadd(keys.PAUSED, key)
        redis_client.hset(key, mapping={"until_ms": str(int(redis_client.time()[0]) * 1000 + 3_600_000)})
        redis_client.hset(key, "reason", "rate_limit 429 [slow] down")
        redis_client.hset(keys.ACCOUNT_PAUSES, name, json.dumps([key]))
        redis_client.hset(keys.ACCOUNT_VENUES, name, "upbit")


def test_show_says_which_accounts_were_shown_empty(
    config: str, redis_url: str, redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {"sweep:main": "empty", "sweep:other": "cannot list: credentials [401]"}
    sweep(redis_url, redis_client, state="done", done_ms="1", sweeps="2", swept="1", **shown)

    code, out = told(capsys, "--config", config, "show", "s")

    assert "swept     main: empty\n" in out
    assert "swept     other: cannot list: credentials [401]\n" in out
    assert code == 3


def test_show_tells_the_pauses_of_the_batchs_accounts_alone(
    config: str, redis_url: str, redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    pause(redis_client, "main", "swept", "stranger")
    sweep(redis_url, redis_client, state="running", **{"sweep:swept": "not listed yet", "a:main:orders": "1"})

    _, out = told(capsys, "--config", config, "show", "s")

    lines = [line for line in out.splitlines() if line.startswith("paused")]
    assert [line.split()[1] for line in lines] == ["main:", "swept:"]
    assert all(line.endswith("s more: rate_limit 429 [slow] down") for line in lines)


def test_list_tells_every_pause_of_the_configured_accounts(
    config: str, redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    pause(redis_client, "other", "main")

    code, out = told(capsys, "--config", config, "list")
    _, as_json = told(capsys, "--config", config, "list", "--json")

    assert [line.split()[1] for line in out.splitlines() if line.startswith("paused")] == ["main:", "other:"]
    assert (code, json.loads(as_json)) == (0, [])
