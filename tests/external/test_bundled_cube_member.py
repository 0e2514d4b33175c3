"""An nnU-Net in a bundle for the surface competition, and whole cubes of it replayed."""

import time
from pathlib import Path

import pytest
import yaml

from ensemble.commands.replay import replay
from ensemble.kaggle.on_kaggle import Job
from ensemble.kaggle.run_files import copy_run
from ensemble.surface.predict import CubeRun
from ensemble.surface.predictors import ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2
from scroll.config.reader import load_settings, save_run_settings
from scroll.config.schema import Settings
from scroll.data.cubes import prepare, training_cubes
from scroll.errors import MissingInputError
from scroll.runtime.files import read_json, write_json
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.nnunet import import_nnunet
from tests.cubes.surface_run import own_surface_run
from tests.external.nnunet_folder import write_folder
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The run of the cubes' tests with a third member, which has an equal share of the blend."""
    root = own_surface_run(tmp_path_factory).run_dir.parent
    member = root / "members" / "theirs"
    member.mkdir(parents=True)
    write_card(member, import_nnunet(write_folder(root / "model", (0, 1)), member))
    content = yaml.safe_load((root / "tiny.yaml").read_text())
    content["stage1"]["members"]["theirs"] = {"member": str(member)}  # it says not what it has seen
    (root / "tiny.yaml").write_text(yaml.safe_dump(content))
    done = step("-m", "ensemble.calibrate", root / "tiny.yaml")
    assert done.returncode == 0, done.stderr
    found = load_settings(root / "tiny.yaml")
    save_run_settings(found)
    return found


def with_route(settings: Settings, theirs: float) -> Settings:
    """The run, the plain blend submitted, with this weight of theirs."""
    fit = read_json(settings.folder.fit)
    fit["weights"]["weights"] = {"unet3d": 1 - theirs, "second": 0.0, "theirs": theirs}
    write_json(settings.folder.fit, fit | {"route": POST_PROCESSED})
    return settings


def test_a_job_from_the_bundle_writes_the_submission_of_the_run(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with_route(settings, 0.5)
    source, zipped = settings.data.root, tmp_path / "home.zip"
    where = ("--input", source, "--output", tmp_path / "home", "--submission", zipped)
    truth = ("--truth", source / "heldout")
    done = step("-m", "ensemble.predict", settings.run_dir.parent / "tiny.yaml", *where, *truth)
    assert done.returncode == 0, done.stderr
    rows = read_json(tmp_path / "home" / "score.json")["rows"]  # theirs is fitted nowhere, and may have seen anything
    assert {row["name"] for row in rows} == {"unet3d", "second", ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2}
    assert [row["name"] for row in rows if row.get("has_seen")] == [ENSEMBLE, POST_PROCESSED]
    assert "Not fitted: theirs" in done.stdout and f"{POST_PROCESSED} (seen)" in done.stdout
    copy_run(settings, tmp_path / "bundle" / "run")
    members = settings.run_dir.parent / "members"
    members.rename(members.with_name("hidden"))
    try:
        run, scratch = tmp_path / "bundle" / "run", tmp_path / "scratch"
        job = Job(run, source, scratch, tmp_path / "job.zip", time.monotonic() + 3600)
        job.look()
        job.predict()
    finally:
        members.with_name("hidden").rename(members)
    assert (tmp_path / "job.zip").read_bytes() == zipped.read_bytes()
    assert "theirs x1, unet3d x1" in capsys.readouterr().out


def test_of_a_member_that_is_never_asked_the_card_alone_goes_along(settings, tmp_path):
    with_route(settings, 0.0)
    copy_run(settings, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "members" / "theirs").iterdir()] == ["card.json"]
    there = [f"run_dir={tmp_path / 'run'}", f"stage1.members.theirs.member={tmp_path / 'run' / 'members' / 'theirs'}"]
    assert CubeRun(load_settings(tmp_path / "run" / "settings.yaml", there), tmp_path / "out").members == ["unet3d"]
    weights = settings.run_dir.parent / "members" / "theirs" / "fold1.safetensors"
    weights.rename(tmp_path / "gone")
    (weights.parent / "card.json").touch()  # read before in this process, and not looked at again otherwise
    try:
        with_route(settings, 0.5)
        with pytest.raises(
            MissingInputError, match=r"fold1\.safetensors: not there, though card\.json beside it names it"
        ):
            copy_run(settings, tmp_path / "again")
    finally:
        (tmp_path / "gone").rename(weights)


def test_a_cube_that_it_predicted_is_replayed_to_the_last_bit(settings):
    cube = prepare(training_cubes(settings.data)[:1])[0]
    folder = settings.folder.oof("theirs")
    predict_cubes(settings, "theirs", [cube], [0, 1], folder)
    found = replay(folder / cube.id, 16, 20)
    assert found.largest_difference == 0 and "rows 20-36 predicted again" in found.message
