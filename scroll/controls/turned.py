"""A stack with rows and columns exchanged, as it is read."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.volume import Volume


@dataclass(frozen=True, eq=False)
class ExchangedAxes:
    """A lazy (Z, X, Y) array out of a (Z, Y, X) volume."""

    volume: Volume

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the volume, rows and columns exchanged."""
        depth, height, width = self.volume.shape
        return depth, width, height

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the volume."""
        return self.volume.dtype

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        z, row, column = box
        return np.asarray(self.volume[z, column, row]).transpose(0, 2, 1)


def exchanged_axes(volume: Volume) -> Volume:
    """The same volume, rows as columns; together with reversed layers that is a sheet turned over and then by a quarter."""
    return replace(volume, array=ExchangedAxes(volume))
