"""The contact sheet shows the patch from above and in section, and the label where it is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scroll.data.sample import Sample, Space
from scroll.report.contact_sheet import View, contact_sheet, view

SHAPE = (4, 48, 24)


def sample(target: np.ndarray, ignore: np.ndarray) -> Sample:
    """Grey values name their place: layer * 10,000 + row * 100 + column."""
    z, y, x = np.indices(SHAPE)
    return Sample((10_000 * z + 100 * y + x).astype(np.float32), target, ignore)


def test_above_is_the_middle_layer_and_below_the_section_through_the_middle_row():
    flat = np.zeros(SHAPE[1:], bool)
    shown = view(sample(flat, flat), Space.SHEET).grey
    y, x = np.indices(SHAPE[1:])
    np.testing.assert_array_equal(shown[:48], 20_000 + 100 * y + x)
    gap = np.isnan(shown).all(axis=1)
    assert gap.sum() == 2 and gap[48:50].all()
    section = shown[50:]
    assert len(section) == 12  # three pixels a layer: a quarter as high as the patch
    np.testing.assert_array_equal(section, np.repeat(10_000 * np.arange(4), 3)[:, None] + 2400 + np.arange(24))


def test_a_stack_is_shown_as_the_mean_of_its_channels():
    flat = np.zeros(SHAPE[1:], bool)
    y, x = np.indices(SHAPE[1:])
    np.testing.assert_array_equal(view(sample(flat, flat), Space.STACK).grey[:48], 15_000 + 100 * y + x)


def test_a_label_of_the_whole_depth_is_shown_from_above_only():
    target = np.arange(48 * 24).reshape(48, 24) % 5 == 0
    shown = view(sample(target, ~target), Space.SHEET)
    np.testing.assert_array_equal(shown.target[:48] > 0, target)
    np.testing.assert_array_equal(shown.ignore[:48], ~target)
    assert not shown.target[48:].any() and not shown.ignore[48:].any()


@pytest.mark.parametrize("space", [Space.SHEET, Space.SCROLL])
def test_a_label_of_each_layer_is_shown_in_section_too(space):
    target, ignore = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    target[1, :, 3] = True  # one layer off the middle
    ignore[:, :, 7] = True
    ignore[2, :, 9] = True
    shown = view(sample(target, ignore), space)
    assert shown.target[:48].any() == (space is Space.SHEET)
    assert shown.ignore[:48, 9].all() == (space is Space.SCROLL) and shown.ignore[:48, 7].all()
    expected = np.zeros((12, 24), bool)
    expected[3:6, 3] = True
    np.testing.assert_array_equal(shown.target[50:] > 0, expected)
    np.testing.assert_array_equal(shown.ignore[50:, 7], True)


def test_the_picture_is_orange_on_the_label_blue_where_ignored_and_grey_elsewhere(tmp_path: Path):
    grey = np.full((60, 60), 0.5, np.float32)
    grey[0, 0], grey[0, 1] = 0, 1
    target, ignore = np.zeros((60, 60), np.float32), np.zeros((60, 60), bool)
    target[20:40, 5:25] = 1
    ignore[20:40, 35:55] = True

    def colours(**label: np.ndarray) -> np.ndarray:
        parts = {"target": np.zeros_like(target), "ignore": np.zeros_like(ignore)} | label
        path = contact_sheet(tmp_path / "sheet.png", "all", ["plain"], {"patch 0": [View(grey, **parts)]})
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        return pixels[150:-60]  # without heading and legend

    def orange(pixels: np.ndarray) -> int:
        return int((pixels[..., 0] - pixels[..., 2] > 40).sum())

    def blue(pixels: np.ndarray) -> int:
        return int((pixels[..., 2] - pixels[..., 0] > 40).sum())

    neither, ink, hatched = colours(), colours(target=target), colours(ignore=ignore)
    assert orange(neither) == blue(neither) == 0
    assert orange(ink) > 200 and blue(ink) == 0
    assert blue(hatched) > 200 and orange(hatched) == 0


def test_every_cell_has_its_place(tmp_path: Path):
    one = View(
        np.random.default_rng(0).random((50, 40)).astype(np.float32),
        np.zeros((50, 40), np.float32),
        np.zeros((50, 40), bool),
    )
    sizes = {}
    for columns, rows in ((6, 1), (12, 1), (6, 3)):
        cells = {f"patch {n}": [one] * columns for n in range(rows)}
        path = contact_sheet(tmp_path / "sheet.png", "all", [f"name {c}\nchance 0.25" for c in range(columns)], cells)
        sizes[columns, rows] = Image.open(path).size
    assert sizes[12, 1][0] - sizes[6, 1][0] == pytest.approx(6 * 1.55 * 110, abs=2)
    assert sizes[6, 3][1] - sizes[6, 1][1] == pytest.approx(2 * 1.55 * 110 * 50 / 40, abs=2)
