"""End-to-end training after the two passes of a whole run: a predictor like the others, made once, and never of stale weights."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pipeline_run import MEMBERS, Call, Run, changed, copied, predict_arguments, states

import ensemble.calibrate
import ensemble.end_to_end.train
import ensemble.predict
import stage1_3d.flatten
import stage2_2d.train
from ensemble.commands import doctor
from ensemble.end_to_end.network import starting_network
from ensemble.end_to_end.train import train_end_to_end
from scroll.config.reader import load_settings
from scroll.data.folds import make_folds
from scroll.data.fragments import training_fragments
from scroll.runtime.files import read_json, write_json
from scroll.volumes.ome_zarr import open_array
from stage1_3d.weights import load_member
from stage2_2d.predict import load_fold
from stage2_2d.stack import log_odds, read_stack

TRAINING = {
    "steps": 6,
    "train_batch_size": 2,
    "validation_batch_size": 2,
    "validation_patches": 2,
    "learning_rate": 1e-3,
}
TRAINING |= {"validate_every": 3, "checkpoint_every": 1, "warmup_steps": 2, "ema_decay": 0.5}
END_TO_END = {"member": "unet3d", "patch_size_yx": [32, 32], "training": TRAINING}


def with_end_to_end(run: Run, to: Path) -> Run:
    copy = copied(run, to)
    settings = yaml.safe_load(copy.config.read_text())
    copy.config.write_text(yaml.safe_dump(settings | {"end_to_end": END_TO_END}))
    return copy


def predict_and_score(run: Run) -> list[object]:
    return [*predict_arguments(run), "--truth", run.data / "heldout"]


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run after its end-to-end training, each fold undisturbed."""
    made = with_end_to_end(run, tmp_path_factory.mktemp("joint-run"))
    torch.set_num_threads(1)
    train_end_to_end(load_settings(made.config))
    return made


@pytest.fixture
def scored(trained: Run, call: Call) -> Run:
    """Calibrated, predicted and scored; a second time nothing is done."""
    for main, arguments in (
        (ensemble.calibrate.main, [trained.config]),
        (ensemble.predict.main, predict_and_score(trained)),
    ):
        code, _, error = call(main, *arguments)
        assert code == 0, error
    return trained


def test_the_end_to_end_network_is_one_more_predictor_with_its_own_weight_threshold_map_and_row(scored: Run) -> None:
    fit, score = read_json(scored.run_dir / "ensemble" / "fit.json"), read_json(scored.output / "score.json")
    names = [*MEMBERS, "stage2", "joint"]
    assert list(fit["weights"]) == names and set(fit["thresholds"]) >= {*names} and set(fit["oof_f05"]) >= {*names}
    assert [row["name"] for row in score["rows"]][:4] == names and score["rows"][-1]["name"] == "ensemble"
    assert score["rows"][3]["kind"] == "joint" and 0 <= score["rows"][3]["f05"] <= 1
    for folder in (
        scored.run_dir / "joint" / "oof" / "1",
        scored.run_dir / "joint" / "oof" / "2",
        scored.output / "a" / "joint",
    ):
        ink, two_passes = open_array(folder / "ink.zarr")[:], open_array(scored.output / "a" / "stage2" / "ink.zarr")[:]
        assert ink.shape == two_passes.shape and ink.dtype == np.float16 and ink.std() > 0
        assert not np.array_equal(ink, two_passes)
    assert (scored.output / "a" / "pictures" / "6_joint.png").exists()
    assert "joint" in (scored.output / "report.html").read_text()
    for k in range(2):
        folder = scored.run_dir / "joint" / f"fold{k}"
        assert {f.name for f in folder.iterdir()} == {
            "weights.safetensors",
            "history.jsonl",
            "receipt.json",
            "tensorboard",
        }
        assert read_json(folder / "receipt.json")["member"] == "unet3d"


