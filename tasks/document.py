"""The batch document: the only place that turns a producer's JSON into a batch, or refuses it."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema
from marshmallow.exceptions import SCHEMA

from connectors.orders import IdKind, OrderRef
from tasks.batch import EVERY_ACCOUNT, Batch, Order, Priority
from tasks.errors import DocumentRefused
from tasks.fields import MAX_ID_LENGTH, MAX_TEXT_LENGTH, Flag, Number, Text, WholeNumber, kind_of, text_trouble
from tasks.selection import SelectionSchema

MAX_ORDERS: Final = 100_000
MAX_ERRORS: Final = 100
BATCH_ID: Final = r"\A[A-Za-z0-9._:-]{1,128}\Z"
BATCH_ID_RULE: Final = "must be 1 to 128 of A-Z a-z 0-9 . _ : -"
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
    """Make a batch of a parsed document; with *accounts*, every order and every sweep must name one of them.

    Raises DocumentRefused with every error listed (the first hundred, and how many more).
    """
    batch_id = usable_batch_id(document)
    if not isinstance(document, Mapping):
        raise DocumentRefused([f"the document must be a JSON object, not {kind_of(document)}"])
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
    select = document.get("select")
    swept = select.get("accounts") if isinstance(select, dict) else None
    if swept == [EVERY_ACCOUNT]:
        return [] if accounts else ["select.accounts: no account is configured, so there is nothing to sweep"]
    given += swept if isinstance(swept, list) else []
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
            raise ValidationError(f"must be an array, not {kind_of(value)}")
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
        return [f"must be an object, not {kind_of(row)}"]
    given = {name: value for name, value in row.items() if value is not None}
    errors = [f"{_quoted(name)} is not a known field" for name in row if name not in ORDER_FIELDS]
    ids = [name for name in ID_FIELDS if name in given]
    if len(ids) != 1:
        errors.append(f"{ONE_ID} (it has {' and '.join(ids) or 'none'})")
    for name in (*ids, "symbol", "account"):
        trouble = text_trouble(given[name], MAX_ID_LENGTH) if name in given else None
        if trouble:
            errors.append(f"{name} {trouble}")
    account = given.get("account", default_account)
    if account is None:
        errors.append("names no account, and the document has no default account")
    if errors:
        return errors
    return Order(str(account), OrderRef(IdKind(ids[0]), given[ids[0]], given.get("symbol")))


_BATCH_ID_FIELD = fields.String(allow_none=True, validate=validate.Regexp(BATCH_ID, error=BATCH_ID_RULE))


class BatchSchema(Schema):
    """Version 1 of the batch document."""

    class Meta:
        """An unknown field is an error, not a guess."""

        unknown = RAISE

    version = _Version(required=True, error_messages={"required": "must be 1"})
    batch_id = _BATCH_ID_FIELD
    account = Text(MAX_ID_LENGTH, allow_none=True)
    orders = _Orders()
    priority = fields.String(
        load_default="risk", validate=validate.OneOf([p.value for p in Priority], error="must be one of {choices}")
    )
    deadline_s = Number(load_default=60, validate=validate.Range(1, 3600, error="must be from 1 to 3600"))
    prove = Flag(load_default=True)
    requested_by = Text(MAX_TEXT_LENGTH, free=True, allow_none=True)
    reason = Text(MAX_TEXT_LENGTH, free=True, allow_none=True)
    select = fields.Nested(SelectionSchema, allow_none=True)
    max_orders = WholeNumber(
        allow_none=True, validate=validate.Range(1, MAX_ORDERS, error=f"must be from 1 to {MAX_ORDERS:,}")
    )
    replay_of = fields.String(allow_none=True, validate=validate.Regexp(BATCH_ID, error=BATCH_ID_RULE))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _one_way(self, _: object, given: Mapping[str, Any], **__: object) -> None:
        """Hold a document to orders or a selection, and what belongs to one of them to that one."""
        errors = {}
        if given.get("select") is None:
            if "orders" not in given:
                errors["orders"] = ["must name the orders to cancel; or give select, to sweep what is open"]
            if given.get("max_orders") is not None:
                errors["max_orders"] = ["is for a sweep (select) only: leave it out"]
        else:
            if given.get("orders") is not None:
                errors["orders"] = ["must not stand beside select: give the one or the other"]
            if given.get("account") is not None:
                errors["account"] = ["is for orders: name the accounts of a sweep in select.accounts"]
        if errors:
            raise ValidationError(cast("dict[str, Any]", errors))

    @post_load
    def _batch(self, data: dict[str, Any], **_: object) -> Batch:
        return Batch(
            batch_id=data.get("batch_id"),
            orders=data.get("orders", ()),
            priority=Priority(data["priority"]),
            deadline_s=data["deadline_s"],
            prove=data["prove"],
            requested_by=data.get("requested_by"),
            reason=data.get("reason"),
            select=data.get("select"),
            max_orders=data.get("max_orders"),
            replay_of=data.get("replay_of"),
        )


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
        parts = [path, "" if name == SCHEMA else _quoted(name)[1:-1]]  # what concerns an object as a whole has no name
        here = ".".join(part for part in parts if part) or SCHEMA
        if isinstance(below, dict):
            errors += _flatten(below, here)
        else:
            errors += [f"{here}: {sentence}" for sentence in below]
    return errors


def _cut(errors: list[str]) -> list[str]:
    more = len(errors) - MAX_ERRORS
    return errors if more <= 0 else [*errors[:MAX_ERRORS], f"and {more:,} more errors"]
