"""Where a label would teach most: patches of the sheets on which predictions disagree about what each of them is sure of."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.binning import block_mean

Map = NDArray[np.float32]
AGAIN = 0.8  # what the next patch of the same sheet is worth, of itself
BESIDE = 0.5  # ... and one that touches a patch that is asked for already: much of it is known from there


class Asked(NamedTuple):
    """A square of a sheet at working resolution: upper left corner, edge, and nats of information that its label is worth."""

    sheet: str
    y: int
    x: int
    edge_px: int
    nats: float


def patch_nats(worth: Map, is_open: NDArray[np.bool_], edge_px: int) -> NDArray[np.float64]:
    """What a label of each square of that edge would teach, (rows, columns) nats: the sum over its open pixels, so that area counts.

    `worth` (Y, X) is nats by pixel, `is_open` (Y, X) papyrus that is neither labelled yet nor held out. The squares are side by side,
    the last ones cut.
    """
    values = np.where(is_open, worth, 0)
    height, width = values.shape
    padded = np.zeros((-(-height // edge_px) * edge_px, -(-width // edge_px) * edge_px), np.float64)
    padded[:height, :width] = values
    return np.asarray(block_mean(padded, (edge_px, edge_px)) * edge_px**2)


def asked_for(nats: Mapping[str, NDArray[np.float64]], edge_px: int, count: int) -> list[Asked]:
    """The patches whose label teaches most, the best first, at most `count`, spread over the sheets.

    `nats` is by sheet, (rows, columns), of squares of `edge_px`: see `patch_nats`. A square is worth less where its sheet was asked about
    before, and much less beside one that was.
    """
    left = {name: one.copy() for name, one in nats.items()}
    factors = {name: np.ones_like(one) for name, one in nats.items()}
    found: list[Asked] = []
    while len(found) < count:
        now = {name: left[name] * factors[name] for name in left}
        name = max(now, key=lambda sheet: (float(now[sheet].max(initial=0)), sheet), default="")
        if not name or now[name].max(initial=0) <= 0:
            return found
        row, column = (int(at) for at in np.unravel_index(int(now[name].argmax()), now[name].shape))
        found.append(Asked(name, row * edge_px, column * edge_px, edge_px, float(left[name][row, column])))
        factors[name] *= AGAIN
        factors[name][max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] *= BESIDE
        left[name][row, column] = 0
    return found
