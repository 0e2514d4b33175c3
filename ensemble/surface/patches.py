"""The blocks of the test cubes where what is submitted is worst and best, and how every member saw them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.surface.predict import CubeRun
from ensemble.surface.predictors import ENSEMBLE, HINT, Blended, as_pairs
from scroll.data.cubes import Cube
from scroll.data.labels import SURFACE_IGNORE
from scroll.inference.prediction_store import open_map
from scroll.metrics.leaderboard import TOLERANCE_VOX
from scroll.metrics.surface_dice import surface_dice
from scroll.report.patch_pictures import AXES, Cuts, Patch, grey, marked
from scroll.report.pictures import error_colours
from scroll.report.scored import worst_and_best
from scroll.volumes import open_volume

EDGE_VOX = 48  # of a block: about two sheets and the gap between them
LEAST_LABELLED = 50  # voxels of surface in a block
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Block:
    """A block of a cube: its surface Dice and its corner (z, y, x)."""

    score: float
    corner: tuple[int, int, int]
    cube: str = ""


def ranked_blocks(mask: NDArray[np.bool_], label: NDArray[np.uint8], cube: str = "") -> list[Block]:
    """The blocks of a cube that bear surface, worst first; both (Z, Y, X), the label of 0, 1 and 2."""
    found = []
    for corner in itertools.product(*(range(0, max(1, n - edge_of(n) // 2), edge_of(n)) for n in mask.shape)):
        box = _box(corner, mask.shape)
        known = label[box] != SURFACE_IGNORE
        truth = label[box] == 1
        if np.count_nonzero(truth) >= LEAST_LABELLED:
            score = surface_dice(np.ascontiguousarray(mask[box] & known), np.ascontiguousarray(truth), TOLERANCE_VOX)
            found.append(Block(float(score), (corner[0], corner[1], corner[2]), cube))
    return sorted(found, key=lambda block: block.score)


def edge_of(length: int) -> int:
    """Edge of the blocks along an axis of so many voxels: whole blocks of about `EDGE_VOX`.

    >>> edge_of(96), edge_of(128), edge_of(320), edge_of(30)
    (48, 43, 46, 30)
    """
    return -(-length // max(1, round(length / EDGE_VOX)))


def _box(corner: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    z, y, x = (slice(start, min(start + edge_of(n), n)) for start, n in zip(corner, shape, strict=True))
    return z, y, x


def picked(of_cubes: Sequence[Sequence[Block]]) -> list[tuple[str, Block]]:
    """The worst and the best of all cubes' ranked blocks, ("worst" or "best", block); none is both."""
    return worst_and_best(sorted((block for blocks in of_cubes for block in blocks), key=lambda block: block.score))


def cube_patch(cube_run: CubeRun, cube: Cube, label: NDArray[np.uint8], kind: str, block: Block) -> Patch:
    """CT, label, every member, the blend of all and the errors of what is submitted, cut where most is wrong (or labelled)."""
    box = _box(block.corner, label.shape)
    truth, known = label[box] == 1, label[box] != SURFACE_IGNORE
    mask = np.asarray(open_volume(str(cube_run.mask_path(cube)))[...])[box] != 0
    probs = {name: open_map(cube_run.where.member(name, cube.id) / "prob.zarr", HINT)[box] for name in cube_run.members}
    probs[ENSEMBLE] = Blended(cube_run.where, as_pairs(cube_run.weights), cube.id)()[box]
    counted = (mask != truth) & known if kind == "worst" else truth
    place = _busiest(counted if counted.any() else truth)
    ct = grey(np.asarray(open_volume(str(cube.image))[...])[box])
    columns: dict[str, Cuts] = {"CT": {}, "label": _cuts(truth.astype(np.float32), place)}
    columns["CT"] = {
        axis: marked(cut, *(p for other, p in enumerate(place) if other != n))
        for n, (axis, cut) in enumerate(_cuts(ct, place).items())
    }
    columns |= {name: _cuts(prob.astype(np.float32), place) for name, prob in probs.items()}
    columns["errors"] = _cuts(error_colours(mask, truth, known), place)
    where = [start + p for start, p in zip(block.corner, place, strict=True)]
    return Patch(
        cube.id, kind, block.score, (where[0], where[1], where[2]), block.corner, _as_size(truth.shape), columns
    )


def _as_size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], shape[2]


def _busiest(counted: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The plane across each axis that holds most of it."""
    z, y, x = (int(np.argmax(counted.sum(axis=tuple(o for o in range(3) if o != axis)))) for axis in range(3))
    return z, y, x


def _cuts(volume: NDArray[np.generic], place: tuple[int, int, int]) -> Cuts:
    return {axis: np.take(volume, place[n], n) for n, axis in enumerate(AXES)}
