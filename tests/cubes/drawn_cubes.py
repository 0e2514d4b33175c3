"""Cubes of any content in the competition's layout, for the tests beside this file."""

from pathlib import Path

import numpy as np

from scroll.config.schema import DataSettings
from scroll.data.cubes import Cube, find_cubes
from scroll.phantom.write import write_cube


def write_cubes(root: Path, labels: dict[str, np.ndarray], scrolls: dict[str, str] | None = None) -> None:
    """A cube for each label (Z, Y, X): its CT is 100 on the surface, 50 elsewhere, and some noise."""
    rng = np.random.default_rng(0)
    for name, label in labels.items():
        image = 50 + 50 * (label == 1) + rng.integers(0, 10, label.shape)
        write_cube(root / "train_images" / f"{name}.tif", image.astype(np.uint8))
        write_cube(root / "train_labels" / f"{name}.tif", label.astype(np.uint8))
    rows = [f"{name},{(scrolls or {}).get(name, '1')}" for name in labels]
    (root / "train.csv").write_text("\n".join(["id,scroll_id", *rows]) + "\n")


def cubes_of(root: Path, **changes: object) -> list[Cube]:
    data = DataSettings.model_validate({"kind": "cubes", "root": root, "cache_dir": root / "cache"} | changes)
    return find_cubes(root, data, data.train)


def striped(shape: tuple[int, int, int], seed: int = 0, known_share: float = 0.5) -> np.ndarray:
    """Sheets every 16 columns; known in the first `known_share` of the rows, unlabelled in the rest."""
    label = np.zeros(shape, np.uint8)
    label[:, :, (seed % 16) :: 16] = 1
    label[:, round(shape[1] * known_share) :] = 2
    return label
