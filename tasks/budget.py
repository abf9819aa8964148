"""What calls take of the venue's budgets, on one scale; pure."""

from collections import Counter
from collections.abc import Iterable

from connectors.calls import Limit, Scope

Calls = Iterable[tuple[tuple[Limit, ...], int]]  # the windows that a call counts in, and the number of such calls


def renewal_ms(calls: Calls) -> float:
    """Say how long it takes until the budgets have grown again by what *calls* take, in milliseconds.

    Windows of the same name and length are one budget; different ones grow side by side, so the scarcest decides.
    """
    spent: Counter[tuple[str, Scope, int]] = Counter()
    grows: dict[tuple[str, Scope, int], float] = {}
    for limits, number in calls:
        for limit in limits:
            window = (limit.name, limit.scope, limit.per_ms)
            spent[window] += number * limit.cost
            grows[window] = limit.per_ms / limit.units
    return max((units * grows[window] for window, units in spent.items()), default=0.0)
