"""A training that begins from another run's folds takes those that have not seen what it holds out, row by row."""

import json

import pytest

from scroll.data.folds import Fold
from scroll.data.members.beginning import beginning
from scroll.errors import InputError
from scroll.runtime.receipt import write_receipt


def run_of(root, *held_out, seen=("a", "b")):
    for number, rows in enumerate(held_out):
        folder = root / f"fold{number}"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"x")
        write_receipt(folder, "key", held_out=rows, data=dict.fromkeys(seen, "hash"))
    return root


def fold(**rows):
    return Fold(0, rows, rows)


def test_the_fold_that_held_the_same_rows_out_is_taken(tmp_path):
    run = run_of(tmp_path / "m", {"a": [0, 50]}, {"a": [50, 100], "b": [0, 20]})
    assert beginning(run, fold(a=(10, 40))).parent.name == "fold0"
    assert beginning(run, fold(a=(60, 100), b=(0, 10))).parent.name == "fold1"


def test_a_sheet_that_the_run_never_saw_is_new_to_every_fold(tmp_path):
    run = run_of(tmp_path / "m", {"a": [0, 100]}, {"b": [0, 100]})
    assert beginning(run, fold(c=(0, 30))).parent.name == "fold0"
    assert beginning(run, fold(c=(0, 30), b=(0, 100))).parent.name == "fold1"


@pytest.mark.parametrize("rows", [{"a": (40, 60)}, {"a": (0, 50), "b": (0, 20)}])
def test_rows_that_each_fold_was_trained_on_are_refused(tmp_path, rows):
    run = run_of(tmp_path / "m", {"a": [0, 50]}, {"a": [50, 100], "b": [0, 20]})
    with pytest.raises(InputError, match="each of its folds was trained on some of what fold 0 holds out"):
        beginning(run, fold(**rows))


def test_a_receipt_that_does_not_say_is_not_believed(tmp_path):
    run = run_of(tmp_path / "m", {"a": [0, 50]})
    content = json.loads((run / "fold0" / "receipt.json").read_text())
    assert content["held_out"] == {"a": [0, 50]}
    other = run_of(tmp_path / "n", None)
    with pytest.raises(InputError, match="leave init out"):
        beginning(other, fold(a=(0, 50)))
