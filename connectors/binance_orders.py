"""How Binance names its orders and words their states; the only place that knows either."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status

NUMBERED: Final = frozenset({IdKind.ORDER_ID, IdKind.ORDER_LIST_ID})
LISTS: Final = frozenset({IdKind.ORDER_LIST_ID, IdKind.CLIENT_ORDER_LIST_ID})

# "legal range is '^[0-9]{1,20}$'": https://github.com/sammchardy/python-binance/issues/123, 2026-11-20
NUMBER: Final = re.compile(r"[0-9]{1,20}")
SURROGATE: Final = re.compile("[\ud800-\udfff]")  # has no UTF-8 form, so no such name can be sent

# https://github.com/binance/binance-spot-api-docs/blob/master/enums.md#order-status-status, 2026-11-20
ENDS: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "CANCELED": Status.CANCELED,
        "FILLED": Status.FILLED,
        "REJECTED": Status.CLOSED,
        "EXPIRED": Status.CLOSED,
        "EXPIRED_IN_MATCH": Status.CLOSED,
    }
)
OPEN: Final = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"})  # same page


def check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot name an order or an order list on Binance; None if it can.

    Binance documents no form for client ids, so that any text passes.
    """
    if not order.symbol:
        return "Binance needs the symbol of every order"
    if order.kind in NUMBERED and NUMBER.fullmatch(order.value) is None:
        return f"on Binance {order.kind} is a number of at most 20 digits"
    if not order.value:
        return f"{order.kind} is empty"
    return "the reference has no UTF-8 form" if SURROGATE.search(order.symbol + order.value) else None


def exact_value(order: OrderRef) -> str:
    """Give the id of *order* as an answer spells it: a number without zeros before it."""
    return order.value.lstrip("0") or "0" if order.kind in NUMBERED else order.value
