"""A run that was damaged on the disk: each reader refuses in one line, and what is struck out is made again alone, in the same bits."""

from pathlib import Path

import pytest
from pipeline_run import Call, Run, copied, predict_arguments

import ensemble.calibrate
import ensemble.predict
import stage1_3d.train
from ensemble.commands import status


def flip(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def maps_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if ".zarr" in str(file) and file.is_file()
    }


def born(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.zarr")}


@pytest.mark.slow
def test_a_flipped_bit_in_a_map_is_listed_by_verify_and_the_same_command_makes_that_map_alone_again(
    run: Run, call: Call, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path)
    assert call(status.main, copy.run_dir, "--verify")[0] == 0
    before, made = maps_of(copy.run_dir), born(copy.run_dir)
    damaged = copy.run_dir / "stage1" / "cnn3d" / "oof" / "1" / "flat.zarr"
    flip(next(file for file in sorted((damaged / "0").rglob("*")) if file.name.isdecimal() and file.is_file()))
    (copy.run_dir / "ensemble" / "fit.json").unlink()
    code, _, error = call(ensemble.calibrate.main, copy.config)
    assert code == 2 and error.count("\n") == 1 and "is damaged: not what its checksum says" in error
    code, message, _ = call(status.main, copy.run_dir, "--verify")
    assert code == 1 and f"damaged: {damaged}" in message and "struck out" in message and ": 1 damaged" in message
    assert call(stage1_3d.train.main, copy.config)[0] == 0
    assert maps_of(copy.run_dir) == before
    assert {path for path, at in born(copy.run_dir).items() if made[path] != at} == {damaged}
    assert call(status.main, copy.run_dir, "--verify")[0] == 0
    assert call(ensemble.calibrate.main, copy.config)[0] == 0


@pytest.mark.slow
def test_an_edited_fit_is_refused_and_fitted_again_to_the_same(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    fit = copy.run_dir / "ensemble" / "fit.json"
    before = fit.read_text()
    fit.write_text(before.replace('"cnn3d": 0.', '"cnn3d": 1.', 1))
    assert fit.read_text() != before
    code, _, error = call(ensemble.predict.main, *predict_arguments(copy))
    assert (
        code == 2 and error.count("\n") == 1 and "was changed since it was written" in error and "make stage2" in error
    )
    code, message, error = call(ensemble.calibrate.main, copy.config)
    assert code == 0 and "fitted again" in message, error
    assert fit.read_text() == before
