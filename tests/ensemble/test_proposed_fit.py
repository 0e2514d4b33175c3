"""Weights, thresholds, evidence and scores speak of people's labels alone, whatever a label round proposed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.controls.planting import LETTER_UM, letter_height_um
from ensemble.ink.fit import calibrate
from ensemble.ink.score import read_truth
from scroll.config.schema import Settings
from scroll.data.fragments import training_fragments
from scroll.errors import InputError
from scroll.runtime.receipt import write_receipt
from tests.ensemble.test_held_out import CONTRAST, SHAPE, fit_of, fitted_run, picture

PROPOSED = np.zeros(SHAPE, bool)
PROPOSED[7:31, 25:41] = True  # odd edges: blocks of two pixels are cut by them
IN_VALIDATION = np.zeros(SHAPE, bool)
IN_VALIDATION[3:18, 14:20] = True
EVERY = np.ones(SHAPE, bool)


def marked_run(root: Path, marks: dict[str, np.ndarray], turned: bool = False, **data: object) -> Settings:
    """The run of the validation masks with proposals, of whose label every pixel may be turned round; the same networks."""
    run = fitted_run(root, **data)
    for fragment in training_fragments(run.data):
        if fragment.id in marks:
            mark, path = marks[fragment.id], fragment.folder / "inklabels.png"
            picture(fragment.folder / f"{fragment.id}_proposed_mask_v1.png", mark)
            picture(path, (np.asarray(Image.open(path)) > 0) ^ (mark & turned))
    for fragment in training_fragments(run.data):
        for name in CONTRAST:
            write_receipt(run.folder.oof(name, fragment.id), "key", data=fragment.key, weights={})
    return run


@pytest.mark.parametrize("bin_yx", [1, 2])
@pytest.mark.parametrize("way", ["fitted", "equal"])
def test_other_proposals_change_nothing_of_a_fit(tmp_path, bin_yx, way):
    found = []
    for turned in (False, True):
        marks = {"1": PROPOSED | IN_VALIDATION, "2": PROPOSED}
        run = marked_run(tmp_path / str(turned), marks, turned, bin_yx=bin_yx)
        found.append(calibrate(run.model_copy(update={"ensemble": run.ensemble.model_copy(update={"weights": way})})))
    assert found[0].model_dump() == found[1].model_dump() and found[0].held_out is not None


@pytest.mark.parametrize("bin_yx", [1, 2])
def test_a_fit_with_proposals_is_that_of_a_label_that_is_unknown_there(tmp_path, bin_yx):
    """More proposals, or fewer, change no figure where people said nothing."""
    more, fewer = (marked_run(tmp_path / name, {"1": PROPOSED}, bin_yx=bin_yx) for name in ("more", "fewer"))
    (fewer.data.root / "train" / "1" / "1_proposed_mask_v1.png").unlink()
    path = fewer.data.root / "train" / "1" / "supervision_mask.png"
    picture(path, (np.asarray(Image.open(path)) > 0) & ~PROPOSED)
    for fragment in training_fragments(fewer.data):
        for name in CONTRAST:
            write_receipt(fewer.folder.oof(name, fragment.id), "key", data=fragment.key, weights={})
    assert fit_of(more) == fit_of(fewer)


def test_the_same_labels_as_a_persons_do_change_it(tmp_path):
    turned = marked_run(tmp_path / "turned", {"1": PROPOSED}, turned=True)
    plain = marked_run(tmp_path / "plain", {"1": PROPOSED})
    for run in (turned, plain):
        (run.data.root / "train" / "1" / "1_proposed_mask_v1.png").unlink()
        for fragment in training_fragments(run.data):
            for name in CONTRAST:
                write_receipt(run.folder.oof(name, fragment.id), "key", data=fragment.key, weights={})
    assert fit_of(turned)["thresholds"] != fit_of(plain)["thresholds"]


def test_a_sheet_of_proposals_alone_is_left_out_of_the_fit_and_that_is_said(tmp_path, capsys):
    fit = calibrate(marked_run(tmp_path / "a", {"2": EVERY}))
    assert "left out of the fit: 2, where nobody labelled anything" in capsys.readouterr().out
    assert fit.fragments == ("1",)
    assert [(fold.fold, fold.pieces) for fold in fit.evidence.folds] == [(0, ("1",))]  # folds are those of all sheets
    turned = calibrate(marked_run(tmp_path / "b", {"2": EVERY}, turned=True))
    assert turned.model_dump() == fit.model_dump()


def test_where_all_is_proposed_there_is_nothing_to_fit_on(tmp_path):
    with pytest.raises(
        InputError, match="of every training sheet, are proposed; expected some that a person gave"
    ) as error:
        calibrate(marked_run(tmp_path, {"1": EVERY, "2": EVERY}))
    assert "\n" not in str(error.value)


def test_a_truth_is_scored_where_people_said_it(tmp_path):
    sheet = training_fragments(fitted_run(tmp_path / "run").data)[0]
    picture(tmp_path / "inklabels.png", EVERY)
    picture(tmp_path / "proposed_mask.png", PROPOSED)
    truth = read_truth(sheet, tmp_path)
    assert np.array_equal(~truth.ignore, sheet.full_mask & ~PROPOSED)
    assert np.array_equal(truth.target, sheet.full_mask & ~PROPOSED) and truth.proposed is None
    picture(tmp_path / "proposed_mask.png", EVERY)
    with pytest.raises(InputError, match=r"proposed_mask\.png: all of the label is proposed"):
        read_truth(sheet, tmp_path)


def test_letters_are_as_high_as_people_drew_them(tmp_path):
    ink = np.zeros(SHAPE, bool)
    ink[4:12, 30:34] = ink[10:38, 40:44] = True
    data = fitted_run(tmp_path).data
    folder = training_fragments(data)[0].folder
    picture(folder / "inklabels.png", ink)
    high = np.zeros(SHAPE, bool)
    high[:, 38:] = True
    heights = []
    for mark in (None, high, EVERY):
        if mark is not None:
            picture(folder / "proposed_mask.png", mark)
        fragment = training_fragments(data)[0]
        heights.append(letter_height_um([fragment]) / fragment.pixel_um)
    assert heights == pytest.approx([28, 8, LETTER_UM / fragment.pixel_um])
