"""Contract section 3: what a batch document may be, and what is refused."""

import json
from typing import Any

import pytest

from connectors.orders import IdKind, OrderRef
from tasks.batch import Batch, Order, Priority
from tasks.document import load_batch, parse_document
from tasks.errors import DocumentRefused

ORDER = {"order_id": "1"}
PLAIN: dict[str, Any] = {"version": 1, "batch_id": "b-1", "account": "main", "orders": [ORDER]}


def errors_of(document: object, accounts: frozenset[str] | None = None) -> list[str]:
    with pytest.raises(DocumentRefused) as caught:
        load_batch(document, accounts)
    return list(caught.value.errors)


def refused_json(raw: str | bytes) -> str:
    with pytest.raises(DocumentRefused) as caught:
        parse_document(raw)
    (error,) = caught.value.errors
    return error


def test_the_document_of_the_contract() -> None:
    document = parse_document(
        """{"version": 1, "batch_id": "risk-2026-11-20-0001", "account": "upbit-main",
            "orders": [{"order_id": "6c1eac69-b9bc-4fbf-9982-e9c4641c453f"},
                       {"client_order_id": "leg-7", "symbol": "CRO_USD", "account": "cdc-main"},
                       {"order_list_id": "77", "symbol": "LTCBTC", "account": "binance-main"}],
            "priority": "kill", "deadline_s": 60, "prove": true,
            "requested_by": "risk-engine-eu", "reason": "limit breach"}"""
    )

    assert load_batch(document, {"upbit-main", "cdc-main", "binance-main"}) == Batch(
        batch_id="risk-2026-11-20-0001",
        orders=(
            Order("upbit-main", OrderRef(IdKind.ORDER_ID, "6c1eac69-b9bc-4fbf-9982-e9c4641c453f")),
            Order("cdc-main", OrderRef(IdKind.CLIENT_ORDER_ID, "leg-7", "CRO_USD")),
            Order("binance-main", OrderRef(IdKind.ORDER_LIST_ID, "77", "LTCBTC")),
        ),
        priority=Priority.KILL,
        deadline_s=60,
        prove=True,
        requested_by="risk-engine-eu",
        reason="limit breach",
    )


def test_what_is_absent_or_null_has_its_default() -> None:
    nothing = dict.fromkeys(["batch_id", "requested_by", "reason"])
    nulls = {"order_id": "1", "client_order_id": None, "symbol": None, "account": None}

    short = load_batch({"version": 1, "account": "main", "orders": [ORDER]})
    long = load_batch({"version": 1, "account": "main", "orders": [nulls], **nothing})

    assert short == long
    assert (short.batch_id, short.priority, short.deadline_s, short.prove) == (None, Priority.RISK, 60, True)


@pytest.mark.parametrize("kind", IdKind)
def test_each_kind_of_id_names_an_order(kind: IdKind) -> None:
    batch = load_batch(PLAIN | {"orders": [{kind.value: "00123"}]})

    assert batch.orders == (Order("main", OrderRef(kind, "00123")),)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "nonsense",
        b"\xff\xfe{",
        b'{"reason": "\xff"}',
        '{"reason": "x"}'.encode("utf-16"),
        '{"reason": "x"}'.encode("utf-32"),
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        "\ufeff{}",
        "{} {}",
        "{'a': 1}",
        '{"a": ' + "9" * 5_000 + "}",
        "[" * 200_000,
        '{"a":' * 200_000,
    ],
    ids=lambda raw: ascii(raw[:20]),
)
def test_what_is_not_json_is_refused_with_a_short_error(raw: str | bytes) -> None:
    error = refused_json(raw)

    assert error.startswith("the document is not JSON")
    assert len(error) <= 300


def test_the_error_says_where_the_json_breaks() -> None:
    assert "line 2 column 3" in refused_json('{"version": 1,\n  oops}')


def test_a_field_given_twice_is_refused_wherever_it_stands() -> None:
    """Which of two lists of orders was meant would be a guess."""
    twice = '{"version": 1, "orders": [{"order_id": "1"}], "orders": [{"order_id": "2"}]}'

    assert "the field 'orders' is given twice in one object" in refused_json(twice)
    assert "the field 'order_id' is given twice" in refused_json('{"orders": [{"order_id": "1", "order_id": "2"}]}')


def test_nesting_is_said_to_be_too_deep() -> None:
    assert refused_json("[" * 200_000) == "the document is not JSON: it is nested too deeply"


