"""Shapes and arrays that many rooms speak of; axes are z, y, x."""

import numpy as np
import numpy.typing as npt

Size = tuple[int, int, int]  # voxels along each axis, or where a voxel is
Box = tuple[slice, ...]  # a slice for each axis
BoolVolume = npt.NDArray[np.bool_]  # (Z, Y, X)
Labels = npt.NDArray[np.uint32]  # (Z, Y, X) numbers of components, 0 where there is none
