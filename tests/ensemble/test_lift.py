"""Lifting a mask: the same at every depth."""

import numpy as np
import pytest

from ensemble.lift import lift_plane
from scroll.metrics.surface_dice import surface_dice


@pytest.mark.parametrize("thickness_vox", [1, 3, 7])
def test_every_layer_is_the_mask(thickness_vox: int) -> None:
    mask = np.random.default_rng(0).random((5, 6)) < 0.4
    lifted = lift_plane(mask, thickness_vox)
    assert lifted.shape == (thickness_vox, 5, 6) and lifted.dtype == np.bool_
    assert all(np.array_equal(layer, mask) for layer in lifted)


def test_a_lifted_mask_agrees_with_itself_and_with_nothing_far_away() -> None:
    mask = np.zeros((30, 60), dtype=bool)
    mask[5:15, 5:15] = True
    lifted = lift_plane(mask, 3)
    assert surface_dice(lifted, lifted, tolerance_vox=2.0) == 1
    assert surface_dice(lifted, lift_plane(np.roll(mask, 35, axis=1), 3), tolerance_vox=2.0) == 0
