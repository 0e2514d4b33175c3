"""The bundle's notebook runs from a read-only data set to a validated submission with no network, for both competitions."""

import json
from pathlib import Path

import pytest
from kaggle_room import execute, mount, need_namespaces, repacked, stock_python
from pipeline_run import REPOSITORY

from ensemble.ink.steps import INK
from ensemble.kaggle.stock import STOCK, lacking, project_requirements
from ensemble.kinds import Competition
from ensemble.surface.steps import SURFACE
from tests.steps import step

NEEDS = lacking(project_requirements(REPOSITORY), STOCK)
CASES = {  # both layouts of mounts: data sets and competitions side by side, and each kind in a folder of its own
    "ink": (INK, "input/scroll-ensemble", f"input/{INK.slug}", ["test"]),
    "surface": (SURFACE, "input/datasets/someone/scroll-ensemble", f"input/competitions/{SURFACE.slug}", ["test.csv", "test_images"]),
}  # fmt: skip


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels that a stock notebook lacks, of the versions that are installed here."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in NEEDS:
        repacked(name, folder)
    return folder


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return stock_python(tmp_path / "stock", list(NEEDS))


def in_one_process(root: Path, competition: Competition, folder: Path) -> bytes:
    """The submission of the same run, predicted from the checkout by one process."""
    data, path = root / "data", folder / competition.submission
    source = data / "test" if competition is INK else data
    command = [REPOSITORY / "ensemble" / "predict.py", root / "tiny.yaml", "--input", source]
    settings = [part for setting in competition.overrides for part in ("--set", setting)]
    command += ["--output", folder / "predict", "--submission", path, *settings]
    done = step(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_notebook_ends_with_the_submission_of_one_process(name, request, wheels, python, tmp_path):
    need_namespaces()
    competition, bundle_at, data_at, files = CASES[name]
    root, room = request.getfixturevalue(name), tmp_path / "kaggle"
    command = [REPOSITORY / "scripts" / "kaggle_bundle.py", root / "run", "--wheels", wheels]
    command += ["--output", tmp_path / "bundle", "--owner", "someone"]
    made = step(*command, cwd=tmp_path)
    assert made.returncode == 0 and made.stdout.count("\n") == 1, made.stdout + made.stderr
    mount(tmp_path, room / bundle_at, ["bundle"])  # as a zipped folder is unpacked: a level deeper
    if name == "surface":  # and its folders once more
        (room / bundle_at / "bundle" / "run").rename(room / "run")
        (room / bundle_at / "bundle" / "run").mkdir()
        (room / "run").rename(room / bundle_at / "bundle" / "run" / "run")
    mount(root / "data", room / data_at, files)
    done, modules = execute(python, tmp_path / "bundle" / "notebook.ipynb", room, gpus="0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    own = str(python.parents[1])
    assert all(modules[name].startswith(own) for name in ("scroll", "ensemble", "zarr", "monai")), modules
    assert not modules["torch"].startswith(own)
    message = done.stdout
    assert "gpu 0: " in message and "gpu 1: " in message and "2 masks" in message and "hours to spare" in message
    assert [path.name for path in (room / "working").iterdir()] == [competition.submission]
    assert (room / "working" / competition.submission).read_bytes() == in_one_process(root, competition, tmp_path)


@pytest.mark.slow
def test_a_notebook_without_its_wheels_or_its_data_says_so_in_one_line(ink, python, tmp_path):
    need_namespaces()
    command = [
        REPOSITORY / "scripts" / "kaggle_bundle.py",
        ink / "run",
        "--output",
        tmp_path / "bundle",
    ]
    made = step(*command, cwd=tmp_path)
    _, wheels, owner = made.stdout.splitlines()
    assert "zarr==" in wheels and "--download" in wheels and "YOUR-NAME" in owner
    names = [path.name for path in (tmp_path / "bundle").iterdir()]
    room = tmp_path / "kaggle"
    mount(tmp_path / "bundle", room / "input" / "bundle", names)
    done, _ = execute(python, tmp_path / "bundle" / "notebook.ipynb", room, gpus="")
    assert done.returncode and done.stderr.splitlines()[-1].startswith(
        "FileNotFoundError: the competition's data: not below"
    )
    again = tmp_path / "again"
    mount(tmp_path / "bundle", again / "input" / "bundle", names)
    mount(ink / "data", again / "input" / INK.slug, ["test"])
    done, _ = execute(python, tmp_path / "bundle" / "notebook.ipynb", again, gpus="")
    assert done.returncode and json.loads((tmp_path / "bundle" / "bundle.json").read_text())["missing"] == list(NEEDS)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("scroll.errors.MissingInputError: monai, zarr") and "make it again with --download" in last
