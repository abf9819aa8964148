"""No bytes of a venue may raise, and no two ids that differ may look alike."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.reading import (
    MESSAGE_LENGTH,
    UNREADABLE,
    field,
    identity,
    iso_ms,
    parse_json,
    plain,
    quantity,
    rows,
    text,
)

any_text = st.text(st.characters(exclude_categories=()), max_size=400)  # with lone surrogates and control characters
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=10,
)
DIGITS = sys.get_int_max_str_digits()


@given(st.binary(max_size=100))
def test_any_bytes_are_a_document_or_unreadable(body: bytes) -> None:
    parse_json(body)


@given(any_json)
def test_every_document_is_read_as_it_is(document: object) -> None:
    assert repr(parse_json(json.dumps(document).encode())) == repr(document)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"<html>",
        b"\xff{}",
        b"\xef\xbb\xbf{}",  # a byte order mark
        '{"a":"é"}'.encode("latin-1"),
        "{}".encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b"1" * (DIGITS + 1),
        b"'single'",
        b"\x00",
    ],
    ids=range(15),
)
def test_what_is_no_document_is_unreadable(body: bytes) -> None:
    assert parse_json(body) is UNREADABLE


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b"null", None),
        (b"false", False),
        (b'"UNREADABLE"', "UNREADABLE"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"9007199254740993", 2**53 + 1),
        (b'{"id":1234567890123456789}', {"id": 1234567890123456789}),
        (b'"\\ud800"', "\ud800"),
    ],
)
def test_documents_that_are_easily_misread(body: bytes, document: object) -> None:
    assert parse_json(body) == document


@given(any_json)
def test_a_text_can_be_printed_stored_and_sent(value: object) -> None:
    words = text(value)
    if words is not None:
        assert words.isprintable()
        assert words == words.strip()
        assert 0 < len(words.encode()) <= 4 * MESSAGE_LENGTH
        assert len(words) <= MESSAGE_LENGTH
        assert isinstance(value, str | int)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Order does not exist", "Order does not exist"),
        ("한국어 \N{EURO SIGN}", "한국어 \N{EURO SIGN}"),
        (-2011, "-2011"),
        (0, "0"),
        ("two\nlines\x1b[0m", "two lines [0m"),
        ("\ud800", "?"),
        ("x" * 400, "x" * 300),
        ("", None),
        (" \n", None),
        (None, None),
        (True, None),
        (1.0, None),
        (float("nan"), None),
        ([], None),
        ({"a": 1}, None),
    ],
)
def test_texts(value: object, words: str | None) -> None:
    assert text(value) == words


@given(any_json, any_text)
def test_a_field_of_anything_is_its_value_or_none(document: Any, name: str) -> None:
    found = field(document, name)
    assert found is (document.get(name) if isinstance(document, dict) else None)


@given(any_json)
def test_rows_of_anything_are_a_list(document: object) -> None:
    assert rows(document) == (document if isinstance(document, list) else [])


def test_what_is_unreadable_has_no_fields_and_no_rows() -> None:
    assert field(UNREADABLE, "value") is None
    assert rows(UNREADABLE) == []
    assert text(UNREADABLE) is None
    assert identity(UNREADABLE) is None


@given(any_text)
def test_the_identity_of_a_text_is_that_text(value: str) -> None:
    assert identity(value) == (value or None)


@given(st.integers(-(10**40), 10**40))
def test_the_identity_of_a_number_has_all_its_digits(value: int) -> None:
    assert identity(value) == str(value)


@pytest.mark.parametrize("value", [None, True, False, 1.0, 1e18, float("nan"), [], ["1"], {}, b"1"])
def test_what_is_no_id_has_no_identity(value: object) -> None:
    assert identity(value) is None


def test_a_number_too_long_for_a_text_has_neither_text_nor_identity() -> None:
    assert (text(10**DIGITS), identity(10**DIGITS)) == (None, None)


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("2018-04-10T15:42:23+09:00", 1523342543000),
        ("2023-07-11T07:04:20.131Z", 1689059060131),
        ("1970-01-01T00:00:00.001+00:00", 1),
        ("1970-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("2018-04-10T15:42:23", None),  # of no zone
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        ("", None),
        (1523342543000, None),
        (None, None),
        (["2018-04-10T15:42:23Z"], None),
    ],
)
def test_a_time_in_text_needs_its_offset(value: object, ms: int | None) -> None:
    assert iso_ms(value) == ms


@given(st.text() | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()))
def test_a_time_in_text_never_raises(value: str) -> None:
    ms = iso_ms(value)
    assert ms is None or 0 < ms < 2**53


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [
        *((good, True) for good in ("a:b/c_1", 7, "레그", "x" * 300)),
        *((bad, False) for bad in ("", " a", "a\n", "\ud800", "x" * 301, True, None, 1.5, 10**5000)),
    ],
    ids=range(13),
)
def test_a_plain_id_is_itself_or_nothing(value: object, *, is_plain: bool) -> None:
    assert plain(value) == (str(value) if is_plain else None)


@pytest.mark.parametrize("value", ["0", "0.0", "12.50000000", "007"])
def test_a_quantity_is_the_venues_own_text(value: str) -> None:
    assert quantity(value) == value


@pytest.mark.parametrize("value", [1, 0.5, None, "", "-1", "1e3", "NaN", "٣", "1" * 50, ".5", "1."])
def test_what_is_no_plain_decimal_text_is_no_quantity(value: object) -> None:
    assert quantity(value) is None
