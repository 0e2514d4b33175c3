"""Prediction and flattening in one pass: what comes out is what predicting first and flattening then gives, to the bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scroll.config.schema import WindowSettings
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.inference.sliding_window import Prediction, Sweep
from scroll.phantom.scroll_dataset import make_scrolls
from scroll.phantom.settings import scroll_settings
from scroll.runtime.receipt import read_receipt
from scroll.surfaces import open_surface
from scroll.surfaces.sample import Offsets, Source
from scroll.surfaces.surface import Surface, normals_of
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import create_ome_zarr
from stage1_3d.segments.flatten_on_the_fly import BoxPrediction, Tiling, flatten_on_the_fly
from stage1_3d.segments.flatten_surface import Flattening, flatten_surface

PATCH = (24, 32, 32)
WINDOW = WindowSettings(overlap=0.25, batch_size=1)
LAYERS = Flattening(Offsets(-6, 7))
SMALL = Tiling(edge=128)


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """volumes/1.zarr and the wraps traced in it."""
    root = tmp_path_factory.mktemp("phantom") / "data"
    make_scrolls(root, scroll_settings("easy", 112, letter_height_px=40.0), seed=7, train=1, test=0, jobs=1)
    return root


@pytest.fixture(scope="session")
def ct(phantom):
    return open_volume(phantom / "volumes" / "1.zarr")


@pytest.fixture(scope="session")
def surface(phantom):
    """The longest wrap: several tiles."""
    found = [open_surface(folder) for folder in sorted((phantom / "train").iterdir())]
    return max(found, key=lambda surface: surface.canvas_shape()[1])


@pytest.fixture(scope="session")
def prediction(ct):
    """A small network of two channels with random weights over the whole CT, window by window."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4), nn.GELU(), nn.Conv3d(4, 2, 3, padding=1)
    ).eval()
    voxels = (ct[...].astype(np.float32) - 100) / 40

    def read(corner):
        return voxels[tuple(slice(c, c + p) for c, p in zip(corner, PATCH, strict=True))][None]

    sweep = Sweep(ct.shape, PATCH, WINDOW, (0, ct.shape[1]), empty=float("nan"))
    return Prediction(sweep, read, lambda: network, ct.shape)


@pytest.fixture(scope="session")
def first_predicted(prediction, tmp_path_factory):
    """The whole volume predicted beforehand, one zarr a channel."""
    prob = prediction.rows(0, prediction.shape[1])
    folder = tmp_path_factory.mktemp("whole")
    sources = {}
    for name, values in zip(("ink", "fibre"), prob, strict=True):
        create_ome_zarr(folder / f"{name}.zarr", values.shape, "float32", (32, 32, 32), 7.91)[...] = values
        sources[name] = Source(open_volume(folder / f"{name}.zarr"))
    return sources


class Boxes:
    """Predicts the windows that touch a box and are seen, and notes what it was asked for."""

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.asked: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self.windows: list[tuple[int, ...]] = []

    def __call__(self, corner, size, is_seen):
        self.asked.append((corner, size))

        def is_needed(window):
            meets = all(w < c + s and c < w + p for w, c, s, p in zip(window, corner, size, PATCH, strict=True))
            return meets and is_seen(window, PATCH)

        def read(window):
            self.windows.append(window)
            return self.prediction.read(window)

        sweep = replace(self.prediction.sweep, is_needed=is_needed)
        rows = replace(self.prediction, sweep=sweep, read=read).rows(corner[1], corner[1] + size[1])
        z, _, x = (slice(c, c + s) for c, s in zip(corner, size, strict=True))
        return rows[:, z, :, x]

    def as_prediction(self, key="a run"):
        return BoxPrediction(self, ("ink", "fibre"), self.prediction.shape, 0, key)


def maps(folder):
    return [open_map(folder / name, "")[...] for name in ("flat.zarr", "coverage.zarr")]


@pytest.mark.parametrize("how", [LAYERS, replace(LAYERS, order=0, reduce="max", pixel_vox=2)])
def test_one_pass_is_to_the_bit_what_two_passes_are(surface, ct, prediction, first_predicted, tmp_path, how):
    flatten_surface(surface, {"ct": Source(ct), **first_predicted}, how, tmp_path / "two", 7.91)
    boxes = Boxes(prediction)
    flatten_on_the_fly(
        surface, boxes.as_prediction(), how, tmp_path / "one", 7.91, beside={"ct": Source(ct)}, tiling=SMALL
    )
    for one, two in zip(maps(tmp_path / "one"), maps(tmp_path / "two"), strict=True):
        np.testing.assert_array_equal(one, two)
    assert maps(tmp_path / "one")[1][1:].max() == 1
    assert np.unique(maps(tmp_path / "one")[0][1]).size > 100
    one, two = (read_receipt(tmp_path / name, "") for name in ("one", "two"))
    for field in ("channels", "axes", "voxel_um", "how", "surface"):
        assert one[field] == two[field]


