"""One array written in every way that a reader understands, for the tests beside this file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr

from scroll.volumes import ome_zarr


def write_layers(folder: Path, voxels: np.ndarray, digits: int = 2, ending: str = ".tif", **options) -> Path:
    folder.mkdir(parents=True)
    for number, layer in enumerate(voxels):
        tifffile.imwrite(folder / f"{number:0{digits}d}{ending}", layer, **options)
    return folder


def _tiff_cube(path: Path, voxels: np.ndarray, **options) -> Path:
    with tifffile.TiffWriter(path.with_name(path.name + ".tif"), **options.pop("file", {})) as tiff:
        for layer in voxels:
            tiff.write(layer, contiguous=False, **options)
    return path.with_name(path.name + ".tif")


def _zarr(path: Path, voxels: np.ndarray, **options) -> Path:
    zarr.create_array(path, data=voxels, fill_value=0, **options)
    return path


def _ome(path: Path, voxels: np.ndarray, **options) -> Path:
    ome_zarr.create_ome_zarr(path, voxels.shape, voxels.dtype, voxel_um=7.91, **options)[:] = voxels
    return path


def _npy(path: Path, voxels: np.ndarray, order: str = "C") -> Path:
    np.save(path.with_name(path.name + ".npy"), np.asarray(voxels, order=order))
    return path.with_name(path.name + ".npy")


def _npz(path: Path, voxels: np.ndarray) -> Path:
    np.savez_compressed(path.with_name(path.name + ".npz"), mask=voxels[0] > 0, scan=voxels)
    return path.with_name(path.name + ".npz")


Write = Callable[[Path, np.ndarray], Path]
STORES: dict[str, Write] = {
    "layers, raw": lambda path, voxels: write_layers(path / "surface_volume", voxels).parent,
    "layers, raw big-endian": lambda path, voxels: write_layers(path / "layers", voxels, byteorder=">"),
    "layers, raw strips of 2 rows": lambda path, voxels: (
        write_layers(path / "subvolume", voxels, rowsperstrip=2).parent
    ),
    "layers, LZW strips": lambda path, voxels: write_layers(
        path, voxels, 3, ".tiff", compression="lzw", rowsperstrip=3
    ),
    "layers, LZW tiles": lambda path, voxels: write_layers(path, voxels, 5, compression="lzw", tile=(16, 16)),
    "layers, raw tiles": lambda path, voxels: write_layers(path, voxels, tile=(16, 16)),
    "layers, zlib with predictor": lambda path, voxels: write_layers(path, voxels, compression="zlib", predictor=True),
    "cube, raw": _tiff_cube,
    "cube, raw BigTIFF": lambda path, voxels: _tiff_cube(path, voxels, file={"bigtiff": True, "byteorder": ">"}),
    "cube, LZW": lambda path, voxels: _tiff_cube(path, voxels, compression="lzw", rowsperstrip=5),
    "zarr v2, dots": lambda path, voxels: _zarr(path, voxels, zarr_format=2, chunks=(2, 5, 7)),
    "zarr v3": lambda path, voxels: _zarr(path, voxels, chunks=(2, 5, 7), compressors=None),
    "zarr v2, big-endian": lambda path, voxels: _zarr(
        path, voxels.astype(voxels.dtype.newbyteorder(">")), zarr_format=2, chunks=(4, 4, 4)
    ),
    "OME-Zarr 0.4": lambda path, voxels: _ome(path, voxels, chunks=(3, 4, 5)),
    "OME-Zarr 0.5": lambda path, voxels: _ome(path, voxels, chunks=(3, 4, 5), version="0.5"),
    "OME-Zarr 0.5, sharded": lambda path, voxels: _ome(path, voxels, chunks=(2, 4, 4), shards=(4, 8, 8), version="0.5"),
    "npy": _npy,
    "npy, Fortran order": lambda path, voxels: _npy(path, voxels, "F"),
    "npz": _npz,
}
