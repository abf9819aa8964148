"""Any JSON is a batch or a DocumentRefused; the digest follows the content and nothing else."""

import json
from random import Random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from connectors.orders import IdKind
from tasks.batch import Batch
from tasks.document import ORDER_FIELDS, load_batch, parse_document
from tasks.errors import DocumentRefused
from tasks.selection import FILTERS

NAMES = ("version", "batch_id", "account", "orders", "priority", "deadline_s", "prove", "requested_by", "reason")
any_text = st.text(st.characters(), max_size=20)  # lone surrogates too: JSON can spell them
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.just(10**400) | st.floats(allow_nan=False) | any_text,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(any_text, below, max_size=4),
    max_leaves=8,
)
odd_order = st.dictionaries(st.sampled_from(sorted(ORDER_FIELDS)) | any_text, anything, max_size=3)
odd_select = st.dictionaries(
    st.sampled_from(["accounts", "all", *FILTERS]) | any_text,
    anything | st.sampled_from([True, "buy", ["main"], ["*"], 60]),
    max_size=6,
)
odd_document = st.dictionaries(
    st.sampled_from([*NAMES, "select", "max_orders", "replay_of"]) | any_text,
    anything | st.sampled_from([1, "risk", 60]) | st.lists(odd_order, max_size=3) | odd_select,
    max_size=10,
)
printable = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=12)
order = st.builds(
    lambda kind, value, more: {kind.value: value} | more,
    st.sampled_from(IdKind),
    printable,
    st.fixed_dictionaries({}, optional={"symbol": printable, "account": st.sampled_from(["main", "other"])}),
)
document = st.fixed_dictionaries(
    {"version": st.just(1), "account": st.just("main"), "orders": st.lists(order, min_size=1, max_size=5)},
    optional={
        "batch_id": st.from_regex(r"\A[A-Za-z0-9._:-]{1,128}\Z"),
        "priority": st.sampled_from(["kill", "risk", "cleanup"]),
        "deadline_s": st.integers(1, 3600) | st.floats(1, 3600),
        "prove": st.booleans(),
        "requested_by": printable | st.just(""),
        "reason": printable | st.just(""),
    },
)


def loaded(document: object) -> Batch | None:
    """Load *document*; None if it is refused, with at least one sentence for a reason."""
    try:
        return load_batch(document, {"main", "other"})
    except DocumentRefused as error:
        refused = error
    assert refused.errors
    assert all(isinstance(one, str) and one for one in refused.errors)
    json.dumps(refused.errors, ensure_ascii=False).encode()
    return None


@given(anything | odd_document)
@example({"version": float("inf")})
@example({"deadline_s": float("inf")})
@example({"deadline_s": 10**400})
@example({"account": {}, "orders": [{"order_id": "1"}]})
@example({"account": "main", "orders": [{"order_id": "1", "account": [1]}]})
def test_any_json_is_a_batch_or_is_refused(document: object) -> None:
    batch = loaded(document)

    assert batch is None or isinstance(batch, Batch)


@given(any_text | st.binary())
def test_any_text_is_json_or_is_refused(raw: str | bytes) -> None:
    try:
        parse_document(raw)
    except DocumentRefused as error:
        refused: tuple[str, ...] = error.errors
    else:
        refused = ("nothing",)

    assert len(refused) == 1
    refused[0].encode()


@given(document)
def test_a_good_document_is_taken_whole(document: dict[str, Any]) -> None:
    batch = loaded(document)

    assert batch is not None
    assert [(one.account, one.ref.kind, one.ref.value, one.ref.symbol) for one in batch.orders] == [
        (
            row.get("account", "main"),
            *next((kind, row[kind.value]) for kind in IdKind if kind.value in row),
            row.get("symbol"),
        )
        for row in document["orders"]
    ]
    assert (batch.batch_id, batch.reason) == (document.get("batch_id"), document.get("reason"))
    assert (batch.priority, batch.deadline_s) == (document.get("priority", "risk"), document.get("deadline_s", 60))


@given(document, st.randoms(use_true_random=False))
def test_equal_content_has_an_equal_digest_however_it_is_written(document: dict[str, Any], dice: Random) -> None:
    def shuffled(row: dict[str, Any]) -> dict[str, Any]:
        names = list(row)
        dice.shuffle(names)
        return {name: row[name] for name in names}

    spelled_out: dict[str, Any] = {
        "priority": "risk",
        "deadline_s": 60,
        "prove": True,
        "reason": None,
        "batch_id": None,
    } | document
    spelled_out["orders"] = [shuffled({"account": "main", "symbol": None} | row) for row in document["orders"]]
    spelled_out["deadline_s"] = float(spelled_out["deadline_s"])
    again = json.loads(json.dumps(shuffled(spelled_out), indent=dice.choice([None, 2])))

    assert load_batch(again).digest == load_batch(document).digest


@given(document, document)
def test_different_content_has_a_different_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = load_batch(one), load_batch(other)

    def content(batch: Batch) -> object:
        return batch.orders, batch.priority, batch.deadline_s, batch.prove, batch.requested_by, batch.reason

    assert (first.digest == second.digest) == (content(first) == content(second))


@given(document, st.data())
def test_each_single_change_changes_the_digest(document: dict[str, Any], data: st.DataObject) -> None:
    changes: dict[str, Any] = {
        "priority": "kill" if document.get("priority") != "kill" else "risk",
        "deadline_s": 61 if document.get("deadline_s") != 61 else 62,
        "prove": not document.get("prove", True),
        "requested_by": "somebody else!",
        "reason": "another reason!",
        "orders": [*document["orders"], {"order_id": "one more order"}],
    }
    name = data.draw(st.sampled_from(sorted(changes)))

    assert load_batch(document | {name: changes[name]}).digest != load_batch(document).digest


def test_fields_cannot_be_taken_for_one_another() -> None:
    """What stands in one field never reads like the same text in the next."""
    base = {"version": 1, "account": "main"}
    orders = [{"order_id": "a"}, {"client_order_id": "a"}, {"order_id": "a", "symbol": "b"}, {"order_id": 'a","b'}]
    texts = [{"reason": "x"}, {"requested_by": "x"}, {"reason": ""}, {}, {"requested_by": "x", "reason": "x"}]
    digests = {load_batch(base | {"orders": [one]} | text).digest for one in orders for text in texts}

    assert len(digests) == len(orders) * len(texts)
