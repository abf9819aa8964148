"""Which of the orders that a sweep has found are canceled by the venue's own cancel-all, and which by ids; pure.

A cancel-all is taken only where it covers exactly what is selected: it must not touch anything else, neither now nor
what is placed until it arrives.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from connectors.orders import OrderRef
from connectors.reads import CancelAll
from tasks.batch import Account, Selection
from tasks.budget import renewal_ms
from tasks.ports import Group
from tasks.proof import group

MOST_ORDERS: Final = 1_000  # of one chunk; a venue with more open orders is asked more than once


def plan_cancels(orders: Sequence[OrderRef], account: Account, select: Selection, *, ids_only: bool) -> list[Group]:
    """Split *orders*, found in a listing with *select*, into calls: cancel-alls where they cover them and are fewer.

    *ids_only* keeps to cancels by ids.
    """
    groups: list[Group] = []
    left = dict.fromkeys(orders)
    for number, call in enumerate(() if ids_only else account.venue.cancel_alls):
        for symbol in _symbols(call, left, select):
            reached = [order for order in left if reaches(call, symbol, order)]
            if reached and _is_cheaper(call, reached, account):
                parts = (reached[at : at + MOST_ORDERS] for at in range(0, len(reached), MOST_ORDERS))
                groups += [Group(tuple(part), number) for part in parts]
                left = {order: None for order in left if not reaches(call, symbol, order)}
    numbered = dict(enumerate(left))
    by_ids = group(numbered.items(), account)
    return groups + [Group(tuple(numbered[place] for place in places)) for places in by_ids]


def reaches(call: CancelAll, symbol: str | None, order: OrderRef) -> bool:
    """Say whether *call*, made with *symbol*, touches *order*."""
    return order.namespace == call.namespace and (not call.per_symbol or order.symbol == symbol)


def _symbols(call: CancelAll, orders: Iterable[OrderRef], select: Selection) -> list[str | None]:
    """Give the symbols with which *call* touches nothing that is not selected; None stands for a whole account."""
    if (select.side, select.older_than_s, select.client_order_id_prefix) != (None, None, None):
        return []
    if not call.per_symbol:
        return [None] if select.symbol is None else []
    if select.symbol is not None:
        return [select.symbol]
    named = (order.symbol for order in orders if order.namespace == call.namespace)
    return [symbol for symbol in dict.fromkeys(named) if symbol is not None]


def _is_cheaper(call: CancelAll, orders: Sequence[OrderRef], account: Account) -> bool:
    calls, by_ids = math.ceil(len(orders) / MOST_ORDERS), len(group(enumerate(orders), account))
    return calls < by_ids and renewal_ms([(call.limits, calls)]) <= renewal_ms([(account.limits, by_ids)])
