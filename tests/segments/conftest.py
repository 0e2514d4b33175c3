"""Small phantom scrolls, drawn once: two volumes to train on and one to test, with the wraps traced in them."""

from pathlib import Path

import pytest

from scroll.config.schema import DataSettings
from scroll.phantom.scroll_dataset import make_scrolls
from scroll.phantom.settings import scroll_settings

SIZE_VOX = 112


@pytest.fixture(scope="session")
def scrolls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """volumes/, train/, test/ and heldout/ of a phantom with easy ink."""
    root = tmp_path_factory.mktemp("scrolls") / "data"
    make_scrolls(root, scroll_settings("easy", SIZE_VOX, letter_height_px=40.0), seed=7, train=2, test=1, jobs=1)
    return root


@pytest.fixture
def data(scrolls: Path, tmp_path: Path) -> DataSettings:
    """How these scrolls are looked at."""
    return DataSettings(
        kind="segments", root=scrolls, cache_dir=tmp_path / "cache", depth=(-6, 8), bin_yx=2, voxel_um=7.91
    )
