"""Labels: what is read is what was drawn, what nobody knows stays unknown, and a wrong picture is one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scroll.data.labels import Label, binned_label, ink_band, is_grey, share_in_blocks, surface_label
from scroll.errors import InputError, MissingInputError
from scroll.volumes.masks import read_mask_png

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@st.composite
def labels(draw) -> Label:
    target = draw(MASKS)
    return Label(target, draw(arrays(bool, target.shape)))


def picture(folder: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path = folder / "inklabels.png"
    Image.fromarray(pixels).convert(mode).save(path) if mode else Image.fromarray(pixels).save(path)
    return path


def refusal(path: Path, shape: tuple[int, int] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_mask_png(path, shape)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@given(MASKS, st.sampled_from([1, 255]), st.sampled_from(["L", "RGB", "RGBA"]))
def test_a_mask_reads_as_it_was_drawn(tmp_path_factory, mask, high, mode):
    path = picture(tmp_path_factory.mktemp("png"), mask.astype(np.uint8) * np.uint8(high), mode)
    np.testing.assert_array_equal(read_mask_png(path, mask.shape), mask)


def test_a_one_bit_mask_reads_as_it_was_drawn(tmp_path):
    mask = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(read_mask_png(picture(tmp_path, mask)), mask)


def test_a_segment_larger_than_pillows_guard_is_read(tmp_path, monkeypatch):
    path = picture(tmp_path, np.full((20, 30), 255, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # the guard refuses twice this
    assert read_mask_png(path, (20, 30)).all()


def test_other_values_are_shown(tmp_path):
    message = refusal(picture(tmp_path, np.array([[0, 128, 255]], dtype=np.uint8)))
    assert "[0, 128, 255]" in message and "only 0 and 255" in message


def test_mixing_1_and_255_is_refused(tmp_path):
    assert "[1, 255]" in refusal(picture(tmp_path, np.array([[1, 255]], dtype=np.uint8)))


def test_another_size_is_reported_with_both_sizes(tmp_path):
    message = refusal(picture(tmp_path, np.zeros((3, 4), dtype=np.uint8)), (4, 3))
    assert "(3, 4)" in message and "(4, 3)" in message


def test_a_coloured_picture_is_refused(tmp_path):
    pixels = np.zeros((3, 4, 3), dtype=np.uint8)
    pixels[0, 0, 0] = 255
    assert "(3, 4, 3)" in refusal(picture(tmp_path, pixels))


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_a_picture_cut_off_anywhere_is_one_line(tmp_path, keep):
    path = picture(tmp_path, (np.random.default_rng(0).random((64, 64)) > 0.5).astype(np.uint8) * 255)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert "not readable" in refusal(path)


def test_a_picture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"inklabels\.png: not there"):
        read_mask_png(tmp_path / "inklabels.png")


def test_a_label_and_an_ignore_mask_of_two_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(2, 3\).*\(3, 2\)"):
        Label(np.zeros((2, 3), dtype=bool), np.zeros((3, 2), dtype=bool))


def test_the_share_of_ink_is_of_what_is_known():
    label = Label(np.array([[1, 1, 0, 0]], dtype=bool), np.array([[0, 1, 0, 0]], dtype=bool))
    assert label.ink_share == 1 / 3
    assert Label(label.target, np.ones((1, 4), dtype=bool)).ink_share == 0


def test_the_surface_competitions_three_values():
    label = surface_label(np.array([[[0, 1, 2]]], dtype=np.uint8))
    assert label.target.tolist() == [[[False, True, False]]]
    assert label.ignore.tolist() == [[[False, False, True]]]
    with pytest.raises(InputError, match=r"cube\.tif: holds values \[0, 3\]"):
        surface_label(np.array([[[0, 3]]], dtype=np.uint8), "cube.tif")


def test_a_column_of_ink_is_positive_in_the_band_and_unknown_beyond_it():
    flat = Label(np.array([[True, False, True, False]]), np.array([[False, False, True, True]]))
    band = ink_band(flat, layers=6, centre=3, ink_depth=(-1, 2))  # layers 2, 3, 4
    inked, inkless, inked_unknown, unknown = range(4)
    assert band.target[:, 0, inked].tolist() == [False, False, True, True, True, False]
    assert band.ignore[:, 0, inked].tolist() == [True, True, False, False, False, True]
    assert not band.target[:, 0, inkless].any() and not band.ignore[:, 0, inkless].any()
    assert band.ignore[:, 0, inked_unknown].all() and band.ignore[:, 0, unknown].all()


@given(labels(), st.integers(1, 12), st.integers(-2, 14), st.integers(-6, 5), st.integers(1, 8))
def test_the_band_says_of_each_pixel_what_the_flat_label_said(flat, layers, centre, first, count):
    try:
        band = ink_band(flat, layers, centre, (first, first + count))
    except InputError:
        assert centre + first + count <= 0 or centre + first >= layers
        return
    known = ~band.ignore
    assert band.target.shape == (layers, *flat.target.shape)
    np.testing.assert_array_equal((band.target & known).any(axis=0), flat.target & ~flat.ignore)
    np.testing.assert_array_equal(known.any(axis=0), ~flat.ignore)
    assert known.all(axis=0)[~flat.target & ~flat.ignore].all()


def test_a_band_outside_the_layers_seen_is_refused():
    with pytest.raises(InputError, match=r"\(5, 8\).*4 layers"):
        ink_band(Label(np.ones((1, 1), dtype=bool), np.zeros((1, 1), dtype=bool)), 4, 2, (5, 8))


@given(labels(), st.integers(1, 5))
def test_binning_counts_pixels_block_by_block(label, edge):
    binned = binned_label(label, edge)
    shape = tuple(-(-length // edge) for length in label.target.shape)
    assert binned.target.shape == shape
    for y, x in np.ndindex(shape):
        block = (slice(y * edge, (y + 1) * edge), slice(x * edge, (x + 1) * edge))
        ignore, target = label.ignore[block], label.target[block]
        known, ink = int((~ignore).sum()), int((target & ~ignore).sum())
        if edge == 1:
            assert (binned.ignore[y, x], binned.target[y, x]) == (ignore[0, 0], target[0, 0])
            continue
        assert binned.ignore[y, x] == (2 * int(ignore.sum()) > ignore.size)
        assert binned.target[y, x] == (2 * ink >= known and known > 0)


@given(MASKS, st.integers(1, 5))
def test_shares_weigh_back_to_the_number_of_true_pixels(mask, edge):
    shares = share_in_blocks(mask, edge)
    sizes = share_in_blocks(np.ones_like(mask), edge)
    assert (sizes == 1).all() and shares.min() >= 0 and shares.max() <= 1
    heights = [len(range(y, min(y + edge, mask.shape[0]))) for y in range(0, mask.shape[0], edge)]
    widths = [len(range(x, min(x + edge, mask.shape[1]))) for x in range(0, mask.shape[1], edge)]
    assert round(float((shares * np.outer(heights, widths)).sum()), 3) == mask.sum()


@given(labels(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_soft_label_is_binned_to_the_mean_of_what_is_known_and_one_of_0_and_1_as_a_hard_one(label, edge, seed):
    hard = binned_label(label, edge)
    whole = binned_label(Label(label.target.astype(np.float32), label.ignore), edge)
    assert whole.target.dtype == np.float32
    np.testing.assert_array_equal(whole.target, hard.target)
    np.testing.assert_array_equal(whole.ignore, hard.ignore)
    soft = np.random.default_rng(seed).random(label.target.shape, dtype=np.float32) * np.float32(0.98) + np.float32(
        0.01
    )
    binned = binned_label(Label(soft, label.ignore), edge)
    for y, x in np.ndindex(binned.target.shape):
        block = (slice(y * edge, (y + 1) * edge), slice(x * edge, (x + 1) * edge))
        known = soft[block][~label.ignore[block]]
        assert binned.ignore[y, x] == hard.ignore[y, x]
        if known.size and edge > 1:
            assert binned.target[y, x] == pytest.approx(known.mean(), abs=1e-6)


def test_a_soft_column_is_its_share_in_the_band_and_beyond_it_unknown_where_it_counts_as_ink():
    flat = Label(np.array([[0.75, 0.25, 0.5]], np.float32), np.zeros((1, 3), bool))
    band = ink_band(flat, layers=4, centre=2, ink_depth=(-1, 1))  # layers 1, 2
    assert band.target[:, 0].T.tolist() == [[0, 0.75, 0.75, 0], [0, 0.25, 0.25, 0], [0, 0.5, 0.5, 0]]
    assert band.ignore[:, 0].T.tolist() == [[True, False, False, True], [False] * 4, [True, False, False, True]]
    assert flat.ink.tolist() == [[True, False, True]] and flat.ink_share == pytest.approx(2 / 3)


def test_a_label_is_grey_only_where_it_is_known_to_be():
    target = np.array([[0.0, 1.0, 0.3]], np.float32)
    assert is_grey(target, np.zeros((1, 3), bool)) and not is_grey(target, np.array([[False, False, True]]))
    assert not is_grey(target > 0.5, np.zeros((1, 3), bool))
