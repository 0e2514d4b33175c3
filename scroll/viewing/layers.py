"""What a viewer is shown: a volume with all its levels, where it is in space, and whether it is CT, probability or label."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_json
from scroll.runtime.reading import reads
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.multiscales import read_multiscales
from scroll.volumes.recorded import um_of_scale
from scroll.volumes.sharded.output import ABOUT as WHOLE_SCROLL
from scroll.volumes.volume import Volume

Kind = Literal["image", "probability", "labels"]
Triple = tuple[float, float, float]
NO_SIZE_UM = 1.0  # of a voxel, where nothing tells: then lengths are in voxels
SAMPLES_PER_AXIS = 24
PROB = "prob.zarr"
MAPS = (PROB, "flat.zarr", "ink.zarr")  # of a run
NOWHERE = (0, 0, 0)
MOST_BIN = 1024
DARKEST_PERCENT, BRIGHTEST_PERCENT = 1.0, 99.5


@dataclass(frozen=True)
class ViewedLayer:
    """One layer of a viewer.

    Attributes:
        name: as the viewer lists it.
        levels: (Z, Y, X) each, finest first.
        steps_um: edges of a voxel along z, y, x of each level.
        first_um: where it begins along z, y, x; of a depth window of a stack, and of a cut-out of a scroll, that is not 0.
    """

    name: str
    kind: Kind
    levels: Sequence[Volume]
    steps_um: Sequence[Triple]
    first_um: Triple = (0.0, 0.0, 0.0)

    def grey_range(self) -> tuple[float, float]:
        """Dark and bright end of a grey scale: of a probability where it is 0 and 1, else percentiles of its coarsest voxels.

        A probability in whole numbers, as `predict_scroll` writes it, is 1 at the largest. Voxels that are not finite count
        for nothing.
        """
        if self.kind == "probability":
            dtype = self.levels[0].dtype
            return 0.0, 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
        coarsest = self.levels[-1]
        middle = tuple(slice(None, None, max(1, length // SAMPLES_PER_AXIS)) for length in coarsest.shape[1:])
        layers = range(0, coarsest.shape[0], max(1, coarsest.shape[0] // SAMPLES_PER_AXIS))
        values = np.stack([coarsest[(layer, *middle)] for layer in layers])
        finite = values[np.isfinite(values)].astype(np.float32)
        low, high = np.percentile(finite, (DARKEST_PERCENT, BRIGHTEST_PERCENT)) if finite.size else (0.0, 1.0)
        return float(low), float(max(high, low + 1))


@reads("a volume")
def look_at(path: Path, labels: bool = False, voxel_um: float | None = None) -> ViewedLayer:
    """What is at `path` (any volume, or a map that a run wrote) as a layer.

    Floating numbers are probabilities, and so is what `predict_scroll` wrote. `voxel_um` is the size where nothing tells
    one. A run's depth window or cut-out is put where the receipt beside it says that it is.

    Raises:
        MissingInputError: nothing is there.
        InputError: it is no volume.
    """
    is_zarr = ome_zarr.recognises(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing tells the size is dealt with here
        levels = _levels(path, voxel_um) if is_zarr else [open_volume(path)]
    attributes = ome_zarr.read_attributes(path) if is_zarr else {}
    is_probability = levels[0].dtype.kind == "f" or WHOLE_SCROLL in attributes
    kind: Kind = "labels" if labels else "probability" if is_probability else "image"
    bin_yx = _bin(path, attributes)
    step_um = _z_edge_um(path, levels[0], attributes) or voxel_um or NO_SIZE_UM
    z, y, x = levels[0].place.aspect if bin_yx == 1 else (1.0, 1.0, 1.0)  # of a binned map the scale holds the bin
    edges = (step_um * z, step_um * bin_yx * y, step_um * bin_yx * x)
    begin = levels[0].place.begin
    first = (
        begin if any(begin) else _first_voxel(path, levels[0].shape[0])
    )  # maps of before name it in their receipt alone
    first_z, first_y, first_x = (at * edge for at, edge in zip(first, edges, strict=True))
    return ViewedLayer(
        _name(path), kind, levels, [_step(level, edges) for level in levels], (first_z, first_y, first_x)
    )


def look_at_all(volumes: Sequence[Path], labels: Sequence[Path], voxel_um: float | None = None) -> list[ViewedLayer]:
    """All of them, in order; where nothing tells a voxel's size, it is `voxel_um`, or as in the first that tells one.

    Raises:
        MissingInputError: one is not there, or nothing is asked for.
        InputError: one is no volume.
    """
    paths = [*((path, False) for path in volumes), *((path, True) for path in labels)]
    if not paths:
        raise MissingInputError("nothing to show; give a volume, such as runs/demo/predict/a/unet3d/prob.zarr")
    layers = [look_at(path, is_labels, voxel_um) for path, is_labels in paths]
    sizes = [one.levels[0].voxel_um for one in layers if one.levels[0].voxel_um is not None]
    if voxel_um is not None or not sizes:
        return layers
    return [look_at(path, is_labels, sizes[0]) for path, is_labels in paths]


def _levels(path: Path, voxel_um: float | None) -> list[Volume]:
    levels = [ome_zarr.open(path, expected_um=voxel_um)]
    while True:
        try:
            levels.append(ome_zarr.open(path, level=len(levels), expected_um=voxel_um))
        except MissingInputError:
            return levels


def _z_edge_um(path: Path, volume: Volume, attributes: Mapping[str, Any]) -> float | None:
    """Of a voxel of level 0, also where its edges along y and x are others."""
    if volume.voxel_um is not None:
        return volume.voxel_um / volume.place.step[0]
    sizes = um_of_scale(read_multiscales(path, attributes))
    return None if sizes is None else sizes[0]


def _step(level: Volume, finest_um: Triple) -> Triple:
    z, y, x = (edge * step for edge, step in zip(finest_um, level.place.step, strict=True))
    return z, y, x


def _name(path: Path) -> str:
    """Its own name after that of its folder; of a run's maps after two, which say of what and by whom."""
    return "/".join(path.absolute().parts[-3 if path.name in MAPS else -2 :])


