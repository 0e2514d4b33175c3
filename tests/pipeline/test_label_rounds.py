"""Label rounds as a person makes them: ask, paint, train again, twice; nothing of before is touched, and what must stop it does."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ensemble.rounds.place import LabelRound
from ensemble.rounds.report import NAME, read_report
from scroll.config.reader import load_settings
from scroll.data.sheets import training_sheets
from scroll.errors import InputError
from scroll.phantom.scroll_dataset import make_scrolls
from scroll.phantom.settings import scroll_settings
from scroll.phantom.write import masks_of, write_png
from scroll.rounds.painting import HELD_OUT, INK, NO_INK, OFF, UNKNOWN
from scroll.runtime.receipt import fingerprint
from scroll.runtime.record import write_record
from scroll.volumes.masks import read_mask_png
from tests.pipeline.pipeline_run import PHANTOM, REPOSITORY, tiny_scroll_settings, tiny_settings
from tests.steps import step

pytestmark = pytest.mark.slow
ROUND = REPOSITORY / "scripts" / "label_round.py"


@dataclass(frozen=True)
class Run:
    """A run, and its label rounds by the command."""

    root: Path
    config: Path

    def round(self, number):
        return LabelRound(load_settings(self.config), number)

    def paint(self, sheet):
        return self.round(1).folder / "paint" / sheet

    def asked(self):
        return json.loads((self.round(1).folder / "ask" / "ask.json").read_text())["patches"]

    def go(self, number, *arguments):
        done = step(ROUND, self.config, number, *arguments)
        return done.returncode, done.stdout, done.stderr

    def refused(self, number, *arguments):
        code, _, message = self.go(number, *arguments)
        errors = [line for line in message.splitlines() if line.startswith("error: ")]
        assert code != 0 and len(errors) == 1 and "Traceback" not in message, message
        return errors[0]


def begun(root, content, *arguments):
    """Round 0 of these settings, and round 1 with `arguments`."""
    open_to_all = {"ask_um": 250, "also": str(root / "data" / "test"), "least_margin": 0.0, "most_spread": 1.0}
    made = Run(root, root / "tiny.yaml")
    made.config.write_text(yaml.safe_dump(content | {"rounds": open_to_all | content["rounds"]}))
    for command in ("stage1_3d.train", "stage2_2d.train", "ensemble.calibrate"):
        done = step("-m", command, made.config)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    code, message, errors = made.go(1, *arguments)
    assert code == 0, message + errors
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Round 0, with a validation mask, and round 1 as far as it goes without a person; the tests below go on from there in turn."""
    root = tmp_path_factory.mktemp("rounds")
    how = (*PHANTOM, "--train", "2", "--test", "1", "--labelled", "0.4")
    done = step(REPOSITORY / "scripts" / "make_phantom.py", "fragments", "--out", root / "data", *how)
    assert done.returncode == 0, done.stderr
    return begun(root, tiny_settings(root, root / "run") | {"rounds": {"ask": 3}})


def test_a_person_is_asked_about_what_is_open_and_waited_for(run):
    code, message, _ = run.go(1)
    assert code == 0 and "3 patches are asked for" in message and "nothing is painted yet" in message
    assert not (run.round(1).folder / "labels").exists()
    assert (run.round(1).folder / "ask" / "index.html").stat().st_size > 10_000
    labels = {sheet.id: sheet.full_labels for sheet in training_sheets(run.round(1).base.data)}
    for one in run.asked():
        box = slice(one["y"], one["y"] + one["edge_px"]), slice(one["x"], one["x"] + one["edge_px"])
        grey = np.array(Image.open(run.paint(one["sheet"]) / "label.png"))[box]
        assert (grey == UNKNOWN).any()
        if one["sheet"] in labels:
            assert labels[one["sheet"]].training.ignore[box].any()
            np.testing.assert_array_equal(grey == HELD_OUT, ~labels[one["sheet"]].held_out.ignore[box] & (grey != OFF))


