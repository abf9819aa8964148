"""The part of the contract suite about what goes out: references, requests, and no secrets in either."""

import base64
import re
from dataclasses import fields, replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calls import Response
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Status
from connectors.transport import _problem
from connectors.venue import Venue
from tests.connectors.contract import (
    OTHER_STAMP,
    STAMP,
    any_text,
    credentials_of,
    every_credentials_of,
    every_kind,
    every_venue,
    order_of,
    orders_of,
    sent_texts,
)

# Secrets that a venue wants in clear, and the one header that may hold them.
IN_CLEAR = {("weex", "passphrase"): "ACCESS-PASSPHRASE"}


@every_kind
def test_building_is_pure_and_every_attempt_is_signed_anew(venue: Venue, kind: IdKind) -> None:
    orders = orders_of(venue, kind, venue.max_orders_per_call)
    for credentials in every_credentials_of(venue):
        first = venue.build_cancel(orders, credentials, STAMP)
        assert first == venue.build_cancel(orders, credentials, STAMP)
        signed = credentials.api_secret is not None or credentials.private_key is not None
        assert (first != venue.build_cancel(orders, credentials, OTHER_STAMP)) == signed


@every_kind
def test_a_request_can_go_out_as_it_is(venue: Venue, kind: IdKind) -> None:
    for credentials in every_credentials_of(venue):
        request = venue.build_cancel(orders_of(venue, kind, venue.max_orders_per_call), credentials, STAMP)
        names = {name.lower() for name in request.headers}
        assert _problem(request.target, dict(request.headers)) is None
        assert len(request.target) < 8000  # what servers commonly take
        assert request.method in {"POST", "DELETE"}
        assert bool(request.body) == ("content-type" in names)
        assert not names & {"host", "content-length", "transfer-encoding", "accept-encoding", "user-agent"}


@every_kind
@given(data=st.data())
def test_ids_survive_the_way_out(venue: Venue, kind: IdKind, data: st.DataObject) -> None:
    """Unicode and reserved characters arrive as they are, and 19 digits as text."""
    reserved = st.text("&=+%/?#[]\"\\' é€😀", min_size=1)
    text = any_text | reserved | st.integers(10**18, 10**19 - 1).map(str) | st.uuids().map(str)
    values = data.draw(st.lists(text, min_size=1, max_size=venue.max_orders_per_call, unique_by=str.lower))
    symbol = "LTC&=é" if venue.symbol_required else None
    asked = tuple(OrderRef(kind, value, symbol) for value in values)
    taken = tuple(order for order in asked if venue.check_order(order) is None)
    orders = taken or orders_of(venue, kind, 1)
    for credentials in every_credentials_of(venue):
        request = venue.build_cancel(orders, credentials, STAMP)
        assert _problem(request.target, dict(request.headers)) is None
        sent = iter([in_lower_case_if_uuid(text) for text in sent_texts(request)])
        missing = [order.value for order in orders if in_lower_case_if_uuid(order.value) not in sent]
        assert missing == [], "all ids, in their order"


def in_lower_case_if_uuid(value: str) -> str:
    return value.lower() if re.fullmatch("[0-9A-Fa-f-]{36}", value) else value


@every_venue
@given(kind=st.sampled_from(IdKind), value=any_text, symbol=st.none() | any_text)
def test_every_reference_is_taken_or_refused_in_a_sentence(
    venue: Venue, kind: IdKind, value: str, symbol: str | None
) -> None:
    order = OrderRef(kind, value, symbol)
    sentence = venue.check_order(order)
    if sentence is None:
        assert kind in venue.id_kinds
        venue.build_cancel((order,), credentials_of(venue), STAMP)
        assert venue.read_cancel((order,), Response(200, b"{}")).outcomes[0].status is Status.UNKNOWN
    else:
        assert re.fullmatch(r"[^\n]{10,200}", sentence)
        assert sentence.isprintable()


@every_venue
@pytest.mark.parametrize("kind", IdKind)
def test_a_kind_of_id_that_a_venue_does_not_have_is_refused(venue: Venue, kind: IdKind) -> None:
    taken = [order_of_any_form(venue, kind, form) is None for form in ("123", "leg-7", "6142909902150128699")]
    taken.append(order_of_any_form(venue, kind, "6c1eac69-b9bc-4fbf-9982-e9c4641c453f") is None)
    assert any(taken) == (kind in venue.id_kinds)
    assert order_of_any_form(venue, kind, "") is not None


def order_of_any_form(venue: Venue, kind: IdKind, value: str) -> str | None:
    return venue.check_order(OrderRef(kind, value, "LTCBTC"))


@every_kind
def test_a_symbol_is_asked_for_where_it_is_required(venue: Venue, kind: IdKind) -> None:
    bare = replace(order_of(venue, kind, 0), symbol=None)
    assert (venue.check_order(bare) is not None) == venue.symbol_required
    assert venue.check_order(replace(bare, symbol="LTCBTC")) is None


# Secrets


@every_kind
def test_no_secret_is_shown_or_sent(venue: Venue, kind: IdKind) -> None:
    for credentials in every_credentials_of(venue):
        request = venue.build_cancel(orders_of(venue, kind, 1), credentials, STAMP)
        shown = f"{request!r} {request} {credentials!r} {credentials}"
        for name, secret in secrets_of(credentials).items():
            kept = {key: value for key, value in request.headers.items() if IN_CLEAR.get((venue.name, name)) != key}
            sent = f"{request.target}\n{request.body.decode()}\n{kept}\n{tokens_of(kept)}"
            assert not [spelling for spelling in spellings(secret) if spelling in sent], name
            assert not [spelling for spelling in spellings(secret) if spelling in shown], name
        assert credentials.api_key not in f"{request.target} {shown}"  # URLs are logged by whatever is on the way
        assert not [value for value in request.headers.values() if value in shown]


def secrets_of(credentials: Credentials) -> dict[str, str]:
    found = {one.name: getattr(credentials, one.name) for one in fields(Credentials)}
    return {name: found[name] for name in ("api_secret", "passphrase", "private_key") if found[name]}


def spellings(secret: str) -> list[str]:
    line = max(secret.splitlines(), key=len)  # of a key in PEM, the line that matters
    return [line, quote(line, safe=""), base64.b64encode(line.encode()).decode().rstrip("="), line.encode().hex()]


def tokens_of(headers: dict[str, str]) -> str:
    """Give what can be read in tokens such as JWT, whose parts are plain text in base64."""
    parts = [part for value in headers.values() for part in re.findall(r"[\w-]{8,}", value, re.ASCII)]
    return " ".join(repr(base64.urlsafe_b64decode(part[: len(part) // 4 * 4])) for part in parts)
