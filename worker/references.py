"""Order references from files: a batch document, JSON Lines or CSV; the only place that guesses a format."""

import csv
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasks.document import ID_FIELDS, ORDER_FIELDS, parse_document
from tasks.errors import DocumentRefused
from tasks.replay import reference

DOCUMENT_FIELDS: Final = frozenset({"version", "orders", "select"})


def name_of(file: str) -> str:
    """Give what errors call a file."""
    return "stdin" if file == "-" else file


def read_file(file: str) -> str:
    """Read the text of a file; ``-`` is standard input.  Raises DocumentRefused if it cannot be read as UTF-8."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise DocumentRefused([f"{name_of(file)}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise DocumentRefused([f"{name_of(file)}: is not UTF-8: {error}"]) from None


def parse(text: str, name: str) -> dict[str, Any]:
    """Make a batch document of the text of a file.

    A JSON object with ``version``, ``orders`` or ``select`` is one, and stays as it is; other JSON objects, one a
    line, are references; anything else is CSV with a header.  Raises DocumentRefused with the line of every error.
    """
    if not text.strip():
        raise DocumentRefused([f"{name}: is empty"])
    if not text.lstrip().startswith("{"):
        return _of(_csv(text, name))
    try:
        whole = parse_document(text)
    except DocumentRefused:
        return _of(_lines(text, name))
    if isinstance(whole, dict) and DOCUMENT_FIELDS & whole.keys():
        return whole
    return _of([_reference(whole)])


def _of(orders: list[object]) -> dict[str, Any]:
    return {"version": 1, "orders": orders}


def _lines(text: str, name: str) -> list[object]:
    rows: list[object] = []
    errors: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            errors.append(f"{name}, line {number}: is not JSON: {error}"[:300])
        else:
            rows.append(_reference(row))
    if errors:
        raise DocumentRefused(errors[:100])
    return rows


def _reference(row: object) -> object:
    """Keep what names the order, so that lines of ``outcomes --json`` can be handed in again."""
    if isinstance(row, Mapping) and "status" in row and "verdict" in row:
        return reference(row)
    return row


def _csv(text: str, name: str) -> list[object]:
    try:
        reader = csv.reader(io.StringIO(text), strict=True)
        header = next(([column.strip() for column in row] for row in reader if any(row)), [])
        if not set(header) & set(ID_FIELDS) or set(header) - ORDER_FIELDS or len(set(header)) < len(header):
            allowed = ", ".join(sorted(ORDER_FIELDS))
            raise DocumentRefused(
                [f"{name}: is neither a document nor JSON Lines; as CSV its header may have, once each, {allowed}"]
            )
        found = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise DocumentRefused([f"{name}: is not CSV: {error}"]) from None
    long = [f"{name}, line {line}: has more fields than the header" for line, row in found if len(row) > len(header)]
    if long:
        raise DocumentRefused(long[:100])
    return [{n: v.strip() for n, v in zip(header, row, strict=False) if v.strip()} for _, row in found]
