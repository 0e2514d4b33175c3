"""A finished tiny run for each competition, with two items to predict, in the folders of which the tests beside this file write."""

import shutil
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "pipeline"), str(TESTS / "cubes")]  # whose tiny runs these are

from pipeline_run import PHANTOM, REPOSITORY, own_ink_run, step  # noqa: E402
from surface_run import draw_cubes, own_surface_run  # noqa: E402

from ensemble.surface.fit import read_cube_fit  # noqa: E402
from ensemble.surface.predictors import STAGE2  # noqa: E402
from scroll.runtime.record import write_record  # noqa: E402


@pytest.fixture(scope="session")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/, run/ and tiny.yaml of a run on fragments."""
    run, drawn = own_ink_run(tmp_path_factory), tmp_path_factory.mktemp("two-fragments")
    phantom = ("fragments", "--out", drawn / "data", *PHANTOM, "--train", "2", "--test", "2")
    done = step(REPOSITORY / "scripts" / "make_phantom.py", *phantom)
    assert done.returncode == 0, done.stderr
    replace(run.data, drawn / "data", "test", "heldout")
    return run.root


@pytest.fixture(scope="session")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a run on cubes."""
    settings = own_surface_run(tmp_path_factory)
    root, drawn = settings.run_dir.parent, tmp_path_factory.mktemp("two-cubes") / "data"
    draw_cubes(drawn, test=2)
    replace(settings.data.root, drawn, "test_images", "test.csv", "heldout")
    write_record(
        settings.folder.fit, read_cube_fit(settings).model_copy(update={"route": STAGE2})
    )  # the longest way to a mask, whatever scores best on six cubes
    return root


def replace(data: Path, drawn: Path, *names: str) -> None:
    """Put what was drawn in the place of what has these names."""
    for name in names:
        (shutil.rmtree if (data / name).is_dir() else Path.unlink)(data / name)
        shutil.move(drawn / name, data / name)
