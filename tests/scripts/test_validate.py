"""The validating command: one line and 0 for a valid submission, every fault and 2 for another."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ensemble.commands import validate
from ensemble.ink.submission import write_submission
from ensemble.surface.submission import mask_tiff_bytes, write_submission_zip
from scroll.errors import InputError, MissingInputError
from scroll.phantom.write import write_cube
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
MASKS = {"11": np.ones((4, 6, 5), bool), "22": np.eye(5, dtype=bool)[None].repeat(3, axis=0)}


@pytest.fixture
def surface(tmp_path: Path) -> Path:
    root = tmp_path / "surface"
    for name, mask in MASKS.items():
        write_cube(root / "test_images" / f"{name}.tif", np.full(mask.shape, 90, np.uint8))
    (root / "test.csv").write_text("id,scroll_id\n11,26002\n22,26002\n")
    return root


@pytest.fixture
def ink(tmp_path: Path) -> Path:
    for layer in range(3):
        path = tmp_path / "ink" / "test" / "a" / "surface_volume" / f"{layer:02d}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.zeros((6, 7), np.uint16))
    return tmp_path / "ink"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return step(REPOSITORY / "scripts" / "validate.py", *arguments)


def test_a_valid_zip_is_one_line_and_0(surface: Path, tmp_path: Path) -> None:
    path = write_submission_zip(tmp_path / "submission.zip", MASKS.items(), MASKS)
    done = call(path, "--test", surface)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: valid, 2 masks\n"


def test_every_fault_of_a_zip_is_a_line_and_2(surface: Path, tmp_path: Path) -> None:
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("11.tif", mask_tiff_bytes(MASKS["22"], ""))
        archive.writestr("notes.txt", "")
    done = call(path, "--test", surface)
    assert done.returncode == 2 and done.stderr == ""
    *faults, last = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in faults] == ["fault"] * 3
    for words in ("22.tif is missing", "notes.txt", "11.tif is (3, 5, 5) (z, y, x); expected (4, 6, 5)"):
        assert sum(words in line for line in faults) == 1
    assert last.startswith(f"{path}: 3 faults")


def test_an_empty_mask_is_a_warning_and_0(surface: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = MASKS | {"22": np.zeros((3, 5, 5), bool)}
    path = write_submission_zip(tmp_path / "submission.zip", masks.items(), masks)
    assert validate.main([str(path), "--test", str(surface)]) == 0
    warned, valid = capsys.readouterr().out.splitlines()
    assert warned.startswith("warning: 22.tif holds no surface") and valid.endswith("valid, 2 masks")


@pytest.mark.parametrize("below", ["", "test"])
def test_an_ink_submission_is_held_against_the_fragments(
    below: str, ink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_submission(tmp_path / "submission.csv", {"a": np.ones((6, 7), bool)})
    assert validate.main([str(path), "--test", str(ink / below)]) == 0
    assert capsys.readouterr().out == f"{path}: valid, 1 mask\n"
    path.write_text("Id,Predicted\na,40 9\nb,1 1\n")
    assert validate.main([str(path), "--test", str(ink / below)]) == 2
    first, second, last = capsys.readouterr().out.splitlines()
    assert "run 1 (40 9) ends at pixel 48" in first and "id 'b'" in second and "2 faults" in last


def test_what_cannot_be_validated_is_said_in_one_line(surface: Path, ink: Path, tmp_path: Path) -> None:
    good = write_submission_zip(tmp_path / "submission.zip", MASKS.items(), MASKS)
    for submission, test, error, message in [
        (tmp_path / "none.zip", surface, MissingInputError, "none.zip: not there"),
        (good, tmp_path / "nowhere", MissingInputError, "nowhere: no such folder"),
        (good, ink, MissingInputError, "test.csv: not there"),
        (surface / "test_images" / "11.tif", surface, InputError, "expected submission.zip"),
    ]:
        with pytest.raises(error, match=message) as caught:
            validate.main([str(submission), "--test", str(test)])
        assert "\n" not in str(caught.value)
    done = call(good, "--test", tmp_path / "nowhere")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_help_names_its_arguments_and_no_torch_is_loaded_for_the_work(surface: Path, tmp_path: Path) -> None:
    shown = call("--help")
    assert shown.returncode == 0 and "--test" in shown.stdout
    path = write_submission_zip(tmp_path / "submission.zip", MASKS.items(), MASKS)
    program = (
        "import sys; from ensemble.commands import validate\n"
        "code = validate.main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'monai', 'scipy', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, "--test", surface],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
