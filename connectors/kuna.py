"""Kuna v4's protocol; the only place that knows how Kuna signs a cancel and what its answers mean."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from connectors.calls import Answer, RefusalKind, Request, Response, Stamp, refuse
from connectors.credentials import Credentials
from connectors.kuna_calls import LIMIT, build_post
from connectors.kuna_reads import LISTINGS, QUERIES
from connectors.kuna_refusals import CODES, error_of, errors_of, refusal_of
from connectors.orders import UUID_FORM, IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import epoch_ms, field, identity, parse_json, rows
from connectors.venue import Venue

# A newer page's sample posts to the path without /multi, which cancels one order and takes no list.
# https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20
PATH: Final = "/v4/order/private/cancel/multi"


def _check_order(order: OrderRef) -> str | None:
    """Say why *order* cannot be named here, or None."""
    if order.kind is not IdKind.ORDER_ID:  # v4 has no client ids.  https://docs.kuna.io/docs/cancel-multiple-orders
        return f"Kuna takes order_id, not {order.kind}"
    # https://docs.kuna.io/docs/cancel-multiple-orders ("UUID format"), 2026-11-20
    # A malformed id can spoil a call for the others, so that it never leaves the house.
    if not UUID_FORM.fullmatch(order.value):
        return "an order_id of Kuna is a UUID of 36 characters"
    return None


def _build_cancel(orders: tuple[OrderRef, ...], credentials: Credentials, stamp: Stamp) -> Request:
    """Sign one cancel of up to 20 *orders*; with an api_key alone, send that key instead of a signature.

    Ids go out in lower case, each once.  The signature is of path, nonce and the very bytes of the body.
    Source: https://docs.kuna.io/v4.0/reference/authorizing-requests, 2026-11-20.
    """
    ids = dict.fromkeys(order.value.lower() for order in orders)
    body = json.dumps({"orderIds": list(ids)}, separators=(",", ":")).encode()
    return build_post(PATH, body, credentials, stamp)


def _read_cancel(orders: tuple[OrderRef, ...], response: Response) -> Answer:
    """Read one outcome for each of *orders*, in their order.  Never raises."""
    document = parse_json(response.body)
    errors, results = errors_of(document), _results(document)
    if not errors and results is not None and 200 <= response.status < 300:
        return Answer(tuple(_outcome(order, results) for order in orders))
    refusal, unlisted = refusal_of(errors, response)
    if results:  # orders named in a refused call: it contradicts itself, and only a read can tell
        refusal = replace(refusal, kind=RefusalKind.UNCERTAIN, pause_ms=None)
    return refuse(orders, refusal, unlisted)


def _results(document: object) -> dict[str, list[object]] | None:
    """Give all rows of each id named, in lower case; None if the answer has no list of results.

    The list is bare in the documentation and under ``data`` in the prose and in peers; a row's id is ``id`` or
    ``orderId``.  Ids are compared as text: the page's own example shows one that is no UUID.
    Source: https://docs.kuna.io/reference/ordercontroller_cancelordermanyorders-1, 2026-11-20.
    """
    listed = document if isinstance(document, list) else field(document, "data")
    if not isinstance(listed, list):
        return None
    results: dict[str, list[object]] = {}
    for row in rows(listed):
        names = {name.lower() for key in ("id", "orderId") if (name := identity(field(row, key)))}
        for name in names:
            results.setdefault(name, []).append(row if len(names) == 1 else None)
    return results


def _outcome(order: OrderRef, results: Mapping[str, list[object]]) -> Outcome:
    """Read the rows of one order.  True says that the request was taken; only a read can show the order gone."""
    named = results.get(order.value.lower())
    if named is None:
        return Outcome(order, Status.UNKNOWN, Evidence.NO_ANSWER, message="the answer does not name this order")
    doubtful = [row for row in named if field(row, "success") is not True]
    if not doubtful:
        return Outcome(order, Status.ACCEPTED, Evidence.CANCEL_ANSWER)
    error = error_of(doubtful[0])
    code, message = next(iter(error.codes), None), error.message or "the answer names this order without success"
    return Outcome(order, Status.UNKNOWN, Evidence.CANCEL_ANSWER, code, message)


def _read_clock(response: Response) -> int | None:
    """Read the venue's time, in milliseconds since the epoch; the name is spelled as the venue spells it.

    Source: https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20.
    """
    now_ms = field(field(parse_json(response.body), "data"), "timestamp_miliseconds")
    return epoch_ms(now_ms) if response.status == 200 else None


VENUE = Venue(
    name="kuna",
    title="Kuna",
    base_url="https://api.kuna.io",  # https://docs.kuna.io/docs/general-api-information-1, 2026-11-20
    id_kinds=(IdKind.ORDER_ID,),
    symbol_required=False,
    one_symbol_per_call=False,
    credential_sets=(frozenset({"api_key"}), frozenset({"api_key", "public_key", "api_secret"})),
    # Ours: undocumented.  Lists end at 100, but one bad id can spoil a call for all of it.
    # https://docs.kuna.io/docs/get-active-client-orders-private, 2026-11-20
    max_orders_per_call=20,
    max_in_flight=5,  # ours: one second's calls
    limits=(LIMIT,),
    settling_ms=3000,  # ours: no figure is published from "success" to canceled
    success_proves="the request was accepted; the order may still be open",
    codes=CODES,
    check_order=_check_order,
    build_cancel=_build_cancel,
    read_cancel=_read_cancel,
    # https://pypi.org/project/ccxt/4.4.80 (kuna), 2026-11-20
    clock_request=Request("GET", "/v4/public/timestamp", {"accept": "application/json"}),
    read_clock=_read_clock,
    listings=LISTINGS,
    queries=QUERIES,
    # No cancel_alls: the venue has none.  https://docs.kuna.io/docs/general-api-information-1, 2026-11-20
    # https://github.com/ccxt/ccxt/pull/26040 and https://github.com/knowm/XChange/pull/5236, 2026-11-20
    note="closed since 2025: built and tested against its documentation only",
)