def test_tiles_cut_in_four_give_the_same_and_keep_to_their_bound(surface, prediction, first_predicted, tmp_path):
    flatten_surface(surface, first_predicted, LAYERS, tmp_path / "two", 7.91)
    boxes, bound = Boxes(prediction), 8 * 40**3
    flatten_on_the_fly(
        surface, boxes.as_prediction(), LAYERS, tmp_path / "one", 7.91, tiling=replace(SMALL, box_bytes=bound)
    )
    assert max(8 * np.prod(size) for _, size in boxes.asked) <= bound
    for one, two in zip(maps(tmp_path / "one"), maps(tmp_path / "two"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_no_volume_lies_on_the_disk_at_any_moment(surface, prediction, tmp_path):
    boxes = Boxes(prediction)
    found = set()

    def looking(corner, size, is_seen):
        found.update(path.name for path in tmp_path.iterdir())
        return boxes(corner, size, is_seen)

    predicted = replace(boxes.as_prediction(), predict_box=looking)
    flatten_on_the_fly(surface, predicted, LAYERS, tmp_path, 7.91, tiling=SMALL)
    assert found <= {".flat.zarr.part", ".coverage.zarr.part", ".tiles.part"}
    assert {path.name for path in tmp_path.iterdir()} == {"flat.zarr", "coverage.zarr", "receipt.json"}


def test_windows_that_hold_no_sample_are_left_out(surface, prediction, tmp_path):
    boxes = Boxes(prediction)
    flatten_on_the_fly(surface, boxes.as_prediction(), LAYERS, tmp_path, 7.91, tiling=SMALL)
    tile = surface.tile(slice(None), slice(None))
    places = tile.points[None] + LAYERS.offsets.values[:, None, None, None] * tile.normals[None]
    places = places[:, tile.valid].reshape(-1, 3)
    for window in set(boxes.windows):
        first, end = np.array(window) - 17, np.array(window) + PATCH + 17  # a block, and the voxel beyond a place
        assert ((places >= first) & (places < end)).all(axis=1).any()
    all_about = Boxes(prediction)
    for corner, size in boxes.asked:
        all_about(corner, size, lambda corner, size: True)
    assert set(boxes.windows) < set(all_about.windows)


def ramp(corner, size, is_seen=None):
    """A volume without end, never stored: its value is y / 1000 at y."""
    _, y, _ = np.indices(size) + np.reshape(corner, (3, 1, 1, 1))
    return (y[None] / 1000).astype(np.float32)


def sheet(points, valid=None):
    valid = np.ones(points.shape[:2], bool) if valid is None else valid
    points = np.where(valid[..., None], points, -1).astype(np.float32)
    return Surface(points, normals_of(points, valid), valid, (4.0, 4.0), Path("sheet"))


def slope(rows=64, columns=64, per_row=0.0, at=(40_000.0, 500.0, 60_000.0)):
    """Rows along z, columns along x, y rising by `per_row` a row."""
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.stack([at[0] + 4.0 * row, at[1] + per_row * row, at[2] + 4.0 * column], axis=-1)


def test_a_sheet_in_a_volume_of_petabytes_takes_what_a_tile_takes(tmp_path):
    asked = []

    def predict_box(corner, size, is_seen):
        asked.append(size)
        return ramp(corner, size)

    predicted = BoxPrediction(predict_box, ("p",), (100_000, 100_000, 100_000), 0, "ramp")
    flatten_on_the_fly(sheet(slope()), predicted, Flattening(Offsets(-4, 5)), tmp_path, None, tiling=SMALL)
    flat, coverage = maps(tmp_path)
    assert max(size[0] * size[1] * size[2] for size in asked) <= 130 * 10 * 130
    assert coverage[0, :252, :252].min() == 1
    depths = flat[0, :, 100, 100].astype(float)
    np.testing.assert_allclose(sorted(depths), (500 + np.arange(-4, 5)) / 1000, atol=1e-3)


def test_two_sheets_far_apart_in_one_tile_are_looked_at_one_by_one(tmp_path):
    """Else the box about both would hold all that is between them."""
    points, valid = slope(), np.ones((64, 64), bool)
    points[32:, :, 1] += 20_000
    valid[31:33] = False
    asked = []

    def predict_box(corner, size, is_seen):
        asked.append(size)
        return ramp(corner, size)

    predicted = BoxPrediction(predict_box, ("p",), (100_000, 100_000, 100_000), 0, "ramp")
    tiling = Tiling(edge=256, box_bytes=4 * 2**20)
    flatten_on_the_fly(sheet(points, valid), predicted, Flattening(Offsets(0, 1)), tmp_path, None, tiling=tiling)
    flat, coverage = maps(tmp_path)
    assert len(asked) == 4
    assert max(size[1] for size in asked) <= 3
    np.testing.assert_allclose(flat[0, 0, [20, 200], 100].astype(float), [0.5, 20.5], rtol=1e-3)
    assert coverage[0, 31 * 4 : 32 * 4].max() == 0


def test_where_the_sheet_is_not_valid_nobody_is_asked_and_an_empty_box_is_0(tmp_path):
    valid = np.zeros((64, 64), bool)
    valid[:20, :20] = True  # the first of four tiles
    asked = []

    def predict_box(corner, size, is_seen):
        asked.append((corner, size))

    predicted = BoxPrediction(predict_box, ("p",), (100_000, 100_000, 100_000), 0, "nothing")
    flatten_on_the_fly(sheet(slope(), valid), predicted, Flattening(Offsets(-1, 2)), tmp_path, None, tiling=SMALL)
    flat, coverage = maps(tmp_path)
    assert len(asked) == 1
    assert not flat.any()
    assert coverage[0, :76, :76].min() == 1
    assert not coverage[0, 80:].any()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_coarser_level_is_sampled_where_its_voxels_lie(tmp_path, level):
    volume = ramp((0, 0, 0), (80, 200, 80))[0]
    surface = sheet(slope(24, 24, per_row=2.0, at=(20.0, 100.0, 20.0)))
    how = Flattening(Offsets(-8, 9, 4), pixel_vox=2)
    flatten_surface(surface, {"p": Source(volume, level)}, how, tmp_path / "two", None)
    predicted = BoxPrediction(ramp, ("p",), volume.shape, level, "ramp")
    flatten_on_the_fly(surface, predicted, how, tmp_path / "one", None)
    for one, two in zip(maps(tmp_path / "one"), maps(tmp_path / "two"), strict=True):
        np.testing.assert_array_equal(one, two)


class Ramp:
    """Gives the ramp, notes what it was asked for, and breaks off at box number `last`."""

    def __init__(self, last=None) -> None:
        self.last, self.asked = last, []

    def __call__(self, corner, size, is_seen):
        if len(self.asked) == self.last:
            raise KeyboardInterrupt
        self.asked.append((corner, size))
        return ramp(corner, size)

    def flattened_into(self, folder, key="a run"):
        predicted = BoxPrediction(self, ("p",), (100_000, 100_000, 100_000), 0, key)
        flatten_on_the_fly(sheet(slope()), predicted, Flattening(Offsets(-1, 2)), folder, None, tiling=SMALL)
        return self.asked


def test_a_stopped_run_goes_on_with_the_tile_where_it_stopped(tmp_path):
    whole = Ramp().flattened_into(tmp_path / "whole")
    cut, rest = Ramp(last=3), Ramp()
    with pytest.raises(KeyboardInterrupt):
        cut.flattened_into(tmp_path / "cut")
    assert not (tmp_path / "cut" / "flat.zarr").exists()
    assert len(rest.flattened_into(tmp_path / "cut")) == 1
    assert cut.asked + rest.asked == whole
    for one, two in zip(maps(tmp_path / "cut"), maps(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not Ramp().flattened_into(tmp_path / "cut")  # finished: nobody is asked again
    assert Ramp().flattened_into(tmp_path / "cut", "another run") == whole


def test_what_a_stopped_run_of_another_prediction_left_is_not_gone_on_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Ramp(last=2).flattened_into(tmp_path)
    assert len(Ramp().flattened_into(tmp_path, "another run")) == 4


def test_a_run_killed_between_its_last_renames_is_finished_without_another_look(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Ramp(last=3).flattened_into(tmp_path)
    (tmp_path / ".flat.zarr.part").rename(tmp_path / "flat.zarr")  # as after the first of two
    assert len(Ramp().flattened_into(tmp_path)) == 1
    whole = Ramp().flattened_into(tmp_path / "whole")
    assert len(whole) == 4
    for one, two in zip(maps(tmp_path), maps(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_channel_has_a_name_of_its_own_and_a_tile_whole_chunks(tmp_path):
    predicted = BoxPrediction(ramp, ("ct",), (9, 9, 9), 0, "ramp")
    with pytest.raises(InputError, match="a name of its own"):
        flatten_on_the_fly(
            sheet(slope()), predicted, LAYERS, tmp_path, None, beside={"ct": Source(np.zeros((9, 9, 9), np.uint8))}
        )
    with pytest.raises(ValueError, match="multiple of 128"):
        Tiling(edge=100)
