"""What is written down of an order that is canceled again."""

import json

from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from tasks.fold import fold
from tasks.ports import Claim, ClaimKind
from tasks.report import outcome
from tasks.standings import standing_of, tried_again

ORDER = OrderRef(IdKind.ORDER_ID, "a")
READ_MS = 1_000


def test_open_is_told_as_of_the_read_that_showed_it_and_not_of_a_cancel_since_then() -> None:
    """There was no time left to read again: the venue may have ended it long before the last cancel."""
    shown = standing_of(Outcome(ORDER, Status.OPEN, Evidence.ORDER_QUERY), 1, READ_MS)
    known = shown
    for attempt, at_ms in ((2, 20_000), (3, 30_000)):
        claim = Claim(ClaimKind.SEND, "b/0", "b", "main", 1, attempt, 60_000, (4,), (ORDER,), known=(known,))
        ((place, tried),) = tried_again(claim, at_ms)
        known = fold(known, tried)

        row = outcome(json.dumps(["main", ORDER.kind, ORDER.value, None]), known.text(), {"main": "upbit"})
        assert (place, known.at_ms) == (4, at_ms)  # reading back counts from here
        assert (row["status"], row["attempts"], row["updated_ms"]) == ("open", attempt, READ_MS)

    again = fold(known, standing_of(Outcome(ORDER, Status.OPEN, Evidence.ORDER_QUERY), 3, 31_000))
    assert outcome(json.dumps(["main", ORDER.kind, ORDER.value, None]), again.text(), {})["updated_ms"] == 31_000
