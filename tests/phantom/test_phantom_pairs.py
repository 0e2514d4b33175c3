"""Pairs of sheets: as close as they say, measured along the true normal, and touching in the scan."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from scroll.metrics.sheet_separation import resolved
from scroll.phantom.cube import scan_cube
from scroll.phantom.pairs import draw_pair
from scroll.phantom.settings import cube_settings, mixed_scrolls
from scroll.phantom.spiral import polar
from scroll.phantom.surface import effective_radius, trace_surface

SEEDS = (1, 2, 3, 4)
FARTHEST_VOX, STEP_VOX = 32.0, 0.1
DEPTHS_VOX = np.arange(0, FARTHEST_VOX, STEP_VOX)


@pytest.fixture(scope="module")
def pairs():
    return [draw_pair(seed) for seed in SEEDS]


def measured(pair):
    """Points (N, 3) of the first sheet's recto, normals into it, and how far along them the second's recto is."""
    scroll = pair.scroll
    surface = trace_surface(scroll, pair.first, step_vox=2.0)
    points, inward = surface.points[surface.valid], -surface.normals[surface.valid]
    places = points + DEPTHS_VOX[:, None, None] * inward  # (depth, N, 3)
    arc = polar(scroll.spiral, places[..., 1], places[..., 2])[1] - scroll.spiral.arc_start
    upper = scroll.wraps.face[pair.first + 1]
    beyond = effective_radius(scroll.spiral, places) >= map_coordinates(upper, (places[..., 0], arc), order=1)
    spacing = np.where(beyond.any(axis=0), DEPTHS_VOX[beyond.argmax(axis=0)], np.inf)
    end = points + np.minimum(spacing, FARTHEST_VOX)[:, None] * inward
    kept = ((end >= 0) & (end <= len(pair.volume) - 1)).all(axis=1)
    return points[kept], inward[kept], spacing[kept]


def between(pair, values, chosen):
    """Values (9, N) of a volume at nine depths from the first recto to the second, where `chosen` picks the spacing."""
    points, inward, spacing = measured(pair)
    kept = chosen(spacing)
    depths = np.linspace(0, 1, 9)[:, None, None] * spacing[kept, None]
    return map_coordinates(values, np.moveaxis(points[kept] + depths * inward[kept], -1, 0), order=1, output=np.float32)


def is_close(spacing):
    return (spacing >= 4) & (spacing <= 6)


def is_apart(spacing):
    return (spacing > 15) & (spacing < FARTHEST_VOX)


def test_the_two_sheets_lie_four_to_six_voxels_apart_over_at_least_three_tenths_of_their_area(pairs):
    for pair in pairs:
        assert is_close(measured(pair)[2]).mean() >= 0.30


def test_elsewhere_they_lie_as_far_apart_as_other_wraps(pairs):
    spacing = np.concatenate([measured(pair)[2] for pair in pairs])
    assert 0.25 <= is_apart(spacing).mean() <= 0.65
    assert np.quantile(spacing, 0.95) < 24 and spacing.min() > 3.5


@pytest.mark.parametrize(("spacing_vox", "share"), [(4.5, 0.6), (8.0, 0.3)])
def test_another_spacing_and_share_are_drawn_as_asked(spacing_vox, share):
    pair = draw_pair(5, spacing_vox=spacing_vox, share=share)
    near = np.abs(measured(pair)[2] - spacing_vox) <= 1
    assert share - 0.05 <= near.mean() <= share + 0.2
    assert near.mean() == pytest.approx(pair.close_share, abs=0.08)


def test_where_they_are_close_the_scan_shows_no_air_between_them_and_elsewhere_it_does(pairs):
    for pair in pairs:
        touching = between(pair, pair.volume, is_close).mean(axis=1)
        open_air = between(pair, pair.volume, is_apart).mean(axis=1)
        assert touching[1:].min() > 115  # papyrus is about 140, air about 68
        assert open_air[6:8].mean() < 85


def test_each_sheet_bears_its_own_number_just_behind_its_recto(pairs):
    for pair in pairs:
        assert set(np.unique(pair.surfaces)) == {0, 1, 2} and pair.surfaces.dtype == np.uint8
        points, inward, spacing = measured(pair)
        for number, start in ((1, points), (2, points + spacing[:, None] * inward)):
            place = np.rint(start + 1.0 * inward).astype(int)
            inside = (place < len(pair.volume)).all(axis=1) & (spacing < FARTHEST_VOX)
            assert (pair.surfaces[tuple(place[inside].T)] == number).mean() > 0.93


def test_the_two_faces_together_are_the_label_of_a_cube_without_gaps(pairs):
    settings = cube_settings("default", 96)
    exact = replace(settings, label=replace(settings.label, depth_sd_vox=0.0, missing_share=(0.0, 0.0)))
    cube = scan_cube(pairs[0].scroll, exact, SEEDS[0])
    assert np.array_equal(cube.label == 1, pairs[0].surfaces > 0)
    assert np.array_equal(cube.volume, pairs[0].volume)


def test_the_truth_itself_is_resolved_even_as_a_mask(pairs):
    for pair in pairs:
        assert resolved(pair.surfaces > 0, pair.surfaces * pair.close).is_resolved


def test_what_lies_nearer_to_a_further_wrap_is_ignored(pairs):
    for pair in pairs:
        assert 0.2 < pair.ignore.mean() < 0.8
        assert not (pair.ignore & (pair.surfaces > 0)).any()
        for wrap in (pair.first - 1, pair.first + 2):
            surface = trace_surface(pair.scroll, wrap, step_vox=4.0)
            assert pair.ignore[tuple(np.rint(surface.points[surface.valid]).astype(int).T)].mean() > 0.99


def test_the_same_seed_gives_the_same_pair_and_another_seed_another():
    first, again, other = (draw_pair(seed, size_vox=64) for seed in (7, 7, (7, 1)))
    for name in ("volume", "surfaces", "close", "ignore"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.volume.tobytes() != other.volume.tobytes()


def test_a_pair_out_of_any_scroll_touches():
    for settings in mixed_scrolls(96):
        assert is_close(measured(draw_pair(8, settings=settings))[2]).mean() >= 0.30


@pytest.mark.parametrize("wrong", [{"size_vox": 48}, {"spacing_vox": 2.0}, {"spacing_vox": 20.0}, {"share": 0.0}])
def test_a_pair_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        draw_pair(1, **wrong)
