"""The reports of two runs that were really trained, for seconds: every section is there, and both work in the browser."""

from pathlib import Path
from typing import Any

import pytest

from scroll.runtime.files import read_json
from tests.cubes.surface_run import own_surface_run
from tests.pipeline.pipeline_run import own_ink_run
from tests.report.page_checks import check_cube, check_page, check_sheet
from tests.steps import step

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_ink_run(tmp_path_factory).output / "report.html"


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = own_surface_run(tmp_path_factory)
    data, output = settings.data.root, settings.run_dir / "predict"
    command = ["ensemble/predict.py", data.parent / "tiny.yaml", "--input", data, "--output", output]
    done = step(*command, "--truth", data / "heldout")
    assert done.returncode == 0, done.stderr
    return output / "report.html"


@pytest.mark.parametrize(("kind", "check"), [("ink", check_sheet), ("cubes", check_cube)])
def test_the_page_of_a_run_works_in_the_browser(
    opened: Any, request: pytest.FixtureRequest, kind: str, check: Any
) -> None:
    check_page(opened, request.getfixturevalue(kind), check)


@pytest.mark.parametrize(
    ("kind", "metrics", "members"), [("ink", 4, ["cnn3d", "unet3d"]), ("cubes", 4, ["unet3d", "second"])]
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
