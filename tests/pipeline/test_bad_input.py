"""Whatever is wrong with the input: one line on standard error, exit code 2, and every earlier result as it was."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pipeline_run import Call, Run, copied, predict_arguments, states

import ensemble.predict
import stage1_3d.train
import stage2_2d.train
from scroll.runtime.files import read_json, write_json
from scroll.runtime.receipt import file_hash
from tests.steps import step


def layers_of(root: Path) -> Path:
    return root / "train" / "1" / "surface_volume"


def label_of(root: Path) -> Path:
    return root / "train" / "1" / "inklabels.png"


def spoil_missing_layer(root: Path) -> None:
    (layers_of(root) / "07.tif").unlink()


def spoil_extra_layer(root: Path) -> None:
    shutil.copy(layers_of(root) / "00.tif", layers_of(root) / "0.tif")


def spoil_sizes(root: Path) -> None:
    tifffile.imwrite(layers_of(root) / "05.tif", np.zeros((256, 255), np.uint16))


def spoil_label_size(root: Path) -> None:
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(label_of(root))


def spoil_label_values(root: Path) -> None:
    Image.fromarray(np.full((256, 256), 7, np.uint8)).save(label_of(root))


def spoil_no_label(root: Path) -> None:
    label_of(root).unlink()


def spoil_truncated(root: Path) -> None:
    file = layers_of(root) / "11.tif"
    file.write_bytes(file.read_bytes()[:3000])


def spoil_cut_picture(root: Path) -> None:
    label_of(root).write_bytes(label_of(root).read_bytes()[:200])


SPOILT = {
    spoil_missing_layer: r"07\.tif missing",
    spoil_extra_layer: r"layer 0 is also",
    spoil_sizes: r"05\.tif: is 256x255",
    spoil_label_size: r"inklabels\.png: is \(128, 128\)",
    spoil_label_values: r"inklabels\.png: holds values \[7\]",
    spoil_no_label: r"inklabels\.png: not there",
    spoil_truncated: r"11\.tif",
    spoil_cut_picture: r"inklabels\.png: not readable",
}


def said_in_one_line(error: str, words: str) -> bool:
    import re

    return error.count("\n") == 1 and error.startswith("error: ") and re.search(words, error) is not None


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_spoilt_data_is_reported_in_one_line_and_nothing_is_lost(
    run: Run, call: Call, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    before = states(run)
    root = tmp_path / "data"
    shutil.copytree(run.data / "train", root / "train")
    spoil(root)
    cache = ["--set", f"data.cache_dir={tmp_path / 'cache'}"]
    code, _, error = call(stage1_3d.train.main, run.config, "--set", f"data.root={root}", *cache)
    assert code == 2 and said_in_one_line(error, SPOILT[spoil]), error
    assert states(run) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stage1.members.cnn3d.train_batchsize=3", "unknown key 'stage1.members.cnn3d.train_batchsize'"),
        ("stage1.members.unet3d.patch_size=[8, 30, 32]", r"nearest: \(8, 24, 32\) or \(8, 32, 32\)"),
        ("stage1.members.cnn3d.network=cnn3", "did you mean 'cnn3d'"),
        ("stage1.members.cnn3d.options.chanels=[4]", "did you mean 'channels'"),
        ("data.depth=[-40, 8]", "do not hold data.depth"),
        ("folds.count=3", "2 training fragments"),
        ("data.train=[1, 7]", "no such fragment; there are: 1, 2"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(run: Run, call: Call, override: str, words: str) -> None:
    before = states(run)
    code, _, error = call(stage1_3d.train.main, run.config, "--set", override)
    assert code == 2 and said_in_one_line(error, words), error
    assert states(run) == before


def test_a_misspelt_key_is_reported_by_the_real_command_without_a_traceback(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "typo.yaml"
    config.write_text(f"extends: {run.config}\nstage1: {{defaults: {{training: {{train_batchsize: 3}}}}}}\n")
    done = step("-m", "stage1_3d.train", config)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert said_in_one_line(
        done.stderr, r"typo\.yaml: unknown key '.*train_batchsize'; did you mean 'train_batch_size'"
    )


def test_weights_of_another_architecture_are_refused(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    cnn, unet = (copy.run_dir / "stage1" / name / "fold0" / "weights.safetensors" for name in ("cnn3d", "unet3d"))
    sound = cnn.read_bytes()
    shutil.copy(unet, cnn)
    code, _, error = call(ensemble.predict.main, *predict_arguments(copy))
    assert code == 2 and said_in_one_line(error, "make stage2"), error  # the fit does not speak of these weights
    code, message, error = call(stage1_3d.train.main, copy.config)
    assert code == 0 and "is not the file that receipt.json speaks of: it is trained again" in message, error
    assert cnn.read_bytes() == sound
    shutil.copy(unet, cnn)
    receipt = cnn.parent / "receipt.json"
    write_json(receipt, read_json(receipt) | {"weights": file_hash(cnn)})
    code, _, error = call(stage1_3d.train.main, copy.config)
    assert code == 2 and said_in_one_line(error, "weights of another architecture"), error


def test_a_channel_more_for_stage_two_is_refused_by_its_weights(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    more = ["--set", "stage1.flatten.ct=mean"]
    code, _, error = call(stage2_2d.train.main, copy.config, *more)
    assert code == 2 and said_in_one_line(error, "make stage1"), error
    code, _, error = call(ensemble.predict.main, *predict_arguments(copy), *more)
    assert code == 2 and said_in_one_line(error, "make stage2"), error


def test_an_empty_prediction_is_refused_or_claims_one_pixel_with_a_warning(
    run: Run, call: Call, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path)
    submission = copy.root / "submission.csv"
    submission.write_text("Id,Predicted\nan,earlier one\n")
    write_json(copy.run_dir / "ensemble" / "fit.json", fit_that_finds_nothing(run))
    code, _, error = call(ensemble.predict.main, *predict_arguments(copy))
    assert code == 2 and said_in_one_line(error, "no ink is predicted on 'a'.*one_pixel"), error
    assert submission.read_text() == "Id,Predicted\nan,earlier one\n"
    with pytest.warns(UserWarning, match="first pixel is claimed"):
        code, _, error = call(ensemble.predict.main, *predict_arguments(copy), "--set", "ensemble.when_empty=one_pixel")
    assert code == 0 and submission.read_text() == "Id,Predicted\na,1 1\n"


def fit_that_finds_nothing(run: Run) -> dict[str, object]:
    fit = read_json(run.run_dir / "ensemble" / "fit.json")  # without its checksum, as fits of before
    return {**fit, "thresholds": dict.fromkeys(fit["thresholds"], 1.0)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--input", "nowhere"], "nowhere: not there; expected a folder"),
        (["--truth", "nowhere"], "nowhere: no such folder; --truth takes"),
    ],
)
def test_a_path_that_is_not_there_is_reported_before_anything_is_predicted(
    run: Run, call: Call, changes: list[str], words: str
) -> None:
    before = states(run)
    code, _, error = call(ensemble.predict.main, *predict_arguments(run), *changes)
    assert code == 2 and said_in_one_line(error, words), error
    assert states(run) == before
