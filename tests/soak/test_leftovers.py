from dataclasses import replace

import pytest
from redis import Redis

from tasks import keys
from tests.soak.leftovers import EXPIRE, MEMORY_SLACK, STAY, Contents, grown, read, remaining, remove_what_expires

CLEAN = Contents({keys.INBOX: -1, keys.EVENTS: -1, keys.batch("a"): 60}, 0, frozenset({"a"}), 1_000_000)


def test_what_may_remain_is_no_finding() -> None:
    assert remaining(CLEAN, ["a"]) == []
    assert grown(CLEAN, CLEAN) == []


@pytest.mark.parametrize(
    "key",
    [
        keys.DEADLINES,
        keys.PAUSED,
        keys.AWAITED,
        keys.names("a"),
        keys.chunks("a"),
        keys.chunk("a/0.1"),
        "ripcord:lane:upbit-sim:kill",
        keys.flights("upbit-sim"),
        keys.busy("upbit-sim"),
        keys.followers("a/0.1"),
        "ripcord:something-new",
        "unacked",
        "ripcord.kill",
    ],
)
@pytest.mark.parametrize("ttl", [-1, 60])
def test_a_key_of_work_that_remains_is_found(key: str, ttl: int) -> None:
    contents = replace(CLEAN, ttls={**CLEAN.ttls, key: ttl})

    assert remaining(contents, ["a"]) == [f"Redis: the key {key} remains, and nothing says that it may"]
    assert grown(CLEAN, contents) == [f"Redis: the key {key} was not there at the start"]


@pytest.mark.parametrize("pattern", EXPIRE)
def test_a_key_that_should_have_an_end_and_has_none_is_found(pattern: str) -> None:
    key = pattern.replace("*", "x")

    assert remaining(replace(CLEAN, ttls={key: 60}), ["a"]) == []
    assert remaining(replace(CLEAN, ttls={key: -1}), ["a"]) == [f"Redis: the key {key} would stay for ever"]


def test_documents_in_the_inbox_and_strange_batches_are_found() -> None:
    assert remaining(replace(CLEAN, inbox=2), ["a"]) == ["Redis: 2 documents are left in the inbox"]
    assert remaining(CLEAN, ["b"]) == ["Redis: the list of batches names a, which nobody handed in"]


def test_memory_that_has_grown_is_found() -> None:
    assert grown(CLEAN, replace(CLEAN, bytes=CLEAN.bytes + MEMORY_SLACK)) == []
    assert grown(CLEAN, replace(CLEAN, bytes=CLEAN.bytes + MEMORY_SLACK + 1))


def test_no_pattern_is_in_both_lists() -> None:
    assert not STAY.keys() & EXPIRE.keys()


@pytest.mark.redis
def test_a_real_redis_is_read_and_cleaned(redis_client: Redis) -> None:
    redis_client.hset(keys.batch("a"), "state", "done")
    redis_client.expire(keys.batch("a"), 60)
    redis_client.hset(keys.orders("a"), "0", "x")
    redis_client.zadd(keys.BATCHES, {"a": 1})
    redis_client.xadd(keys.INBOX, {"batch": "{}"})
    redis_client.set(keys.worker("w"), "1", px=5_000)

    contents = read(redis_client)

    assert contents.ttls[keys.batch("a")] in {59, 60}
    assert contents.ttls[keys.orders("a")] == -1
    assert (contents.inbox, contents.batches) == (1, frozenset({"a"}))
    assert contents.bytes > 100_000
    remove_what_expires(redis_client)
    assert read(redis_client).ttls.keys() == {keys.INBOX, keys.worker("w")}
