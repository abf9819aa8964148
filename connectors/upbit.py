"""Upbit's protocol; the only place that knows how Upbit signs a cancel and what its answers mean."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.calls import Answer, Refusal, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import field, identity, parse_json, rows
from connectors.upbit_calls import LIMIT, PARAMETERS, build, read_usage
from connectors.upbit_reads import LISTINGS, QUERIES
from connectors.upbit_refusals import CODES, read_refusal
from connectors.venue import Venue

# Query only; a body is refused.  https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
PATH: Final = "/v1/orders/uuids"

# In `success` only, in `failed` only, in both.  The page says "requested": the single cancel answers with an order
# that still waits.  `failed` has no reason: filled, canceled or the market suspended.
# https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
LISTED: Mapping[tuple[bool, bool], tuple[Status, Evidence, str | None]] = MappingProxyType(
    {
        (True, False): (Status.ACCEPTED, Evidence.CANCEL_ANSWER, None),
        (False, True): (Status.UNKNOWN, Evidence.CANCEL_ANSWER, "listed as failed; the venue gives no reason"),
        (True, True): (Status.UNKNOWN, Evidence.CANCEL_ANSWER, "listed both as success and as failed"),
        (False, False): (Status.UNKNOWN, Evidence.NO_ANSWER, "the answer does not name this order"),
    }
)


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None."""
    if order.kind not in PARAMETERS:
        return f"Upbit takes order_id or client_order_id, not {order.kind}"
    if not order.value:
        return f"an empty {order.kind} names no order"
    # Ids are documented as UUIDs, but no rule of their form is: what is no id is the venue's to refuse, and then the
    # call is halved until it stands alone.
    if order.value.encode(errors="replace").decode() != order.value:  # a lone surrogate
        return f"the {order.kind} is not text that UTF-8 can carry"
    return None


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 20 *orders* of one id kind."""
    return build("DELETE", PATH, [(PARAMETERS[order.kind], order.value) for order in orders], credentials, stamp)


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    document = parse_json(response.body)
    if not any(isinstance(field(document, part), dict) for part in ("success", "failed")):
        return read_refusal(orders, response, document)
    if response.status != 200:
        message = f"HTTP {response.status} with lists of orders"
        return refuse(orders, Refusal(RefusalKind.UNCERTAIN, message=message))
    success, failed = _named(document, "success"), _named(document, "failed")
    return Answer(tuple(_outcome(order, success, failed) for order in orders))


def _named(document: object, part: str) -> dict[tuple[IdKind, str], str | None]:
    """Give each name of the orders in *part* with the order's uuid.  Counts are not read: rows are what counts."""
    named: dict[tuple[IdKind, str], str | None] = {}
    for row in rows(field(field(document, part), "orders")):
        uuid, identifier = identity(field(row, "uuid")), identity(field(row, "identifier"))
        order_id = uuid.lower() if uuid and UUID_FORM.fullmatch(uuid) else None
        if uuid:
            named[IdKind.ORDER_ID, uuid.lower()] = order_id
        if identifier:
            key = (IdKind.CLIENT_ORDER_ID, identifier)
            named[key] = order_id if named.get(key, order_id) == order_id else None
    return named


def _outcome(
    order: OrderRef,
    success: Mapping[tuple[IdKind, str], str | None],
    failed: Mapping[tuple[IdKind, str], str | None],
) -> Outcome:
    key = (order.kind, order.value.lower() if order.kind is IdKind.ORDER_ID else order.value)
    status, evidence, message = LISTED[key in success, key in failed]
    order_ids = {named[key] for named in (success, failed) if key in named}
    return Outcome(order, status, evidence, message=message, order_id=order_ids.pop() if len(order_ids) == 1 else None)


# Other countries: https://id-api.upbit.com, https://th-api.upbit.com, and https://api.upbit.com for Korea; accounts
# and keys are of one country.  https://global-docs.upbit.com/reference/rest-api-guide, 2026-11-20
VENUE = Venue(
    name="upbit",
    title="Upbit",
    base_url="https://sg-api.upbit.com",
    id_kinds=tuple(PARAMETERS),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key", "api_secret"}),),
    max_orders_per_call=20,  # https://global-docs.upbit.com/reference/cancel-orders-by-ids, 2026-11-20
    max_in_flight=30,  # ours: the venue publishes none; one second's calls, which may leave all at once
    limits=(LIMIT,),
    settling_ms=1000,  # ours: no figure is published from "requested" to canceled
    success_proves="the cancel was requested; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # The identifier of an order, canceled ones included, cannot be used again:
    # https://global-docs.upbit.com/reference/cancel-and-new-order, 2026-11-20
    resend_safe=frozenset({IdKind.ORDER_ID, IdKind.CLIENT_ORDER_ID}),
    read_usage=read_usage,
    listings=LISTINGS,
    queries=QUERIES,
    # No cancel_alls: DELETE /v1/orders/open takes 300 orders at most and leaves those in the state `watch`, so that it
    # never covers what a listing shows.  https://global-docs.upbit.com/reference/batch-cancel-orders, 2026-11-20
    note="keys are of one country; base_url names it (sg-api, id-api, th-api, or api for Korea)",
)
