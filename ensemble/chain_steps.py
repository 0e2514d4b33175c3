"""The steps of the post-processing chain that look at the mask alone: what is removed, and what is filled in."""

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.ndimage import find_objects, gaussian_filter

from ensemble.chain_guard import keep_apart
from scroll.metrics.betti import betti_numbers, cavities
from scroll.metrics.connected import connected_components
from scroll.metrics.topology import octants

BoolVolume = npt.NDArray[np.bool_]
FloatVolume = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint32]
Box = tuple[slice, ...]


def keep_strong(mask: BoolVolume, prob: FloatVolume, at_least: float) -> BoolVolume:
    """The 26-connected components of a mask with one voxel of `prob` >= `at_least`, all (Z, Y, X): hysteresis."""
    labels = connected_components(mask, 26)
    is_strong = np.zeros(int(labels.max(initial=0)) + 1, bool)
    is_strong[labels[prob >= at_least]] = True
    is_strong[0] = False
    return is_strong[labels]


def drop_dust(mask: BoolVolume, min_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask without its 6-connected components of less than `min_vox` voxels.

    6-connected as the score's topology counts them: a crumb that hangs on a sheet by an edge is one component more.
    """
    labels = connected_components(mask, 6)
    is_kept = np.bincount(labels.ravel(), minlength=1) >= min_vox
    is_kept[0] = False
    return is_kept[labels]


def drop_octant_dust(mask: BoolVolume, min_vox: int) -> BoolVolume:
    """As `drop_dust`, in each of the eight octants that the score counts components in."""
    kept = mask.copy()
    for part in octants(mask.shape):
        kept[part] = drop_dust(np.ascontiguousarray(mask[part]), min_vox)
    return kept


def fill_cavities(mask: BoolVolume, max_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask with its enclosed background filled, where that is at most `max_vox` voxels.

    A cavity in which another component lies stays, for filling it would join the two.
    """
    labels, enclosed = cavities(mask)
    sizes = np.bincount(labels.ravel(), minlength=1)
    small = enclosed[sizes[enclosed] <= max_vox]
    if not small.size:
        return mask.copy()
    filled = np.zeros(len(sizes), bool)
    filled[small] = True
    boxes, pieces = find_objects(labels), connected_components(mask, 26)
    for number in small:
        around = _grown(boxes[number - 1], 1, mask.shape)
        filled[number] = len(np.unique(pieces[around][_touching(labels[around] == number)])) <= 2  # the 0 and one label
    return mask | filled[labels]


def close_gaps(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """Closing of a (Z, Y, X) mask with a ball, which joins no two 26-connected components."""
    return keep_apart(mask, closing(mask, radius_vox))


def even_out(mask: BoolVolume, sigma_vox: float, level: float) -> BoolVolume:
    """A (Z, Y, X) mask blurred and cut at `level`: pinholes close, frays go; no two 26-connected components are joined."""
    return keep_apart(mask, gaussian_filter(mask.astype(np.float32), sigma_vox, truncate=3.0) >= level)


def plug_holes(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask with those gaps filled, one by one, whose filling mends its topology.

    A gap is a 26-connected part of what closing with a ball would add. It is filled where in its surroundings tunnels,
    cavities and 6-connected components together become fewer, and tunnels not more; never where it touches two 26-connected
    components, which it would join.
    """
    gaps = connected_components(closing(mask, radius_vox) & ~mask, 26)
    pieces = connected_components(mask, 26)
    plugged = mask.copy()
    for number, box in enumerate(find_objects(gaps), 1):
        around = _grown(box, 2, mask.shape)
        gap = gaps[around] == number
        touched = np.unique(pieces[around][_touching(gap)])
        touched = touched[touched > 0]
        if len(touched) != 1:
            continue
        before = plugged[around]
        after = before | gap
        old, new = betti_numbers(before), betti_numbers(after)
        if sum(new) < sum(old) and new[1] <= old[1]:
            plugged[around] = after
            pieces[around][gap] = touched[0]
    return plugged


def closing(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """The closing of a (Z, Y, X) mask with a ball, without any guard; beyond the border lies background."""
    margin = radius_vox + 1
    padded = np.pad(mask, margin)
    closed = ~within(~within(padded, radius_vox), radius_vox)
    inner = tuple(slice(margin, margin + size) for size in mask.shape)
    return np.asarray(closed[inner] | mask)


def within(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """Voxels at most `radius_vox` from a voxel of a (Z, Y, X) mask: its dilation with a ball.

    >>> within(np.array([[[True, False, False, False]]]), 2).tolist()
    [[[True, True, True, False]]]
    """
    return _within(np.ascontiguousarray(mask), radius_vox)


@njit(cache=True)
def _within(mask: BoolVolume, radius: int) -> BoolVolume:
    """Squared distances along x, then the least sum along y, then z; a whole row at a time."""
    depth, height, width = mask.shape
    far = np.int32(4 * radius * radius + 4)
    along_x = np.full(mask.shape, far, np.int32)
    for z in range(depth):
        for y in range(height):
            for start, stop, step in ((0, width, 1), (width - 1, -1, -1)):
                gap = radius + 1
                for x in range(start, stop, step):
                    gap = 0 if mask[z, y, x] else gap + 1
                    if gap <= radius:
                        along_x[z, y, x] = min(along_x[z, y, x], gap * gap)
    along_yx = along_x.copy()
    for z in range(depth):
        for y in range(height):
            for other in range(max(y - radius, 0), min(y + radius + 1, height)):
                extra = np.int32((other - y) * (other - y))
                for x in range(width):
                    along_yx[z, y, x] = min(along_yx[z, y, x], along_x[z, other, x] + extra)
    is_near = np.zeros(mask.shape, np.bool_)
    for z in range(depth):
        for other in range(max(z - radius, 0), min(z + radius + 1, depth)):
            reach = np.int32(radius * radius - (other - z) * (other - z))
            for y in range(height):
                for x in range(width):
                    is_near[z, y, x] |= along_yx[other, y, x] <= reach
    return is_near


def _touching(part: BoolVolume) -> BoolVolume:
    """A part with all that is 26-connected to it."""
    padded = np.pad(part, 1)
    for axis in range(3):
        padded = padded | np.roll(padded, 1, axis) | np.roll(padded, -1, axis)
    return padded[1:-1, 1:-1, 1:-1]


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, size)) for side, size in zip(box, shape, strict=True)
    )
