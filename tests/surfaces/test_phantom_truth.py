"""Flattening and lifting beside a truth that neither had a hand in: the phantom's ink and sheets, and curves drawn here.

The phantom's ink is in a film from the recto face to 2.5 voxels below it, raised a little by its own relief and by
the fibres, so it is looked for at depths 0 to 2 and found where any of them is mostly film. What was drawn
is `canvas_ink`: the letters without their cracks. The film has cracks, so the pixels where a letter bears no film
are left out of the comparison, of both sides alike.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from scroll.metrics.surface_dice import surface_dice
from scroll.phantom.cube import draw_scroll, scan_cube
from scroll.phantom.settings import scroll_settings
from scroll.phantom.spiral import polar
from scroll.phantom.surface import canvas_ink, effective_radius, trace_surface
from scroll.surfaces.lift import image_band, lift
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface, normals_of

SIZE_VOX, STEP_VOX = 144, 4.0
WHOLE = slice(None)
FILM = Offsets(0, 2, 0.5)


@pytest.fixture(scope="module")
def scroll():
    quiet = scroll_settings("default", SIZE_VOX, letter_height_px=48.0)
    quiet = replace(quiet, ct=replace(quiet.ct, noise_sd=0.0, ring_amplitude=0.0, cupping=0.0))
    drawn = draw_scroll(quiet, seed=7)
    wraps = [trace_surface(drawn, wrap, STEP_VOX) for wrap in range(drawn.labelled[0], drawn.labelled[1] + 1)]
    return drawn, scan_cube(drawn, quiet, seed=7), [wrap for wrap in wraps if wrap.valid.sum() > 400]


def as_surface(wrap, points=None):
    points = wrap.points if points is None else points
    return Surface(points, normals_of(points, wrap.valid), wrap.valid, (STEP_VOX, STEP_VOX), Path(f"wrap-{wrap.wrap}"))


def film_on_canvas(drawn, wrap):
    """How much film is on each pixel of a wrap's canvas, 0 to 1."""
    film = drawn.wraps.film[wrap.wrap]
    lines = []
    for axis, (count, corner) in enumerate(zip(wrap.valid.shape, wrap.corner_vox, strict=True)):
        lines.append(np.minimum(np.rint(corner + np.arange(count * STEP_VOX)).astype(int), film.shape[axis] - 1))
    return film[np.ix_(*lines)]


def dice(one, other):
    return 2 * (one & other).sum() / max(1, one.sum() + other.sum())


def ink_dice(drawn, cube, wrap, surface):
    """How well what is sampled from the cube's ink along a surface agrees with what was drawn on the wrap."""
    tile = surface.tile(WHOLE, WHOLE)
    found = np.nan_to_num(sample_along_normals(tile, FILM, [Source(cube.ink)])[0]).max(axis=0) > 127
    letters = canvas_ink(drawn, wrap)
    compared = binary_erosion(as_surface(wrap).tile(WHOLE, WHOLE).valid, iterations=2)
    compared &= ~(letters & (film_on_canvas(drawn, wrap) < 0.5))
    assert (letters & compared).sum() > 500
    return dice(found & compared, letters & compared)


def test_sampling_the_cubes_ink_along_each_traced_wrap_gives_back_what_is_written_there(scroll):
    drawn, cube, wraps = scroll
    assert len(wraps) >= 4
    scores = [ink_dice(drawn, cube, wrap, as_surface(wrap)) for wrap in wraps]
    assert min(scores) >= 0.95, scores


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 2, 1)], ids=["x and z swapped", "x and y swapped"])
def test_with_two_axes_swapped_it_does_not(scroll, order):
    drawn, cube, wraps = scroll
    for wrap in wraps:
        assert ink_dice(drawn, cube, wrap, as_surface(wrap, np.ascontiguousarray(wrap.points[..., order]))) < 0.5


@pytest.mark.parametrize("away_vox", [-4, 4])
def test_along_a_surface_4_voxels_off_it_does_not(scroll, away_vox):
    drawn, cube, wraps = scroll
    for wrap in wraps:
        surface = as_surface(wrap)
        moved = wrap.points + away_vox * surface.normals
        assert ink_dice(drawn, cube, wrap, replace(surface, points=moved)) < 0.5


def test_the_profile_along_the_normals_tells_when_they_are_flipped(scroll):
    _, cube, wraps = scroll
    for wrap in wraps:
        surface = as_surface(wrap)
        for sign in (1, -1):
            tile = replace(surface, normals=sign * surface.normals).tile(WHOLE, WHOLE)
            before, behind = (
                np.nanmean(sample_along_normals(tile, Offsets(*span), [Source(cube.volume)]))
                for span in ((-6, -2), (2, 6))
            )
            assert sign * (behind - before) > 30  # grey levels: papyrus behind the face, air before it


