"""One box of a sliding-window prediction is what the whole prediction has there, however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_window import local_network, noise, predicted, slowly, sweeps

from scroll.config.schema import WindowSettings
from scroll.errors import InputError
from scroll.inference.sliding_window import Corner, Sweep, predict_box


def box_of(sweep: Sweep, scores: np.ndarray, corner: Corner, size: Corner, forward=local_network) -> np.ndarray:
    def read(at: Corner) -> torch.Tensor:
        return torch.from_numpy(scores[tuple(slice(c, c + p) for c, p in zip(at, sweep.patch, strict=True))])[None]

    return predict_box(sweep, read, forward, corner, size).numpy()[0]


@st.composite
def boxes(draw, shape: tuple[int, ...]) -> tuple[Corner, Corner]:
    corner = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return corner, tuple(draw(st.integers(1, n - c)) for c, n in zip(corner, shape, strict=True))


@given(sweeps(), st.data())
def test_a_box_is_what_the_whole_prediction_has_there(sweep, data):
    scores = noise(sweep.shape)
    corner, size = data.draw(boxes(sweep.shape))
    place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
    found = box_of(sweep, scores, corner, size)
    np.testing.assert_allclose(found, slowly(sweep, scores)[place], atol=5e-6)
    np.testing.assert_allclose(found, predicted(sweep, scores, local_network)[place], atol=5e-6)


@given(sweeps(), st.data())
def test_two_boxes_say_the_same_where_they_overlap(sweep, data):
    """But for one bit of the exponential: torch rounds the last few numbers of an array by another routine."""
    scores = noise(sweep.shape)
    corner, size = data.draw(boxes(sweep.shape))
    place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
    whole = box_of(sweep, scores, (0,) * len(sweep.shape), sweep.shape)
    found = box_of(sweep, scores, corner, size)
    np.testing.assert_allclose(found, whole[place], rtol=0, atol=1.2e-7)
    np.testing.assert_array_equal(found, box_of(sweep, scores, corner, size))


@given(sweeps(), st.data())
def test_every_batch_has_the_same_shape_wherever_the_box_lies(sweep, data):
    shapes = set()

    def record(windows: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(windows.shape))
        return windows

    box_of(sweep, noise(sweep.shape), *data.draw(boxes(sweep.shape)), record)
    assert {shape[0] for shape in shapes} == {sweep.settings.batch_size}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_box_with_scores_that_are_no_numbers_is_refused(bad):
    sweep = Sweep((8, 8, 8), (4, 4, 4), WindowSettings(overlap=0.0, batch_size=3), (0, 8))
    scores = noise((8, 8, 8))
    scores[5, 1, 2] = bad
    box_of(sweep, scores, (0, 4, 4), (2, 4, 4))  # no window about it sees the bad one
    with pytest.raises(InputError, match=r"NaN or infinity in the box at \(4, 0, 0\).*precision"):
        box_of(sweep, scores, (4, 0, 0), (4, 4, 4))
