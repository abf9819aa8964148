"""WEEX contract as data and pure functions; the only place that knows its cancels and what they prove."""

from types import MappingProxyType

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, doubt_order, refuse
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, parse_json, text
from connectors.venue import Venue
from connectors.weex_api import PLAN, Line
from connectors.weex_calls import API, CANCEL_CALLS, CODES, build_call, read_call, refusal_of, weights
from connectors.weex_reads import CANCEL_ALLS, LISTINGS, QUERIES


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None.  The form of an order_id is not documented: any may be sent."""
    if order.kind not in API.id_lists:
        return f"WEEX takes order_id or client_order_id, not {order.kind}"
    if not order.value:
        return f"an empty {order.kind} names no order"
    # https://www.weex.com/api-doc/contract/Transaction_API/PlaceOrder, 2026-11-20
    if order.kind is IdKind.CLIENT_ORDER_ID and len(order.value) > 40:
        return "a client_order_id of WEEX has at most 40 characters"
    if order.kind is IdKind.ORDER_ID and any("\ud800" <= character <= "\udfff" for character in order.value):
        return "the order_id is not valid Unicode, so no query can carry it"
    if order.kind is not IdKind.ORDER_ID and order.namespace == PLAN:
        return "WEEX cancels a plan order by order_id alone"
    return None


def _is_plan(orders: tuple[OrderRef, ...]) -> bool:
    return any(order.namespace == PLAN for order in orders)


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 10 *orders* of one id kind, or of one plan order; each id goes out once, as a string.

    Sources: https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch and, for plan orders,
    https://github.com/discountry/weex-sdk-python (docs/Trade.md), 2026-11-20.
    """
    if _is_plan(orders):
        return build_call("POST", API.cancel_plan_path, {"orderId": orders[0].value}, credentials, stamp)
    ids = dict.fromkeys(order.value for order in orders)
    return build_call(API.method, API.cancel_path, {API.id_lists[orders[0].kind]: list(ids)}, credentials, stamp)


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    said = read_call(response)
    lines = API.read_plan_lines(said.payload) if _is_plan(orders) else API.read_lines(said.payload)
    if said.welcome and lines is not None:
        return Answer(tuple(_outcome(order, lines) for order in orders))
    if said.welcome or lines:  # nothing that can be read, or orders named in a refused call, which contradicts itself
        message = said.message or f"HTTP {response.status} without results that can be trusted"
        return refuse(orders, Refusal(RefusalKind.UNCERTAIN, said.code, message))
    refusal, unlisted = refusal_of(response, said)
    if said.error is Status.UNKNOWN:
        return doubt_order(orders, refusal.code, refusal.message)
    return refuse(orders, refusal, unlisted)


def _outcome(order: OrderRef, lines: list[Line]) -> Outcome:
    """Read all lines of one order.  V2 has a state "canceling", so that a cancel that was taken is not yet done.

    What the venue says against it ("not found", filled, canceled) is no proof either: only a read is.
    """
    own = [line for line in lines if line.ids.get(order.kind) == order.value]
    if not own:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    told = {line.ids.get(IdKind.ORDER_ID) for line in own}
    order_id = next(iter(told)) if len(told) == 1 and told == set(map(text, told)) else None
    objections = [line for line in own if not line.taken]
    if not objections:
        return Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ANSWER, order_id=order_id)
    said = next((line for line in objections if line.message), objections[0])
    message = said.message or "the answer names this order without success"
    return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, said.code, message, order_id=order_id)


def _read_clock(response: Response) -> int | None:
    """Read the venue's time, in milliseconds since the epoch.

    Source: https://www.weex.com/api-doc/contract/Market_API/GetServerTime, 2026-11-20.
    """
    document = parse_json(response.body)
    now_ms = field(document, "timestamp") or field(field(document, "data"), "timestamp")
    return epoch_ms(now_ms) if response.status == 200 else None


VENUE = Venue(
    name="weex",
    title="WEEX",
    base_url="https://api-contract.weex.com",  # https://www.weex.com/api-doc/contract/QuickStart/APIDomain, 2026-11-20
    id_kinds=tuple(API.id_lists),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key", "api_secret", "passphrase"}),),
    # V2 states none; V3 says 10, and an older post 50.
    # https://www.weikestg.info/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20
    max_orders_per_call=10,
    max_in_flight=4,  # ours: one second's calls
    # https://www.weex.com/api-doc/contract/Transaction_API/CancelOrdersBatch, 2026-11-20.  The cancel of a plan order
    # weighs 3 and 2, and is counted as if it weighed as much.
    limits=(*CANCEL_CALLS, *weights(uid=10, ip=5)),
    # Plan orders show with a lag of about 2 s: https://github.com/JannetEkka/smt-weex-trading-bot, 2026-11-20
    settling_ms=3000,
    success_proves="the request was taken; the order may still be canceling or open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # Whether a client_oid may be used again is not documented, so a second cancel might meet another order.
    resend_safe=frozenset({IdKind.ORDER_ID}),
    # No read_usage: no header that tells what is used of a limit is documented.
    clock_request=Request("GET", API.clock_path),
    read_clock=_read_clock,
    listings=LISTINGS,
    queries=QUERIES,
    cancel_alls=CANCEL_ALLS,
    namespaces=MappingProxyType({PLAN: 1}),  # one orderId a call
    # https://www.weex.com/api-doc/contract/QuickStart/LIMITS and .../contract/changelog, 2026-11-20
    note='contract API V2, which WEEX retires for V3 ("V2 (Sunsets Sep 30)", no year); V3 is not built',
)
