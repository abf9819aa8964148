"""Reading bytes from a venue without ever raising; the only place that parses an answer's JSON."""

import json
from enum import Enum
from typing import Final, Literal

MESSAGE_LENGTH: Final = 300


class Unreadable(Enum):
    """The type of the one value that no JSON document has."""

    UNREADABLE = "unreadable"


UNREADABLE: Final = Unreadable.UNREADABLE


def parse_json(body: bytes) -> object | Literal[Unreadable.UNREADABLE]:
    """Parse *body* as JSON; UNREADABLE for anything that is not a JSON document in UTF-8.

    Objects come as ``dict[str, object]``, arrays as ``list[object]``; of a repeated key the last value
    counts.  Numbers too long for Python's parser and nesting too deep for it make a document unreadable.
    """
    try:
        return json.loads(body.decode("utf-8"))  # type: ignore[no-any-return]  # json.loads is typed Any
    except (ValueError, RecursionError):
        return UNREADABLE


def text(value: object) -> str | None:
    """Give a code, id or message of an answer as printable text of at most 300 characters.

    Strings and whole numbers have a text; None, booleans, fractions, objects, arrays and empty strings have none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        plain = str(value).encode("utf-8", "replace").decode("utf-8")
    except ValueError:  # an int with more digits than Python converts
        return None
    printable = "".join(c if c.isprintable() else " " for c in plain[:MESSAGE_LENGTH]).strip()
    return printable or None


def field(document: object, name: str) -> object:
    """Give the value of *name* in a JSON object; None if it has none or *document* is no object."""
    return document.get(name) if isinstance(document, dict) else None


def rows(document: object) -> list[object]:
    """Give *document* if it is an array, else an empty list."""
    return document if isinstance(document, list) else []


def identity(value: object) -> str | None:
    """Give an id of an answer as the exact text to compare with a reference; None if it is no id.

    Unlike ``text`` it cuts and replaces nothing: two ids that differ must never look alike.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value) or None
    except ValueError:  # an int with more digits than Python converts
        return None


def epoch_ms(value: object) -> int | None:
    """Give a venue's time in milliseconds since the epoch; None if *value* cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**53 else None
