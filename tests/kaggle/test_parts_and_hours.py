"""Several processes predict what one does, and fragments keep to the hours as cubes do."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_run import REPOSITORY

from ensemble.ink.clock import NOTE, FragmentClock, stack_channels, stage2_cost, stand_ins
from ensemble.ink.fit import read_fit
from ensemble.ink.predict import predict
from ensemble.kaggle.on_kaggle import Job, Process, gpus
from ensemble.kaggle.run_files import copy_run, needed
from ensemble.request import Part, Request, parse_part
from ensemble.surface.predict import CubeRun, predict_test_cubes
from ensemble.surface.predictors import POST_PROCESSED
from ensemble.surface.submission import read_submission_zip, shapes_of_test_cubes
from scroll.config.reader import load_settings
from scroll.data.fragments import find_fragments
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_json, write_json
from scroll.runtime.output_folder import MARK
from scroll.volumes.ome_zarr import open_array
from tests.steps import ENVIRONMENT, quick_python, step


@given(st.lists(st.integers()), st.integers(1, 9))
def test_the_parts_together_are_the_whole_and_share_nothing(items, count):
    numbered = list(enumerate(items))
    parts = [Part(number, count).of(numbered) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == numbered
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "a/b", "-1/2", "1/0"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(InputError, match=r"expected K/N with 1 <= K <= N"):
        parse_part(text)


def test_gpus_are_those_that_may_be_used(monkeypatch):
    for given_, found in (("0,1", ["0", "1"]), ("", []), ("GPU-1", ["GPU-1"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given_)
        assert gpus() == found


def test_lines_of_a_process_come_with_its_name(capsys):
    process = Process([sys.executable, "-c", "print('one'); print(); print('two'); raise SystemExit(3)"], {}, "gpu 1: ")
    assert process.wait() == 3 and process.output == ["one", "two"]
    assert capsys.readouterr().out == "gpu 1: one\ngpu 1: two\n"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return step(REPOSITORY / "ensemble" / "predict.py", *arguments)


def test_a_part_is_not_packed_and_segments_have_no_parts(tmp_path):
    config, where = REPOSITORY / "configs" / "demo_ink.yaml", ["--input", tmp_path, "--output", tmp_path]
    done = call(config, *where, "--part", "1/2", "--submission", tmp_path / "submission.csv")
    assert done.returncode == 2 and "one more call without --part" in done.stderr
    done = call(REPOSITORY / "configs" / "demo.yaml", *where, "--part", "1/2")
    assert done.returncode == 2 and "not of segments" in done.stderr


@pytest.mark.slow
def test_time_to_spare_changes_nothing_and_is_reported(ink, tmp_path, capsys):
    settings = load_settings(ink / "tiny.yaml")
    freely = predict(settings, ink / "data" / "test", tmp_path / "freely")
    capsys.readouterr()
    timed = predict(settings, ink / "data" / "test", tmp_path / "timed", hours=5)
    assert "projected: " in capsys.readouterr().out and freely.keys() == timed.keys()
    for name, mask in freely.items():
        assert (mask == timed[name]).all()
        views = read_json(tmp_path / "timed" / name / NOTE)["views"]
        assert views == dict.fromkeys(settings.stage1.members, 4)  # flips


@pytest.mark.slow
def test_a_member_that_was_given_up_is_neither_run_nor_blended_and_another_stands_in(ink, tmp_path):
    settings = load_settings(ink / "tiny.yaml")
    fragments = find_fragments(ink / "data" / "test", settings.data)
    clock = FragmentClock(settings, fragments, tmp_path, read_fit(settings), 1e9)
    for fragment in fragments:
        clock.views(fragment)
        note = tmp_path / fragment.id / NOTE  # as if there had been time for no more
        write_json(note, read_json(note) | {"views": {"unet3d": 1}})
    masks = predict(settings, ink / "data" / "test", tmp_path, hours=1e-6)  # decided already: no time is asked for
    assert {*masks} == {fragment.id for fragment in fragments}
    for name in masks:
        assert not (tmp_path / name / "cnn3d").exists()
        window = read_json(tmp_path / name / "unet3d" / "receipt.json")["window"]
        assert window["tta"] == "none"
        assert open_array(tmp_path / name / "stage2" / "ink.zarr").shape[0] == 1
    assert stand_ins(settings, {"unet3d": 1}) == {"cnn3d": "unet3d", "unet3d": "unet3d"}


@pytest.mark.slow
def test_where_no_member_fits_it_is_said_and_stage_two_counts(ink, tmp_path):
    settings = load_settings(ink / "tiny.yaml")
    fragments = find_fragments(ink / "data" / "test", settings.data)
    with pytest.raises(InputError, match="do not hold even member"):
        FragmentClock(settings, fragments, tmp_path, read_fit(settings), 1e-3)
    assert stack_channels(settings) == 2 and stage2_cost(settings, fragments).seconds > 0


@pytest.mark.slow
def test_cubes_that_there_is_no_time_for_are_submitted_empty_and_predicted_when_there_is(surface, tmp_path, capsys):
    settings = load_settings(surface / "tiny.yaml")
    request = Request(surface / "data", tmp_path, hours=1e-7)
    with pytest.raises(InputError, match="do not hold even member"):
        predict_test_cubes(settings, request)
    cubes = predict_test_cubes(settings, replace(request, is_late_empty=True))
    assert "2 cubes are submitted empty: " in capsys.readouterr().out
    cube_run = CubeRun(settings, tmp_path)
    assert all(cube_run.mask_path(cube).exists() and not cube_run.is_done(cube) for cube in cubes)
    predict_test_cubes(settings, replace(request, hours=None))
    assert all(cube_run.is_done(cube) for cube in cubes)


@pytest.mark.slow
def test_a_tidy_prediction_leaves_the_same_masks_and_nothing_else(surface, tmp_path):
    settings = load_settings(surface / "tiny.yaml")
    for name in ("all", "tidy"):
        predict_test_cubes(settings, Request(surface / "data", tmp_path / name, is_tidy=name == "tidy"))
    left = [path.relative_to(tmp_path / "tidy") for path in (tmp_path / "tidy").rglob("*") if path.is_file()]
    assert {path.parts[0] for path in left} == {"masks"} and len(left) == 4  # a mask and a note for each cube
    for path in left:
        assert (tmp_path / "tidy" / path).read_bytes() == (tmp_path / "all" / path).read_bytes()
    before = [path.stat().st_mtime_ns for path in (tmp_path / "tidy" / "masks").iterdir()]
    predict_test_cubes(settings, Request(surface / "data", tmp_path / "tidy"))
    assert [path.stat().st_mtime_ns for path in (tmp_path / "tidy" / "masks").iterdir()] == before


@pytest.mark.slow
def test_a_job_whose_deadline_has_passed_still_leaves_a_submission(surface, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = [f"data.cache_dir={tmp_path}"]
    zipped = tmp_path / "submission.zip"
    job = Job(surface / "run", surface / "data", tmp_path / "scratch", zipped, 0.0, settings, least_hours=1e-6)
    job.predict()
    job.validate()
    job.summary()
    message = capsys.readouterr().out
    assert "2 cubes empty for want of time" in message and "warning: " in message and "valid, 2 masks" in message
    masks = dict(read_submission_zip(zipped, shapes_of_test_cubes(surface / "data")))
    assert len(masks) == 2 and not any(mask.any() for mask in masks.values())


@pytest.mark.slow
def test_two_parts_at_once_and_a_call_for_all_give_the_bits_of_one_process(surface, tmp_path):
    where = [surface / "tiny.yaml", "--input", surface / "data"]
    command = [
        quick_python(tmp_path / "python"),
        str(REPOSITORY / "ensemble" / "predict.py"),
        *map(str, where),
        "--output",
        str(tmp_path / "two"),
    ]
    parts = [subprocess.Popen([*command, "--part", f"{n}/2"], env=ENVIRONMENT) for n in (1, 2)]
    assert [part.wait() for part in parts] == [0, 0]
    made = [
        path for path in (tmp_path / "two").rglob("*") if path.is_file() and path.name != MARK
    ]  # that says who writes
    before = {path: path.stat().st_mtime_ns for path in made}
    for name in ("two", "one"):
        done = call(*where, "--output", tmp_path / name, "--submission", tmp_path / f"{name}.zip")
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before  # the call for all computed nothing again
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    for path in (tmp_path / "one").glob("*/*/prob.zarr"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert (np.asarray(open_array(path)[:]) == np.asarray(open_array(other)[:])).all()
    assert json.loads(next((tmp_path / "one" / "masks").glob("*.json")).read_text())["key"]


@pytest.mark.slow
def test_a_bundle_holds_what_its_route_asks_and_nothing_of_the_training(surface, tmp_path):
    settings = load_settings(surface / "tiny.yaml")
    longest = {str(path) for path in needed(settings)}
    weights = {
        f"{stage}/fold{fold}/weights.safetensors"
        for stage in ("stage1/unet3d", "stage1/second", "stage2")
        for fold in (0, 1)
    }
    assert weights <= longest and "ensemble/fit.json" in longest and len(longest) == 2 * len(weights) + 1
    shutil.copytree(surface / "run", tmp_path / "run")
    plain = settings.model_copy(update={"run_dir": tmp_path / "run"})
    fit = read_json(plain.folder.fit)
    fit["weights"]["weights"] = {"unet3d": 0.0, "second": 1.0}
    write_json(plain.folder.fit, fit | {"route": POST_PROCESSED})
    assert {path.parts[1] for path in needed(plain) if path.parts[0] == "stage1"} == {"second"}
    assert not [path for path in needed(plain) if path.parts[0] == "stage2"]
    copy_run(plain, tmp_path / "bundled")
    copied = {
        str(path.relative_to(tmp_path / "bundled")) for path in (tmp_path / "bundled").rglob("*") if path.is_file()
    }
    assert copied == {str(path) for path in needed(plain)} | {"settings.yaml"}
    assert str(surface) not in (tmp_path / "bundled" / "settings.yaml").read_text()
    (tmp_path / "run" / "stage1" / "second" / "fold1" / "weights.safetensors").unlink()
    with pytest.raises(MissingInputError, match="make stage1"):
        needed(plain)
