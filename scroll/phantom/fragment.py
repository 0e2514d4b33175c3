"""A flattened fragment as the ink competition has it: 65 layers about the recto face, a mask, an ink label."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from scroll.data.augment.smooth_fields import FloatArray, Seed, numbers, smooth_noise, stream
from scroll.phantom import papyrus
from scroll.phantom.ct import grey16, scan
from scroll.phantom.ink import BoolArray, Ink, draw_ink
from scroll.phantom.papyrus import Fibres, Sheet
from scroll.phantom.settings import VOXEL_UM, FragmentSettings, SheetSettings

TOUCHING_VOX = 0.3  # neighbouring wraps come no closer than this
SMALLEST_ZYX = (8, 32, 32)


@dataclass(frozen=True)
class Fragment:
    """Arrays of a fragment: `volume` (Z, Y, X) uint16, `mask` and `ink` (Y, X) bool; recto at small z."""

    volume: NDArray[np.uint16]
    mask: BoolArray
    ink: BoolArray


def draw_fragment(settings: FragmentSettings, seed: Seed) -> Fragment:
    """Draw a fragment; the same settings and seed give the same bytes.

    Raises:
        ValueError: `size_zyx` is smaller than 8 x 32 x 32.
    """
    if any(n < least for n, least in zip(settings.size_zyx, SMALLEST_ZYX, strict=True)):
        raise ValueError(f"size_zyx {settings.size_zyx} is too small for a fragment; expected at least {SMALLEST_ZYX}")
    density, mask, ink = draw_density(settings, seed)
    return Fragment(volume=grey16(scan(density, settings.ct, seed)), mask=mask, ink=ink.letters)


def draw_density(settings: FragmentSettings, seed: Seed) -> tuple[FloatArray, BoolArray, Ink]:
    """The density (Z, Y, X) before the scanner (air 0, papyrus about 1), the mask (Y, X) and the ink."""
    deep, *page = settings.size_zyx
    shape_yx = (page[0], page[1])
    sheet = settings.sheet
    finer = VOXEL_UM / settings.voxel_um
    mask = outline(shape_yx, seed, finer=finer)
    ink = draw_ink(mask, settings.ink, seed)
    fibres = papyrus.draw_fibres(shape_yx, sheet.fibre_contrast, seed, finer)
    height = _face_height(deep, shape_yx, sheet, seed, finer)
    main = _written(
        replace(papyrus.draw_sheet(shape_yx, height, sheet, seed, finer), present=mask), ink, fibres, settings
    )
    density = np.zeros(settings.size_zyx, np.float32)
    papyrus.lay(density, main, fibres)
    _lay_neighbours(density, main, fibres, settings, seed)
    papyrus.add_grains(density, sheet.grains_per_vox, stream(seed, "grains"))
    return density, mask, ink


def outline(shape_yx: tuple[int, int], seed: Seed, margin: float = 0.05, finer: float = 1.0) -> BoolArray:
    """The ragged outline of a fragment with its holes, (Y, X); `margin` is the share of the page left as a border.

    `finer`: so many pixels are as long as one of 7.91 um.
    """
    size = min(shape_yx)
    y = np.minimum(np.arange(shape_yx[0]) + 0.5, shape_yx[0] - np.arange(shape_yx[0]) - 0.5)
    x = np.minimum(np.arange(shape_yx[1]) + 0.5, shape_yx[1] - np.arange(shape_yx[1]) - 0.5)
    inward = np.minimum(y[:, None], x[None, :]) / size - margin
    for knots, share in ((0.25, 0.04), (0.06, 0.012), (0.012, 0.003)):
        field = smooth_noise(stream(seed, f"outline-{knots}"), shape_yx, (max(2.0, knots * size),) * 2)
        inward = inward + share * field
    torn = smooth_noise(stream(seed, "holes"), shape_yx, (finer * 45.0, finer * 30.0))
    torn += 0.3 * smooth_noise(stream(seed, "hole-edges"), shape_yx, (finer * 6.0, finer * 6.0))
    pieces, count = label(inward > 0)
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel(), minlength=count + 1)[1:])) if count else 0
    return (pieces == largest) & (torn < 2.3)


def _face_height(deep: int, shape_yx: tuple[int, int], sheet: SheetSettings, seed: Seed, finer: float) -> FloatArray:
    """Depth of the recto face, (Y, X) voxels: the sheet is in the middle of the stack, wrinkled."""
    height = np.full(shape_yx, deep / 2 - sheet.thickness_vox / 2, np.float32)
    for sd_vox, knots_px in ((sheet.warp_vox, 260.0), (sheet.wrinkle_vox, 80.0), (sheet.ripple_vox, 22.0)):
        height += sd_vox * smooth_noise(stream(seed, f"face-{knots_px}"), shape_yx, (finer * knots_px,) * 2)
    return height


def _written(sheet: Sheet, ink: Ink, fibres: Fibres, settings: FragmentSettings) -> Sheet:
    """The sheet with its fibre relief and its ink: the film raises the face and fills the valleys between fibres."""
    texture = fibres.recto[0]
    ridges = settings.sheet.fibre_relief_vox * (texture / max(1e-6, float(texture.std())))
    face = sheet.face - ridges * (1 - settings.ink.valley_fill * np.minimum(ink.film, 1))
    return replace(
        sheet,
        face=face - settings.ink.relief_vox * ink.film,
        film=ink.film,
        film_vox=settings.ink.film_vox,
        film_density=settings.ink.extra_density,
    )


def _lay_neighbours(density: FloatArray, main: Sheet, fibres: Fibres, settings: FragmentSettings, seed: Seed) -> None:
    """Lay the wraps underneath down to the last layer, and scraps of the wrap above."""
    shape_yx = (density.shape[1], density.shape[2])
    (pitch, pitch_sd), finer = settings.sheet.effective_pitch_vox(), VOXEL_UM / settings.voxel_um
    turned = Fibres(fibres.recto[:, ::-1, ::-1], fibres.verso[:, ::-1, ::-1], fibres.bend)
    upper, number = main, 0
    while float(upper.face.min()) < density.shape[0] and number < 12:
        number += 1
        own = (*numbers(seed), number)
        wander = smooth_noise(stream(own, "pitch"), shape_yx, (finer * 150.0,) * 2)
        height = np.maximum(upper.face + pitch + pitch_sd * wander, _underside(upper) + TOUCHING_VOX)
        below = papyrus.draw_sheet(shape_yx, height.astype(np.float32), settings.sheet, own, finer)
        below = replace(below, present=outline(shape_yx, own, margin=0.02, finer=finer))
        papyrus.lay(density, below, turned if number % 2 else fibres)
        upper = below
    _lay_scraps(density, main, turned, settings, (*numbers(seed), 100))


def _lay_scraps(density: FloatArray, main: Sheet, fibres: Fibres, settings: FragmentSettings, seed: Seed) -> None:
    shape_yx = (density.shape[1], density.shape[2])
    (pitch, pitch_sd), finer = settings.sheet.effective_pitch_vox(), VOXEL_UM / settings.voxel_um
    wander = smooth_noise(stream(seed, "pitch"), shape_yx, (finer * 150.0,) * 2)
    scrap = papyrus.draw_sheet(shape_yx, main.face - pitch + pitch_sd * wander, settings.sheet, seed, finer)
    too_low = np.maximum(_underside(scrap) + TOUCHING_VOX - (main.face - 0.5), 0)
    cover = smooth_noise(stream(seed, "cover"), shape_yx, (finer * 90.0,) * 2)
    cover += 0.2 * smooth_noise(stream(seed, "cover-edges"), shape_yx, (finer * 9.0,) * 2)
    inside = cover - np.quantile(cover, 1 - settings.sheet.scrap_share)
    taper = np.clip(0.2 + inside / 0.3, 0, 1)  # torn edges are thin
    lifted = replace(
        scrap,
        face=scrap.face - too_low,
        middle=scrap.face - too_low + taper * (scrap.middle - scrap.face),
        bottom=scrap.face - too_low + taper * (scrap.bottom - scrap.face),
        gap=taper * scrap.gap,
        present=(inside > 0) & main.present,
    )
    papyrus.lay(density, lifted, fibres)


def _underside(sheet: Sheet) -> FloatArray:
    """Depth (Y, X) where the sheet ends, frayed strands included."""
    return sheet.bottom + sheet.gap + (sheet.bottom - sheet.middle) * sheet.fray
