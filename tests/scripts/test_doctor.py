"""The doctor: silent on good data, and every problem at once, a line each, where there are several."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

import stage1_3d.doctor_checks
from ensemble.commands import doctor
from scroll.data.labels import Label, SheetLabels
from scroll.data.members.card import Card, FoldCard
from scroll.report.label_picture import (
    BARE,
    HELD_OUT,
    HELD_OUT_INK,
    INK,
    LINE_PX,
    PROPOSED,
    PROPOSED_INK,
    UNKNOWN,
    label_picture,
)
from stage1_3d.external.checkpoint import write_card
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (9, 96, 80)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint8) * 255).save(path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two good fragments and settings that suit them."""
    ink = np.zeros(SHAPE[1:], bool)
    ink[20:60, 20:40] = True
    for name in ("1", "2"):
        folder = tmp_path / "data" / "train" / name
        (folder / "surface_volume").mkdir(parents=True)
        for layer in range(SHAPE[0]):
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", np.zeros(SHAPE[1:], np.uint16))
        write_picture(folder / "mask.png", np.ones(SHAPE[1:], bool))
        write_picture(folder / "inklabels.png", ink)
    settings = {
        "run_dir": str(tmp_path / "run"),
        "data": {"root": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache"), "depth": [-2, 2]},
        "stage1": {"members": {"a": {"network": "cnn3d", "patch_size": [4, 32, 32]}}},
        "stage2": {"patch_size": [64, 64]},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def problems(config: Path, *overrides: str) -> list[str]:
    message = list(doctor.examine(config, list(overrides)))
    assert all(line.startswith(("ok:", "problem:")) and "\n" not in line for line in message)
    return [line for line in message if line.startswith("problem:")]


def test_good_data_has_no_problem(config: Path) -> None:
    assert problems(config) == []


def test_the_command_tells_several_problems_at_once_and_leaves_with_2(config: Path) -> None:
    first, second = (config.parent / "data" / "train" / name for name in ("1", "2"))
    (first / "surface_volume" / "04.tif").unlink()
    write_picture(second / "inklabels.png", np.zeros((10, 10), bool))
    overrides = ["--set", "stage1.members.a.patch_size=[4, 31, 32]", "--set", "stage2.patch_size=[60, 64]"]
    done = step("scripts/doctor.py", config, *overrides)
    found = [line for line in done.stdout.splitlines() if line.startswith("problem:")]
    assert done.returncode == 2 and done.stderr == ""
    assert len(found) == 4 and done.stdout.splitlines()[-1] == "4 problems"
    for line, words in zip(found, ("multiples of", "multiples of 32", "04.tif missing", "(10, 10)"), strict=True):
        assert words in line


def test_each_planted_problem_is_found(config: Path) -> None:
    folder = config.parent / "data" / "train" / "1"
    full = np.ones(SHAPE[1:], bool)
    (folder / "mask.png").unlink()
    assert "mask.png: not there" in problems(config)[0]
    write_picture(folder / "mask.png", ~full)
    assert "no ink inside the mask" in problems(config)[0]
    write_picture(folder / "mask.png", full)
    write_picture(folder / "inklabels.png", full)
    assert "probably inverted" in problems(config)[0]
    (folder / "inklabels.png").unlink()
    assert "inklabels.png: not there" in problems(config)[0]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("folds.count=3", "2 training fragments"),
        ("data.depth=[-9, 9]", "do not hold data.depth"),
        ("data.bin_yx=4", "no open place for a patch of (32, 32)"),
        ("stage2.patch_size=[128, 128]", "stage2: no open place"),
        ("folds={by: region, count: 4, buffer_px: 72}", "leave nothing to train on beside a buffer of 72 rows"),
        ("stage2.network=segformr", "did you mean 'segformer'"),
        ("data.root=nowhere", "nowhere/train: no such folder"),
        ("data.typo=1", "unknown key 'data.typo'"),
    ],
)
def test_settings_that_do_not_suit_the_data_are_found(config: Path, override: str, words: str) -> None:
    found = problems(config, override)
    assert found and all(words in line for line in found), found


def test_bands_too_low_for_a_patch_and_a_buffer_too_narrow_for_it_are_both_found(config: Path) -> None:
    narrow, low = problems(config, "folds={by: region, count: 4, buffer_px: 8}")
    assert "folds.buffer_px is 8, but the patch of stage2 reaches over 64 rows" in narrow
    assert "fold 0, stage1.members.a: no open place" in low


