"""No bytes of a venue may raise, and no two ids that differ may look alike."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.reading import MESSAGE_LENGTH, UNREADABLE, field, identity, parse_json, rows, text

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
