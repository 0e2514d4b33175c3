"""A ready layer stack is a surface of its own, and `open_surface` finds out what is at a path."""

import pickle
import shutil

import numpy as np
import pytest
import tifffile
from known_sheets import plane, traced
from surface_writers import write_obj, write_ppm

from scroll.errors import InputError, MissingInputError
from scroll.surfaces import open_surface
from scroll.surfaces.geometry import check_surface, measure
from scroll.surfaces.layer_stack import layer_stack_surface
from scroll.surfaces.surface import normals_of
from scroll.surfaces.tifxyz import write_tifxyz
from scroll.volumes import ome_zarr
from tests.peak_memory import with_peak_bytes


@pytest.mark.parametrize(("layers", "middle"), [(65, 32), (64, 32), (1, 0)])
def test_its_sheet_is_the_middle_layer_and_depth_grows_with_the_layers(layers, middle):
    surface = layer_stack_surface((layers, 7, 9))
    i, j = np.indices((7, 9))
    points = np.asarray(surface.points)
    np.testing.assert_array_equal(points, np.stack([i * 0 + middle, i, j], axis=-1))
    assert np.asarray(surface.valid).all() and surface.cell_vox == (1.0, 1.0) and surface.canvas_shape() == (7, 9)
    np.testing.assert_array_equal(np.asarray(surface.normals), np.broadcast_to([1, 0, 0], (7, 9, 3)))
    np.testing.assert_array_equal(np.asarray(surface.normals), normals_of(points, np.asarray(surface.valid)))


def test_its_tiles_are_pixels_of_the_layers():
    tile = layer_stack_surface((65, 40, 50)).tile(slice(10, 12), slice(20, 23))
    np.testing.assert_array_equal(tile.points[..., 1], [[10] * 3, [11] * 3])
    np.testing.assert_array_equal(tile.points[..., 2], [[20, 21, 22]] * 2)
    assert tile.valid.all()
    coarse = layer_stack_surface((65, 40, 50)).tile(slice(0, 2), slice(0, 2), 4)
    assert coarse.points[1, 1].tolist() == [32, 5.5, 5.5]


def test_a_stack_of_any_size_costs_nothing():
    def cut():
        surface = layer_stack_surface((65, 80_000, 90_000))
        return surface, surface.tile(slice(79_990, None), slice(89_990, None))

    (surface, tile), peak = with_peak_bytes(cut)
    assert surface.points[-1, -1].tolist() == [32, 79_999, 89_999]
    assert tile.valid.all() and peak < 1e6
    assert len(pickle.dumps(surface)) < 1000


def test_its_geometry_is_beyond_doubt_and_measured_on_some_rows_of_many():
    shape = (65, 40_000, 30_000)
    geometry = check_surface(layer_stack_surface(shape), shape)
    assert geometry.spacing_vox == (1, 1) and geometry.outside == geometry.opposed == geometry.folded == 0
    assert geometry.bbox_zyx[0].tolist() == [32, 0, 0] and geometry.bbox_zyx[1].tolist() == [32, 39_999, 29_999]


def layers(folder, shape):
    folder.mkdir(parents=True)
    for number in range(shape[0]):
        tifffile.imwrite(folder / f"{number:02d}.tif", np.zeros(shape[1:], np.uint8))
    return folder


def test_a_folder_of_layers_a_fragment_and_a_zarr_are_opened_as_stacks(tmp_path):
    layers(tmp_path / "fragment" / "surface_volume", (5, 6, 7))
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (5, 6, 7), "u1", (4, 4, 4), 7.91)
    for path in (tmp_path / "fragment", tmp_path / "fragment" / "surface_volume", tmp_path / "s.zarr"):
        surface = open_surface(path)
        assert surface.shape == (6, 7) and surface.points[0, 0, 0] == 2 and surface.path == path


def test_a_scroll_volume_is_no_layer_stack(tmp_path):
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (64, 64, 80), "u1", (64, 64, 64), 7.91)
    with pytest.raises(InputError, match=r"a volume of 64 x 64 x 80 \(z, y, x\) is no layer stack"):
        open_surface(tmp_path / "s.zarr")


def test_each_carrier_is_known_by_what_it_is(tmp_path):
    surface = traced(plane((6, 8)), 4.0)
    write_tifxyz(surface, tmp_path / "sheet")
    write_obj(surface, tmp_path / "sheet.obj")
    write_ppm(surface, tmp_path / "sheet.PPM")
    for name in ("sheet", "sheet.obj"):
        for path in (tmp_path / name, str(tmp_path / name)):
            np.testing.assert_allclose(open_surface(path).points, surface.points, atol=1e-5)
    assert open_surface(tmp_path / "sheet.PPM").shape == (24, 32)


def test_a_segment_folder_with_layers_beside_its_tifxyz_is_opened_as_tifxyz(tmp_path):
    write_tifxyz(traced(plane((6, 8)), 4.0), tmp_path / "s")
    layers(tmp_path / "s" / "layers", (5, 24, 32))
    assert open_surface(tmp_path / "s").cell_vox == (4.0, 4.0)
    shutil.rmtree(tmp_path / "s" / "layers")
    (tmp_path / "s" / "z.tif").unlink()
    with pytest.raises(MissingInputError, match=r"z\.tif: not there"):  # and not taken for something else
        open_surface(tmp_path / "s")


def test_what_is_not_there_unknown_or_on_a_server_is_one_line(tmp_path):
    with pytest.raises(MissingInputError, match="not there; expected a surface"):
        open_surface(tmp_path / "s")
    (tmp_path / "s.txt").write_text("v 1 2 3")
    (tmp_path / "empty").mkdir()
    for name in ("s.txt", "empty"):
        with pytest.raises(InputError, match=r"not a surface .*tifxyz folder.*\.ppm.*\.obj.*layer stack") as error:
            open_surface(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="surfaces are read from disk"):
        open_surface("https://example.org/segments/s.obj")


def test_a_volume_that_is_as_it_says_has_nothing_torn(tmp_path):
    layers(tmp_path / "layers", (3, 5, 6))
    geometry = measure(open_surface(tmp_path / "layers"), (3, 5, 6))
    assert geometry.torn == 0 and geometry.valid == 1
