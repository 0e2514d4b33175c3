"""Faces of the voxel grid and the cubes on both sides of them: the dual graph that cavities and tunnels run through.

Voxels are vertices. The face (z, y, x, axis) is the square of four voxels normal to `axis` whose first corner is (z, y,
x); its number is 3 * voxel + axis, so that the order of numbers is the reference's order of faces of one value. The
cube (z, y, x) has eight voxels; beyond the border there is one node more, the outside. A cell is in a mask where all
its voxels are.
"""

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.runtime.compiled import njit

Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.uint8]

NO_FACE, OPEN, FILLED = 0, 1, 2  # a face outside the grid; one with a background voxel; one inside the mask


def face_kinds(mask: BoolVolume) -> Flags:
    """NO_FACE, OPEN or FILLED for every face number of a (Z, Y, X) mask, (3 * Z * Y * X,)."""
    kinds = np.zeros(mask.size * 3, np.uint8)
    _fill_in(kinds, mask)
    return kinds


@njit(cache=True)
def _fill_in(kinds: Flags, mask: BoolVolume) -> None:
    depth, height, width = mask.shape
    i = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                in_z, in_y, in_x = z + 1 < depth, y + 1 < height, x + 1 < width
                here = mask[z, y, x]
                if in_y and in_x:
                    kinds[i] = OPEN + (here and mask[z, y + 1, x] and mask[z, y, x + 1] and mask[z, y + 1, x + 1])
                if in_z and in_x:
                    kinds[i + 1] = OPEN + (here and mask[z + 1, y, x] and mask[z, y, x + 1] and mask[z + 1, y, x + 1])
                if in_z and in_y:
                    kinds[i + 2] = OPEN + (here and mask[z + 1, y, x] and mask[z, y + 1, x] and mask[z + 1, y + 1, x])
                i += 3


@njit(cache=True)
def sides(face: int, shape: tuple[int, int, int]) -> tuple[int, int]:
    """The two cubes that a face parts, the one before it first; the outside is Z * Y * X."""
    depth, height, width = shape
    outside = depth * height * width
    axis, voxel = face % 3, face // 3
    x = voxel % width
    y = voxel // width % height
    z = voxel // (width * height)
    if axis == 0:
        before = voxel - height * width if z else outside
        after = voxel if z + 1 < depth else outside
    elif axis == 1:
        before = voxel - width if y else outside
        after = voxel if y + 1 < height else outside
    else:
        before = voxel - 1 if x else outside
        after = voxel if x + 1 < width else outside
    return before, after


@njit(cache=True)
def find(parents: Ints, node: int) -> int:
    """The root of a node's cluster; halves the path to it."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node
