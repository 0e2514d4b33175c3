"""Variation of information between the components of two masks: what is split and what is merged, in bits.

Source: Meila 2003, "Comparing clusterings by the variation of information"; same sums as scikit-image.
"""

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume, Labels
from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.compiled import njit

Counts = npt.NDArray[np.int64]
TABLE_CELLS = 2**22  # up to here one table of all pairs of components; beyond, a list of runs


def voi(pred: BoolVolume, truth: BoolVolume) -> float:
    """H(truth | pred) + H(pred | truth) in bits, over the 26-connected components of two (Z, Y, X) masks.

    Only voxels in either mask count; there, being outside the other mask is a cluster of its own. Both empty: 0.
    """
    pairs = joint_histogram(components(pred), components(truth))
    return conditional_entropy(pairs, 0) + conditional_entropy(pairs, 1)


def voi_score(voi_bits: float, alpha: float = 0.3) -> float:
    """VOI as a score, 1 / (1 + alpha VOI).

    >>> voi_score(0.0)
    1.0
    """
    return 1.0 / (1.0 + alpha * voi_bits)


def components(mask: BoolVolume) -> Labels:
    """26-connected components of a (Z, Y, X) mask, numbered from 1; 0 outside."""
    return connected_components(mask, 26)


def joint_histogram(first: Labels, second: Labels) -> Counts:
    """Rows (of first, of second, voxels) of all pairs of labels that occur but (0, 0), (n, 3)."""
    rows = (np.ascontiguousarray(labels).reshape(1, -1) for labels in (first, second))
    a, b = (row.reshape(-1) for row in rows)
    n_first, n_second = (int(labels.max(initial=0)) + 1 for labels in (first, second))
    if n_first * n_second <= TABLE_CELLS:
        table = np.zeros((n_first, n_second), np.int64)
        _fill_table(a, b, table)
        i, j = np.nonzero(table)
        return np.stack([i, j, table[i, j]], axis=1)
    runs = np.empty((_count_runs(a, b), 3), np.int64)
    _list_runs(a, b, runs)
    key, place = np.unique(runs[:, 0] * n_second + runs[:, 1], return_inverse=True)
    voxels = np.bincount(place, weights=runs[:, 2]).astype(np.int64)
    return np.stack([key // n_second, key % n_second, voxels], axis=1)


def conditional_entropy(pairs: Counts, given: int) -> float:
    """Entropy in bits of the one label once the other (`given`, 0 or 1) is known, from `joint_histogram` rows."""
    if not len(pairs):
        return 0.0
    voxels = pairs[:, 2].astype(np.float64)
    known = np.unique(pairs[:, given], return_inverse=True)[1]
    share = voxels / np.bincount(known, weights=voxels)[known]
    return float(-(voxels * np.log2(share)).sum() / voxels.sum()) + 0.0


@njit(cache=True)
def _fill_table(a: Labels, b: Labels, table: Counts) -> None:
    last_a = last_b = np.uint32(0)
    run = 0
    for i in range(a.size):
        if a[i] != last_a or b[i] != last_b:
            table[last_a, last_b] += run
            last_a, last_b, run = a[i], b[i], 0
        run += 1
    table[last_a, last_b] += run
    table[0, 0] = 0


@njit(cache=True)
def _count_runs(a: Labels, b: Labels) -> int:
    runs = 0
    for i in range(a.size):
        if (a[i] or b[i]) and (i == 0 or a[i] != a[i - 1] or b[i] != b[i - 1]):
            runs += 1
    return runs


@njit(cache=True)
def _list_runs(a: Labels, b: Labels, runs: Counts) -> None:
    run = -1
    for i in range(a.size):
        if a[i] or b[i]:
            if i == 0 or a[i] != a[i - 1] or b[i] != b[i - 1]:
                run += 1
                runs[run, 0], runs[run, 1], runs[run, 2] = a[i], b[i], 0
            runs[run, 2] += 1
