"""The steps of post-processing that look at the mask alone: what is removed, and what is filled in."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from ensemble.surface.postprocess.distance_transform import closing, grown, touching
from ensemble.surface.postprocess.merge_guard import keep_apart
from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.betti import cavities
from scroll.metrics.betti_matching.connected import component_sizes, connected_components
from scroll.metrics.topology import octants
from scroll.runtime.gaussian import gaussian

FloatVolume = npt.NDArray[np.float32]


def keep_strong(mask: BoolVolume, prob: FloatVolume, at_least: float) -> BoolVolume:
    """The 26-connected components of a mask with one voxel of `prob` >= `at_least`, all (Z, Y, X): hysteresis."""
    labels = connected_components(mask, 26)
    is_strong = np.zeros(int(labels.max(initial=0)) + 1, bool)
    is_strong[labels[prob >= at_least]] = True
    is_strong[0] = False
    return np.take(is_strong, labels)


def drop_small_components(mask: BoolVolume, min_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask without its 6-connected components of less than `min_vox` voxels.

    6-connected as the score's topology counts them: a crumb that hangs on a sheet by an edge is one component more.
    """
    labels = connected_components(mask, 6)
    is_kept = component_sizes(labels) >= min_vox
    is_kept[0] = False
    return np.take(is_kept, labels)


def drop_small_in_octants(mask: BoolVolume, min_vox: int) -> BoolVolume:
    """As `drop_small_components`, in each of the eight octants that the score counts components in."""
    kept = mask.copy()
    for part in octants(mask.shape):
        kept[part] = drop_small_components(np.ascontiguousarray(mask[part]), min_vox)
    return kept


def fill_cavities(mask: BoolVolume, max_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask with its enclosed background filled, where that is at most `max_vox` voxels.

    A cavity in which another component is stays, for filling it would join the two.
    """
    labels, enclosed = cavities(mask)
    sizes = component_sizes(labels)
    small = enclosed[sizes[enclosed] <= max_vox]
    if not small.size:
        return mask.copy()
    filled = np.zeros(len(sizes), bool)
    filled[small] = True
    boxes, pieces = find_objects(labels), connected_components(mask, 26)
    for number in small:
        around = grown(boxes[number - 1], 1, mask.shape)
        filled[number] = (
            len(np.unique(pieces[around][touching(labels[around] == number, 26)])) <= 2
        )  # the 0 and one label
    return mask | np.take(filled, labels)


def close_gaps(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """Closing of a (Z, Y, X) mask with a ball, which joins no two 26-connected components."""
    return keep_apart(mask, closing(mask, radius_vox))


def even_out(mask: BoolVolume, sigma_vox: float, level: float) -> BoolVolume:
    """A (Z, Y, X) mask blurred and cut at `level`: pinholes close, frays go; no two 26-connected components are joined."""
    return keep_apart(mask, gaussian(mask.astype(np.float32), sigma_vox, truncate=3.0) >= level)
