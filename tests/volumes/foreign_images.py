"""OME-Zarr as other programs write it, to be read with its traps."""

import numpy as np
import zarr

VOXELS = np.arange(8 * 12 * 16, dtype=np.uint16).reshape(8, 12, 16)
UM = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]


def moves(scale=None, translation=None):
    """The transformations of a dataset."""
    found = [] if scale is None else [{"type": "scale", "scale": list(scale)}]
    return found + ([] if translation is None else [{"type": "translation", "translation": list(translation)}])


def image(path, arrays, transformations, axes=UM, **more):
    """An OME-Zarr 0.4 with these levels."""
    datasets = [{"path": str(n), "coordinateTransformations": t} for n, t in enumerate(transformations)]
    entry = {"version": "0.4", "axes": axes, "datasets": datasets, **more}
    group = zarr.create_group(path, zarr_format=2, attributes={"multiscales": [entry]})
    for number, array in enumerate(arrays):
        group.create_array(str(number), data=array, chunks=array.shape)
    return path


def one(path, scale=None, translation=None, axes=UM, array=VOXELS, **more):
    """The same with one level."""
    return image(path, [array], [moves(scale, translation)], axes, **more)


def halves(array, *steps):
    """Every so many voxels, as a coarser level."""
    return array[tuple(slice(None, None, step) for step in steps)]
