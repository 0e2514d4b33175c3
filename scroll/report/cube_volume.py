"""A cube for a page that cuts through it: the CT as pictures of slabs, and one byte a voxel for sheets and label."""

import base64
import gzip
import math
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from scroll.data.labels import SURFACE_IGNORE
from scroll.metrics.voi import components
from scroll.report.pictures import BRIGHTEST_PERCENT, DARKEST_PERCENT, SHEET_COLOURS
from scroll.report.tiles import as_webp

CT_QUALITY = 50
SLAB_PIXELS = 4_000_000  # of a picture: a phone's canvas takes no more than 16 million
TALLEST_PX = 16_000  # of a WebP
BYTES_A_VOXEL = 0.35  # to begin with: the true size is looked at
RAY_STEP = 3  # voxels between the lines on which neighbours are looked for
LABEL_SHIFT = 4  # the sheet's colour is in the lower half of a byte, the label in the upper


@dataclass(frozen=True)
class Volume:
    """What is cut through, (Z, Y, X) each: CT, submitted mask (bool), and label of 0, 1 and 2."""

    ct: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_]
    label: npt.NDArray[Any]


class VolumeView(TypedDict):
    """A cube to cut through: pictures of `slab` layers each, and gzip of a byte a voxel, both in base64."""

    kind: str
    size_zyx: list[int]
    shrink: int
    full_size_zyx: list[int]
    slab: int
    slabs: list[str]
    codes: str


def volume_view(volume: Volume, budget_bytes: int) -> VolumeView:
    """The slabs and bytes and what they are, for JSON, in about `budget_bytes` (but never less than 32 voxels along an edge)."""
    sheets = sheet_colours(volume.mask)
    shrink = max(1, math.floor((volume.ct.size * BYTES_A_VOXEL / budget_bytes) ** (1 / 3)))
    while True:
        view = _view(volume, sheets, shrink)
        size = sum(map(len, [*view["slabs"], view["codes"]])) * 3 // 4
        if size <= budget_bytes or max(view["size_zyx"]) <= 32:
            return view
        shrink += 1


def sheet_colours(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """For each voxel the number of its sheet's colour from 1 on, 0 outside; neighbours differ wherever the colours suffice.

    Sheets are the 26-connected components of the mask (Z, Y, X). The largest choose first: of the colours that their neighbours
    bear least, the one that is used least.
    """
    sheets = components(mask)
    sizes = np.bincount(sheets.ravel())
    sizes[0] = 0
    count = len(SHEET_COLOURS)
    borne = np.zeros((len(sizes), count))  # by the neighbours of each sheet: how often each colour
    used, colours = np.zeros(count, np.int64), np.zeros(len(sizes), np.uint8)
    pairs, weights = neighbours(sheets)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(both[:, 0], kind="stable")
    others, often = both[order, 1], np.tile(weights, 2)[order]
    first = np.searchsorted(both[order, 0], np.arange(len(sizes) + 1))
    for sheet in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]:
        colour = min(range(count), key=lambda one: (borne[sheet, one], used[one], one))
        colours[sheet], used[colour] = 1 + colour, used[colour] + 1
        its = slice(first[sheet], first[sheet + 1])
        borne[others[its], colour] += often[its]
    return np.asarray(colours[sheets])


def neighbours(sheets: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of sheets (N, 2), the smaller number first, that follow one another on a line along an axis, and how often (N,).

    `sheets` (Z, Y, X) numbers them from 1, 0 outside; of the lines every `RAY_STEP`-th along each axis is looked at.
    """
    found = [np.empty((0, 2), np.int64)]
    for axis in range(3):
        rays = np.moveaxis(sheets, axis, -1)[::RAY_STEP, ::RAY_STEP].reshape(-1, sheets.shape[axis])
        ray, place = np.nonzero(rays)
        numbers = rays[ray, place].astype(np.int64)
        follows = (ray[1:] == ray[:-1]) & (numbers[1:] != numbers[:-1])
        found.append(np.sort(np.stack([numbers[:-1][follows], numbers[1:][follows]], axis=1), axis=1))
    pairs, counts = np.unique(np.concatenate(found), axis=0, return_counts=True)
    return pairs, counts


def _view(volume: Volume, sheets: npt.NDArray[np.uint8], shrink: int) -> VolumeView:
    grey = _grey(_blocks(volume.ct.astype(np.float32), shrink).mean(axis=(1, 3, 5)))
    colour = _blocks(sheets, shrink).max(axis=(1, 3, 5))
    blocks = _blocks(volume.label, shrink)
    is_sheet, is_unknown = (blocks == 1).any(axis=(1, 3, 5)), (blocks == SURFACE_IGNORE).all(axis=(1, 3, 5))
    label = np.where(is_sheet, 1, np.where(is_unknown, SURFACE_IGNORE, 0)).astype(np.uint8)
    depth, height, width = grey.shape
    slab = max(1, min(depth, SLAB_PIXELS // (height * width), TALLEST_PX // height))
    slabs = [grey[z : z + slab].reshape(-1, width) for z in range(0, depth, slab)]
    codes = gzip.compress((colour | label << LABEL_SHIFT).tobytes(), 9, mtime=0)
    return {
        "kind": "volume", "size_zyx": list(grey.shape), "shrink": shrink, "full_size_zyx": list(volume.mask.shape),
        "slab": slab, "slabs": [as_webp(picture, CT_QUALITY) for picture in slabs],
        "codes": base64.b64encode(codes).decode("ascii"),
    }  # fmt: skip


def _blocks(volume: npt.NDArray[Any], edge: int) -> npt.NDArray[Any]:
    """(Z / edge, edge, Y / edge, edge, X / edge, edge); what hangs over is filled up with the cube's edge."""
    padded = np.pad(volume, [(0, -n % edge) for n in volume.shape], mode="edge")
    return padded.reshape([part for n in padded.shape for part in (n // edge, edge)])


def _grey(ct: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(ct[::2, ::2, ::2], (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    return np.clip(np.rint((ct - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)
