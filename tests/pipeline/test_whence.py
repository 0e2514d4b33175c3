"""What a prediction's files say of themselves, and what `scripts/whence.py` makes of them, on a real tiny run."""

import getpass
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pipeline_run import Run, copied, predict_arguments

from ensemble.commands import montage, whence
from ensemble.controls.copies import SHUFFLED, Shuffled, changed, reversed_copy
from ensemble.ink.fit import read_fit
from ensemble.ink.predictors import blended
from ensemble.output_record import sheet_record
from ensemble.predict import main as predict
from ensemble.request import input_sheets
from scroll.config.reader import load_settings
from scroll.runtime.file_record import MARK, png_info, record_text
from scroll.runtime.files import read_json, write_json, write_sealed
from scroll.runtime.manifest import file_sum
from scroll.runtime.receipt import key_of, read_receipt
from scroll.shards.plan import Plan, write_plan
from scroll.volumes.flat_picture import read_image
from scroll.volumes.masks import read_mask_png
from scroll.volumes.read_record import read_record
from scroll.volumes.sharded.format import OutputFormat
from scroll.volumes.sharded.output import create_output

NAMES = ("ink_mask.png", "ink_prob.png", "ink_prob.tif")
PREDICTORS = ("cnn3d", "unet3d", "stage2")
SECRET = "s3cr3t"


@pytest.fixture
def folder(run: Run) -> Path:
    return run.output / "a" / "ensemble"


def test_each_file_tells_the_run_the_weights_the_blend_and_how_it_was_looked_at(run, folder):
    settings = load_settings(run.config)
    fit = read_fit(settings)
    for name in NAMES:
        record = read_record(folder / name)
        assert record["run"] == "run" and record["items"] == ["a"] and record["fit"] == fit.made_from
        assert {name: one["weight"] for name, one in record["members"].items()} == fit.weights
        assert record["threshold"] == fit.thresholds["ensemble"] and record["depth_layers"] == [-4, 4]
        receipts = {one: read_receipt(run.output / "a" / one, "") for one in PREDICTORS}
        assert record["receipts"] == {f"a/{one}": receipt["key"] for one, receipt in receipts.items()}
        for one, receipt in receipts.items():
            assert record["members"][one]["weights_hash"] == key_of(sorted(receipt["weights"].values()))
        assert record["is_flipped"] == receipts["cnn3d"]["is_flipped"] and record["window"]["stage1"]["tta"] == "flips"
        assert record["made_by"]["packages"] == receipts["cnn3d"]["made_by"]["packages"]
        assert len(record_text(record)) < 4096
    assert read_record(folder / "ink_mask.png")["what"] == "mask of ink"


def test_a_negative_control_is_called_one(run, folder):
    settings = load_settings(run.config)
    (sheet,) = input_sheets(settings, run.data / "test")
    for copy in (changed(sheet, Shuffled(1), SHUFFLED), reversed_copy(sheet)):
        record = sheet_record(settings, copy, folder.parent, {"unet3d": 1.0})
        assert record["items"] == [copy.id] and copy.id in ("a depth-shuffled", "a reversed")
        assert record["is_flipped"] == copy.is_flipped


def test_the_pixels_are_the_blend_and_its_threshold_as_ever(run, folder):
    settings = load_settings(run.config)
    fit, (sheet,) = read_fit(settings), input_sheets(settings, run.data / "test")
    prob = blended(settings, sheet, run.output / "a", fit.weights)[:]
    prob[~sheet.full_mask] = 0
    np.testing.assert_array_equal(read_image(folder / "ink_prob.tif"), (prob * 255).astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "ink_prob.png")), np.rint(prob * 255).astype(np.uint8))
    mask = read_mask_png(folder / "ink_mask.png", sheet.shape_yx)
    np.testing.assert_array_equal(mask, prob >= fit.thresholds["ensemble"])


def test_the_same_prediction_twice_gives_the_same_bytes_and_the_same_submission(run, tmp_path, call):
    own = copied(run, tmp_path)
    names = [*(own.output / "a/ensemble" / name for name in NAMES), own.root / "submission.csv"]
    assert call(predict, *predict_arguments(own))[0] == 0
    before = [path.read_bytes() for path in names]
    for path in names:
        path.unlink()
    assert call(predict, *predict_arguments(own))[0] == 0
    assert [path.read_bytes() for path in names] == before
    assert before[-1] == (run.root / "submission.csv").read_bytes()


