"""Plan a batch into venue calls; pure."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import zip_longest

from tasks.batch import Account, Accounts, Batch, Chunk, Order, Plan


def plan(batch: Batch, accounts: Accounts) -> Plan:
    """Split *batch* by account, id kind, symbol where the venue wants it, and the venue's batch size.

    The same order twice is one order.  Chunks of different accounts alternate, the account that needs most
    calls first, so that no account waits for another's chunks to be written.  Raises KeyError for an
    account that is not in *accounts*.
    """
    orders = unique(batch.orders, lambda name: accounts[name].venue.symbol_required)
    invalid: dict[int, str] = {}
    groups: dict[str, dict[Hashable, list[int]]] = {}
    for place, order in enumerate(orders):
        account = accounts[order.account]
        trouble = account.venue.check_order(order.ref)
        if trouble is not None:
            invalid[place] = trouble
        else:
            groups.setdefault(order.account, {}).setdefault(_group(order, account), []).append(place)
    lanes = [list(_chunks(accounts[name], places.values())) for name, places in groups.items()]
    lanes.sort(key=len, reverse=True)
    chunks = tuple(chunk for round_ in zip_longest(*lanes) for chunk in round_ if chunk is not None)
    return Plan(orders, chunks, invalid)


def unique(orders: Iterable[Order], needs_symbol: Callable[[str], bool]) -> tuple[Order, ...]:
    """Keep the first of each order; a symbol tells orders apart only in an account that *needs_symbol*."""
    first: dict[Hashable, Order] = {}
    for order in orders:
        symbol = order.ref.symbol if needs_symbol(order.account) else None
        first.setdefault((order.account, order.ref.kind, order.ref.value, symbol), order)
    return tuple(first.values())


def _group(order: Order, account: Account) -> Hashable:
    symbol = order.ref.symbol if account.venue.one_symbol_per_call else None
    return order.ref.kind, symbol


def _chunks(account: Account, groups: Iterable[list[int]]) -> Iterator[Chunk]:
    for places in groups:
        for start in range(0, len(places), account.max_orders_per_call):
            yield Chunk(account.name, tuple(places[start : start + account.max_orders_per_call]))
