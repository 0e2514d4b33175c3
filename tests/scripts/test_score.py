"""The score on the command line: the same numbers as in Python, from files, folders and a zip, and errors in one line."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ensemble.commands import score
from scroll.errors import InputError
from scroll.metrics.leaderboard import leaderboard_score

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = np.load(REPOSITORY / "tests" / "golden" / "surface_score" / "cases.npz")
NAMES = ("tiny_1000", "tiny_1001")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for side in ("pred", "label"):
        (tmp_path / side).mkdir()
        for name in NAMES:
            tifffile.imwrite(tmp_path / side / f"{name}.tif", CASES[f"{name}_{side}"])
    return tmp_path / "pred", tmp_path / "label"


def expected(name: str) -> float:
    return leaderboard_score(CASES[f"{name}_pred"], CASES[f"{name}_label"]).score


def test_folders_give_every_volume_and_the_mean(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score.main([*map(str, folders), "--jobs", "1", "--json", str(tmp_path / "out.json")])
    written = json.loads((tmp_path / "out.json").read_text())
    assert [volume["name"] for volume in written["volumes"]] == list(NAMES)
    assert [volume["score"] for volume in written["volumes"]] == pytest.approx([expected(name) for name in NAMES])
    assert written["mean"]["score"] == pytest.approx(sum(expected(name) for name in NAMES) / 2)
    printed = capsys.readouterr().out
    assert f"{expected(NAMES[0]):.6f}" in printed and f"{written['mean']['score']:.6f}" in printed


def test_processes_give_the_same_as_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pairs = score.match(*folders, tmp_path, None)
    assert score.score_all(pairs, jobs=2) == score.score_all(pairs, jobs=1)


def test_a_zip_is_scored_against_labels_and_labels_left_over_are_reported(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission = tmp_path / "submission.zip"
    with zipfile.ZipFile(submission, "w") as archive:
        archive.write(folders[0] / "tiny_1000.tif", "inner/tiny_1000.tif")
    score.main([str(submission), str(folders[1]), "--jobs", "1"])
    printed = capsys.readouterr()
    assert f"{expected('tiny_1000'):.6f}" in printed.out and "tiny_1001" not in printed.out
    assert "1 of 2 labels" in printed.err


def test_two_files_are_a_pair_and_the_atlas_is_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    other = folders[1] / "tiny_1000.tif"
    out = tmp_path / "out.json"
    pred = (folders[0] / "tiny_1000.tif").rename(folders[0] / "renamed.tif")
    score.main([str(pred), str(other), "--atlas", "--atlas-limit", "5", "--json", str(out)])
    (volume,) = json.loads(out.read_text())["volumes"]
    assert volume["score"] == pytest.approx(expected("tiny_1000"))
    assert sum(entry["is_rescored"] for entry in volume["atlas"]) <= 5
    assert all(len(entry["where"]) == 3 for entry in volume["atlas"])


def test_what_is_wrong_is_said_in_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, label = folders
    broken, empty = tmp_path / "broken.zip", tmp_path / "empty"
    broken.write_bytes(b"no zip")
    empty.mkdir()
    lone = tmp_path / "lone"
    lone.mkdir()
    tifffile.imwrite(lone / "strange.tif", np.zeros((6, 7, 8), np.uint8))
    for arguments, message in [
        ([tmp_path / "nowhere", label], "nowhere: not there"),
        ([empty, label], "no .tif"),
        ([broken, label], "not a readable zip"),
        ([lone, label], "strange"),
        ([lone / "strange.tif", label / "tiny_1000.tif", "--jobs", "1"], "differ in shape"),
        ([pred, label, "--jobs", "0"], "--jobs"),
        ([pred, label, "--atlas-limit", "-1"], "--atlas-limit"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            score.main([str(argument) for argument in arguments])
        assert "\n" not in str(caught.value)


def test_help_comes_from_any_directory_and_errors_leave_with_2(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "score.py")]
    shown = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--atlas" in shown.stdout
    failed = subprocess.run([*command, "a", "b"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1 and failed.stderr.startswith("error: a: not there")
