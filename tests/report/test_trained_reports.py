"""The reports of two runs that were really trained, for seconds: every section is there, and both work in the browser."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scroll.config_file import merged
from scroll.files import read_json
from tests.pipeline.pipeline_run import ENVIRONMENT, PHANTOM, REPOSITORY, tiny_settings
from tests.report.page_checks import check_cube, check_page, check_sheet

pytestmark = pytest.mark.slow
QUICK = {"steps": 6, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2, "validate_every": 3}
QUICK |= {"checkpoint_every": 3, "warmup_steps": 1, "ema_decay": 0.5}


def walked(config: Path, phantom: tuple[str, ...], data: Path, test: Path, output: Path) -> Path:
    """Phantom, both stages, calibration, prediction with a score; the page."""
    for command in (
        ["scripts/make_phantom.py", *phantom, "--out", str(data)],
        ["-m", "stage1_3d.train", str(config)],
        ["-m", "stage2_2d.train", str(config)],
        ["-m", "ensemble.calibrate", str(config)],
        [
            "ensemble/predict.py",
            str(config),
            "--input",
            str(test),
            "--output",
            str(output),
            "--truth",
            str(data / "heldout"),
        ],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=REPOSITORY, env=ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
    return output / "report.html"


@pytest.fixture(scope="module")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained_ink")
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_settings(root, root / "run")))
    phantom = ("fragments", *PHANTOM, "--train", "2", "--test", "1")
    return walked(config, phantom, root / "data", root / "data" / "test", root / "run" / "predict")


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained_cubes")
    member = {"network": "unet3d", "training": QUICK}
    member["options"] = {"channels": [4, 8, 8], "strides": [[2, 2, 2], [2, 2, 2], [2, 2, 2]]}
    chain = {
        "thresholds": [0.4, 0.5],
        "smooth_sigma_vox": [],
        "strong": [],
        "dust_vox": [50],
        "thickness_vox": [],
        "even": [],
    }
    chain |= {
        "closing_radius_vox": [],
        "plug_radius_vox": [],
        "cavity_vox": [],
        "remains_vox": [],
        "octant_dust_vox": [],
        "passes": 1,
    }
    changes = {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache")},
        "stage1": {"defaults": {"patch_size": [32, 32, 32], "training": QUICK}},
        "tracing": {"least_area_vox": 400, "reach_vox": 4},
        "stage2": {"patch_size": [32, 32], "training": QUICK},
        "ensemble": {"chain": chain},
    }
    settings = merged(yaml.safe_load((REPOSITORY / "configs" / "demo_surface.yaml").read_text()), changes)
    settings["stage1"]["members"] = {"one": member, "two": member | {"seed": 1}}
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    phantom = ("cubes", "--mixed", "--size", "64", "--seed", "5", "--train", "4", "--test", "2", "--jobs", "1")
    return walked(config, phantom, root / "data", root / "data", root / "run" / "predict")


@pytest.mark.parametrize(("kind", "check"), [("ink", check_sheet), ("cubes", check_cube)])
def test_the_page_of_a_run_works_in_the_browser(
    opened: Any, request: pytest.FixtureRequest, kind: str, check: Any
) -> None:
    check_page(opened, request.getfixturevalue(kind), check)


@pytest.mark.parametrize(
    ("kind", "metrics", "members"), [("ink", 4, ["cnn3d", "unet3d"]), ("cubes", 4, ["one", "two"])]
)
def test_the_score_holds_all_that_the_page_shows(
    request: pytest.FixtureRequest, kind: str, metrics: int, members: list[str]
) -> None:
    path = request.getfixturevalue(kind)
    score = read_json(path.parent / "score.json")
    out_of_fold = score["out_of_fold"]
    assert len(out_of_fold["metrics"]) == metrics and len(out_of_fold["folds"]) == 2
    assert {*members} <= out_of_fold["by_fold"].keys() and out_of_fold["curves"]["ensemble"].keys() >= {
        "sweep",
        "reliability",
    }
    rows = {row["name"]: row for row in score["rows"]}
    assert all({"difference", "verdict"} <= rows[name]["without"].keys() for name in members)
    for patch in score["patches"]:
        assert patch["kind"] in ("worst", "best") and list(patch["cuts"]) == ["z", "y", "x"]
        assert {"CT", "label", *members, "ensemble", "errors"} <= set(patch["columns"])
        assert all((path.parent / file).exists() for cuts in patch["cuts"].values() for file in cuts.values())
    page = path.read_text()
    assert all(command in page for command in ("make_phantom.py", "stage1_3d.train", "ensemble.calibrate", "--truth"))
