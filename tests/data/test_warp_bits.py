"""A training patch has the bits of the plain ways: torch's grid of places, scipy's blur, scipy's dilation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter
from torch.nn.functional import grid_sample

from scroll.config.schema import AugmentSettings
from scroll.data.augment.augment import NOTHING, _blurred, augmented, change_image
from scroll.data.augment.elastic import EDGE_VOX, Warp, draw_warp, warped
from scroll.data.augment.noise import LENGTH, normal_numbers
from scroll.data.labels import is_grey
from scroll.data.sample import Sample, Space, _thickened


def through_a_grid(sample: Sample, warp: Warp) -> Sample:
    """A volume sampled by torch at a grid of places."""
    shape = sample.image.shape
    centred = [np.arange(length, dtype=np.float32) - (length - 1) / 2 for length in shape]
    z, y, x = np.meshgrid(*(c / np.float32(warp.scale) for c in centred), indexing="ij")
    cos, sin = (np.float32(f(np.deg2rad(warp.degrees))) for f in (np.cos, np.sin))
    places = [z, cos * y - sin * x, sin * y + cos * x]
    if warp.displacement_vox is not None:
        places = [at + away for at, away in zip(places, warp.displacement_vox, strict=True)]
    reach = [(length - 1) / 2 for length in shape]
    outside = np.any([np.abs(at) > r + EDGE_VOX for at, r in zip(places, reach, strict=True)], axis=0)
    units = [at * np.float32(2 / length) for at, length in zip(places, shape, strict=True)]
    grid = torch.from_numpy(np.stack(units[::-1], axis=-1))[None]

    def resampled(array: np.ndarray, mode: str) -> np.ndarray:
        channels = torch.from_numpy(np.ascontiguousarray(array, np.float32).reshape(1, -1, *shape))
        found = grid_sample(channels, grid, mode=mode, padding_mode="border", align_corners=False)
        return found.numpy().reshape(array.shape)

    marks = [] if sample.proposed is None else [sample.proposed]
    target, ignore, *moved = resampled(np.stack([sample.target, sample.ignore, *marks]), "nearest") > 0.5
    if is_grey(sample.target, sample.ignore):
        known = ~sample.ignore
        message, weight = resampled(np.stack([np.where(known, sample.target, 0), known]), "bilinear")
        target = np.clip(np.divide(message, weight, out=np.zeros_like(message), where=weight > 0), 0, 1)
    return Sample(
        np.where(outside, np.float32(0), resampled(sample.image, "bilinear")),
        np.where(outside, target.dtype.type(0), target).astype(sample.target.dtype),
        ignore | outside,
        moved[0] & ~outside if moved else None,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(*[st.integers(1, 20)] * 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1.5]),
    st.sampled_from([(0.0, 0.0), (40.0, 0.3), (180.0, 0.0)]),
)
def test_a_warped_volume_has_the_bits_of_torchs_grid(seed, shape, is_soft, is_proposed, elastic_vox, strength):
    rng = np.random.default_rng(seed)
    target = rng.random(shape, dtype=np.float32) if is_soft else rng.random(shape) < 0.5
    proposed = rng.random(shape) < 0.3 if is_proposed else None
    sample = Sample(rng.standard_normal(shape, dtype=np.float32), target, rng.random(shape) < 0.2, proposed)
    asked = NOTHING.model_copy(update={"turn_degrees": strength[0], "zoom": strength[1], "elastic_vox": elastic_vox})
    warp = draw_warp(rng, asked, Space.SCROLL, shape) or Warp(0.0, 1.0)
    before = sample.image.copy()
    found, expected = warped(sample, warp, Space.SCROLL), through_a_grid(sample, warp)
    for name in ("image", "target", "ignore", "proposed"):
        one, other = getattr(found, name), getattr(expected, name)
        if other is None:
            assert one is None
        else:
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes(), name
    assert np.array_equal(sample.image, before)


@pytest.mark.parametrize("space", Space)
def test_a_blur_has_the_bits_of_scipys(space):
    image = np.random.default_rng(0).standard_normal((5, 20, 31), dtype=np.float32)
    for sigma_vox in (0.01, 0.3, 1.0, 4.0):
        along_depth = 0.0 if space is Space.STACK else sigma_vox
        expected = gaussian_filter(image, (along_depth, sigma_vox, sigma_vox), mode="nearest")
        assert _blurred(image, sigma_vox, space).tobytes() == expected.tobytes()


@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 7)] * 3))
def test_lines_are_thickened_as_a_dilation_with_a_cross_does(seed, shape):
    lines = np.random.default_rng(seed).random(shape) < 0.2
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
    assert np.array_equal(_thickened(lines), binary_dilation(lines, cross))


def plainly_changed(rng: np.random.Generator, image: np.ndarray, asked: AugmentSettings) -> np.ndarray:
    contrast = 1 + asked.contrast * rng.uniform(-1, 1)
    brightness = asked.brightness * rng.uniform(-1, 1)
    changed = (image * contrast + brightness).astype(np.float32)
    sigma_vox = asked.blur * rng.random()
    changed = gaussian_filter(changed, sigma_vox, mode="nearest")
    sd = asked.noise * rng.random()
    start = rng.integers(LENGTH - image.size + 1)
    return changed + normal_numbers()[start : start + image.size].reshape(image.shape) * np.float32(sd)


def test_an_image_is_changed_step_by_step_as_it_was_drawn():
    image = np.random.default_rng(0).standard_normal((6, 12, 13), dtype=np.float32)
    asked = NOTHING.model_copy(update={"contrast": 0.2, "brightness": 0.3, "blur": 1.0, "noise": 0.2})
    before = image.copy()
    for seed in range(20):
        found = change_image(np.random.default_rng(seed), image, asked, Space.SCROLL)
        assert found.tobytes() == plainly_changed(np.random.default_rng(seed), image, asked).tobytes()
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", ["intensity", "noise", "blur", "warp"])
def test_what_has_a_chance_happens_that_often_and_else_leaves_the_patch_alone(name):
    image = np.random.default_rng(0).standard_normal((4, 8, 8), dtype=np.float32)
    strengths = {"intensity": {"contrast": 0.2}, "noise": {"noise": 0.2}, "blur": {"blur": 1.0}, "warp": {"zoom": 0.2}}
    asked = NOTHING.model_copy(update={**strengths[name], f"{name}_chance": 0.3})
    sample = Sample(image, image > 0, np.zeros(image.shape, bool))
    changed = sum(
        augmented(np.random.default_rng(seed), lambda rng, _: sample, asked, Space.SHEET).image.tobytes()
        != image.tobytes()
        for seed in range(400)
    )
    assert 85 < changed < 155  # 120, give or take 9.2
    assert not asked.model_copy(update={f"{name}_chance": 1.0}).model_dump().get(f"{name}_chance")
