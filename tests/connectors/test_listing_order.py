"""Listings of several namespaces: an order that moves on between two of them must be met in one."""

import pytest

from connectors.reads import Listing
from connectors.registry import VENUES


@pytest.mark.parametrize("venue", ["crypto_com", "weex"])
def test_conditional_orders_are_listed_before_those_that_they_become(venue: str) -> None:
    assert [_is_ordinary(listing) for listing in VENUES[venue].listings] == [False, True]


def _is_ordinary(listing: Listing) -> bool:
    return "advanced" not in listing.name and "Plan" not in listing.name


@pytest.mark.parametrize("venue", ["upbit", "weex"])
def test_numbered_pages_are_known_to_shift(venue: str) -> None:
    assert all(listing.pages_shift for listing in VENUES[venue].listings)
