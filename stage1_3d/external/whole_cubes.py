"""Members of others over whole cubes, by their family's own arithmetic, or from predictions that are there already."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.cubes import Cube
from scroll.data.members.others import MemberOfOthers
from scroll.data.members.suits import check_voxels
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.receipt import is_current, key_of, write_receipt
from scroll.volumes import open_volume
from stage1_3d.external import nnunet, ready


def _probabilities(other: MemberOfOthers, cube: Cube, folds: tuple[int, ...]) -> NDArray[np.float32]:
    if other.card.ready:
        return ready.volume_of(other.folder, other.card, cube.id, cube.shape)
    networks = _loaded(other, other.path.stat().st_mtime_ns, folds)
    return nnunet.probabilities(other.card, networks, np.asarray(open_volume(cube.image)[...]))


@lru_cache(maxsize=2)
def _loaded(other: MemberOfOthers, _written_ns: int, folds: tuple[int, ...]) -> list[nnunet.Windows]:
    return [nnunet.network(other.folder, other.card, fold) for fold in folds]


def store_whole(other: MemberOfOthers, cube: Cube, folds: Sequence[int], output: Path) -> None:
    """Write <output>/prob.zarr (Z, Y, X) float16 and a receipt; what is current is left alone. Memory: about ten times the cube."""
    check_voxels(other, cube.pixel_um)
    card, files = other.card, other.files(folds)
    key = key_of([cube.key, [*files.values()], list(folds)])
    if is_current(output, key) and (output / "prob.zarr").exists():
        return
    writer = RowWriter(output / "prob.zarr", key, cube.shape, cube.pixel_um, "zyx")
    writer.write(writer.done_rows, _probabilities(other, cube, tuple(folds))[:, writer.done_rows :])
    writer.finish()
    write_receipt(
        output, key, cube=cube.id, scroll=cube.volume_name, member=other.name, folds=list(folds), axes="zyx", voxel_um=cube.pixel_um,
        data=cube.key, source=str(cube.folder), card=card.model_dump(mode="json", exclude={"ready"}), weights=files,
    )  # fmt: skip
