"""Flattening any volumes onto any surface: values, coverage, and going on where one stopped."""

from pathlib import Path

import numpy as np
import pytest

from scroll.inference.prediction_store import open_map
from scroll.runtime.files import remove
from scroll.runtime.receipt import read_receipt, write_receipt
from scroll.surfaces.sample import Offsets, Source
from scroll.surfaces.surface import Surface, normals_of
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import create_ome_zarr
from stage1_3d.segments.flatten_surface import Flattening, flatten_surface, pooled

CELL = 4.0


@pytest.fixture
def plane() -> Surface:
    """Rows along z, columns along x, at y = 20: the normal is -y or +y, 280 x 60 voxels with a hole."""
    rows, columns = np.meshgrid(np.arange(70) * CELL + 2, np.arange(15) * CELL + 3, indexing="ij")
    points = np.stack([rows, np.full_like(rows, 20), columns], axis=-1).astype(np.float32)
    valid = np.ones(rows.shape, bool)
    valid[30:33, 5:8] = False
    points[~valid] = -1
    return Surface(points, normals_of(points, valid), valid, (CELL, CELL), Path("plane"))


@pytest.fixture
def ramp() -> np.ndarray:
    """A volume whose value is y + 100 * (x > 30)."""
    _, y, x = np.indices((290, 40, 70))
    return (y + 100 * (x > 30)).astype(np.uint8)


def test_each_depth_is_a_layer_and_each_volume_a_channel(plane, ramp, tmp_path):
    prob = np.full(ramp.shape, np.nan, np.float32)
    prob[:, 10:25] = 0.5
    how = Flattening(Offsets(-3, 4))
    flatten_surface(plane, {"ct": Source(ramp), "prob": Source(prob)}, how, tmp_path, 7.91)
    flat = open_map(tmp_path / "flat.zarr", "")[:]
    assert flat.shape == (2, 7, *plane.canvas_shape())
    sign = float(plane.normals[0, 0, 1])
    assert abs(sign) == 1
    np.testing.assert_array_equal(flat[0, :, 50, 5], 20 + sign * np.arange(-3, 4))
    np.testing.assert_array_equal(flat[0, :, 50, 40], 120 + sign * np.arange(-3, 4))
    np.testing.assert_array_equal(flat[1, :, 50, 5], 0.5)
    receipt = read_receipt(tmp_path, "")
    assert receipt["channels"] == ["ct", "prob"] and receipt["axes"] == "czyx"


def test_what_nobody_predicted_is_not_zero_but_uncovered(plane, tmp_path):
    prob = np.zeros((290, 40, 70), np.float32)
    prob[:, :, 40:] = np.nan
    prob[:, 21:, 20:40] = np.nan
    flatten_surface(plane, {"p": Source(prob)}, Flattening(Offsets(-2, 3), reduce="max"), tmp_path, None)
    coverage = open_map(tmp_path / "coverage.zarr", "")[0]
    assert coverage[10, 5] == 1  # a true 0
    assert coverage[10, 25] == pytest.approx(
        0.6, abs=1e-3
    )  # two or three of five depths, whichever way the normal points
    assert coverage[10, 40] == 0  # predicted by nobody
    assert coverage[31 * 4, 6 * 4] == 0  # a hole in the surface
    assert coverage[-1, 5] == 0  # beyond the last grid point


def test_a_stopped_run_goes_on_and_ends_in_the_same(plane, ramp, tmp_path):
    how = Flattening(Offsets(-3, 4), reduce="mean", pixel_vox=1)
    flatten_surface(plane, {"ct": Source(ramp)}, how, tmp_path / "whole", 7.91)

    class Stopping:
        """Breaks off after 140 rows' worth of the volume."""

        shape, dtype = ramp.shape, ramp.dtype

        def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
            if box[0].stop > 200:
                raise KeyboardInterrupt
            return ramp[box]

    with pytest.raises(KeyboardInterrupt):
        flatten_surface(plane, {"ct": Source(Stopping())}, how, tmp_path / "cut", 7.91)  # type: ignore[arg-type]
    assert not (tmp_path / "cut" / "flat.zarr").exists()
    flatten_surface(plane, {"ct": Source(ramp)}, how, tmp_path / "cut", 7.91)
    for name in ("flat.zarr", "coverage.zarr"):
        np.testing.assert_array_equal(
            open_map(tmp_path / "cut" / name, "")[:], open_map(tmp_path / "whole" / name, "")[:]
        )


def test_pooling_passes_over_what_is_not_there():
    values = np.array([[0.2, np.nan, np.nan], [0.6, 0.4, np.nan]], np.float32)[:, None]
    flat, coverage = pooled(values, "max")
    np.testing.assert_allclose(flat[0, 0], [0.6, 0.4, 0])
    np.testing.assert_allclose(coverage[0, 0], [1, 0.5, 0])
    flat, _ = pooled(values, "mean")
    np.testing.assert_allclose(flat[0, 0], [0.4, 0.4, 0])


def test_normals_turned_round_are_flattened_anew_into_the_same_folder(plane, ramp, tmp_path):
    ahead, behind = [], []
    for surface, found in ((plane, ahead), (plane.flipped(), behind)):
        flatten_surface(surface, {"ct": Source(ramp)}, Flattening(Offsets(-3, 4)), tmp_path, 7.91)
        found.append(open_map(tmp_path / "flat.zarr", "")[:])
    np.testing.assert_array_equal(behind[0], ahead[0][:, ::-1])
    assert (behind[0] != ahead[0]).any()


def test_a_prediction_made_again_is_flattened_anew(plane, ramp, tmp_path):
    for key, value in (("first", 0.25), ("second", 0.75)):
        folder = tmp_path / "prob"
        remove(folder / "prob.zarr")
        create_ome_zarr(folder / "prob.zarr", ramp.shape, "float32", (64,) * 3, 7.91)[:] = value
        write_receipt(folder, key)
        prob = {"p": Source(open_volume(folder / "prob.zarr"))}
        flatten_surface(plane, prob, Flattening(Offsets(-1, 2), reduce="mean"), tmp_path / "flat", 7.91)
        assert open_map(tmp_path / "flat" / "flat.zarr", "")[0, 0, 50, 5] == pytest.approx(value)


def test_white_in_a_16_bit_scan_is_not_infinite(plane, ramp, tmp_path):
    white = np.full(ramp.shape, 65535, np.uint16)
    flatten_surface(plane, {"ct": Source(white)}, Flattening(Offsets(-1, 2)), tmp_path, 7.91)
    assert open_map(tmp_path / "flat.zarr", "")[0, 1, 50, 5] == 65504
