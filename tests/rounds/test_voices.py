"""What several maps say together: their spread, and what the choice of one of them tells about a label."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.rounds.voices import Voices, entropy

LN2 = np.log(2)
SAID = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6)


def maps_of(message, shape=(2, 3)):
    return [np.full(shape, p, np.float32) for p in message]


@pytest.mark.parametrize(
    ("message", "nats"),
    [
        ([0.5, 0.5], 0),
        ([0.9, 0.9, 0.9], 0),
        ([0.0, 1.0], LN2),
        ([1.0, 1.0, 0.0, 0.0], LN2),
        ([0.0, 0.5], 0.5623 - LN2 / 2),
    ],
)
def test_disagreement_is_what_the_choice_of_a_network_tells(message, nats):
    np.testing.assert_allclose(Voices.of(maps_of(message)).disagreement, nats, atol=2e-4)


@given(SAID)
def test_disagreement_is_at_least_0_and_at_most_the_entropy_of_the_mean(message):
    found = Voices.of(maps_of(message)).disagreement
    assert (found >= 0).all() and (found <= entropy(np.mean(maps_of(message), axis=0)) + 1e-5).all()


@given(SAID)
def test_the_spread_is_the_standard_deviation_and_maps_may_come_one_at_a_time(message):
    found = Voices.of(one for one in maps_of(message))
    np.testing.assert_allclose(found.spread, np.std(np.array(message, np.float64)), atol=1e-6)
    assert found.count == len(message)
