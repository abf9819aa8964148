"""Listing an account's open orders: every page of every listing, or a failure that says why."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Limit, Refusal, RefusalKind, Request, Response, Scope, Stamp
from connectors.credentials import Credentials
from connectors.reads import Listing, OpenOrder, Page
from connectors.transport import MaybeSent, NotSent, always
from tasks.clock import VenueClock
from tasks.listing import MOST_PAGES, ListingFailed, MaySend, list_open
from tests.fakes import PLAIN, SECRET, FakeClock, account_of

WHOLE = (Limit("calls", Scope.ACCOUNT, 1_000, 1_000, cost=80),)
OF_A_SYMBOL = (Limit("calls", Scope.ACCOUNT, 1_000, 1_000, cost=6),)


def listing(name: str, namespace: str | None = None, **changes: Any) -> Listing:
    def build(symbol: str | None, cursor: str | None, credentials: Credentials, stamp: Stamp) -> Request:
        asked = {"listing": name, "symbol": symbol, "cursor": cursor}
        return Request("GET", "/open", {"key": credentials.api_key, "nonce": stamp.token}, json.dumps(asked).encode())

    def read(response: Response, cursor: str | None) -> Page:
        document = json.loads(response.body)
        if "refusal" in document:
            refusal = Refusal(RefusalKind(document["refusal"]), document.get("code"), document.get("message"))
            return Page((), refusal=refusal, unlisted=document.get("code"))
        rows = tuple(OpenOrder(row, filled_qty=qty, namespace=namespace) for row, qty in document["rows"])
        return Page(rows, document["next"])

    return replace(Listing(name, WHOLE, build, read), **changes)


@dataclass
class Venue:
    """A venue's side: ``pages`` of each listing, as lists of ids; what happened, in its order."""

    pages: dict[str, list[list[str]]]
    faults: dict[tuple[str, int], Exception | dict[str, str]] = field(default_factory=dict)
    happened: list[object] = field(default_factory=list)
    endless: bool = False

    def permit(self, limits: tuple[Limit, ...]) -> MaySend:
        self.happened.append(limits)
        return always

    def send(self, request: Request, may_send: object = None) -> Response:
        asked = json.loads(request.body)
        number = int(asked["cursor"] or 0)
        self.happened.append((asked["listing"], number, asked["symbol"]))
        fault = self.faults.get((asked["listing"], number))
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return Response(200, json.dumps(fault).encode())
        pages = self.pages[asked["listing"]]
        last = number + 1 >= len(pages)
        following = None if last else str(number + 1)
        if self.endless and last:
            following = str(number)
        rows = [[row, str(number)] for row in (pages[number] if pages else [])]
        return Response(200, json.dumps({"rows": rows, "next": following}).encode())


def listed(venue: Venue, *listings: Listing, symbol: str | None = None) -> tuple[OpenOrder, ...]:
    account = account_of(replace(PLAIN, listings=listings))
    return list_open(account, venue, FakeClock(), VenueClock(), venue.permit, symbol=symbol).orders


ids = st.integers(0, 30).map(str)
some_pages = st.lists(st.lists(ids, max_size=5), max_size=5)


@given(normal=some_pages, plans=some_pages)
def test_every_order_of_every_page_and_namespace_comes_once(normal: list[list[str]], plans: list[list[str]]) -> None:
    venue = Venue({"normal": normal, "plans": plans})

    orders = listed(venue, listing("normal"), listing("plans", "plan"))

    expected = {(row, None) for page in normal for row in page} | {(row, "plan") for page in plans for row in page}
    assert sorted((o.order_id, o.namespace or "") for o in orders) == sorted((row, n or "") for row, n in expected)


