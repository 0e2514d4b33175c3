"""Phantom scrolls as they are read: OME-Zarr volumes, sheets traced in them as tifxyz, and ink labels on the sheets."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from scroll.errors import InputError
from scroll.phantom.cube import SMALLEST_VOX, draw_scroll, scan_cube
from scroll.phantom.dataset import Job, claim, run_jobs
from scroll.phantom.settings import CubeSettings
from scroll.phantom.surface import Surface, canvas_ink, trace_surface
from scroll.phantom.write import write_png, write_surface
from scroll.runtime.files import write_text, written_aside
from scroll.volumes.ome_zarr import create_ome_zarr, write_pyramid

CHUNK, LEVELS = 64, 3
LEAST_EDGE_VOX = 96  # smaller pieces of wraps are left out: no patch of a network fits


def make_scrolls(
    out: Path, settings: CubeSettings, seed: int, train: int, test: int, step_vox: float = 4.0, jobs: int | None = None
) -> None:
    """Write <out>/volumes/<n>.zarr and, for each wrap in them, <out>/train/<n>-wrap-05/ or <out>/test/a-wrap-05/.

    A segment folder holds a tifxyz, `volume_source.txt` and, to train on, `inklabels.png` with one pixel a voxel; the
    labels of test segments lie in <out>/heldout. Volume n is drawn from (seed, n). What is there is kept.

    Raises:
        InputError: `out` holds something else, or the sizes or counts make no sense.
    """
    if settings.size_vox < max(SMALLEST_VOX, LEAST_EDGE_VOX):
        raise InputError(
            f"--size {settings.size_vox}: too small to read ink in; expected at least {LEAST_EDGE_VOX} voxels"
        )
    if train < 0 or not 0 <= test <= len(ascii_lowercase):
        raise InputError(f"--train {train} --test {test}: expected 0 or more to train and 0 to 26 to test")
    content = {"kind": "scrolls", "seed": seed, "step_vox": step_vox, "voxel_um": settings.voxel_um}
    claim(out, {**content, "parameters": asdict(settings)})
    names = [(str(n), n, "train") for n in range(1, train + 1)]
    names += [(name, 1000 + n, "test") for n, name in enumerate(ascii_lowercase[:test])]
    missing: list[Job] = []
    for name, number, group in names:
        if not (out / "volumes" / f"{name}.zarr").is_dir():
            missing.append(partial(_draw_one, settings, (seed, number), step_vox, out, (name, group)))
    run_jobs(missing, "phantom scrolls", jobs)


def _draw_one(settings: CubeSettings, seed: tuple[int, int], step_vox: float, out: Path, who: tuple[str, str]) -> None:
    name, group = who
    scroll = draw_scroll(settings, seed)
    first, last = scroll.labelled
    for wrap in range(first, last + 1):
        surface = trace_surface(scroll, wrap, step_vox)
        if min(surface.valid.sum(0).max(initial=0), surface.valid.sum(1).max(initial=0)) * step_vox < LEAST_EDGE_VOX:
            continue
        segment = f"{name}-wrap-{wrap:02d}"
        truth = (out / "heldout" if group == "test" else out / group) / segment
        _write_segment(surface, out / group / segment, f"../../volumes/{name}.zarr")
        with written_aside(truth / "inklabels.png") as aside:
            write_png(aside, canvas_ink(scroll, surface))
    _write_volume(out / "volumes" / f"{name}.zarr", scan_cube(scroll, settings, seed).volume, settings.voxel_um)


def _write_segment(surface: Surface, folder: Path, source: str) -> None:
    write_surface(surface, folder, uuid=folder.name, has_ink=False)
    write_text(folder / "volume_source.txt", source + "\n")


def _write_volume(path: Path, volume: np.ndarray, voxel_um: float) -> None:
    with written_aside(path) as aside:
        array = create_ome_zarr(aside, volume.shape, volume.dtype, (CHUNK,) * 3, voxel_um)
        array[:] = volume
        write_pyramid(aside, LEVELS)
