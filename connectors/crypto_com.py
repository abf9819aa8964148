"""Crypto.com Exchange v1 as data and pure functions; the only place that knows its cancels and what they prove."""

from collections import Counter
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from connectors.calls import REFUSED_AS, Answer, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.crypto_com_api import ADVANCED, CODES, ID_FIELDS, build_call, read_call, window
from connectors.crypto_com_reads import CANCEL_ALLS, LISTINGS, QUERIES
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, rows, text
from connectors.venue import Venue

# https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-cancel-order-list, 2026-11-20
METHOD: Final = "private/cancel-order-list"
# https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-advanced-cancel-order-list, 2026-11-20
ADVANCED_METHOD: Final = "private/advanced/cancel-order-list"
CLIENT_OID_LENGTH: Final = 36  # same page, client_oid: "maximum 36 characters", 2026-11-20


def _check_order(order: OrderRef) -> str | None:
    if order.kind not in ID_FIELDS:
        return f"Crypto.com names an order by order_id or client_order_id, not by {order.kind}"
    if not order.value:
        return f"the {order.kind} is empty"
    if order.kind is IdKind.CLIENT_ORDER_ID and len(order.value) > CLIENT_OID_LENGTH:
        return f"a client_order_id of Crypto.com has at most {CLIENT_OID_LENGTH} characters"
    if any("\ud800" <= character <= "\udfff" for character in order.value + (order.symbol or "")):
        return f"the {order.kind} or the symbol is not valid Unicode, so no request can carry it"
    return None


def _name(order: OrderRef) -> dict[str, str]:
    return {ID_FIELDS[order.kind]: order.value}


def _item(order: OrderRef) -> dict[str, str]:
    return ({"instrument_name": order.symbol} if order.symbol else {}) | _name(order)


def _method(orders: tuple[OrderRef, ...]) -> str:
    return ADVANCED_METHOD if any(order.namespace == ADVANCED for order in orders) else METHOD


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 10 *orders*, all of one namespace.

    The call for advanced orders takes no instruments and no contingency type:
    https://exchange-developer.crypto.com/exchange/v1/docs/api/rest/private-advanced-cancel-order-list, 2026-11-20.
    """
    if _method(orders) == ADVANCED_METHOD:
        return build_call(ADVANCED_METHOD, {"order_list": [_name(order) for order in orders]}, credentials, stamp)
    params: dict[str, object] = {"contingency_type": "LIST", "order_list": [_item(order) for order in orders]}
    return build_call(METHOD, params, credentials, stamp)


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    said = read_call(_method(orders), response)
    refusal = said.refusal
    if refusal is None:
        return _read_items(orders, rows(said.result))  # the outer 0 itself says nothing of an order
    if refusal.kind is RefusalKind.MARKET_CLOSED and len(orders) > 1:
        # It is not said which of the orders' markets, and the others are open.
        refusal = replace(refusal, kind=RefusalKind.REFERENCE)
    return refuse(orders, refusal, said.unlisted)


def _read_items(orders: tuple[OrderRef, ...], items: list[object]) -> Answer:
    """Match items to orders by ``index``, the place in the request: no ids come back.

    A false ACCEPTED proves nothing and is found out; a false REJECTED would leave a live order alone.  So an
    order's only item is enough for ACCEPTED, but REJECTED takes an answer whose indexes are exactly 0 to n-1.
    """
    places = [identity(field(item, "index")) for item in items]
    in_order = Counter(places) == Counter(str(place) for place in range(len(orders)))
    outcomes = []
    unlisted = None
    for place, order in enumerate(orders):
        found = [item for item, its_place in zip(items, places, strict=True) if its_place == str(place)]
        code = identity(field(found[0], "code")) if len(found) == 1 else None
        outcomes.append(_read_item(order, found, in_order))
        if code is not None and code not in CODES:
            unlisted = unlisted or text(code)
    return Answer(tuple(outcomes), unlisted=unlisted)


def _read_item(order: OrderRef, found: list[object], in_order: bool) -> Outcome:
    if len(found) != 1:
        message = f"the answer has {len(found) or 'no'} items for this order"
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message=message)
    code = field(found[0], "code")
    status = _item_status(identity(code))
    if status is Status.REJECTED and not in_order:
        status = Status.UNKNOWN
    words = None if status is Status.ACCEPTED else text(code)
    return Outcome(order, status, Evidence.CANCEL_ANSWER, words, text(field(found[0], "message")))


def _item_status(code: str | None) -> Status:
    listed = CODES.get(code or "", Status.UNKNOWN)
    status = listed if isinstance(listed, Status) else REFUSED_AS[listed]
    # The call itself was taken, so an item that only asks for another try is no proof that nothing was executed.
    return Status.UNKNOWN if status is Status.NOT_SENT else status


VENUE = Venue(
    name="crypto_com",
    title="Crypto.com Exchange",
    # https://exchange-developer.crypto.com/exchange/v1/docs/api/rest-common-api-reference, 2026-11-20
    base_url="https://api.crypto.com/exchange/v1",
    id_kinds=tuple(ID_FIELDS),
    symbol_required=False,  # instrument_name is "N"; https://exchange-docs.crypto.com/exchange/v1/rest-ws, 2026-11-20
    one_symbol_per_call=False,  # https://github.com/ccxt/ccxt/pull/22257, 2026-11-20
    credential_sets=(frozenset({"api_key", "api_secret"}),),
    # "Cancel up to 10 orders in one call": https://github.com/crypto-com/cdcx-cli, skills/cdcx-execution.md,
    # 2026-11-20.  The reference names no number for cancels, and 10 for private/create-order-list.
    max_orders_per_call=10,
    max_in_flight=32,  # ours: with answers in 100 ms, 30 reads use the whole of 300 a second
    limits=window(METHOD),  # the cancel of advanced orders has another window just like it
    settling_ms=500,  # ours: the call is documented as asynchronous, without a figure
    success_proves="the request was accepted; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # Whether a client_oid may be used again is not documented, so a second cancel might meet another order.
    resend_safe=frozenset({IdKind.ORDER_ID}),
    # No read_usage: no header tells what is used of a limit.
    # No clock_request: the nonce may be 60 s off, and the reference has no call that tells the time.
    listings=LISTINGS,
    queries=QUERIES,
    cancel_alls=CANCEL_ALLS,
    # "max 10", on the page of ADVANCED_METHOD
    namespaces=MappingProxyType({ADVANCED: 10}),
    # Breaking change of 2025-12-17, https://exchange-developer.crypto.com/exchange/v1/docs, 2026-11-20
    note="trigger, OCO, OTO and OTOCO orders live in a namespace of their own, where listings find them",
)
