"""A member's networks over whole cubes, window by window; resumes cube by cube and row by row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config import Settings
from scroll.cubes import Cube
from scroll.inference import mean_of
from scroll.maps import RowWriter
from scroll.progress import progress
from scroll.receipt import file_hash, is_current, key_of, write_receipt
from scroll.window import Advance, Forward, Sweep, count_windows, predict
from stage1_3d.predict import load_member, weights_path


def predict_cubes(settings: Settings, name: str, cubes: Sequence[Cube], folds: list[int], output: Path) -> None:
    """Write <output>/<cube>/prob.zarr (Z, Y, X) float16 and a receipt, of these folds together (mean of their scores).

    What is current is left alone. Test-time symmetries (`stage1.window.tta`) are of the (Y, X) plane, as in scroll space:
    they mirror across the sheets. Memory: one row of windows over a cube's depth and width.
    """
    member = settings.stage1.members[name]
    weights = {str(path): file_hash(path) for path in (weights_path(settings, name, fold) for fold in folds)}
    how = [settings.stage1.window.model_dump(), member.training.precision]
    keys = {cube.id: key_of([cube.key, list(weights.values()), folds, how]) for cube in cubes}
    missing = [cube for cube in cubes if not _is_there(output / cube.id, keys[cube.id])]
    if not missing:
        return
    networks: list[Any] = [load_member(settings, name, fold) for fold in folds]
    forward = mean_of(networks, member.training.precision, settings.stage1.window.average)
    windows = sum(count_windows(_sweep_of(settings, name, cube), 0) for cube in missing)
    with progress(f"predict {name}, {len(missing)} cubes", windows, "window") as advance:
        for cube in missing:
            folder, key = output / cube.id, keys[cube.id]
            _predict_cube(_sweep_of(settings, name, cube), cube, forward, (folder / "prob.zarr", key), advance)
            write_receipt(
                folder, key, cube=cube.id, scroll=cube.volume_name, member=name, folds=folds, axes="zyx", voxel_um=cube.pixel_um,
                data=cube.key, weights=weights,
            )  # fmt: skip


def _is_there(folder: Path, key: str) -> bool:
    return is_current(folder, key) and (folder / "prob.zarr").exists()


def _sweep_of(settings: Settings, name: str, cube: Cube) -> Sweep:
    """Windows over the whole cube, which is padded where it is smaller than one."""
    patch = settings.stage1.members[name].patch_size
    padded = tuple(max(n, p) for n, p in zip(cube.shape, patch, strict=True))
    return Sweep(padded, patch, settings.stage1.window, (0, cube.rows))


def _predict_cube(sweep: Sweep, cube: Cube, forward: Forward, to: tuple[Path, str], advance: Advance) -> None:
    writer = RowWriter(*to, cube.shape, cube.pixel_um, "zyx")
    depth, _, width = cube.shape

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        z, y, x = corner
        return cube.patch((z, y, x), (sweep.patch[0], sweep.patch[1], sweep.patch[2]))[None]

    def write(row: int, probabilities: NDArray[np.float32]) -> None:
        writer.write(row, probabilities[0, :depth, :, :width])

    advance(count_windows(sweep, 0) - count_windows(sweep, writer.done_rows))
    predict(sweep, read, forward, write, writer.done_rows, advance)
    writer.finish()
