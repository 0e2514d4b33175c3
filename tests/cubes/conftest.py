"""Small phantom cubes, drawn once: six to train on from three scrolls, and one to test."""

from pathlib import Path

import pytest
from surface_run import draw_cubes

from scroll.config.schema import DataSettings


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train_images/, train_labels/, train.csv, test_images/, test.csv and heldout/ of a phantom."""
    root = tmp_path_factory.mktemp("cubes") / "data"
    draw_cubes(root, test=1)
    return root


@pytest.fixture(scope="session")
def data(phantom: Path) -> DataSettings:
    """How these cubes are looked at."""
    return DataSettings(kind="cubes", root=phantom, cache_dir=phantom.parent / "cache")
