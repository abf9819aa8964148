"""The control API under /_sim/: JSON in and out, without any key; the only way to steer a running simulator."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from urllib.parse import parse_qsl

from simulator.accounts import CREDENTIALS, make_account
from simulator.book import Order, State
from simulator.control_settings import (
    ControlError,
    Document,
    get_faults,
    get_limits,
    only,
    set_behavior,
    set_clock,
    set_fault,
    set_limits,
)
from simulator.desk import Desk
from simulator.http import Answer, Request, render
from simulator.seeding import Given, Plan, seed_given, seed_plan
from simulator.venues import VENUES

READABLE = ("account", "since_ms", "limit")
ORDER_FIELDS = tuple(f.name for f in fields(Order) if not f.name.startswith("settle"))


def front(desk: Desk) -> Callable[[Request], Answer]:
    """Give the function that answers every request: a venue's, the control API's, or nobody's."""

    def answer(request: Request) -> Answer:
        name = request.path.split("/", 2)[1]
        venue = VENUES.get(name)
        if venue is not None and request.path.startswith(venue.root):
            return desk.answer(venue, request)
        if name != "_sim":
            return Answer(render(404, b"<html><body>404 Not Found</body></html>"))
        try:
            return Answer(render(200, _control(desk, request)))
        except (ControlError, ValueError, TypeError, KeyError) as error:
            return Answer(render(400, {"error": f"{type(error).__name__}: {error}"}))

    return answer


def _control(desk: Desk, request: Request) -> object:
    handle = ROUTES.get((request.method, request.path))
    if handle is None:
        raise ControlError(f"there is no {request.method} {request.path}")
    if request.method == "GET":
        document: object = dict(parse_qsl(request.query))
    else:
        document = request.document() if request.body else {}
    if not isinstance(document, dict):
        raise ControlError("the body must be a JSON object")
    return handle(desk, document)


def _health(desk: Desk, document: Document) -> object:
    only(document, ())
    return {"status": "ok", "now_ms": desk.clock.now_ms(), "skew_ms": desk.clock.skew_ms}


def _accounts(desk: Desk, document: Document) -> object:
    only(document, ())
    return {
        "accounts": [
            {"name": a.name, "venue": a.venue, "root": VENUES[a.venue].root, "keys": a.keys()}
            for a in desk.accounts.values()
        ]
    }


def _new_account(desk: Desk, document: Document) -> object:
    only(document, ("venue", "name", "api_key", "api_secret", "passphrase", "public_key", "public_pem"))
    venue = document["venue"]
    if venue not in CREDENTIALS:
        raise ControlError(f"no venue {venue!r}, but {', '.join(CREDENTIALS)}")
    given = {key: str(value) for key, value in document.items() if key not in ("venue", "name")}
    account = make_account(venue, document["name"], given)
    desk.add_account(account)
    return {"name": account.name, "venue": venue, "root": VENUES[venue].root, "keys": account.keys()}


def _seed(desk: Desk, document: Document) -> object:
    if "orders" not in document:
        plan = Plan(**only(document, tuple(f.name for f in fields(Plan))))
        return {"orders": seed_plan(desk, plan)}
    only(document, ("account", "orders"))
    return {"orders": seed_given(desk, document["account"], [Given(**order) for order in document["orders"]])}


def _set_states(desk: Desk, document: Document) -> object:
    """Change orders behind the callers' back, as a market does; a cancel under way is forgotten."""
    only(document, ("account", "order_ids", "state"))
    state = State(document["state"])
    orders = [desk.books[document["account"]].orders[order_id] for order_id in document["order_ids"]]
    for order in orders:
        order.state, order.settle_ms, order.settle_to = state, None, None
        order.updated_ms = desk.clock.now_ms()
        order.filled_qty = order.qty if state is State.FILLED else order.filled_qty
    return {"changed": len(orders)}


def _book(desk: Desk, document: Document) -> object:
    only(document, READABLE)
    book = desk.books[document["account"]]
    now_ms = desk.clock.now_ms()
    lists = [
        {
            "order_list_id": each.order_list_id,
            "client_order_list_id": each.client_order_list_id,
            "symbol": each.symbol,
            "order_ids": [leg.order_id for leg in each.legs],
        }
        for each in book.lists.values()
    ]
    return {"account": document["account"], "orders": [_row(order) for order in book.all(now_ms)], "lists": lists}


def _row(order: Order) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(order, name) for name in ORDER_FIELDS}  # asdict is ten times slower
    row["canceling"] = order.live and order.settle_ms is not None
    return row


def _log(desk: Desk, document: Document) -> object:
    only(document, READABLE)
    since_ms, limit = int(document.get("since_ms", 0)), int(document.get("limit", 200_000))
    return {"calls": desk.journal.entries(document.get("account"), since_ms, limit)}


def _counters(desk: Desk, document: Document) -> object:
    """Give the sums of every account, with what its orders are by now; that last part takes long for large books."""
    with_orders = only(document, ("orders",)).get("orders") != "no"
    accounts: dict[str, dict[str, object]] = {}
    now_ms, sums = desk.clock.now_ms(), desk.journal.sums()
    for name, book in desk.books.items():
        states: dict[str, int] = {}
        for order in book.all(now_ms) if with_orders else ():
            states[order.state] = states.get(order.state, 0) + 1
        accounts[name] = {**sums.pop(name, {"calls": 0, "breaches": {}, "bad_signatures": 0}), "orders": states}
    everyone = [*accounts.values(), *sums.values()]
    breaches = sum(sum(each["breaches"].values()) for each in everyone if isinstance(each["breaches"], dict))
    calls = sum(each["calls"] for each in everyone if isinstance(each["calls"], int))
    return {"calls": calls, "breaches": breaches, "accounts": accounts, "nobody": sums}


def _reset(desk: Desk, document: Document) -> object:
    only(document, ())
    desk.reset()
    return _health(desk, {})


ROUTES: Mapping[tuple[str, str], Callable[[Desk, Document], object]] = {
    ("GET", "/_sim/health"): _health,
    ("GET", "/_sim/accounts"): _accounts,
    ("POST", "/_sim/accounts"): _new_account,
    ("POST", "/_sim/orders"): _seed,
    ("POST", "/_sim/states"): _set_states,
    ("GET", "/_sim/book"): _book,
    ("GET", "/_sim/log"): _log,
    ("GET", "/_sim/counters"): _counters,
    ("GET", "/_sim/faults"): get_faults,
    ("POST", "/_sim/faults"): set_fault,
    ("GET", "/_sim/limits"): get_limits,
    ("POST", "/_sim/limits"): set_limits,
    ("POST", "/_sim/behavior"): set_behavior,
    ("POST", "/_sim/clock"): set_clock,
    ("POST", "/_sim/reset"): _reset,
}
