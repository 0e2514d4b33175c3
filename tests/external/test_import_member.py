"""The command that takes what others made: what cannot be a member is one line, and leaves no member behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from scroll.data.members.card import read_card
from scroll.errors import InputError
from stage1_3d.external.ready import map_of, probabilities_in, volume_of
from tests.steps import step

ENTRY_POINT = Path(__file__).resolve().parents[2] / "scripts" / "import_member.py"
READY = ("--kind", "predictions")
GRAPH = ("--kind", "graph")
NOT = "expected probabilities"


def arrays(folder: Path) -> None:
    """A folder for each kind of odd predictions."""
    for name, files in {
        "nan": {"1.npy": np.array([[0, np.nan]], np.float32)}, "two": {"1.npy": np.array([[0, 2.0]], np.float32)},
        "objects": {"1.npy": np.array([{}], object)}, "nothing": {"1.npy": np.zeros((0, 3), np.float32)},
        "four": {"1.npy": np.zeros((2, 3, 3, 3), np.float32)},
        "mixed": {"1.npy": np.zeros((3, 3), np.float32), "2.npy": np.zeros((3, 3, 3), np.float32)}, "sound": {"1.npy": np.zeros((3, 3))},
    }.items():  # fmt: skip
        (folder / name).mkdir(parents=True)
        for file, values in files.items():
            np.save(folder / name / file, values, allow_pickle=True)
    (folder / "unasked" / "fold_0" / "validation").mkdir(parents=True)
    for name in ("keyless", "three", "twice", "cut", "colour", "empty"):
        (folder / name).mkdir()
    np.savez(folder / "keyless" / "1.npz", x=np.zeros(3))
    np.savez(folder / "three" / "1.npz", probabilities=np.zeros((3, 2, 2, 2)))
    np.save(folder / "twice" / "1.npy", np.zeros((3, 3)))
    tifffile.imwrite(folder / "twice" / "1.tif", np.zeros((3, 3), np.uint8))
    (folder / "cut" / "1.tif").write_bytes(b"II*\0abc")
    tifffile.imwrite(folder / "colour" / "1.tif", np.zeros((5, 5, 3), np.uint8))
    (folder / "net.onnx").write_bytes(b"x")
    torch.save({"a": 1}, folder / "numbers.pth")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    arrays(folder)
    return folder


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nan", READY, NOT), ("two", READY, "values from 0 to 2"), ("objects", READY, NOT), ("nothing", READY, "neither (Y, X) nor"),
        ("four", READY, "neither (Y, X) nor"), ("mixed", READY, "one folder for each"), ("keyless", READY, "probabilities is not a file"),
        ("three", READY, "not (2, Z, Y, X)"), ("twice", READY, "both of '1'"), ("cut", READY, NOT), ("colour", READY, "has colours"),
        ("unasked", READY, "run nnUNetv2_train with --npz"), ("sound", ("sound", *READY), "are both of '1'"),
        ("sound", ("empty", *READY), "one file an item"), ("sound", ("two", "--kind", "nnunet"), "two: a second source"),
        ("empty", READY, "one file an item"), ("nowhere", READY, "not there"), ("sound/1.npy", READY, "is no folder"),
        ("sound", (*READY, "--scale", 0), "--scale 0"), ("sound", (*READY, "--voxel-um", "nan"), "--voxel-um nan"),
        ("sound", (*READY, "--splits", "none.json"), "none.json"), ("sound", ("--kind", "nnunet"), "no fold_<k>"),
        ("net.onnx", GRAPH, "expected an ONNX graph"), ("sound", GRAPH, "expected a file .onnx"),
        ("net.onnx", (*GRAPH, "--overlap", 1), "--overlap 1"), ("net.onnx", (*GRAPH, "--layers", 3, 1), "--layers (3, 1)"),
        ("net.onnx", (*GRAPH, "--intensity", "divide", "--spread", 0), "--spread 0"),
        ("net.onnx", (*GRAPH, "--intensity", "robust", "--low", 9, "--high", 1), "low below high"),
        ("net.onnx", (*GRAPH, "--intensity", "percentiles", "--low", 1, "--high", 199), "from 0 to 100"),
        ("numbers.pth", ("--kind", "resnet3d"), "no tensors in it"), ("sound", ("--kind", "timesformer"), "is a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_member_is_one_line_and_leaves_none(odd, tmp_path, source, options, message):
    done = step(ENTRY_POINT, odd / source, *options, "--name", "x", "--output", tmp_path / "m", cwd=odd)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "m" / "card.json").exists()


def test_a_folder_of_something_else_is_not_written_to(odd, tmp_path):
    (tmp_path / "thesis.tex").touch()
    done = step(ENTRY_POINT, odd / "sound", *READY, "--name", "x", "--output", tmp_path, cwd=odd)
    assert done.returncode == 2 and "holds something else" in done.stderr and len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("a.npy", np.array([[0, 0.5]], np.float16), [[0, 0.5]]),
        ("a.tif", np.array([[0, 51, 255]], np.uint8), [[0, 0.2, 1]]),
        ("a.tif", np.array([[0, 13107, 65535]], np.uint16), [[0, 0.2, 1]]),
        ("a.tif", np.array([[0, 0.25]], np.float32), [[0, 0.25]]),
        ("a.tif", np.full((2, 3, 4), 255, np.uint8), np.ones((2, 3, 4))),
        ("a.npz", np.stack([np.full((2, 2, 2), 0.75), np.full((2, 2, 2), 0.25)]), np.full((2, 2, 2), 0.25)),
    ],
)
def test_each_way_to_write_probabilities_is_read(tmp_path, name, values, expected):
    path = tmp_path / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    elif path.suffix == ".npz":
        np.savez_compressed(path, probabilities=values)
    else:
        np.save(path, values)
    np.testing.assert_allclose(probabilities_in(path), expected, atol=1e-6)


def test_stored_maps_and_volumes_come_at_the_size_that_is_asked_for(odd, tmp_path):
    source = tmp_path / "maps"
    source.mkdir()
    coarse = np.array([[0.0, 0.4], [0.8, 0.4]], np.float32)
    np.save(source / "1.npy", coarse)
    done = step(ENTRY_POINT, source, *READY, "--name", "x", "--scale", 4, "--output", tmp_path / "m", cwd=odd)
    assert done.returncode == 0, done.stderr
    card = read_card(tmp_path / "m")
    np.testing.assert_allclose(map_of(tmp_path / "m", card, "1", (8, 7), 4), coarse, atol=1e-3)
    finer = map_of(tmp_path / "m", card, "1", (8, 7), 2)
    assert finer.shape == (4, 4)
    np.testing.assert_allclose(finer[0], [0, 0.1, 0.3, 0.4], atol=1e-3)  # a coarse pixel is the middle of its block
    with pytest.raises(InputError, match=r"is \(2, 2\), and the item \(9, 9\): expected \(3, 3\) at scale 4"):
        map_of(tmp_path / "m", card, "1", (9, 9), 4)
    with pytest.raises(InputError, match="does not go into"):
        map_of(tmp_path / "m", card, "1", (8, 7), 3)
    with pytest.raises(InputError, match="holds no prediction of '7', but of 1"):
        volume_of(tmp_path / "m", card, "7", (8, 7, 7))


def of_nnunet(folder: Path, item: str, p: float) -> None:
    """What nnU-Net leaves of an item: probabilities, what it knows of the image, and what it decided."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{item}.npz", probabilities=np.stack([np.full((2, 2, 2), q) for q in (1 - p, p)]))
    (folder / f"{item}.pkl").touch()
    tifffile.imwrite(folder / f"{item}.tif", np.full((2, 2, 2), p > 0.5, np.uint8))