def test_nothing_secret_is_in_them(run, tmp_path, call, monkeypatch):
    """All lies in the user's home, and what is predicted in a folder called as an address that a token opens."""
    home = tmp_path / "ada.lovelace"
    address = home / f"https:me:{SECRET}@host?X-Amz-Signature={SECRET}"
    address.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    own = copied(run, home)
    own.config.write_text(own.config.read_text().replace(str(run.data), str(own.data)))
    shutil.copytree(run.data / "test", address / "test")
    shutil.rmtree(own.output)
    code, _, error = call(predict, own.config, "--input", address / "test", "--output", own.output)
    assert code == 0, error
    assert "ada.lovelace" in str(read_receipt(own.output / "a/stage2", "")["source"])
    for name in NAMES:
        content = (own.output / "a/ensemble" / name).read_bytes()
        for secret in (SECRET, "ada.lovelace", str(run.root), str(tmp_path), os.uname().nodename, "https:"):
            assert secret.encode() not in content, (name, secret)
        record = read_record(own.output / "a/ensemble" / name)
        assert "/" not in json.dumps(record).replace("a/", "") and getpass.getuser() not in json.dumps(record).split(
            '"'
        )


def test_it_is_reported_in_plain_words_and_its_receipts_are_found(run, folder, call):
    for name in NAMES:
        code, message, error = call(whence.main, folder / name)
        assert code == 0 and not error, message
        assert (
            "by the run 'run'" in message and re.search(r"depth layers +-4 to 4\n", message) and "threshold" in message
        )
        assert "the same prediction: a/cnn3d, a/unet3d, a/stage2" in message and "its fit was not compared" in message
    code, message, _ = call(whence.main, folder / "ink_mask.png", "--run", run.run_dir)
    assert code == 0 and "the same fit" in message


def test_a_copy_under_another_name_elsewhere_is_known_by_its_run(run, folder, tmp_path, call):
    desk = tmp_path / "desk"  # what is beside it is looked at too, and other tests leave runs beside theirs
    desk.mkdir()
    for name in NAMES:
        copy = desk / f"what I found{Path(name).suffix}"
        shutil.copyfile(folder / name, copy)
        code, message, _ = call(whence.main, copy)
        assert (
            code == 1
            and "not found, or damaged, beside it: that of a/cnn3d, a/unet3d, a/stage2; give --run DIR" in message
        )
        code, message, _ = call(whence.main, copy, "--run", run.root)
        assert code == 0 and "the same prediction" in message and "the same fit" in message


def test_another_prediction_and_a_lost_receipt_are_named(run, tmp_path, call):
    own = copied(run, tmp_path)
    file, receipt = own.output / "a/ensemble/ink_prob.tif", own.output / "a/unet3d/receipt.json"
    write_sealed(receipt, read_json(receipt) | {"key": "another"})
    code, message, _ = call(whence.main, file)
    assert code == 1 and f"another prediction of a/unet3d now: {receipt}\n" in message
    assert "the same for a/cnn3d, a/stage2" in message
    receipt.unlink()
    code, message, _ = call(whence.main, file)
    assert code == 1 and "not found, or damaged, beside it: that of a/unet3d" in message
    fit = own.run_dir / "ensemble/fit.json"
    write_sealed(fit, read_json(fit) | {"made_from": "another"})
    code, message, _ = call(whence.main, file, "--run", own.run_dir)
    assert code == 1 and f"another fit now: {fit}" in message
    receipt.write_text("{")
    code, message, _ = call(whence.main, file)
    assert code == 1 and "not found, or damaged, beside it: that of a/unet3d" in message


def test_a_montage_tells_of_what_it_shows(run, tmp_path, call):
    picture = tmp_path / "montage.png"
    for _ in range(2):  # it may be drawn again over itself
        assert call(montage.main, run.run_dir, "--predicted", run.output, "--out", picture)[0] == 0
    record, of_mask = read_record(picture), read_record(run.output / "a/ensemble/ink_mask.png")
    assert record["what"] == "montage" and record["items"] == ["a"] and record["receipts"] == of_mask["receipts"]
    assert record["members"] == of_mask["members"] and record["threshold"] == of_mask["threshold"]
    assert Image.open(picture).text["Software"] == "Scroll Ensemble"
    code, message, _ = call(whence.main, picture, "--run", run.root)
    assert code == 0 and "the same prediction" in message


