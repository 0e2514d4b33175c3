"""Fragments: patches are slices of the layers on one grey scale, and what does not fit is told with its numbers."""

from dataclasses import replace

import numpy as np
import pytest
from scroll_fragments import data_settings, small_fragment, write_fragment

from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment, find_fragments, training_fragments
from scroll.data.intensity import robust_z_score
from scroll.errors import InputError, MissingInputError, UnreadableError


def test_a_patch_is_the_slice_of_the_layers_on_the_fragments_grey_scale(tmp_path):
    fragment = small_fragment(tmp_path)
    middle, spread = fragment.grey_scale
    patch = fragment.patch(1, 3, 4, (3, 10, 8))
    raw = fragment.volume[2 + 1 : 2 + 4, 3:13, 4:12].astype(np.float64)
    assert patch.dtype == np.float32 and patch.shape == (3, 10, 8)
    np.testing.assert_allclose(patch, (raw - middle) / spread, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_grey_values_that_are_not_finite_are_refused_where_it_is_said_where_they_are(value):
    raw = np.array([1.0, value])
    with pytest.raises(UnreadableError, match=r"^here; repair the volume$"):
        robust_z_score(raw, (0.0, 1.0), "here")
    assert (
        robust_z_score(raw, (0.0, 1.0))[0] == 1
    )  # of samples along a surface some lie outside the volume, and stay NaN


def test_binned_patches_are_slices_of_block_means(tmp_path):
    fragment = small_fragment(tmp_path, bin_yx=2)
    middle, spread = fragment.grey_scale
    raw = fragment.volume[2:7, 4:12, 6:10].astype(np.float64).reshape(5, 4, 2, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(fragment.patch(0, 2, 3, (5, 4, 2)), (np.floor(raw + 0.5) - middle) / spread, atol=1e-5)
    assert fragment.mask.shape == fragment.label.target.shape == (12, 10)


def test_the_grey_scale_is_median_and_half_the_68_percent_range(tmp_path):
    values = np.random.default_rng(0).permutation(1000).astype(np.uint16)
    layers = np.broadcast_to(values.reshape(1, 40, 25), (9, 40, 25))
    fragment = Fragment("1", write_fragment(tmp_path / "1", layers), data_settings(tmp_path))
    middle, spread = fragment.grey_scale
    assert abs(middle - 500) < 30 and abs(spread - 340) < 30


def test_the_grey_scale_sees_papyrus_only(tmp_path):
    layers = np.full((9, 30, 30), 60_000, dtype=np.uint16)
    mask = np.zeros((30, 30), dtype=bool)
    mask[8:20, 5:28] = True
    layers[:, mask] = 100
    fragment = Fragment("1", write_fragment(tmp_path / "1", layers, mask), data_settings(tmp_path))
    assert fragment.grey_scale == (100.0, 1e-6)


@pytest.mark.parametrize("bin_yx", [1, 2])
def test_the_grey_scale_does_not_depend_on_the_cache(tmp_path, bin_yx):
    fragment = small_fragment(tmp_path, bin_yx=bin_yx)
    fresh = fragment.grey_scale
    assert Fragment("1", fragment.folder, fragment.data).grey_scale == fresh
    elsewhere = data_settings(tmp_path, bin_yx=bin_yx, cache_dir=tmp_path / "other")
    assert Fragment("1", fragment.folder, elsewhere).grey_scale == fresh


def test_training_with_depth_jitter_and_predicting_without_see_the_same_values(tmp_path):
    plain = small_fragment(tmp_path)
    layers = plain.volume[:].copy()
    layers[[0, 1, 7, 8]] = 65_535  # what only the margin sees
    folder = write_fragment(tmp_path / "glaring", layers)
    wide, narrow = (Fragment("g", folder, plain.data, margin) for margin in (2, 0))
    assert wide.ct.shape[0] == narrow.ct.shape[0] + 4
    assert wide.grey_scale == narrow.grey_scale
    np.testing.assert_array_equal(wide.patch(2, 1, 1, (5, 4, 4)), narrow.patch(0, 1, 1, (5, 4, 4)))


def test_outliers_are_clipped_to_eight_spreads(tmp_path):
    layers = np.random.default_rng(0).integers(900, 1100, (9, 24, 24), dtype=np.uint16)
    layers[4, 5, 5], layers[4, 6, 6] = 65_535, 0
    fragment = Fragment("1", write_fragment(tmp_path / "1", layers), data_settings(tmp_path))
    patch = fragment.patch(0, 0, 0, (5, 24, 24))
    assert patch[2, 5, 5] == 8 and patch[2, 6, 6] == -8


@pytest.mark.parametrize(
    ("depth", "margin", "widest"), [((-5, 3), 0, (-4, 5)), ((-2, 6), 0, (-4, 5)), ((-4, 5), 1, (-3, 4))]
)
def test_a_stack_too_thin_for_the_depth_window_is_reported_with_the_numbers(tmp_path, depth, margin, widest):
    fragment = replace(small_fragment(tmp_path, depth=depth), margin=margin)
    with pytest.raises(InputError) as caught:
        _ = fragment.layers
    for number in (fragment.folder, "9 layers, centre 4", depth, f"depth_jitter of {margin}", widest):
        assert str(number) in str(caught.value)
    assert replace(fragment, data=data_settings(tmp_path, depth=widest)).layers == (0, 9)


def test_outside_the_papyrus_nothing_is_known(tmp_path):
    ink, mask = np.zeros((2, 24, 20), dtype=bool)
    mask[:, :10], ink[:, 5:15] = True, True
    folder = write_fragment(tmp_path / "1", np.zeros((9, 24, 20), dtype=np.uint16), mask, ink)
    label = Fragment("1", folder, data_settings(tmp_path)).label
    np.testing.assert_array_equal(label.ignore, ~mask)
    np.testing.assert_array_equal(label.target, ink)


def test_a_bare_stack_is_papyrus_all_over_but_needs_a_label_to_train(tmp_path):
    fragment = Fragment(
        "1", write_fragment(tmp_path / "1", np.ones((9, 6, 5), dtype=np.uint16)), data_settings(tmp_path)
    )
    assert fragment.mask.all() and fragment.mask.shape == (6, 5)
    with pytest.raises(MissingInputError, match=r"inklabels\.png: not there"):
        _ = fragment.label


def test_a_mask_without_papyrus_is_refused(tmp_path):
    folder = write_fragment(tmp_path / "1", np.ones((9, 6, 5), dtype=np.uint16), np.zeros((6, 5), dtype=bool))
    with pytest.raises(InputError, match=r"mask\.png: marks no papyrus"):
        _ = Fragment("1", folder, data_settings(tmp_path)).grey_scale


@pytest.mark.parametrize("bin_yx", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_one_line_with_the_folder(tmp_path, bad, bin_yx):
    layers = np.random.default_rng(0).random((9, 24, 24), dtype=np.float32)
    layers[4, 13, 11] = bad
    fragment = Fragment("1", write_fragment(tmp_path / "1", layers), data_settings(tmp_path, bin_yx=bin_yx))
    with pytest.raises(InputError) as caught:
        fragment.patch(0, 0, 0, (5, 24 // bin_yx, 24 // bin_yx))
    assert "\n" not in str(caught.value) and str(fragment.folder) in str(caught.value)


def test_fragments_are_found_by_id_in_order(tmp_path):
    for name in ("b", "a", ".hidden"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "notes.txt").touch()
    data = data_settings(tmp_path)
    assert [f.id for f in training_fragments(data)] == ["a", "b"]
    assert [f.id for f in training_fragments(data_settings(tmp_path, train=("b", "a", "b")))] == ["a", "b"]
    assert [f.margin for f in training_fragments(data, margin=2)] == [2, 2]


def test_a_missing_id_lists_those_there_are(tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    with pytest.raises(MissingInputError, match=r"3: no such fragment; there are: 1, 2"):
        find_fragments(tmp_path, DataSettings(), ids=("1", "3"))


def test_a_missing_or_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(MissingInputError, match="no such folder"):
        find_fragments(tmp_path / "train", DataSettings())
    with pytest.raises(MissingInputError, match="holds no fragment folders"):
        find_fragments(tmp_path, DataSettings())


def test_the_key_changes_with_the_files_and_with_how_they_are_looked_at(tmp_path):
    fragment = small_fragment(tmp_path)
    key = fragment.key
    assert Fragment("1", fragment.folder, data_settings(tmp_path, cache_dir=tmp_path / "elsewhere")).key == key
    assert Fragment("1", fragment.folder, data_settings(tmp_path, depth=(-1, 3))).key != key
    (fragment.folder / "mask.png").unlink()
    assert Fragment("1", fragment.folder, fragment.data).key != key
