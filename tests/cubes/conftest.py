"""Small phantom cubes, drawn once: six to train on from three scrolls, and one to test."""

from pathlib import Path

import pytest

from scroll.config import DataSettings
from scroll.phantom.dataset import make_cubes
from scroll.phantom.settings import cube_settings

SIZE_VOX = 64


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train_images/, train_labels/, train.csv, test_images/, test.csv and heldout/ of a phantom."""
    root = tmp_path_factory.mktemp("cubes") / "data"
    make_cubes(root, cube_settings("default", SIZE_VOX), seed=5, train=6, test=1, jobs=1)
    return root


@pytest.fixture(scope="session")
def data(phantom: Path) -> DataSettings:
    """How these cubes are looked at."""
    return DataSettings(kind="cubes", root=phantom, cache_dir=phantom.parent / "cache")
