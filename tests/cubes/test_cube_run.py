"""Stage one on phantom cubes from end to end: trained by scroll, predicted out of fold, resumed, scored; other commands say no."""

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from drawn_cubes import cubes_of, striped, write_cubes

from ensemble.commands import doctor, preflight, score_cubes
from ensemble.commands.replay import replay
from ensemble.ink.fit import calibrate
from ensemble.ink.predict import predict
from scroll.config.reader import load_settings, merged
from scroll.config.schema import Settings
from scroll.data.cubes import prepare, training_cubes
from scroll.data.intensity import Intensity
from scroll.errors import InputError, MissingInputError
from scroll.inference.prediction_store import open_map
from scroll.metrics.leaderboard import leaderboard_score
from scroll.runtime.files import read_json, write_json
from scroll.runtime.receipt import file_hash, read_receipt
from scroll.volumes.ome_zarr import open_array
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.network import load_checked_settings
from stage1_3d.train import train_stage1
from stage1_3d.weights import load_member

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full-size configuration, made so small that it learns next to nothing in seconds."""
    root = tmp_path_factory.mktemp("surface")
    training = {"steps": 6, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2}
    training |= {"validate_every": 3, "checkpoint_every": 3, "warmup_steps": 1, "ema_decay": 0.5, "precision": "fp32"}
    small = {"channels": [4, 8, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
    changes = {
        "run_dir": str(root / "run"),
        "data": {"root": str(phantom), "cache_dir": str(phantom.parent / "cache")},
        "folds": {"by": "scroll", "count": 2},
        "tracing": {"min_prob": 0.9},  # there is no sheet in what has learned nothing
        "stage1": {
            "defaults": {
                "patch_size": [32, 32, 32],
                "training": training | {"loader": {"workers": 0, "pin_memory": False}},
            },
            "members": {"unet3d": {"options": small, "patch_size": [32, 32, 32]}},
            "window": {"overlap": 0.25, "batch_size": 8},
        },
    }
    settings = merged(yaml.safe_load((REPOSITORY / "configs" / "surface.yaml").read_text()), changes)
    settings["stage1"]["members"] = {"unet3d": settings["stage1"]["members"]["unet3d"]}
    path = root / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def settings(config: Path) -> Settings:
    """The same, after stage one has run."""
    loaded = load_checked_settings(config, [])
    train_stage1(loaded)
    return loaded


def oof(settings: Settings) -> Path:
    return settings.run_dir / "stage1" / "unet3d" / "oof"


def test_every_training_cube_is_predicted_whole_by_the_fold_that_held_its_scroll_out(settings):
    weights = [settings.run_dir / "stage1" / "unet3d" / f"fold{k}" / "weights.safetensors" for k in (0, 1)]
    assert file_hash(weights[0]) != file_hash(weights[1])
    seen = {}
    for cube in training_cubes(settings.data):
        receipt = read_receipt(oof(settings) / cube.id, "")
        prob = open_map(oof(settings) / cube.id / "prob.zarr", "")
        assert prob.shape == cube.shape and prob.dtype == np.float16
        values = prob[:].astype(np.float32)
        assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 and values.std() > 0
        (fold,) = receipt["folds"]
        assert receipt["weights"] == {str(weights[fold]): file_hash(weights[fold])}
        assert cube.id in read_receipt(weights[fold].parent, "")["held_out"]
        assert cube.id not in read_receipt(weights[1 - fold].parent, "")["held_out"]
        assert (receipt["axes"], receipt["voxel_um"], receipt["data"]) == ("zyx", 7.91, cube.key)
        seen.setdefault(cube.volume_name, set()).add(fold)
    assert len(seen) == 3 and all(len(folds) == 1 for folds in seen.values())


def test_probabilities_are_those_of_the_network_at_their_own_place(settings):
    """Without overlap every voxel is seen by one window: the oracle is the network on that window alone."""
    cube = training_cubes(settings.data)[0]
    (fold,) = read_receipt(oof(settings) / cube.id, "")["folds"]
    single = settings.stage1.window.model_copy(update={"overlap": 0.0, "blend": "uniform"})
    one = settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": single})})
    predict_cubes(one, "unet3d", [cube], [fold], settings.run_dir / "one")
    found = open_map(settings.run_dir / "one" / cube.id / "prob.zarr", "")[:]
    network = load_member(one, "unet3d", fold)
    for corner in product((0, 32), repeat=3):
        with torch.inference_mode():
            alone = torch.sigmoid(network(torch.from_numpy(cube.patch(corner, (32, 32, 32)))[None, None])).numpy()[0, 0]
        place = tuple(slice(c, c + 32) for c in corner)
        np.testing.assert_allclose(found[place], alone, atol=2e-3)  # float16


def test_from_its_receipt_a_cube_can_be_predicted_anew(settings):
    for folder in sorted(oof(settings).iterdir()):
        assert replay(folder, 40, 10).largest_difference == 0, folder


def test_a_second_run_makes_nothing_again(settings, capsys):
    def written() -> dict[Path, int]:
        names = ("*/fold*/weights.safetensors", "*/oof/*/receipt.json", "*/oof/*/prob.zarr/0/*")
        return {file: file.stat().st_mtime_ns for name in names for file in (settings.run_dir / "stage1").glob(name)}

    before = written()
    assert len(before) >= 2 + 6 + 6
    train_stage1(settings)
    assert written() == before
    assert capsys.readouterr().out.count("already trained") == 2


def test_a_cube_whose_prediction_is_gone_is_predicted_again_and_no_other(settings):
    cubes = prepare(training_cubes(settings.data))
    (fold,) = read_receipt(oof(settings) / cubes[0].id, "")["folds"]
    held_out = [c for c in cubes if read_receipt(oof(settings) / c.id, "")["folds"] == [fold]]
    before = open_map(oof(settings) / cubes[0].id / "prob.zarr", "")[:]
    others = {c.id: (oof(settings) / c.id / "receipt.json").stat().st_mtime_ns for c in held_out[1:]}
    (oof(settings) / cubes[0].id / "prob.zarr").rename(settings.run_dir / "elsewhere.zarr")
    predict_cubes(settings, "unet3d", held_out, [fold], oof(settings))
    np.testing.assert_array_equal(open_map(oof(settings) / cubes[0].id / "prob.zarr", "")[:], before)
    assert others == {c.id: (oof(settings) / c.id / "receipt.json").stat().st_mtime_ns for c in held_out[1:]}


def test_a_prediction_stopped_halfway_and_run_again_gives_the_same_volume(settings, tmp_path):
    write_cubes(tmp_path, {"a": striped((32, 400, 40))})  # rows reach the disk by 128
    cubes = prepare(cubes_of(tmp_path))
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    ledger = stopped / "a" / ".prob.zarr.rows.part"
    whole_patch = cubes[0].patch

    def patch(corner: tuple[int, int, int], size: tuple[int, int, int], seen_as: Intensity | None) -> np.ndarray:
        if corner[1] > 250:
            raise KeyboardInterrupt
        return whole_patch(corner, size, seen_as)

    object.__setattr__(cubes[0], "patch", patch)  # Ctrl-C while these rows are read
    with pytest.raises(KeyboardInterrupt):
        predict_cubes(settings, "unet3d", cubes, [0, 1], stopped)
    del cubes[0].__dict__["patch"]
    assert 0 < read_json(ledger)["rows"] < 400 and not (stopped / "a" / "prob.zarr").exists()
    for folder in (stopped, whole):
        predict_cubes(settings, "unet3d", cubes, [0, 1], folder)
    volumes = [open_array(folder / "a" / "prob.zarr")[:] for folder in (stopped, whole)]
    assert volumes[0].shape == (32, 400, 40) and len(np.unique(volumes[0])) > 9
    np.testing.assert_array_equal(*volumes)
    assert not list(stopped.rglob("*.part"))


def test_a_cube_smaller_than_a_window_is_predicted_at_its_own_size(settings, tmp_path):
    write_cubes(tmp_path, {"a": striped((20, 40, 24))})
    predict_cubes(settings, "unet3d", prepare(cubes_of(tmp_path)), [0], tmp_path / "out")
    prob = open_map(tmp_path / "out" / "a" / "prob.zarr", "")[:]
    assert prob.shape == (20, 40, 24) and (prob > 0).all()


def test_the_score_is_the_leaderboards_of_the_thresholded_prediction(settings, config):
    two = settings.data.model_copy(update={"train": ("1000002", "1000004")})
    scored = score_cubes.score_member(settings.model_copy(update={"data": two}), "unet3d", threshold=0.4)
    cubes = training_cubes(two)
    assert [one.name for one in scored] == [cube.id for cube in cubes]
    prob = open_map(oof(settings) / cubes[1].id / "prob.zarr", "")[:]
    assert scored[1].score == leaderboard_score(prob >= 0.4, tifffile.imread(cubes[1].label_path))
    with pytest.raises(MissingInputError, match="run 'make stage1"):
        score_cubes.score_member(settings.model_copy(update={"run_dir": config.parent / "other"}), "unet3d", 0.5)


def test_a_prediction_of_weights_that_were_exchanged_since_is_not_scored(settings, tmp_path):
    shutil.copytree(oof(settings), tmp_path / "stage1" / "unet3d" / "oof")
    moved = settings.model_copy(update={"run_dir": tmp_path})
    path = tmp_path / "stage1" / "unet3d" / "oof" / training_cubes(settings.data)[0].id / "receipt.json"
    receipt = read_json(path)
    write_json(path, receipt | {"weights": dict.fromkeys(receipt["weights"], "of another training")})
    with pytest.raises(
        InputError, match=r"predicted by other weights than those in .*weights\.safetensors now; run 'make"
    ):
        score_cubes.score_member(moved, "unet3d", 0.5)


@pytest.mark.parametrize("command", ["fit", "predict", "preflight"])
def test_what_needs_a_given_sheet_says_what_works_on_cubes(command, config, monkeypatch, tmp_path):
    loaded = load_settings(config)
    monkeypatch.setattr("sys.argv", ["command", str(config), "--input", str(tmp_path)])
    commands = {
        "fit": lambda: calibrate(loaded),
        "predict": lambda: predict(loaded, tmp_path, tmp_path / "out"),
        "preflight": preflight.main,
    }
    with pytest.raises(InputError, match=r"^data\.kind is cubes .* what works on cubes: 'make stage1'") as caught:
        commands[command]()
    assert "\n" not in str(caught.value)


def test_the_doctor_finds_nothing_in_sound_cubes_and_names_what_is_wrong(config, phantom, tmp_path):
    message = list(doctor.examine(config, []))
    assert not [line for line in message if line.startswith("problem:")]
    assert sum(line.startswith("ok: cube '") for line in message) == 6
    shutil.copytree(phantom, tmp_path / "data")
    label = tmp_path / "data" / "train_labels" / "1000001.tif"
    label.write_bytes((phantom / "train_labels" / "1000001.tif").read_bytes()[:400])
    other = tmp_path / "data" / "train_labels" / "1000002.tif"
    tifffile.imwrite(other, np.zeros((64, 64, 64), np.uint8), photometric="minisblack")
    found = [line for line in doctor.examine(config, [f"data.root={tmp_path / 'data'}"]) if line.startswith("problem:")]
    assert len(found) == 2 and "1000001.tif" in found[0] and "no voxel is labelled 1" in found[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage1.defaults.supervision=depth_pool", r"data\.kind: cubes\) no axis is depth; set it to band"),
        ("data.bin_yx=2", r"data\.bin_yx is 2, but cubes are scored voxel by voxel"),
    ],
)
def test_settings_that_cubes_have_not_are_refused_before_anything_is_read(config, override, message):
    with pytest.raises(InputError, match=message):
        load_checked_settings(config, [override])


def test_folds_that_cubes_have_not_are_refused_before_any_copy_is_made(config, tmp_path):
    loaded = load_checked_settings(config, ["folds.by=region", f"data.cache_dir={tmp_path / 'cache'}"])
    with pytest.raises(InputError, match=r"set folds\.by to scroll or fragment"):
        train_stage1(loaded)
    assert not (tmp_path / "cache").exists()
