"""A member that was trained elsewhere over whole cubes, by its own arithmetic; cube by cube."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.errors import InputError
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, is_current, key_of, write_receipt
from scroll.volumes import open_volume
from stage1_3d.external.card import NAME, Card, read_card
from stage1_3d.external.nnunet import load_nnunet

VOXEL_SLACK = 0.01  # by how much of itself a voxel may differ from those that a member was trained on


class Looks(Protocol):
    """Networks of others, ready to look at a whole item."""

    def probabilities(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """(Z, Y, X) grey values as they are stored -> probabilities of the same shape."""


LOADERS = {"nnunet": load_nnunet}


def unseen_by(card: Card, cube: Cube) -> list[int]:
    """The folds that saw neither a cube nor its scroll; all of a member of which nobody knows what it was trained on are taken to have."""
    return [n for n in card.outside(cube.id, cube.volume_name) if card.folds[n].trained_on]


def check_voxels(folder: Path, card: Card, voxel_um: float) -> None:
    """Refuse voxels of another size than a member was trained on.

    Raises:
        InputError: more than 1 % larger or smaller.
    """
    if card.voxel_um and abs(voxel_um / card.voxel_um - 1) > VOXEL_SLACK:
        raise InputError(
            f"{folder / NAME}: trained at {card.voxel_um} um, and data.voxel_um is {voxel_um}; give data at that size, or import it with "
            "the --voxel-um that it was really trained at"
        )


def predict_by_others(settings: Settings, name: str, jobs: Sequence[tuple[Cube, list[int]]], output: Path) -> None:
    """Write <output>/<cube>/prob.zarr (Z, Y, X) float16 and a receipt for each cube, by these folds of the member together.

    What is current is left alone. Memory: about ten times the cube.
    """
    folder = settings.stage1.members[name].member or Path()
    card = read_card(folder)
    check_voxels(folder, card, settings.data.voxel_um)
    load = cache(partial(_loaded, folder, card))
    hash_of_card = file_hash(folder / NAME)
    with progress(f"predict {name}", len(jobs), "cube") as advance:
        for cube, folds in jobs:
            place, key = output / cube.id, key_of([cube.key, hash_of_card, folds])
            if not (is_current(place, key) and (place / "prob.zarr").exists()):
                found = load(tuple(folds)).probabilities(np.asarray(open_volume(cube.image)[...]))
                writer = RowWriter(place / "prob.zarr", key, cube.shape, cube.pixel_um, "zyx")
                writer.write(writer.done_rows, found[:, writer.done_rows :])
                writer.finish()
                weights = {str(folder / card.folds[n].weights): card.folds[n].sha256 for n in folds}
                write_receipt(
                    place, key, cube=cube.id, scroll=cube.volume_name, member=name, folds=folds, axes="zyx", voxel_um=cube.pixel_um,
                    data=cube.key, source=str(cube.folder), card=card.model_dump(mode="json"), weights=weights,
                )  # fmt: skip
            advance(1)


def _loaded(folder: Path, card: Card, folds: tuple[int, ...]) -> Looks:
    if card.family not in LOADERS:
        raise InputError(
            f"{folder / NAME}: family '{card.family}' is not known; there are {', '.join(LOADERS)}: import it again"
        )
    return LOADERS[card.family](folder, card, folds)
