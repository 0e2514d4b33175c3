"""The cube against the numbers measured on real scans."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from scroll.phantom.cube import draw_cube, draw_scroll, scan_cube
from scroll.phantom.settings import cube_settings
from scroll.phantom.surface import trace_surface

EDGE = 144


@pytest.fixture(scope="module")
def cubes():
    return [draw_cube(cube_settings("default", EDGE), seed) for seed in (1, 2)]


def slices(volume):
    return volume[EDGE // 8 :: EDGE // 8]


def spectrum_slope(volume):
    """Slope of the radial power spectrum of slices, log-log over 0.02-0.45 cycles per pixel."""
    window = np.hanning(EDGE)[:, None] * np.hanning(EDGE)
    frequency = np.fft.fftfreq(EDGE) * EDGE
    ring = np.round(np.hypot(frequency[:, None], frequency)).astype(int).ravel()
    power = sum(np.abs(np.fft.fft2((s - s.mean()) * window)) ** 2 for s in slices(volume))
    radial = np.bincount(ring, power.ravel()) / np.bincount(ring)
    cycles = np.arange(radial.size) / EDGE
    used = (cycles >= 0.02) & (cycles <= 0.45)
    return np.polyfit(np.log(cycles[used]), np.log(radial[used]), 1)[0]


def far_air(cube):
    return ~binary_dilation(cube.paper > 10, iterations=4)


def test_the_same_seed_gives_the_same_bytes():
    settings = cube_settings("default", 48)
    first, again, other = (draw_cube(settings, seed) for seed in (4, 4, 5))
    assert first.volume.tobytes() == again.volume.tobytes() and first.label.tobytes() == again.label.tobytes()
    assert first.volume.tobytes() != other.volume.tobytes()


def test_a_cube_has_the_types_of_the_competition(cubes):
    for cube in cubes:
        assert cube.volume.shape == cube.label.shape == (EDGE,) * 3
        assert cube.volume.dtype == cube.label.dtype == np.uint8
        assert set(np.unique(cube.label)) == {0, 1, 2}


def test_papyrus_fills_a_quarter_to_a_half_of_a_slice(cubes):
    share = np.mean([(s > threshold_otsu(s)).mean() for cube in cubes for s in slices(cube.volume)])
    assert 0.23 <= share <= 0.50


def test_contrast_to_noise_and_grey_values_are_real(cubes):
    for cube in cubes:
        air, paper = cube.volume[far_air(cube)], cube.volume[cube.paper > 200]
        assert 41 <= air.mean() <= 96 and 122 <= paper.mean() <= 175
        assert 5 <= (paper.mean() - air.mean()) / air.std() <= 8


def test_noise_in_air_is_as_coarse_as_in_real_scans(cubes):
    lags = {1: [], 2: [], 4: []}
    for cube in cubes:
        air = far_air(cube)
        offset = cube.volume - cube.volume[air].mean()
        for lag, values in lags.items():
            pairs = air[..., :-lag] & air[..., lag:]
            values.append((offset[..., :-lag] * offset[..., lag:])[pairs].mean() / offset[air].var())
    assert 0.73 <= np.mean(lags[1]) <= 0.82
    assert 0.39 <= np.mean(lags[2]) <= 0.61
    assert 0.15 <= np.mean(lags[4]) <= 0.42


def test_the_power_spectrum_falls_as_in_real_scans(cubes):
    assert -5.5 <= np.mean([spectrum_slope(cube.volume) for cube in cubes]) <= -4.6


def test_the_label_is_a_band_three_voxels_thick(cubes):
    thick = [(s == 1).sum() / skeletonize(s == 1).sum() for cube in cubes for s in slices(cube.label) if (s == 1).any()]
    assert 2.9 <= np.median(thick) <= 3.2


def test_the_label_is_loose_by_voxels(cubes):
    in_paper = np.mean([(cube.paper[cube.label == 1] > 127).mean() for cube in cubes])
    assert 0.43 <= in_paper <= 0.85


def test_part_of_the_label_is_missing_as_a_human_leaves_it():
    settings = cube_settings("default", 96)
    whole = replace(settings, label=replace(settings.label, missing_share=(0.0, 0.0)))
    scroll = draw_scroll(settings, 3)
    left, all_of_it = ((scan_cube(scroll, s, 3).label == 1).sum() for s in (settings, whole))
    assert 0.80 <= left / all_of_it <= 0.97


def test_wraps_outside_the_labelled_range_are_marked_unlabelled(cubes):
    for cube in cubes:
        shares = [(cube.label == value).mean() for value in (0, 1, 2)]
        assert 0.02 < shares[1] < 0.12 and 0.06 < shares[2] < 0.85


def test_crushed_wraps_leave_less_air(cubes):
    crushed = draw_cube(cube_settings("default", 96, crushed=True), 1)
    assert (crushed.paper > 127).mean() > 1.3 * (cubes[0].paper > 127).mean()


def test_a_cube_too_small_is_refused():
    with pytest.raises(ValueError, match="too small"):
        draw_cube(cube_settings("default", 16), 1)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_ends_between_two_faces_never_along_one(seed):
    settings = cube_settings("default", 96)
    scroll = draw_scroll(settings, seed)
    label = draw_cube(settings, seed).label
    for wrap in range(scroll.labelled[0] - 1, scroll.labelled[1] + 2):
        if not 0 <= wrap < len(scroll.wraps.face):
            continue
        face = trace_surface(scroll, wrap, 2.0)
        is_labelled = scroll.labelled[0] <= wrap <= scroll.labelled[1]
        for step in (-1.5, 0, 1.5):
            places = np.rint((face.points + step * face.normals)[face.valid]).astype(int)
            inside = ((places >= 0) & (places < 96)).all(axis=1)
            found = label[tuple(places[inside].T)]
            assert (found == (2 if is_labelled else 0)).mean() < 0.03 if found.size else True
