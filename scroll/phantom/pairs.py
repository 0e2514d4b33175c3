"""Pairs of neighbouring papyrus sheets that touch over part of their area: the hard case of finding surfaces."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from scroll.data.augment.smooth_fields import FloatArray, Seed, smooth_noise, stream
from scroll.phantom.cube import SURFACE, Scroll, draw_scroll, scan_cube
from scroll.phantom.settings import CubeSettings, cube_settings
from scroll.phantom.spiral import make_room, unrolled

SMALLEST_PAIR_VOX = 64
CLOSEST_SPACING_VOX, WIDEST_SPACING_VOX = 3.0, 12.0  # closer, and the labels of the two sheets would overlap
APART_VOX = (15.0, 22.0)  # least and most spacing of the two sheets where they do not touch
CLOSE_WITHIN_VOX = 1.0  # of the spacing asked for
PITCH_SD_VOX = 3.0  # of the wraps about the pair: none of them touches another
MOST_WANDER_VOX = 0.5  # of the spacing where the two touch
TRANSITION_VOX = 28.0  # from touching to apart, along the sheets: each bends by 20 to 30 degrees there


@dataclass(frozen=True)
class Pair:
    """Arrays (Z, Y, X): `volume` uint8; `surfaces` uint8, 1 and 2 on the recto faces of the two sheets, 0 elsewhere.

    Each sheet has its recto towards the scroll's axis, sheet 1 is nearer to it. The faces are bands as thick as the
    label of a cube, exact and whole. `close` (bool) are the voxels of `surfaces` where the two faces lie within a voxel
    of the spacing asked for; `ignore` (bool) those nearer to the recto of a further wrap, which bears no number.
    `scroll` is the geometry all this follows from, in which the pair is wraps `first` and `first` + 1.
    """

    volume: NDArray[np.uint8]
    surfaces: NDArray[np.uint8]
    close: NDArray[np.bool_]
    ignore: NDArray[np.bool_]
    scroll: Scroll
    first: int

    @property
    def close_share(self) -> float:
        """Share of the two faces' voxels that lie close, 0 to 1, as drawn and not as asked for."""
        return float(self.close.sum() / np.count_nonzero(self.surfaces))


def draw_pair(
    seed: Seed,
    size_vox: int = 96,
    spacing_vox: float = 5.0,
    share: float = 0.35,
    settings: CubeSettings | None = None,
) -> Pair:
    """Draw two sheets through the middle of a cube that touch over `share` of their area; other wraps lie about them.

    There their recto faces are about `spacing_vox` apart and the sheet between is pressed into that room; elsewhere
    they are some 15 to 22 voxels apart, with a transition of about 28 voxels. `settings` are the papyrus and the
    scanner, by default those of `cube_settings()`; the size is `size_vox`. The same arguments give the same bytes.

    At a spacing below 5 the two faces of `surfaces` may touch along corners: 26-connected, even a perfect mask is then
    one object, so let a network be judged there by numbered objects, or by masks at 5 and above.

    Raises:
        ValueError: the edge is below 64 voxels, the spacing not 3 to 12 voxels, or the share not 0 to 0.9.
    """
    if size_vox < SMALLEST_PAIR_VOX:
        raise ValueError(f"size_vox {size_vox} is too small for a pair; expected at least {SMALLEST_PAIR_VOX}")
    if not (CLOSEST_SPACING_VOX <= spacing_vox <= WIDEST_SPACING_VOX and 0 < share <= 0.9):
        raise ValueError(f"spacing_vox {spacing_vox}, share {share}: expected 3 to 12 voxels, and above 0 to 0.9")
    settings = _exact(settings or cube_settings(), size_vox)
    scroll = draw_scroll(settings, seed)
    first = _middle_wrap(scroll)
    scroll = _brought_together(scroll, first, _spacing(scroll, first, (spacing_vox, share), seed))
    cube = scan_cube(scroll, settings, seed)
    before, lower, upper, behind = (_heights(scroll, wrap) for wrap in range(first - 1, first + 3))
    radius, slope = _radius(scroll), _slope(scroll)
    centre = (settings.label.depth_vox + settings.label.band_vox / 2) * slope
    is_upper = np.abs(radius - upper - centre) < np.abs(radius - lower - centre)
    surfaces = np.where(cube.label == SURFACE, 1 + is_upper, 0).astype(np.uint8)
    close = (surfaces > 0) & (np.abs((upper - lower) / slope - spacing_vox) <= CLOSE_WITHIN_VOX)
    ignore = (2 * radius < before + lower) | (2 * radius > upper + behind)
    return Pair(cube.volume, surfaces, close, ignore, scroll, first)