def test_each_row_is_predicted_by_the_fold_that_held_it_out(trained: Run) -> None:
    settings = load_settings(trained.config)
    for fold in make_folds(training_fragments(settings.data), settings.folds):
        for name, rows in fold.held_out.items():
            receipt = read_json(trained.run_dir / "joint" / "oof" / name / "receipt.json")
            assert receipt["parts"] == [[list(rows), [fold.number]]]
            assert [*receipt["weights"]] == [
                str(trained.run_dir / "joint" / f"fold{fold.number}" / "weights.safetensors")
            ]


def test_it_starts_with_the_answer_of_the_two_passes(trained: Run) -> None:
    settings = load_settings(trained.config)
    fragment = training_fragments(settings.data)[0]
    folders = {name: trained.run_dir / "stage1" / name / "oof" / fragment.id for name in MEMBERS}
    stack = read_stack(settings.stage1, fragment, folders, "").channels[:, 8:40, 16:48]
    ct = fragment.patch(0, 8, 16, (8, 32, 32))
    with torch.no_grad():
        window = torch.from_numpy(np.concatenate([ct, stack]))[None]
        end_to_end = starting_network(settings, fold=1, channels=2).eval()(window)
        prob = torch.sigmoid(load_member(settings, "unet3d", 1)(torch.from_numpy(ct)[None, None]))[0, 0].numpy()
        own = log_odds(stage1_3d.flatten.flattened(prob, settings.stage1.flatten.reduce))
        two_passes = load_fold(settings, 1, 2)(torch.from_numpy(np.concatenate([stack[:1], own]))[None])
    assert two_passes.std() > 0
    np.testing.assert_allclose(end_to_end, two_passes, atol=1e-4)


def test_a_second_run_of_every_command_changes_nothing(scored: Run, call: Call) -> None:
    before = states(scored)
    assert any(name.startswith("run/joint/") for name in before)
    for main, arguments in (
        (stage2_2d.train.main, [scored.config]),
        (ensemble.end_to_end.train.main, [scored.config]),
        (ensemble.calibrate.main, [scored.config]),
        (ensemble.predict.main, predict_and_score(scored)),
    ):
        code, _, error = call(main, *arguments)
        assert code == 0, error
    assert states(scored) == before


