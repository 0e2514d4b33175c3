"""Members of others in a bundle: they come along, are found where they lie, and say what they say at home, replayed as well."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from ensemble.commands.replay import replay
from ensemble.commands.status import finished, verified
from ensemble.kaggle.on_kaggle import Job
from ensemble.kaggle.others import optional_packages
from ensemble.kaggle.pack import BundleRequest, make_bundle
from ensemble.kaggle.stock import STOCK, lacking, project_requirements
from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.data.fragments import find_fragments
from scroll.data.intensity import Intensity
from scroll.data.members.card import Card, read_card
from scroll.errors import InputError
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.nnunet import import_nnunet
from stage1_3d.external.ready import import_ready
from tests.external.nnunet_folder import write_folder
from tests.pipeline.pipeline_run import Run, own_ink_run
from tests.steps import ENVIRONMENT, step

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW = (8, 64, 64)


class Depths(nn.Module):
    """One map: how bright the upper layers are beside the lower ones."""

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, Y, X)."""
        return layers[:, :, :4].mean(2) - layers[:, :, 4:].mean(2)


def write_members(root: Path, run: Run) -> dict[str, Path]:
    """An nnU-Net of two folds, a graph that gives maps, and ready maps of the test fragments."""
    folders = {name: root / "members" / name for name in ("theirs", "mapped", "ready")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    model = write_folder(root / "model", (0, 1), patch=(8, 32, 32))
    write_card(folders["theirs"], import_nnunet(model, folders["theirs"]))
    torch.export.save(torch.export.export(Depths(), (torch.rand(1, 1, *WINDOW),)), root / "depths.pt2")
    by_itself = Intensity(how="robust", of="window", low=1, high=99)
    card = Card(family="graph", returns="map", window=WINDOW, intensity=by_itself, voxel_um=5.0)
    write_card(folders["mapped"], import_graph(root / "depths.pt2", folders["mapped"], card))
    (root / "maps").mkdir()
    for fragment in find_fragments(run.data / "test", load_settings(run.config).data):
        rows, columns = fragment.mask.shape
        np.save(root / "maps" / f"{fragment.id}.npy", np.random.default_rng(0).random((rows, columns), np.float32))
    ready = import_ready([root / "maps"], folders["ready"], Card(family="predictions", scale=4), [], [])
    write_card(folders["ready"], ready)
    (folders["ready"] / "notes.txt").write_text("not on the card")
    return folders


@dataclass(frozen=True)
class Bundled:
    """A run with members of others, its submission, and its bundle at another place."""

    run: Run
    submission: bytes
    bundle: Path

    @property
    def settings(self) -> Settings:
        return load_settings(self.run.config)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    run = own_ink_run(tmp_path_factory)
    settings = yaml.safe_load(run.config.read_text())
    for name, folder in write_members(run.root, run).items():
        settings["stage1"]["members"][name] = {"member": str(folder)}
    settings["stage1"]["members"]["mapped"]["resample"] = True  # the run's voxels are 7.91 um wide
    settings["stage1"]["members"]["ready"]["weight"] = "equal_share"  # the others say not what they have seen
    run.config.write_text(yaml.safe_dump(settings))
    (run.run_dir / "settings.yaml").write_text(
        yaml.safe_dump(load_settings(run.config).model_dump(mode="json"), sort_keys=False)
    )
    shutil.rmtree(run.output)  # receipts in it name the run that this one is a copy of
    where = ("--input", run.data / "test", "--output", run.output, "--submission", run.root / "home.csv")
    for words in (
        ("-m", "ensemble.calibrate", run.config),
        (REPOSITORY / "ensemble" / "predict.py", run.config, *where),
    ):
        done = step(*words)
        assert done.returncode == 0, done.stderr
    made = run.root / "bundle"
    make_bundle(load_settings(run.config), REPOSITORY, made, BundleRequest(owner="someone"))
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "unpacked"
    shutil.move(made, elsewhere)
    return Bundled(run, (run.root / "home.csv").read_bytes(), elsewhere)


pytestmark = pytest.mark.slow


def test_the_bundle_holds_what_the_cards_name_and_its_settings_say_where(bundled):
    there = bundled.bundle / "run" / "members"
    held = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert held == {
        "theirs/card.json", "theirs/fold0.safetensors", "theirs/fold1.safetensors", "mapped/card.json", "mapped/fold0.pt2",
        "ready/card.json", "ready/a.npy",
    }  # fmt: skip
    settings = load_settings(bundled.bundle / "run" / "settings.yaml")
    assert (
        settings.stage1.members["theirs"].member == Path("run/members/theirs")
        and settings.stage1.members["mapped"].resample
    )
    assert str(bundled.run.root) not in (bundled.bundle / "run" / "settings.yaml").read_text()
    assert not list((bundled.bundle / "run" / "stage1").glob("theirs*"))
    assert {"stage1/unet3d/fold0/weights.safetensors", "stage2/fold1/weights.safetensors"} <= {
        path.relative_to(bundled.bundle / "run").as_posix() for path in (bundled.bundle / "run").rglob("*.safetensors")
    }


def test_from_the_bundle_comes_the_submission_of_the_run_without_a_network(bundled, tmp_path):
    hidden = bundled.run.root / "members"
    hidden.rename(hidden.with_name("hidden"))  # what is read lies in the bundle
    try:
        cut_off = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
        command = [
            *(["unshare", "--net"] if cut_off else []),
            sys.executable,
            "-m",
            "ensemble.predict",
            "run/settings.yaml",
        ]
        where = ["--input", bundled.run.data / "test", "--output", tmp_path / "out", "--submission", tmp_path / "s.csv"]
        where += ["--set", f"data.cache_dir={tmp_path / 'cache'}"]
        done = subprocess.run(
            [*command, *where], cwd=bundled.bundle, env=ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    finally:
        hidden.with_name("hidden").rename(hidden)
    assert (tmp_path / "s.csv").read_bytes() == bundled.submission
    receipt = json.loads((tmp_path / "out" / "a" / "theirs" / "receipt.json").read_text())
    assert "run/members/theirs/card.json" in receipt["weights"] and "resampled" not in receipt
    receipt = json.loads((tmp_path / "out" / "a" / "mapped" / "receipt.json").read_text())
    assert receipt["resampled"] == {"from_um": 7.91, "to_um": 5.0}


def test_the_notebook_says_where_they_lie_whatever_it_is_mounted_as(bundled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job(bundled.bundle / "run", tmp_path, tmp_path / "scratch", tmp_path / "s.csv", 0.0)
    assert f"stage1.members.theirs.member={bundled.bundle / 'run' / 'members' / 'theirs'}" in job.places
    assert "onnxruntime" not in job.packages() and "torch" in job.packages()
    at_home = Job(bundled.run.run_dir, tmp_path, tmp_path / "scratch", tmp_path / "s.csv", 0.0)
    assert not [place for place in at_home.places if ".member=" in place]


def test_an_exchanged_file_is_refused_where_the_bundle_is_read(bundled, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundled.bundle / "run", copy / "run")
    weights = copy / "run" / "members" / "theirs" / "fold1.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    where = ("--input", bundled.run.data / "test", "--output", tmp_path / "out", "--set", f"data.cache_dir={tmp_path}")
    done = step(REPOSITORY / "ensemble" / "predict.py", "run/settings.yaml", *where, cwd=copy)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "fold1.safetensors: is not the file that card.json beside it speaks of" in done.stderr


@pytest.mark.parametrize("name", ["theirs", "mapped"])
def test_what_they_predicted_is_replayed_to_the_last_bit(bundled, name):
    torch.set_num_threads(1)
    found = replay(bundled.run.output / "a" / name, 24, None)
    assert found.largest_difference == 0, found.message
    assert "every value the same" in found.message


def test_what_was_there_already_is_no_matter_of_replaying(bundled):
    with pytest.raises(InputError, match="was predicted elsewhere and taken as it is") as refused:
        replay(bundled.run.output / "a" / "ready", 24, None)
    assert "\n" not in str(refused.value)


def test_other_weights_of_theirs_are_found_out_by_a_replay(bundled):
    weights = bundled.run.root / "members" / "theirs" / "fold0.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + b"x")
        with pytest.raises(InputError, match=r"predicted by other weights than those in .*fold0\.safetensors now"):
            replay(bundled.run.output / "a" / "theirs", 24, None)
    finally:
        weights.write_bytes(whole)


def test_status_reads_a_run_and_a_bundle_with_them(bundled, capsys):
    for folder in (bundled.run.run_dir, bundled.run.output, bundled.bundle / "run"):
        assert finished(folder) == 0 and verified(folder) == 0
    assert f"finished: {bundled.run.output / 'a' / 'theirs'}" in capsys.readouterr().out


@dataclass(frozen=True)
class Packed:
    """A family's card and its weights' name, and the packages that it asks for."""

    card: Card
    weights: str
    packages: tuple[str, ...]


FAMILIES = [
    Packed(Card(family="graph"), "fold0.onnx", ("onnxruntime",)),
    Packed(Card(family="graph"), "fold0.pt2", ()),
    Packed(Card(family="timesformer", returns="map"), "fold0.safetensors", ("timesformer-pytorch",)),
    Packed(Card(family="nnunet"), "fold0.safetensors", ()),
    Packed(Card(family="resenc_unet"), "fold0.safetensors", ()),
]


@pytest.mark.parametrize("packed", FAMILIES, ids=[one.weights + one.card.family for one in FAMILIES])
def test_a_family_brings_the_wheel_that_a_stock_notebook_lacks(packed, tmp_path):
    (tmp_path / packed.weights).write_bytes(b"weights")
    fold = {"weights": packed.weights, "sha256": ""}
    write_card(tmp_path, Card.model_validate(packed.card.model_dump() | {"folds": [fold]}))
    settings = Settings.model_validate(
        {"run_dir": tmp_path / "run", "data": {"root": tmp_path}, "stage1": {"members": {"m": {"member": tmp_path}}}}
    )
    assert read_card(tmp_path).folds and optional_packages(settings, ["m"]) == [*packed.packages]
    assert optional_packages(settings, []) == []  # nobody asks it
    plain, more = (lacking(project_requirements(REPOSITORY, names), STOCK) for names in ((), packed.packages))
    assert more.keys() - plain.keys() == {*packed.packages}
    assert "dynamic-network-architectures" in plain
