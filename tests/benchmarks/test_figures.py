import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Spread, ideal_span_s, percentile, ratios, share_of_schedule

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (0.991, 100.0), (1, 100.0)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_the_median_of_two_is_the_lower_sample_and_no_mean() -> None:
    assert percentile([30.0, 10.0], 0.5) == 10.0


@given(SAMPLES, st.floats(0, 1))
def test_a_percentile_was_sampled_and_no_smaller_sample_reaches_its_share(samples: list[float], share: float) -> None:
    found = percentile(samples, share)

    assert found in samples
    assert sum(each <= found for each in samples) >= share * len(samples) - 1e-9
    assert found == min(samples) or sum(each < found for each in samples) < share * len(samples)


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_what_has_no_percentile_is_refused(samples: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(samples, share)


def test_a_spread_is_the_middle_and_both_ends() -> None:
    assert Spread.of([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)
    assert Spread(2.499, 1.0, 12.345).words("x") == "2.50x (1.00 to 12.35)"
    with pytest.raises(ValueError, match="no samples"):
        Spread.of([])


def test_ratios_are_taken_round_by_round() -> None:
    # The ratio of the medians would be 2; a machine that is slow in one round is slow for both in it.
    assert ratios([10.0, 2.0, 60.0], [5.0, 2.0, 10.0]) == Spread(2.0, 1.0, 6.0)
    assert ratios([1.0, 100.0, 40.0], [1.0, 10.0, 20.0]) == Spread(2.0, 1.0, 10.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("calls", "span_s"), [(0, 0.0), (1, 0.0), (30, 0.0), (31, 1.0), (60, 1.0), (61, 2.0), (150, 4.0)]
)
def test_the_ideal_sends_a_whole_window_at_once(calls: int, span_s: float) -> None:
    assert ideal_span_s(calls, 30, 1.0) == span_s


def test_the_share_of_the_schedule_counts_from_the_first_call_to_the_last() -> None:
    at_s = [100.0, 100.0, 102.5, 101.25]  # two at once, then two a second later, at best
    assert share_of_schedule(at_s, 2, 1.0) == 0.4
    assert share_of_schedule([7.0, 7.0, 8.0, 8.0], 2, 1.0) == 1.0


def test_calls_that_fit_into_one_window_show_nothing() -> None:
    with pytest.raises(ValueError, match="one window"):
        share_of_schedule([1.0, 2.0], 2, 1.0)
