"""From its receipt a prediction can be made again, value for value; what does not fit the receipt is said."""

import json
import shutil
from pathlib import Path

import pytest
from pipeline_run import MEMBERS, Call, Run, copied

from ensemble.commands import replay
from scroll.runtime.files import read_json
from scroll.runtime.manifest import begin, seal
from scroll.volumes.ome_zarr import open_array

PREDICTIONS = {
    "a member out of fold": "run/stage1/unet3d/oof/1",
    "stage two out of fold": "run/stage2/oof/2",
    "a member on a new fragment": "predict/a/cnn3d",
    "stage two on a new fragment": "predict/a/stage2",
}


@pytest.mark.parametrize("where", PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_crop_predicted_anew_is_the_same_to_the_last_bit(run: Run, call: Call, where: str) -> None:
    code, message, error = call(replay.main, run.root / where, "--rows", 24)
    assert code == 0, error
    assert "rows 20-44 predicted again; largest difference 0.00e+00, every value the same" in message


def test_the_first_rows_may_be_named(run: Run, call: Call) -> None:
    code, message, _ = call(replay.main, run.root / PREDICTIONS["stage two out of fold"], "--first", 60, "--rows", 10)
    assert code == 0 and "rows 60-64" in message
    code, _, error = call(replay.main, run.root / PREDICTIONS["stage two out of fold"], "--first", 64)
    assert code == 2 and "the map has rows 0 to 64" in error


def test_a_map_that_the_weights_did_not_make_is_found_out(run: Run, call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "oof" / "1"
    shutil.copytree(run.root / PREDICTIONS["a member out of fold"], folder)
    begin(folder / "prob.zarr")
    volume = open_array(folder / "prob.zarr", mode="r+")
    volume[0, 30, 5] = float(volume[0, 30, 5]) + 0.25
    seal(folder / "prob.zarr")  # or it would be damage
    code, message, _ = call(replay.main, folder)
    assert code == 1 and "largest difference 2.50e-01 (1 of " in message


def test_other_weights_or_other_data_are_one_line(run: Run, call: Call, tmp_path: Path) -> None:
    again = copied(run, tmp_path)
    folder = again.run_dir / "stage1" / MEMBERS[0] / "oof" / "1"
    receipt = read_json(folder / "receipt.json")
    made_in = str(Path(next(iter(receipt["weights"]))).parents[3])  # of which `run` is a copy
    moved = {key.replace(made_in, str(again.run_dir)): value for key, value in receipt["weights"].items()}
    text = json.dumps(receipt)  # without its checksum, as receipts of before
    for old, new in zip(receipt["weights"], moved, strict=True):
        text = text.replace(old, new)
    (folder / "receipt.json").write_text(text.replace(receipt["data"], "0" * 16))
    code, _, error = call(replay.main, folder)
    assert (code, error.count("\n")) == (2, 1) and "changed since" in error
    Path(next(iter(moved))).write_bytes(b"other")
    code, _, error = call(replay.main, folder)
    assert (code, error.count("\n")) == (2, 1) and "predicted by other weights than those in" in error
    Path(next(iter(moved))).unlink()
    code, _, error = call(replay.main, folder)
    assert (code, error.count("\n")) == (2, 1) and "are not there; put them back" in error


def test_what_no_network_made_cannot_be_replayed(run: Run, call: Call, tmp_path: Path) -> None:
    code, _, error = call(replay.main, tmp_path)
    assert code == 2 and "such as runs/demo_ink/stage1/unet3d/oof/1" in error


@pytest.mark.parametrize("where", [*PREDICTIONS.values(), "run/stage1/cnn3d/fold0", "run/stage2/fold1"])
def test_receipts_say_what_decided_the_result(run: Run, where: str) -> None:
    receipt = read_json(run.root / where / "receipt.json")
    packages = receipt["made_by"]["packages"]
    assert {"torch", "monai", "numpy", "zarr", "transformers"} <= set(packages) and receipt["made_by"]["code"][
        "version"
    ]
    if "fold" in where:
        assert (
            receipt["weights"] and receipt["seed"] > 0 and receipt["data"] and receipt["settings"] and receipt["depth"]
        )
    else:
        assert receipt["weights"] and receipt["data"] and receipt["source"]
        assert receipt["is_flipped"] is False and receipt["shift_layers"] == 0 and receipt["normal_sign"] == 1
