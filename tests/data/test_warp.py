"""Warps: the label goes where the image goes, nothing is invented beyond the patch, and strengths are what they are called."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scroll.data.augment.augment import NOTHING
from scroll.data.augment.elastic import Warp, draw_warp, warped
from scroll.data.sample import Sample, Space

SHAPE = (6, 24, 20)
STRONG = NOTHING.model_copy(update={"turn_degrees": 40, "zoom": 0.3, "elastic_vox": 1.5})
spaces = st.sampled_from(Space)


def blobs(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Bool boxes, wide enough that their insides are more than their rims."""
    coarse = np.random.default_rng(seed).random([-(-n // 5) for n in shape]) < 0.5
    return np.kron(coarse, np.ones((5,) * len(shape), bool))[tuple(slice(n) for n in shape)]


def sample_of(image: np.ndarray, target: np.ndarray | None = None, ignore: np.ndarray | None = None) -> Sample:
    target = np.zeros(image.shape, bool) if target is None else target
    return Sample(image.astype(np.float32), target, np.zeros(target.shape, bool) if ignore is None else ignore)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), spaces, st.booleans())
@example(695, Space.SCROLL, False)
def test_label_and_ignore_mask_move_with_the_image(seed, space, is_flat):
    """The image is the label in numbers. The nearest voxel has at least an eighth of the weight: above 7/8 it is a 1."""
    is_flat &= space is not Space.SCROLL
    shape = SHAPE[1:] if is_flat else SHAPE
    target, ignore = blobs(seed, shape), blobs(seed + 1, shape)
    warp = draw_warp(np.random.default_rng(seed), STRONG, space, SHAPE)
    most_outside = (
        1.0 if space is Space.SCROLL else 0.8
    )  # six layers that move along z too may nearly all be pushed out (seed 695)
    for is_ignore, shown in ((False, target), (True, ignore)):
        moved = warped(sample_of(np.broadcast_to(shown, SHAPE), target, ignore), warp, space)
        outside = warped(sample_of(np.zeros(SHAPE), target, np.zeros(shape, bool)), warp, space).ignore
        assert moved.target.shape == moved.ignore.shape == shape and outside.mean() < most_outside
        values, label = moved.image[0] if is_flat else moved.image, moved.ignore if is_ignore else moved.target
        sure = ~outside & ((values > 0.88) | (values < 0.12))
        assert (label[sure] == (values[sure] > 0.5)).all() and sure.sum() > 0.5 * (~outside).sum()
        assert moved.ignore[outside].all() and not moved.target[outside].any() and not values[outside].any()


@given(st.integers(0, 10**6), spaces)
@settings(max_examples=20, deadline=None)
def test_no_turn_no_zoom_no_displacement_is_no_change(seed, space):
    rng = np.random.default_rng(seed)
    sample = sample_of(rng.standard_normal(SHAPE), rng.random(SHAPE) < 0.3, rng.random(SHAPE) < 0.3)
    same = warped(sample, replace(draw_warp(rng, STRONG, space, SHAPE), degrees=0.0, scale=1.0, elastic_vox=0.0), space)
    np.testing.assert_allclose(same.image, sample.image, atol=1e-4)
    np.testing.assert_array_equal(same.target, sample.target)
    np.testing.assert_array_equal(same.ignore, sample.ignore)


def test_nothing_is_drawn_where_all_is_switched_off():
    rng = np.random.default_rng(0)
    assert draw_warp(rng, NOTHING, Space.SHEET, SHAPE) is None
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("space", Space)
def test_a_turn_by_90_degrees_is_a_quarter_turn_about_z(space):
    image = np.random.default_rng(0).standard_normal((5, 12, 12))
    target = image > 0.5
    moved = warped(sample_of(image, target), Warp(90.0, 1.0), space)
    turns = next(k for k in (1, 3) if np.allclose(moved.image, np.rot90(image, k, (-2, -1)), atol=1e-4))
    np.testing.assert_array_equal(moved.target, np.rot90(target, turns, (-2, -1)))
    assert not moved.ignore.any()


@pytest.mark.parametrize(("space", "axes"), [(Space.SHEET, 2), (Space.STACK, 2), (Space.SCROLL, 3)])
def test_zoom_makes_things_as_much_larger_as_it_says(space, axes):
    grid = np.indices((33, 33, 33)) - 16
    ball = (grid**2).sum(axis=0) <= 49
    larger = warped(sample_of(ball * 1.0, ball), Warp(0.0, 1.5), space)
    middle = slice(None) if axes == 3 else 16
    assert larger.target[middle].sum() == pytest.approx(1.5**axes * ball[middle].sum(), rel=0.06)
    assert larger.image[middle].sum() == pytest.approx(1.5**axes * ball[middle].sum(), rel=0.06)
    assert not larger.ignore.any()


@pytest.mark.parametrize("space", Space)
def test_what_lies_beyond_the_patch_is_blank_and_unknown(space):
    sample = sample_of(np.full((8, 16, 16), 3.0), np.ones((8, 16, 16), bool))
    smaller = warped(sample, Warp(0.0, 0.5), space)
    known = np.zeros((8, 16, 16), bool)
    known[slice(2, 6) if space is Space.SCROLL else slice(None), 4:12, 4:12] = True
    np.testing.assert_array_equal(~smaller.ignore, known)
    np.testing.assert_array_equal(smaller.target, known)
    np.testing.assert_allclose(smaller.image, np.where(known, 3.0, 0.0), atol=1e-4)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_all_layers_of_a_sheet_move_alike(seed):
    image = np.broadcast_to(np.random.default_rng(seed).standard_normal(SHAPE[1:]), SHAPE)
    moved = warped(sample_of(image), draw_warp(np.random.default_rng(seed), STRONG, Space.SHEET, SHAPE), Space.SHEET)
    assert (moved.image == moved.image[:1]).all() and (moved.image != image).any()


@pytest.mark.parametrize("space", [Space.SHEET, Space.SCROLL])
def test_strengths_are_as_large_as_the_settings_and_no_larger(space):
    drawn = [draw_warp(np.random.default_rng(n), STRONG, space, (16, 48, 48)) for n in range(100)]
    degrees, scales = [abs(w.degrees) for w in drawn], [w.scale for w in drawn]
    assert 36 < max(degrees) <= 40 and min(degrees) < 4
    assert 0.7 <= min(scales) < 0.73 and 1.27 < max(scales) <= 1.3
    spread = np.sqrt(np.mean([np.square(w.displacement_vox).mean() for w in drawn]))
    assert spread == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("elastic_vox", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("space", [Space.SHEET, Space.SCROLL])
def test_the_displacement_never_folds_the_papyrus(space, elastic_vox):
    elastic = NOTHING.model_copy(update={"elastic_vox": elastic_vox})
    n = space.moving_axes
    for seed in range(5):
        moved = draw_warp(np.random.default_rng(seed), elastic, space, (24, 96, 96)).displacement_vox
        slopes = np.stack([np.gradient(part, axis=axis) for part in moved for axis in range(n)], axis=-1)
        jacobian = slopes.reshape(*slopes.shape[:-1], n, n) + np.eye(n)
        assert np.linalg.det(jacobian).min() > 0.05


@pytest.mark.parametrize("space", [Space.SHEET, Space.SCROLL])
def test_a_soft_target_goes_as_the_image_does_and_what_is_unknown_does_not_bleed_into_it(space):
    """The target is the image; what lies under ignored voxels is nonsense, and their known neighbours are the mean of known ones."""
    shape = (8, 24, 24) if space is Space.SHEET else (24, 24, 24)
    _, y, x = np.indices(shape, np.float32)
    image = (0.2 + 0.01 * y + 0.013 * x).astype(np.float32)
    ignore = np.zeros(shape, bool)
    warp = Warp(degrees=17.0, scale=1.1)
    free = warped(Sample(image, image.copy(), ignore), warp, space)
    np.testing.assert_allclose(free.target[~free.ignore], free.image[~free.ignore], atol=1e-5)
    hidden = ignore.copy()
    hidden[..., 10:14] = True
    found = [warped(Sample(image, np.where(hidden, under, image), hidden), warp, space) for under in (0.0, 0.5, 1.0)]
    known = ~found[0].ignore
    for one in found:
        assert np.array_equal(one.target[known], found[0].target[known]) and np.array_equal(one.ignore, ~known)
    assert np.abs(found[0].target - free.target)[known].max() < 0.02  # the slope of half a voxel


def test_a_soft_target_of_0_and_1_goes_as_a_hard_one_does():
    rng = np.random.default_rng(0)
    image, hard = rng.random((4, 20, 20), dtype=np.float32), rng.random((20, 20)) < 0.5
    ignore = rng.random((20, 20)) < 0.2
    warp = Warp(degrees=-31.0, scale=0.9)
    one, other = (warped(Sample(image, hard.astype(kind), ignore), warp, Space.SHEET) for kind in (bool, np.float32))
    assert one.target.dtype == bool and other.target.dtype == np.float32
    assert np.array_equal(one.target, other.target) and np.array_equal(one.ignore, other.ignore)
