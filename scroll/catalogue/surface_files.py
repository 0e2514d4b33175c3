"""The files of a published tifxyz, brought to voxels of the volume that they lie in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.runtime.files import read_mapping, write_json

COORDINATES = ("x.tif", "y.tif", "z.tif")
NEEDED, MAY_BE = (*COORDINATES, "meta.json"), ("mask.tif",)


def scaling(name: str, factor: float) -> Callable[[Path], None]:
    """What is done to a fetched file before it is taken for whole: nothing where the coordinates are voxels already.

    Points are multiplied by `original_volume_downscale`, as published boxes are; what marks a place without a point stays as it is.
    """
    if factor == 1 or name in MAY_BE:
        return lambda path: None
    return (
        (lambda path: _scale_points(path, factor)) if name in COORDINATES else (lambda path: _scale_meta(path, factor))
    )


def _scale_points(path: Path, factor: float) -> None:
    import numpy as np
    import tifffile

    from scroll.volumes.flat_picture import read_image

    values = np.asarray(read_image(path), np.float32)
    values[values > 0] *= np.float32(factor)
    tifffile.imwrite(path, values, compression="zlib", photometric="minisblack", metadata=None)


def _scale_meta(path: Path, factor: float) -> None:
    content = dict(read_mapping(path))
    scale = content.get("scale")
    if not isinstance(scale, list) or not all(isinstance(part, int | float) for part in scale):
        raise InputError(
            f"{path.name}: scale is {scale!r:.80}; expected [sx, sy] in cells per voxel: the published file is wrong"
        )
    content["scale"] = [part / factor for part in scale]
    box = content.get("bbox")
    if isinstance(box, list):
        content["bbox"] = [_scaled(corner, factor) for corner in box]
    if isinstance(content.get("area_vx2"), int | float):
        content["area_vx2"] *= factor**2
    write_json(path, content)


def _scaled(corner: Any, factor: float) -> Any:
    if not isinstance(corner, list):
        return corner
    return [part * factor if isinstance(part, int | float) and part > 0 else part for part in corner]
