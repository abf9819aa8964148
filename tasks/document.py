"""The batch document: the only place that turns a producer's JSON into a batch, or refuses it."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from connectors.orders import IdKind, OrderRef
from tasks.batch import Batch, Order, Priority
from tasks.errors import DocumentRefused

MAX_ORDERS: Final = 100_000
MAX_ID_LENGTH: Final = 500
MAX_TEXT_LENGTH: Final = 200
CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line separators
MAX_ERRORS: Final = 100
BATCH_ID: Final = r"\A[A-Za-z0-9._:-]{1,128}\Z"
ID_FIELDS: Final = tuple(kind.value for kind in IdKind)
ORDER_FIELDS: Final = frozenset({*ID_FIELDS, "symbol", "account"})
ONE_ID: Final = f"give exactly one of {', '.join(ID_FIELDS)}"


def parse_document(raw: str | bytes) -> object:
    """Parse the JSON of a batch document.  Raises DocumentRefused if it is no JSON in UTF-8."""
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError:
        raise DocumentRefused(["the document is not JSON: it is nested too deeply"]) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise DocumentRefused([f"the document is not JSON in UTF-8: {error}"[:300]]) from None


def load_batch(document: object, accounts: Collection[str] | None = None) -> Batch:
    """Make a batch of a parsed document; with *accounts*, every order must name one of them.

    Raises DocumentRefused with every error listed (the first hundred, and how many more).
    """
    batch_id = usable_batch_id(document)
    if not isinstance(document, Mapping):
        raise DocumentRefused([f"the document must be a JSON object, not {_kind(document)}"])
    try:
        batch = cast("Batch", BatchSchema().load(document))
    except ValidationError as error:
        errors = _flatten(error.messages)
    else:
        errors = []
    if accounts is not None:
        errors += _strangers(document, accounts)
    if errors:
        raise DocumentRefused(_cut(errors), batch_id)
    return batch


def _strangers(document: Mapping[str, object], accounts: Collection[str]) -> list[str]:
    """Name the accounts of a document that are not configured, also of one that has other errors."""
    rows = document.get("orders")
    default = document.get("account")
    given = [row.get("account") or default for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    strangers = sorted({name for name in given if isinstance(name, str)} - set(accounts))
    known = ", ".join(sorted(accounts)) or "none"
    return [f"account {name[:MAX_TEXT_LENGTH]!a} is not configured (configured: {known})" for name in strangers]


def usable_batch_id(document: object) -> str | None:
    """Give the document's batch id if it has one that keeps the rule, else None."""
    value = document.get("batch_id") if isinstance(document, Mapping) else None
    try:
        return _BATCH_ID_FIELD.deserialize(value)
    except ValidationError:
        return None


