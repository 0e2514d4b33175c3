"""Which patches are asked for: where networks contradict each other, by area, spread over sheets, never where it is closed."""

import numpy as np
import pytest

from scroll.rounds.ranking import AGAIN, BESIDE, asked_for, patch_nats


def nats_of(worth, edge, is_open=None):
    opens = {name: np.ones(one.shape, bool) for name, one in worth.items()} if is_open is None else is_open
    return {name: patch_nats(one, opens[name], edge) for name, one in worth.items()}


def test_the_most_informative_patch_comes_first_and_area_counts():
    worth = {"a": np.zeros((8, 12), np.float32)}
    worth["a"][0, 0] = 1.0  # one pixel that is worth much
    worth["a"][4:8, 8:12] = 0.1  # a whole patch of pixels that are worth little
    found = asked_for(nats_of(worth, 4), 4, 5)
    assert [(one.y, one.x) for one in found] == [(4, 8), (0, 0)]
    assert [one.nats for one in found] == pytest.approx([1.6, 1.0])


def test_sheets_take_turns_and_neighbours_wait():
    worth = {"a": np.full((4, 12), 1.0, np.float32), "b": np.full((4, 4), 0.9, np.float32)}
    found = asked_for(nats_of(worth, 4), 4, 4)
    assert [(one.sheet, one.x) for one in found] == [("a", 0), ("b", 0), ("a", 8), ("a", 4)]
    assert AGAIN < 0.9 and BESIDE < 1


def test_what_is_closed_is_never_asked_for():
    rng = np.random.default_rng(1)
    worth = {"a": rng.random((20, 20)).astype(np.float32)}
    is_open = {"a": np.zeros((20, 20), bool)}
    is_open["a"][:5] = True
    found = asked_for(nats_of(worth, 5, is_open), 5, 100)
    assert len(found) == 4 and {one.y for one in found} == {0}


@pytest.mark.parametrize("shape", [(7, 9), (4, 4), (3, 1), (12, 5)])
def test_patches_at_the_far_edge_are_cut_and_nothing_is_counted_twice(shape):
    rng = np.random.default_rng(2)
    worth, is_open = rng.random(shape).astype(np.float32), rng.random(shape) > 0.3
    found = patch_nats(worth, is_open, 4)
    assert found.shape == (-(-shape[0] // 4), -(-shape[1] // 4))
    assert found.sum() == pytest.approx(float(worth[is_open].sum()), rel=1e-6)


def test_asking_changes_nothing_of_what_it_was_given():
    nats = {"a": np.ones((3, 3))}
    asked_for(nats, 4, 9)
    np.testing.assert_array_equal(nats["a"], 1)
