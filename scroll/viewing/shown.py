"""What a viewer is shown: a volume with all its levels, where it lies in space, and whether it is CT, probability or label."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scroll.errors import InputError, MissingInputError
from scroll.files import read_json
from scroll.receipt import NAME as RECEIPT
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.volume import Volume

Kind = Literal["image", "probability", "labels"]
Triple = tuple[float, float, float]
NO_SIZE_UM = 1.0  # of a voxel, where nothing tells: then lengths are in voxels
SAMPLES_PER_AXIS = 24
MAPS = ("prob.zarr", "flat.zarr", "ink.zarr")  # of a run
DARKEST_PERCENT, BRIGHTEST_PERCENT = 1.0, 99.5


@dataclass(frozen=True)
class Shown:
    """One layer of a viewer.

    Attributes:
        name: as the viewer lists it.
        levels: (Z, Y, X) each, finest first.
        steps_um: edges of a voxel along z, y, x of each level.
        first_z_um: where its first layer begins; of a depth window of a stack, or of a cut-out, that is not 0.
        first_yx_um: the same along y and x.
    """

    name: str
    kind: Kind
    levels: Sequence[Volume]
    steps_um: Sequence[Triple]
    first_z_um: float = 0.0
    first_yx_um: tuple[float, float] = (0.0, 0.0)

    @property
    def first_um(self) -> Triple:
        """Where it begins along z, y, x."""
        return (self.first_z_um, *self.first_yx_um)

    def grey_range(self) -> tuple[float, float]:
        """Dark and bright end of a grey scale: 0 and 1 of a probability, else percentiles of a lattice of its coarsest voxels."""
        if self.kind == "probability":
            return 0.0, 1.0
        coarsest = self.levels[-1]
        middle = tuple(slice(None, None, max(1, length // SAMPLES_PER_AXIS)) for length in coarsest.shape[1:])
        layers = range(0, coarsest.shape[0], max(1, coarsest.shape[0] // SAMPLES_PER_AXIS))
        values = np.stack([coarsest[(layer, *middle)] for layer in layers])
        low, high = np.percentile(values.astype(np.float32), (DARKEST_PERCENT, BRIGHTEST_PERCENT))
        return float(low), float(max(high, low + 1))


def look_at(path: Path, labels: bool = False, voxel_um: float | None = None) -> Shown:
    """What lies at `path` (any volume, or a map that a run wrote) as a layer; floating numbers are probabilities.

    `voxel_um` is the size where nothing tells one. The layers of a run's depth window are put where they lie in the stack
    that the receipt beside them names.

    Raises:
        MissingInputError: nothing is there.
        InputError: it is no volume.
    """
    is_zarr = ome_zarr.recognises(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing tells the size is dealt with here
        levels = _levels(path, voxel_um) if is_zarr else [open_volume(path)]
    kind: Kind = "labels" if labels else "probability" if levels[0].dtype.kind == "f" else "image"
    bin_yx = int(ome_zarr.read_attributes(path).get("bin_yx", 1)) if is_zarr else 1
    step_um = levels[0].voxel_um or voxel_um or NO_SIZE_UM
    edges = (step_um, step_um * bin_yx, step_um * bin_yx)
    steps = [_step(level, edges) for level in levels]
    z, y, x = (at * edge for at, edge in zip(levels[0].place.begin, edges, strict=True))
    return Shown(_name(path), kind, levels, steps, z + _first_layer(path, levels[0].shape[0]) * step_um, (y, x))


def look_at_all(volumes: Sequence[Path], labels: Sequence[Path], voxel_um: float | None = None) -> list[Shown]:
    """All of them, in order; where nothing tells a voxel's size, it is `voxel_um`, or as in the first that tells one.

    Raises:
        MissingInputError: one is not there, or nothing is asked for.
        InputError: one is no volume.
    """
    paths = [*((path, False) for path in volumes), *((path, True) for path in labels)]
    if not paths:
        raise MissingInputError("nothing to show; give a volume, such as runs/demo/predict/a/unet3d/prob.zarr")
    shown = [look_at(path, is_labels, voxel_um) for path, is_labels in paths]
    told = [one.levels[0].voxel_um for one in shown if one.levels[0].voxel_um is not None]
    if voxel_um is not None or not told:
        return shown
    return [look_at(path, is_labels, told[0]) for path, is_labels in paths]


def _levels(path: Path, voxel_um: float | None) -> list[Volume]:
    levels = [ome_zarr.open(path, expected_um=voxel_um)]
    while True:
        try:
            levels.append(ome_zarr.open(path, level=len(levels), expected_um=voxel_um))
        except MissingInputError:
            return levels


def _step(level: Volume, finest_um: Triple) -> Triple:
    z, y, x = (edge * step for edge, step in zip(finest_um, level.place.step, strict=True))
    return z, y, x


def _name(path: Path) -> str:
    """Its own name after that of its folder; of a run's maps after two, which say of what and by whom."""
    return "/".join(path.absolute().parts[-3 if path.name in MAPS else -2 :])


def _first_layer(path: Path, layers: int) -> int:
    """Where a run's map begins in its stack, from the receipt beside it: its depth window, or of a flat one the sheet's centre.

    0 where no receipt says so, or the stack is gone or was turned round.
    """
    receipt_path = path.parent / RECEIPT
    receipt = read_json(receipt_path) if receipt_path.is_file() else {}
    if "source" not in receipt or receipt.get("is_flipped") or "cube" in receipt:
        return 0
    try:
        centre = open_volume(receipt["source"]).shape[0] // 2 + int(receipt.get("shift_layers", 0))
    except InputError:
        return 0
    if path.name == "prob.zarr" and "depth" in receipt:
        return int(centre + receipt["depth"][0])
    return centre if layers == 1 else 0