def _exact(settings: CubeSettings, size_vox: int) -> CubeSettings:
    """Settings with wraps at their usual pitch and a label that neither wanders nor has gaps."""
    sheet = replace(settings.sheet, crushed=False, pitch_sd_vox=min(settings.sheet.pitch_sd_vox, PITCH_SD_VOX))
    label = replace(settings.label, depth_sd_vox=0.0, missing_share=(0.0, 0.0))
    return replace(settings, size_vox=size_vox, touching_share=0.0, sheet=sheet, label=label)


def _radius(scroll: Scroll) -> FloatArray:
    """Effective radius of every voxel (Z, Y, X)."""
    return scroll.spiral.warp + unrolled(scroll.spiral)[0]


def _slope(scroll: Scroll) -> FloatArray:
    """Voxels of effective radius per voxel along the normal, (Z, Y, X)."""
    return np.maximum(np.sqrt(sum(along**2 for along in np.gradient(_radius(scroll)))), 0.2)


def _heights(scroll: Scroll, wrap: int) -> FloatArray:
    """Effective radius of a wrap's recto face on the column of the map that every voxel (Z, Y, X) is on."""
    arc = unrolled(scroll.spiral)[1]
    column = arc.astype(int)
    rest = arc - column
    face = scroll.wraps.face[wrap]
    return face[:, column] * (1 - rest) + face[:, column + 1] * rest


def _middle_wrap(scroll: Scroll) -> int:
    """The first of the two wraps whose middle surface passes nearest to the middle of the cube."""
    flat, arc = unrolled(scroll.spiral)
    middle = len(flat) // 2
    radius = flat[middle, middle] + scroll.spiral.warp[middle, middle, middle]
    heights = scroll.wraps.face[:, middle, int(arc[middle, middle])]
    between = (heights[1:-2] + heights[2:-1]) / 2  # a further wrap is on either side
    return 1 + int(np.abs(between - radius).argmin())


def _spacing(scroll: Scroll, first: int, closeness: tuple[float, float], seed: Seed) -> FloatArray:
    """Map (Z, S) of the distance from wrap `first` to the next in effective radius; `closeness` is spacing and share."""
    spacing_vox, share = closeness
    slope, inside = _slope_map(scroll, first)
    size_vox = len(slope)
    field = smooth_noise(stream(seed, "pair-close"), slope.shape, (0.6 * size_vox,) * 2)
    outside_vox = distance_transform_edt(field < np.quantile(field[inside], 1 - share))
    step = np.clip(1 - outside_vox / TRANSITION_VOX, 0, 1)
    touching = step**2 * (3 - 2 * step)
    wander = 0.25 * smooth_noise(stream(seed, "pair-wander"), slope.shape, (40.0, 40.0))
    near = spacing_vox + np.clip(wander, -MOST_WANDER_VOX, MOST_WANDER_VOX)
    apart = np.clip((scroll.wraps.face[first + 1] - scroll.wraps.face[first]) / slope, *APART_VOX)
    return ((apart + (near - apart) * touching) * slope).astype(np.float32)


def _slope_map(scroll: Scroll, first: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Maps (Z, S): the slope half-way between wrap `first` and the next, 1 outside the cube, and what is inside it."""
    halfway = (_heights(scroll, first) + _heights(scroll, first + 1)) / 2
    z, y, x = np.nonzero(np.abs(_radius(scroll) - halfway) < 4)
    arc = unrolled(scroll.spiral)[1]
    total, count = np.zeros((2, *scroll.wraps.face.shape[1:]))
    cells = z, np.rint(arc[y, x]).astype(int)
    np.add.at(total, cells, _slope(scroll)[z, y, x])
    np.add.at(count, cells, 1)
    weight = gaussian_filter(count, 3.0, mode="constant")
    mean = gaussian_filter(total, 3.0, mode="constant") / np.maximum(weight, 1e-9)
    return np.where(weight > 1e-3, mean, 1.0).astype(np.float32), count > 0


def _brought_together(scroll: Scroll, first: int, spacing: FloatArray) -> Scroll:
    """The scroll with wrap `first` and the next moved by half the way each until they lie `spacing` (Z, S) apart.

    Both are whole, and alone labelled.
    """
    wraps = scroll.wraps
    face, thickness, gap, fray = (maps.copy() for maps in (wraps.face, wraps.thickness, wraps.gap, wraps.fray))
    present = wraps.present.copy()
    excess = face[first + 1] - face[first] - spacing
    face[first] += excess / 2
    face[first + 1] -= excess / 2
    make_room(face, thickness, gap, fray, CLOSEST_SPACING_VOX / 2)
    present[first : first + 2] = True
    raised = wraps.raised + face - wraps.face
    moved = replace(wraps, face=face, raised=raised, thickness=thickness, gap=gap, fray=fray, present=present)
    return replace(scroll, wraps=moved, labelled=(first, first + 1))
