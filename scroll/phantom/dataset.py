"""Whole phantom data sets on disk: many pieces drawn in parallel, only what is missing, never mixed."""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from scroll.errors import InputError
from scroll.phantom.cube import SMALLEST_VOX, draw_cube
from scroll.phantom.fragment import SMALLEST_ZYX, draw_fragment
from scroll.phantom.settings import CubeSettings, FragmentSettings
from scroll.phantom.surface import draw_surfaces
from scroll.phantom.write import write_cube, write_fragment, write_surface
from scroll.runtime.files import read_json, write_json, write_text
from scroll.runtime.processes import processes_of, usable_cores
from scroll.runtime.progress import progress

NOTE = "synthetic: shows that a pipeline works, says nothing about real scrolls, ranks no architecture"
FIRST_CUBE_ID, FIRST_SCROLL_ID, SCROLLS = 1_000_000, 90_000, 3  # cubes are spread over three made-up scrolls
COMMAND_FILE = "command.txt"  # beside phantom.json: what drew it
Job = Callable[[], None]


def make_fragments(
    out: Path,
    settings: FragmentSettings,
    seed: int,
    train: int,
    test: int,
    jobs: int | None = None,
    is_zarr: bool = False,
    labelled: float = 1.0,
) -> None:
    """Write <out>/train/1.., <out>/test/a.. and <out>/heldout/a../inklabels.png, and <out>/phantom.json.

    Fragment n is drawn from (seed, n), so more fragments can be asked for later. What is there is kept. `is_zarr`: their layers are
    written as published surface volumes are. `labelled`: the share of those to train on that is labelled; a part of the rest is then for
    validation.

    Raises:
        InputError: `out` holds something else, or the sizes or counts make no sense.
    """
    if any(n < least for n, least in zip(settings.size_zyx, SMALLEST_ZYX, strict=True)):
        raise InputError(f"--size {settings.size_zyx}: too small for a fragment; expected at least {SMALLEST_ZYX}")
    if train < 0 or not 0 <= test <= len(ascii_lowercase):
        raise InputError(f"--train {train} --test {test}: expected 0 or more to train and 0 to 26 to test")
    parameters = asdict(settings) | ({"labelled": labelled} if labelled < 1 else {})
    claim(out, {"kind": "fragments", "seed": seed, "voxel_um": settings.voxel_um, "parameters": parameters})
    missing: list[Job] = []
    for n in range(1, train + 1):
        folder = out / "train" / str(n)
        if not folder.is_dir():
            missing.append(partial(_fragment, settings, (seed, n), folder, None, is_zarr, labelled))
    for n, name in enumerate(ascii_lowercase[:test]):
        folder, truth = out / "test" / name, out / "heldout" / name
        if not (folder.is_dir() and truth.is_dir()):
            missing.append(partial(_fragment, settings, (seed, 1000 + n), folder, truth, is_zarr))
    run_jobs(missing, "phantom fragments", jobs)


def _fragment(
    settings: FragmentSettings,
    seed: tuple[int, int],
    folder: Path,
    truth: Path | None,
    is_zarr: bool,
    labelled: float = 1.0,
) -> None:
    write_fragment(draw_fragment(settings, seed), folder, truth, settings.voxel_um if is_zarr else None, labelled)


