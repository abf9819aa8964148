"""The selection of a sweep, as documents and the configuration write it; the only place that reads one."""

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from connectors.reads import Side
from tasks.batch import EVERY_ACCOUNT, Selection
from tasks.fields import MAX_ID_LENGTH, Flag, Number, Text, kind_of, text_trouble

FILTERS: Final = ("symbol", "side", "older_than_s", "client_order_id_prefix")
OLDEST_S: Final = 10**9  # thirty years


class _Accounts(fields.Field[tuple[str, ...]]):
    """The accounts to sweep: each by its name, or the star alone for all that are configured."""

    def _deserialize(self, value: object, *_: object, **__: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValidationError(f"must be an array of names, not {kind_of(value)}")
        if not value:
            raise ValidationError(f'must name at least one account, or be ["{EVERY_ACCOUNT}"] for all')
        troubles = {place: text_trouble(name, MAX_ID_LENGTH) for place, name in enumerate(value)}
        errors: dict[str | int, Any] = {place: [trouble] for place, trouble in troubles.items() if trouble}
        if errors:
            raise ValidationError(errors)
        if EVERY_ACCOUNT in value and len(value) > 1:
            raise ValidationError(f'must be ["{EVERY_ACCOUNT}"] alone, or name each account')
        return tuple(dict.fromkeys(value))


class SelectionSchema(Schema):
    """What a sweep covers."""

    class Meta:
        """An unknown field is an error, not a guess: one that was meant as a filter would widen the sweep."""

        unknown = RAISE

    error_messages = {  # noqa: RUF012  # as marshmallow wants it
        "type": "must be an object",
        "unknown": f"is not a known field; there are accounts, all, {', '.join(FILTERS)}",
    }

    accounts = _Accounts(
        required=True, error_messages={"required": f'must name each account, or be ["{EVERY_ACCOUNT}"] for all'}
    )
    all = Flag(load_default=False)
    symbol = Text(MAX_ID_LENGTH, allow_none=True)
    side = fields.String(
        allow_none=True, validate=validate.OneOf([side.value for side in Side], error="must be one of {choices}")
    )
    older_than_s = Number(
        allow_none=True, validate=validate.Range(0, OLDEST_S, error=f"must be from 0 to {OLDEST_S:,} seconds")
    )
    client_order_id_prefix = Text(MAX_ID_LENGTH, allow_none=True)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _all_or_some(self, _: object, given: object, **__: object) -> None:
        if not isinstance(given, Mapping):
            return
        if given.get("all") is not True and all(given.get(name) is None for name in FILTERS):
            sentence = f"must be true for every open order; or give a filter: {', '.join(FILTERS)}"
            raise ValidationError({"all": [sentence]})

    @post_load
    def _selection(self, data: dict[str, Any], **_: object) -> Selection:
        side = data.pop("side", None)
        return Selection(side=None if side is None else Side(side), **data)
