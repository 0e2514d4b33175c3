"""Lifting masks: on a plane the same at every depth, on a traced sheet a layer that follows it."""

from pathlib import Path

import numpy as np
import pytest

from ensemble.ink.lift import lifted
from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.data.segments import Segment, find_segments
from scroll.metrics.surface_dice import surface_dice
from scroll.phantom.scroll_dataset import make_scrolls
from scroll.phantom.settings import scroll_settings

FRAGMENT = Fragment("flat", Path("flat"), DataSettings())


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Segment:
    root = tmp_path_factory.mktemp("scroll") / "data"
    make_scrolls(root, scroll_settings("easy", 112), seed=3, train=1, test=0, jobs=1)
    data = DataSettings(kind="segments", root=root, depth=(-6, 8))
    return max(find_segments(root / "train", data), key=lambda one: int(one.full_mask.sum()))


@pytest.mark.parametrize("thickness_vox", [1, 3, 7])
def test_on_a_fragment_every_layer_is_the_mask(thickness_vox: int) -> None:
    mask = np.random.default_rng(0).random((5, 6)) < 0.4
    (layer,) = lifted(FRAGMENT, [mask], thickness_vox)
    assert layer.shape == (thickness_vox, 5, 6) and layer.dtype == np.bool_
    assert all(np.array_equal(one, mask) for one in layer)


def test_a_lifted_mask_agrees_with_itself_and_with_nothing_far_away() -> None:
    mask = np.zeros((30, 60), dtype=bool)
    mask[5:15, 5:15] = True
    here, far = lifted(FRAGMENT, [mask, np.roll(mask, 35, axis=1)], 3)
    assert surface_dice(here, here, tolerance_vox=2.0) == 1
    assert surface_dice(here, far, tolerance_vox=2.0) == 0


def test_on_a_segment_the_layer_is_as_thick_as_asked_and_as_large_as_the_mask(segment: Segment) -> None:
    mask = np.zeros(segment.shape_yx, bool)
    mask[30:70, 30:70] = True
    mask &= segment.full_mask
    for thickness in (1, 3, 6):
        (layer,) = lifted(segment, [mask], thickness)
        assert layer.sum() == pytest.approx(mask.sum() * thickness, rel=0.1)


def test_on_a_segment_masks_far_apart_do_not_touch_and_equal_ones_agree(segment: Segment) -> None:
    near, far = np.zeros(segment.shape_yx, bool), np.zeros(segment.shape_yx, bool)
    near[20:40, 20:40], far[20:40, 60:80] = True, True
    here, there = lifted(segment, [near & segment.full_mask, far & segment.full_mask], 3)
    assert here.shape == there.shape and here.any() and there.any()
    assert surface_dice(here, here, tolerance_vox=2.0) == 1
    assert surface_dice(here, there, tolerance_vox=2.0) == 0


def test_an_empty_mask_on_a_segment_is_an_empty_layer(segment: Segment) -> None:
    nothing, again = lifted(segment, [np.zeros(segment.shape_yx, bool)] * 2, 3)
    assert not nothing.any() and nothing.shape == again.shape


def test_many_masks_at_once_are_what_each_is_alone(segment: Segment) -> None:
    rng = np.random.default_rng(7)
    masks = [(rng.random(segment.shape_yx) < share) & segment.full_mask for share in np.linspace(0.05, 0.9, 11)]
    masks[4][:] = False
    everywhere = np.logical_or.reduce(masks)  # so that each is cut out alike
    together = lifted(segment, [*masks, everywhere], 3)
    for mask, layer in zip(masks, together, strict=False):
        np.testing.assert_array_equal(layer, lifted(segment, [mask, everywhere], 3)[0])