class _Text(fields.Field[str]):
    """A string of at most ``longest`` characters; a ``free`` one is for people, and may be empty."""

    def __init__(self, longest: int, *, free: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest
        self.free = free

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        trouble = _text_trouble(value, self.longest, free=self.free)
        if trouble:
            raise ValidationError(trouble)
        return cast("str", value)


class _Number(fields.Field[float]):
    """A JSON number; a text that looks like one is none."""

    def _deserialize(self, value: object, *_: object, **__: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError(f"must be a number, not {_kind(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValidationError("must be a finite number")
        return value


class _Flag(fields.Field[bool]):
    """JSON's true or false and nothing else."""

    def _deserialize(self, value: object, *_: object, **__: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, not {_kind(value)}")
        return value


class _Version(fields.Field[int]):
    """The whole number 1; true and 1.0 are not."""

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        if type(value) is not int or value != 1:
            raise ValidationError("must be 1")
        return value


class _Orders(fields.Field[tuple[Order, ...]]):
    """The order references.  Checked by hand: a nested schema takes seconds for 100,000 of them."""

    def _deserialize(
        self, value: object, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> tuple[Order, ...]:
        del attr, kwargs
        if not isinstance(value, list):
            raise ValidationError(f"must be an array, not {_kind(value)}")
        if not value:
            raise ValidationError("must name at least one order")
        if len(value) > MAX_ORDERS:
            raise ValidationError(f"has {len(value):,} orders; a batch takes at most {MAX_ORDERS:,}: split it")
        default = (data or {}).get("account")
        orders: list[Order] = []
        errors: dict[str | int, list[str]] = {}
        for place, row in enumerate(value):
            order = _order(row, default)
            if isinstance(order, Order):
                orders.append(order)
            else:
                errors[place] = order
        if errors:
            raise ValidationError(cast("dict[str, Any]", errors))
        return tuple(orders)


def _order(row: object, default_account: object) -> Order | list[str]:
    """Read one order reference, or say all that is wrong with it."""
    if not isinstance(row, dict):
        return [f"must be an object, not {_kind(row)}"]
    given = {name: value for name, value in row.items() if value is not None}
    errors = [f"{_quoted(name)} is not a known field" for name in row if name not in ORDER_FIELDS]
    ids = [name for name in ID_FIELDS if name in given]
    if len(ids) != 1:
        errors.append(f"{ONE_ID} (it has {' and '.join(ids) or 'none'})")
    for name in (*ids, "symbol", "account"):
        trouble = _text_trouble(given[name], MAX_ID_LENGTH) if name in given else None
        if trouble:
            errors.append(f"{name} {trouble}")
    account = given.get("account", default_account)
    if account is None:
        errors.append("names no account, and the document has no default account")
    if errors:
        return errors
    return Order(str(account), OrderRef(IdKind(ids[0]), given[ids[0]], given.get("symbol")))


_BATCH_ID_FIELD = fields.String(
    allow_none=True, validate=validate.Regexp(BATCH_ID, error="must be 1 to 128 of A-Z a-z 0-9 . _ : -")
)


def _no_sweep(_: object) -> None:
    raise ValidationError("sweeps are not supported by this version: list the orders")


class BatchSchema(Schema):
    """Version 1 of the batch document."""

    class Meta:
        """An unknown field is an error, not a guess."""

        unknown = RAISE

    version = _Version(required=True)
    batch_id = _BATCH_ID_FIELD
    account = _Text(MAX_ID_LENGTH, allow_none=True)
    orders = _Orders(required=True)
    priority = fields.String(
        load_default="risk", validate=validate.OneOf([p.value for p in Priority], error="must be one of {choices}")
    )
    deadline_s = _Number(load_default=60, validate=validate.Range(1, 3600, error="must be from 1 to 3600"))
    prove = _Flag(load_default=True)
    requested_by = _Text(MAX_TEXT_LENGTH, free=True, allow_none=True)
    reason = _Text(MAX_TEXT_LENGTH, free=True, allow_none=True)
    select = fields.Raw(validate=_no_sweep)
    max_orders = fields.Raw(validate=_no_sweep)

    @post_load
    def _batch(self, data: dict[str, Any], **_: object) -> Batch:
        return Batch(
            batch_id=data.get("batch_id"),
            orders=data["orders"],
            priority=Priority(data["priority"]),
            deadline_s=data["deadline_s"],
            prove=data["prove"],
            requested_by=data.get("requested_by"),
            reason=data.get("reason"),
        )


def _text_trouble(value: object, longest: int, *, free: bool = False) -> str | None:
    """Say what is wrong with a text; an id must be printable throughout, *free* text without control characters."""
    if not isinstance(value, str):
        return f"must be a string, not {_kind(value)}"
    if not free and not value.strip():
        return "must not be empty"
    if len(value) > longest:
        return f"has {len(value):,} characters; at most {longest} are taken"
    if not value.isprintable() and (not free or any(unicodedata.category(c) in CONTROLS for c in value)):
        return "must not contain control characters or other unprintable ones"
    return None


def _kind(value: object) -> str:
    """Name the JSON type of *value*."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _quoted(name: object) -> str:
    return ascii(str(name)[:60])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that has a field twice: which of them counts would be a guess."""
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the field {_quoted(twice)} is given twice in one object")
    return made


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _flatten(messages: object, path: str = "") -> list[str]:
    """Write marshmallow's nested messages as one sentence each, with the path of the field."""
    errors: list[str] = []
    items = messages.items() if isinstance(messages, dict) else ()
    for name, below in items:
        here = _quoted(name)[1:-1] if not path else f"{path}.{_quoted(name)[1:-1]}"
        if isinstance(below, dict):
            errors += _flatten(below, here)
        else:
            errors += [f"{here}: {sentence}" for sentence in below]
    return errors


def _cut(errors: list[str]) -> list[str]:
    more = len(errors) - MAX_ERRORS
    return errors if more <= 0 else [*errors[:MAX_ERRORS], f"and {more:,} more errors"]
