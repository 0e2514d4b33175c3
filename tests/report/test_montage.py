"""A montage is a wide picture with a scale bar of a round length, and of every panel as many pixels as there is room for."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scroll.report.montage import (
    DPI,
    PANEL_INCHES,
    Montage,
    Panel,
    Row,
    in_words,
    round_length_um,
    save_montage,
    shrunk,
)
from scroll.report.pictures import FOUND, INVENTED, LEGEND, MISSED, NEITHER, NOT_SCORED, error_colours


@given(st.floats(1e-2, 1e6))
def test_the_scale_bar_is_the_longest_round_length_that_fits(most_um):
    length = round_length_um(most_um)
    mantissa = length / 10 ** math.floor(math.log10(length * (1 + 1e-9)))
    assert min(abs(mantissa - one) for one in (1, 2, 5)) < 1e-6
    assert length <= most_um * (1 + 1e-6) < 2.5 * length * (1 + 1e-5)


def test_lengths_are_reported_in_the_unit_that_one_would_use():
    assert [in_words(x) for x in (0.5, 50, 1000, 5000, 20_000)] == ["0.5 µm", "50 µm", "1 mm", "5 mm", "2 cm"]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.booleans())
def test_a_large_image_is_shrunk_by_means_and_a_small_one_left_alone(height, width, most, is_coloured):
    shape = (height, width, 3) if is_coloured else (height, width)
    image = np.random.default_rng(height).integers(0, 256, shape).astype(np.uint8)
    small = shrunk(image, most)
    assert max(small.shape[:2]) <= most and small.shape[2:] == image.shape[2:]
    if max(height, width) <= most:
        assert small is image
    flat = shrunk(np.full(shape, 7, np.uint8), most)
    assert (flat == 7).all()


def test_errors_have_the_colours_of_the_legend():
    pred, truth = np.array([[1, 1, 0, 0, 1]], bool), np.array([[1, 0, 1, 0, 1]], bool)
    valid = np.array([[1, 1, 1, 1, 0]], bool)
    assert error_colours(pred, truth, valid)[0].tolist() == [
        list(c) for c in (FOUND, INVENTED, MISSED, NEITHER, NOT_SCORED)
    ]


def montage(rows: int = 2) -> Montage:
    grey = np.tile(np.linspace(0, 255, 200), (100, 1)).astype(np.uint8)
    colours = np.zeros((100, 200, 3), np.uint8)
    colours[...] = INVENTED
    panels = [Panel("CT", grey), Panel("errors", colours)]
    return Montage("a run: 0.5", [Row(f"fragment {n}", panels, 7.91) for n in range(rows)], "note", dict(LEGEND))


@pytest.mark.parametrize("rows", [1, 3])
def test_the_picture_is_as_wide_as_its_panels_and_shows_them(rows, tmp_path):
    with Image.open(save_montage(tmp_path / "montage.png", montage(rows))) as picture:
        width, height = picture.size
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert width == pytest.approx(2 * PANEL_INCHES * DPI, abs=2) and height > rows * 0.4 * PANEL_INCHES * DPI
    assert (pixels == INVENTED).all(axis=1).mean() > 0.1  # a fourth of the rows' area, less the margins
    assert (pixels == MISSED).all(axis=1).any()  # in the legend


def test_the_scale_bar_is_as_long_as_it_says(tmp_path):
    dark = np.zeros((200, 200), np.uint8)
    row = Row("a", [Panel("CT", dark, (0, 255))], pixel_um=10.0)
    save_montage(tmp_path / "montage.png", Montage("run", [row], legend={"ink": MISSED}))
    with Image.open(tmp_path / "montage.png") as picture:
        grey = np.asarray(picture.convert("L"))
    black = np.flatnonzero((grey < 60).sum(axis=0) > 100)  # columns of the panel
    panel_px = black.max() - black.min() + 1
    inside = grey[:, black.min() : black.max() + 1]
    rows = np.flatnonzero((inside < 60).sum(axis=1) > panel_px / 3)
    below = inside[rows.min() + (rows.max() - rows.min()) * 9 // 10 : rows.max(), :]
    bar_px = max((line > 250).sum() for line in below)
    assert bar_px / panel_px == pytest.approx(500 / (200 * 10), rel=0.03)  # 500 um of 2 mm
    assert Path(tmp_path / "montage.png").exists()
