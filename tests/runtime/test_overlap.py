"""Work in another thread: in order, at most so far ahead or behind, and nothing after a failure."""

import threading
import time
from contextlib import closing

import pytest

from scroll.runtime.overlap import PutAway, made_ahead


def threads() -> set[str]:
    return {one.name for one in threading.enumerate()}


def test_items_come_in_their_order_and_the_next_is_made_while_one_is_used() -> None:
    made, together = [], []

    def make(number: int) -> int:
        made.append(number)
        return number * number

    with closing(made_ahead(make, iter(range(20)))) as ready:
        for place, one in enumerate(ready):
            assert one == place * place
            deadline = time.monotonic() + 30
            while len(made) < min(20, place + 2) and time.monotonic() < deadline:
                time.sleep(0.001)
            together.append(len(made))
    assert together == [min(20, place + 2) for place in range(20)]  # one ahead, and never more
    assert not any(name.startswith("ahead") for name in threads())


def test_what_making_raises_comes_in_its_place() -> None:
    used = []
    with pytest.raises(ZeroDivisionError), closing(made_ahead(lambda n: 1 / (3 - n), range(10))) as ready:
        for one in ready:
            used.append(one)
    assert used == [1 / 3, 1 / 2, 1]


def test_who_stops_early_leaves_no_thread_and_makes_no_more() -> None:
    made = []
    with closing(made_ahead(made.append, range(1000))) as ready:
        next(ready)
    assert len(made) <= 2 and not any(name.startswith("ahead") for name in threads())


def test_pieces_are_done_in_order_and_the_end_waits_for_the_last() -> None:
    done = []

    def slowly(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    with PutAway() as behind:
        for number in range(10):
            behind.do(lambda number=number: slowly(number))
            assert number <= len(done)  # all but the last one
    assert done == list(range(10)) and not any(name.startswith("behind") for name in threads())


def test_after_a_failure_nothing_more_is_done_and_it_is_raised() -> None:
    done = []

    def fail() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"), PutAway() as behind:
        behind.do(lambda: done.append(0))
        behind.do(fail)
        for number in range(1, 10):
            behind.do(lambda number=number: done.append(number))
    assert done == [0]


def test_the_last_piece_s_failure_is_raised_at_the_end() -> None:
    with pytest.raises(KeyError), PutAway() as behind:
        behind.do(lambda: {}["nothing"])


def test_where_the_block_raises_that_is_what_is_raised_once_what_is_being_done_is_done() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go_on.wait(30)
        done.append(0)

    with pytest.raises(KeyboardInterrupt), PutAway() as behind:
        behind.do(first)
        begun.wait(30)
        threading.Timer(0.05, go_on.set).start()
        raise KeyboardInterrupt
    assert done == [0] and not any(name.startswith("behind") for name in threads())
