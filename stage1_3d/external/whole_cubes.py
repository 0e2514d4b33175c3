"""Members of others over whole cubes, by their family's own arithmetic, or from predictions that are there already."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.card import NAME, Card, check_voxels, read_card
from scroll.data.cubes import Cube
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.receipt import is_current, key_of, write_receipt
from scroll.volumes import open_volume
from stage1_3d.external import nnunet, ready
from stage1_3d.external.member import files_of


def goes_whole(card: Card) -> bool:
    """Whether its family looks at whole cubes, and not window by window as ours do."""
    return bool(card.ready) or card.family == "nnunet"


def _by_nnunet(folder: Path, cube: Cube, folds: tuple[int, ...]) -> NDArray[np.float32]:
    networks = _loaded(folder, (folder / NAME).stat().st_mtime_ns, folds)
    return nnunet.probabilities(read_card(folder), networks, np.asarray(open_volume(cube.image)[...]))


@lru_cache(maxsize=2)
def _loaded(folder: Path, _written_ns: int, folds: tuple[int, ...]) -> list[nnunet.Windows]:
    return [nnunet.network(folder, read_card(folder), fold) for fold in folds]


def store_whole(folder: Path, name: str, cube: Cube, folds: Sequence[int], output: Path) -> None:
    """Write <output>/prob.zarr (Z, Y, X) float16 and a receipt; what is current is left alone. Memory: about ten times the cube."""
    card = read_card(folder)
    check_voxels(folder, card, cube.pixel_um)
    files = files_of(folder, card, folds)
    key = key_of([cube.key, [*files.values()], list(folds)])
    if is_current(output, key) and (output / "prob.zarr").exists():
        return
    writer = RowWriter(output / "prob.zarr", key, cube.shape, cube.pixel_um, "zyx")
    found = ready.volume_of(folder, card, cube.id, cube.shape) if card.ready else _by_nnunet(folder, cube, tuple(folds))
    writer.write(writer.done_rows, found[:, writer.done_rows :])
    writer.finish()
    write_receipt(
        output, key, cube=cube.id, scroll=cube.volume_name, member=name, folds=list(folds), axes="zyx", voxel_um=cube.pixel_um,
        data=cube.key, source=str(cube.folder), card=card.model_dump(mode="json", exclude={"ready"}), weights=files,
    )  # fmt: skip
