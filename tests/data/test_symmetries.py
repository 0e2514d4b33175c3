"""Symmetries: image and label move as one, depth and faces stay where they are, and only what the label allows occurs."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.config.schema import AugmentSettings
from scroll.data.augment.augment import NOTHING
from scroll.data.augment.symmetries import Symmetry, draw_symmetry
from scroll.data.sample import Space

symmetries = st.builds(Symmetry, st.booleans(), st.booleans(), st.integers(0, 3), st.booleans())
shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(symmetries, shapes)
def test_image_label_and_ignore_mask_go_to_the_same_places(symmetry, shape):
    """The label is a function of the voxel's number, so it must still be that function afterwards."""
    image = numbered(shape)
    moved = symmetry.apply(image)
    np.testing.assert_array_equal(symmetry.apply(image % 3 == 0), moved % 3 == 0)
    np.testing.assert_array_equal(symmetry.apply(image % 5 == 0), moved % 5 == 0)


@given(symmetries, shapes)
def test_a_symmetry_loses_nothing_and_changes_no_original(symmetry, shape):
    image = numbered(shape)
    moved = symmetry.apply(image)
    assert sorted(moved.ravel()) == sorted(image.ravel())
    assert moved.flags.c_contiguous and not np.shares_memory(moved, image)


def test_mirror_first_then_turn_by_hand():
    image = np.array([[1, 2], [3, 4]])
    assert Symmetry(True, False, 0).apply(image).tolist() == [[3, 4], [1, 2]]
    assert Symmetry(False, True, 0).apply(image).tolist() == [[2, 1], [4, 3]]
    assert Symmetry(False, False, 1).apply(image).tolist() == [[2, 4], [1, 3]]  # anticlockwise
    assert Symmetry(True, False, 1).apply(image).tolist() == [[4, 2], [3, 1]]
    assert Symmetry(False, False, 0, flip_z=True).apply(image[:, None]).tolist() == [[[3, 4]], [[1, 2]]]


def seen(settings: AugmentSettings, space: Space, shape: tuple[int, ...]) -> set[bytes]:
    image = numbered(shape).astype(np.uint8)
    drawn = (draw_symmetry(np.random.default_rng(n), settings, space, shape).apply(image) for n in range(300))
    return {bytes([*moved.shape, *moved.ravel()]) for moved in drawn}


@pytest.mark.parametrize(
    ("space", "flips", "quarter_turns", "across", "is_square", "views"),
    [
        (Space.SHEET, True, True, False, True, 8),
        (Space.SHEET, True, True, False, False, 4),
        (Space.SHEET, False, True, False, True, 4),
        (Space.SHEET, False, True, False, False, 2),
        (Space.SHEET, True, False, False, True, 4),
        (Space.SHEET, False, False, False, True, 1),
        (Space.STACK, True, True, False, True, 8),
        (Space.SCROLL, True, True, False, True, 2),
        (Space.SCROLL, False, True, False, True, 1),
        (Space.SCROLL, True, True, True, True, 16),
        (Space.SCROLL, True, True, True, False, 8),
        (Space.SCROLL, True, False, True, True, 8),
        (Space.SCROLL, False, True, True, True, 4),
    ],
)
def test_all_the_symmetries_that_are_allowed_occur_and_no_other(space, flips, quarter_turns, across, is_square, views):
    allowed = {"flips": flips, "quarter_turns": quarter_turns, "across_sheets": across}
    assert len(seen(NOTHING.model_copy(update=allowed), space, (2, 3, 3 if is_square else 4))) == views


@pytest.mark.parametrize(("space", "across"), [(Space.SHEET, False), (Space.SCROLL, False), (Space.SCROLL, True)])
def test_one_allowed_symmetry_after_another_is_allowed_too(space, across):
    settings = AugmentSettings(across_sheets=across)
    image = numbered((2, 3, 3)).astype(np.uint8)
    drawn = {draw_symmetry(np.random.default_rng(n), settings, space, image.shape) for n in range(300)}
    twice = (second.apply(first.apply(image)) for first, second in itertools.product(drawn, drawn))
    assert {bytes([*moved.shape, *moved.ravel()]) for moved in twice} == seen(settings, space, image.shape)


@given(st.integers(0, 10**6), shapes, st.sampled_from(Space), st.booleans())
def test_a_patch_keeps_its_shape(seed, shape, space, across):
    settings = AugmentSettings(across_sheets=across)
    symmetry = draw_symmetry(np.random.default_rng(seed), settings, space, shape)
    assert symmetry.apply(np.zeros(shape)).shape == shape


@given(st.integers(0, 10**6), shapes, st.sampled_from([Space.SHEET, Space.STACK]))
def test_the_layers_of_a_sheet_stay_in_their_order(seed, shape, space):
    image = np.broadcast_to(np.arange(shape[0])[:, None, None], shape)
    symmetry = draw_symmetry(np.random.default_rng(seed), AugmentSettings(across_sheets=True), space, shape)
    assert (symmetry.apply(image) == np.arange(shape[0])[:, None, None]).all()


def recto_is_towards_the_axis(paper: np.ndarray, label: np.ndarray) -> bool:
    """Whether every labelled voxel has air before it (smaller x, where the axis is) and papyrus behind it."""
    z, y, x = np.nonzero(label)
    return bool((~paper[z, y, x - 1]).all() and paper[z, y, x + 3].all())


def test_in_scroll_space_the_label_stays_on_the_face_towards_the_axis():
    """A wave of a sheet, six voxels thick, its axis far away at small x; the label is the first voxel of papyrus."""
    z, y, x = np.indices((12, 20, 20))
    face = np.rint(8 + np.sin(z / 2) + np.cos(y / 3)).astype(int)
    paper, label = (x >= face) & (x < face + 6), x == face
    assert recto_is_towards_the_axis(paper, label)
    for across in (False, True):
        settings = AugmentSettings(across_sheets=across)
        drawn = [draw_symmetry(np.random.default_rng(n), settings, Space.SCROLL, paper.shape) for n in range(40)]
        kept = [recto_is_towards_the_axis(s.apply(paper), s.apply(label)) for s in drawn]
        assert any(s.flip_z for s in drawn)
        assert all(kept) != across  # asked to look across sheets, some views do exchange the faces