def blobs(shape, seed, valid):
    """A picture with round letters, some 20 pixels wide and none at the edge."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 9)
    return (noise > 0) & binary_erosion(valid, iterations=8)


def flattened_then_lifted(surface, truth, band):
    """The picture of a band found by sampling it, and the voxels that picture is lifted to."""
    values = sample_along_normals(surface.tile(WHOLE, WHOLE), Offsets(*band, 0.5), [Source(truth.astype(np.uint8))])[0]
    picture = np.nan_to_num(values).mean(axis=0) > 0.5
    return picture, lift([image_band(surface, picture.astype(np.uint8), band)], truth.shape) > 0


def test_a_band_under_a_wrap_of_the_phantom_survives_flattening_and_lifting(scroll):
    """The band's truth is the phantom's own: effective radius less that of the face, over its slope."""
    drawn, _, wraps = scroll
    voxels = np.stack(np.indices((SIZE_VOX,) * 3, dtype=np.float32), axis=-1)
    radius = effective_radius(drawn.spiral, voxels)
    slope = np.linalg.norm(np.stack(np.gradient(radius), axis=-1), axis=-1)
    arc = polar(drawn.spiral, voxels[..., 1], voxels[..., 2])[1] - drawn.spiral.arc_start
    for wrap in wraps[:: max(1, len(wraps) // 2)]:
        surface = as_surface(wrap)
        picture = blobs(surface.canvas_shape(), wrap.wrap, surface.tile(WHOLE, WHOLE).valid)
        face = map_coordinates(drawn.wraps.face[wrap.wrap], (voxels[..., 0], arc), order=1, mode="nearest")
        depth = (radius - face) / slope
        foot = (voxels[..., 0] - wrap.corner_vox[0], arc - wrap.corner_vox[1])
        for band in ((0, 3), (-2, 4)):
            truth = (depth >= band[0]) & (depth < band[1]) & at(picture, *foot)
            found, lifted = flattened_then_lifted(surface, truth, band)
            assert truth.sum() > 5000
            assert dice(found, picture) > 0.98
            assert surface_dice(lifted, truth, 1.0) >= 0.99


def at(picture, row, column):
    """A picture's pixels at places on its canvas, false beyond it."""
    i, j = np.rint(row).astype(int), np.rint(column).astype(int)
    inside = (i >= 0) & (i < picture.shape[0]) & (j >= 0) & (j < picture.shape[1])
    return inside & picture[np.clip(i, 0, picture.shape[0] - 1), np.clip(j, 0, picture.shape[1] - 1)]


def spiral_curve():
    """A turn and a quarter, wraps 15 voxels apart."""
    angle = np.linspace(0, 2.5 * np.pi, 20_000)
    radius = 17 + 15 * angle / (2 * np.pi)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)


def wrinkled_curve():
    x = np.linspace(-38, 38, 20_000)
    return np.stack([7 * np.sin(x / 9) + 1.5 * np.sin(x / 3.7), x], axis=-1)


@pytest.mark.parametrize("curve", [spiral_curve, wrinkled_curve])
def test_a_band_on_a_curve_drawn_here_survives_flattening_and_lifting(curve):
    """The sheet is a curve drawn out along a line that no axis follows; the truth is the nearest of 20 000 points of the curve."""
    edge, height = 80, 56
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    line = curve()
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    columns, rows = np.arange(0, arc[-1], STEP_VOX), np.arange(0, height, STEP_VOX)
    knots = np.stack([np.interp(columns, arc, part) for part in line.T], axis=-1)
    points = rows[:, None, None] * turn[0] + (knots @ turn[1:])[None] - height / 2 * turn[0] + edge / 2
    valid = np.ones(points.shape[:2], bool)
    surface = Surface(
        points.astype(np.float32), normals_of(points, valid), valid, (STEP_VOX, STEP_VOX), Path(curve.__name__)
    )
    picture = blobs(surface.canvas_shape(), 1, surface.tile(WHOLE, WHOLE).valid)

    places = np.stack(np.indices((edge,) * 3), axis=-1).reshape(-1, 3) - edge / 2
    across = places @ turn[1:].T
    near, number = cKDTree(line).query(across, distance_upper_bound=6)
    number = np.minimum(number, len(line) - 1)
    along = np.gradient(line, arc, axis=0)[number]
    out_of_curve = np.cross(turn[0], along @ turn[1:])  # a cross product of z, y, x has the other sign than of x, y, z
    depth = np.einsum("ij,ij->i", (across - line[number]) @ turn[1:], out_of_curve)
    inked = np.isfinite(near) & at(picture, places @ turn[0] + height / 2, arc[number])
    for band in ((0, 3), (-2, 2)):
        truth = (inked & (depth >= band[0]) & (depth < band[1])).reshape((edge,) * 3)
        found, lifted = flattened_then_lifted(surface, truth, band)
        assert truth.sum() > 3000
        assert dice(found, picture) > 0.97
        assert surface_dice(lifted, truth, 1.0) >= 0.99
