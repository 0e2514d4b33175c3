"""The learning rate rises, falls and never reaches zero."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.training.optimizers import learning_rate_factor


@given(st.integers(1, 400), st.integers(0, 500))
def test_the_rate_rises_to_its_peak_then_falls_and_is_never_zero(steps, warmup):
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    rise, fall = factors[:warmup], factors[warmup:]
    assert rise == sorted(rise) and fall == sorted(fall, reverse=True)
    assert not fall or fall[0] == 1


def test_the_rate_by_hand():
    assert [learning_rate_factor(s, 8, 4) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate_factor(6, 8, 4) == pytest.approx(0.01 + 0.99 / 2)
