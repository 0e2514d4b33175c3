"""What we hand on: a trained member comes back as it went, and an nnU-Net raw data set holds what the run trains on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml

from scroll.config.reader import load_settings
from scroll.data.fragments import find_fragments
from scroll.data.intensity import Intensity
from scroll.data.members.card import read_card
from scroll.data.members.others import MemberOfOthers
from scroll.errors import InputError
from scroll.phantom.dataset import make_cubes
from scroll.phantom.settings import cube_settings
from scroll.runtime.receipt import read_receipt
from stage1_3d.external.member import networks_of
from stage1_3d.external.ours import export_member
from stage1_3d.external.raw_dataset import export_new, export_raw
from stage1_3d.weights import load_member
from tests.pipeline.pipeline_run import Run, own_ink_run
from tests.steps import step

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return own_ink_run(tmp_path_factory)


@pytest.mark.parametrize("to", ["safetensors", "onnx"])
def test_a_member_comes_back_as_it_went_with_what_each_fold_has_seen(run, tmp_path, to):
    if to == "onnx":
        pytest.importorskip("onnxscript")
    settings = load_settings(run.config)
    export_member(settings, "unet3d", tmp_path / "m", to)
    card = read_card(tmp_path / "m")
    assert [fold.trained_on for fold in card.folds] == [("2",), ("1",)]  # each held one fragment out
    assert card.window == (8, 32, 32) and card.voxel_um == pytest.approx(7.91 * 4) and card.intensity.how == "ours"
    windows = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 8, 32, 32)).astype(np.float32))
    for fold in (0, 1):
        (back,) = networks_of(MemberOfOthers("m", tmp_path / "m"), [fold])
        with torch.inference_mode():
            assert torch.abs(back(windows) - load_member(settings, "unet3d", fold)(windows)).max() < 1e-5


def test_a_member_of_an_earlier_run_predicts_in_another_what_it_predicted_there(run, tmp_path):
    export_member(load_settings(run.config), "unet3d", tmp_path / "m", "safetensors")
    content = yaml.safe_load(run.config.read_text()) | {"run_dir": str(tmp_path / "run")}
    content["stage1"]["members"]["earlier"] = {"member": str(tmp_path / "m")}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    done = step("-m", "stage1_3d.train", tmp_path / "c.yaml", "--only", "earlier", cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    for item in ("1", "2"):
        before, now = (
            np.asarray(find(path / "stage1" / name / "oof" / item)[:])
            for path, name in ((run.run_dir, "unet3d"), (tmp_path / "run", "earlier"))
        )
        assert np.array_equal(before, now)


def test_a_member_that_scales_windows_by_themselves_is_trained_and_handed_on_with_that(run, tmp_path):
    content = yaml.safe_load(run.config.read_text()) | {"run_dir": str(tmp_path / "run")}
    intensity = {"how": "robust", "of": "window", "low": 1, "high": 99}
    own = content["stage1"]["members"]["unet3d"] | {"network": "unet3d", "intensity": intensity}
    settings = content["stage1"]
    for members in ({"own": own}, {"own": own, "earlier": {"member": str(tmp_path / "m")}}):
        settings["members"] |= members
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
        done = step(
            "-m", "stage1_3d.train", tmp_path / "c.yaml", *[f"--only={name}" for name in members], cwd=REPOSITORY
        )
        assert done.returncode == 0, done.stderr
        export_member(load_settings(tmp_path / "c.yaml"), "own", tmp_path / "m", "safetensors")
    assert done.stdout.count("already trained") == 2 and read_card(tmp_path / "m").intensity == Intensity(**intensity)
    for item in ("1", "2"):
        by_us, usual = (
            np.asarray(find(where / "oof" / item)[:])
            for where in (tmp_path / "run/stage1/own", run.run_dir / "stage1/unet3d")
        )
        assert np.array_equal(by_us, np.asarray(find(tmp_path / "run/stage1/earlier/oof" / item)[:]))
        assert not np.array_equal(by_us, usual)


def find(folder: Path):
    from scroll.inference.prediction_store import open_map

    return open_map(folder / "flat.zarr", "")


def test_a_member_that_is_not_there_or_not_ours_is_reported(run, tmp_path):
    with pytest.raises(InputError, match="--member huge: no member that is trained here; there are cnn3d, unet3d"):
        export_member(load_settings(run.config), "huge", tmp_path / "m", "onnx")


def test_fragments_as_a_raw_data_set_hold_their_layers_and_three_labels(run, tmp_path):
    settings = load_settings(run.config)
    assert export_raw(settings, tmp_path / "Dataset7_Ink", (-2, 1)) == 2
    (one, _) = find_fragments(run.data / "train", settings.data)
    images, labels = tmp_path / "Dataset7_Ink" / "imagesTr", tmp_path / "Dataset7_Ink" / "labelsTr"
    middle = one.volume.shape[0] // 2
    ct = tifffile.imread(images / f"{one.id}_0000.tif")
    assert np.array_equal(ct, one.volume[middle - 4 : middle + 4, :, :])
    label, known = tifffile.imread(labels / f"{one.id}.tif"), ~one.full_label.ignore
    assert label.shape == ct.shape and np.array_equal(label == 2, np.broadcast_to(~known, ct.shape))
    assert np.array_equal(label[2:5] == 1, np.broadcast_to(one.full_label.target & known, (3, *known.shape)))
    assert not (label[[0, 1, 5, 6, 7]] == 1).any()
    about = json.loads((tmp_path / "Dataset7_Ink" / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "ink": 1, "ignore": 2} and about["numTraining"] == 2
    splits = json.loads((tmp_path / "Dataset7_Ink" / "splits_final.json").read_text())
    assert splits == [{"train": ["2"], "val": ["1"]}, {"train": ["1"], "val": ["2"]}]
    assert export_new(settings, find_fragments(run.data / "test", settings.data), tmp_path / "Dataset7_Ink") == 1
    (new,) = (tmp_path / "Dataset7_Ink" / "imagesTs").glob("*_0000.tif")
    (bare,) = find_fragments(run.data / "test", settings.data)
    assert new.name == f"{bare.id}_0000.tif" and new.with_name(f"{bare.id}.json").exists()
    assert np.array_equal(tifffile.imread(new), bare.volume[middle - 4 : middle + 4, :, :])
    with pytest.raises(InputError, match="--input: '1' is one of the training items"):
        export_new(settings, find_fragments(run.data / "train", settings.data), tmp_path / "Dataset7_Ink")
    with pytest.raises(InputError, match="--ink-layers -9 2"):
        export_raw(settings, tmp_path / "other", (-9, 2))


def test_nnunets_own_check_takes_the_data_set_of_cubes(tmp_path):
    pytest.importorskip("nnunetv2")
    make_cubes(tmp_path / "cubes", cube_settings("default", 64), seed=5, train=3, test=0, jobs=1)
    config = {"extends": str(REPOSITORY / "configs" / "demo_surface.yaml"), "run_dir": str(tmp_path / "run")}
    config |= {"data": {"root": str(tmp_path / "cubes"), "cache_dir": str(tmp_path / "cache")}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    raw = tmp_path / "raw" / "Dataset501_Sheets"
    done = step(REPOSITORY / "scripts" / "export_dataset.py", tmp_path / "c.yaml", "--output", raw, cwd=REPOSITORY)
    assert done.returncode == 0 and "3 items" in done.stdout, done.stderr
    places = {
        "nnUNet_raw": tmp_path / "raw",
        "nnUNet_preprocessed": tmp_path / "pre",
        "nnUNet_results": tmp_path / "results",
    }
    check = (
        "from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity as v; v({!r}, 1)"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", check.format(str(raw))], env={"PATH": "", **{name: str(place) for name, place in places.items()}},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert theirs.returncode == 0 and "Done." in theirs.stdout, theirs.stdout + theirs.stderr


def test_a_run_begins_from_an_earlier_ones_weights_and_its_receipt_says_so(run, tmp_path):
    export_member(load_settings(run.config), "unet3d", tmp_path / "m", "safetensors")
    content = yaml.safe_load(run.config.read_text()) | {"run_dir": str(tmp_path / "run")}
    content["stage1"]["members"]["again"] = content["stage1"]["members"]["unet3d"] | {
        "network": "unet3d", "init": str(tmp_path / "m"),
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    for _ in range(2):
        done = step("-m", "stage1_3d.train", tmp_path / "c.yaml", "--only", "again", cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
    assert done.stdout.count("already trained") == 2
    for fold, began in ((0, "fold0.safetensors"), (1, "fold1.safetensors")):
        message = read_receipt(tmp_path / "run" / "stage1" / "again" / f"fold{fold}", "")["started_from"]
        assert Path(message["source"]).name == began and message["taken"] == message["of"] and message["new"] == []
