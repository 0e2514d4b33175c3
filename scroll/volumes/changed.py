"""What every array has in common that is a volume changed as it is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np

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
