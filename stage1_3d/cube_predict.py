"""A member's networks over whole cubes, window by window; resumes cube by cube and row by row."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.config import Settings
from scroll.cubes import Cube
from scroll.maps import RowWriter
from scroll.progress import progress
from scroll.receipt import file_hash, is_current, key_of, write_receipt
from scroll.window import Advance, Forward, Prediction, Sweep
from stage1_3d.predict import load_forward, weights_path


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
    load = cache(partial(load_forward, settings, name, folds))  # once for all of them
    predictions = {cube.id: prediction_of(settings, name, cube, load) for cube in missing}
    windows = sum(prediction.count(0) for prediction in predictions.values())
    with progress(f"predict {name}, {len(missing)} cubes", windows, "window") as advance:
        for cube in missing:
            folder, key = output / cube.id, keys[cube.id]
            _predict_cube(predictions[cube.id], cube, (folder / "prob.zarr", key), advance)
            write_receipt(
                folder, key, cube=cube.id, scroll=cube.volume_name, member=name, folds=folds, axes="zyx", voxel_um=cube.pixel_um,
                data=cube.key, source=str(cube.folder),
                window=settings.stage1.window.model_dump(mode="json"), weights=weights,
            )  # fmt: skip


def _is_there(folder: Path, key: str) -> bool:
    return is_current(folder, key) and (folder / "prob.zarr").exists()


def _predict_cube(prediction: Prediction, cube: Cube, to: tuple[Path, str], advance: Advance) -> None:
    writer = RowWriter(*to, cube.shape, cube.pixel_um, "zyx")
    advance(prediction.count(0) - prediction.count(writer.done_rows))
    prediction.run(lambda row, values: writer.write(row, values[0]), writer.done_rows, advance)
    writer.finish()


def prediction_of(settings: Settings, name: str, cube: Cube, load: Callable[[], Forward]) -> Prediction:
    """A member over a whole cube, (1, Z, Y, X); it is padded where it is smaller than a window."""
    member = settings.stage1.members[name]
    padded = tuple(max(n, p) for n, p in zip(cube.shape, member.patch_size, strict=True))

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        z, y, x = corner
        return cube.patch((z, y, x), member.patch_size)[None]

    sweep = Sweep(padded, member.patch_size, settings.stage1.window, (0, cube.rows))
    return Prediction(sweep, read, load, cube.shape)
