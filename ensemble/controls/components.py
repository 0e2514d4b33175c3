"""What a run found, piece by piece, and how strong each piece is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from scroll.data.fragments import Fragment
from scroll.metrics.betti_matching.connected import connected_components

SURROUNDINGS_UM = 1500.0  # pieces of one letter, which is 2 to 3 mm high, and of its neighbours
LEAST_PROB = 1e-4  # beyond it no probability is told apart, as in `stage2_2d.stack`


@dataclass(frozen=True)
class Components:
    """The N pieces of a mask; `labels` (Y, X) numbers them from 1.

    `strength` (N,): log-odds above the threshold, added up over the piece, in log-odds times mm2: a large faint piece and a
    small sure one may both be strong, and a piece that barely passes at every pixel is not (the "cluster mass" of brain
    imaging, Bullmore et al. 1999). `area_mm2` (N,), `mean_prob` (N,), `centre_px` (N, 2) y, x.
    """

    labels: NDArray[np.uint32]
    strength: NDArray[np.float64]
    area_mm2: NDArray[np.float64]
    mean_prob: NDArray[np.float64]
    centre_px: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.strength)


def components_of(prob: Any, mask: NDArray[np.bool_], threshold: float, pixel_um: float) -> Components:
    """The 8-connected pieces of a (Y, X) mask that was cut from `prob` (Y, X) at `threshold`."""
    labels = connected_components(mask[None], 26)[0]
    count = int(labels.max()) if labels.size else 0
    where = np.nonzero(labels)
    number = labels[where].astype(np.int64) - 1
    values = np.asarray(prob[:])[where].astype(np.float64)
    pixels = np.maximum(np.bincount(number, minlength=count), 1)

    def summed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(number, weights=weights, minlength=count), dtype=np.float64)

    pixel_mm2 = (pixel_um / 1000) ** 2
    above = _log_odds(values) - _log_odds(np.array([threshold]))
    return Components(
        labels=labels,
        strength=summed(above) * pixel_mm2,
        area_mm2=pixels * pixel_mm2 if count else np.zeros(0),
        mean_prob=summed(values) / pixels,
        centre_px=np.stack([summed(axis.astype(np.float64)) / pixels for axis in where], axis=1),
    )


def with_surroundings(found: Components, reach_px: float) -> NDArray[np.float64]:
    """Geometric mean of each piece's strength and of the strengths of all whose centres lie within `reach_px` of its own, added up, (N,).

    A letter falls into pieces along its cracks, and writing has letters beside it; what is imagined is alone. A speck beside a letter
    has the letter's surroundings, and its own strength still. The pixel that an empty mask is given is below the threshold and counts 0.
    """
    if not len(found):
        return np.zeros(0)
    tree = cKDTree(found.centre_px)
    own = np.maximum(found.strength, 0)
    around = np.array([own[near].sum() for near in tree.query_ball_point(found.centre_px, reach_px)])
    return np.asarray(np.sqrt(own * around))


@dataclass(frozen=True)
class Response:
    """What one sheet or copy showed, without its maps: strengths (N,), with surroundings too, each block's strongest (B,), and of a copy
    the share that is on what was found on the sheet itself."""

    strengths: NDArray[np.float64]
    together: NDArray[np.float64]
    strongest: NDArray[np.float64]
    on_found: float = 0.0


def response_of(pieces: Components, fragment: Fragment, edge_um: float, on_found: float = 0.0) -> Response:
    """Of the pieces found on a fragment or on a copy of it, in blocks of `edge_um`."""
    strongest = strongest_in_blocks([pieces], fragment.full_mask, edge_um / fragment.pixel_um)
    return Response(
        pieces.strength, with_surroundings(pieces, SURROUNDINGS_UM / fragment.pixel_um), strongest, on_found
    )


def _log_odds(prob: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(prob, LEAST_PROB, 1 - LEAST_PROB)
    return np.asarray(np.log(inside / (1 - inside)))


def strongest_in_blocks(found: Sequence[Components], papyrus: NDArray[np.bool_], edge_px: float) -> NDArray[np.float64]:
    """The strongest piece of every block of `edge_px` of every copy, (B,), 0 where there is none.

    A piece belongs to the block its centre is in. Blocks at least half of papyrus count, and those that hold a piece.
    """
    rows, columns = (max(1, round(length / edge_px)) for length in papyrus.shape)
    strongest = []
    for one in found:
        blocks = np.where(_papyrus_share(papyrus, rows, columns) >= 0.5, 0.0, -1.0)
        scale = np.array([rows, columns]) / papyrus.shape
        places = np.minimum((one.centre_px * scale).astype(int), [rows - 1, columns - 1])
        np.maximum.at(blocks, (places[:, 0], places[:, 1]), one.strength)
        strongest.append(blocks[blocks >= 0])
    return np.concatenate(strongest) if strongest else np.zeros(0)


def _papyrus_share(papyrus: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.float64]:
    """(rows, columns) share of papyrus in each of as many blocks."""
    row = (np.arange(papyrus.shape[0]) * rows // papyrus.shape[0])[:, None] * columns
    column = (np.arange(papyrus.shape[1]) * columns // papyrus.shape[1])[None]
    number = (row + column).ravel()
    inside = np.bincount(number, weights=papyrus.ravel(), minlength=rows * columns)
    return (inside / np.maximum(np.bincount(number, minlength=rows * columns), 1)).reshape(rows, columns)


def share_on_found(components: Components, mask: NDArray[np.bool_]) -> float:
    """Share of the pieces' pixels that lie on the real fragment's mask (Y, X); 0 where there are no pieces."""
    pieces = components.labels > 0
    return float((pieces & mask).sum() / pieces.sum()) if pieces.any() else 0.0
