"""A cube out of a rolled scroll as the surface competition has it: wraps, and a label of their recto faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.data.augment.smooth_fields import FloatArray, Seed, numbers, smooth_noise, stream
from scroll.phantom.ct import grey8, mirror, scan
from scroll.phantom.papyrus import Fibres, add_grains, draw_fibres
from scroll.phantom.settings import CubeSettings
from scroll.phantom.spiral import Spiral, Wraps, draw_spiral, draw_wraps, unrolled
from scroll.runtime.compiled import njit

SMALLEST_VOX = 32
BACKGROUND, SURFACE, UNLABELLED = 0, 1, 2


@dataclass(frozen=True)
class Scroll:
    """The geometry of one cube before the scanner, with the wraps that are labelled, first and last."""

    spiral: Spiral
    wraps: Wraps
    fibres: Fibres
    labelled: tuple[int, int]


@dataclass(frozen=True)
class Cube:
    """Arrays (Z, Y, X) of a cube: `volume` uint8, `label` uint8 (0 background, 1 recto, 2 unlabelled), `ink` uint8.

    `ink` is the share of each voxel that the ink film fills, 0 to 255: the truth for surfaces. `paper` is the
    share of each voxel inside a wrap that is papyrus, likewise.
    """

    volume: NDArray[np.uint8]
    label: NDArray[np.uint8]
    ink: NDArray[np.uint8]
    paper: NDArray[np.uint8]


def draw_cube(settings: CubeSettings, seed: Seed) -> Cube:
    """Draw a cube; the same settings and seed give the same bytes.

    Raises:
        ValueError: the edge is below 32 voxels.
    """
    return scan_cube(draw_scroll(settings, seed), settings, seed)


def draw_scroll(settings: CubeSettings, seed: Seed) -> Scroll:
    """The geometry of a cube, from which its volume, labels and surfaces all follow.

    Raises:
        ValueError: the edge is below 32 voxels.
    """
    if settings.size_vox < SMALLEST_VOX:
        raise ValueError(f"size_vox {settings.size_vox} is too small for a cube; expected at least {SMALLEST_VOX}")
    spiral = draw_spiral(settings, seed)
    fibres = draw_fibres((settings.size_vox, spiral.arc_length), settings.sheet.fibre_contrast, seed)
    texture = fibres.recto[0]
    relief = settings.sheet.fibre_relief_vox * texture / max(1e-6, float(texture.std()))
    wraps = draw_wraps(spiral, relief, settings, seed)
    return Scroll(spiral, wraps, fibres, _labelled_wraps(spiral, wraps, settings, stream(seed, "labelled")))


def _labelled_wraps(spiral: Spiral, wraps: Wraps, settings: CubeSettings, rng: np.random.Generator) -> tuple[int, int]:
    """First and last labelled wrap among those that pass the cube's middle part."""
    flat, _ = unrolled(spiral)
    radii = wraps.face.mean(axis=(1, 2))
    inside = np.flatnonzero((radii > np.quantile(flat, 0.02)) & (radii < np.quantile(flat, 0.98)))
    if inside.size == 0:
        inside = np.array([int(np.abs(radii - flat.mean()).argmin())])
    count = max(1, round(inside.size * rng.uniform(*settings.label.labelled_share)))
    first = int(inside[rng.integers(inside.size - count + 1)])
    return first, first + count - 1


def scan_cube(scroll: Scroll, settings: CubeSettings, seed: Seed) -> Cube:
    """Volume, label and truth of a scroll that is drawn already."""
    begin, missing = _label_maps(scroll.wraps, settings, seed)
    wraps, shape = scroll.wraps, scroll.spiral.warp.shape
    density = np.zeros(shape, np.float32)
    label, ink, paper = (np.zeros(shape, np.uint8) for _ in range(3))
    rng = stream(seed, "shifts")
    shifts = rng.integers(0, 2 * max(shape[0], scroll.spiral.arc_length), (wraps.face.shape[0], 2))
    _roll(
        (density, label, ink, paper),
        (scroll.spiral.warp, *unrolled(scroll.spiral)),
        (wraps.face, wraps.raised, wraps.thickness, wraps.gap, wraps.fray, wraps.film, begin),
        (wraps.present, missing),
        (scroll.fibres.recto, scroll.fibres.verso, shifts),
        scroll.labelled,
        (settings.ink.film_vox, settings.ink.extra_density, settings.label.band_vox, settings.label.margin_vox),
    )
    add_grains(density, settings.sheet.grains_per_vox, stream(seed, "grains"))
    return Cube(grey8(scan(density, settings.ct, seed)), label, ink, paper)


