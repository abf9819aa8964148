"""The versions of WEEX's contract API as values; the only place that knows their paths and field names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.orders import IdKind
from connectors.outcomes import Status
from connectors.reading import field, identity, text
from connectors.reads import Side

PLAN: Final = "plan"  # the namespace of trigger, take-profit and stop-loss orders

# This answer is documented bare, others of V2 are wrapped: {"code":"00000","msg":"success","data":...}; "200" is a
# peer's.  https://pypi.org/project/ccxt/4.5.90 (weex), 2026-11-20
SUCCESS_CODES: Final = frozenset({"00000", "200", "0"})


V2_IDS: Final[Mapping[IdKind, str]] = MappingProxyType(
    {IdKind.ORDER_ID: "order_id", IdKind.CLIENT_ORDER_ID: "client_oid"}
)


@dataclass(frozen=True, slots=True)
class Line:
    """What an answer says of one order; ``taken`` that the venue took the cancel, without any objection."""

    ids: Mapping[IdKind, str | None]
    taken: bool
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Api:
    """One version of the API: all that differs between two of them.

    ``read_lines`` gives every line of an answer about an order, or None where the answer has no such lists;
    ``read_plan_lines`` does that for the cancel of a plan order.  ``page_size`` is the most rows of one page.
    """

    method: str
    cancel_path: str
    clock_path: str
    cancel_plan_path: str
    cancel_all_path: str
    current_path: str
    current_plan_path: str
    detail_path: str
    page_size: int
    id_lists: Mapping[IdKind, str]
    row_ids: Mapping[IdKind, str]
    states: Mapping[str, Status]
    sides: Mapping[str, Side]
    read_lines: Callable[[object], list[Line] | None]
    read_plan_lines: Callable[[object], list[Line] | None]


def _read_v2_lines(payload: object) -> list[Line] | None:
    """Read both lists of V2.  ``result``, ``orderIds`` and ``clientOids`` beside them speak of the call alone.

    Source: https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20.
    """
    given = (field(payload, "cancelOrderResultList"), field(payload, "failInfos"))
    results, failures = ([] if part is None else part for part in given)
    if given == (None, None) or not isinstance(results, list) or not isinstance(failures, list):
        return None
    return [*(_v2_line(row, failed=False) for row in results), *(_v2_line(row, failed=True) for row in failures)]


def _read_v2_plan_lines(payload: object) -> list[Line] | None:
    """Read the answer to one plan order's cancel, which is a line by itself.

    Source: https://github.com/JannetEkka/smt-weex-trading-bot (v3/logs, 2026-02-21), 2026-11-20.
    """
    return [_v2_line(payload, failed=False)] if identity(field(payload, "order_id")) else None


def _v2_line(row: object, *, failed: bool) -> Line:
    ids = {kind: identity(field(row, name)) for kind, name in V2_IDS.items()}
    code, message = text(field(row, "err_code")), text(field(row, "err_msg"))  # err_code: an older revision's
    # A text beside result true is an objection, but for the tokens of a cancel that goes well.
    quiet = (code is None or code in SUCCESS_CODES) and (message is None or message.upper().startswith("SUCCESS"))
    return Line(ids, not failed and quiet and field(row, "result") is True, code, message)


# https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch and
# https://www.weex.com/api-doc/contract/Market_API/GetServerTime, 2026-11-20
V2: Final = Api(
    method="POST",
    cancel_path="/capi/v2/order/cancel_batch_orders",
    clock_path="/capi/v2/market/time",
    cancel_plan_path="/capi/v2/order/cancel_plan",
    cancel_all_path="/capi/v2/order/cancelAllOrders",
    current_path="/capi/v2/order/current",
    current_plan_path="/capi/v2/order/currentPlan",
    detail_path="/capi/v2/order/detail",
    page_size=100,  # "default 100, max 100": https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20
    id_lists=MappingProxyType({IdKind.ORDER_ID: "ids", IdKind.CLIENT_ORDER_ID: "cids"}),
    row_ids=V2_IDS,
    # "status" of the same page.  An order that is canceling can still fill, and a canceled one may be partly filled.
    states=MappingProxyType(
        {
            **dict.fromkeys(("pending", "open", "canceling", "untriggered"), Status.OPEN),
            "filled": Status.FILLED,
            "canceled": Status.CANCELED,
        }
    ),
    # "type", in words in listings and as a digit where orders are placed:
    # https://www.weex.com/api-doc/contract/Transaction_API/PlaceOrder, 2026-11-20
    sides=MappingProxyType(
        {
            **dict.fromkeys(("open_long", "close_short", "1", "4"), Side.BUY),
            **dict.fromkeys(("open_short", "close_long", "2", "3"), Side.SELL),
        }
    ),
    read_lines=_read_v2_lines,
    read_plan_lines=_read_v2_plan_lines,
)
