"""WEEX's calls beside the cancel: what is open, how one order stands, and the end of a namespace or a symbol of it.

There are two namespaces, each with calls of its own: ordinary orders, and plan orders (trigger, take-profit,
stop-loss).
"""

import re
from typing import Final
from urllib.parse import quote

from connectors.calls import Answer, Limit, Refusal, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms_told, field, identity, plain, quantity
from connectors.reads import CancelAll, Listing, OpenOrder, Page, Query, read_standing, unanswered
from connectors.weex_api import PLAN
from connectors.weex_calls import API, CANCEL_CALLS, Said, build_call, read_call, refusal_of, weights

# "Order does not exist", with HTTP 400: https://www.weex.com/api-doc/contract/ErrorCodes/ExampleOfErrorCode, 2026-11-20
NOT_KNOWN: Final = "50005"


def _listing(path: str, limits: tuple[Limit, ...], namespace: str | None) -> Listing:
    """Make the listing of one namespace, in pages of 100 that are counted from 0.

    Neither the order of the rows nor their total is told, and pages move up while orders go.
    Source: https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20.
    """

    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        chosen = f"symbol={quote(symbol, safe='')}&" if symbol else ""
        target = f"{path}?{chosen}limit={API.page_size}&page={_page_number(cursor)}"
        return build_call("GET", target, None, credentials, stamp)

    def read(response: Response, cursor: str | None) -> Page:
        said = read_call(response)
        rows = said.payload
        if not _is_success(response, said) or not isinstance(rows, list):
            refusal, unlisted = refusal_of(response, said)
            return Page((), refusal=refusal, unlisted=unlisted)
        orders = tuple(order for row in rows if (order := _open_order(row, namespace)))
        if len(orders) < len(rows):
            return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message="a row of the listing names no open order"))
        return Page(orders, str(_page_number(cursor) + 1) if len(rows) >= API.page_size else None)

    return Listing(path, limits, build, read, pages_shift=True)


def _is_success(response: Response, said: Said) -> bool:
    """Say whether the answer is a success by its status, and by its code if what it carries is wrapped."""
    return response.status == 200 and said.welcome and (said.bare or said.code is not None)


def _page_number(cursor: str | None) -> int:
    return int(cursor) if cursor and re.fullmatch("[0-9]{1,9}", cursor) else 0


def _open_order(row: object, namespace: str | None) -> OpenOrder | None:
    """Read one row; None if it has no id that can be sent, or is not open by its own word.

    The digits in a plan order's status are not explained by the venue, so they say nothing.
    """
    order_id, state = plain(field(row, "order_id")), identity(field(row, "status"))
    if order_id is None or API.states.get(state or "", Status.OPEN) is not Status.OPEN:
        return None
    return OpenOrder(
        order_id,
        plain(field(row, "client_oid")),
        symbol=plain(field(row, "symbol")),
        side=API.sides.get(identity(field(row, "type")) or ""),
        created_ms=epoch_ms_told(field(row, "createTime")),
        filled_qty=quantity(field(row, "filled_qty")),
        namespace=namespace,
    )


def _query(name: str, namespace: str | None) -> Query:
    """Make the query of one order, by order id alone.

    Its statuses have "untriggered", so it knows plan orders too; that it knows all of them is not said, so a plan order
    that it does not know is no answer.

    Source: https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20.
    """

    def build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        target = f"{API.detail_path}?orderId={quote(orders[0].value, safe='')}"
        return build_call("GET", target, None, credentials, stamp)

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        said = read_call(response)
        if _is_success(response, said) and isinstance(said.payload, dict):
            return read_standing(orders[0], said.payload, API.row_ids, API.states, "filled_qty")
        refusal, unlisted = refusal_of(response, said)
        if said.code == NOT_KNOWN and response.status in {200, 400}:
            evidence = Evidence.NOT_KNOWN if namespace is None else Evidence.NO_ANSWER
            return Answer((Outcome(orders[0], Status.UNKNOWN, evidence, refusal.code, refusal.message),))
        return unanswered(orders, refusal, unlisted)

    return Query(name, (IdKind.ORDER_ID,), 1, weights(uid=2, ip=2), build, read, namespace)


def _cancel_all(kind: str, namespace: str | None, symbol_needed: bool) -> CancelAll:
    """Make the cancel of one namespace, or of one symbol of it ("omit for all").

    Source: https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20.
    """

    def build(symbol: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        if symbol_needed and not symbol:
            raise ValueError("a cancel-all of one symbol needs the symbol: without it, it would take everything")
        chosen = {"symbol": symbol} if symbol_needed else {}
        return build_call("POST", API.cancel_all_path, {"cancelOrderType": kind, **chosen}, credentials, stamp)

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        said = read_call(response)
        rows = said.payload
        if _is_success(response, said) and isinstance(rows, list):
            named: dict[str | None, list[bool]] = {}
            for row in rows:
                named.setdefault(identity(field(row, "orderId")), []).append(field(row, "success") is True)
            if None not in named:
                return Answer(tuple(_taken(order, named.get(order.value, [])) for order in orders))
        return refuse(orders, *refusal_of(response, said))

    name = f"{API.cancel_all_path} {kind}{' of a symbol' if symbol_needed else ''}"
    # Weights 50 and 40, same page.  That it counts as a cancel call is not said, and neither is that it does not.
    return CancelAll(name, symbol_needed, (*CANCEL_CALLS, *weights(uid=50, ip=40)), build, read, namespace)


def _taken(order: OrderRef, rows: list[bool]) -> Outcome:
    """Read the rows of one order in the answer to a cancel-all: "success" says that its cancel was taken."""
    if not rows:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    if all(rows):
        return Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ANSWER)
    message = "the answer names this order without success"
    return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, message=message)


# Weights: https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20
# A plan order that is triggered between two calls becomes an ordinary one: those are listed last.
LISTINGS: Final = (
    _listing(API.current_plan_path, weights(uid=3, ip=3), PLAN),
    _listing(API.current_path, weights(uid=2, ip=2), None),
)
QUERIES: Final = (_query(API.detail_path, None), _query(f"{API.detail_path} of a plan order", PLAN))
CANCEL_ALLS: Final = tuple(
    _cancel_all(kind, namespace, symbol_needed)
    for kind, namespace in (("normal", None), ("plan", PLAN))
    for symbol_needed in (False, True)
)
