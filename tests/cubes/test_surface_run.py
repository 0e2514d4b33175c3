"""The surface competition on small phantom cubes from probabilities to a checked submission.zip and a scored report."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stored_patches import assert_left_to_the_device_they_are_the_same
from surface_run import REPOSITORY, own_surface_run

from ensemble.request import Request
from ensemble.surface.fit import calibrate_cubes, from_every_scroll, read_cube_fit, route_of
from ensemble.surface.fit_record import SurfaceFit
from ensemble.surface.predict import CubeRun, predict_test_cubes
from ensemble.surface.predictors import ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2
from ensemble.surface.score import score_cubes
from scroll.config.schema import AugmentSettings, Settings
from scroll.data.cubes import find_cubes, prepare, training_cubes
from scroll.data.folds import make_folds
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_json
from scroll.runtime.receipt import read_receipt
from scroll.runtime.record import write_record
from scroll.surfaces import tifxyz
from scroll.volumes.ome_zarr import open_array
from stage2_2d.surface.dataset import SheetPatches
from stage2_2d.surface.train import labelled_sheets
from tests.steps import step

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """After both stages and the fit."""
    return own_surface_run(tmp_path_factory)


@pytest.fixture(scope="module")
def phantom(settings: Settings) -> Path:
    return settings.data.root


@pytest.fixture(scope="module")
def config(phantom: Path) -> Path:
    return phantom.parent / "tiny.yaml"


@pytest.fixture(scope="module")
def fit(settings: Settings) -> SurfaceFit:
    return read_cube_fit(settings)


def test_every_sheet_is_a_tifxyz_with_a_stack_of_every_member_and_the_ct(settings):
    found = 0
    for cube in training_cubes(settings.data):
        folder = settings.folder.sheets / cube.id
        receipt = read_receipt(folder, "")
        assert receipt["sources"] == [*settings.stage1.members, "ct"]
        for sheet in sorted(folder.glob("sheet-*")):
            surface = tifxyz.open(sheet)
            stack = open_array(sheet / "flat.zarr")
            assert stack.shape == (3 * 9, *surface.canvas_shape())
            seen = surface.valid & (tifffile.imread(sheet / "guessed.tif") == 0)
            middle = stack[4][: 2 * surface.shape[0] : 2, : 2 * surface.shape[1] : 2][seen]
            assert middle.size >= 100 and np.median(middle) > 0.2  # on the ridge
            found += 1
    assert found >= 6


def test_a_fold_of_stage_two_saw_no_sheet_of_the_scroll_it_predicts(settings):
    for cube in training_cubes(settings.data):
        (fold,) = read_receipt(settings.run_dir / "stage2" / "oof" / cube.id, "")["folds"]
        assert cube.id in read_receipt(settings.run_dir / "stage2" / f"fold{fold}", "")["held_out"]


def test_patches_of_sheets_left_to_the_device_are_the_same(settings):
    cubes = prepare(training_cubes(settings.data))
    fold = make_folds(cubes, settings.folds)[0]
    labelled = [pair for cube in cubes for pair in labelled_sheets(settings.folder.sheets / cube.id, cube, "")]
    quiet = AugmentSettings(turn_degrees=20, zoom=0.1, elastic_vox=1, blur=1, noise=0, cutmix=0.5, depth_jitter=0)
    patches = SheetPatches(labelled, fold, settings.stage2.model_copy(update={"augment": quiet}), 0, is_training=True)
    sent = assert_left_to_the_device_they_are_the_same(patches, list(range(6)))
    assert sent == {"image": torch.float32, "codes": torch.uint8, "shares": torch.float32}


def test_no_step_of_post_processing_is_kept_that_lowers_the_out_of_fold_score(fit):
    for name in (POST_PROCESSED, SHEETS, STAGE2):
        kept = [trial for trial in fit.rows[name].trials if trial.is_kept]
        scores = [trial.score for trial in kept]
        assert scores == sorted(scores)
        assert all(fit.rows[name].post_processing for _ in kept)
    assert fit.rows[POST_PROCESSED].means["score"] >= fit.rows[ENSEMBLE].means["score"]
    assert fit.route == route_of({name: fit.rows[name].scores for name in (POST_PROCESSED, SHEETS, STAGE2)})


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=2, max_size=12))
def test_post_processing_alone_is_submitted_only_where_it_beats_both_kinds_of_sheets_beyond_chance(cubes):
    scores = {name: [cube[n] for cube in cubes] for n, name in enumerate((POST_PROCESSED, SHEETS, STAGE2))}
    means = {name: np.mean(values) for name, values in scores.items()}
    route = route_of(scores)
    assert route == POST_PROCESSED or means[route] == max(means[SHEETS], means[STAGE2])
    if route == POST_PROCESSED:
        assert means[POST_PROCESSED] > max(means[SHEETS], means[STAGE2])
    lower = {**scores, POST_PROCESSED: [min(cube) for cube in cubes]}  # nowhere better than either
    assert route_of(lower) != POST_PROCESSED


def test_the_cubes_that_are_fitted_on_come_from_every_scroll_in_turn(settings):
    cubes = training_cubes(settings.data)
    three = from_every_scroll(cubes, 3)
    assert {cube.volume_name for cube in three} == {cube.volume_name for cube in cubes} and len(three) == 3
    assert from_every_scroll(cubes, 100) == list(cubes)


def test_weights_are_no_worse_than_the_equal_mean_and_reported_beside_it(fit):
    weights = fit.weights
    assert weights.score >= weights.equal_mean_score and sum(weights.weights.values()) == pytest.approx(1)
    assert weights.gain_where_fitted.difference == pytest.approx(weights.score - weights.equal_mean_score)


def test_the_fit_is_made_once_and_anew_when_a_prediction_changed(settings, fit):
    before = settings.folder.fit.stat().st_mtime_ns
    assert calibrate_cubes(settings) == read_cube_fit(settings)
    assert settings.folder.fit.stat().st_mtime_ns == before
    changed = settings.model_copy(update={"run_dir": settings.run_dir / "elsewhere"})
    with pytest.raises(MissingInputError, match="make stage"):
        read_cube_fit(changed)


def test_a_fit_for_other_weights_is_refused_and_so_is_fitting_what_they_did_not_predict(settings, fit, tmp_path):
    run = settings.model_copy(update={"run_dir": tmp_path / "run"})
    shutil.copytree(settings.run_dir, run.run_dir, ignore=shutil.ignore_patterns("predict"))
    assert read_cube_fit(run) == fit
    weights = (
        run.run_dir / "stage2" / "fold1" / "weights.safetensors"
    )  # as after a training of which a fold is left to do
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"fitted for other weights than those in .*stage2/fold1.*make stage1"):
        read_cube_fit(run)
    with pytest.raises(InputError, match="predicted by other weights"):
        calibrate_cubes(run)


@pytest.fixture(scope="module")
def predicted(config: Path, settings: Settings, fit: SurfaceFit, phantom: Path) -> Path:
    """The command itself, as a user calls it, with a time limit and a score."""
    output = settings.run_dir / "predict"
    command = [REPOSITORY / "ensemble" / "predict.py", config, "--input", phantom, "--output", output, "--hours", "1"]
    done = step(*command, "--submission", output / "submission.zip", "--truth", phantom / "heldout")
    assert done.returncode == 0, done.stderr
    (output / "said.txt").write_text(done.stdout)
    return output


def test_the_submission_is_one_tiff_for_each_test_cube_as_the_scorer_reads_it(predicted, settings, phantom):
    cubes = find_cubes(phantom, settings.data, part="test")
    with zipfile.ZipFile(predicted / "submission.zip") as archive:
        assert sorted(archive.namelist()) == [f"{cube.id}.tif" for cube in cubes]
        with archive.open(archive.namelist()[0]) as file, Image.open(file) as tiff:
            assert (tiff.n_frames, tiff.height, tiff.width) == prepare(cubes)[0].shape
            assert set(np.unique(np.asarray(tiff))) <= {0, 1}


def test_the_time_is_projected_and_the_table_and_report_are_there(predicted, settings):
    message = (predicted / "said.txt").read_text()
    assert "projected" in message and "read back and valid" in message and POST_PROCESSED in message
    score = json.loads((predicted / "score.json").read_text())
    names = [row["name"] for row in score["rows"]]
    assert names == [*settings.stage1.members, ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2]
    for row in score["rows"]:
        total = 0.3 * row["topo"] + 0.35 * row["surface_dice"] + 0.35 * row["voi_score"]
        assert row["score"] == pytest.approx(total)
    page = (predicted / "report.html").read_text()
    assert "Topology" in page and POST_PROCESSED in page


@pytest.mark.parametrize("route", [POST_PROCESSED, STAGE2])
def test_all_routes_are_compared_whichever_is_submitted(settings, fit, phantom, tmp_path, route):
    run = settings.model_copy(update={"run_dir": tmp_path / "run"})
    shutil.copytree(settings.run_dir, run.run_dir, ignore=shutil.ignore_patterns("predict"))
    first, second = run.stage1.members
    alone = fit.weights.model_copy(update={"weights": {first: 1.0, second: 0.0}})  # who is left out is compared too
    write_record(run.folder.fit, fit.model_copy(update={"route": route, "weights": alone}))
    output = tmp_path / "output"
    predict_test_cubes(run, Request(phantom, output))
    (cube, *_) = prepare(find_cubes(phantom, run.data, part="test"))
    submitted = CubeRun(run, output).mask_path(cube).read_bytes()
    rows = score_cubes(run, phantom, output, phantom / "heldout", ["ensemble/predict.py"]).rows
    assert [row.name for row in rows] == [first, second, ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2]
    assert [row.name for row in rows if row.kind == "submitted"] == [route]
    assert CubeRun(run, output).mask_path(cube).read_bytes() == submitted


def test_a_killed_prediction_goes_on_with_the_cubes_that_are_missing(predicted, settings, phantom):
    cube = prepare(find_cubes(phantom, settings.data, part="test"))[0]
    cube_run = CubeRun(settings, predicted)
    before = cube_run.mask_path(cube).read_bytes()
    assert cube_run.is_done(cube)
    predict_test_cubes(settings, Request(phantom, predicted))
    assert cube_run.mask_path(cube).read_bytes() == before
    cube_run.mask_path(cube).unlink()
    predict_test_cubes(settings, Request(phantom, predicted))
    assert cube_run.mask_path(cube).read_bytes() == before


def test_a_member_that_is_given_up_is_stood_in_for(predicted, settings, phantom, tmp_path):
    cube = prepare(find_cubes(phantom, settings.data, part="test"))[0]
    cube_run = CubeRun(settings, tmp_path / "less")
    cube_run.predict(cube, {"second": 1})
    assert read_json(cube_run.mask_path(cube).with_suffix(".json"))["views"] == {"second": 1}
    assert not (tmp_path / "less" / "unet3d").exists()


def test_the_pairs_command_judges_all_four_ways(config, settings, fit):
    done = step(REPOSITORY / "scripts" / "merged_sheets.py", config, "--pairs", "1")
    assert done.returncode == 0, done.stderr
    assert [line.split(" resolves")[0].strip() for line in done.stdout.splitlines()[1:]] == [
        "threshold", "post-processing", "tracing", "tracing and guessing", "stage two",
    ]  # fmt: skip
