"""The versions of WEEX's contract API as values; the only place that knows their paths and field names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.orders import IdKind
from connectors.reading import field, identity, text

# This answer is documented bare, others of V2 are wrapped: {"code":"00000","msg":"success","data":...}; "200" is a
# peer's.  https://pypi.org/project/ccxt/4.5.90 (weex), 2026-11-20
SUCCESS_CODES: Final = frozenset({"00000", "200", "0"})


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

    ``read_lines`` gives every line of an answer about an order, or None where the answer has no such lists.
    """

    method: str
    cancel_path: str
    clock_path: str
    id_lists: Mapping[IdKind, str]
    read_lines: Callable[[object], list[Line] | None]


def _read_v2_lines(payload: object) -> list[Line] | None:
    """Read both lists of V2.  ``result``, ``orderIds`` and ``clientOids`` beside them speak of the call alone.

    Source: https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20.
    """
    given = (field(payload, "cancelOrderResultList"), field(payload, "failInfos"))
    results, failures = ([] if part is None else part for part in given)
    if given == (None, None) or not isinstance(results, list) or not isinstance(failures, list):
        return None
    return [*(_v2_line(row, failed=False) for row in results), *(_v2_line(row, failed=True) for row in failures)]


def _v2_line(row: object, *, failed: bool) -> Line:
    ids = {
        IdKind.ORDER_ID: identity(field(row, "order_id")),
        IdKind.CLIENT_ORDER_ID: identity(field(row, "client_oid")),
    }
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
    id_lists=MappingProxyType({IdKind.ORDER_ID: "ids", IdKind.CLIENT_ORDER_ID: "cids"}),
    read_lines=_read_v2_lines,
)