def test_a_disk_too_small_is_found(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage1_3d.doctor_checks, "SPARE_GIB", 1e9)
    (found,) = problems(config)
    assert "GiB will be needed" in found


def test_each_sheet_is_drawn_in_the_colours_of_what_is_known_inked_and_held_out(config: Path) -> None:
    folder = config.parent / "data" / "train" / "1"
    for name, box in (("supervision_mask", np.s_[:70]), ("1_validation_mask_v2", np.s_[40:60, :50])):
        pixels = np.zeros(SHAPE[1:], bool)
        pixels[box] = True
        write_picture(folder / f"{name}.png", pixels)
    message = list(doctor.examine(config, []))
    path = config.parent / "run" / "labels_1.png"
    (line,) = [one for one in message if str(path) in one]
    known, ink, held_out = 70 * 80 - 20 * 50, 20 * 20, 20 * 50
    assert f"trained on {known / 7680:.1%} of the papyrus, {ink / known:.1%} of that ink" in line
    assert f"held out {held_out / 7680:.1%}" in line
    picture = np.asarray(Image.open(path))[:96, :80]
    at = {(5, 5): BARE, (25, 25): INK, (50, 5): HELD_OUT, (50, 25): HELD_OUT_INK, (50, 70): BARE, (80, 25): UNKNOWN}
    assert {place: tuple(int(c) for c in picture[place]) for place in at} == at
    assert problems(config) == []  # a picture of its own is drawn again
    path.write_text("mine")
    assert f"{path}: is there, and is not a picture of this project" in problems(config)[0]


def test_the_share_that_is_proposed_is_reported_and_drawn_in_colours_of_its_own(config: Path) -> None:
    folder = config.parent / "data" / "train" / "2"
    proposed = np.zeros(SHAPE[1:], bool)
    proposed[:48] = True
    write_picture(folder / "proposed_mask_v1.png", proposed)
    lines = [one for one in doctor.examine(config, []) if "labels of" in one]
    assert "that ink, 50.0% of that proposed: " in lines[1] and "proposed_mask_v1.png" in lines[1]
    assert "proposed" not in lines[0]
    first, second = (Image.open(config.parent / "run" / f"labels_{name}.png") for name in (1, 2))
    assert second.height == first.height + LINE_PX  # of the legend
    picture = np.asarray(second)
    at = {(5, 5): PROPOSED, (25, 25): PROPOSED_INK, (55, 25): INK, (80, 5): BARE}
    assert {place: tuple(int(c) for c in picture[place]) for place in at} == at


def test_a_large_sheet_is_drawn_small_and_a_grey_label_in_shades(tmp_path: Path) -> None:
    target = np.zeros((3000, 700), np.float32)
    target[:, 350:] = 0.5
    label = Label(target, np.zeros(target.shape, bool))
    path = label_picture(tmp_path / "a.png", np.ones(target.shape, bool), SheetLabels(label))
    picture = np.asarray(Image.open(path))
    assert max(picture.shape) <= 1024
    assert tuple(picture[100, 20]) == BARE and np.abs(picture[100, 120] - np.mean([BARE, INK], axis=0)).max() <= 1


def member_of_others(folder: Path, *seen: str) -> str:
    """A member that was trained on these fragments, as an override that adds it."""
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"weights")
    fold = FoldCard(weights="net.onnx", sha256="", trained_on=seen)
    write_card(folder, Card(family="graph", window=(4, 32, 32), folds=(fold,)))
    return f"stage1.members.{folder.name}.member={folder}"


def test_a_member_of_others_that_is_not_there_or_broken_is_reported_whatever_the_data_are(config: Path) -> None:
    b, gone = member_of_others(config.parent / "b", "elsewhere"), f"stage1.members.c.member={config.parent / 'c'}"
    assert problems(config, b) == []
    for data in ([], [f"data.root={config.parent / 'nowhere'}"]):
        found = problems(config, b, gone, *data)
        assert "card.json: not there; a member of others is a folder with a card" in found[0]
        assert len(found) == 1 + len(data)
    d = member_of_others(config.parent / "d", "elsewhere")
    (config.parent / "d" / "net.onnx").write_bytes(b"exchanged")
    (config.parent / "data" / "train" / "1" / "mask.png").unlink()
    found = problems(config, d, gone)
    assert "net.onnx: is not the file that card.json" in found[0] and "card.json: not there" in found[1]
    assert "mask.png: not there" in found[2] and len(found) == 3
