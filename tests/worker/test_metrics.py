"""The metrics of calls: each is counted once, by how it ended."""

from collections import deque

import pytest
from prometheus_client import REGISTRY

from connectors.calls import Request
from connectors.transport import MaybeSent, NotSent, Withheld
from tests.fakes import FakeLine, Reply, said
from worker.metrics import Metered

REQUEST = Request("POST", "/cancel")


def counted(account: str) -> dict[str, float]:
    """Give the number of calls of *account* by how they ended."""
    (family,) = (metric for metric in REGISTRY.collect() if metric.name == "ripcord_calls")
    own = (one for one in family.samples if one.labels.get("account") == account and one.name.endswith("_total"))
    return {one.labels["ended"]: one.value for one in own}


@pytest.mark.parametrize(
    ("reply", "may_send", "ended"),
    [
        (said(), True, "200"),
        (NotSent("?"), True, "not_sent"),
        (MaybeSent("?"), True, "no_answer"),
        (said(), False, "withheld"),
    ],
    ids=["answered", "not sent", "no answer", "withheld"],
)
def test_a_call_is_counted_by_how_it_ended(reply: Reply, may_send: bool, ended: str) -> None:
    account = f"metered {ended}"
    metered = Metered(FakeLine(deque([reply])), account)

    if ended == "200":
        assert metered.send(REQUEST, lambda: may_send).status == 200
    else:
        with pytest.raises(Withheld if ended == "withheld" else (NotSent, MaybeSent)):
            metered.send(REQUEST, lambda: may_send)

    assert counted(account) == {ended: 1.0}
