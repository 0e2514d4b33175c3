"""Grey values as networks of others see them, by hand."""

import numpy as np
import pytest

from scroll.data.intensity import Intensity, grey_scale_of, robust_z_score
from scroll.errors import UnreadableError

RAW = np.array([0, 50, 100, 150, 250], np.uint8)


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        (Intensity(), [0, 50, 100, 150, 250]),
        (Intensity(how="divide", spread=50), [0, 1, 2, 3, 5]),
        (Intensity(how="clip_divide", low=50, high=200, spread=200), [0.25, 0.25, 0.5, 0.75, 1]),
        (Intensity(how="zscore", middle=100, spread=50), [-2, -1, 0, 1, 3]),
        (Intensity(how="clip_zscore", low=50, high=150, middle=100, spread=50), [-1, -1, 0, 1, 1]),
        (Intensity(how="zscore_of_item"), (RAW - 110.0) / np.std(RAW)),
        (Intensity(how="percentiles", low=0, high=100), [0, 0.2, 0.4, 0.6, 1]),
        (Intensity(how="robust", low=0, high=100), (RAW - 100.0) / (1.4826 * 50)),
        (Intensity(how="ours"), robust_z_score(RAW, grey_scale_of(RAW))),
    ],
)
def test_each_scaling_by_hand(intensity, expected):
    found = intensity.of_item(RAW).scaled(RAW)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("how", ["zscore_of_item", "percentiles", "robust", "ours"])
def test_figures_are_the_items_whatever_window_is_looked_at(how):
    rng = np.random.default_rng(0)
    item = rng.normal(100, 20, 4000).astype(np.float32)
    fixed = Intensity(how=how, low=1, high=99).of_item(item)
    assert np.array_equal(fixed.scaled(item)[100:200], fixed.scaled(item[100:200]))
    assert np.isfinite(Intensity(how=how, low=1, high=99).of_item(np.full(9, 7.0)).scaled(np.full(9, 7.0))).all()


def test_what_was_not_scanned_stays_0_and_counts_for_no_figure():
    raw = np.array([0, 0, 100, 140, 120], np.uint8)
    found = Intensity(how="zscore_of_item", keeps_zero=True).of_item(raw).scaled(raw)
    np.testing.assert_allclose(found, [0, 0, -1.2247, 1.2247, 0], atol=1e-4)


def test_nan_is_reported_with_its_place():
    with pytest.raises(UnreadableError, match=r"ct\.tif near row 3; repair"):
        Intensity(how="divide", spread=2).scaled(np.array([1.0, np.nan]), "ct.tif near row 3")
