"""A traced segment flattened for an audit is the stack that its surface shows, a fragment like any other."""

import numpy as np
import pytest

from ensemble.audit.traced import LAYERS, ROOM_LAYERS, flattened_layers, with_voxels
from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.data.segments import Segment, find_segments
from scroll.volumes.masks import read_mask_png

DEPTH = (-6, 8)


def flat(segment: Segment, folder) -> Fragment:
    layers = flattened_layers(segment, folder / segment.id, DEPTH)
    data = with_voxels(DataSettings(root=folder, cache_dir=folder / "cache", depth=DEPTH), segment.seen_um)
    return Fragment(segment.id, layers, data)


@pytest.fixture
def segment(data: DataSettings) -> Segment:
    return find_segments(data.root / "train", data)[0]


def test_layers_are_those_that_the_surface_shows_and_the_sheet_is_in_the_middle(segment, tmp_path) -> None:
    fragment = flat(segment, tmp_path)
    shown, own = np.asarray(segment.stack[:, :, :]), np.asarray(fragment.volume[:, :, :])
    half = 8 + ROOM_LAYERS
    assert own.shape == (2 * half + 1, *segment.shape_yx) and own.dtype == segment.volume.dtype
    middle = shown.shape[0] // 2
    assert np.abs(own - shown[middle - half : middle + half + 1]).max() <= 0.51
    assert fragment.layers == (half - 6, half + 8) and fragment.pixel_um == pytest.approx(7.91)
    assert (fragment.full_mask == segment.full_mask).all()


def test_ink_lies_where_the_label_says_once_it_is_flattened(segment, tmp_path) -> None:
    label = segment.full_label
    ink, bare = label.target & ~label.ignore, ~label.target & ~label.ignore
    face = np.asarray(flat(segment, tmp_path).ct[4:8], np.float32).mean(axis=0)
    assert face[ink].mean() > face[bare].mean() + 10


def test_a_second_time_nothing_is_written(segment, tmp_path) -> None:
    flat(segment, tmp_path / "whole")
    layers = tmp_path / "whole" / segment.id / LAYERS
    before = {path: path.stat().st_mtime_ns for path in layers.rglob("*") if path.is_file()}
    flat(segment, tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in layers.rglob("*") if path.is_file()} == before
    mask = read_mask_png(tmp_path / "whole" / segment.id / "mask.png")
    assert (mask == segment.full_mask).all()


def test_coarser_levels_are_flattened_in_cubes_of_what_the_networks_see(data, tmp_path) -> None:
    coarse = find_segments(data.root / "train", data.model_copy(update={"level": 1}))[0]
    fragment = flat(coarse, tmp_path)
    rows, columns = coarse.shape_yx
    assert fragment.volume.shape[1:] == (rows // 2, columns // 2)
    assert fragment.pixel_um == pytest.approx(2 * 7.91)
    assert np.asarray(fragment.volume[20]).std() > 5
