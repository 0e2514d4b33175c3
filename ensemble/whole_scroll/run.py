"""All members of stage one over a whole scroll, blended with the run's weights, box by box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble.whole_scroll.grey_values import Block
from ensemble.whole_scroll.members import voxel_um_of
from scroll.config.schema import Settings
from scroll.data.intensity import GreyScale, Intensity
from scroll.errors import InputError
from scroll.geometry import Size
from scroll.inference.sliding_window import Forward, ReadTensor, Sweep, predict_box, windows_about
from scroll.volumes.opened_level import open_level
from scroll.volumes.volume import Volume
from stage1_3d.external.member import all_folds
from stage1_3d.external.view import View, view_of
from stage1_3d.predict import load_forward


def sweep_of(settings: Settings, view: View, shape: Sequence[int]) -> Sweep:
    """A member's windows over a volume of `shape`: one grid, whatever the volume is cut into."""
    patch = view.size
    padded = tuple(max(n, p) for n, p in zip(shape, patch, strict=True))
    return Sweep(padded, patch, settings.stage1.window, (0, padded[1]))


def read_box(sweeps: Sequence[Sweep], shape: Sequence[int], corner: Size, size: Size) -> tuple[Size, Size]:
    """First and end voxel (z, y, x) of the CT that all windows about a box see together, inside the volume."""
    starts = [windows_about(sweep, corner, size) for sweep in sweeps]
    first = [min(of[axis][0] for of in starts) for axis in range(3)]
    end = [
        min(length, max(of[axis][-1] + sweep.patch[axis] for of, sweep in zip(starts, sweeps, strict=True)))
        for axis, length in enumerate(shape)
    ]
    return (first[0], first[1], first[2]), (end[0], end[1], end[2])


@dataclass(frozen=True)
class EnsembleRecipe:
    """How a worker builds its predictor: everything travels, but no weights and no voxels.

    Attributes:
        source: path or address of the volume.
        grey_scale: median and spread of the whole volume, measured once: each shard by its own would show seams.
        weights: of the members that take part.
        seen_as: how those of them that were trained elsewhere, or have an intensity of their own, see grey values, the figures of
            the whole volume in it.
    """

    settings: Settings
    source: str
    level: int
    grey_scale: GreyScale
    weights: Mapping[str, float]
    seen_as: Mapping[str, Intensity] = field(default_factory=dict)

    def seen_by(self, name: str) -> Intensity:
        """How a member sees grey values."""
        if name in self.seen_as:
            return self.seen_as[name]
        middle, spread = self.grey_scale
        return Intensity(how="ours", middle=middle, spread=spread)

    def __call__(self) -> "EnsemblePredictor":
        """Open the volume and load the networks, onto the graphics card if there is one."""
        torch.backends.cudnn.deterministic = True  # else transposed convolutions may add up in another order each time
        forwards = {name: load_forward(self.settings, name, all_folds(self.settings, name)) for name in self.weights}
        volume = open_level(self.source, self.level, self.settings.data.cache_mb, self.settings.data.voxel_um)
        return EnsemblePredictor(self, volume, forwards)


class EnsemblePredictor:
    """Boxes of a volume as the ensemble sees them."""

    def __init__(self, recipe: EnsembleRecipe, volume: Volume, forwards: Mapping[str, Forward]) -> None:
        voxel_um = voxel_um_of(recipe.settings, volume)
        self.recipe, self.volume = recipe, volume
        self.views = {name: view_of(recipe.settings, name, voxel_um) for name in recipe.weights}
        self.forwards = {name: view.forward(forwards[name]) for name, view in self.views.items()}
        self.sweeps = {name: sweep_of(recipe.settings, view, volume.shape) for name, view in self.views.items()}

    @torch.inference_mode()
    def __call__(self, corner: Size, size: Size) -> NDArray[np.float32] | None:
        """Probabilities (1, Z, Y, X) of a box; None where the scan is empty there: one grey value throughout.

        Memory: the CT with its halo and 4 bytes a voxel of that, and twice 4 bytes a voxel of the box.

        Raises:
            UnreadableError: the CT cannot be read, or is no number.
            InputError: a network gave NaN or infinity.
        """
        block = self.block(corner, size)
        if block is None:
            return None
        total: Tensor | None = None
        for name, weight in self.recipe.weights.items():
            read = self.reader(name, block)
            prob = predict_box(self.sweeps[name], read, self.forwards[name], corner, size).mul_(weight)
            total = prob if total is None else total.add_(prob)
        if total is None:
            raise InputError(f"{self.recipe.settings.run_dir}: no member has a weight; fit the ensemble again")
        return np.asarray(total.cpu().numpy())

    def reader(self, name: str, block: Block) -> ReadTensor:
        """Corner of one of a member's windows -> what it sees of a block, (1, *window).

        Raises:
            UnreadableError: the CT is no number somewhere in the block.
        """
        view, how = self.views[name], self.recipe.seen_by(name)
        return lambda corner: block.window(view, how, corner)[None]

    def block(self, corner: Size, size: Size) -> Block | None:
        """The CT about a box, as far as any window that touches the box; None where the box is empty."""
        sweeps = list(self.sweeps.values())
        first, end = read_box(sweeps, self.volume.shape, corner, size)
        raw = self.volume[tuple(slice(a, b) for a, b in zip(first, end, strict=True))]
        box = raw[tuple(slice(c - f, c - f + s) for c, f, s in zip(corner, first, size, strict=True))]
        if box.min() == box.max() and np.isfinite(box.min()):
            return None
        needed = [max(sweep.shape[axis] for sweep in sweeps) for axis in range(3)]
        z, y, x = (w - f if e == n else e - f for w, n, f, e in zip(needed, self.volume.shape, first, end, strict=True))
        return Block(first, raw, (z, y, x), f"{self.volume.path}: NaN or infinity near {corner} (z, y, x)")