def make_cubes(
    out: Path,
    settings: CubeSettings | Sequence[CubeSettings],
    seed: int,
    train: int,
    test: int,
    jobs: int | None = None,
) -> None:
    """Write train_images, train_labels and test_images/<id>.tif, train.csv, test.csv, and heldout/<id>.tif.

    A sequence of settings is one scroll each: the last is held out, so test cubes come from it alone and training
    cubes from the others by turns. One settings is for scrolls that are all alike, in training and test.

    Raises:
        InputError: `out` holds something else, or the sizes, counts or number of scrolls make no sense.
    """
    alike = isinstance(settings, CubeSettings)
    scrolls = [settings] * SCROLLS if isinstance(settings, CubeSettings) else list(settings)
    if len(scrolls) < 2:
        raise InputError(f"{len(scrolls)} scroll(s) for cubes: expected at least 2, one to train on and one held out")
    for scroll in scrolls:
        _check_cube(scroll)
    if train < 0 or test < 0:
        raise InputError(f"--train {train} --test {test}: expected 0 or more of each")
    ids = [FIRST_SCROLL_ID + number for number in range(len(scrolls))]
    cards = {str(scroll_id): asdict(scroll) for scroll_id, scroll in zip(ids, scrolls, strict=True)}
    content = {"kind": "cubes", "seed": seed, "voxel_um": scrolls[0].voxel_um}
    claim(out, {**content, "parameters": asdict(scrolls[0]) if alike else cards})
    missing: list[Job] = []
    for group, count, first_id, truths, turns in (
        ("train", train, FIRST_CUBE_ID, "train_labels", ids if alike else ids[:-1]),
        ("test", test, 2 * FIRST_CUBE_ID, "heldout", ids if alike else ids[-1:]),
    ):
        rows = ["id,scroll_id"]
        for n in range(first_id, first_id + count):
            scroll_id = turns[n % len(turns)]
            rows.append(f"{n},{scroll_id}")
            image, truth = out / f"{group}_images" / f"{n}.tif", out / truths / f"{n}.tif"
            if not (image.exists() and truth.exists()):
                missing.append(partial(_cube, scrolls[scroll_id - FIRST_SCROLL_ID], (seed, n), image, truth))
        write_text(out / f"{group}.csv", "\n".join(rows) + "\n")
    run_jobs(missing, "phantom cubes", jobs)


def _cube(settings: CubeSettings, seed: tuple[int, int], image: Path, truth: Path) -> None:
    cube = draw_cube(settings, seed)
    write_cube(truth, cube.label)
    write_cube(image, cube.volume)


def make_surfaces(out: Path, settings: CubeSettings, seed: int, step_vox: float = 4.0) -> None:
    """Write <out>/volume.tif, <out>/ink.tif (where the ink is, 0 to 255) and <out>/segments/wrap-07/ .. as tifxyz.

    Raises:
        InputError: `out` holds something else, or the size or step makes no sense.
    """
    _check_cube(settings)
    if not 1 <= step_vox <= settings.size_vox / 8:
        raise InputError(f"--step {step_vox:g}: expected 1 to {settings.size_vox / 8:g} voxels, an eighth of --size")
    content = {"kind": "surfaces", "seed": seed, "step_vox": step_vox, "voxel_um": settings.voxel_um}
    claim(out, {**content, "parameters": asdict(settings)})
    if not (out / "volume.tif").exists():
        run_jobs([partial(_surfaces, settings, seed, step_vox, out)], "phantom surfaces")


def _surfaces(settings: CubeSettings, seed: int, step_vox: float, out: Path) -> None:
    cube, surfaces = draw_surfaces(settings, seed, step_vox)
    for surface in surfaces:
        name = f"wrap-{surface.wrap:02d}"
        write_surface(surface, out / "segments" / name, uuid=f"phantom-{seed}-{name}")
    write_cube(out / "ink.tif", cube.ink)
    write_cube(out / "volume.tif", cube.volume)  # last: it says that the rest is there


def _check_cube(settings: CubeSettings) -> None:
    if settings.size_vox < SMALLEST_VOX:
        raise InputError(f"--size {settings.size_vox}: too small for a cube; expected at least {SMALLEST_VOX} voxels")


def claim(out: Path, content: dict[str, Any]) -> None:
    """Make `out` the home of this phantom: write its phantom.json, or check the one that is there.

    Raises:
        InputError: `out` holds another phantom, or files that are no phantom.
    """
    card = out / "phantom.json"
    content = {"note": NOTE, **content}
    if card.exists():
        found = read_json(card)
        if found != _as_json(content):
            raise InputError(
                f"{out}: holds a phantom with other parameters (see {card.name}); choose another --out or delete it"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(
            f"{out}: not empty and no phantom.json in it; choose an empty --out, so that real data is never mixed in"
        )
    else:
        write_json(card, content)


def _as_json(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _as_json(value) for key, value in content.items()}
    return [_as_json(value) for value in content] if isinstance(content, list | tuple) else content


def run_jobs(missing: Sequence[Job], what: str, jobs: int | None = None) -> None:
    """Run each piece in a process of its own, `jobs` at a time (default one per core), with progress."""
    workers = min(len(missing), jobs or usable_cores())
    with progress(what, len(missing), "piece") as advance:
        if workers <= 1:
            for job in missing:
                job()
                advance()
            return
        with processes_of(workers) as pool:
            for done in as_completed([pool.submit(job) for job in missing]):
                done.result()
                advance()
