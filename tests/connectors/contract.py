"""What the contract suite needs of each venue: recorded answers, orders, keys, and broken answers without end."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import strategies as st

from connectors.calls import RefusalKind, Request, Response, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.outcomes import Evidence, Outcome, Status
from connectors.reading import parse_json
from connectors.registry import VENUES
from connectors.venue import Venue

RECORDED = Path(__file__).parent / "recorded"
STAMP = Stamp(now_ms=1763632800000, token="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
OTHER_STAMP = Stamp(now_ms=1763632800001, token="0f0f51f8-2dc1-4d6f-a838-c74c49b0e39b")
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
MADE_UP = Credentials("made-up-api-key", "made-up-api-secret", "madeuppassphrase", "made-up-public-key", PEM)

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
every_kind = pytest.mark.parametrize(
    ("venue", "kind"),
    [pytest.param(venue, kind, id=f"{name}-{kind}") for name, venue in VENUES.items() for kind in venue.id_kinds],
)


# Recorded answers


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file of ``recorded/<venue>``."""

    name: str
    document: Mapping[str, Any]
    orders: tuple[OrderRef, ...]
    request: Request | None
    response: Response
    refusal: RefusalKind | None
    outcomes: tuple[Outcome, ...]


@cache
def recorded(venue_name: str) -> tuple[Recorded, ...]:
    """Give all recorded answers of a venue, in the order of their names."""
    paths = sorted((RECORDED / venue_name).glob("*.json"))
    return tuple(_recorded(path.stem, json.loads(path.read_text("utf-8"))) for path in paths)


def recorded_of(venue: Venue) -> tuple[Recorded, ...]:
    """Give all recorded answers of a venue, of which there must be some."""
    found = recorded(venue.name)
    assert found, f"no recorded answers in tests/connectors/recorded/{venue.name}"
    return found


def _recorded(name: str, document: Mapping[str, Any]) -> Recorded:
    orders = tuple(OrderRef(IdKind(one["kind"]), one["value"], one["symbol"]) for one in document["orders"])
    request, response, refusal = document["request"], document["response"], document["refusal"]
    return Recorded(
        name,
        document,
        orders,
        Request(**(request | {"body": request["body"].encode()})) if request else None,
        Response(response["status"], response["body"].encode(), response["headers"]),
        RefusalKind(refusal) if refusal else None,
        tuple(
            Outcome(order, **(said | {"status": Status(said["status"]), "evidence": Evidence(said["evidence"])}))
            for order, said in zip(orders, document["outcomes"], strict=True)
        ),
    )


# Orders and keys


def credentials_of(venue: Venue) -> Credentials:
    """Give ``CREDENTIALS`` of the venue's own test module; made-up keys for a venue without one."""
    module = f"tests.connectors.test_{venue.name}"
    found: Credentials = import_module(module).CREDENTIALS if find_spec(module) else MADE_UP
    return found


def every_credentials_of(venue: Venue) -> Iterator[Credentials]:
    """Give made-up keys for each set of credentials that the venue takes."""
    for names in venue.credential_sets:
        yield Credentials(**{name: getattr(MADE_UP, name) for name in names})


def order_of(venue: Venue, kind: IdKind, number: int) -> OrderRef:
    """Name made-up order *number* in the first form that the venue takes: a UUID, 19 digits, or words."""
    symbol = "LTCBTC" if venue.symbol_required else None
    values = (str(UUID(int=(0xB2F1 << 112) + number)), str(6142909902150128699 + number), f"leg-{number}")
    orders = (OrderRef(kind, value, symbol) for value in values)
    return next(order for order in orders if venue.check_order(order) is None)


def orders_of(venue: Venue, kind: IdKind, count: int) -> tuple[OrderRef, ...]:
    return tuple(order_of(venue, kind, number) for number in range(count))


# What stands in a document


def leaves(document: object) -> Iterator[object]:
    """Give every value of a JSON document that is neither an object nor an array, in its order."""
    if isinstance(document, dict | list):
        for value in document.values() if isinstance(document, dict) else document:
            yield from leaves(value)
    else:
        yield document


def words_of(document: object) -> set[str]:
    """Give every text and whole number of a JSON document as text."""
    return {str(leaf) for leaf in leaves(document) if isinstance(leaf, str | int) and not isinstance(leaf, bool)}


def values_of(document: object, name: str) -> Iterator[object]:
    """Give the value of *name* in every object of a JSON document."""
    if isinstance(document, dict):
        yield from [document[name]] if name in document else []
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from values_of(inner, name)


def sent_texts(request: Request) -> list[str]:
    """Give the texts that a request carries, decoded as a venue decodes them: from the query, then from JSON."""
    query = parse_qsl(request.target.partition("?")[2], keep_blank_values=True, strict_parsing=False, errors="strict")
    document = json.loads(request.body) if request.body else None
    return [value for _, value in query] + [leaf for leaf in leaves(document) if isinstance(leaf, str)]


# Answers without end

odd_characters = st.sampled_from("\ud800\udfff\x00\n\x1b\u202e\xa0€😀&=%+/")
any_text = st.text(st.characters(exclude_categories=()) | odd_characters, max_size=20)
any_leaf = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | any_text
    | st.sampled_from(["", "0", 0, 1, -1, 200, "200", 10**400, "\ud800", "x" * 400])
)


def documents_about(venue: Venue) -> st.SearchStrategy[object]:
    """Make JSON of any shape out of the names and the values that the venue's recorded answers have."""
    names, values = {"code"}, {"0"}
    for one in recorded_of(venue):
        document = parse_json(one.response.body)
        names |= _names(document)
        values |= words_of(document) | {order.value for order in one.orders}
    leaf = any_leaf | st.sampled_from(sorted(values)) | st.sampled_from(sorted(venue.codes))
    name = st.sampled_from(sorted(names)) | any_text
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(name, inner), max_leaves=30)


def _names(document: object) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*map(_names, document.values()))
    return set().union(*map(_names, document)) if isinstance(document, list) else set()


@st.composite
def mutations_of(draw: st.DrawFn, document: object) -> object:
    """Break a JSON document in one to four places: drop, repeat, move or replace what stands there."""
    broken = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(broken))
        if not places:
            return draw(any_leaf)
        place, key = draw(st.sampled_from(places))
        _break(draw, broken, place, key)
    return broken


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a document as its container and the key or index in it."""
    if isinstance(document, dict | list):
        for key in list(document) if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])


def _break(draw: st.DrawFn, broken: Any, place: Any, key: Any) -> None:
    how = draw(st.sampled_from(["drop", "replace", "swap", "wrap", "repeat", "reverse"]))
    if how == "drop":
        del place[key]
    elif how == "replace":
        place[key] = draw(any_leaf | st.lists(any_leaf, max_size=2) | st.dictionaries(any_text, any_leaf, max_size=2))
    elif how == "swap":
        other, its_key = draw(st.sampled_from(list(_places(broken))))
        place[key], other[its_key] = json.loads(json.dumps([other[its_key], place[key]]))
    elif how == "wrap":
        place[key] = draw(st.sampled_from([[place[key]], {"data": place[key]}]))
    elif isinstance(place, list):
        place.insert(0, json.loads(json.dumps(place[key]))) if how == "repeat" else place.reverse()
    elif isinstance(place[key], int | str):
        place[key] = str(place[key]) + "0" if how == "repeat" else str(place[key])
