"""Which side of a traced sheet is its recto: labels lie on the face towards the scroll's axis, with air before it."""

from dataclasses import replace
from typing import Any

import numpy as np

from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import normals_of
from scroll.tracing.sheets import Traced

NEAR_VOX, FAR_VOX = 2.0, 7.0  # where air and papyrus are compared, on either side


def orient_normals(traced: Traced, ct: Any) -> Traced:
    """The same sheet with its normals towards the darker side of a (Z, Y, X) CT; rows and columns change places for it.

    So depth grows from the papyrus into the air before it, and normals stay dP/dcolumn x dP/drow, as tifxyz has them.
    """
    surface = traced.surface
    tile = surface.tile(slice(None), slice(None), pixel_vox=2)
    along = Offsets(NEAR_VOX, FAR_VOX + 1)
    before = sample_along_normals(tile, along, [Source(ct)])
    behind = sample_along_normals(replace(tile, normals=-tile.normals), along, [Source(ct)])
    difference = before - behind
    known = np.isfinite(difference)
    if not known.any() or float(difference[known].mean()) <= 0:
        return traced
    points, valid = (np.ascontiguousarray(np.swapaxes(part, 0, 1)) for part in (surface.points, surface.valid))
    turned = replace(surface, points=points, normals=normals_of(points, valid), valid=valid)
    return Traced(turned, np.ascontiguousarray(traced.guessed.T))
