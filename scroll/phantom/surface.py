"""The recto face of a phantom's wrap as a grid of points, with normals and the ink that belongs there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from scroll.data.augment.smooth_fields import FloatArray, Seed
from scroll.phantom.cube import Cube, Scroll, draw_scroll, scan_cube
from scroll.phantom.settings import CubeSettings
from scroll.phantom.spiral import Spiral, polar

ROUNDS = 25  # of the fixed point on the radius
CONVERGED_VOX = 0.02
INVALID = -1.0


@dataclass(frozen=True)
class Surface:
    """A wrap's recto face over a grid (H, W): rows go with z, columns along the wrap, `step_vox` apart.

    `points` (H, W, 3) are z, y, x in voxels of the cube, -1 where `valid` is false. `normals` (H, W, 3) are unit
    vectors z, y, x that point out of the papyrus into the air before the recto, 0 where invalid. `ink` (H, W) bool.
    `corner_vox` is where grid point (0, 0) is on the unrolled wrap: z, and the arc from the spiral's `arc_start`.
    """

    wrap: int
    step_vox: float
    points: FloatArray
    normals: FloatArray
    ink: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    corner_vox: tuple[float, float]


def draw_surfaces(settings: CubeSettings, seed: Seed, step_vox: float = 4.0) -> tuple[Cube, list[Surface]]:
    """The cube of `settings` and `seed`, and the recto face of each labelled wrap in it."""
    scroll = draw_scroll(settings, seed)
    first, last = scroll.labelled
    surfaces = [trace_surface(scroll, wrap, step_vox) for wrap in range(first, last + 1)]
    return scan_cube(scroll, settings, seed), [surface for surface in surfaces if surface.valid.any()]


def trace_surface(scroll: Scroll, wrap: int, step_vox: float = 4.0) -> Surface:
    """Find where the recto face of one wrap is, by fixed-point iteration on the radius.

    The grid is cut to the rows and columns that meet the cube; it is empty if none does.

    Raises:
        ValueError: no such wrap, or the step is not positive.
    """
    if not 0 <= wrap < len(scroll.wraps.face) or step_vox <= 0:
        raise ValueError(
            f"wrap {wrap}, step {step_vox}: expected 0 to {len(scroll.wraps.face) - 1} and a positive step"
        )
    spiral = scroll.spiral
    size = spiral.warp.shape[0]
    z_line = np.arange(step_vox / 2, size - 1, step_vox)  # never 0: tifxyz takes z = 0 for invalid
    arc_line = np.arange(step_vox / 2, spiral.arc_length - 1, step_vox)
    z, arc = np.meshgrid(z_line, arc_line, indexing="ij")
    face = map_coordinates(scroll.wraps.face[wrap], (z, arc), order=1)
    angle = (arc + spiral.arc_start) / spiral.radius_vox
    radius = face + spiral.pitch_vox * angle / (2 * np.pi)
    for _ in range(ROUNDS):
        points = _points(spiral, z, radius, angle)
        excess = effective_radius(spiral, points) - face
        radius = radius - excess
    inside = ((points >= 0) & (points <= size - 1)).all(axis=-1)
    valid = inside & (np.abs(excess) < CONVERGED_VOX)
    ink = scroll.wraps.letters[wrap][np.rint(z).astype(int), np.rint(arc).astype(int)] & valid
    points[~valid] = INVALID
    normals = np.where(valid[..., None], _normals(spiral, points), 0)
    rows, columns = _extent(valid)
    return Surface(
        wrap,
        step_vox,
        points[rows, columns].astype(np.float32),
        normals[rows, columns].astype(np.float32),
        ink[rows, columns],
        valid[rows, columns],
        (float(z_line[rows.start]), float(arc_line[columns.start])) if valid.any() else (0.0, 0.0),
    )


def canvas_ink(scroll: Scroll, surface: Surface) -> NDArray[np.bool_]:
    """The ink of a traced wrap with one pixel a voxel, (H * step, W * step) bool: what a person would draw on the canvas."""
    letters = scroll.wraps.letters[surface.wrap]
    lines = []
    for axis, (count, corner) in enumerate(zip(surface.valid.shape, surface.corner_vox, strict=True)):
        pixels = np.rint(corner + np.arange(round(count * surface.step_vox))).astype(int)
        lines.append(np.minimum(pixels, letters.shape[axis] - 1))
    return np.asarray(letters[np.ix_(*lines)])


def effective_radius(spiral: Spiral, points: NDArray) -> NDArray:
    """Effective radius of points (..., 3) in z, y, x voxels; outside the cube the nearest warp holds."""
    radius, arc = polar(spiral, points[..., 1], points[..., 2])
    warp = map_coordinates(spiral.warp, np.moveaxis(points, -1, 0), order=1, mode="nearest")
    return radius - spiral.pitch_vox * arc / (2 * np.pi * spiral.radius_vox) + warp


def _points(spiral: Spiral, z: NDArray, radius: NDArray, angle: NDArray) -> NDArray:
    y = spiral.axis_yx[0] + radius * np.sin(spiral.towards + angle)
    x = spiral.axis_yx[1] + radius * np.cos(spiral.towards + angle)
    return np.stack([z, y, x], axis=-1)


def _normals(spiral: Spiral, points: NDArray) -> NDArray:
    """Against the gradient of the effective radius: the recto is the inner face, its air is at smaller radii."""
    slopes = []
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = 1.5
        slopes.append(effective_radius(spiral, points - shift) - effective_radius(spiral, points + shift))
    normals = np.stack(slopes, axis=-1)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)


def _extent(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
