"""The dead man's switch: when it arms, when it fires, and when it must not."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tasks import keys
from tasks.client import Client
from tasks.errors import Unreachable
from tests.end_to_end.stage import Process, wait_for_start
from tests.end_to_end.waiting import until
from tests.fakes import START_MS, FakeLog
from worker.cli import main
from worker.embedded import EmbeddedRedis
from worker.heartbeats import Beats, Heartbeats, Sight, due_ms, look, read, standing, written
from worker.sweeps import Heartbeat

TICK_MS = 500
DOCUMENT = {"version": 1, "select": {"accounts": ["main"], "all": True}, "priority": "kill"}
ENGINE = Heartbeat("engine", DOCUMENT, silence_s=2)

# The decision


@given(
    gaps_ms=st.lists(st.integers(1, 6_000), min_size=1, max_size=12),
    lives_ms=st.sampled_from([200, 1_000, 2_500, 60_000]),
    silence_ms=st.sampled_from([1_000, 2_000, 3_300]),
    same_value=st.booleans(),
)
def test_it_fires_once_for_each_silence_in_time_and_never_before(
    gaps_ms: list[int], lives_ms: int, silence_ms: int, same_value: bool
) -> None:
    """Beats at any times, with an expiry shorter or longer than the silence; what lives too short is not seen."""
    beats = [START_MS + sum(gaps_ms[: n + 1]) for n in range(len(gaps_ms))]
    known, fired, now_ms, seen = None, [], START_MS, set()
    while now_ms < beats[-1] + silence_ms + 2 * TICK_MS:
        past = [n for n, at in enumerate(beats) if at <= now_ms]
        alive = past and now_ms < beats[past[-1]] + lives_ms
        value = ("1" if same_value else str(past[-1])) if alive else None
        before = known
        known = look(known, Sight(now_ms, value, beats[past[-1]] + lives_ms if alive else -2, "run"))
        if known != before:
            seen.add(past[-1])
        due = due_ms(known, silence_ms / 1000)
        if known is not None and due is not None and due <= now_ms:
            fired.append((past[-1], now_ms))
            known = Beats(known.value, known.expires_ms, known.seen_ms, known.since_ms, "run", fired_ms=now_ms)
            due = None
        now_ms += TICK_MS if due is None else max(1, min(TICK_MS, due - now_ms))

    for n, at_ms in fired:
        last_seen = max(s for s in seen if s <= n)
        assert beats[last_seen] + silence_ms <= at_ms <= beats[last_seen] + silence_ms + 2 * TICK_MS
    assert len({max(s for s in seen if s <= n) for n, _ in fired}) == len(fired)
    if lives_ms >= TICK_MS:
        next_ms = [*beats[1:], beats[-1] + silence_ms + 2 * TICK_MS]
        long = [n for n, at_ms in enumerate(beats) if next_ms[n] - at_ms > silence_ms + TICK_MS]
        assert set(long) <= {n for n, _ in fired}


@given(st.lists(st.tuples(st.integers(1, 1_900), st.sampled_from(["restart", "doubt"])), min_size=1, max_size=20))
def test_it_never_fires_on_restarts_alone(steps: list[tuple[int, str]]) -> None:
    """No look without a restart, or an absence, of Redis since the one before is 2 s away from the one before."""
    known: Beats | None = look(None, Sight(START_MS, "1", START_MS + 500, "0"))
    now_ms, runs = START_MS, 0
    for gap_ms, what in steps:
        now_ms += gap_ms
        runs += what == "restart"
        known = look(known, Sight(now_ms, None, -2, str(runs), doubt=what == "doubt"))
        due = due_ms(known, 2)
        assert due is not None
        assert due > now_ms


def test_a_restart_starts_the_silence_anew_and_names_the_same_beat() -> None:
    known = look(None, Sight(START_MS, "1", START_MS + 500, "a"))
    again = look(known, Sight(START_MS + 9_000, None, -2, "b"))

    assert again is not None
    assert (again.seen_ms, again.since_ms, due_ms(again, 2)) == (START_MS, START_MS + 9_000, START_MS + 11_000)
    assert look(again, Sight(START_MS + 9_500, None, -2, "b")) == again


def test_what_never_beat_never_fires() -> None:
    assert look(None, Sight(START_MS, None, -2, "a")) is None
    assert due_ms(None, 2) is None


def test_it_arms_again_at_the_next_beat_and_not_at_the_old_one() -> None:
    fired = Beats("1", START_MS + 60_000, START_MS, START_MS, "a", fired_ms=START_MS + 2_000)

    assert look(fired, Sight(START_MS + 3_000, "1", START_MS + 60_000, "b", doubt=True)) == fired
    armed = look(fired, Sight(START_MS + 3_000, "1", START_MS + 63_000, "a"))
    assert armed == Beats("1", START_MS + 63_000, START_MS + 3_000, START_MS + 3_000, "a")


def test_a_key_without_an_expiry_beats_by_its_value() -> None:
    known = look(None, Sight(START_MS, "1", -1, "a"))

    assert look(known, Sight(START_MS + 1_000, "1", -1, "a")) == known
    again = look(known, Sight(START_MS + 1_000, "2", -1, "a"))
    assert again is not None
    assert again.seen_ms == START_MS + 1_000


def test_what_is_known_is_read_as_it_was_written() -> None:
    known = Beats("größe", -1, 1, 2, "run", 3)

    assert read(written(known)) == known
    assert read({}) is None


@pytest.mark.parametrize(
    ("known", "now_ms", "said"),
    [
        (None, START_MS, "never"),
        (Beats("1", -1, START_MS, START_MS, "a"), START_MS + 1_999, "armed"),
        (Beats("1", -1, START_MS, START_MS, "a"), START_MS + 2_000, "silent"),
        (Beats("1", -1, START_MS, START_MS, "a", START_MS + 2_000), START_MS + 2_000, "fired"),
    ],
)
def test_how_it_stands(known: Beats | None, now_ms: int, said: str) -> None:
    assert standing(known, 2, now_ms) == said


# On Redis


def switch(client: Client, *heartbeats: Heartbeat) -> tuple[Heartbeats, FakeLog]:
    log = FakeLog()
    return Heartbeats(client, log, heartbeats or (ENGINE,), frozenset({"main"})), log


def inbox(redis_client: Redis) -> list[dict[str, Any]]:
    entries: Any = redis_client.xrange(keys.INBOX)
    return [json.loads(fields["batch"]) for _, fields in entries]


def test_it_hands_the_sweep_in_once_though_two_hold_the_watch(redis_url: str, redis_client: Redis) -> None:
    with Client(redis_url) as client:
        one, log = switch(client)
        other, _ = switch(client)
        client.beat("engine")
        assert one.tick(START_MS) == other.tick(START_MS) == START_MS + 2_000
        assert one.tick(START_MS + 1_999) == START_MS + 2_000
        assert inbox(redis_client) == []

        before = redis_client.hgetall(keys.heartbeat("engine"))
        assert one.tick(START_MS + 2_000) is None
        redis_client.hset(keys.heartbeat("engine"), mapping=before)  # it died before it had noted that
        assert other.tick(START_MS + 2_300) is None
        assert one.tick(START_MS + 9_000) is None

    (document,) = inbox(redis_client)
    assert document == DOCUMENT | {"batch_id": f"beat-engine-{START_MS}", "reason": "heartbeat engine fell silent"}
    assert [name for _, name, _ in log.events] == ["heartbeat.armed", "heartbeat.silent", "heartbeat.fired"]
    events: Any = redis_client.xrange(keys.EVENTS)
    told = [fields for _, fields in events if fields["type"].startswith("heartbeat")]
    assert [fields["type"] for fields in told[:2]] == ["heartbeat.silent", "heartbeat.fired"]
    assert told[1]["batch_id"] == f"beat-engine-{START_MS}"


def test_one_heartbeat_with_trouble_stops_no_other(redis_url: str, redis_client: Redis) -> None:
    bad = Heartbeat("bad", DOCUMENT, silence_s=1)
    odd = Heartbeat("odd", DOCUMENT, silence_s=3)
    redis_client.hset(keys.beat("bad"), "no", "string")
    redis_client.set(keys.beat("odd"), b"\xff\xfe")
    with Client(redis_url) as client:
        watched, log = switch(client, bad, odd, ENGINE)
        client.beat("engine")

        assert watched.tick(START_MS) == START_MS + 2_000

        assert [told["heartbeat"] for told in log.named("heartbeat.fault")] == ["bad"]
        assert watched.tick(START_MS + 2_500) == START_MS + 3_000
        assert watched.tick(START_MS + 3_000) is None

    assert [document["batch_id"] for document in inbox(redis_client)] == [
        f"beat-engine-{START_MS}",
        f"beat-odd-{START_MS}",
    ]


def test_an_absence_of_redis_starts_the_silence_anew(redis_url: str, redis_client: Redis) -> None:
    with Client(redis_url) as client:
        watched, _ = switch(client)
        client.beat("engine")
        watched.tick(START_MS)
        watched.lost()

        assert watched.tick(START_MS + 5_000) == START_MS + 7_000
        assert watched.tick(START_MS + 6_999) == START_MS + 7_000

    assert inbox(redis_client) == []


def test_a_beat_needs_redis() -> None:
    with Client("redis://127.0.0.1:1/0") as client, pytest.raises(Unreachable):
        client.beat("engine")


# The commands


def configured(folder: Path, redis_url: str) -> Path:
    path = folder / "ripcord.toml"
    account = '[accounts.main]\nvenue = "upbit"\nbase_url = "http://127.0.0.1:9"\n'
    secrets = 'api_key = "env:MADE_UP"\napi_secret = "env:MADE_UP"\n'
    engine = '[[heartbeats]]\nname = "engine"\naccounts = ["*"]\nall = true\nsilence_s = 2\n'
    path.write_text(f'[redis]\nurl = "{redis_url}"\n{account}{secrets}{engine}', encoding="utf-8")
    return path


def test_the_commands_beat_and_show(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RIPCORD_REDIS_URL", raising=False)
    config = str(configured(tmp_path, redis_url))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["--config", config, *arguments])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    never = json.loads(run("heartbeats", "--json")[1])
    assert never == [
        {"heartbeat": "engine", "state": "never", "silence_s": 2.0, "seen_ms": None, "due_ms": None}
        | {"fired_ms": None, "batch_id": None}
    ]
    assert run("beat", "engine") == (0, "", "")
    with Client(redis_url) as client:
        switch(client)[0].tick(client.now_ms())
    code, out, err = run("heartbeats")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["engine", "armed", "2"]
    assert "no worker runs" in err
    code, _, err = run("beat", "stranger")
    assert code == 2
    assert "engine" in err


# Real processes


@pytest.mark.processes
def test_it_survives_a_restart_of_redis_and_a_kill_of_the_watch(tmp_path: Path) -> None:
    with EmbeddedRedis(append_only=True) as server:
        config = configured(tmp_path, server.url)
        parts = ("worker", "worker", "--concurrency", "2")
        with (
            Process(parts, tmp_path / "one.log", config, MADE_UP="made-up-key") as one,
            Process(parts, tmp_path / "two.log", config, MADE_UP="made-up-key") as other,
            Client(server.url) as client,
            Redis.from_url(server.url, decode_responses=True) as raw,
        ):
            workers = (one, other)
            for worker in workers:
                wait_for_start(worker)
            client.beat("engine")
            assert until(lambda: client.heartbeat("engine"))
            time.sleep(1.2)  # the file of Redis is written once a second
            server.kill()
            time.sleep(2)  # longer than the silence that is left
            server.restart()
            assert until(lambda: _answers(client))
            restarted_ms = client.now_ms()
            assert until(lambda: int(client.heartbeat("engine")["since_ms"]) >= restarted_ms - 1_000)
            assert client.latest(5) == []  # the silence starts anew

            holder = str(raw.get(keys.WATCH))
            (dying,) = [worker for worker in workers if f"-{worker.pid}-" in holder]
            dying.send(signal.SIGKILL)
            raw.set(keys.beat("engine"), "1", px=300)
            beaten_ms = client.now_ms()
            raw.set(keys.beat("engine"), "2", px=60_000)
            assert until(lambda: client.latest(5))
            (report,) = client.latest(5)

            assert report["batch_id"] == f"beat-engine-{client.heartbeat('engine')['seen_ms']}"
            assert report["submitted_ms"] >= beaten_ms + 2_000
            assert until(lambda: any(worker.events("heartbeat.fired") for worker in workers if worker is not dying))
            client.beat("engine")
            assert until(lambda: len(client.latest(5)) == 2)


def _answers(client: Client) -> bool:
    try:
        client.ping()
    except Unreachable:
        return False
    return True