@given(pages=st.lists(st.lists(ids, max_size=5), min_size=1, max_size=5), data=st.data())
def test_a_page_that_is_no_listing_fails_the_whole_in_the_venues_words(
    pages: list[list[str]], data: st.DataObject
) -> None:
    spoiled = data.draw(st.integers(0, len(pages) - 1))
    kind = data.draw(st.sampled_from(RefusalKind))
    venue = Venue(
        {"first": [["1"]], "second": pages},
        {("second", spoiled): {"refusal": kind.value, "code": "E7", "message": "not today"}},
    )

    with pytest.raises(ListingFailed, match=f"second, page {spoiled + 1}.*{kind.value} E7 not today") as failed:
        listed(venue, listing("first"), listing("second"))

    assert failed.value.refusal == Refusal(kind, "E7", "not today")
    assert (failed.value.account, failed.value.unlisted) == ("main", "E7")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (NotSent("no connection"), RefusalKind.UNAVAILABLE),
        (MaybeSent("no whole answer"), RefusalKind.UNCERTAIN),
        (ValueError("a header with a line break"), RefusalKind.CALL),
    ],
)
def test_a_call_without_an_answer_is_no_empty_listing(fault: Exception, kind: RefusalKind) -> None:
    venue = Venue({"open": [["1"], ["2"]]}, {("open", 1): fault})

    with pytest.raises(ListingFailed, match=str(fault)) as failed:
        listed(venue, listing("open"))

    assert failed.value.refusal.kind is kind


def test_a_call_that_cannot_be_built_tells_no_credential() -> None:
    def build(*_: object) -> Request:
        raise RuntimeError(SECRET)

    with pytest.raises(ListingFailed, match="could not build the call: RuntimeError") as failed:
        listed(Venue({}), listing("open", build=build))

    assert SECRET not in str(failed.value)
    assert failed.value.__suppress_context__


def test_a_venue_that_ripcord_cannot_list_is_not_empty() -> None:
    with pytest.raises(ListingFailed, match="cannot ask Plain for open orders"):
        listed(Venue({}))


@pytest.mark.parametrize(
    ("symbol", "own", "limits"), [(None, OF_A_SYMBOL, WHOLE), ("BTC", OF_A_SYMBOL, OF_A_SYMBOL), ("BTC", None, WHOLE)]
)
def test_every_call_is_permitted_just_before_it_and_costs_less_for_a_symbol(
    symbol: str | None, own: tuple[Limit, ...] | None, limits: tuple[Limit, ...]
) -> None:
    venue = Venue({"open": [["1"], ["2"]]})

    listed(venue, listing("open", symbol_limits=own), symbol=symbol)

    assert venue.happened == [limits, ("open", 0, symbol), limits, ("open", 1, symbol)]


def test_a_permission_that_does_not_come_stops_the_listing() -> None:
    def never(_: object) -> None:
        raise TimeoutError("the deadline came")

    venue = Venue({"open": [["1"]]})
    account = account_of(replace(PLAIN, listings=(listing("open"),)))
    with pytest.raises(TimeoutError):
        list_open(account, venue, FakeClock(), VenueClock(), never)

    assert venue.happened == []


def test_an_order_that_comes_twice_is_as_it_was_read_last() -> None:
    venue = Venue({"open": [["1", "2"], ["2", "3"]]})

    orders = listed(venue, listing("open"))

    assert [(order.order_id, order.filled_qty) for order in orders] == [("1", "0"), ("2", "1"), ("3", "1")]


def test_pages_that_go_round_in_circles_are_no_listing() -> None:
    with pytest.raises(ListingFailed, match="do not come to an end"):
        listed(Venue({"open": [["1"], ["2"]]}, endless=True), listing("open"))


def test_pages_without_an_end_are_no_listing() -> None:
    venue = Venue({"open": [[str(number)] for number in range(MOST_PAGES + 1)]})

    with pytest.raises(ListingFailed, match="do not come to an end"):
        listed(venue, listing("open"))

    assert len(listed(Venue({"open": [[str(number)] for number in range(MOST_PAGES)]}), listing("open"))) == MOST_PAGES


def test_a_key_that_the_venue_repeats_is_blotted_out() -> None:
    account = account_of(replace(PLAIN, listings=(listing("open"),)))
    repeated = {"refusal": "credentials", "code": "E1", "message": f"bad key {SECRET}"}
    venue = Venue({"open": []}, {("open", 0): repeated})

    with pytest.raises(ListingFailed, match="bad key") as failed:
        list_open(account, venue, FakeClock(), VenueClock(), venue.permit)

    assert SECRET not in str(failed.value)
