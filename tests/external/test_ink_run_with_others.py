"""A whole ink run with members of others beside ours: what was trained stays, fits keep to what is new to all, tables say the rest."""

import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from scipy.ndimage import gaussian_filter
from torch import nn

from ensemble.ink.fit import read_fit
from ensemble.ink.predictors import predictor_names
from ensemble.rounds.blank import strongest_blank
from ensemble.rounds.maps import Source
from ensemble.rounds.place import LabelRound
from scroll.config.reader import load_settings
from scroll.data.folds import held_out_parts, make_folds
from scroll.data.fragments import find_fragments
from scroll.data.sheets import training_sheets
from scroll.inference.prediction_store import open_map
from scroll.runtime.receipt import read_receipt
from tests.pipeline.pipeline_run import Run, own_ink_run
from tests.steps import step

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW = (8, 64, 64)


class Depths(nn.Module):
    """One map: how bright the upper layers are beside the lower ones."""

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, Y, X)."""
        return layers[:, :, :4].mean(2) - layers[:, :, 4:].mean(2)


def call(*words: object) -> str:
    done = step(*words, cwd=REPOSITORY)
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def scored(run: Run) -> str:
    """The fragment that is predicted and scored."""
    return next((run.data / "test").iterdir()).name


def write_maps(run: Run, folder: Path) -> Path:
    """uint8 pictures at a quarter of the size, of the training fragments and the test one: labels, blurred and with noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for fragment in find_fragments(run.data / part, load_settings(run.config).data):
            ink = np.zeros(fragment.shape_yx) if part == "test" else fragment.full_label.target
            rows, columns = (-(-n // 4) for n in fragment.shape_yx)
            coarse = gaussian_filter(ink.astype(float), 4)[::4, ::4][:rows, :columns] + 0.3 * rng.random(
                (rows, columns)
            )
            tifffile.imwrite(folder / f"{fragment.id}.tif", np.rint(255 * coarse.clip(0, 1)).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of the pipeline's tests, with a network that gives a map, ready maps, and one that has seen everything."""
    run = own_ink_run(tmp_path_factory)
    torch.export.save(torch.export.export(Depths(), (torch.rand(1, 1, *WINDOW),)), run.root / "depths.pt2")
    member = (REPOSITORY / "scripts" / "import_member.py",)
    graph = (
        "--kind",
        "graph",
        "--returns",
        "map",
        "--intensity",
        "robust",
        "--low",
        1,
        "--high",
        99,
        "--voxel-um",
        7.91,
    )
    call(
        *member,
        run.root / "depths.pt2",
        *graph,
        "--name",
        "depths",
        "--output",
        run.root / "m" / "depths",
        "--trained-on",
        scored(run),
    )
    call(
        *member,
        run.root / "depths.pt2",
        *graph,
        "--name",
        "seen",
        "--output",
        run.root / "m" / "seen",
        "--trained-on",
        1,
        2,
    )
    maps = write_maps(run, run.root / "maps")
    ready = ("--kind", "predictions", "--scale", 4, "--trained-on", "elsewhere")
    message = call(*member, maps, *ready, "--name", "ready", "--output", run.root / "m" / "ready")
    assert "3 predictions (map, scale 4); 3 of items that were new to its network" in message
    settings = yaml.safe_load(run.config.read_text())
    settings["stage1"]["members"] |= {
        name: {"member": str(run.root / "m" / name)} for name in ("depths", "seen", "ready")
    }
    run.config.write_text(yaml.safe_dump(settings))
    return run


@pytest.fixture(scope="module")
def message(run: Run) -> dict[str, str]:
    """What each step printed."""
    where = ("--input", run.data / "test", "--output", run.output, "--truth", run.data / "heldout")
    found = {name: call("-m", f"{name}.train", run.config) for name in ("stage1_3d", "stage2_2d")}
    found["calibrate"] = call("-m", "ensemble.calibrate", run.config)
    found["predict"] = call(REPOSITORY / "ensemble" / "predict.py", run.config, *where)
    return found


def test_what_was_trained_is_not_trained_again_and_others_are_not_trained_at_all(run, message):
    assert message["stage1_3d"].count("already trained") == 4
    assert not list((run.run_dir / "stage1").glob("depths/fold*")) and not list((run.run_dir / "stage1").glob("seen/*"))


def test_weights_sum_to_one_and_who_has_seen_everything_has_an_equal_part(run, message):
    fit = read_fit(load_settings(run.config))
    assert set(fit.weights) == {"cnn3d", "unet3d", "depths", "ready", "seen", "stage2"}
    assert sum(fit.weights.values()) == pytest.approx(1) and fit.weights["seen"] == pytest.approx(1 / 6)
    assert "seen" not in fit.oof_f05 and {"depths", "ready"} <= set(fit.oof_f05)
    assert "Not fitted: seen" in message["calibrate"] and "Trained elsewhere: depths (graph)" in message["calibrate"]


def test_stage_two_sees_maps_of_others_but_not_of_who_has_seen_everything(run, message):
    receipt = read_receipt(run.run_dir / "stage2" / "fold0", "")
    assert receipt["channels"] == ["cnn3d", "unet3d", "depths", "ready"]
    for module in ("stage1_3d", "stage2_2d"):
        assert message[module].count("Not fitted: seen, which may have seen every training item: an equal share") == 1
    found = call(REPOSITORY / "scripts" / "doctor.py", run.config)
    assert "2 of 2 items are new to every member that is fitted. Not fitted: seen" in found


def test_ready_maps_are_taken_as_they_are_at_working_resolution(run, message):
    for number in ("1", "2"):
        stored = np.asarray(
            open_map(run.run_dir / "stage1" / "ready" / "oof" / number / "flat.zarr", "")[0], np.float32
        )
        given = tifffile.imread(run.root / "maps" / f"{number}.tif").astype(np.float32) / 255
        np.testing.assert_allclose(stored, given, atol=1e-3)


def test_the_table_and_the_page_say_who_is_whose(run, message):
    score = json.loads((run.output / "score.json").read_text())
    kinds = {row["name"]: row["kind"] for row in score["rows"]}
    assert kinds["cnn3d"] == "member" and kinds["depths"] == kinds["ready"] == "trained elsewhere"
    for text in (message["predict"], unescape((run.output / "report.html").read_text())):
        assert "Trained elsewhere: depths (graph)" in text and "Not fitted: seen" in text


def test_rows_that_are_made_of_who_has_seen_what_is_scored_have_a_mark_and_no_other(run, message):
    rows = {
        row["name"]: row.get("has_seen", False) for row in json.loads((run.output / "score.json").read_text())["rows"]
    }
    weights = read_fit(load_settings(run.config)).weights
    made_of_it = {"depths", "stage2", "mean of members", "equal mean"} | (
        {"ensemble"} if weights["depths"] + weights["stage2"] else set()
    )
    assert (
        {name for name, has_seen in rows.items() if has_seen} == made_of_it and not rows["cnn3d"] and not rows["ready"]
    )
    for text in (message["predict"], unescape((run.output / "report.html").read_text())):
        assert f"depths was trained on {scored(run)}: its figures there, and the blend's, are too good" in text
        assert (
            "depths (seen)" in text
            and "stage2 (seen)" in text
            and "cnn3d (seen)" not in text
            and "ready (seen)" not in text
        )


def test_a_blank_copy_for_a_label_round_is_asked_of_all_but_those_made_elsewhere(run, message, capsys):
    settings = load_settings(run.config)
    sheets = training_sheets(settings.data)
    folders = {name: settings.folder.oof(name, sheets[0].id) for name in predictor_names(settings)}
    assert {"ready", "depths"} < set(folders) and "seen" not in folders
    parts = held_out_parts(make_folds(sheets, settings.folds), sheets[0].id)
    source = Source(sheets[0], folders, {}, {}, parts, is_trained_on=True, settings=settings)
    a_round = LabelRound(settings, 1)
    strongest = strongest_blank(a_round, source, read_fit(settings))
    assert np.isfinite(strongest) and strongest >= 0
    assert "ready, stage2 cannot be asked about a blank copy" in capsys.readouterr().out
    asked = {path.name for path in (a_round.predictions / sheets[0].id / "blank").iterdir()}
    assert asked == set(folders) - {"ready", "stage2"}


def test_an_audit_asks_no_copy_of_ready_maps_and_counts_them_where_members_agree(run, message):
    where = ("--input", run.data / "test", "--output", run.output)
    printed = call(REPOSITORY / "scripts" / "audit.py", run.config, *where, "--copies", 1, "--contrasts=", "--depths=")
    assert "ready cannot be asked of a copy" in printed
    (sheet,) = json.loads((run.output / "audit.json").read_text())["sheets"]
    assert "ready" not in {one["name"] for one in sheet["members"]}
    agreement = sheet["agreement"]
    names = agreement["members"]
    assert set(names) == {"cnn3d", "unet3d", "depths", "seen", "ready"}
    matrix = np.array(agreement["correlation"])
    assert matrix.shape == (5, 5) and 1 <= agreement["effective_number"] <= 5
    assert len(agreement["shares_of_votes"]) == 5
    (fragment,) = find_fragments(run.data / "test", load_settings(run.config).data)
    mask = fragment.mask
    maps = {
        name: np.asarray(open_map(run.output / scored(run) / name / "flat.zarr", "")[:], np.float32).max(axis=0)[mask]
        for name in ("cnn3d", "ready")
    }
    odds = [np.log(np.clip(one, 1e-4, 1 - 1e-4) / (1 - np.clip(one, 1e-4, 1 - 1e-4))) for one in maps.values()]
    expected = np.corrcoef(*odds)[0, 1]
    assert matrix[names.index("cnn3d"), names.index("ready")] == pytest.approx(expected, abs=0.02)


def test_a_member_new_to_one_fragment_alone_is_fitted_there(run, message, tmp_path):
    settings = yaml.safe_load(run.config.read_text())
    del settings["stage1"]["members"]["seen"], settings["stage1"]["members"]["ready"]
    call(
        REPOSITORY / "scripts" / "import_member.py", run.root / "depths.pt2", "--kind", "graph", "--returns", "map", "--name", "half",
        "--output", tmp_path / "half", "--trained-on", "1",
    )  # fmt: skip
    settings["stage1"]["members"]["depths"] = {"member": str(tmp_path / "half")}
    settings["run_dir"] = str(run.run_dir)
    config = tmp_path / "half.yaml"
    config.write_text(yaml.safe_dump(settings))
    done = step("-m", "stage1_3d.train", config, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert read_receipt(run.run_dir / "stage1" / "depths" / "oof" / "2", "")["card"]["intensity"]["how"] == "none"
    assert (
        read_receipt(run.run_dir / "stage1" / "depths" / "oof" / "1", "")["card"]["intensity"]["how"] == "robust"
    )  # not predicted again
    done = step("-m", "stage2_2d.train", config, cwd=REPOSITORY)
    assert (
        done.returncode != 0 and done.stderr.count("\n") == 1 and "new to depths, none is left for fold" in done.stderr
    )


def test_a_member_that_has_seen_all_of_it_and_is_to_be_fitted_is_refused_before_anything_is_trained(
    run, message, tmp_path
):
    settings = yaml.safe_load(run.config.read_text()) | {"run_dir": str(tmp_path / "run")}
    settings["stage1"]["members"]["seen"]["weight"] = "fitted"
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(settings))
    done = step("-m", "stage1_3d.train", tmp_path / "all.yaml", cwd=REPOSITORY)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "set it to equal_share" in done.stderr
