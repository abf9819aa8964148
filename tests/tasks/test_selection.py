"""Contract section 6: what a selection may be, what it covers, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.reads import OpenOrder, Side
from tasks.batch import Batch, Order, Priority, Selection
from tasks.document import load_batch, parse_document
from tasks.errors import DocumentRefused
from tests.fakes import START_MS, refs

ALL: dict[str, Any] = {"accounts": ["main"], "all": True}
FILTERS = "symbol, side, older_than_s, client_order_id_prefix"


def sweep(select: object, **more: object) -> dict[str, object]:
    return {"version": 1, "batch_id": "b-1", "select": select} | more


def errors_of(document: object, accounts: frozenset[str] | None = None) -> list[str]:
    with pytest.raises(DocumentRefused) as caught:
        load_batch(document, accounts)
    return list(caught.value.errors)


def selected(select: object) -> Selection:
    found = load_batch(sweep(select)).select
    assert found is not None
    return found


def test_the_documents_of_the_contract() -> None:
    kill = parse_document(
        """{"version": 1, "select": {"accounts": ["upbit-main"], "all": true}, "priority": "kill",
            "requested_by": "desk", "reason": "drill"}"""
    )
    clean_up = parse_document(
        """{"version": 1, "select": {"accounts": ["binance-main"], "symbol": "LTCBTC", "side": "sell",
            "older_than_s": 3600, "client_order_id_prefix": "bot7-"}, "max_orders": 500, "priority": "cleanup"}"""
    )

    assert load_batch(kill, {"upbit-main"}) == Batch(
        None,
        (),
        Priority.KILL,
        requested_by="desk",
        reason="drill",
        select=Selection(("upbit-main",), all=True),
    )
    assert load_batch(clean_up, {"binance-main"}) == Batch(
        None,
        (),
        Priority.CLEANUP,
        select=Selection(
            ("binance-main",), symbol="LTCBTC", side=Side.SELL, older_than_s=3600, client_order_id_prefix="bot7-"
        ),
        max_orders=500,
    )


REFUSED: dict[str, tuple[object, str]] = {
    "text": ("all", "select: must be an object"),
    "array": ([], "select: must be an object"),
    "no accounts": ({"all": True}, 'select.accounts: must name each account, or be ["*"] for all'),
    "accounts null": (ALL | {"accounts": None}, "select.accounts: Field may not be null."),
    "accounts text": (ALL | {"accounts": "main"}, "select.accounts: must be an array of names, not a string"),
    "accounts empty": (
        ALL | {"accounts": []},
        'select.accounts: must name at least one account, or be ["*"] for all',
    ),
    "account number": (ALL | {"accounts": ["a", 7]}, "select.accounts.1: must be a string, not a number"),
    "account blank": (ALL | {"accounts": [" "]}, "select.accounts.0: must not be empty"),
    "star and more": (
        ALL | {"accounts": ["*", "main"]},
        'select.accounts: must be ["*"] alone, or name each account',
    ),
    "no filter": (
        {"accounts": ["main"]},
        f"select.all: must be true for every open order; or give a filter: {FILTERS}",
    ),
    "all false": (
        ALL | {"all": False},
        f"select.all: must be true for every open order; or give a filter: {FILTERS}",
    ),
    "filter null": (
        {"accounts": ["main"], "symbol": None, "side": None},
        f"select.all: must be true for every open order; or give a filter: {FILTERS}",
    ),
    "unknown": (
        ALL | {"simbol": "LTCBTC"},
        f"select.simbol: is not a known field; there are accounts, all, {FILTERS}",
    ),
    "side": ({"accounts": ["main"], "side": "SELL"}, "select.side: must be one of buy, sell"),
    "symbol empty": ({"accounts": ["main"], "symbol": ""}, "select.symbol: must not be empty"),
    "prefix empty": (
        {"accounts": ["main"], "client_order_id_prefix": ""},
        "select.client_order_id_prefix: must not be empty",
    ),
    "age text": (
        {"accounts": ["main"], "older_than_s": "60"},
        "select.older_than_s: must be a number, not a string",
    ),
    "age below 0": (
        {"accounts": ["main"], "older_than_s": -1},
        "select.older_than_s: must be from 0 to 1,000,000,000 seconds",
    ),
    "age huge": (
        {"accounts": ["main"], "older_than_s": 10**400},
        "select.older_than_s: must be from 0 to 1,000,000,000 seconds",
    ),
}


@pytest.mark.parametrize(("select", "error"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_rule_is_refused(select: object, error: str) -> None:
    assert errors_of(sweep(select)) == [error]


def test_all_must_be_json_true() -> None:
    errors = errors_of(sweep({"accounts": ["main"], "all": 1}))

    assert f"select.all: must be true for every open order; or give a filter: {FILTERS}" in errors
    assert "select.all: must be true or false, not a number" in errors


@pytest.mark.parametrize(
    ("given", "trouble"),
    [
        (0, "must be from 1 to 100,000"),
        (100_001, "must be from 1 to 100,000"),
        (5.0, "must be a whole number, not a number"),
        (True, "must be a whole number, not true or false"),
        ("5", "must be a whole number, not a string"),
    ],
)
def test_max_orders_is_a_whole_number_from_1_to_100_000(given: object, trouble: str) -> None:
    assert errors_of(sweep(ALL, max_orders=given)) == [f"max_orders: {trouble}"]
    assert [load_batch(sweep(ALL, max_orders=most)).max_orders for most in (1, 100_000, None)] == [1, 100_000, None]


def test_a_document_names_orders_or_a_selection() -> None:
    orders = [{"order_id": "1", "account": "main"}]

    assert errors_of(sweep(ALL, orders=orders)) == ["orders: must not stand beside select: give the one or the other"]
    assert errors_of(sweep(None)) == ["orders: must name the orders to cancel; or give select, to sweep what is open"]
    assert load_batch(sweep(None, orders=orders)).orders == (Order("main", refs("1")[0]),)


def test_every_error_is_listed() -> None:
    select = {"accounts": [1], "symbol": 1, "side": "up", "older_than_s": -1, "client_order_id_prefix": "", "x": 1}

    errors = errors_of(sweep(select, max_orders=0, priority="now"))

    places = "accounts.0", "symbol", "side", "older_than_s", "client_order_id_prefix", "x"
    assert {error.partition(":")[0] for error in errors} == {"max_orders", "priority", *(f"select.{p}" for p in places)}


def test_accounts_must_be_configured_where_that_is_known() -> None:
    named = sweep({"accounts": ["main", "other"], "all": True})

    assert errors_of(named, frozenset({"main"})) == ["account 'other' is not configured (configured: main)"]
    assert load_batch(named).select == Selection(("main", "other"), all=True)
    assert load_batch(sweep({"accounts": ["*"], "all": True}), {"main"}).select == Selection(("*",), all=True)


def test_all_accounts_of_none_are_no_sweep() -> None:
    """A kill that reaches nothing must not look like one that has found nothing."""
    assert errors_of(sweep({"accounts": ["*"], "all": True}), frozenset()) == [
        "select.accounts: no account is configured, so there is nothing to sweep"
    ]


# What it covers

some_texts = st.none() | st.sampled_from(["A", "B", "AB", "a", "BA"])
open_orders = st.builds(
    OpenOrder,
    order_id=st.just("1"),
    client_order_id=some_texts,
    symbol=some_texts,
    side=st.none() | st.sampled_from(Side),
    created_ms=st.none() | st.integers(START_MS - 3_000, START_MS + 1_000),
)
selections = st.builds(
    Selection,
    accounts=st.just(("main",)),
    all=st.booleans(),
    symbol=some_texts,
    side=st.none() | st.sampled_from(Side),
    older_than_s=st.none() | st.sampled_from([0, 1, 1.5, 2]),
    client_order_id_prefix=some_texts,
)


@given(selections, open_orders)
def test_filters_combine_with_and_and_what_is_not_known_matches_none(selection: Selection, order: OpenOrder) -> None:
    passed = []
    if selection.symbol is not None:
        passed.append(order.symbol == selection.symbol)
    if selection.side is not None:
        passed.append(order.side == selection.side)
    if selection.older_than_s is not None:
        passed.append(order.created_ms is not None and START_MS - order.created_ms > selection.older_than_s * 1000)
    if selection.client_order_id_prefix is not None:
        prefix, name = selection.client_order_id_prefix, order.client_order_id
        passed.append(name is not None and name[: len(prefix)] == prefix)

    assert selection.matches(order, START_MS) == all(passed)


def test_an_order_is_older_only_from_the_next_millisecond_on() -> None:
    selection = Selection(("main",), older_than_s=1.5)

    ages_ms = [1_499, 1_500, 1_501]
    assert [selection.matches(OpenOrder("1", created_ms=START_MS - age), START_MS) for age in ages_ms] == [
        False,
        False,
        True,
    ]


def test_a_selection_without_filters_takes_what_tells_nothing() -> None:
    assert Selection(("main",), all=True).matches(OpenOrder("1"), START_MS)


# The digest and the way through JSON

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
selects = st.fixed_dictionaries(
    {"accounts": st.just(["*"]) | st.lists(st.sampled_from("abc"), min_size=1, max_size=3), "all": st.just(True)},
    optional={
        "symbol": names,
        "side": st.sampled_from(["buy", "sell"]),
        "older_than_s": st.integers(0, 5) | st.floats(0, 5),
        "client_order_id_prefix": names,
    },
)


@given(selects)
def test_a_selection_is_read_back_from_the_document_that_it_writes(select: dict[str, Any]) -> None:
    selection = selected(select)

    assert selected(selection.document()) == selection
    assert load_batch(sweep(selection.document())).digest == load_batch(sweep(select)).digest


@given(selects, selects, st.none() | st.integers(1, 3), st.none() | st.integers(1, 3))
def test_the_digest_tells_selections_apart(
    one: dict[str, Any], other: dict[str, Any], most: int | None, at_most: int | None
) -> None:
    def content(select: dict[str, Any], most: int | None) -> object:
        return {**select, "accounts": sorted(set(select["accounts"]))}, most

    digests = load_batch(sweep(one, max_orders=most)).digest, load_batch(sweep(other, max_orders=at_most)).digest

    assert (digests[0] == digests[1]) == (content(one, most) == content(other, at_most))


def test_the_order_of_accounts_does_not_matter() -> None:
    one, other = (selected({"accounts": names, "all": True}) for names in (["a", "b"], ["b", "a", "b"]))

    assert one.content == other.content


def test_the_digest_covers_what_is_replayed() -> None:
    document = {"version": 1, "account": "main", "orders": [{"order_id": "1"}]}
    digests = {load_batch(document | {"replay_of": of}).digest for of in (None, "a", "b")}

    assert len(digests) == 3
    assert load_batch(document | {"replay_of": "a"}).replay_of == "a"


def test_the_digest_of_a_list_of_orders_is_what_it_was() -> None:
    """Batches that were handed in before sweeps were known are known still."""
    batch = load_batch({"version": 1, "account": "main", "orders": [{"order_id": "1"}], "reason": "drill"})

    assert batch.digest == "46aad4a799516a6047c634bbe3605ab5fa8df19a4cca979a4d64e805a9175a77"
