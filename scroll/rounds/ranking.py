"""Where a label would teach most: patches of the sheets on which predictions disagree about what each of them is sure of.

Disagreement is the mutual information of a pixel's label and the choice of the network (Houlsby et al. 2011): the entropy of the mean
probability less the mean entropy. It is high where each network is sure and they contradict each other, and 0 where all say the same,
"I do not know" included: a label there would tell apart none of them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.binning import block_mean

Map = NDArray[np.float32]
LEAST = 1e-7  # probability that a logarithm is taken of
AGAIN = 0.8  # what the next patch of the same sheet is worth, of itself
BESIDE = 0.5  # ... and one that touches a patch that is asked for already: much of it is known from there


class Asked(NamedTuple):
    """A square of a sheet at working resolution: upper left corner, edge, and nats of information that its label is worth."""

    sheet: str
    y: int
    x: int
    edge_px: int
    nats: float


def entropy(prob: Map) -> Map:
    """Of a yes or no with that probability, in nats, any shape.

    >>> entropy(np.array([0.0, 0.5, 1.0], np.float32)).round(3).tolist()
    [0.0, 0.6930000185966492, 0.0]
    """
    p = np.clip(prob.astype(np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.maximum(-(p * np.log(p) + (1 - p) * np.log1p(-p)), 0), np.float32).round(6)


def disagreement(maps: Sequence[Map]) -> Map:
    """Mutual information (Y, X) in nats, of several probabilities (Y, X) of the same: of members, folds, depth windows.

    >>> disagreement([np.array([[0.0, 0.5, 0.9]], np.float32), np.array([[1.0, 0.5, 0.9]], np.float32)]).round(2).tolist()
    [[0.6899999976158142, 0.0, 0.0]]
    """
    mean, of_each = np.zeros_like(maps[0], np.float64), np.zeros_like(maps[0], np.float64)
    for one in maps:
        mean += one
        of_each += entropy(one)
    found = entropy((mean / len(maps)).astype(np.float32)) - of_each / len(maps)
    return np.asarray(np.maximum(found, 0), np.float32)


def asked_for(
    worth: Mapping[str, Map], is_open: Mapping[str, NDArray[np.bool_]], edge_px: int, count: int
) -> list[Asked]:
    """The patches whose label teaches most, the best first, at most `count`, spread over the sheets.

    Args:
        worth: by sheet, (Y, X) nats that each pixel's label is worth.
        is_open: by sheet, (Y, X) bool: papyrus that is neither labelled yet nor held out.
        edge_px: edge of a patch; they lie side by side.
        count: how many.

    A patch is worth the sum over its open pixels, so that area counts; less where the sheet was asked about before, and much less
    beside a patch that was.
    """
    nats = {name: _sums(np.where(is_open[name], one, 0), edge_px) for name, one in worth.items()}
    factors = {name: np.ones_like(one) for name, one in nats.items()}
    found: list[Asked] = []
    while len(found) < count:
        now = {name: nats[name] * factors[name] for name in nats}
        name = max(now, key=lambda sheet: (float(now[sheet].max(initial=0)), sheet), default="")
        if not name or now[name].max(initial=0) <= 0:
            return found
        row, column = (int(at) for at in np.unravel_index(int(now[name].argmax()), now[name].shape))
        found.append(Asked(name, row * edge_px, column * edge_px, edge_px, float(nats[name][row, column])))
        factors[name] *= AGAIN
        factors[name][max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] *= BESIDE
        nats[name][row, column] = 0
    return found


def _sums(values: Map, edge: int) -> NDArray[np.float64]:
    """Sums over blocks, cut ones at the far edges over what is there."""
    height, width = values.shape
    padded = np.zeros((-(-height // edge) * edge, -(-width // edge) * edge), np.float64)
    padded[:height, :width] = values
    return np.asarray(block_mean(padded, (edge, edge)) * edge**2)
