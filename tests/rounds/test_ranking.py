"""Which patches are asked for: where networks contradict each other, by area, spread over sheets, never where it is closed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.rounds.ranking import AGAIN, BESIDE, asked_for, disagreement, entropy

LN2 = np.log(2)


@pytest.mark.parametrize(
    ("said", "nats"),
    [
        ([0.5, 0.5], 0),
        ([0.9, 0.9, 0.9], 0),
        ([0.0, 1.0], LN2),
        ([1.0, 1.0, 0.0, 0.0], LN2),
        ([0.0, 0.5], 0.5623 - LN2 / 2),
    ],
)
def test_disagreement_is_what_the_choice_of_a_network_tells(said, nats):
    maps = [np.full((2, 3), p, np.float32) for p in said]
    np.testing.assert_allclose(disagreement(maps), nats, atol=2e-4)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6))
def test_disagreement_is_at_least_0_and_at_most_the_entropy_of_the_mean(said):
    maps = [np.full((1, 1), p, np.float32) for p in said]
    found = float(disagreement(maps)[0, 0])
    assert 0 <= found <= float(entropy(np.mean(maps, axis=0))[0, 0]) + 1e-5


def open_everywhere(worth):
    return {name: np.ones(one.shape, bool) for name, one in worth.items()}


def test_the_most_informative_patch_comes_first_and_area_counts():
    worth = {"a": np.zeros((8, 12), np.float32)}
    worth["a"][0, 0] = 1.0  # one pixel that is worth much
    worth["a"][4:8, 8:12] = 0.1  # a whole patch of pixels that are worth little
    found = asked_for(worth, open_everywhere(worth), 4, 5)
    assert [(one.y, one.x) for one in found] == [(4, 8), (0, 0)]
    assert [one.nats for one in found] == pytest.approx([1.6, 1.0])


def test_sheets_take_turns_and_neighbours_wait():
    worth = {"a": np.full((4, 12), 1.0, np.float32), "b": np.full((4, 4), 0.9, np.float32)}
    found = asked_for(worth, open_everywhere(worth), 4, 4)
    assert [(one.sheet, one.x) for one in found] == [("a", 0), ("b", 0), ("a", 8), ("a", 4)]
    assert AGAIN < 0.9 and BESIDE < 1


def test_what_is_closed_is_never_asked_for():
    rng = np.random.default_rng(1)
    worth = {"a": rng.random((20, 20)).astype(np.float32)}
    is_open = {"a": np.zeros((20, 20), bool)}
    is_open["a"][:5] = True
    found = asked_for(worth, is_open, 5, 100)
    assert len(found) == 4 and {one.y for one in found} == {0}
