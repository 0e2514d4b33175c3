"""Grids that are sliced like an array and make only the slice that is asked for: from a file of gigabytes, or from a rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scroll.volumes.volume import read_box


@dataclass(frozen=True, eq=False)
class LazyGrid:
    """An array `shape` (H, W) or (H, W, 3) whose values come from `read(rows, columns)`, two slices inside the grid.

    `read` gives the block with all that follows rows and columns, and should be picklable: a grid travels to another
    process as its `read`, never as its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[slice, slice], NDArray[Any]]

    def __getitem__(self, key: Any) -> Any:
        """What numpy's basic index (ints, slices, `...`) names; makes no more than the box of rows and columns.

        Raises:
            IndexError: an int outside the shape, too many axes, or an index that is not basic.
        """
        box, rest = read_box(key, self.shape)
        block = self.read(box[0], box[1])
        return block[(slice(None), slice(None), *box[2:])][rest]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return np.asarray(self[...], dtype=dtype)
