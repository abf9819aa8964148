"""The gate: few claims on their way at once, fewer where permissions run out."""

from worker.gate import WIDEST, Gate, Place


def test_it_lets_in_so_many_and_no_more() -> None:
    gate = Gate()

    assert gate.enter(2) == 2
    assert gate.enter(WIDEST) == WIDEST - 2
    assert gate.enter(1) == 0


def test_who_found_no_room_is_woken_once_half_of_it_is_free() -> None:
    gate, woken = Gate(), []
    gate.enter(WIDEST)
    assert gate.enter(1, lambda: woken.append("a")) == 0
    assert gate.enter(1, lambda: woken.append("b")) == 0

    for left in range(1, WIDEST + 1):
        gate.leave()
        assert woken == ([] if left < WIDEST - WIDEST // 2 else ["a", "b"])


def test_who_found_room_is_not_woken() -> None:
    gate, woken = Gate(), []
    gate.enter(1, lambda: woken.append("a"))

    gate.leave()

    assert woken == []


def test_it_halves_and_widens_between_one_and_the_widest() -> None:
    gate = Gate()
    width = WIDEST
    while width > 1:
        gate.narrow()
        width //= 2
        assert gate.enter(WIDEST) == width
        gate.leave(width)
    gate.narrow()
    assert gate.enter(WIDEST) == 1
    gate.leave()

    for _ in range(2 * WIDEST):
        gate.widen()
    assert gate.enter(2 * WIDEST) == WIDEST


def test_one_that_is_narrowed_below_those_inside_lets_nobody_in_until_they_are_fewer() -> None:
    gate, woken = Gate(), []
    gate.enter(WIDEST)
    for _ in range(WIDEST):
        gate.narrow()
    assert gate.enter(1, lambda: woken.append("a")) == 0

    gate.leave(WIDEST - 1)
    assert gate.enter(1, lambda: woken.append("b")) == 0
    assert woken == []
    gate.leave()
    assert woken == ["a", "b"]
    assert gate.enter(WIDEST) == 1


def test_a_place_is_left_once() -> None:
    gate = Gate()
    gate.enter(WIDEST)
    place = Place(gate)

    place.leave()
    place.leave()

    assert gate.enter(WIDEST) == 1
