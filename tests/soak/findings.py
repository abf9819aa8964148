"""Gathers what a soak has found: batches and calls by the audit that all tests share, the rest by its own noun."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.end_to_end.audit import (
    VERDICTS,
    Order,
    Span,
    audit,
    audit_calls,
    audit_end,
    audit_flights,
    audit_times,
    kind_of,
)
from tests.end_to_end.audit_sweeps import Sweep, audit_cancel_alls, audit_sweep, callers
from tests.end_to_end.truth import KINDS, Row, Truth

GRACE_MS: Final = 20_000  # a call takes at most 13 s, and its settling some more where a machine is busy
SEND_SLACK_MS: Final = 1_000  # between a worker's last look at the clock and the venue's, on a busy machine

Spans = Mapping[Order, Sequence[tuple[str, Span]]]  # of each order: which batch may have it canceled, and when


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch as producers know it: its orders, whether a way in has answered, and what was said instead.

    A sweep has no orders but a selection, and perhaps a most.  ``replay_of`` is the batch that it does again.
    One that does not prove takes the venues' answers as they are.
    """

    batch_id: str
    orders: Sequence[Row]
    deadline_s: float
    acknowledged: bool
    refusals: Sequence[str] = ()
    select: Mapping[str, Any] | None = None
    most: int | None = None
    replay_of: str | None = None
    proves: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What ripcord says of one batch; of a sweep also what each account's last listing showed."""

    report: Row
    outcomes: Sequence[dict[str, Any]]
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """All that is judged of one soak.

    ``told`` are the batches that ripcord knows; ``answers`` are the results of Celery tasks by batch id, None
    where there was none.  ``quiet_ms`` is when the last fault had ended.  ``seized`` says which calls were taken from
    workers that seemed dead: the batch, the account, and when.  ``events`` are the newest on Redis.
    """

    asked: Sequence[Asked]
    told: Mapping[str, Told]
    answers: Sequence[tuple[str, Row | None]]
    truth: Truth
    quiet_ms: float
    seized: Sequence[tuple[str, str, float]] = ()
    events: Sequence[Mapping[str, str]] = ()
    others: Sequence[str] = ()


def findings(record: Record) -> list[str]:
    """Say everything that is wrong, a line each: the batch, the order, what was claimed, and what is true."""
    spans, sweeps = _spans(record), _sweeps(record)
    told_of = replace(record, truth=_with_found(record.truth, sweeps))
    all_spans = _with_cancel_alls(record.truth, spans, sweeps)
    found = [line for asked in record.asked for line in _batch(told_of, asked, all_spans)]
    reports = [told.report for told in record.told.values()]
    found += audit_calls(record.truth, reports, record.truth.venues, lost=True)
    found += audit_times(record.truth, {order: [span for _, span in each] for order, each in spans.items()})
    found += audit_cancel_alls(record.truth, sweeps)
    found += audit_flights(record.truth, _known_by_one_kind(record), _seized(record))
    found += _ends(record)
    found += [line for batch_id, answer in record.answers for line in _answer(record, batch_id, answer)]
    return [*found, *record.others]


def _batch(record: Record, asked: Asked, spans: Spans) -> list[str]:
    told = record.told.get(asked.batch_id)
    head = f"batch {asked.batch_id}"
    found = [f"{head}: refused: {refusal}" for refusal in asked.refusals]
    if told is None:
        return [*found, f"{head}: LOST: a way in has answered, and nobody knows it"] if asked.acknowledged else found
    by_ms = max(told.report["submitted_ms"] + asked.deadline_s * 1000, record.quiet_ms) + GRACE_MS
    too_many = told.report["state"] == "refused" and asked.most is not None
    found += [] if too_many else [f"{head}: {line}" for line in audit_end(told.report, by_ms)]
    lines = []
    if asked.select is not None:
        lines += audit_sweep(record.truth, asked.select, told.report, told.outcomes, asked.most)
    if told.report["state"] != "refused":
        elsewhere = {
            order: [span for batch_id, span in spans[order] if batch_id != asked.batch_id]
            for order in _orders(record.truth, asked, told)
        }
        orders = told.outcomes if asked.select is not None else asked.orders
        swept = all(text == "empty" for text in told.shown.values())
        lines += audit(record.truth, orders, told.report, told.outcomes, elsewhere, swept=swept)
        lines += _forgotten(record, asked)
    return found + [f"{head}: {line}" for line in lines]


def _forgotten(record: Record, asked: Asked) -> list[str]:
    """Say which orders a replay has left out though they are not gone."""
    first = record.told.get(asked.replay_of or "")
    if first is None or asked.select is not None:
        return []
    names = {(row["account"], row[kind]) for row in asked.orders for kind in KINDS if row.get(kind) is not None}
    left = [row for row in first.outcomes if row["verdict"] != "gone"]
    return [
        f"{row['account']} {kind_of(row)} {row[kind_of(row)]} is {row['status']} in {asked.replay_of}: not replayed"
        for row in left
        if names.isdisjoint((row["account"], row[kind]) for kind in KINDS)
    ]


def _spans(record: Record) -> Spans:
    """Say for each order which batches may have it canceled by name, and when."""
    found: dict[Order, list[tuple[str, Span]]] = defaultdict(list)
    for asked, told in _ran(record):
        for order in _orders(record.truth, asked, told):
            found[order].append((asked.batch_id, _span(asked, told)))
    return found


