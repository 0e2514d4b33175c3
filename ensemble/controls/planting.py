"""Where ink is planted, and what it looks like: letters on papyrus in which the run found nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter, maximum_filter

from scroll.data.augment.smooth_fields import smooth_noise, stream
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.metrics.betti_matching.connected import connected_components
from scroll.phantom.ink import CAP_HEIGHT_EM, GREEK_CAPITALS, dejavu_sans

CELL_PER_LETTER = 2.0  # a network judges ink against bare papyrus beside it, so as much is left around
LETTER_UM = 1500.0  # where no label tells
LEAST_PAPYRUS = 0.98  # of a letter's box
FACE_SMOOTHING_UM = 250.0
FACE_REACH_LAYERS = (
    8  # the face is looked for this far from where ink was learnt to lie: less than half-way to the next wrap
)
STRIP_ROWS = 256


class NoRoomError(InputError):
    """No papyrus is left on which a letter could be planted."""


@dataclass(frozen=True)
class Cells:
    """P places for a letter: `corner_px` (P, 2) y, x of its box of `letter_px` working pixels; no two are nearer than `cell_px`."""

    corner_px: NDArray[np.int64]
    letter_px: int
    cell_px: int


def letter_height_um(fragments: Sequence[Fragment]) -> float:
    """How high the run's letters are: half of the ink that people labelled is in pieces at least so high (scraps weigh little)."""
    pieces = [_pieces(fragment) for fragment in fragments]
    heights, areas = (np.concatenate(part) for part in zip(*pieces, strict=True))
    if not areas.sum():
        return LETTER_UM
    order = np.argsort(heights)
    half = np.searchsorted(np.cumsum(areas[order]), areas.sum() / 2)
    return float(heights[order][half])


