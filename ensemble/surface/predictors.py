"""Where the predictions of cubes lie, out of fold or new, and the volumes that are thresholded, mended and submitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from ensemble.blend import blend
from ensemble.surface.lift_sheets import MendedSheet, PresentSheet, as_mended, as_traced, lifted, read_mended
from scroll.data.cubes import Cube
from scroll.errors import InputError
from scroll.geometry import Size
from scroll.inference.current_weights import check_weights
from scroll.inference.prediction_store import open_map
from scroll.runtime.receipt import read_receipt
from scroll.runtime.run_folder import RunFolder
from scroll.volumes import open_volume
from stage2_2d.surface.stack import TracedSheet, traced_sheets

ENSEMBLE, POST_PROCESSED = "ensemble", "ensemble + chain"
SHEETS, STAGE2 = "ensemble + sheets + chain", "ensemble + stage two + chain"
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' first"


@dataclass(frozen=True)
class Predicted:
    """The predictions of one run: its own training cubes out of fold, or whatever was predicted into `output`."""

    run_dir: Path
    output: Path | None = None

    def member(self, name: str, cube_id: str) -> Path:
        """Folder with prob.zarr."""
        return (self.output / name if self.output else self.run_dir / "stage1" / name / "oof") / cube_id

    def sheets(self, cube_id: str) -> Path:
        """Folder with sheet-001 and so on."""
        return (self.output / "sheets" if self.output else RunFolder(self.run_dir).sheets) / cube_id

    def stage2(self, cube_id: str) -> Path:
        """Folder with stage two's heads of every sheet."""
        return (self.output / "stage2" if self.output else self.run_dir / "stage2" / "oof") / cube_id


@dataclass(frozen=True)
class Lift:
    """How sheets are lifted: thickness and offset along their normals, and how far stage two is followed (see `as_mended`)."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # as it is read out of a fit

    thickness_vox: float = 3.0
    offset_vox: float = 0.0
    follow: float = 0.0
    presence_sigma_vox: float = 4.0
    doubt: float = 1.0

    def present(self, sheet: TracedSheet | MendedSheet) -> PresentSheet:
        """Where a sheet is taken to be, and how probable it is there."""
        if isinstance(sheet, TracedSheet):
            return as_traced(sheet)
        return as_mended(sheet, self.follow, self.presence_sigma_vox, self.doubt)

    def volume(self, sheets: Sequence[TracedSheet | MendedSheet], shape: Size) -> NDArray[np.float32]:
        """Sheets as a volume of presence, (Z, Y, X) float32."""
        return lifted([self.present(sheet) for sheet in sheets], shape, self.thickness_vox, self.offset_vox)


@dataclass(frozen=True)
class Blended:
    """The weighted mean probability of members on a cube, (Z, Y, X) float32, read when called."""

    where: Predicted
    weights: tuple[tuple[str, float], ...]
    cube_id: str

    def __call__(self) -> NDArray[np.float32]:
        """Read and blend; members of weight 0 are not read."""
        used = [(name, weight) for name, weight in self.weights if weight > 0]
        maps = [open_map(self.where.member(name, self.cube_id) / "prob.zarr", HINT)[:] for name, _ in used]
        return np.asarray(blend(maps, [weight for _, weight in used]), np.float32)


@dataclass(frozen=True)
class LiftedSheets:
    """A cube's sheets as a volume of presence, (Z, Y, X) float32, lifted when called; as stage two mended them, or as traced."""

    where: Predicted
    lift: Lift
    cube: Cube
    is_mended: bool

    def __call__(self) -> NDArray[np.float32]:
        """Lift every sheet."""
        return self.lift.volume(read_sheets(self.where, self.cube, self.is_mended), self.cube.shape)


def read_sheets(where: Predicted, cube: Cube, is_mended: bool) -> list[TracedSheet] | list[MendedSheet]:
    """A cube's sheets as they were traced, or as stage two mended them.

    Raises:
        MissingInputError: they were not traced, or stage two was not run.
    """
    traced = traced_sheets(where.sheets(cube.id), cube, HINT)
    folder = where.stage2(cube.id)
    return [read_mended(sheet, folder / sheet.folder.name) for sheet in traced] if is_mended else traced


@dataclass(frozen=True)
class Stored:
    """A volume of presence kept as bytes in a .npy, (Z, Y, X) float32 when called."""

    path: Path

    def __call__(self) -> NDArray[np.float32]:
        """Read it."""
        return np.load(self.path).astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class LabelOf:
    """A training cube's label, (Z, Y, X) of 0, 1 and 2, read when called."""

    path: Path

    def __call__(self) -> NDArray[Any]:
        """Read it."""
        return np.asarray(open_volume(str(self.path))[...])


def check_current(where: Predicted, names: Sequence[str], cubes: Sequence[Cube]) -> dict[str, list[str]]:
    """The keys of all predictions of each cube, once it is sure that they are there and of today's cubes.

    Raises:
        MissingInputError: one was not made.
        InputError: a cube, or the weights that predicted it, changed since.
    """
    keys = {}
    for cube in cubes:
        folders = [*(where.member(name, cube.id) for name in names), where.sheets(cube.id), where.stage2(cube.id)]
        receipts = [read_receipt(folder, HINT) for folder in folders]
        for folder, receipt in zip(folders, receipts, strict=True):
            if receipt.get("data") != cube.key:
                raise InputError(f"{folder}: cube '{cube.id}' was changed since it was predicted; {HINT}")
            check_weights(folder, receipt, HINT)
        keys[cube.id] = [str(receipt["key"]) for receipt in receipts]
    return keys


def as_pairs(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Weights as they travel to other processes."""
    return tuple(weights.items())
