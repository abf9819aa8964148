"""The registry lists what there is, and the five venues take what the public contract says."""

import pkgutil
from importlib import import_module

import pytest

import connectors
from connectors.orders import IdKind
from connectors.registry import VENUES

# What producers were promised: base_url, id kinds, is a symbol required, sets of credentials.
ORDER_IDS = (IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID)
PROMISED = {
    "crypto_com": ("https://api.crypto.com/exchange/v1", ORDER_IDS, False, [{"api_key", "api_secret"}]),
    "binance": (
        "https://api.binance.com",
        tuple(IdKind),
        True,
        [{"api_key", "api_secret"}, {"api_key", "private_key"}],
    ),
    "upbit": ("https://sg-api.upbit.com", ORDER_IDS, False, [{"api_key", "api_secret"}]),
    "kuna": (
        "https://api.kuna.io",
        (IdKind.ORDER_ID,),
        False,
        [{"api_key"}, {"api_key", "public_key", "api_secret"}],
    ),
    "weex": ("https://api-contract.weex.com", ORDER_IDS, False, [{"api_key", "api_secret", "passphrase"}]),
}


def test_the_registry_equals_the_folder() -> None:
    """Every module that ends with a VENUE is listed, once, under the name of its module."""
    modules = [import_module(f"connectors.{found.name}") for found in pkgutil.iter_modules(connectors.__path__)]
    venues = {module.__name__.rpartition(".")[2]: module.VENUE for module in modules if hasattr(module, "VENUE")}
    assert venues == VENUES
    assert [venue.name for venue in VENUES.values()] == list(VENUES)


def test_the_registry_keeps_the_order_of_the_documentation() -> None:
    assert list(VENUES)[:5] == ["crypto_com", "binance", "upbit", "kuna", "weex"]


@pytest.mark.parametrize("name", PROMISED)
def test_a_venue_takes_what_producers_were_promised(name: str) -> None:
    venue = VENUES[name]
    taken = (venue.base_url, venue.id_kinds, venue.symbol_required, [set(names) for names in venue.credential_sets])
    assert taken == PROMISED[name]


def test_nobody_can_change_the_registry() -> None:
    with pytest.raises(TypeError):
        VENUES["acme"] = VENUES["upbit"]  # type: ignore[index]  # that is the point