def test_stopped_and_run_again_it_ends_in_the_same_weights(run: Run, trained: Run, call: Call, tmp_path: Path) -> None:
    again = with_end_to_end(run, tmp_path)
    folder = again.run_dir / "joint" / "fold0"

    def stop_it() -> None:
        deadline = time.monotonic() + 120
        while not (folder / "resume.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=stop_it)
    watcher.start()
    code, _, error = call(ensemble.end_to_end.train.main, again.config)
    watcher.join()
    assert code == 130, error
    assert (folder / "resume.pt").exists() and not (folder / "weights.safetensors").exists()
    code, message, error = call(ensemble.end_to_end.train.main, again.config)
    assert code == 0 and "fold 0: goes on at step" in message, error
    for fold in ("fold0", "fold1"):
        weights = [top.run_dir / "joint" / fold / "weights.safetensors" for top in (trained, again)]
        assert weights[0].read_bytes() == weights[1].read_bytes(), fold
    maps = [open_array(top.run_dir / "joint" / "oof" / "1" / "ink.zarr")[:] for top in (trained, again)]
    assert np.array_equal(*maps)


def test_a_run_that_is_not_yet_trained_end_to_end_says_what_to_run(run: Run, call: Call, tmp_path: Path) -> None:
    early = with_end_to_end(run, tmp_path)
    fit = (early.run_dir / "ensemble" / "fit.json").read_bytes()
    code, message, error = call(ensemble.calibrate.main, early.config)  # the last line of `make stage2`
    assert code == 0 and "make end-to-end" in message, error
    assert (early.run_dir / "ensemble" / "fit.json").read_bytes() == fit
    code, _, error = call(ensemble.predict.main, *predict_arguments(early))
    assert (code, error.count("\n")) == (2, 1) and "make end-to-end" in error
    (early.run_dir / "joint").mkdir()
    code, _, error = call(ensemble.calibrate.main, early.config)
    assert (code, error.count("\n")) == (2, 1) and "make end-to-end" in error


def test_without_the_two_passes_it_names_them(run: Run, call: Call, tmp_path: Path) -> None:
    early = with_end_to_end(run, tmp_path)
    shutil.rmtree(early.run_dir / "stage2")
    code, _, error = call(ensemble.end_to_end.train.main, early.config)
    assert (code, error.count("\n")) == (2, 1) and "make stage2" in error
    shutil.rmtree(early.run_dir / "stage1")
    code, _, error = call(ensemble.end_to_end.train.main, early.config)
    assert (code, error.count("\n")) == (2, 1) and "make stage1" in error
    assert not (early.run_dir / "joint").exists()


def test_weights_of_another_split_are_no_start_for_they_may_have_seen_what_is_held_out_now(
    run: Run, call: Call, tmp_path: Path
) -> None:
    early = with_end_to_end(run, tmp_path)
    for folder, command in (("stage2/fold1", "make stage2"), ("stage1/unet3d/fold0", "make stage1")):
        receipt = early.run_dir / folder / "receipt.json"
        content = read_json(receipt)
        write_json(receipt, content | {"held_out": {"3": [0, 64]}})
        code, _, error = call(ensemble.end_to_end.train.main, early.config)
        assert (code, error.count("\n")) == (2, 1) and folder in error and "other folds" in error and command in error
        write_json(receipt, content)
    assert not (early.run_dir / "joint").exists()


@pytest.mark.slow
def test_once_stage_two_is_trained_anew_the_end_to_end_weights_are_stale(
    trained: Run, call: Call, tmp_path: Path
) -> None:
    later = copied(trained, tmp_path)
    other = ["--set", "stage2.training.steps=3"]
    for main in (stage2_2d.train.main, ensemble.calibrate.main):
        code, _, error = call(main, later.config, *other)
        assert code == 0, error
    code, _, error = call(ensemble.predict.main, *predict_arguments(later), *other)
    assert (code, error.count("\n")) == (2, 1) and "other weights than those of the two passes" in error
    before = states(later)
    code, _, error = call(ensemble.end_to_end.train.main, later.config, *other)
    assert code == 0, error
    touched = changed(before, later)
    assert {f"run/joint/fold{k}/weights.safetensors" for k in range(2)} <= touched
    assert all(name.startswith("run/joint/") for name in touched), touched


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("end_to_end.member=unet", "did you mean 'unet3d'"),
        ("end_to_end.patch_size_yx=[40, 32]", "nearest: (32, 32) or (64, 32)"),
        ("stage1.members.unet3d.patch_size=[4, 32, 32]", "4 layers deep"),
        ("end_to_end=null", "end_to_end is not set"),
    ],
)
def test_the_command_refuses_in_one_line_and_so_does_the_doctor(
    trained: Run, call: Call, setting: str, message: str
) -> None:
    before = states(trained)
    code, _, error = call(ensemble.end_to_end.train.main, trained.config, "--set", setting)
    assert (code, error.count("\n")) == (2, 1) and message in error, error
    assert states(trained) == before
    if setting != "end_to_end=null":  # which is as sound a run as any
        assert any(
            line.startswith("problem:") and message in line for line in doctor.examine(trained.config, [setting])
        )


def test_the_doctor_looks_at_the_end_to_end_patches_too(trained: Run) -> None:
    message = list(doctor.examine(trained.config, []))
    assert "ok: end_to_end: patch (32, 32)" in message and all(line.startswith("ok:") for line in message), message
    too_large = list(doctor.examine(trained.config, ["end_to_end.patch_size_yx=[96, 96]"]))
    assert any(
        line.startswith("problem:") and "end_to_end" in line and "no open place" in line for line in too_large
    ), too_large