def _with_cancel_alls(truth: Truth, spans: Spans, sweeps: Sequence[Sweep]) -> Spans:
    """Add the moments at which sweeps may have taken orders with a cancel-all, also such as they had not found."""
    found = defaultdict(list, {order: list(each) for order, each in spans.items()})
    for call in truth.cancel_alls:
        moment = (call["at_ms"], call["at_ms"])
        for sweep in callers(truth, call, sweeps):
            for name in call["asked"]:
                for order_id in truth.named(call["account"], name):
                    found[call["account"], order_id].append((sweep.batch_id, moment))
    return found


def _with_found(truth: Truth, sweeps: Sequence[Sweep]) -> Truth:
    """Let a cancel-all count as one by name for those orders that its sweep had found, and has noted by their ids."""
    asked = {key: list(times) for key, times in truth.asked.items()}
    for call in truth.cancel_alls:
        found = [sweep.found for sweep in callers(truth, call, sweeps)]
        for order in frozenset.intersection(*found) if found else ():
            asked.setdefault(order, []).append(call["at_ms"])
    return replace(truth, asked=asked)


def _sweeps(record: Record) -> list[Sweep]:
    found = []
    for asked, told in _ran(record):
        if asked.select is not None:
            start_ms, end_ms = _span(asked, told)
            done_ms = told.report["done_ms"] or math.inf
            span = (start_ms, min(end_ms, done_ms + SEND_SLACK_MS))
            orders = frozenset(_orders(record.truth, asked, told))
            found.append(Sweep(asked.batch_id, asked.select, asked.most, span, orders))
    return found


def _ran(record: Record) -> Iterator[tuple[Asked, Told]]:
    """Give the batches that were not refused."""
    for asked in record.asked:
        told = record.told.get(asked.batch_id)
        if told is not None and told.report["state"] != "refused":
            yield asked, told


def _span(asked: Asked, told: Told) -> Span:
    start_ms = told.report["submitted_ms"]
    return start_ms, start_ms + asked.deadline_s * 1000 + SEND_SLACK_MS


def _orders(truth: Truth, asked: Asked, told: Told) -> set[Order]:
    """Give the orders that a batch names, or that a sweep has found, each leg of a list for itself."""
    return {
        (row["account"], order_id)
        for row in (asked.orders if asked.select is None else told.outcomes)
        for kind in KINDS
        if row.get(kind) is not None
        for order_id in truth.named(row["account"], row[kind])
    }


def _known_by_one_kind(record: Record) -> list[Order]:
    """Give the orders that all batches name by the same kind of id."""
    kinds: dict[Order, set[str]] = defaultdict(set)
    for asked, told in _ran(record):
        for row in asked.orders if asked.select is None else told.outcomes:
            kind = kind_of(row)
            for order_id in record.truth.named(row["account"], row[kind]):
                kinds[row["account"], order_id].add(kind)
    return [order for order, each in kinds.items() if len(each) == 1]


def _seized(record: Record) -> Mapping[Order, Sequence[float]]:
    """Say of each order when a call of a batch that names it was taken from its worker."""
    orders = {asked.batch_id: _orders(record.truth, asked, told) for asked, told in _ran(record)}
    found: dict[Order, list[float]] = defaultdict(list)
    for batch_id, account, at_ms in record.seized:
        for order in orders.get(batch_id, ()):
            if order[0] == account:
                found[order].append(at_ms)
    return found


def _ends(record: Record) -> list[str]:
    """Say of which batches the end was told twice or not at all, or less is proven now than was told then.

    More may be: what a worker learns that was stopped, and has lost its chunk meanwhile, counts also after the end.
    """
    ends: dict[str, list[Row]] = defaultdict(list)
    for event in record.events:
        if event["type"] == "batch.done":
            ends[event["batch_id"]].append(event)
    first_ms = int(record.events[0]["at_ms"]) if record.events else math.inf
    found = []
    for batch_id, told in record.told.items():
        done, events = told.report["state"] == "done", ends[batch_id]
        if len(events) > 1 or (not events and done and told.report["submitted_ms"] > first_ms):
            found.append(f"batch {batch_id}: its end was told {len(events)} times")
        for event in events:
            counts = json.loads(event["counts"])
            gone = sum(number for status, number in counts.items() if VERDICTS[status] == "gone")
            if gone > told.report["gone"] or sum(counts.values()) != told.report["orders"]:
                now = told.report["counts"]
                found.append(f"batch {batch_id}: WEAKENED since its end, when {counts} were told; now {now}")
    return found


def _answer(record: Record, batch_id: str, answer: Row | None) -> list[str]:
    """Hold the result of a Celery task to its batch."""
    told = record.told.get(batch_id)
    if told is None or told.report["state"] != "done":
        return []  # told of already
    if answer is None:
        return [f"batch {batch_id}: it is done, and a Celery task that waits for it has no result"]
    if (answer["batch_id"], answer["state"], answer["orders"]) != (batch_id, "done", told.report["orders"]):
        return [f"batch {batch_id}: the result of a Celery task says {answer['state']} of {answer['batch_id']}"]
    return []
