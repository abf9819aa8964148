"""How one order, or one order list, is named; the only place that knows the four kinds of id."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

UUID_FORM: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class IdKind(StrEnum):
    """Which of an order's names a reference gives."""

    ORDER_ID = "order_id"
    CLIENT_ORDER_ID = "client_order_id"
    ORDER_LIST_ID = "order_list_id"
    CLIENT_ORDER_LIST_ID = "client_order_list_id"


@dataclass(frozen=True, slots=True)
class OrderRef:
    """One order of an account, named by exactly one id in the venue's own form.

    Ids and symbols are strings, never numbers: order ids exceed 2**53.  ``namespace`` is where a listing has
    found the order, if its venue cancels it there by a call of its own; producers never give it.
    """

    kind: IdKind
    value: str
    symbol: str | None = None
    namespace: str | None = None
