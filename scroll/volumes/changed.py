"""Volumes that are changed as they are read: what they have in common, and layers in the opposite order."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.volume import Volume


@dataclass(frozen=True, eq=False)
class Changed:
    """A lazy (Z, Y, X) array of the shape and type of `volume`; those derived from it say what a block of it holds."""

    volume: Volume

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the volume."""
        return self.volume.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the volume."""
        return self.volume.dtype


@dataclass(frozen=True, eq=False)
class ReversedLayers(Changed):
    """A lazy (Z, Y, X) array whose layer z is layer Z - 1 - z of `volume`."""

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        picked = range(*box[0].indices(self.shape[0]))
        if not picked:
            return np.asarray(self.volume[(box[0], *box[1:])])
        last = self.shape[0] - 1
        forward = slice(last - picked[-1], last - picked[0] + 1, picked.step)
        return np.asarray(self.volume[(forward, *box[1:])])[::-1]


def reversed_layers(volume: Volume) -> Volume:
    """The same volume, deepest layer first; its path and voxel size stay."""
    return replace(volume, array=ReversedLayers(volume))
