"""The doctor on traced segments: what a surface is only doubted for is told too, with its numbers."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from ensemble.commands import doctor

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def own(data, tmp_path) -> Path:
    """One segment of each training volume, copied so that it can be spoiled."""
    for name in ("1", "2"):
        source = sorted((data.root / "train").glob(f"{name}-*"))[1]
        folder = tmp_path / "own" / "train" / name
        shutil.copytree(source, folder)
        (folder / "volume_source.txt").write_text(str(data.root / "volumes" / f"{name}.zarr"))
    return tmp_path / "own"


def doctor_lines(root: Path, tmp_path: Path) -> list[str]:
    small = {"patch_size": [16, 16, 16]}
    settings = {
        "extends": os.path.relpath(REPOSITORY / "configs" / "demo.yaml", tmp_path),
        "run_dir": str(tmp_path / "run"),
        "data": {"root": str(root), "cache_dir": str(tmp_path / "cache")},
        "stage1": {"defaults": small, "members": {"unet3d": small}},
        "stage2": {"patch_size": [32, 32]},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    return list(doctor.examine(tmp_path / "run.yaml", []))


def test_sound_segments_have_no_problem(own, tmp_path):
    assert all(line.startswith("ok:") for line in doctor_lines(own, tmp_path))


def test_a_sheet_that_leaves_its_volume_is_reported_with_the_share(own, tmp_path):
    folder = own / "train" / "1"
    meta = json.loads((folder / "meta.json").read_text())
    meta.pop("bbox", None)
    (folder / "meta.json").write_text(json.dumps(meta))
    x = tifffile.imread(folder / "x.tif")
    tifffile.imwrite(folder / "x.tif", np.where(x > 0, x + 90, x).astype(np.float32))
    problems = [line for line in doctor_lines(own, tmp_path) if line.startswith("problem:")]
    assert len(problems) == 1 and "of its valid points lie outside the volume" in problems[0]
