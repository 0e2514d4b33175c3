"""Sheets whose points and normals are known, for the tests beside this file."""

import json
from pathlib import Path

import numpy as np
import tifffile

from scroll.surfaces.surface import Surface, normals_of

META = {"format": "tifxyz", "type": "seg", "uuid": "hand", "scale": [0.2, 0.25]}


def tifxyz_by_hand(folder, points, meta=None, dtype=np.float32, **options):
    """A tifxyz folder straight from its description, without our writer."""
    folder.mkdir(parents=True)
    for axis, name in enumerate("zyx"):
        tifffile.imwrite(folder / f"{name}.tif", points[..., axis].astype(dtype), **options)
    (folder / "meta.json").write_text(json.dumps(META if meta is None else meta))
    return folder


def traced(points, cell_vox, valid=None, path="known sheet"):
    """A surface of the points (H, W, 3) with geometric normals; -1 where invalid."""
    points = np.array(points)
    valid = np.ones(points.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    points[~valid] = -1
    cell = (cell_vox, cell_vox) if np.isscalar(cell_vox) else tuple(cell_vox)
    return Surface(points, normals_of(points, valid), valid, cell, Path(path))


def plane(shape, cell_vox=(4.0, 4.0), origin=(10.0, 20.0, 30.0), slope=0.0, dtype=np.float32):
    """Rows along y, columns along x, rising by `slope` in z along the columns; the spacing is that of the cells."""
    i, j = np.indices(shape, np.float64)
    along = cell_vox[1] / np.hypot(1, slope)
    points = np.stack([slope * along * j, cell_vox[0] * i, along * j], axis=-1) + origin
    return points.astype(dtype)


def cylinder(shape=(12, 40), cell_vox=4.0, radius=50.0, axis_yx=(200.0, 300.0), first_z=5.0, dtype=np.float32):
    """Rows with +z, columns anticlockwise in x, y, a chord of one cell apart: flat in UV and straight along z."""
    i, j = np.indices(shape, np.float64)
    angle = 2 * np.arcsin(cell_vox / 2 / radius) * j
    points = [first_z + cell_vox * i, axis_yx[0] + radius * np.sin(angle), axis_yx[1] + radius * np.cos(angle)]
    return np.stack(points, axis=-1).astype(dtype)


def whole_quads(valid):
    """(H - 1, W - 1) where all four corners are valid."""
    return valid[1:, 1:] & valid[1:, :-1] & valid[:-1, 1:] & valid[:-1, :-1]


def on_a_quad(valid):
    """(H, W) points that are a corner of a whole quad."""
    quads = whole_quads(valid)
    found = np.zeros_like(valid)
    for down in (0, 1):
        for right in (0, 1):
            found[down : valid.shape[0] - 1 + down, right : valid.shape[1] - 1 + right] |= quads
    return found
