"""Which patches are asked for: where networks contradict each other, by area, spread over sheets, never where it is closed."""

import numpy as np
import pytest

from scroll.rounds.ranking import AGAIN, BESIDE, MOST_INKED, anywhere, asked_for, half_each, most_inked, patch_nats


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


def test_a_tenth_of_every_sheet_is_most_inked_however_sure_its_network_is():
    rng = np.random.default_rng(3)
    is_open = rng.random((40, 50)) > 0.2
    timid = rng.random((40, 50)).astype(np.float32) * 0.1
    bold = 0.9 + timid
    found = most_inked(timid, is_open)
    np.testing.assert_array_equal(found, most_inked(bold, is_open))
    assert found.sum() == pytest.approx(MOST_INKED * is_open.sum(), abs=1) and not found[~is_open].any()
    assert timid[found > 0].min() >= timid[is_open & (found == 0)].max()
    assert not most_inked(timid, np.zeros(is_open.shape, bool)).any()


def test_a_random_order_is_the_seed_s_and_closed_squares_are_in_none():
    open_px = {"a": np.full((30, 30), 16.0), "b": np.zeros((4, 4))}
    once, again, other = (anywhere(open_px, seed) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(once["a"], again["a"])
    assert (once["a"] != other["a"]).any() and not once["b"].any()
    firsts = [one.y for one in asked_for({"a": once["a"]}, 1, 200)]
    assert 12 < np.mean(firsts) < 18  # of rows 0 to 29


@pytest.mark.parametrize("count", [0, 1, 4, 7, 40])
def test_half_of_the_patches_are_of_each_kind_by_turns_and_none_twice(count):
    rng = np.random.default_rng(4)
    first = {"a": np.zeros((5, 6)), "b": np.zeros((5, 6))}
    first["a"][:, :2], first["b"][0] = 1.0, 1.0
    second = {name: rng.random(one.shape) for name, one in first.items()}
    found = half_each(first, second, 4, count)
    assert len({(one.sheet, one.y, one.x) for one in found}) == len(found) == count
    best = [bool(first[one.sheet][one.y // 4, one.x // 4]) for one in found]
    assert all(best[: min(count, 32) : 2][:16])
