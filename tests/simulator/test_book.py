from random import Random

import pytest

from simulator.book import Behavior, Book, Order, State, settle


def order(order_id: str, state: State = State.OPEN, client_id: str | None = None) -> Order:
    return Order(order_id, client_id, "SGD-BTC", "buy", "normal", "10", "0", "1", state, 0, 0)


def test_a_cancel_settles_when_it_is_due_and_is_taken_once() -> None:
    book, behavior = Book(Random(1)), Behavior(settle_ms=50)
    book.add(order("a"))
    (one,) = book.open(0, "normal")
    assert [book.take(one, 1000, behavior), book.take(one, 1001, behavior)] == [True, False]
    assert settle(one, 1049).state is State.OPEN
    assert settle(one, 1050).state is State.CANCELED
    assert (one.updated_ms, one.filled_qty) == (1050, "0")


@pytest.mark.parametrize(
    ("behavior", "state", "filled_qty"),
    [
        (Behavior(settle_ms=50, fill_probability=1.0), State.FILLED, "10"),
        (Behavior(settle_ms=50, lost_probability=1.0), State.OPEN, "0"),
        (Behavior(settle_ms=0, lost_probability=1.0), State.CANCELED, "0"),
        (Behavior(settle_ms=0, fill_probability=1.0), State.FILLED, "10"),
    ],
)
def test_what_else_may_become_of_a_cancel(behavior: Behavior, state: State, filled_qty: str) -> None:
    book, one = Book(Random(1)), order("a")
    book.add(one)
    assert book.take(one, 0, behavior)
    assert (settle(one, 100).state, one.filled_qty) == (state, filled_qty)
    assert book.take(one, 200, Behavior()) if state is State.OPEN else True  # a forgotten one can be asked again


def test_fates_are_drawn_the_same_for_the_same_seed() -> None:
    def fates(seed: int) -> list[State]:
        book = Book(Random(seed))
        orders = [order(str(number)) for number in range(50)]
        for each in orders:
            book.take(each, 0, Behavior(settle_ms=0, fill_probability=0.5))
        return [each.state for each in orders]

    assert fates(1) == fates(1) != fates(2)


def test_a_client_id_that_is_used_again_names_the_newer_order() -> None:
    book = Book(Random(1))
    book.add(order("a", State.FILLED, "mine"))
    book.add(order("b", State.OPEN, "mine"))
    found = book.find_client("mine", 0)
    assert found is not None
    assert found.order_id == "b"
