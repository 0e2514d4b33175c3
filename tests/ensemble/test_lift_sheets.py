"""Lifted sheets have one thickness and never touch, however close they are traced."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.surface.lift_sheets import PresentSheet, apart, believed, lifted, numbered
from scroll.metrics.betti_matching.connected import connected_components
from scroll.surfaces.surface import Surface, normals_of

SIZE = 40


def sheet(z: float, slope: float = 0.0, presence: float = 1.0) -> PresentSheet:
    rows, columns = np.indices((SIZE // 2 + 1, SIZE // 2 + 1)) * 2.0
    points = np.stack([z + slope * (rows - SIZE / 2), rows, columns], axis=-1).astype(np.float32)
    valid = np.ones(rows.shape, bool)
    surface = Surface(points, normals_of(points, valid), valid, (2.0, 2.0), Path("sheet"))
    return PresentSheet(surface, np.full(surface.canvas_shape(), presence, np.float32))


@pytest.mark.parametrize("thickness_vox", [2, 3, 5])
def test_a_sheet_is_as_thick_as_asked(thickness_vox):
    volume = lifted([sheet(20.25)], (SIZE,) * 3, thickness_vox) > 0
    assert (volume.sum(axis=0) == thickness_vox).all()


def test_an_offset_moves_it_along_its_normal():
    assert np.argwhere(lifted([sheet(20)], (SIZE,) * 3, 1, 5.0) > 0)[:, 0].mean() == pytest.approx(25, abs=0.51)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 6), st.floats(-0.1, 0.1), st.sampled_from([2.0, 3.0, 4.0]))
def test_two_sheets_never_become_one_object(spacing_vox, slope, thickness_vox):
    pair = [sheet(18), sheet(18 + spacing_vox, slope)]
    volume = lifted(pair, (SIZE,) * 3, thickness_vox) > 0
    labels = connected_components(volume, 26)
    numbers = numbered(pair, (SIZE,) * 3, thickness_vox)
    for number in np.unique(labels[labels > 0]):
        assert len(np.unique(numbers[labels == number])) == 1


def test_a_sheet_that_is_hardly_there_is_a_low_presence_and_a_hole_in_the_numbers():
    volume = lifted([sheet(20, presence=0.2)], (SIZE,) * 3, 3)
    assert volume.max() == pytest.approx(0.2, abs=0.01)
    assert not numbered([sheet(20, presence=0.2)], (SIZE,) * 3, 3).any()


def test_of_touching_numbers_the_later_gives_way_across_a_corner_too():
    numbers = np.zeros((3, 3, 3), np.uint8)
    numbers[0, 0, 0], numbers[1, 1, 1] = 1, 2
    assert apart(numbers).sum() == 1 and apart(numbers)[0, 0, 0]


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_stage_two_decides_on_guesses_and_is_doubted_elsewhere(presence, doubt, is_guessed):
    (found,) = believed(np.array([presence]), np.array([is_guessed]), doubt)
    if is_guessed:
        assert found == pytest.approx(presence)
    else:
        assert presence - 1e-6 <= found <= 1
        assert believed(np.array([presence]), np.array([False]), 0.0) == 1.0
        assert believed(np.array([presence]), np.array([False]), 1.0) == pytest.approx(presence)
