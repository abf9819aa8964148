"""The venues that there are; the only place that lists them."""

from collections.abc import Mapping
from types import MappingProxyType

from connectors import binance, crypto_com, kuna, upbit, weex
from connectors.venue import Venue

VENUES: Mapping[str, Venue] = MappingProxyType(
    {
        "crypto_com": crypto_com.VENUE,
        "binance": binance.VENUE,
        "upbit": upbit.VENUE,
        "kuna": kuna.VENUE,
        "weex": weex.VENUE,
    }
)
