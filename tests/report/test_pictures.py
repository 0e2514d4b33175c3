"""Pictures: the colours say what they should, and nothing is wider than the page."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scroll.errors import InputError
from scroll.report import pictures
from scroll.report.pictures import errors_png, grey_png, prob_png


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_probabilities_keep_their_place_between_black_and_white(tmp_path: Path) -> None:
    drawn = read(prob_png(tmp_path / "deep" / "prob.png", np.array([[0, 0.2, 1.0], [0.5, 0.4, 1.2]], np.float16)))
    assert drawn.tolist() == [[0, 51, 255], [128, 102, 255]]


def test_ct_is_stretched_over_its_own_range_whatever_its_type(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(20_000, 40_000, 1001), (7, 1))
    ramp[0, 0] = 65_535  # one hot pixel must not darken the rest
    for array in (ramp.astype(np.uint16), ramp, (ramp - 50_000).astype(np.int32)):
        drawn = read(grey_png(tmp_path / "ct.png", array))
        assert drawn[3, 0] == 0 and drawn[3, -1] == 255 and drawn[0, 0] == 255
        assert drawn[3, 500] == pytest.approx(127.5, abs=2)
    assert read(grey_png(tmp_path / "flat.png", np.full((4, 5), 7, np.uint8))).tolist() == [[0] * 5] * 4


def test_every_kind_of_error_has_its_colour(tmp_path: Path) -> None:
    pred, truth = np.array([[1, 1, 0, 0, 1]], bool), np.array([[1, 0, 1, 0, 1]], bool)
    drawn = read(errors_png(tmp_path / "errors.png", pred, truth, np.array([[1, 1, 1, 1, 0]], bool)))
    expected = [pictures.FOUND, pictures.INVENTED, pictures.MISSED, pictures.NEITHER, pictures.NOT_SCORED]
    assert [tuple(colour) for colour in drawn[0].tolist()] == expected == list(pictures.LEGEND.values())


def test_the_colours_stay_apart_for_the_colour_blind() -> None:
    # what is left to people without red (protan) or green (deutan) cones; Vienot, Brettel and Mollon 1999, linear RGB
    protan = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
    deutan = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
    linear = (np.array(list(pictures.LEGEND.values())) / 255) ** 2.2
    for seen in (linear @ np.transpose(protan), linear @ np.transpose(deutan)):
        colours = np.clip(seen, 0, 1) ** (1 / 2.2)
        assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 0.3


def test_wide_pictures_are_shrunk_by_averaging(tmp_path: Path) -> None:
    stripes = np.tile([0.0, 1.0], (200, 1400))  # (200, 2800)
    drawn = read(prob_png(tmp_path / "wide.png", stripes))
    assert drawn.shape == (100, 1400)
    assert ((drawn == 127) | (drawn == 128)).all()
    assert read(prob_png(tmp_path / "narrow.png", stripes[:, :1400])).shape == (200, 1400)
    wide = np.ones((2, 5000), bool)
    assert read(errors_png(tmp_path / "errors.png", wide, wide, wide)).shape == (1, 1400, 3)


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN"):
        prob_png(tmp_path / "p.png", np.array([[0.5, np.nan]]))
    with pytest.raises(InputError, match=r"\(3, 4, 5\)"):
        grey_png(tmp_path / "p.png", np.zeros((3, 4, 5)))
    with pytest.raises(InputError, match="expected one shape"):
        errors_png(tmp_path / "p.png", np.ones((2, 3), bool), np.ones((3, 2), bool), np.ones((2, 3), bool))
    assert not list(tmp_path.iterdir())