@pytest.mark.parametrize(
    ("document", "kind"),
    [([], "an array"), ("x", "a string"), (1, "a number"), (1.5, "a number"), (True, "true or false"), (None, "null")],
)
def test_a_document_that_is_no_object_is_refused(document: object, kind: str) -> None:
    assert errors_of(document) == [f"the document must be a JSON object, not {kind}"]


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "version true": ({"version": True}, "version: must be 1"),
    "version 1.0": ({"version": 1.0}, "version: must be 1"),
    "version text": ({"version": "1"}, "version: must be 1"),
    "version 2": ({"version": 2}, "version: must be 1"),
    "version null": ({"version": None}, "version: Field may not be null."),
    "batch_id empty": ({"batch_id": ""}, "batch_id: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
    "batch_id 129": ({"batch_id": "x" * 129}, "batch_id: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
    "batch_id slash": ({"batch_id": "a/b"}, "batch_id: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
    "batch_id newline": ({"batch_id": "a\n"}, "batch_id: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
    "batch_id other digits": ({"batch_id": "٣"}, "batch_id: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
    "batch_id number": ({"batch_id": 7}, "batch_id: Not a valid string."),
    "account number": ({"account": 7}, "account: must be a string, not a number"),
    "account empty": ({"account": " "}, "account: must not be empty"),
    "orders null": ({"orders": None}, "orders: Field may not be null."),
    "orders object": ({"orders": {}}, "orders: must be an array, not an object"),
    "orders text": ({"orders": "1,2"}, "orders: must be an array, not a string"),
    "orders empty": ({"orders": []}, "orders: must name at least one order"),
    "order text": ({"orders": ["1"]}, "orders.0: must be an object, not a string"),
    "order number": ({"orders": [ORDER, 2]}, "orders.1: must be an object, not a number"),
    "id number": ({"orders": [{"order_id": 1}]}, "orders.0: order_id must be a string, not a number"),
    "id empty": ({"orders": [{"order_id": ""}]}, "orders.0: order_id must not be empty"),
    "id long": (
        {"orders": [{"order_id": "x" * 501}]},
        "orders.0: order_id has 501 characters; at most 500 are taken",
    ),
    "symbol number": ({"orders": [ORDER | {"symbol": 1}]}, "orders.0: symbol must be a string, not a number"),
    "order account array": ({"orders": [ORDER | {"account": []}]}, "orders.0: account must be a string, not an array"),
    "order field": ({"orders": [ORDER | {"side": "buy"}]}, "orders.0: 'side' is not a known field"),
    "priority": ({"priority": "urgent"}, "priority: must be one of kill, risk, cleanup"),
    "priority case": ({"priority": "KILL"}, "priority: must be one of kill, risk, cleanup"),
    "priority null": ({"priority": None}, "priority: Field may not be null."),
    "deadline 0": ({"deadline_s": 0}, "deadline_s: must be from 1 to 3600"),
    "deadline 0.99": ({"deadline_s": 0.99}, "deadline_s: must be from 1 to 3600"),
    "deadline 3601": ({"deadline_s": 3601}, "deadline_s: must be from 1 to 3600"),
    "deadline text": ({"deadline_s": "60"}, "deadline_s: must be a number, not a string"),
    "deadline huge": ({"deadline_s": 10**400}, "deadline_s: must be from 1 to 3600"),
    "deadline infinite": ({"deadline_s": float("inf")}, "deadline_s: must be a finite number"),
    "deadline true": ({"deadline_s": True}, "deadline_s: must be a number, not true or false"),
    "prove text": ({"prove": "true"}, "prove: must be true or false, not a string"),
    "prove number": ({"prove": 1}, "prove: must be true or false, not a number"),
    "requested_by number": ({"requested_by": 5}, "requested_by: must be a string, not a number"),
    "reason long": ({"reason": "x" * 201}, "reason: has 201 characters; at most 200 are taken"),
    "reason 5 MB": ({"reason": "x" * 5_000_000}, "reason: has 5,000,000 characters; at most 200 are taken"),
    "unknown field": ({"dry_run": True}, "dry_run: Unknown field."),
    "field with an inner name": ({"_schema": True}, "_schema: Unknown field."),
    "max_orders": ({"max_orders": 5}, "max_orders: is for a sweep (select) only: leave it out"),
    "replay_of": ({"replay_of": "a/b"}, "replay_of: must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
}


@pytest.mark.parametrize(("change", "error"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_rule_is_refused(change: dict[str, object], error: str) -> None:
    assert errors_of(PLAIN | change) == [error]


@pytest.mark.parametrize("field", ["requested_by", "reason", "account"])
@pytest.mark.parametrize("text", ["\n", "\x00", "\t", "\x1b[31m", "\x7f", "\x85", "\ud800"], ids=ascii)
def test_control_characters_and_lone_surrogates_are_refused(field: str, text: str) -> None:
    (error,) = errors_of(PLAIN | {field: f"a{text}b"})

    assert error == f"{field}: must not contain control characters or other unprintable ones"


@pytest.mark.parametrize("field", [*IdKind, "symbol", "account"])
@pytest.mark.parametrize("text", ["a\nb", "\x00", "\ud800", "x\u2028"], ids=ascii)
def test_they_are_refused_in_an_order_too(field: str, text: str) -> None:
    order = {field: text} if field in set(IdKind) else ORDER | {field: text}

    (error,) = errors_of(PLAIN | {"orders": [order]})

    assert error == f"orders.0: {field} must not contain control characters or other unprintable ones"


@pytest.mark.parametrize(
    "change",
    [
        {"batch_id": "x" * 128},
        {"batch_id": "Az09._:-"},
        {"deadline_s": 1},
        {"deadline_s": 3600},
        {"deadline_s": 1.5},
        {"reason": "x" * 200},
        {"reason": ""},
        {"reason": "Größe 🛑 超過"},
        {"reason": "no-break\u00a0space, soft\u00adhyphen, full-width\u3000space, 👩\u200d💻"},
        {"requested_by": " "},
        {"orders": [{"order_id": "x" * 500}]},
        {"orders": [{"client_order_id": "ключ/%&=+ 7"}]},
        {"prove": False},
    ],
    ids=lambda change: ascii(change)[:40],
)
def test_what_just_keeps_the_rules_is_taken(change: dict[str, object]) -> None:
    load_batch(PLAIN | change)


def test_an_order_has_exactly_one_id() -> None:
    one_id = "give exactly one of order_id, client_order_id, order_list_id, client_order_list_id"
    orders = [{"symbol": "A"}, {"order_id": "1", "client_order_id": "2"}, {"order_id": None}, ORDER]

    assert errors_of(PLAIN | {"orders": orders}) == [
        f"orders.0: {one_id} (it has none)",
        f"orders.1: {one_id} (it has order_id and client_order_id)",
        f"orders.2: {one_id} (it has none)",
    ]


def test_an_order_needs_an_account_of_its_own_or_the_documents() -> None:
    document = {"version": 1, "orders": [ORDER, ORDER | {"account": "main"}]}

    assert errors_of(document) == ["orders.0: names no account, and the document has no default account"]


def test_a_batch_has_at_most_100_000_orders() -> None:
    most = [{"order_id": str(number)} for number in range(100_000)]

    assert len(load_batch(PLAIN | {"orders": most}).orders) == 100_000
    assert errors_of(PLAIN | {"orders": [*most, ORDER]}) == [
        "orders: has 100,001 orders; a batch takes at most 100,000: split it"
    ]


def test_every_error_is_listed() -> None:
    document = {
        "version": 2,
        "batch_id": "a b",
        "orders": [{"order_id": 1, "symbol": 2, "x": 3}, None],
        "priority": "now",
        "deadline_s": 0,
        "prove": None,
        "requested_by": "\n.",
        "reason": 1,
        "sharks": True,
    }

    errors = errors_of(document)

    assert {error.partition(":")[0] for error in errors} == {*document.keys() - {"orders"}, "orders.0", "orders.1"}
    assert sorted(error for error in errors if error.startswith("orders")) == [
        "orders.0: 'x' is not a known field",
        "orders.0: names no account, and the document has no default account",
        "orders.0: order_id must be a string, not a number",
        "orders.0: symbol must be a string, not a number",
        "orders.1: must be an object, not null",
    ]


def test_a_sweep_beside_orders_and_a_strange_account_have_their_other_errors_listed_too() -> None:
    filters = "symbol, side, older_than_s, client_order_id_prefix"
    document = PLAIN | {"version": 2, "select": {"accounts": ["strange"], "colour": "red"}, "account": "other"}

    assert sorted(errors_of(document, frozenset({"main"}))) == [
        "account 'other' is not configured (configured: main)",
        "account 'strange' is not configured (configured: main)",
        "account: is for orders: name the accounts of a sweep in select.accounts",
        "orders: must not stand beside select: give the one or the other",
        f"select.all: must be true for every open order; or give a filter: {filters}",
        f"select.colour: is not a known field; there are accounts, all, {filters}",
        "version: must be 1",
    ]


def test_a_missing_version_or_orders_is_an_error() -> None:
    assert sorted(errors_of({})) == [
        "orders: must name the orders to cancel; or give select, to sweep what is open",
        "version: must be 1",
    ]


def test_thousands_of_errors_are_counted_and_not_all_told() -> None:
    errors = errors_of(PLAIN | {"orders": [{}] * 5_000})

    assert len(errors) == 101
    assert errors[-1] == "and 4,900 more errors"


def test_every_account_that_nobody_configured_is_named() -> None:
    document = PLAIN | {"orders": [ORDER, ORDER | {"account": "b"}, ORDER | {"account": "a"}]}

    assert errors_of(document, frozenset({"main", "other"})) == [
        "account 'a' is not configured (configured: main, other)",
        "account 'b' is not configured (configured: main, other)",
    ]
    assert errors_of(PLAIN, frozenset()) == ["account 'main' is not configured (configured: none)"]


@pytest.mark.parametrize(
    ("given", "usable"), [("b-1", "b-1"), ("a b", None), (7, None), ({}, None), (None, None), ("\ud800", None)]
)
def test_a_refusal_keeps_the_batch_id_if_it_is_usable(given: object, usable: str | None) -> None:
    with pytest.raises(DocumentRefused) as caught:
        load_batch({"batch_id": given})

    assert caught.value.batch_id == usable


def test_errors_quote_field_names_in_ascii_and_in_part() -> None:
    errors = errors_of(PLAIN | {"\ud800\n" + "x" * 1000: 1, "orders": [ORDER | {"\x1b[2J": 1}]})

    assert all(error.isascii() and error.isprintable() and len(error) < 200 for error in errors)
    assert len(errors) == 2
    json.dumps(errors)
