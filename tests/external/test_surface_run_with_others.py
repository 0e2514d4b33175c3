"""A run on cubes with an nnU-Net as a member: predicted by folds that did not see the cube, fitted, submitted, and said."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from ensemble.surface.fit import read_cube_fit
from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.data.cubes import training_cubes
from scroll.data.members.card import read_card
from scroll.inference.prediction_store import open_map
from scroll.runtime.receipt import read_receipt
from scroll.volumes import open_volume
from stage1_3d.external.nnunet import network, probabilities
from tests.cubes.surface_run import own_surface_run
from tests.external.nnunet_folder import write_folder
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def call(*words: object) -> str:
    done = step(*words, cwd=REPOSITORY)
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The run of the cubes' tests, with a third member of three folds, each of which held one scroll out."""
    before = own_surface_run(tmp_path_factory)
    root, cubes = before.run_dir.parent, training_cubes(before.data)
    write_folder(root / "nnunet", (0, 1, 2), doubt=6.0)
    scrolls = sorted({cube.volume_name for cube in cubes})
    sides = [{"train": lambda s, n=n: s != n, "val": lambda s, n=n: s == n} for n in scrolls]
    splits = [{side: [c.id for c in cubes if is_on(c.volume_name)] for side, is_on in fold.items()} for fold in sides]
    (root / "splits_final.json").write_text(json.dumps(splits))
    call(
        REPOSITORY / "scripts" / "import_member.py", root / "nnunet", "--kind", "nnunet", "--name", "theirs",
        "--output", root / "members" / "theirs", "--splits", root / "splits_final.json", "--voxel-um", before.data.voxel_um,
    )  # fmt: skip
    content = yaml.safe_load((root / "tiny.yaml").read_text())
    content["stage1"]["members"]["theirs"] = {"member": str(root / "members" / "theirs")}
    (root / "tiny.yaml").write_text(yaml.safe_dump(content))
    for module in ("stage1_3d.train", "stage2_2d.train", "ensemble.calibrate"):
        call("-m", module, root / "tiny.yaml")
    return load_settings(root / "tiny.yaml")


def test_each_cube_is_predicted_by_the_fold_that_did_not_see_it_and_by_its_arithmetic(settings):
    folder = settings.run_dir.parent / "members" / "theirs"
    card = read_card(folder)
    for cube in training_cubes(settings.data)[:2]:
        receipt = read_receipt(settings.run_dir / "stage1" / "theirs" / "oof" / cube.id, "")
        (fold,) = receipt["folds"]
        assert cube.id not in card.folds[fold].trained_on and card.unseen(cube.id, cube.volume_name) == [fold]
        expected = probabilities(card, [network(folder, card, fold)], np.asarray(open_volume(cube.image)[...]))
        stored = open_map(settings.run_dir / "stage1" / "theirs" / "oof" / cube.id / "prob.zarr", "")[:]
        assert np.array_equal(stored, expected.astype(np.float16))


def test_it_is_fitted_beside_ours_and_its_ridges_are_in_the_sheets(settings):
    fit = read_cube_fit(settings)
    assert set(fit.weights.weights) == {"unet3d", "second", "theirs"} and "theirs" in fit.rows
    assert sum(fit.weights.weights.values()) == pytest.approx(1)
    sheets = next(settings.folder.sheets.iterdir())
    assert read_receipt(sheets, "")["sources"] == [*settings.stage1.members, "ct"]


def test_a_new_cube_is_predicted_by_all_its_folds_submitted_and_the_table_says_whose_it_is(settings):
    output = settings.run_dir.parent / "predict"
    where = ("--input", settings.data.root, "--output", output, "--truth", settings.data.root / "heldout")
    submission = settings.run_dir.parent / "submission.zip"
    config = settings.run_dir.parent / "tiny.yaml"
    message = call("-m", "ensemble.predict", config, *where, "--submission", submission)
    receipt = next((output / "theirs").glob("*/receipt.json"))
    assert json.loads(receipt.read_text())["folds"] == [0, 1, 2]
    assert submission.exists() and "Trained elsewhere: theirs (nnunet)." in message and "(seen)" not in message
    kinds = {row["name"]: row["kind"] for row in json.loads((output / "score.json").read_text())["rows"]}
    assert kinds["theirs"] == "trained elsewhere" and kinds["unet3d"] == "member"
