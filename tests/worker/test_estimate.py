"""The least time that calls take at the limits, against a simulation that looks at every millisecond."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from worker.estimate import Call, Window, last_call_ms


def slowly(queues: dict[str, Sequence[Call]]) -> dict[str, int]:
    """Step through time by the millisecond; in each, whoever is named first sends as long as every window has room."""
    made: list[tuple[int, Window]] = []
    last, places, ready = dict.fromkeys(queues, 0), dict.fromkeys(queues, 0), dict.fromkeys(queues, 0)
    for name, calls in queues.items():
        ready[name] = calls[0].after_ms if calls else 0
    now_ms = 0
    while any(places[name] < len(calls) for name, calls in queues.items()):
        for name, calls in queues.items():
            while places[name] < len(calls) and ready[name] <= now_ms:
                call = calls[places[name]]
                room = all(
                    sum(w.cost for at, w in made if w.key == window.key and now_ms - window.per_ms < at) + window.cost
                    <= window.units
                    for window in call.windows
                )
                if not room:
                    break
                made += [(now_ms, window) for window in call.windows]
                last[name] = now_ms
                places[name] += 1
                if places[name] < len(calls):
                    ready[name] = now_ms + calls[places[name]].after_ms
        now_ms += 1
    return last


WINDOWS = {"a": (3, 7), "b": (5, 20), "shared": (4, 9)}


def window_of(key: str, cost: int) -> Window:
    units, per_ms = WINDOWS[key]
    return Window(key, units, per_ms, min(cost, units))


calls = st.builds(
    lambda keys, costs, after_ms: Call(
        tuple(window_of(key, cost) for key, cost in zip(sorted(keys), costs, strict=False)), after_ms
    ),
    st.sets(st.sampled_from(sorted(WINDOWS)), max_size=3),
    st.lists(st.integers(1, 5), min_size=3, max_size=3),
    st.sampled_from([0, 0, 0, 3, 11]),
)


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), st.lists(calls, max_size=12)))
def test_the_estimate_is_what_a_slow_simulation_of_the_windows_takes(queues: dict[str, list[Call]]) -> None:
    assert last_call_ms(queues) == slowly(dict(queues))


def test_many_calls_in_one_window() -> None:
    window = Window("calls", 30, 1_000, 1)

    assert last_call_ms({"main": [Call((window,))] * 5_000}) == {"main": 166_000}


def test_a_call_that_costs_more_than_the_window_has_takes_all_of_it() -> None:
    window = Window("weight", 10, 1_000, 80)

    assert last_call_ms({"main": [Call((window,))] * 3}) == {"main": 2_000}