def test_what_nnunet_said_when_it_validated_and_of_new_items_is_one_member(tmp_path):
    for n, item in enumerate("ab"):
        of_nnunet(tmp_path / "trained" / f"fold_{n}" / "validation", item, 0.25)
    of_nnunet(tmp_path / "predicted", "new", 0.75)
    of_nnunet(tmp_path / "predicted", "c", 0.75)  # by all folds, one of which was trained on it
    splits = [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}]
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    options = (*READY, "--name", "x", "--output", tmp_path / "m", "--splits", tmp_path / "splits.json")
    done = step(ENTRY_POINT, tmp_path / "trained", tmp_path / "predicted", *options)
    assert done.returncode == 0 and "4 predictions (voxels, scale 1); 3 of items that were new" in done.stdout, (
        done.stderr
    )
    card = read_card(tmp_path / "m")
    assert {item: one.is_unseen for item, one in card.ready.items()} == {"a": True, "b": True, "new": True, "c": False}
    assert volume_of(tmp_path / "m", card, "new", (2, 2, 2)).mean() == 0.75
    assert card.source == f"{tmp_path / 'trained'}, {tmp_path / 'predicted'}"


@pytest.mark.parametrize("folder", ["trained/fold_all/validation", "maps/validation"])
def test_a_validation_folder_of_no_numbered_fold_proves_nothing(tmp_path, folder):
    of_nnunet(tmp_path / folder, "a", 0.25)  # the fold "all" validates what it was trained on
    done = step(ENTRY_POINT, tmp_path / folder, *READY, "--name", "x", "--output", tmp_path / "m")
    assert done.returncode == 0 and "0 of items that were new" in done.stdout, done.stderr
