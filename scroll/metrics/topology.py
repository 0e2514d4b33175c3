"""TopoScore: do prediction and label have the same components, tunnels and cavities, and in the same places?

The volume is cut into 2x2x2 octants. In each, the bars of dimension 0, 1 and 2 of both masks are counted and matched;
counts are added up over octants and one F1 per dimension is formed.

Source: Stucki et al. 2023, "Topologically faithful image segmentation via induced matching of persistence barcodes",
and 2024, "Efficient Betti matching enables topology-aware 3D segmentation".
"""

from itertools import product

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.betti import betti_numbers
from scroll.metrics.betti_matching.cavity_matching import matched_cavities
from scroll.metrics.betti_matching.component_matching import matched_components
from scroll.metrics.betti_matching.tunnel_matching import matched_tunnels

Counts = npt.NDArray[np.int64]
WEIGHTS = (0.34, 0.33, 0.33)
MATCHERS = (matched_components, matched_tunnels, matched_cavities)


def octants(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """The eight parts of a (Z, Y, X) volume in z, y, x order; the earlier half gets the odd voxel.

    >>> octants((5, 2, 2))[-1]
    (slice(3, 5, None), slice(1, 2, None), slice(1, 2, None))
    """
    halves = [(slice(0, (size + 1) // 2), slice((size + 1) // 2, size)) for size in shape]
    return list(product(*halves))


def topology_counts(pred: BoolVolume, label: BoolVolume) -> Counts:
    """[matched, predicted, label] per octant and dimension of two (Z, Y, X) masks, (8, 3, 3)."""
    return np.stack([octant_counts(pred[part], label[part]) for part in octants(pred.shape)])


def octant_counts(pred: BoolVolume, label: BoolVolume) -> Counts:
    """[matched, predicted, label] per dimension of two (Z, Y, X) masks taken as one octant, (3, 3).

    In dimension 0 the essential component is not counted: one component counts 0, as none does.
    """
    pred, label = np.ascontiguousarray(pred), np.ascontiguousarray(label)
    counts = np.zeros((3, 3), np.int64)
    for side, mask in ((1, pred), (2, label)):
        pieces, tunnels, cavities = betti_numbers(mask)
        counts[:, side] = max(pieces - 1, 0), tunnels, cavities
    for dimension, matcher in enumerate(MATCHERS):
        if counts[dimension, 1] and counts[dimension, 2]:
            counts[dimension, 0] = matcher(pred, label)
    return counts


def topo_score(counts: Counts) -> float:
    """The score of [matched, predicted, label] per dimension, (3, 3): 0 to 1.

    A dimension that neither side has anything in does not count; if none counts the score is 1.

    >>> round(topo_score(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])), 3)  # one wrong tunnel
    0.333
    """
    total = weight_sum = 0.0
    for weight, (matched, predicted, in_label) in zip(WEIGHTS, counts.tolist(), strict=True):
        if predicted + in_label == 0:
            continue
        f1 = 2 * matched / (predicted + in_label) if in_label else 0.5 / (predicted + 0.5)
        total += weight * f1
        weight_sum += weight
    return total / weight_sum if weight_sum else 1.0
