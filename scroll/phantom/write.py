"""Write phantoms in the layouts of the real data, each file or folder aside first."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.phantom.fragment import Fragment
from scroll.phantom.surface import Surface
from scroll.runtime.files import written_aside
from scroll.surfaces.surface import Surface as TracedSurface
from scroll.surfaces.tifxyz import write_tifxyz
from scroll.volumes.binning import block_mean

VALIDATED_FROM = 0.75  # share of the columns of a fragment that is labelled in part


def write_fragment(
    fragment: Fragment,
    folder: Path,
    ink_folder: Path | None = None,
    zarr_um: float | None = None,
    labelled: float = 1.0,
) -> None:
    """Write `surface_volume/00.tif..`, `mask.png` and `inklabels.png` as the ink competition has them.

    With `ink_folder`, the label goes there instead: the truth of a test fragment is kept apart. With `zarr_um`, the edge of a voxel,
    the layers go into `surface-volume.zarr` as published ones do. Where only a share of it is `labelled`, masks say so: see `masks_of`.
    """
    import tifffile

    if ink_folder is not None:
        with written_aside(ink_folder) as aside:
            aside.mkdir(parents=True)
            write_png(aside / "inklabels.png", fragment.ink)
    with written_aside(folder) as aside:
        layers = aside / "surface_volume"
        if zarr_um is None:
            layers.mkdir(parents=True)
            for z, layer in enumerate(fragment.volume):
                tifffile.imwrite(layers / f"{z:02d}.tif", layer, photometric="minisblack", metadata=None)
        else:
            write_surface_volume(aside / "surface-volume.zarr", fragment.volume, zarr_um)
        write_png(aside / "mask.png", fragment.mask)
        if ink_folder is None:
            write_png(aside / "inklabels.png", fragment.ink)
            for name, mask in masks_of(fragment.ink.shape, labelled).items():
                write_png(aside / f"{name}.png", mask)


def masks_of(shape_yx: tuple[int, ...], labelled: float) -> dict[str, NDArray[np.bool_]]:
    """Masks by name, (Y, X): the first columns are labelled, that share of all; the last quarter is for validation. None of a whole label.

    >>> {name: mask[0].astype(int).tolist() for name, mask in masks_of((1, 8), 0.25).items()}
    {'supervision_mask': [1, 1, 0, 0, 0, 0, 0, 0], 'validation_mask': [0, 0, 0, 0, 0, 0, 1, 1]}
    """
    if labelled >= 1:
        return {}
    column = np.broadcast_to((np.arange(shape_yx[1]) + 0.5) / shape_yx[1], shape_yx)
    return {"supervision_mask": column < labelled, "validation_mask": column > VALIDATED_FROM}


def write_surface_volume(path: Path, volume: NDArray[np.uint16], voxel_um: float, levels: int = 4) -> None:
    """Write a (Z, Y, X) stack as surface volumes are published: OME-Zarr 0.4, uint8, levels that halve y and x and keep z."""
    import zarr

    layers = (volume >> 8).astype(np.uint8)
    group, datasets = zarr.create_group(path, zarr_format=2), []
    for level in range(levels):
        how = {"chunks": (min(128, layers.shape[0]), 128, 128), "chunk_key_encoding": {"name": "v2", "separator": "/"}}
        group.create_array(str(level), data=layers, **how)
        scale = [voxel_um, voxel_um * 2**level, voxel_um * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        layers = block_mean(layers, (1, 2, 2))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def write_png(path: Path, image: NDArray[np.bool_]) -> None:
    """Write a (Y, X) bool image as 8-bit grey, 0 and 255."""
    from PIL import Image

    Image.fromarray(image.astype(np.uint8) * 255).save(path, format="PNG")


def write_cube(path: Path, cube: NDArray[np.uint8]) -> None:
    """Write a (Z, Y, X) uint8 cube as a multi-page LZW TIFF, one page a layer, as the surface competition has it."""
    import tifffile

    with written_aside(path) as aside, tifffile.TiffWriter(aside) as tiff:
        for layer in cube:
            tiff.write(layer, photometric="minisblack", compression="lzw", metadata=None, contiguous=False)


def write_surface(surface: Surface, folder: Path, uuid: str, has_ink: bool = True) -> None:
    """Write a surface as a tifxyz folder with normals as nx, ny, nz.tif and, if asked, the ink as inklabels.png, grid sized."""
    grid = TracedSurface(surface.points, surface.normals, surface.valid, (surface.step_vox,) * 2, folder)
    normals = {f"n{name}": surface.normals[..., axis] for axis, name in enumerate("zyx")}
    with written_aside(folder) as aside:
        write_tifxyz(grid, aside, uuid, normals)
        if has_ink:
            write_png(aside / "inklabels.png", surface.ink)
