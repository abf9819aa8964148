"""Order references from files: what format it is, what is in it, and on which line it breaks."""

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.document import load_batch
from tasks.errors import DocumentRefused
from worker.references import parse, read_file

OUTCOME = {
    "account": "main",
    "venue": "upbit",
    "symbol": None,
    "order_id": "7",
    "client_order_id": None,
    "status": "unknown",
    "verdict": "unproven",
    "attempts": 1,
}


def orders(text: str) -> object:
    document = parse(text, "FILE")
    assert document == {"version": 1, "orders": document["orders"]}
    return document["orders"]


def refused(text: str) -> list[str]:
    with pytest.raises(DocumentRefused) as caught:
        parse(text, "FILE")
    return list(caught.value.errors)


# Documents


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "orders": [{"order_id": "1"}]},
        {"orders": [{"order_id": "1"}]},  # without its version, which is not made up: it is refused
        {"version": 1, "select": {"accounts": ["*"], "all": True}},
        {"version": 2},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_stays_as_it_is(document: dict[str, object], indent: int | None) -> None:
    assert parse(f"\n {json.dumps(document, indent=indent)}\n\n", "FILE") == document


# JSON Lines


def test_json_lines_are_references() -> None:
    text = '{"order_id": "1"}\n\n  {"client_order_id": "ключ", "symbol": "A"}  \n{"order_id": 5}'

    assert orders(text) == [{"order_id": "1"}, {"client_order_id": "ключ", "symbol": "A"}, {"order_id": 5}]


def test_one_line_is_one_reference() -> None:
    assert orders('{"order_id": "1", "account": "main"}') == [{"order_id": "1", "account": "main"}]


@pytest.mark.parametrize("number", [1, 2])
def test_lines_of_outcomes_can_be_handed_in_again(number: int) -> None:
    text = "\n".join(json.dumps(OUTCOME | {"order_id": str(value)}) for value in range(number))

    assert orders(text) == [{"account": "main", "order_id": str(value)} for value in range(number)]


def test_only_a_line_feed_ends_a_line() -> None:
    """U+2028 and U+0085 may stand in a JSON string as they are."""
    text = '{"client_order_id": "a\u2028b\x85c"}\r\n{"order_id": "2"}'

    assert orders(text) == [{"client_order_id": "a\u2028b\x85c"}, {"order_id": "2"}]


def test_what_is_not_json_is_said_with_its_line() -> None:
    errors = refused('{"order_id": "1"}\n{"order_id": \n\n{oops}\n{"order_id": "2"}')

    assert [error.partition(": ")[0] for error in errors] == ["FILE, line 2", "FILE, line 4"]
    assert all("is not JSON" in error for error in errors)


def test_many_bad_lines_are_not_all_told() -> None:
    assert len(refused("{\n" * 5_000)) == 100
    assert max(map(len, refused("{" + "x" * 100_000))) <= 300


def test_nesting_too_deep_is_an_error_like_others() -> None:
    (error,) = refused('{"a":' * 100_000)

    assert error.startswith("FILE, line 1: is not JSON")


# CSV


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_has_a_header(end: str) -> None:
    text = end.join(["order_id,symbol,account", "1,LTCBTC,main", "2,,", '"3","a,b",main', ""])

    assert orders(text) == [
        {"order_id": "1", "symbol": "LTCBTC", "account": "main"},
        {"order_id": "2"},
        {"order_id": "3", "symbol": "a,b", "account": "main"},
    ]


def test_columns_may_be_in_any_order_and_have_spaces() -> None:
    assert orders(" symbol , client_order_id\n A , leg-7 \n") == [{"symbol": "A", "client_order_id": "leg-7"}]


def test_ids_stay_texts() -> None:
    assert orders("order_id\n0012345678901234567890\n1e5\n") == [
        {"order_id": "0012345678901234567890"},
        {"order_id": "1e5"},
    ]


def test_empty_and_short_rows_are_no_orders() -> None:
    assert orders("order_id,symbol\n\n,\n1\n") == [{"order_id": "1"}]


def test_a_row_that_is_too_long_is_said_with_its_line() -> None:
    assert refused('order_id,symbol\n1,A\n"2\n",B\n3,C,D\n4,E\n5,F,\n') == [
        "FILE, line 5: has more fields than the header",
        "FILE, line 7: has more fields than the header",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "1\n2\n",
        "order_id,side\n1,buy\n",
        "symbol\nA\n",
        "hello",
        '[{"order_id": "1"}]',
        "order id\n1\n",
        "order_id,order_id\n1,2\n",
    ],
)
def test_what_is_none_of_the_three_says_what_a_header_may_have(text: str) -> None:
    (error,) = refused(text)

    assert "is neither a document nor JSON Lines" in error
    assert "client_order_id, client_order_list_id, order_id, order_list_id, symbol" in error


def test_empty_lines_before_the_header_do_not_matter() -> None:
    assert orders("\n\norder_id\n1\n") == [{"order_id": "1"}]


def test_broken_quotes_are_said_to_be_no_csv() -> None:
    (error,) = refused('order_id\n"1"2\n')

    assert error.startswith("FILE: is not CSV: ")


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_an_empty_file_is_said_to_be_so(text: str) -> None:
    assert refused(text) == ["FILE: is empty"]


@given(st.text(max_size=60) | st.text('{}[]",:\n\\order_id ', max_size=60))
def test_any_text_is_orders_or_is_refused(text: str) -> None:
    try:
        document = parse(text, "FILE")
    except DocumentRefused as error:
        str(error).encode()
    else:
        assert isinstance(document, dict)


csv_values = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(csv_values, csv_values), min_size=1, max_size=5))
def test_the_same_orders_come_out_of_each_format(rows: list[tuple[str, str]]) -> None:
    wanted = [{"order_id": order, "symbol": symbol} for order, symbol in rows]
    quoted = ("{},{}".format(*('"' + value.replace('"', '""') + '"' for value in row)) for row in rows)

    assert orders("\n".join(["order_id,symbol", *quoted])) == wanted
    assert orders("\n".join(json.dumps(row) for row in wanted)) == wanted
    batch = load_batch({"version": 1, "account": "main", "orders": wanted})
    assert [order.ref.value for order in batch.orders] == [order for order, _ in rows]


# Files


def test_a_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbforder_id\n1\n")

    assert parse(read_file(str(tmp_path / "x")), "x") == {"version": 1, "orders": [{"order_id": "1"}]}


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"order_id": "1"}'), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)

    assert parse(read_file("-"), "-") == {"version": 1, "orders": [{"order_id": "1"}]}


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DocumentRefused) as caught:
        read_file(str(tmp_path / name))

    assert caught.value.errors[0].startswith(f"{tmp_path / name}: cannot be read: ")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("order_id\nß".encode("latin-1"))

    with pytest.raises(DocumentRefused, match="is not UTF-8"):
        read_file(str(tmp_path / "x"))


def test_standard_input_that_is_not_utf_8_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))

    with pytest.raises(DocumentRefused, match="stdin: is not UTF-8"):
        read_file("-")
