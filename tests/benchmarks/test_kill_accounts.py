"""Windows that no configuration can lift must not be what the kill row measures."""

import pytest

from benchmarks.accounts import KILL_ORDERS, kill_accounts, kills_per_account
from connectors.calls import Limit
from connectors.registry import VENUES


def long_windows(venue: str) -> list[Limit]:
    return [limit for limit in VENUES[venue].limits if limit.per_ms >= 60_000]


@pytest.mark.parametrize("kills", [1, 67, 200])
@pytest.mark.parametrize("venue", ["binance", "crypto_com", "kuna", "upbit", "weex"])
def test_every_kill_and_a_warm_up_fit_into_one_window_of_an_account(venue: str, kills: int) -> None:
    most = min(kills, kills_per_account(venue, kills)) + 1
    calls = -(-KILL_ORDERS // VENUES[venue].max_orders_per_call)

    assert all(most * calls * limit.cost <= limit.units for limit in long_windows(venue))
    assert len(kill_accounts(kills)[venue]) * kills_per_account(venue, kills) >= kills


def test_there_are_long_windows_to_fit_into() -> None:
    assert {venue for venue in VENUES if long_windows(venue)} == {"binance", "weex"}
