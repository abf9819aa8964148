"""The values of a document's fields; the only place that says which text, number or flag is taken."""

import math
import unicodedata
from typing import Any, Final, cast

from marshmallow import ValidationError, fields

MAX_ID_LENGTH: Final = 500
MAX_TEXT_LENGTH: Final = 200
CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line separators


class Text(fields.Field[str]):
    """A string of at most ``longest`` characters; a ``free`` one is for people, and may be empty."""

    def __init__(self, longest: int, *, free: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest
        self.free = free

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        trouble = text_trouble(value, self.longest, free=self.free)
        if trouble:
            raise ValidationError(trouble)
        return cast("str", value)


class Number(fields.Field[float]):
    """A JSON number; a text that looks like one is none."""

    def _deserialize(self, value: object, *_: object, **__: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError(f"must be a number, not {kind_of(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValidationError("must be a finite number")
        return value


class WholeNumber(fields.Field[int]):
    """A JSON number without a fraction; true and 1.0 are none."""

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        if type(value) is not int:
            raise ValidationError(f"must be a whole number, not {kind_of(value)}")
        return value


class Flag(fields.Field[bool]):
    """JSON's true or false and nothing else."""

    def _deserialize(self, value: object, *_: object, **__: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, not {kind_of(value)}")
        return value


def text_trouble(value: object, longest: int, *, free: bool = False) -> str | None:
    """Say what is wrong with a text; an id must be printable throughout, *free* text without control characters."""
    if not isinstance(value, str):
        return f"must be a string, not {kind_of(value)}"
    if not free and not value.strip():
        return "must not be empty"
    if len(value) > longest:
        return f"has {len(value):,} characters; at most {longest} are taken"
    if not value.isprintable() and (not free or any(unicodedata.category(c) in CONTROLS for c in value)):
        return "must not contain control characters or other unprintable ones"
    return None


def kind_of(value: object) -> str:
    """Name the JSON type of *value*."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
