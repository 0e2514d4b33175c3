"""What a cube's mask says of itself; what is submitted holds none of it, and masks of before stay done."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from surface_run import own_surface_run

from ensemble.request import Request
from ensemble.review.whence import described
from ensemble.surface.predict import CubeRun, _left_empty, predict_test_cubes, write_checked_zip
from ensemble.surface.predictors import POST_PROCESSED, STAGE2
from ensemble.surface.submission import mask_tiff_bytes
from scroll.config.schema import Settings
from scroll.data.cubes import Cube, find_cubes, prepare
from scroll.errors import InputError
from scroll.runtime.file_record import record_text, tiff_without_record
from scroll.runtime.files import read_json, write_sealed
from scroll.runtime.manifest import file_sum
from scroll.runtime.record import write_record
from scroll.volumes.read_record import read_record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return own_surface_run(tmp_path_factory)


@pytest.fixture(scope="module")
def cube(settings: Settings) -> Cube:
    return prepare(find_cubes(settings.data.root, settings.data, part="test"))[0]


@pytest.fixture(scope="module")
def predicted(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the run predicted by way of all members alone."""
    output = tmp_path_factory.mktemp("predicted")
    run = CubeRun(settings, output)
    write_record(settings.folder.fit, run.fit.model_copy(update={"route": POST_PROCESSED}))
    predict_test_cubes(settings, Request(settings.data.root, output))
    return output


def test_a_mask_tells_the_route_the_post_processing_and_the_members(settings, cube, predicted):
    run = CubeRun(settings, predicted)
    record = read_record(run.mask_path(cube))
    assert (record["run"], record["items"], record["route"]) == (settings.run_dir.name, [cube.id], POST_PROCESSED)
    assert (
        record["fit"] == run.fit.made_from
        and record["threshold"] == run.fit.rows[POST_PROCESSED].post_processing.threshold
    )
    assert {name: one["weight"] for name, one in record["members"].items()} == {n: run.weights[n] for n in run.members}
    assert set(record["receipts"]) == {f"{cube.id}/{name}" for name in ("masks", *run.members)}
    assert str(settings.data.root) not in record_text(record) and "depth_layers" not in record
    lines, is_same = described(run.mask_path(cube), None)
    assert is_same and any("the same prediction" in line for line in lines)


def test_by_way_of_the_sheets_their_receipts_are_named_too(settings, cube, tmp_path):
    own = settings.model_copy(update={"run_dir": tmp_path / "run"})
    shutil.copytree(settings.run_dir, own.run_dir, ignore=shutil.ignore_patterns("predict"))
    fit = CubeRun(own, tmp_path / "output").fit
    write_record(own.folder.fit, fit.model_copy(update={"route": STAGE2}))
    predict_test_cubes(own, Request(settings.data.root, tmp_path / "output"))
    run = CubeRun(own, tmp_path / "output")
    record = read_record(run.mask_path(cube))
    assert {f"{cube.id}/sheets", f"{cube.id}/stage2"} < set(record["receipts"]) and record["route"] == STAGE2
    lines, is_same = described(run.mask_path(cube), own.run_dir)
    assert is_same and any("the same fit" in line for line in lines)


def test_the_submission_is_that_of_masks_without_a_record(settings, cube, predicted, tmp_path):
    mask = tifffile.imread(CubeRun(settings, predicted).mask_path(cube)) > 0
    write_checked_zip(tmp_path / "submission.zip", predicted, [cube])
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert archive.read(f"{cube.id}.tif") == mask_tiff_bytes(mask, cube.id)


def test_masks_of_before_stay_done_and_are_known_by_their_note(settings, cube, predicted, tmp_path):
    output = tmp_path / "before"
    shutil.copytree(predicted, output)
    run = CubeRun(settings, output)
    mask, note = run.mask_path(cube), run.mask_path(cube).with_suffix(".json")
    mask.write_bytes(tiff_without_record(mask.read_bytes()))
    assert not run.is_done(cube)  # its note is of the mask with a record
    write_sealed(note, read_json(note) | {"mask": file_sum(mask)})
    assert run.is_done(cube)
    before = mask.read_bytes()
    predict_test_cubes(settings, Request(settings.data.root, output))
    assert mask.read_bytes() == before
    lines, is_same = described(mask, None)
    assert is_same and "but a receipt knows it" in lines[0]
    write_checked_zip(tmp_path / "a.zip", output, [cube])
    write_checked_zip(tmp_path / "b.zip", predicted, [cube])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    note.unlink()
    with pytest.raises(InputError, match="holds no record"):
        described(mask, None)


def test_a_copy_of_a_tidied_prediction_says_what_is_gone(settings, cube, predicted, tmp_path):
    output = tmp_path / "tidied"
    shutil.copytree(predicted, output)
    run = CubeRun(settings, output)
    run.tidy(cube)
    shutil.copyfile(run.mask_path(cube), tmp_path / "carried away.tiff")
    lines, is_same = described(tmp_path / "carried away.tiff", output)
    text = "\n".join(lines)
    assert not is_same and f"the same for {cube.id}/masks" in text
    assert f"not found, or damaged, beside it or below {output}: that of {cube.id}/" in text


def test_a_mask_that_was_left_empty_says_so(settings, cube, tmp_path):
    run = CubeRun(settings, tmp_path)
    assert "submitted empty" in next(iter(_left_empty(run, [cube])))
    record = read_record(run.mask_path(cube))
    assert "empty" in record["what"] and "members" not in record and not np.any(tifffile.imread(run.mask_path(cube)))
    lines, is_same = described(run.mask_path(cube), None)
    assert not is_same and any("none is named in it" in line for line in lines)
