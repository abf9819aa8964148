from collections import Counter

import pytest

from simulator.faults import NAMES
from tests.end_to_end.stage import VENUES
from tests.soak.draws import (
    BULK_ORDERS,
    FIRST_SWEEP_S,
    MISHAP_EVERY_S,
    REDIS_CARDS,
    SWEEP_WAYS,
    VENUE_CARDS,
    WAYS,
    WORKER_CARDS,
    draw,
    draw_bulk,
)
from tests.soak.mishaps import KINDS
from tests.soak.producers import WAYS as WAYS_IN

TEN_MINUTES_S = 600


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_decides_everything(seed: int) -> None:
    assert draw(seed, TEN_MINUTES_S) == draw(seed, TEN_MINUTES_S)
    assert draw(seed, TEN_MINUTES_S) != draw(seed + 1, TEN_MINUTES_S)


def test_a_longer_soak_begins_as_a_shorter_one() -> None:
    short, long = draw(7, 60), draw(7, 120)

    assert long.mishaps[: len(short.mishaps)] == short.mishaps
    assert long.drafts[: len(short.drafts)] == short.drafts


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_bring_every_kind_of_trouble_about_every_ten_seconds(seed: int) -> None:
    mishaps = draw(seed, TEN_MINUTES_S).mishaps

    assert {mishap.kind for mishap in mishaps} == {*WORKER_CARDS, *REDIS_CARDS, *VENUE_CARDS} == KINDS.keys()
    assert 0.6 < len(mishaps) * MISHAP_EVERY_S / TEN_MINUTES_S < 1.6
    assert all(0 <= mishap.at_s < TEN_MINUTES_S for mishap in mishaps)


def test_every_fault_of_the_simulator_is_drawn() -> None:
    drawn = {mishap.settings.get("fault") for mishap in draw(1, 10 * TEN_MINUTES_S).mishaps}

    assert drawn >= set(NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_batches_are_of_every_sort(seed: int) -> None:
    draws = draw(seed, TEN_MINUTES_S)
    drafts = draws.drafts

    assert len({draft.batch_id for draft in drafts}) == len(drafts) > 200
    assert {way for draft in drafts for way in draft.ways} == WAYS.keys() == WAYS_IN.keys() - {"kill"}
    assert {draft.priority for draft in drafts} == {"kill", "risk", "cleanup"}
    assert {venue for draft in drafts for venue, _ in draft.picks} == set(VENUES)
    assert all(len(set(draft.picks)) == len(draft.picks) > 0 for draft in drafts)
    assert any(len(draft.ways) > 1 for draft in drafts)
    assert max(len(draft.picks) for draft in drafts) > 150
    assert min(len(draft.picks) for draft in drafts) == 1
    named = Counter(pick for draft in drafts for pick in draft.picks)
    assert max(named.values()) > 1  # some orders are in several batches
    needed = draws.needed()
    assert all(place < needed[venue] for venue, place in named)


@pytest.mark.parametrize("seed", range(5))
def test_sweeps_are_of_every_sort_and_lists_stay_apart_from_them(seed: int) -> None:
    draws = draw(seed, TEN_MINUTES_S, ["heart"])
    selects = [sweep.select for sweep in draws.sweeps]

    assert {key for select in selects for key in select} == {
        "accounts", "all", "symbol", "side", "older_than_s", "client_order_id_prefix"
    }  # fmt: skip
    assert {way for sweep in draws.sweeps for way in sweep.ways} == {*SWEEP_WAYS} <= WAYS_IN.keys()
    assert {burst.account for burst in draws.bursts} > {f"{venue}-desk" for venue in VENUES}
    for select in selects:  # whatever takes an order that a list may name asks for a prefix that no such order has
        assert "client_order_id_prefix" in select or all(name.endswith("-desk") for name in select["accounts"])
    assert all(burst.at_s < FIRST_SWEEP_S for burst in draws.bursts if burst.plan["age_ms"])
    assert len(draws.replays) > 20
    assert all(start < end for start, end in draws.beating["heart"])


def test_a_bulk_names_every_order_once() -> None:
    drafts = draw_bulk(3, 2 * BULK_ORDERS + 1, 60).drafts
    picks = [pick for draft in drafts for pick in draft.picks]

    assert len(set(picks)) == len(picks) == 2 * BULK_ORDERS + 1
    assert [len(draft.picks) for draft in drafts] == [BULK_ORDERS, BULK_ORDERS, 1]
    assert {venue for venue, _ in picks} == set(VENUES)