BAD = {
    "moved": (lambda picture: np.roll(picture, 1, axis=1), "moved by"),
    "scaled": (lambda picture: picture[::2, ::2], "was exported"),
    "soft": (lambda picture: np.where(picture == UNKNOWN, 150, picture).astype(np.uint8), "expected ink 255"),
    "held out": (lambda picture: np.where(picture == HELD_OUT, INK, picture).astype(np.uint8), "held out"),
    "off": (lambda picture: np.where(picture == OFF, INK, picture).astype(np.uint8), "off the papyrus"),
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_painted_wrongly_is_one_line_and_nothing_is_taken(run, how):
    change, message = BAD[how]
    sheet = next(one["sheet"] for one in run.asked() if one["sheet"] != "a")
    label = run.paint(sheet) / "label.png"
    exported = label.read_bytes()
    try:
        Image.fromarray(change(np.array(Image.open(label)))).save(label)
        assert message in run.refused(1, "--step", "take")
    finally:
        label.write_bytes(exported)
    assert not (run.round(1).folder / "labels").exists()


def test_rounds_come_in_turn_and_need_sheets_and_a_validation_mask(run, tmp_path):
    assert "round 1 is not finished" in run.refused(2)
    assert "take the painted labels first" in run.refused(1, "--step", "train")
    cubes = load_settings(REPOSITORY / "configs" / "surface.yaml")
    with pytest.raises(InputError, match=r"data\.kind is cubes"):
        LabelRound(cubes, 1)
    assert "no such folder" in run.refused(1, "--set", f"rounds.also={tmp_path / 'gone'}")
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        shutil.copy(run.root / "data" / "train" / name / "inklabels.png", tmp_path / name)
    settings = load_settings(run.config, [f"data.labels={tmp_path}"])
    with pytest.raises(InputError, match="no sheet has a validation mask"):
        LabelRound(settings, 1).training_sheets()


def test_a_round_takes_what_was_painted_and_proposes_beside_it(run):
    data, base = fingerprint(run.root / "data"), {**_files(run.root / "run", but="rounds")}
    painted = {}
    for one in run.asked():
        label = run.paint(one["sheet"]) / "label.png"
        grey = np.array(Image.open(label))
        box = slice(one["y"], one["y"] + one["edge_px"]), slice(one["x"], one["x"] + one["edge_px"])
        is_open = np.isin(grey[box], (UNKNOWN, INK, NO_INK))
        drawn = np.add.outer(np.arange(is_open.shape[0]), np.arange(is_open.shape[1])) % 7 < 3
        grey[box] = np.where(is_open, np.where(drawn, INK, NO_INK), grey[box])
        Image.fromarray(grey).save(label)
        painted[one["sheet"]] = grey
    code, message, errors = run.go(1)
    assert code == 0, errors
    assert re.search(r"round 0: F0.5 .*\nround 1: F0.5 ", message)
    student = run.round(1).student
    for sheet in training_sheets(student.data):
        label = sheet.full_label
        grey = painted.get(sheet.id)
        if grey is not None:
            np.testing.assert_array_equal(label.human.ink[grey == INK], True)
            np.testing.assert_array_equal(label.human.ignore, ~np.isin(grey, (INK, NO_INK)))
        if sheet.held_out_label is not None:
            assert label.ignore[~sheet.held_out_label.ignore].all()
    assert {sheet.id for sheet in training_sheets(student.data)} >= {"1", "2"}
    before = {sheet.id: sheet.held_out_label for sheet in training_sheets(run.round(1).base.data)}
    for sheet in training_sheets(student.data):
        if sheet.id in before:
            np.testing.assert_array_equal(sheet.held_out_label.ignore, before[sheet.id].ignore)
            known = ~before[sheet.id].ignore
            np.testing.assert_array_equal(sheet.held_out_label.ink[known], before[sheet.id].ink[known])
    report = read_report(run.round(1))
    assert report.known.proposed_cm2 > 0 and report.known.proposed_share <= 0.75 + 1e-6
    assert (run.round(1).folder / "report.html").stat().st_size > 5_000
    assert fingerprint(run.root / "data") == data and _files(run.root / "run", but="rounds") == base


def test_a_round_that_is_done_is_left_as_it_is_and_paint_over_it_is_refused(run):
    before = _files(run.round(1).folder)
    code, _, errors = run.go(1)
    assert code == 0, errors
    now = _files(run.round(1).folder)
    assert {name for name in now if now[name] != before.get(name)} <= {NAME, "report.html", ".scroll-ensemble"}
    sheet = run.asked()[0]["sheet"]
    label = run.paint(sheet) / "label.png"
    painted = label.read_bytes()
    grey = np.array(Image.open(label))
    grey[np.unravel_index(int(np.argmax(grey == INK)), grey.shape)] = NO_INK
    Image.fromarray(grey).save(label)
    assert "changed after it was taken" in run.refused(1)
    label.write_bytes(painted)


def test_the_next_round_begins_from_the_last_one_s_weights_where_it_is_asked_to(run):
    code, message, errors = run.go(
        2, "--unpainted", "--after-a-fall", "--set", "rounds.start=last", "--set", "rounds.propose=false"
    )
    assert code == 0, errors
    assert "round 2: F0.5" in message
    for network in ("stage1/cnn3d", "stage2"):
        started = json.loads((run.round(2).folder / "run" / network / "fold0" / "receipt.json").read_text())[
            "started_from"
        ]
        assert started["source"].endswith(f"rounds/1/run/{network}/fold0/weights.safetensors") and not started["new"]
    humans = [{s.id: s.full_label.human for s in training_sheets(run.round(n).student.data)} for n in (1, 2)]
    for name, label in humans[1].items():
        np.testing.assert_array_equal(label.ignore, humans[0][name].ignore)
        np.testing.assert_array_equal(label.target >= 0.5, humans[0][name].target >= 0.5)
    assert read_report(run.round(2)).known.proposed_cm2 == 0


def test_a_teacher_that_is_a_student_predicts_with_its_own_weights(run):
    code, message, errors = run.go(3, "--unpainted", "--after-a-fall")  # networks of a few steps: chance
    assert code == 0 and "round 3: F0.5" in message, errors
    receipts = list((run.round(2).folder / "run" / "teaching").glob("*/blank/cnn3d/receipt.json"))
    assert receipts and all("rounds/2/run/stage1" in path.read_text() for path in receipts)


def test_a_round_after_one_that_fell_does_not_begin(run):
    report = read_report(run.round(2))
    write_record(run.round(2).folder / NAME, report.model_copy(update={"has_fallen": True}))
    assert "round 2 fell to F0.5" in run.refused(3)
    write_record(run.round(2).folder / NAME, report)


def test_a_round_on_segments_of_a_scroll(tmp_path):
    """In scroll space: labels are lifted into the volume, proposals with them; wraps of another volume are proposed on too."""
    make_scrolls(tmp_path / "data", scroll_settings("easy", 96, 56.0), 7, train=2, test=1, jobs=1)
    for folder in (tmp_path / "data" / "train").iterdir():
        for name, mask in masks_of(read_mask_png(folder / "inklabels.png").shape, 0.5).items():
            write_png(folder / f"{name}.png", mask)
    content = tiny_scroll_settings(tmp_path, tmp_path / "run")
    a_round = begun(tmp_path, content | {"rounds": {"ask": 2, "ask_um": 150}}, "--unpainted").round(1)
    trained_on = {sheet.id: sheet.full_label for sheet in training_sheets(a_round.student.data)}
    assert any(name.startswith("a-") and label.proposed.any() for name, label in trained_on.items())
    for sheet in training_sheets(a_round.base.data):
        np.testing.assert_array_equal(trained_on[sheet.id].human.ignore, sheet.full_label.ignore)
    assert {one["sheet"] for one in json.loads((a_round.folder / "ask" / "ask.json").read_text())["patches"]}


def _files(folder, but=None):
    """Content of every file, by its place."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if but is None or path.relative_to(folder).parts[0] != but
    }
