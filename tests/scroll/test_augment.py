"""Augmentation: image, label and ignore mask move as one, the depth stays as it is, and zero means nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.augment import Symmetry, change_image, draw_symmetry
from scroll.config import AugmentSettings

NOTHING = AugmentSettings(
    flips=False, quarter_turns=False, brightness=0, contrast=0, noise=0, layer_dropout=0, depth_jitter=0, cutout=0
)
symmetries = st.builds(Symmetry, st.booleans(), st.booleans(), st.integers(0, 3))
shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(symmetries, shapes)
def test_image_label_and_ignore_mask_go_to_the_same_places(symmetry, shape):
    """The label is a function of the pixel's number, so it must still be that function afterwards."""
    index = numbered(shape[1:])
    image = np.stack([index * 10 + z for z in range(shape[0])])
    target, ignore = index % 3 == 0, index % 5 == 0
    moved = symmetry.apply(index)
    np.testing.assert_array_equal(symmetry.apply(target), moved % 3 == 0)
    np.testing.assert_array_equal(symmetry.apply(ignore), moved % 5 == 0)
    for z, layer in enumerate(symmetry.apply(image)):  # depth in its old order
        np.testing.assert_array_equal(layer, moved * 10 + z)


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


def drawn(settings: AugmentSettings, is_square: bool) -> set[bytes]:
    image = np.arange(9).reshape(3, 3) if is_square else np.arange(6).reshape(2, 3)
    draws = (draw_symmetry(np.random.default_rng(n), settings, is_square).apply(image) for n in range(200))
    return {bytes([*moved.shape, *moved.ravel().astype(np.uint8)]) for moved in draws}


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "is_square", "views"),
    [
        (True, True, True, 8),
        (True, True, False, 4),
        (False, True, True, 4),
        (False, True, False, 2),
        (True, False, True, 4),
        (False, False, True, 1),
    ],
)
def test_all_the_symmetries_that_are_allowed_occur_and_no_other(flips, quarter_turns, is_square, views):
    settings = NOTHING.model_copy(update={"flips": flips, "quarter_turns": quarter_turns})
    assert len(drawn(settings, is_square)) == views


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_a_patch_that_is_not_square_keeps_its_shape(seed, height, width):
    symmetry = draw_symmetry(np.random.default_rng(seed), AugmentSettings(), is_square=height == width)
    assert symmetry.apply(np.zeros((3, height, width))).shape == (3, height, width)


@given(st.integers(0, 10**6), shapes)
def test_settings_of_nothing_change_nothing(seed, shape):
    rng, image = np.random.default_rng(seed), numbered(shape)
    symmetry = draw_symmetry(rng, NOTHING, is_square=True)
    np.testing.assert_array_equal(change_image(rng, symmetry.apply(image), NOTHING), image)


@given(st.integers(0, 10**6), shapes)
def test_the_same_random_numbers_give_the_same_image_and_leave_the_original(seed, shape):
    image = numbered(shape)
    first, second = (change_image(np.random.default_rng(seed), image, AugmentSettings()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, numbered(shape))
    assert first.dtype == np.float32 and first.shape == shape and np.isfinite(first).all()


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
def test_the_cut_out_is_one_rectangle_of_at_most_a_quarter_through_all_layers(seed, layers, height, width):
    settings = NOTHING.model_copy(update={"cutout": 1.0})
    changed = change_image(np.random.default_rng(seed), np.ones((layers, height, width), np.float32), settings)
    blank = changed[0] == 0
    rows, cols = np.flatnonzero(blank.any(axis=1)), np.flatnonzero(blank.any(axis=0))
    assert 1 <= len(rows) <= max(1, height // 4) and 1 <= len(cols) <= max(1, width // 4)
    assert blank[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all() and blank.sum() == len(rows) * len(cols)
    assert ((changed == 0) == blank).all()


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_one_or_two_layers_are_blanked_but_never_all(seed, layers):
    settings = NOTHING.model_copy(update={"layer_dropout": 1.0})
    changed = change_image(np.random.default_rng(seed), np.ones((layers, 3, 3), np.float32), settings)
    blank = (changed == 0).all(axis=(1, 2))
    assert ((changed == 0).any(axis=(1, 2)) == blank).all()
    assert blank.sum() <= min(2, layers - 1) and (layers == 1 or blank.any())


@given(st.integers(0, 10**6))
def test_brightness_and_contrast_stay_within_their_settings(seed):
    settings = NOTHING.model_copy(update={"brightness": 0.2, "contrast": 0.3})
    image = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2)
    changed = change_image(np.random.default_rng(seed), image, settings)[0, 0]
    assert abs(changed[0]) <= 0.2001 and 0.6999 <= changed[1] - changed[0] <= 1.3001


def test_the_noise_is_as_strong_as_the_setting_at_most():
    settings, image = NOTHING.model_copy(update={"noise": 0.5}), np.zeros((1, 60, 60), np.float32)
    spreads = [change_image(np.random.default_rng(n), image, settings).std() for n in range(60)]
    assert 0.4 < max(spreads) < 0.55 and min(spreads) < 0.1
