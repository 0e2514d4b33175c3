from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scroll.phantom.ct import add_noise, blur, grey8, grey16, scan
from scroll.phantom.settings import CtSettings


@pytest.mark.parametrize("sigma_vox", [0.6, 1.15, 2.5])
def test_the_blur_is_the_one_of_scipy(sigma_vox):
    volume = np.random.default_rng(0).standard_normal((9, 300, 17), dtype=np.float32)
    ours = volume.copy()
    blur(ours, sigma_vox)
    radius = max(1, int(np.ceil(3.5 * sigma_vox)))
    np.testing.assert_allclose(ours, gaussian_filter(volume, sigma_vox, radius=radius, mode="reflect"), atol=2e-6)


def test_a_constant_stays_constant_but_for_cupping():
    volume = np.full((8, 32, 32), 1.0, np.float32)
    quiet = replace(CtSettings(), noise_sd=0.0, ring_amplitude=0.0)
    scanned = scan(volume, quiet, seed=1)
    assert abs(scanned.mean() - 1) < 0.01
    assert 0.9 * quiet.cupping < np.ptp(scanned) < 1.1 * quiet.cupping


def test_an_edge_has_a_dark_halo_as_phase_contrast_gives():
    volume = np.zeros((40, 40, 40), np.float32)
    volume[20:] = 1
    scanned = scan(volume, replace(CtSettings(), noise_sd=0.0, ring_amplitude=0.0, cupping=0.0), seed=1)
    profile = scanned.mean(axis=(1, 2))
    assert profile[16:19].min() < -0.02 and profile[22:24].max() > 1.02
    assert abs(profile[3]) < 1e-3


def test_noise_is_as_coarse_as_in_real_scans():
    image = np.zeros((48, 128, 128), np.float32)
    settings = CtSettings()
    add_noise(image, settings, seed=3)
    assert abs(image.std() / settings.noise_sd - 1) < 0.05
    lags = {lag: float((image[..., :-lag] * image[..., lag:]).mean() / image.var()) for lag in (1, 2, 4)}
    assert 0.73 <= lags[1] <= 0.82 and 0.39 <= lags[2] <= 0.61 and 0.15 <= lags[4] <= 0.42


def test_grey_values_are_those_of_the_competitions():
    image = np.array([[[0.0, 1.0, -9.0, 99.0]]], np.float32)
    assert grey8(image.copy()).tolist() == [[[68, 140, 0, 255]]]
    air, paper, black, white = grey16(image.copy()).ravel().tolist()
    assert (black, white) == (0, 65535) and 15_000 < air < 19_000 and 32_000 < paper < 38_000


def test_blurring_a_slice_of_a_larger_volume_is_refused():
    with pytest.raises(ValueError, match="C-contiguous"):
        blur(np.zeros((4, 4, 8), np.float32)[:, :, ::2], 1.0)
