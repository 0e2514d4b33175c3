"""Tiny fragments in the competition's layout, for the tests beside this file."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment


def write_fragment(
    folder: Path, layers: np.ndarray, mask: np.ndarray | None = None, ink: np.ndarray | None = None
) -> Path:
    """Layers (Z, Y, X) of any type, with mask.png and inklabels.png where given."""
    (folder / "surface_volume").mkdir(parents=True)
    for number, layer in enumerate(layers):
        tifffile.imwrite(folder / "surface_volume" / f"{number:02d}.tif", layer)
    for name, pixels in (("mask.png", mask), ("inklabels.png", ink)):
        if pixels is not None:
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / name)
    return folder


def data_settings(root: Path, **changes) -> DataSettings:
    return DataSettings.model_validate(
        {"root": root, "cache_dir": root / "cache", "voxel_um": 8.0, "depth": (-2, 3)} | changes
    )


def small_fragment(root: Path, name: str = "1", shape: tuple[int, int, int] = (9, 24, 20), **changes) -> Fragment:
    """Noise whose lower half is ink, all papyrus; the depth window is layers 2 to 6."""
    rng = np.random.default_rng(len(name) + shape[1])
    layers = rng.integers(0, 60_000, shape, dtype=np.uint16)
    ink = np.zeros(shape[1:], dtype=bool)
    ink[shape[1] // 2 :] = True
    folder = write_fragment(root / "train" / name, layers, np.ones(shape[1:], dtype=bool), ink)
    return Fragment(name, folder, data_settings(root, **changes))
