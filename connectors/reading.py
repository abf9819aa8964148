"""Reading bytes from a venue without ever raising; the only place that parses an answer's JSON."""

import json
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

MESSAGE_LENGTH: Final = 300
QUANTITY: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def plain(value: object) -> str | None:
    """Give an id or a symbol of an answer as it is; None if it is none, or if it cannot be printed and stored so."""
    exact = identity(value)
    return exact if exact is not None and text(exact) == exact else None


def quantity(value: object) -> str | None:
    """Give a quantity of an answer as the venue's own string; None if it is no plain decimal number in a string."""
    return value if isinstance(value, str) and QUANTITY.fullmatch(value) else None


def iso_ms(value: object) -> int | None:
    """Give a time in ISO 8601 with its offset in milliseconds since the epoch; None if *value* is no such time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        past = moment - EPOCH if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
    return epoch_ms(past // timedelta(milliseconds=1)) if past is not None else None


def epoch_ms(value: object) -> int | None:
    """Give a venue's time in milliseconds since the epoch; None if *value* cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**53 else None


def epoch_ms_told(value: object) -> int | None:
    """Give a time in milliseconds since the epoch that may also be told in digits; None if *value* cannot be one."""
    if isinstance(value, str):
        return epoch_ms(int(value)) if re.fullmatch("[0-9]{1,16}", value) else None
    return epoch_ms(value)
