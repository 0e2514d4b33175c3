"""Sheets of a cube become voxels again: each at one thickness, none touching another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, minimum_filter

from scroll.inference.prediction_store import open_map
from scroll.surfaces.lift import Painted, lift
from scroll.surfaces.surface import Surface
from stage2_2d.surface.dataset import decoded
from stage2_2d.surface.predict import HEADS_NAME
from stage2_2d.surface.stack import TracedSheet

SMOOTH_VOX, LEAST_WEIGHT = 5.0, 0.01
LEAST_PRESENCE = 0.15  # a sheet that is less probable is taken not to be there: it takes no room from others
NONE = 10_000  # above the number of any sheet
HINT = "run 'make stage2 CONFIG=...' first"


@dataclass(frozen=True, eq=False)
class PresentSheet:
    """A sheet where it is taken to lie: its surface, and how probable it is there, (H, W) float32, one pixel a voxel."""

    surface: Surface
    presence: NDArray[np.float32]


def as_traced(sheet: TracedSheet, is_guessed_too: bool = False) -> PresentSheet:
    """A sheet as it was traced, taken to be there; where it was only guessed, not unless that is asked for."""
    there = np.ones(sheet.surface.canvas_shape(), bool) if is_guessed_too else ~sheet.guessed
    return PresentSheet(sheet.surface, there.astype(np.float32))


@dataclass(frozen=True, eq=False)
class MendedSheet:
    """A traced sheet and what stage two says of it, (H, W) float32 each: how probable it is, and how far off along the normal."""

    traced: TracedSheet
    presence: NDArray[np.float32]
    offset_vox: NDArray[np.float32]


def read_mended(sheet: TracedSheet, folder: Path) -> MendedSheet:
    """A sheet with stage two's heads, which are in `folder`; its offset smoothed.

    Raises:
        MissingInputError: stage two was not run.
    """
    presence, offset_heads = np.asarray(open_map(folder / HEADS_NAME, HINT)[:], np.float32)
    return MendedSheet(sheet, presence, smoothed(decoded(offset_heads), presence))


def as_mended(sheet: MendedSheet, follow: float, presence_sigma_vox: float, doubt: float = 1.0) -> PresentSheet:
    """A sheet with the presence that stage two says, moved to where it says that it is.

    `follow`, 0 to 1, is the share of the offset that is believed; the presence is blurred by `presence_sigma_vox`. `doubt`, 0 to
    1, is the share of its doubt about what stage one saw that counts; with 0 it decides on guesses alone.
    """
    surface = sheet.traced.surface
    step = round(surface.cell_vox[0])
    offset = follow * sheet.offset_vox[::step, ::step]
    moved = offset[: surface.shape[0], : surface.shape[1], None] * surface.normals
    points = np.where(surface.valid[..., None], surface.points + moved, surface.points)
    even = gaussian_filter(sheet.presence, presence_sigma_vox) if presence_sigma_vox else sheet.presence
    return PresentSheet(replace(surface, points=points.astype(np.float32)), believed(even, sheet.traced.guessed, doubt))


def believed(presence: NDArray[np.floating], guessed: NDArray[np.bool_], doubt: float) -> NDArray[np.float32]:
    """Presence (H, W) as stage two says it where a sheet was `guessed`; elsewhere only `doubt`, 0 to 1, of what it lacks to 1.

    >>> believed(np.array([0.25, 0.25]), np.array([True, False]), doubt=0.5).tolist()
    [0.25, 0.625]
    """
    return np.asarray(np.where(guessed, presence, 1 - doubt * (1 - presence)), np.float32)


def smoothed(offset_vox: NDArray[np.float32], presence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Offsets (H, W) averaged over a few voxels, those counting most where the sheet is: papyrus does not jump."""
    weight = presence + LEAST_WEIGHT
    over = gaussian_filter(weight, SMOOTH_VOX)
    return np.asarray(gaussian_filter(offset_vox * weight, SMOOTH_VOX) / over, np.float32)


def lifted(
    sheets: Sequence[PresentSheet], shape: tuple[int, int, int], thickness_vox: float, offset_vox: float = 0.0
) -> NDArray[np.float32]:
    """Sheets as a volume (Z, Y, X) of their presence, each `thickness_vox` thick about `offset_vox` along its normal.

    Presence below 0.15 is none. A voxel belongs to the nearest sheet. Where two sheets touch, also across an edge or a
    corner, the one that comes later gives way: so that they are two objects in the score.
    """
    bands = _bands(thickness_vox, offset_vox)
    painted = []
    for number, sheet in enumerate(sheets, start=1):
        is_there = sheet.presence >= LEAST_PRESENCE
        presence = np.rint(255 * np.where(is_there, np.clip(sheet.presence, 0, 1), 0))
        painted.append(Painted(sheet.surface, np.stack([presence, number * is_there]).astype(np.uint8), bands))
    presences, numbers = lift(painted, shape) if painted else np.zeros((2, *shape), np.uint8)
    return np.asarray(np.where(apart(numbers), presences, 0) / np.float32(255), np.float32)


def numbered(
    sheets: Sequence[PresentSheet],
    shape: tuple[int, int, int],
    thickness_vox: float,
    offset_vox: float = 0.0,
    least_presence: float = 0.5,
) -> NDArray[np.uint8]:
    """The number, from 1, of the sheet that each voxel (Z, Y, X) belongs to, where it is at least so probable; 0 elsewhere."""
    bands = _bands(thickness_vox, offset_vox)
    painted = [
        Painted(sheet.surface, np.where(sheet.presence >= least_presence, number, 0).astype(np.uint8), bands)
        for number, sheet in enumerate(sheets, start=1)
    ]
    return lift(painted, shape)


def _bands(thickness_vox: float, offset_vox: float) -> NDArray[np.float64]:
    return np.tile([offset_vox - thickness_vox / 2, offset_vox + thickness_vox / 2], (256, 1))


def apart(numbers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which voxels of numbered objects (Z, Y, X) have no lower number among their 26 neighbours."""
    filled = np.where(numbers > 0, numbers.astype(np.int16), NONE)
    return np.asarray((numbers > 0) & (minimum_filter(filled, 3, mode="nearest") == filled))
