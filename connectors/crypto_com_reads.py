"""Crypto.com's calls beside the cancel: what is open, how one order stands, and the end of a whole namespace.

There are two namespaces, each with calls of its own: the ordinary orders, and the advanced ones (trigger, OCO, OTO and
OTOCO) since the breaking change of 2025-12-17: https://exchange-developer.crypto.com/exchange/v1/docs, 2026-11-20.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.crypto_com_api import ADVANCED, ID_FIELDS, build_call, read_call, window
from connectors.orders import OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms_told, field, identity, plain, quantity
from connectors.reads import CancelAll, Listing, OpenOrder, Page, Query, Side, read_standing, unanswered

SIDES: Mapping[str, Side] = MappingProxyType({"BUY": Side.BUY, "SELL": Side.SELL})

# "status" of https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-get-order-detail, 2026-11-20.
# A partial fill is ACTIVE with a cumulative_quantity, and a canceled order may have one too.
STATES: Mapping[str, Status] = MappingProxyType(
    {
        **dict.fromkeys(("NEW", "PENDING", "ACTIVE"), Status.OPEN),
        "FILLED": Status.FILLED,
        "CANCELED": Status.CANCELED,
        **dict.fromkeys(("EXPIRED", "REJECTED"), Status.CLOSED),
    }
)

# NOT_FOUND, with HTTP 200: "Response and Reason Codes" of
# https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference, 2026-11-20.  Of 212
# (INVALID_ORDERID), a cancel's answer to anything that is not open, it is not said what a query means by it.
NOT_KNOWN: Final = "40401"


def _listing(method: str, namespace: str | None) -> Listing:
    """Make the listing of one namespace.

    It has no pages: https://github.com/crypto-com/crypto-agent-trading (page, page_size and limit are ignored, and all
    are returned), 2026-11-20.
    """

    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        del cursor
        return build_call(method, {"instrument_name": symbol} if symbol else {}, credentials, stamp)

    def read(response: Response, cursor: str | None) -> Page:
        del cursor
        said = read_call(method, response)
        if said.refusal is not None:
            return Page((), refusal=said.refusal, unlisted=said.unlisted)
        data = field(said.result, "data")
        if said.method != method or not isinstance(data, list):
            return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message="the answer is no listing of open orders"))
        orders = tuple(order for row in data if (order := _open_order(row, namespace)))
        if len(orders) == len(data):
            return Page(orders)
        return Page((), refusal=Refusal(RefusalKind.UNCERTAIN, message="a row of the listing names no open order"))

    return Listing(method, window(method), build, read)


def _open_order(row: object, namespace: str | None) -> OpenOrder | None:
    """Read one row; None if it has no id that can be sent, or is not open by its own word."""
    order_id, state = plain(field(row, "order_id")), identity(field(row, "status"))
    if order_id is None or STATES.get(state or "", Status.OPEN) is not Status.OPEN:
        return None
    return OpenOrder(
        order_id,
        plain(field(row, "client_oid")),
        symbol=plain(field(row, "instrument_name")),
        side=SIDES.get(identity(field(row, "side")) or ""),
        created_ms=epoch_ms_told(field(row, "create_time")),
        filled_qty=quantity(field(row, "cumulative_quantity")),
        namespace=namespace,
    )


def _query(method: str, units: int, namespace: str | None) -> Query:
    """Make the query of one namespace: one order by either of its ids, in whatever state it is."""

    def build(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
        return build_call(method, {ID_FIELDS[orders[0].kind]: orders[0].value}, credentials, stamp)

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        said = read_call(method, response)
        order, refusal = orders[0], said.refusal
        if refusal is None and said.method == method:
            return read_standing(order, said.result, ID_FIELDS, STATES, "cumulative_quantity")
        if refusal is not None and (said.method, refusal.code, response.status) == (method, NOT_KNOWN, 200):
            return Answer((Outcome(order, Status.UNKNOWN, Evidence.NOT_KNOWN, refusal.code, refusal.message),))
        nameless = Refusal(RefusalKind.UNCERTAIN, message="the answer does not name its method")
        return unanswered(orders, refusal or nameless, said.unlisted)

    return Query(method, tuple(ID_FIELDS), 1, window(method, units), build, read, namespace)


def _cancel_all(method: str, units: int, namespace: str | None) -> CancelAll:
    """Make the cancel of a whole namespace, which it is without any parameter ("omit for all").

    With an instrument it is left out: parameters that the venue does not understand are ignored, so that a filter that
    is not exactly right cancels everything.  https://github.com/crypto-com/crypto-agent-trading, 2026-11-20
    """

    def build(symbol: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        del symbol
        return build_call(method, {}, credentials, stamp)

    def read(orders: tuple[OrderRef, ...], response: Response) -> Answer:
        said = read_call(method, response)
        if said.refusal is not None:
            return refuse(orders, said.refusal, said.unlisted)
        if said.method != method:
            return refuse(orders, Refusal(RefusalKind.UNCERTAIN, message="the answer does not name its method"))
        # "No result block is returned": the call was queued, and that is all that is said.
        return Answer(tuple(Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ALL) for order in orders))

    return CancelAll(method, False, window(method, units), build, read, namespace)


# https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-get-open-orders, 2026-11-20
# https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-advanced-get-open-orders, 2026-11-20
# An order that is triggered between two calls goes from the advanced ones to the others: those are listed last.
LISTINGS: Final = (
    _listing("private/advanced/get-open-orders", ADVANCED),
    _listing("private/get-open-orders", None),
)
# https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-get-order-detail, 2026-11-20: 30 in 100 ms;
# https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-advanced-get-order-detail, 2026-11-20
QUERIES: Final = (
    _query("private/get-order-detail", 30, None),
    _query("private/advanced/get-order-detail", 3, ADVANCED),
)
# https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-cancel-all-orders, 2026-11-20: 15 in 100 ms;
# https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-advanced-cancel-all-orders, 2026-11-20
CANCEL_ALLS: Final = (
    _cancel_all("private/cancel-all-orders", 15, None),
    _cancel_all("private/advanced/cancel-all-orders", 3, ADVANCED),
)