def _pieces(fragment: Fragment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height in micrometres and area in working pixels of each piece of a fragment's label."""
    labels = connected_components(fragment.human_label.ink[None], 26)[0].astype(np.int32)
    rows = [rows for rows, _ in find_objects(labels)]
    heights = np.array([part.stop - part.start for part in rows], np.float64)
    return heights * fragment.pixel_um * fragment.data.bin_yx, np.bincount(labels.ravel())[1:].astype(np.float64)


def free_cells(papyrus: NDArray[np.bool_], found: NDArray[np.bool_], letter_px: int) -> Cells:
    """Places for letters, at working resolution, on papyrus and free of anything `found`; both are (Y, X).

    From the upper left, each as near to the last as their cells allow, so that what is found breaks no grid.

    Raises:
        InputError: there is none.
    """
    cell_px = max(letter_px + 2, round(CELL_PER_LETTER * letter_px))
    gap = max(1, letter_px // 8)
    wide = letter_px + 2 * gap
    bare = _box_sums(~papyrus, letter_px)[gap:-gap, gap:-gap] <= (1 - LEAST_PAPYRUS) * letter_px**2
    is_free = bare & (_box_sums(found, wide) == 0)
    corners: list[tuple[int, int]] = []
    for y, row in enumerate(is_free):
        while row.any():
            x = int(row.argmax())
            corners.append((y + gap, x + gap))
            is_free[y : y + cell_px, max(0, x - cell_px + 1) : x + cell_px] = False
    if not corners:
        raise NoRoomError(
            f"no place of {wide} x {wide} working pixels in {papyrus.shape} is papyrus without anything found on it; "
            "plant smaller letters (--letter-um), or leave planting out (--contrasts '')"
        )
    return Cells(np.array(corners), letter_px, cell_px)


def _box_sums(mask: NDArray[np.bool_], edge: int) -> NDArray[np.int64]:
    """How many are true in each square of `edge` pixels inside the (Y, X) mask, by its upper left corner; empty where none fits."""
    summed = np.pad(mask.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    if min(summed.shape) <= edge:
        return np.zeros((0, 0), np.int64)
    return np.asarray(summed[edge:, edge:] - summed[:-edge, edge:] - summed[edge:, :-edge] + summed[:-edge, :-edge])


def letters_at(cells: Cells, shape_yx: tuple[int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A random Greek capital in every cell: share of each working pixel that it covers, and its cell's number from 1, both (Y, X)."""
    cover, number = np.zeros(shape_yx, np.float32), np.zeros(shape_yx, np.int32)
    rng = stream(seed, "planted letters")
    for place, (y, x) in enumerate(cells.corner_px, start=1):
        letter = _letter(GREEK_CAPITALS[rng.integers(len(GREEK_CAPITALS))], cells.letter_px)
        box = (slice(y, y + cells.letter_px), slice(x, x + cells.letter_px))
        cover[box] = letter
        number[box][letter > 0.5] = place
    return cover, number


def _letter(letter: str, height_px: int) -> NDArray[np.float32]:
    """A capital in a square of its own height, 0 to 1, drawn eight times finer than it is asked for."""
    from PIL import Image, ImageDraw, ImageFont

    fine = 8 * height_px
    image = Image.new("L", (fine, fine), 0)
    font = ImageFont.truetype(str(dejavu_sans()), round(fine / CAP_HEIGHT_EM))
    ImageDraw.Draw(image).text((fine / 2, fine), letter, fill=255, font=font, anchor="ms")
    return np.asarray(image.resize((height_px, height_px), Image.Resampling.BOX), np.float32) / np.float32(255)


def film_of(
    cover: NDArray[np.float32], number: NDArray[np.int32], grey: NDArray[np.float64], blur_px: float, seed: int
) -> NDArray[np.float32]:
    """What the film adds in grey levels, (Y, X): `grey` (P,) for each place, somewhat uneven, its edges as blurred as the scan.

    A place of `grey` 0 bears no ink.
    """
    places = np.concatenate([[0.0], grey]).astype(np.float32)
    amount = places[maximum_filter(number, size=3)]  # the faint rim of a letter belongs to it
    uneven = np.clip(1 + 0.15 * smooth_noise(stream(seed, "planted film"), cover.shape, (6.0, 6.0)), 0.4, 1.6)
    return np.asarray(gaussian_filter(cover * amount * uneven, blur_px), dtype=np.float32)


def learnt_layer(fragment: Fragment, window: tuple[int, int] | None) -> float:
    """The layer of the depth window at which ink was learnt to lie: the middle of `flatten.window`, else of `data.depth`."""
    first, end = window or fragment.data.depth
    return (first + end - 1) / 2 - fragment.data.depth[0] + fragment.margin


def face_layer(fragment: Fragment, learnt: float) -> NDArray[np.float32]:
    """The layer, (Y, X) and fractional, on which the sheet's face is: where smoothed grey rises most, near the learnt layer.

    Layers run as in training, air before papyrus. Where the window holds no such rise (a sheet pressed onto its neighbour)
    the answer is some plane near the learnt layer. Memory: a strip of rows of the window in float32.
    """
    ct = fragment.ct
    depth, height, width = ct.shape
    sigma_px = FACE_SMOOTHING_UM / (fragment.pixel_um * fragment.data.bin_yx)
    margin = int(np.ceil(3 * sigma_px))
    face = np.empty((height, width), np.float32)
    steps = np.arange(depth - 1) + 0.5  # where between layers a rise is seen
    is_near = np.abs(steps - learnt) <= FACE_REACH_LAYERS
    for row in range(0, height, STRIP_ROWS):
        first, end = max(0, row - margin), min(height, row + STRIP_ROWS + margin)
        smooth = gaussian_filter(np.asarray(ct[:, first:end], np.float32), (0.7, sigma_px, sigma_px))
        rise = np.where(is_near[:, None, None], np.maximum(np.diff(smooth, axis=0), 0), 0)
        steepest = rise.argmax(axis=0)
        around = np.abs(np.arange(depth - 1)[:, None, None] - steepest) <= 1
        weight = np.where(around, rise, 0)
        total = weight.sum(axis=0)
        place = np.where(total > 0, (weight * steps[:, None, None]).sum(axis=0) / np.maximum(total, 1e-12), learnt)
        face[row : row + STRIP_ROWS] = place[row - first : row - first + STRIP_ROWS]
    return face
