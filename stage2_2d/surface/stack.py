"""Sheets traced in cubes as stage two sees them: layers of every member and of the CT, and what is true on them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.cubes import Cube
from scroll.data.labels import SURFACE_IGNORE
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.runtime.json_fields import check_fields
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import check_holdings, read_receipt
from scroll.surfaces import tifxyz
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface
from scroll.volumes.flat_picture import read_image
from stage2_2d.stack import log_odds

REACH_VOX = 4.0  # along the normal within which a labelled surface is the sheet's own
STEP_VOX = 0.5
MOST_OFFSET_VOX = 5.0  # that an offset head can say
CT = "ct"


@dataclass(frozen=True)
class Truth:
    """What a label says on a sheet, (H, W) each, one pixel a voxel.

    `present` bool: a labelled surface is within four voxels; `unknown` bool: nobody labelled there, or outside the cube;
    `offset_vox` float32: how far along the normal the label's middle is, 0 where there is none.
    """

    present: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    offset_vox: NDArray[np.float32]


@dataclass(frozen=True)
class TracedSheet:
    """A sheet on disk: its surface, and its stack as (C, H, W), read when first asked for and kept as float16."""

    cube_id: str
    folder: Path
    sources: tuple[str, ...]
    reach_vox: int

    @cached_property
    def surface(self) -> Surface:
        """Points in voxels of the cube; normals point into the air before the recto."""
        return tifxyz.open(self.folder)

    @cached_property
    def guessed(self) -> NDArray[np.bool_]:
        """(H, W) bool, one pixel a voxel: where the sheet was only guessed to go on beside another."""
        grid = read_image(self.folder / "guessed.tif") > 0
        rows, columns = (
            np.minimum(np.arange(n) // round(cell), length - 1)
            for n, cell, length in zip(self.surface.canvas_shape(), self.surface.cell_vox, grid.shape, strict=True)
        )
        return grid[np.ix_(rows, columns)]

    @cached_property
    def _stored(self) -> NDArray[np.float16]:
        return np.asarray(open_map(self.folder / "flat.zarr", "run 'make stage1 CONFIG=...' again")[:])

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Pixels, one a voxel."""
        return self._stored.shape[1], self._stored.shape[2]

    def channels(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """(C, H, W): the members' layers as scaled log-odds, then those of the CT as robust z-scores."""
        stored = self._stored[:, rows, columns].astype(np.float32)
        layers = 2 * self.reach_vox + 1
        members = layers * sum(source != CT for source in self.sources)
        stored[:members] = log_odds(stored[:members])
        return stored


def traced_sheets(folder: Path, cube: Cube, hint: str) -> list[TracedSheet]:
    """The sheets that were traced in a cube.

    Raises:
        MissingInputError: none were looked for; `hint` names the command that does.
        InputError: the cube changed since.
    """
    receipt = read_receipt(folder, hint)
    if receipt.get("data") != cube.key:
        raise InputError(f"{folder}: traced in another cube than {cube.image} is now; {hint}")
    check_holdings(folder, receipt, hint)
    check_fields(folder / RECEIPT, receipt, {"sources": [str], "reach_vox": float, "sheets": int})
    with reading(folder / RECEIPT, "a receipt of traced sheets", hint):
        sources, reach_vox = tuple(receipt["sources"]), int(receipt["reach_vox"])
    there = sum(path.is_dir() for path in folder.glob("sheet-*"))
    if receipt["sheets"] > there:
        raise InputError(f"{folder}: holds {there} of {receipt['sheets']} sheets; {hint}")
    names = [f"sheet-{number:03d}" for number in range(1, receipt["sheets"] + 1)]
    return [TracedSheet(cube.id, folder / name, sources, reach_vox) for name in names]


def truth_on(surface: Surface, label: NDArray[np.integer]) -> Truth:
    """What a (Z, Y, X) label (0, 1 surface, 2 unlabelled) says on a sheet."""
    tile = surface.tile(slice(None), slice(None))
    along = Offsets(-REACH_VOX, REACH_VOX + STEP_VOX, STEP_VOX)
    values = sample_along_normals(tile, along, [Source(label)], order=0)[0]
    places = along.values[:, None, None]
    hit = values == 1
    nearest = np.where(hit, np.abs(places), np.inf).argmin(axis=0)
    run = _run_about(hit, nearest)
    present = hit.any(axis=0)
    count = np.maximum(run.sum(axis=0), 1)
    offset = np.where(present, (run * places).sum(axis=0) / count, 0).astype(np.float32)
    middle = values[len(values) // 2]
    unknown = ~present & (np.isnan(middle) | (middle == SURFACE_IGNORE))
    return Truth(present, unknown | ~tile.valid, offset)


def _run_about(hit: NDArray[np.bool_], start: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The unbroken run of true layers (N, H, W) that holds layer `start` (H, W)."""
    run = np.zeros_like(hit)
    np.put_along_axis(run, start[None], np.take_along_axis(hit, start[None], 0), 0)
    for _ in range(len(hit) - 1):
        grown = run.copy()
        grown[1:] |= run[:-1]
        grown[:-1] |= run[1:]
        grown &= hit
        if (grown == run).all():
            break
        run = grown
    return run
