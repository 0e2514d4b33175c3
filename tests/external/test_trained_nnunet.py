"""An nnU-Net that its own commands plan, train and validate on what we export: what it says of each cube is what its member says."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from scroll.config.reader import load_settings
from scroll.data.cubes import find_cubes, training_cubes
from scroll.data.members.card import read_card
from scroll.inference.prediction_store import open_map
from scroll.phantom.dataset import make_cubes
from scroll.phantom.settings import cube_settings
from scroll.volumes import open_volume
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.external.nnunet import network, probabilities
from stage1_3d.external.ready import volume_of
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
CUBE_VOX = 48
NAME, TRAINER, SET = "3d_small", "nnUNetTrainerOneStep", "Dataset501_Sheets"
COMMANDS = {
    "plan_and_preprocess": "experiment_planning.plan_and_preprocess_entrypoints plan_and_preprocess_entry",
    "train": "run.run_training run_training_entry",
    "predict": "inference.predict_from_raw_data predict_entry_point",
}
ONE_STEP = f"""
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class {TRAINER}(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.num_iterations_per_epoch = self.num_val_iterations_per_epoch = 1
"""

pytestmark = pytest.mark.slow


def theirs(root: Path, command: str, *options: object) -> None:
    """nnUNetv2_<command>, with its folders below `root`."""
    module, function = COMMANDS[command].split()
    lines = ["from scroll.runtime.torchvision_schemas import import_torchvision as first", "first()"]
    lines += [f"from nnunetv2.{module} import {function} as run", "run()"]
    places = {f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results", "extTrainer")}
    loaders = "0" if command == "train" else "1"  # its planner takes this for a number of threads
    ways = {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": loaders, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = step("-c", "\n".join(lines), *options, environment={**os.environ, **places, **ways})
    assert done.returncode == 0, f"nnUNetv2_{command} {options}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def ours(script: str, *options: object) -> str:
    done = step(REPOSITORY / "scripts" / f"{script}.py", *options, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_small(plans: Path) -> None:
    """A configuration of small windows and few channels beside those that were planned, as nnU-Net's page on plans tells to."""
    content = json.loads(plans.read_text())
    architecture = json.loads(json.dumps(content["configurations"]["3d_fullres"]["architecture"]))
    of_stages = architecture["arch_kwargs"]
    of_stages["features_per_stage"] = [4 * (n + 1) for n in range(of_stages["n_stages"])]
    small = {"inherits_from": "3d_fullres", "patch_size": [32, 32, 48], "architecture": architecture}
    content["configurations"][NAME] = small
    plans.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cubes of two scrolls, a configuration, and an nnU-Net of two folds that was trained on them, as two members."""
    pytest.importorskip("nnunetv2")
    root = tmp_path_factory.mktemp("nnunet")
    make_cubes(root / "cubes", cube_settings("default", CUBE_VOX), seed=5, train=4, test=1, jobs=1)
    config = {"extends": str(REPOSITORY / "configs" / "demo_surface.yaml"), "run_dir": str(root / "run")}
    config |= {"data": {"root": str(root / "cubes"), "cache_dir": str(root / "cache")}}
    config |= {"stage1": {"members": {name: {"member": str(root / name)} for name in ("theirs", "ready")}}}
    (root / "c.yaml").write_text(yaml.safe_dump(config))
    message = ours("export_dataset", root / "c.yaml", "--output", root / "raw" / SET, "--input", root / "cubes")
    assert "4 items, and 1 new ones" in message
    (root / "extTrainer").mkdir()
    (root / "extTrainer" / "one_step.py").write_text(ONE_STEP)
    theirs(root, "plan_and_preprocess", "-d", 501, "-c", "3d_fullres", "-np", 1, "-npfp", 1)
    make_small(root / "preprocessed" / SET / "nnUNetPlans.json")
    for fold in (0, 1):
        theirs(root, "train", 501, NAME, fold, "-tr", TRAINER, "--npz", "-device", "cpu")
    of_new = (
        "-i",
        root / "raw" / SET / "imagesTs",
        "-o",
        root / "predicted",
        "--save_probabilities",
        "-npp",
        1,
        "-nps",
        1,
    )
    theirs(root, "predict", "-d", 501, "-c", NAME, "-tr", TRAINER, "-f", 0, 1, "-device", "cpu", *of_new)
    trained, splits = trained_in(root), root / "raw" / SET / "splits_final.json"
    for kind, name, sources in (
        ("nnunet", "theirs", [trained]),
        ("predictions", "ready", [trained, root / "predicted"]),
    ):
        ours("import_member", *sources, "--kind", kind, "--name", name, "--output", root / name, "--splits", splits)
    return root


def trained_in(root: Path) -> Path:
    return root / "results" / SET / f"{TRAINER}__nnUNetPlans__{NAME}"


def test_out_of_fold_is_what_its_own_validation_said(root):
    settings = load_settings(root / "c.yaml")
    cubes = training_cubes(settings.data)
    validated = {path.stem: path for path in trained_in(root).glob("fold_*/validation/*.npz")}
    assert {*validated} == {cube.id for cube in cubes} and len({path.parts[-3] for path in validated.values()}) == 2
    for cube in cubes:
        unseen = read_card(root / "theirs").unseen(cube.id, cube.volume_name)
        predict_cubes(settings, "theirs", [cube], unseen, root / "oof")
        found = open_map(root / "oof" / cube.id / "prob.zarr", "")[:]
        (expected,) = np.load(validated[cube.id])["probabilities"][1:]
        assert expected.std() > 1e-3  # another number of threads rounds convolutions otherwise: two steps of float16
        assert np.abs(found.astype(np.float32) - expected.astype(np.float32)).max() <= 2**-10
        ready = volume_of(root / "ready", read_card(root / "ready"), cube.id, cube.shape)
        assert np.array_equal(ready, expected.astype(np.float16))


def test_a_new_cube_is_predicted_as_by_its_own_command(root):
    (cube,) = find_cubes(root / "cubes", load_settings(root / "c.yaml").data, part="test")
    expected = np.load(root / "predicted" / f"{cube.id}.npz")["probabilities"][1]
    card = read_card(root / "theirs")
    networks = [network(root / "theirs", card, fold) for fold in card.all_folds]
    found = probabilities(card, networks, np.asarray(open_volume(cube.image)[...]))
    assert len(networks) == 2 and np.abs(found - expected).max() < 1e-4
    ready = volume_of(root / "ready", read_card(root / "ready"), cube.id, cube.shape)
    assert np.array_equal(ready, expected.astype(np.float16))


def test_both_members_know_what_is_new_to_them(root):
    cubes = training_cubes(load_settings(root / "c.yaml").data)
    (new,) = find_cubes(root / "cubes", load_settings(root / "c.yaml").data, part="test")
    splits = json.loads((root / "raw" / SET / "splits_final.json").read_text())
    held_out = {item: fold for fold, one in enumerate(splits) for item in one["val"]}
    card, ready = read_card(root / "theirs"), read_card(root / "ready")
    assert {cube.id: card.unseen(cube.id) for cube in cubes} == {cube.id: [held_out[cube.id]] for cube in cubes}
    assert card.unseen(new.id) == [0, 1] and all(ready.unseen(cube.id) for cube in [*cubes, new])