def test_files_of_before_hold_no_record_and_nothing_is_predicted_again_for_it(run, tmp_path, call):
    own = copied(run, tmp_path)
    mask = own.output / "a/ensemble/ink_mask.png"
    Image.open(mask).save(mask)
    code, message, _ = call(whence.main, mask, own.output, mask.with_name("none.png"))
    lines = message.splitlines()
    assert code == 1 and len(lines) == 3 and "holds no record" in lines[0]
    assert "is a folder" in lines[1] and "not there" in lines[2]
    assert call(montage.main, own.run_dir, "--predicted", own.output, "--out", tmp_path / "m.png")[0] == 0
    assert "receipts" not in read_record(tmp_path / "m.png") and read_record(tmp_path / "m.png")["run"] == "run"
    stamps = {path: path.stat().st_mtime_ns for path in own.output.rglob("receipt.json")}
    assert call(predict, *predict_arguments(own))[0] == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in own.output.rglob("receipt.json")}


def test_a_map_is_known_by_its_receipt_wherever_it_lies(run, tmp_path, call):
    for name in ("unet3d/prob.zarr", "unet3d/flat.zarr", "stage2/ink.zarr"):
        code, message, _ = call(whence.main, run.output / "a" / name)
        assert code == 0 and "fragment a" in message and str(run.output / "a" / name.split("/")[0]) in message
    shutil.copytree(run.output / "a/stage2/ink.zarr", tmp_path / "desk" / "mine.zarr")
    code, message, _ = call(whence.main, tmp_path / "desk" / "mine.zarr")
    assert code == 1 and "a map that no receipt beside it speaks of" in message
    assert call(whence.main, tmp_path / "desk" / "mine.zarr", "--run", run.output)[0] == 0


def test_a_file_without_a_record_is_known_by_a_receipt_that_holds_it(tmp_path, call):
    (tmp_path / "sheet-001").mkdir()
    Image.new("L", (3, 3)).save(tmp_path / "sheet-001/x.tif")
    sums = {"sheet-001/x.tif": file_sum(tmp_path / "sheet-001/x.tif")}
    write_json(tmp_path / "receipt.json", {"key": "k", "cube": "11", "holds": sums})
    code, message, _ = call(whence.main, tmp_path / "sheet-001/x.tif")
    assert code == 0 and "but a receipt knows it" in message and "cube 11, key k" in message


def test_whatever_is_given_is_one_line(tmp_path, call):
    deep: object = 1
    for _ in range(400):
        deep = {"a": [deep]}
    info = PngInfo()
    info.add_text("Description", json.dumps({MARK: 1, "window": deep}))
    Image.new("L", (3, 3)).save(tmp_path / "deep.png", pnginfo=info)
    given = [tmp_path / "deep.png", tmp_path, ".", "/", "/dev/null", tmp_path / "none/none.tif"]
    code, message, error = call(whence.main, *given)
    assert code == 1 and not error and len(message.splitlines()) == len(given), message


def test_what_predict_scroll_wrote_is_known_by_its_plan(tmp_path, call):
    how = OutputFormat((64, 64, 64), 64, 32, 7.91)
    for name in ("a.zarr", "b.zarr"):
        create_output(tmp_path / name, how, f"key of {name}")
        plan = Plan("key of a.zarr", how, ((0, 0, 0),), 1, about={"run_dir": "/home/ada/runs/demo"})
        write_plan(tmp_path / f"{name}.ledger" / "plan.json", plan)
    code, message, _ = call(whence.main, tmp_path / "a.zarr", tmp_path / "b.zarr")
    known, unknown = message.splitlines()[:2], message.splitlines()[2:]
    assert "but a receipt knows it" in known[0] and "run_dir demo, key key of a.zarr" in known[1]
    assert code == 1 and len(unknown) == 1 and "b.zarr: a map that no receipt beside it speaks of" in unknown[0]


def test_somebody_elses_record_leads_nowhere_and_writes_nothing_to_the_terminal(tmp_path, call):
    record = {"run": "\x1b]0;owned\x07", "items": ["**", "../../..", "/etc"], "receipts": {"**/x": "of nobody"}}
    Image.new("L", (3, 3)).save(tmp_path / "a.png", pnginfo=png_info(record))
    code, message, _ = call(whence.main, tmp_path / "a.png")
    assert code == 1 and "\x1b" not in message and "not found, or damaged, beside it: that of **/x" in message