def _bin(path: Path, attributes: Mapping[str, Any]) -> int:
    found = attributes.get("bin_yx", 1)
    if type(found) is not int or not 1 <= found <= MOST_BIN:
        raise InputError(
            f"{path}: bin_yx is {found!r}; expected a whole number from 1 to {MOST_BIN}: mend its attributes"
        )
    return found


def _first_voxel(path: Path, layers: int) -> Triple:
    """Where a run's map begins, from the receipt beside it: a cut-out of a scroll at its origin; of a stack only z is not 0.

    There it is the depth window's first layer, or of a flat one the sheet's centre. 0 where no receipt says so, or the
    stack is gone or was turned round.
    """
    receipt_path = path.parent / RECEIPT
    receipt = read_json(receipt_path) if receipt_path.is_file() else {}
    if not isinstance(receipt, dict) or receipt.get("is_flipped") or "cube" in receipt:
        return NOWHERE
    if path.name == PROB and "origin_zyx" in receipt:
        z, y, x = _whole_numbers(receipt_path, receipt, "origin_zyx", 3)
        return z, y, x
    if not isinstance(receipt.get("source"), str):  # of several segments, as of none, there is no stack
        return NOWHERE
    try:
        centre = open_volume(receipt["source"]).shape[0] // 2
    except InputError:
        return NOWHERE
    (shift,) = _whole_numbers(receipt_path, {"shift_layers": [receipt.get("shift_layers", 0)]}, "shift_layers", 1)
    if path.name == PROB and "depth" in receipt:
        return centre + shift + _whole_numbers(receipt_path, receipt, "depth", 2)[0], 0, 0
    return (centre + shift if layers == 1 else 0), 0, 0


def _whole_numbers(path: Path, receipt: Mapping[str, Any], name: str, count: int) -> list[int]:
    found = receipt[name]
    if not isinstance(found, list) or len(found) != count or any(type(one) is not int for one in found):
        raise InputError(
            f"{path}: {name} is {found!r}; expected {count} whole numbers: delete it and run the step that made it"
        )
    return found
