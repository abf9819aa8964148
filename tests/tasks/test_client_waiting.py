"""Outcomes of a batch that no worker has planned yet."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tasks import keys
from tasks.client import Client

pytestmark = pytest.mark.redis


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with Client(redis_url) as client:
        yield client


def submit(client: Client, orders: list[dict[str, Any]]) -> str:
    return client.submit({"version": 1, "account": "main", "orders": orders, "batch_id": "b"})


def test_every_order_is_pending(client: Client, redis_client: Redis) -> None:
    redis_client.hset(keys.ACCOUNT_VENUES, mapping={"main": "upbit", "other": "binance"})
    submit(client, [{"order_id": "1"}, {"client_order_id": "Ω", "symbol": "S", "account": "other"}])

    first, second = client.outcomes("b")

    assert (first["account"], first["venue"], first["order_id"], first["symbol"]) == ("main", "upbit", "1", None)
    assert (second["account"], second["venue"], second["client_order_id"], second["symbol"]) == (
        "other", "binance", "Ω", "S",
    )  # fmt: skip
    assert {row["status"] for row in (first, second)} == {"pending"}
    assert {row["verdict"] for row in (first, second)} == {"unproven"}
    assert [row["attempts"] for row in (first, second)] == [0, 0]


def test_more_orders_than_one_page_come_in_their_order(client: Client) -> None:
    submit(client, [{"order_id": str(number)} for number in range(1_201)])

    assert [row["order_id"] for row in client.outcomes("b")] == [str(number) for number in range(1_201)]


@pytest.mark.parametrize(("venue", "rows"), [("upbit", 1), ("binance", 2)])
def test_the_same_order_twice_is_one_as_planning_has_it(
    client: Client, redis_client: Redis, venue: str, rows: int
) -> None:
    redis_client.hset(keys.ACCOUNT_VENUES, "main", venue)
    submit(
        client, [{"order_id": "1", "symbol": "A"}, {"order_id": "1", "symbol": "B"}, {"order_id": "1", "symbol": "A"}]
    )

    assert len(client.outcomes("b")) == rows


def test_what_is_planned_already_is_shown_as_it_stands(client: Client, redis_client: Redis) -> None:
    submit(client, [{"order_id": "1"}, {"order_id": "2"}])
    redis_client.hset(keys.orders("b"), "1", '["main","order_id","2",null]')
    redis_client.hset(keys.outcomes("b"), "1", '50|1764000000000|canceled|{"attempts":1}')

    assert [(row["order_id"], row["status"]) for row in client.outcomes("b")] == [("1", "pending"), ("2", "canceled")]


def test_a_document_that_is_gone_leaves_what_was_written(client: Client, redis_client: Redis) -> None:
    submit(client, [{"order_id": "1"}, {"order_id": "2"}])
    redis_client.delete(keys.INBOX)
    redis_client.hset(keys.orders("b"), "0", '["main","order_id","1",null]')

    assert [row["order_id"] for row in client.outcomes("b")] == ["1"]
