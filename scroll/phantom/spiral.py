"""The rolled scroll about a cube: a distorted spiral, its wraps, and how both are found again from a voxel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scroll.data.augment.smooth_fields import FloatArray, Seed, numbers, smooth_noise, stream
from scroll.phantom.ink import draw_ink
from scroll.phantom.settings import CubeSettings

CLOSEST_VOX = 0.3  # air left between touching wraps


@dataclass(frozen=True)
class Spiral:
    """A spiral whose axis runs along z outside the cube.

    A point at polar (r, angle) about the axis has the effective radius r - pitch * angle / (2 pi) + warp; each wrap's
    recto (its inner face) is where that equals the wrap's own radius. Angle 0 points at the cube's middle, and
    arc = angle * `radius_vox` is the position along a wrap in voxels, from `arc_start`.
    """

    axis_yx: tuple[float, float]
    towards: float  # direction from the axis to the cube's middle, radians
    radius_vox: float
    pitch_vox: float
    arc_start: int
    arc_length: int
    warp: FloatArray  # (Z, Y, X) voxels


@dataclass(frozen=True)
class Wraps:
    """Maps (K, Z, S) of every wrap over height z and arc s, in voxels of effective radius unless said otherwise.

    `face` is the undisturbed recto, `raised` the recto with fibre relief and ink, `thickness` the two fibre layers
    together, `gap` the air between them, `fray` 0 to 1, `film` 0 to 1, `letters` and `present` bool.
    """

    face: FloatArray
    raised: FloatArray
    thickness: FloatArray
    gap: FloatArray
    fray: FloatArray
    film: FloatArray
    letters: NDArray[np.bool_]
    present: NDArray[np.bool_]


def draw_spiral(settings: CubeSettings, seed: Seed) -> Spiral:
    """Where the axis is, and how the spiral about it is distorted within the cube."""
    rng, size = stream(seed, "axis"), settings.size_vox
    radius, towards = size * rng.uniform(1.3, 3.0), rng.uniform(*np.radians(settings.side_degrees))
    middle = (size - 1) / 2
    axis = (middle - radius * np.sin(towards), middle - radius * np.cos(towards))
    warp = np.zeros((size,) * 3, np.float32)
    for sd_vox, knots in zip(settings.warp_vox, settings.warp_knots_vox, strict=True):
        warp += np.float32(sd_vox) * smooth_noise(stream(seed, f"warp-{knots}"), warp.shape, (knots,) * 3)
    pitch = settings.sheet.effective_pitch_vox()[0]
    bare = Spiral(axis, towards, radius, pitch, 0, 0, warp)
    y, x = np.meshgrid([0.0, size - 1.0], [0.0, size - 1.0])
    _, arcs = polar(bare, y, x)
    start = int(np.floor(arcs.min())) - 2
    return Spiral(axis, towards, radius, pitch, start, int(np.ceil(arcs.max())) + 3 - start, warp)


def polar(spiral: Spiral, y: ArrayLike, x: ArrayLike) -> tuple[NDArray, NDArray]:
    """Radius about the axis and arc of points, both in voxels."""
    dy, dx = np.asarray(y) - spiral.axis_yx[0], np.asarray(x) - spiral.axis_yx[1]
    along = dy * np.sin(spiral.towards) + dx * np.cos(spiral.towards)
    across = dy * np.cos(spiral.towards) - dx * np.sin(spiral.towards)
    return np.hypot(dy, dx), np.arctan2(across, along) * spiral.radius_vox


def unrolled(spiral: Spiral) -> tuple[FloatArray, FloatArray]:
    """Per (Y, X) column of the cube: effective radius without the warp, and arc counted from `arc_start`."""
    rows, columns = np.indices(spiral.warp.shape[1:])
    radius, arc = polar(spiral, rows, columns)
    flat = radius - spiral.pitch_vox * arc / (2 * np.pi * spiral.radius_vox)
    return flat.astype(np.float32), (arc - spiral.arc_start).astype(np.float32)


def draw_wraps(spiral: Spiral, relief: FloatArray, settings: CubeSettings, seed: Seed) -> Wraps:
    """All wraps that pass through the cube; `relief` (Z, S) is the height of the recto fibres, in voxels."""
    radii = _wrap_radii(spiral, settings, stream(seed, "radii"))
    shape = (spiral.warp.shape[0], spiral.arc_length)
    sheet, count = settings.sheet, len(radii)

    def maps(name: str, knots: tuple[float, float]) -> FloatArray:
        return np.stack([smooth_noise(stream((*numbers(seed), k), name), shape, knots) for k in range(count)])

    face = radii[:, None, None].astype(np.float32) + settings.wrap_warp_vox * maps("wrap-warp", (60.0, 60.0))
    uneven = maps("thickness", (45.0, 45.0)) + 0.7 * maps("roughness", (11.0, 11.0))
    thickness = np.maximum(sheet.thickness_vox + sheet.thickness_sd_vox * uneven, 0.4 * sheet.thickness_vox)
    gap = 3.5 * np.maximum(maps("delamination", (70.0, 70.0)) - sheet.delamination_from_sd, 0)
    fray = np.clip(maps("fray", (60.0, 90.0)) - sheet.fray_from_sd, 0, 1)
    make_room(face, thickness, gap, fray, 0.7 * sheet.thickness_vox)
    present = maps("holes", (45.0, 30.0)) + 0.3 * maps("hole-edges", (6.0, 6.0)) < 2.3
    inks = [draw_ink(present[k], settings.ink, (*numbers(seed), k)) for k in range(count)]
    film = np.stack([ink.film for ink in inks])
    raised = face - relief * (1 - settings.ink.valley_fill * np.minimum(film, 1)) - settings.ink.relief_vox * film
    return Wraps(
        face, raised.astype(np.float32), thickness, gap, fray, film, np.stack([ink.letters for ink in inks]), present
    )


def make_room(
    face: FloatArray, thickness: FloatArray, gap: FloatArray, fray: FloatArray, least_pitch_vox: float
) -> None:
    """Keep the wraps (K, Z, S) in order and press each into the room before the next, in place."""
    for k in range(1, len(face)):
        face[k] = np.maximum(face[k], face[k - 1] + least_pitch_vox)
        room = np.maximum(face[k] - face[k - 1] - CLOSEST_VOX, 1.0)
        thickness[k - 1] = np.minimum(thickness[k - 1], room)
        gap[k - 1] = np.minimum(gap[k - 1], room - thickness[k - 1])
        spare = (room - thickness[k - 1] - gap[k - 1]) / (0.5 * thickness[k - 1])
        fray[k - 1] = np.minimum(fray[k - 1], spare)


def _wrap_radii(spiral: Spiral, settings: CubeSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Effective radii (K,) of the wraps, from just inside the cube to just outside it."""
    flat, _ = unrolled(spiral)
    reach = float(np.abs(spiral.warp).max()) + 3 * settings.sheet.pitch_vox
    pitch, pitch_sd = settings.sheet.effective_pitch_vox()
    thickness = settings.sheet.thickness_vox
    radii = [float(flat.min()) - reach + rng.uniform(0, pitch)]
    while radii[-1] < float(flat.max()) + reach:
        step = rng.normal(pitch, pitch_sd)
        if rng.random() < settings.touching_share:
            step = thickness + rng.uniform(-1.0, 2.0)
        radii.append(radii[-1] + max(step, 0.8 * thickness))
    return np.array(radii)
