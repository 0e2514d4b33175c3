"""The whole pipeline on scrolls: OME-Zarr volumes and traced surfaces in, a score on the sheet and in the volume out."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from pipeline_run import REPOSITORY, Run, changed, states, tiny_scroll_settings
from scipy.ndimage import binary_erosion

from ensemble.commands import doctor
from ensemble.commands.replay import replay
from ensemble.ink.submission import read_submission
from ensemble.review.whence import described
from ensemble.whole_scroll.members import member_weights
from ensemble.whole_scroll.run import EnsembleRecipe
from scroll.config.reader import load_settings
from scroll.data.intensity import grey_scale_of
from scroll.data.segments import find_segments, grey_sample_about
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.runtime.files import read_sealed
from scroll.runtime.receipt import file_hash, read_receipt
from scroll.surfaces.sample import Offsets, Source
from scroll.training.checkpoint import trained_weights
from scroll.volumes.read_record import read_record
from stage1_3d.segments.flatten_surface import Flattening, flatten_surface
from tests.steps import step

SCROLLS = ("--size", "112", "--letter-height-px", "56", "--seed", "7", "--train", "2", "--test", "1", "--jobs", "1")


def commands(run: Run):
    return (
        ("stage1", REPOSITORY, "-m", "stage1_3d.train", run.config),
        ("stage2", REPOSITORY, "-m", "stage2_2d.train", run.config),
        ("calibrate", REPOSITORY, "-m", "ensemble.calibrate", run.config),
        ("predict", run.root, REPOSITORY / "ensemble" / "predict.py", run.config, "--input", run.data / "test",
         "--output", run.output, "--submission", run.root / "submission.csv", "--truth", run.data / "heldout"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def scroll_run(tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("scroll-pipeline")
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_scroll_settings(root, root / "run")))
    made = Run(root, config)
    phantom = ("phantom", root, REPOSITORY / "scripts" / "make_phantom.py", "scrolls", "--out", made.data, *SCROLLS)
    for name, cwd, *arguments in (phantom, *commands(made)):
        done = step(*arguments, cwd=cwd)
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
    return made


def test_every_segment_is_scored_on_the_sheet_and_in_the_volume(scroll_run):
    score = json.loads((scroll_run.output / "score.json").read_text())
    blends = ["mean of members", "equal mean", "ensemble"]
    assert [row["name"] for row in score["rows"]] == ["cnn3d", "unet3d", "stage2", *blends]
    assert sorted(score["fragments"]) == sorted(p.name for p in (scroll_run.data / "test").iterdir())
    ink = [
        int((iio.imread(scroll_run.data / "heldout" / name / "inklabels.png") > 0).sum()) for name in score["fragments"]
    ]
    assert ink[0] == max(ink)  # the page begins with the most ink
    for row in score["rows"]:
        assert 0 <= row["f05"] <= 1 and 0 <= row["surface_dice"] <= 1 and 0 <= row["auc"] <= 1
    assert (scroll_run.output / "report.html").stat().st_size > 10_000


def test_every_segments_files_tell_where_they_come_from(scroll_run):
    for folder in (scroll_run.data / "test").iterdir():
        file = scroll_run.output / folder.name / "ensemble" / "ink_prob.tif"
        record = read_record(file)
        assert record["items"] == [folder.name] and {"weights_hash", "weight"} == {*record["members"]["unet3d"]}
        assert set(record["receipts"]) == {f"{folder.name}/{name}" for name in ("cnn3d", "unet3d", "stage2")}
        lines, is_same = described(file, scroll_run.run_dir)
        assert is_same and any("the same fit" in line for line in lines)
        assert str(scroll_run.root) not in file.read_bytes().decode("latin-1")


def test_the_submission_has_every_segment_at_the_size_of_its_canvas(scroll_run):
    data = load_settings(scroll_run.config).data
    shapes = {s.id: s.shape_yx for s in find_segments(data.root / "test", data)}
    masks = read_submission(scroll_run.root / "submission.csv", shapes)
    assert {name: mask.shape for name, mask in masks.items()} == shapes


def test_what_was_flattened_is_replayed_where_it_was_predicted(scroll_run):
    settings = load_settings(scroll_run.config)
    segment = find_segments(settings.data.root / "train", settings.data)[0]
    with pytest.raises(
        InputError, match=r"flattened from the prediction of a volume; replay that, a folder of .*oof/volumes"
    ):
        replay(settings.folder.oof("unet3d", segment.id), 24, None)


def test_each_volume_is_predicted_by_the_fold_that_held_it_out(scroll_run):
    settings = load_settings(scroll_run.config)
    weights = {k: str(trained_weights(settings.run_dir / "stage1" / "unet3d" / f"fold{k}", "")) for k in (0, 1)}
    for segment in find_segments(settings.data.root / "train", settings.data):
        receipt = read_receipt(settings.run_dir / "stage1" / "unet3d" / "oof" / segment.id, "")
        own = weights[0 if segment.volume_name == "1" else 1]
        assert receipt["weights"] == {own: file_hash(Path(own))}
        trained_on = read_receipt(settings.run_dir / "stage1" / "unet3d" / f"fold{int(segment.volume_name != '1')}", "")
        assert segment.id in trained_on["held_out"]


def test_predictions_cover_the_sheet_and_nothing_far_from_it(scroll_run):
    settings = load_settings(scroll_run.config)
    for segment in find_segments(settings.data.root / "train", settings.data):
        folder = settings.run_dir / "stage1" / "unet3d" / "oof" / segment.id
        coverage = open_map(folder / "coverage.zarr", "")[0]
        flat = open_map(folder / "flat.zarr", "")[:]
        assert flat.shape == (1, *segment.mask.shape) and np.isfinite(flat).all()
        inner = binary_erosion(
            segment.mask, np.ones((3, 3))
        )  # at the rim a working pixel's middle may lie off the sheet
        assert (coverage[inner] > 0).all() and (coverage[segment.mask] > 0).mean() > 0.9
        assert (coverage[segment.mask] == 1).mean() > 0.6  # elsewhere the band leaves the volume
        assert (flat[0][coverage == 0] == 0).all()
    volume = open_map(settings.run_dir / "stage1" / "unet3d" / "oof" / "volumes" / "1-fold0" / "prob.zarr", "")[:]
    seen = volume[np.isfinite(volume)]
    assert seen.min() >= 0 and seen.max() <= 1 and seen.size > 0.1 * volume.size


def test_the_flattened_ct_is_a_robust_z_score(scroll_run):
    settings = load_settings(scroll_run.config)
    for segment in find_segments(settings.data.root / "train", settings.data):
        flat = open_map(settings.run_dir / "stage1" / "ct" / "oof" / segment.id / "flat.zarr", "")[0]
        assert np.abs(np.median(flat[segment.mask])) < 2 and np.abs(flat).max() <= 8
        assert flat[segment.mask].std() > 0.1


def test_from_their_receipts_volumes_and_sheets_can_be_predicted_anew(scroll_run):
    settings = load_settings(scroll_run.config)
    member = settings.run_dir / "stage1" / "unet3d" / "oof"
    folders = sorted((member / "volumes").iterdir())
    folders += [settings.run_dir / "stage2" / "oof" / find_segments(settings.data.root / "train", settings.data)[0].id]
    folders += [next((scroll_run.output / "volumes").iterdir()) / "cnn3d"]
    for folder in folders:
        assert replay(folder, 24, None).largest_difference == 0, folder


def test_a_second_run_makes_nothing_again(scroll_run):
    before = states(scroll_run)
    for _, cwd, *arguments in commands(scroll_run):
        done = step(*arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
    assert changed(before, scroll_run) == set()


def test_the_doctor_finds_nothing_wrong(scroll_run):
    message = list(doctor.examine(scroll_run.config, []))
    assert message and all(line.startswith("ok:") for line in message), message


def test_the_doctor_tells_a_scale_that_the_points_contradict(scroll_run, tmp_path):
    settings = load_settings(scroll_run.config)
    segment = find_segments(settings.data.root / "train", settings.data)[0]
    (tmp_path / "train").mkdir()
    for other in (settings.data.root / "train").iterdir():
        (tmp_path / "train" / other.name).symlink_to(other)
    moved = tmp_path / "train" / segment.id
    moved.unlink()
    moved.mkdir()
    for file in segment.folder.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    (moved / "meta.json").write_text(json.dumps({"format": "tifxyz", "scale": [0.05, 0.05]}))
    (moved / "volume_source.txt").write_text(str(settings.data.root / "volumes" / "1.zarr"))
    message = list(doctor.examine(scroll_run.config, [f"data.root={tmp_path}"]))
    problem = next(line for line in message if line.startswith("problem:"))
    assert segment.id in problem and "4.0" in problem and "its cell says 20" in problem


def test_depth_pooled_supervision_is_refused_in_scroll_space(scroll_run):
    override = "stage1.members.cnn3d.supervision=depth_pool"
    done = step("-m", "stage1_3d.train", scroll_run.config, "--set", override)
    assert done.returncode == 2 and "set it to band" in done.stderr and done.stderr.count("\n") == 1


def test_the_flatten_command_gives_what_the_pipeline_made(scroll_run, tmp_path):
    settings = load_settings(scroll_run.config)
    segment = find_segments(settings.data.root / "train", settings.data)[0]
    member = settings.run_dir / "stage1" / "unet3d" / "oof"
    done = step(
        REPOSITORY / "scripts" / "flatten.py", segment.folder, segment.source, "--out", tmp_path / "flat", "--pixel", 2,
        "--prob", f"unet={member / 'volumes' / '1-fold0' / 'prob.zarr'}", "--window", *settings.stage1.flatten.window,
        "--reduce", settings.stage1.flatten.reduce,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    both, covered = (
        open_map(tmp_path / "flat" / "flat.zarr", "")[:],
        open_map(tmp_path / "flat" / "coverage.zarr", "")[:],
    )
    assert both.shape == (2, 1, *segment.mask.shape)
    np.testing.assert_array_equal(both[1], open_map(member / segment.id / "flat.zarr", "")[:])
    np.testing.assert_array_equal(covered[1:], open_map(member / segment.id / "coverage.zarr", "")[:])
    receipt = read_receipt(tmp_path / "flat", "")
    assert receipt["channels"] == ["ct", "unet"] and receipt["voxel_um"] == pytest.approx(7.91)


def test_the_flatten_command_refuses_a_window_that_is_none(scroll_run, tmp_path):
    segment = next((scroll_run.data / "train").iterdir())
    volume = scroll_run.data / "volumes" / "1.zarr"
    done = step(REPOSITORY / "scripts" / "flatten.py", segment, volume, "--out", tmp_path / "o", "--window", 4, 4)
    assert done.returncode == 2 and "--window 4 4" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_the_run_flattens_on_the_fly_what_it_would_predict_first_and_flatten_then(scroll_run, tmp_path):
    segment = find_segments(scroll_run.data / "test", load_settings(scroll_run.config, []).data)[0]
    how = ("--predict", scroll_run.config, "--window", "-6", "8", "--reduce", "max", "--tile", "128")
    command = (REPOSITORY / "scripts" / "flatten.py", segment.folder, segment.source, "--out", tmp_path / "one", *how)
    done = step(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "windows computed: cnn3d " in done.stdout
    assert not list(tmp_path.rglob("prob*"))
    settings = load_settings(scroll_run.config, [])
    grey_scale = grey_scale_of(grey_sample_about(segment.volume, [segment.surface], settings.data.level))
    weights = member_weights(settings)
    ensemble = EnsembleRecipe(settings, segment.source, settings.data.level, grey_scale, weights)()
    prob = ensemble((0, 0, 0), segment.volume.shape)[0]
    sources = {"ct": Source(segment.volume), "ensemble": Source(prob)}
    flatten_surface(segment.surface, sources, Flattening(Offsets(-6, 8), reduce="max"), tmp_path / "two", 7.91)
    one, two = (open_map(tmp_path / name / "flat.zarr", "")[...] for name in ("one", "two"))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert one[1].std() > 0


@pytest.mark.slow
def test_a_segment_is_audited_by_the_members_on_layers_flattened_from_it(scroll_run):
    """Which verdict it is so small a run does not know; that every figure of an audit is there, and that what was flattened is kept."""
    source = sorted((scroll_run.data / "test").iterdir())[0]
    output = scroll_run.root / "audit"
    asked = ("scripts/audit.py", scroll_run.config, "--input", source, "--output", output)
    few = ("--copies", 1, "--contrasts", "1,4", "--depths", "2", "--letter-um", 400)
    done = step(*asked, *few)
    assert done.returncode == 0, done.stderr + done.stdout
    (sheet,) = read_sealed(output / "audit.json", "audit it")["sheets"]
    assert sheet["id"] == source.name and [one["name"] for one in sheet["members"]] == ["cnn3d", "unet3d", "ensemble"]
    assert {*sheet["members"][0]["flagged"]} == {"real", "phase-scrambled", "reversed", "depth-shuffled"}
    assert sheet["members"][0]["is_trained_on"] is False and "flattened" in " ".join(sheet["notes"])
    layers = output / "flattened" / source.name / "surface-volume.zarr"
    before = layers.stat().st_mtime_ns
    assert step(*asked, *few).returncode == 0 and layers.stat().st_mtime_ns == before