def _label_maps(wraps: Wraps, settings: CubeSettings, seed: Seed) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Maps (K, Z, S): the depth at which the label begins below the face in voxels, and where it is missing."""
    label, knots = settings.label, (settings.label.depth_knots_vox,) * 2
    begin = np.empty_like(wraps.face)
    gaps = np.empty_like(wraps.face)
    for k in range(len(begin)):
        own = (*numbers(seed), k)
        wander = smooth_noise(stream(own, "label-depth"), begin.shape[1:], knots)
        begin[k] = label.depth_vox + label.depth_sd_vox * wander
        gaps[k] = smooth_noise(stream(own, "label-gaps"), begin.shape[1:], (30.0, 45.0))
    share = stream(seed, "label-share").uniform(*label.missing_share)
    return begin, gaps > np.quantile(gaps, 1 - share)


@njit(cache=True)
def _slope(warp, flat, z, y, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Length of the gradient of the effective radius at a voxel: how many of its voxels one real voxel is."""
    deep, height, width = warp.shape
    z0, z1, y0, y1 = max(z - 1, 0), min(z + 1, deep - 1), max(y - 1, 0), min(y + 1, height - 1)
    x0, x1 = max(x - 1, 0), min(x + 1, width - 1)
    along_z = (warp[z1, y, x] - warp[z0, y, x]) / (z1 - z0)
    along_y = (warp[z, y1, x] + flat[y1, x] - warp[z, y0, x] - flat[y0, x]) / (y1 - y0)
    along_x = (warp[z, y, x1] + flat[y, x1] - warp[z, y, x0] - flat[y, x0]) / (x1 - x0)
    return max(0.2, np.sqrt(along_z**2 + along_y**2 + along_x**2))


@njit(cache=True)
def _cover(depth, top, bottom):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return max(0.0, min(depth + 0.5, bottom) - max(depth - 0.5, top))


@njit(cache=True)
def _papyrus(depth, top, thickness, gap, fray, recto, verso):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Density and papyrus share of a voxel at a depth below the undisturbed face; textures are (SUB_LAYERS,)."""
    middle = thickness / 2
    share = _cover(depth, top, middle)
    layer = int(min(max((depth - top) / (middle - top), 0.0), 0.99) * recto.size)
    density = share * max(0.1, 1 + recto[layer])
    swollen = middle * (1 + fray)
    strands = _cover(depth, middle + gap, middle + gap + swollen)
    layer = int(min(max((depth - middle - gap) / swollen, 0.0), 0.99) * verso.size)
    grain = min(1.7, max(0.1 * (1 - fray), 1 + (1 + 2 * fray) * verso[layer] - 0.6 * fray))
    return density + strands * grain, min(1.0, share + strands)


@njit(cache=True)
def _roll(out, where, maps, flags, textures, labelled, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fill `out` (density, label, ink, paper) voxel by voxel from the maps of the wraps."""
    density, label, ink, paper = out
    warp, flat, arc = where
    face, raised, thickness, gap, fray, film, begin = maps
    present, missing = flags
    recto, verso, shifts = textures
    film_vox, film_density, band_vox, margin_vox = numbers
    count, deep, wide = face.shape
    for z in range(deep):
        k = 0
        for y in range(warp.shape[1]):
            for x in range(warp.shape[2]):
                column = int(arc[y, x])
                rest = arc[y, x] - column
                radius = flat[y, x] + warp[z, y, x]
                while k < count - 1 and face[k + 1, z, column] <= radius:
                    k += 1
                while k > 0 and face[k, z, column] > radius:
                    k -= 1
                slope = _slope(warp, flat, z, y, x)
                room = (face[k + 1, z, column] - face[k, z, column]) / 2 if k < count - 1 else 0.0
                before = k < count - 1 and face[k + 1, z, column] - radius <= min(margin_vox * slope, room)
                if k + before < labelled[0] or k + before > labelled[1]:
                    label[z, y, x] = 2
                for n in range(max(0, k - 1), min(count, k + 2)):
                    height = face[n, z, column] * (1 - rest) + face[n, z, column + 1] * rest
                    depth = (radius - height) / slope
                    from_label = depth - begin[n, z, column]
                    labels = labelled[0] <= n <= labelled[1] and present[n, z, column] and not missing[n, z, column]
                    if labels and 0 <= from_label < band_vox:
                        label[z, y, x] = 1
                    if depth < -4 or depth > 2 * thickness[n, z, column] + 8 or not present[n, z, column]:
                        continue
                    top = (raised[n, z, column] - face[n, z, column]) / slope
                    row = mirror(z + shifts[n, 0], deep)
                    along = mirror(column + shifts[n, 1], wide)
                    grain, share = _papyrus(
                        depth, top, thickness[n, z, column] / slope, gap[n, z, column] / slope,
                        fray[n, z, column], recto[:, row, along], verso[:, row, along],
                    )  # fmt: skip
                    written = film[n, z, min(int(arc[y, x] + 0.5), wide - 1)]  # a letter's pixel is centred on its arc
                    inked = written * _cover(depth, top, top + film_vox)
                    density[z, y, x] += grain + film_density * inked
                    paper[z, y, x] = min(255, paper[z, y, x] + int(255 * share))
                    ink[z, y, x] = min(255, ink[z, y, x] + int(255 * min(1.0, inked)))
