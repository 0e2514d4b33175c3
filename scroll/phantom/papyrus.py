"""Papyrus: two crossed layers of fibre strips, laid into a density volume sheet by sheet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.data.augment.smooth_fields import FloatArray, Seed, smooth_noise, stream
from scroll.phantom.settings import SheetSettings
from scroll.runtime.compiled import njit

SUB_LAYERS = 12  # depth steps of the texture within one fibre layer


@dataclass(frozen=True)
class Sheet:
    """One sheet over a (Y, X) page, depths in voxels along z, recto at small z.

    The recto layer fills `face` to `middle`, the verso layer `middle + gap` to `bottom + gap`. `film` (0 to 1)
    is ink on the recto of the given thickness and extra density. Where `present` is false there is no sheet.
    """

    face: FloatArray
    middle: FloatArray
    bottom: FloatArray
    gap: FloatArray
    fray: FloatArray
    present: NDArray[np.bool_]
    film: FloatArray
    film_vox: float = 0.0
    film_density: float = 0.0


@dataclass(frozen=True)
class Fibres:
    """Textures (SUB_LAYERS, Y, X) of density, mean 0: `recto` runs along x, `verso` along y; `bend` in pixels."""

    recto: FloatArray
    verso: FloatArray
    bend: FloatArray


def draw_fibres(shape_yx: tuple[int, int], contrast: float, seed: Seed, finer: float = 1.0) -> Fibres:
    """Fibre strips for a page: fine fibres, coarse strips and sparse dense bundles; `contrast` is the density sd.

    `finer`: so many voxels are as long as one of 7.91 um, in which lengths are given here.
    """
    recto = _strips(shape_yx, contrast, stream(seed, "recto"), finer)
    verso = _strips((shape_yx[1], shape_yx[0]), contrast, stream(seed, "verso"), finer)
    bend = finer * 5.0 * smooth_noise(stream(seed, "bend"), shape_yx, (finer * 170.0, finer * 170.0))
    return Fibres(recto, np.ascontiguousarray(verso.transpose(0, 2, 1)), bend)


def _strips(shape_yx: tuple[int, int], contrast: float, rng: np.random.Generator, finer: float) -> FloatArray:
    """Strips along the last axis."""
    shape = (SUB_LAYERS, *shape_yx)
    texture = 0.70 * smooth_noise(rng, shape, (3.0, finer * 4.5, finer * 90.0))
    texture += 0.45 * smooth_noise(rng, shape, (2.5, finer * 2.2, finer * 40.0))
    bundles = smooth_noise(rng, shape, (4.0, finer * 7.0, finer * 260.0))
    texture += 1.1 * (np.maximum(bundles - 1.2, 0) - 0.056)  # 0.056: the mean of what is added
    texture *= np.float32(contrast)
    return texture


def draw_sheet(
    shape_yx: tuple[int, int], height: FloatArray, settings: SheetSettings, seed: Seed, finer: float = 1.0
) -> Sheet:
    """A sheet whose undisturbed recto face is at `height` (Y, X); present everywhere, without ink. `finer`: see `draw_fibres`."""
    rough = smooth_noise(stream(seed, "thickness"), shape_yx, (finer * 45.0, finer * 45.0))
    thickness = np.maximum(settings.thickness_vox + settings.thickness_sd_vox * rough, 0.4 * settings.thickness_vox)
    parting = smooth_noise(stream(seed, "delamination"), shape_yx, (finer * 70.0, finer * 70.0))
    loose = smooth_noise(stream(seed, "fray"), shape_yx, (finer * 60.0, finer * 90.0))
    return Sheet(
        face=height,
        middle=height + thickness / 2,
        bottom=height + thickness,
        gap=finer * 3.5 * np.maximum(parting - settings.delamination_from_sd, 0),
        fray=np.clip(loose - settings.fray_from_sd, 0, 1),
        present=np.ones(shape_yx, bool),
        film=np.zeros(shape_yx, np.float32),
    )


def lay(density: FloatArray, sheet: Sheet, fibres: Fibres) -> None:
    """Add a sheet to the (Z, Y, X) density volume, in place."""
    _lay(
        density,
        (sheet.face, sheet.middle, sheet.bottom, sheet.gap, sheet.fray),
        sheet.present,
        (fibres.recto, fibres.verso, fibres.bend),
        sheet.film,
        np.float32(sheet.film_vox),
        np.float32(sheet.film_density),
    )


@njit(cache=True)
def _cover(z: int, top: float, bottom: float) -> float:
    """Share of the voxel centred on z that is between two depths."""
    return max(0.0, min(z + 0.5, bottom) - max(z - 0.5, top))


@njit(cache=True)
def _texture(texture: FloatArray, depth: float, y: float, x: int) -> float:
    """Density at a depth 0 to 1 of a fibre layer, at row y (fractional) and column x; mirrored outside."""
    height = texture.shape[1]
    y = abs(y)
    if y > height - 1:
        y = 2 * (height - 1) - y
    y = min(max(y, 0.0), height - 1.0)
    row = min(int(y), height - 2) if height > 1 else 0
    layer = min(max(int(depth * texture.shape[0]), 0), texture.shape[0] - 1)
    share = y - row
    return texture[layer, row, x] * (1 - share) + texture[layer, min(row + 1, height - 1), x] * share


@njit(cache=True)
def _lay(density, depths, present, fibres, film, film_vox, film_density):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    face, middle, bottom, gap, fray = depths
    recto, verso, bend = fibres
    deep, height, width = density.shape
    for y in range(height):
        for x in range(width):
            if not present[y, x]:
                continue
            top, mid, low = face[y, x], middle[y, x], bottom[y, x]
            apart, loose = gap[y, x], fray[y, x]
            swollen = low + (low - mid) * loose  # loose strands take more room
            for z in range(max(0, int(top) - 1), min(deep, int(swollen + apart) + 3)):
                cover = _cover(z, top, mid)
                if cover > 0:
                    grain = _texture(recto, (z - top) / (mid - top), y + bend[y, x], x)
                    density[z, y, x] += cover * max(0.1, 1 + grain)
                cover = _cover(z, mid + apart, swollen + apart)
                if cover > 0:
                    grain = _texture(verso, (z - mid - apart) / (swollen - mid), float(y), x)
                    strand = 1 + (1 + 2 * loose) * grain - 0.6 * loose  # where frayed only the dense fibres are left
                    density[z, y, x] += cover * min(1.7, max(0.1 * (1 - loose), strand))
                if film[y, x] > 0:
                    density[z, y, x] += film_density * film[y, x] * _cover(z, top, top + film_vox)


def add_grains(density: FloatArray, grains_per_vox: float, rng: np.random.Generator) -> None:
    """Add bright mineral specks of 0.7 to 2 voxels radius inside the papyrus of a (Z, Y, X) volume, in place."""
    count = int(rng.poisson(4 * grains_per_vox * density.size))  # papyrus fills about a quarter, the rest is dropped
    centres = (rng.random((count, 3)) * np.array(density.shape)).astype(np.float32)
    radii = (0.7 + rng.exponential(0.35, count)).clip(max=2.2).astype(np.float32)
    weights = rng.uniform(0.8, 2.2, count).astype(np.float32)
    _speckle(density, centres, radii, weights)


@njit(cache=True)
def _speckle(density: FloatArray, centres: FloatArray, radii: FloatArray, weights: FloatArray) -> None:
    deep, height, width = density.shape
    for n in range(radii.size):
        z0, y0, x0 = centres[n]
        if density[int(z0), int(y0), int(x0)] < 0.5:
            continue
        reach = int(radii[n]) + 2
        for z in range(max(0, int(z0) - reach), min(deep, int(z0) + reach + 1)):
            for y in range(max(0, int(y0) - reach), min(height, int(y0) + reach + 1)):
                for x in range(max(0, int(x0) - reach), min(width, int(x0) + reach + 1)):
                    distance = np.sqrt((z - z0) ** 2 + (y - y0) ** 2 + (x - x0) ** 2)
                    density[z, y, x] += weights[n] * min(1.0, max(0.0, radii[n] - distance + 0.5))
