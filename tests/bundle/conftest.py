"""A finished tiny run for each competition, in the folders of which the tests beside this file look and write."""

import sys
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "pipeline"), str(TESTS / "cubes")]  # whose tiny runs these are

from pipeline_run import PHANTOM, REPOSITORY, step, tiny_settings  # noqa: E402
from surface_run import tiny_config, trained  # noqa: E402

from ensemble.cube_calibrate import calibrate_cubes, fit_path  # noqa: E402
from ensemble.cube_candidates import STAGE2  # noqa: E402
from scroll.files import write_json  # noqa: E402
from scroll.phantom.dataset import make_cubes  # noqa: E402
from scroll.phantom.settings import cube_settings  # noqa: E402


@pytest.fixture(scope="session")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/, run/ and tiny.yaml of a run on fragments, two of which are to be predicted."""
    root = tmp_path_factory.mktemp("ink")
    config = root / "tiny.yaml"
    settings = tiny_settings(root, root / "run")
    settings["stage1"]["window"] = {"tta": "flips"}  # something to give up
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name, *arguments in (
        ("phantom", REPOSITORY / "scripts" / "make_phantom.py", "fragments", "--out", root / "data", *PHANTOM,
         "--train", "2", "--test", "2"),
        ("stage1", "-m", "stage1_3d.train", config),
        ("stage2", "-m", "stage2_2d.train", config),
        ("calibrate", "-m", "ensemble.calibrate", config),
    ):  # fmt: skip
        done, _ = step(*arguments)
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
    return root


@pytest.fixture(scope="session")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a run on cubes."""
    root = tmp_path_factory.mktemp("surface")
    make_cubes(root / "data", cube_settings("default", 64), seed=5, train=6, test=2, jobs=1)
    settings = trained(tiny_config(root, root / "data"))
    fit = calibrate_cubes(settings)
    write_json(
        fit_path(settings), fit | {"route": STAGE2}
    )  # the longest way to a mask, whatever scores best on six cubes
    return root
