"""Before a prediction: a blurred stack is told from a sharp one, and one whose layers do not reach the sheet is no prediction's fault."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from ensemble.audit.quality import NOT_CHECKED, placed, texture_beside
from scroll.audit.verdict import LEAST_TEXTURE
from scroll.config.schema import DataSettings, Settings
from scroll.data.fragments import Fragment
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.preflight.training_span import read_reference, training_reference

MEMBER = {"members": {"m": {"network": "cnn3d"}}}


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bare fragments of 33 layers, and the second one blurred by two working pixels."""
    root = tmp_path_factory.mktemp("sheets")
    make_fragments(root, fragment_settings("zero", (33, 256, 256), letter_height_px=110), 9, train=2, test=0, jobs=1)
    blurred = root / "train" / "blurred" / "surface_volume"
    blurred.mkdir(parents=True)
    for path in sorted((root / "train" / "2" / "surface_volume").glob("*.tif")):
        tifffile.imwrite(blurred / path.name, gaussian_filter(tifffile.imread(path), 8))
    return root


def fragment(root: Path, name: str, depth: tuple[int, int] = (-8, 8)) -> Fragment:
    data = DataSettings(root=root, cache_dir=root / "cache", bin_yx=4, depth=depth)
    return Fragment(name, root / "train" / name, data)


def test_a_blurred_scan_lacks_the_finest_texture_and_another_sharp_one_does_not(sheets: Path) -> None:
    known = fragment(sheets, "1")
    reference = read_reference(training_reference([(known.stack, known.full_mask, "1")]))
    sharp, soft = (texture_beside(fragment(sheets, name), reference, 24) for name in ("2", "blurred"))
    assert sharp is not None and soft is not None
    assert sharp > 2 * LEAST_TEXTURE and soft < LEAST_TEXTURE / 2
    assert np.isfinite([sharp, soft]).all()


def test_layers_that_are_not_there_are_a_reason_and_no_error(sheets: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate({"run_dir": tmp_path, "stage1": MEMBER})
    there = placed(settings, fragment(sheets, "1"), None, tmp_path)
    assert not there.unusable and there.note == NOT_CHECKED and there.texture is None
    lacking = placed(settings, fragment(sheets, "1", depth=(-8, 30)), None, tmp_path)
    assert "33 layers" in lacking.unusable and lacking.fragment.id == "1"
