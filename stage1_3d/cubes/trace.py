"""From the members' probabilities of a cube to its sheets: traced, and the CT and every member flattened along each."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.inference.prediction_store import RowWriter, open_map
from scroll.runtime.files import written_aside
from scroll.runtime.processes import in_order, usable_cores
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, read_receipt, write_receipt
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface
from scroll.surfaces.tifxyz import write_tifxyz
from scroll.tracing.orient_normals import orient_normals
from scroll.tracing.sheets import Traced, trace_sheets

CUBES_A_PROCESS = 4  # to start one takes as long as to trace one or two
MOST_SHEETS = 255  # that are lifted together: each needs a number of its own
FORMAT = 2  # to be raised when tracing changes
GUESSED = "guessed"  # where a sheet was only guessed, on its grid
ON_TIFXYZ_VOX = 0.01  # tifxyz takes a point with z = 0 for invalid
HINT = "run 'make stage1 CONFIG=...' first"


def flatten_cubes(settings: Settings, cubes: Sequence[Cube], folders: Mapping[str, Path], output: Path) -> None:
    """`flatten_cube` for every cube, into <output>/<cube>; `folders` hold <cube>/prob.zarr of each member."""
    missing = [cube for cube in cubes if not _is_there(settings, cube, _of_cube(folders, cube), output / cube.id)]
    if not missing:
        return
    processes = min(usable_cores(), len(missing) // CUBES_A_PROCESS)
    with progress("trace sheets", len(missing), "cube") as advance:
        for _ in in_order(partial(_flatten_one, settings, folders, output), missing, processes):
            advance()


def _of_cube(folders: Mapping[str, Path], cube: Cube) -> dict[str, Path]:
    return {name: folder / cube.id for name, folder in folders.items()}


def _flatten_one(settings: Settings, folders: Mapping[str, Path], output: Path, cube: Cube) -> None:
    flatten_cube(settings, cube, _of_cube(folders, cube), output / cube.id)


def flatten_cube(settings: Settings, cube: Cube, folders: Mapping[str, Path], output: Path) -> None:
    """Trace the sheets in the mean probability of the members in `folders` (member -> folder with prob.zarr).

    Writes <output>/sheet-001/ and so on, each a tifxyz with flat.zarr (C, H, W) float16 in it, one pixel a voxel: for every
    member, then the CT, the layers from -reach to +reach (`tracing.reach_vox`) along the normal, which points into the air
    before the recto. Probabilities are 0 and the CT 0 (its median) outside the cube. What is current is left alone.

    Raises:
        MissingInputError: a member's prediction is not there.
    """
    key = _key(settings, cube, folders)
    if is_current(output, key):
        return
    probs = [np.asarray(open_map(folder / "prob.zarr", HINT)[:], np.float32) for folder in folders.values()]
    ct = cube.patch((0, 0, 0), cube.shape)
    mean = np.mean(probs, axis=0)
    with written_aside(output) as aside:
        aside.mkdir(parents=True)
        count = 0
        for number, traced in enumerate(trace_sheets(mean, settings.tracing)[:MOST_SHEETS], start=1):
            folder = aside / f"sheet-{number:03d}"
            _write(orient_normals(traced, ct), [*probs, ct], settings.tracing.reach_vox, folder, (key, cube.pixel_um))
            count = number
        write_receipt(
            aside, key, cube=cube.id, data=cube.key, sheets=count, sources=[*folders, "ct"], axes="cyx", voxel_um=cube.pixel_um,
            reach_vox=settings.tracing.reach_vox, grey_scale=[*cube.grey_scale],
            tracing=settings.tracing.model_dump(mode="json"),
        )  # fmt: skip


def _key(settings: Settings, cube: Cube, folders: Mapping[str, Path]) -> str:
    made_from = [read_receipt(folder, HINT)["key"] for folder in folders.values()]
    return key_of([FORMAT, cube.key, made_from, settings.tracing.model_dump(mode="json")])


def _is_there(settings: Settings, cube: Cube, folders: Mapping[str, Path], output: Path) -> bool:
    return is_current(output, _key(settings, cube, folders))


def _write(
    traced: Traced, sources: list[NDArray[np.float32]], reach_vox: int, folder: Path, about: tuple[str, float]
) -> None:
    surface = traced.surface
    surface.points[..., 0][surface.valid] = np.maximum(surface.points[..., 0][surface.valid], ON_TIFXYZ_VOX)
    write_tifxyz(surface, folder, folder.name, {GUESSED: traced.guessed.astype(np.uint8)})
    layers = layers_of(surface, sources, reach_vox)
    writer = RowWriter(folder / "flat.zarr", about[0], layers.shape, about[1], "cyx")
    writer.write(0, layers)
    writer.finish()


def layers_of(surface: Surface, sources: list[NDArray[np.float32]], reach_vox: int) -> NDArray[np.float32]:
    """Every (Z, Y, X) source along the normals of a sheet: (sources x layers, H, W), 0 where nothing is known."""
    tile = surface.tile(slice(None), slice(None))
    sampled = sample_along_normals(tile, Offsets(-reach_vox, reach_vox + 1), [Source(source) for source in sources])
    return np.nan_to_num(sampled, copy=False).reshape(-1, *tile.valid.shape)
