"""Which mistakes of a prediction change its topology: whole components of mistakes that split, merge, pierce or invent.

A component of mistakes is harmless if it touches exactly one component of the foreground around it and exactly one of the
background: then it can be taken off (or added) and leaves as many pieces of either as before. The idea of looking at whole
components of mistakes rather than single voxels is that of Grim et al. 2025, "Efficient connectivity-preserving instance
segmentation with supervoxel-based loss functions", there for the foreground alone; of calling harmless what deforms without
a change of topology, that of Hu 2021, "Structure-aware image segmentation with homotopy warping"; of asking which classes
touch, that of Gupta et al. 2022, "Learning topological interactions for multi-class medical image segmentation".
"""

import numpy as np
import numpy.typing as npt

from scroll.metrics.betti_matching.connected import BoolVolume, Labels, connected_components
from scroll.runtime.compiled import njit

Flags = npt.NDArray[np.bool_]
# neighbours: foreground and mistakes hold together by corners, background by faces alone, so that a thin sheet is tight
ALL, FACES = 26, 6


def critical_mistakes(predicted: BoolVolume, truth: BoolVolume, ignore: BoolVolume) -> BoolVolume:
    """The critical ones among the wrong voxels of a prediction, all (Z, Y, X) bool; a picture is one layer.

    A missed component must touch one part of what is ink in both and one of the true background; a false one, one part of
    the true ink and one of what is background in both. What else they can touch:

    | | missed | false |
    |---|---|---|
    | no ink | a piece is lost | a small component is invented |
    | two parts of ink | a break | a bridge |
    | no background | a cavity | a hole filled |
    | two parts of background | a sheet pierced, holes joined | a ring closed, a hole or gap cut in two |

    The unknown is no mistake and excuses: it may be foreground and background at once, so it joins what touches it, and a
    mistake that touches nothing else known may belong to something within it; but to touch the unknown beside one known part
    is no bridge. Beyond the border there is nothing: parts that would meet outside the patch are two, and a mistake cut off
    from its own part by the border stands alone. That is what the official topology score does with its octants; and what is
    blamed for it is a mistake all the same.

    Not seen: tunnels in 3D that leave the number of parts alone, such as a handle on one piece, or a hole in a sheet whose
    two sides meet elsewhere in the patch. A diagonal row of mistakes is one component, though background would fall apart
    along it. Time is linear in the number of voxels: 72 x 136 x 136 takes 0.04 to 0.05 s on one core, more than half of it for
    the components. Other threads go on meanwhile, but for these.
    """
    missed = truth & ~predicted & ~ignore
    false = predicted & ~truth & ~ignore
    critical = _critical(missed, truth & predicted, ~truth, ignore)
    return critical | _critical(false, truth, ~truth & ~predicted, ignore)


def _critical(mistakes: BoolVolume, foreground: BoolVolume, background: BoolVolume, ignore: BoolVolume) -> BoolVolume:
    """Those components of `mistakes` that do not touch one part of either."""
    components = connected_components(mistakes, ALL)
    around, behind = (
        connected_components(part | ignore, near) for part, near in ((foreground, ALL), (background, FACES))
    )
    blamed: Flags = _touches_not_one_of_each(components, around, behind, np.ascontiguousarray(ignore))
    return np.take(blamed, components)


@njit(cache=True, nogil=True)
def _touches_not_one_of_each(components: Labels, around: Labels, behind: Labels, ignore: BoolVolume) -> Flags:
    """For each component whether the known voxels about it belong to two parts or more of either side, or to none of one side
    and nothing is unknown.

    A part of the side `around` touches by corners, one of `behind` by faces. All are (Z, Y, X), 0 where there is none; the
    answer has a place for component 0, false.
    """
    depth, height, width = components.shape
    count = components.max() + 1
    first = np.zeros((2, count), np.uint32)
    blamed, touches_unknown = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                component = components[z, y, x]
                if component == 0 or blamed[component]:
                    continue
                for z2 in range(max(z - 1, 0), min(z + 2, depth)):
                    for y2 in range(max(y - 1, 0), min(y + 2, height)):
                        for x2 in range(max(x - 1, 0), min(x + 2, width)):
                            # by corners always: the cut through a diagonal row of mistakes excuses both ends
                            if ignore[z2, y2, x2]:
                                touches_unknown[component] = True
                                continue
                            part, side = around[z2, y2, x2], 0
                            if part == 0 and abs(z2 - z) + abs(y2 - y) + abs(x2 - x) == 1:
                                part, side = behind[z2, y2, x2], 1
                            if part == 0:
                                continue
                            if first[side, component] == 0:
                                first[side, component] = part
                            elif first[side, component] != part:
                                blamed[component] = True
    for component in range(1, count):
        if not touches_unknown[component]:
            blamed[component] |= first[0, component] == 0 or first[1, component] == 0
    blamed[0] = False
    return blamed
