"""A member's networks over whole cubes, window by window; resumes cube by cube and row by row."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.data.members.others import of_others
from scroll.data.members.suits import check_voxels
from scroll.inference.grey_values import sent
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Advance, Forward, Prediction, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, write_receipt
from stage1_3d.external.member import seen_as
from stage1_3d.external.view import view_of
from stage1_3d.external.whole_cubes import store_whole
from stage1_3d.predict import load_forward, weights_of


def predict_cubes(settings: Settings, name: str, cubes: Sequence[Cube], folds: list[int], output: Path) -> None:
    """`predict_cube` for each of them, with progress; the networks are loaded once, and only where one is missing."""
    other = of_others(settings).get(name)
    if other and other.goes_whole(settings.data.voxel_um):
        with progress(f"predict {name}", len(cubes), "cube") as advance:
            for cube in cubes:
                store_whole(other, cube, folds, output / cube.id)
                advance()
        return
    missing = [cube for cube in cubes if not _is_there(output / cube.id, _key(settings, name, cube, folds))]
    if not missing:
        return
    load = cache(partial(load_forward, settings, name, folds))
    windows = sum(prediction_of(settings, name, cube, load).count(0) for cube in missing)
    with progress(f"predict {name}, {len(missing)} cubes", windows, "window") as advance:
        for cube in missing:
            predict_cube(settings, name, cube, folds, output, load, advance)


def predict_cube(
    settings: Settings,
    name: str,
    cube: Cube,
    folds: list[int],
    output: Path,
    load: Callable[[], Forward],
    advance: Advance = lambda windows: None,
) -> None:
    """Write <output>/<cube>/prob.zarr (Z, Y, X) float16 and a receipt, of these folds together (mean of their scores).

    What is current is left alone. Test-time symmetries (`stage1.window.tta`) are of the (Y, X) plane, as in scroll space:
    they mirror across the sheets. Memory: one row of windows over a cube's depth and width.
    """
    other = of_others(settings).get(name)
    if other and other.goes_whole(settings.data.voxel_um):
        store_whole(other, cube, folds, output / cube.id)
        return
    if other:
        check_voxels(other, cube.seen_um)
    folder, key = output / cube.id, _key(settings, name, cube, folds)
    if _is_there(folder, key):
        return
    prediction = prediction_of(settings, name, cube, load)
    writer = RowWriter(folder / "prob.zarr", key, cube.shape, cube.pixel_um, "zyx")
    advance(prediction.count(0) - prediction.count(writer.done_rows))
    prediction.run(lambda row, values: writer.write(row, values[0]), writer.done_rows, advance)
    writer.finish()
    write_receipt(
        folder, key, cube=cube.id, scroll=cube.volume_name, member=name, folds=folds, axes="zyx", voxel_um=cube.pixel_um,
        data=cube.key, source=str(cube.folder), window=settings.stage1.window.model_dump(mode="json"),
        weights=weights_of(settings, name, folds), **(other.resampled(cube.seen_um) if other else {}),
    )  # fmt: skip


def _key(settings: Settings, name: str, cube: Cube, folds: list[int]) -> str:
    how = [settings.stage1.window.model_dump(), settings.stage1.members[name].training.precision]
    return key_of([cube.key, [*weights_of(settings, name, folds).values()], folds, how])


def _is_there(folder: Path, key: str) -> bool:
    return is_current(folder, key) and (folder / "prob.zarr").exists()


def prediction_of(settings: Settings, name: str, cube: Cube, load: Callable[[], Forward]) -> Prediction:
    """A member over a whole cube, (1, Z, Y, X); it is padded where it is smaller than a window."""
    view = view_of(settings, name, cube.seen_um)
    how = cache(partial(seen_as, settings, name, cube))  # not before a window is read: to count them needs no figures
    padded = tuple(max(n, p) for n, p in zip(cube.shape, view.size, strict=True))

    def read(corner: tuple[int, ...]) -> NDArray[Any]:
        z, y, x = corner
        return view.read(partial(cube.patch, (z, y, x)), how())[None]

    sweep = Sweep(padded, view.size, settings.stage1.window, (0, cube.rows))
    return Prediction(sweep, read, lambda: view.forward(load()), cube.shape, lambda stored: sent(stored, how()))
