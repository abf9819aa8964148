"""The five simulated venues; the only place that lists them."""

from collections.abc import Mapping
from typing import Final

from simulator.venue import Venue
from simulator.venues import binance, crypto_com, kuna, upbit, weex

VENUES: Final[Mapping[str, Venue]] = {
    module.VENUE.name: module.VENUE for module in (crypto_com, binance, upbit, kuna, weex)
}
