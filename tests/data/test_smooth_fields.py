import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.data.augment.smooth_fields import smooth_noise, stream


@given(length=st.integers(3, 40), knots=st.floats(0.7, 30.0), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_a_field_is_the_same_for_the_same_seed_whatever_its_shape(length, knots, seed):
    shape = (length, 7, 5)
    first = smooth_noise(stream(seed, "a"), shape, (knots, 3.0, 2.0))
    again = smooth_noise(stream(seed, "a"), shape, (knots, 3.0, 2.0))
    assert first.shape == shape and first.dtype == np.float32
    assert first.tobytes() == again.tobytes()


def test_a_field_has_mean_zero_and_variance_one_everywhere():
    fields = np.stack([smooth_noise(stream(seed, "v"), (30, 40), (5.0, 9.0)) for seed in range(400)])
    assert abs(fields.mean()) < 0.03
    assert np.abs(fields.std(axis=0) - 1).max() < 0.2  # 5 sd of the estimate: no pixel is special, knot or not


def test_wider_knots_give_smoother_fields():
    def step(knots):
        return np.diff(smooth_noise(stream(1, "s"), (4000,), (knots,))).std()

    assert step(3.0) > 1.8 * step(6.0) > 3 * step(12.0)


def test_one_ingredient_does_not_disturb_another():
    assert stream(1, "face").random() != stream(1, "ink").random()
    assert stream((1, 2), "face").random() != stream((1, 3), "face").random()


def test_a_knot_spacing_of_zero_is_refused():
    with pytest.raises(ValueError, match="positive knot spacing"):
        smooth_noise(stream(1, "x"), (4, 4), (1.0, 0.0))
