"""tifxyz: every trap of the format, what is written is what was there, and damage is one clear line."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from known_sheets import META, cylinder, plane, tifxyz_by_hand, traced

from scroll.errors import InputError, MissingInputError
from scroll.surfaces import open_surface
from scroll.surfaces.geometry import check_surface, measure
from scroll.surfaces.surface import Surface, normals_of
from scroll.surfaces.tifxyz import write_tifxyz

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tifxyz_pherc1218"
COLLAPSED = "seed-z9184-pherc1218"  # its columns lie 6 voxels apart where the scale says 64


def real_surfaces():
    if not REAL.is_dir():
        pytest.skip("the real tifxyz samples are not here: they lie in shared/data, beside the project")
    return sorted(REAL.iterdir())


def same(a, b):
    np.testing.assert_array_equal(np.asarray(a.points).view(np.uint32), np.asarray(b.points).view(np.uint32))
    np.testing.assert_array_equal(a.valid, b.valid)
    assert a.cell_vox == pytest.approx(b.cell_vox, rel=1e-12)


# reading


def test_a_pixel_is_a_vertex_in_x_y_z_and_scale_counts_cells_per_voxel_along_x_then_y(tmp_path):
    points = plane((3, 4), cell_vox=(4.0, 5.0))
    surface = open_surface(tifxyz_by_hand(tmp_path / "s", points))
    np.testing.assert_array_equal(surface.points, points)
    assert surface.points[2, 1].tolist() == [10.0, 28.0, 35.0]
    assert surface.cell_vox == (4.0, 5.0)  # [0.2, 0.25] is every 5 voxels along x, every 4 along y
    assert surface.canvas_shape() == (12, 20) and surface.path == tmp_path / "s"
    np.testing.assert_array_equal(surface.normals, normals_of(points, np.ones((3, 4), bool)))


@pytest.mark.parametrize("bad", [-1.0, 0.0, -5.0])
def test_a_vertex_with_z_of_zero_or_less_is_invalid_whatever_its_x_and_y(tmp_path, bad):
    points = plane((3, 4))
    points[1, 2, 0] = bad
    surface = open_surface(tifxyz_by_hand(tmp_path / "s", points))
    assert not surface.valid[1, 2] and surface.valid.sum() == 11
    assert (surface.points[1, 2] == -1).all() and (surface.normals[1, 2] == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_coordinate_that_is_not_finite_makes_a_vertex_invalid(tmp_path, bad, axis):
    points = plane((3, 4))
    points[1, 2, axis] = bad
    surface = open_surface(tifxyz_by_hand(tmp_path / "s", points))
    assert not surface.valid[1, 2] and surface.valid.sum() == 11 and (surface.points[1, 2] == -1).all()


def test_x_and_y_of_minus_one_alone_do_not_make_a_vertex_invalid(tmp_path):
    points = plane((3, 4))
    points[1, 2, 1:] = -1
    assert open_surface(tifxyz_by_hand(tmp_path / "s", points)).valid.all()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "f2", "f4", "f8", ">f4", ">u2"])
@pytest.mark.parametrize(
    "options",
    [{}, {"rowsperstrip": 2}, {"tile": (16, 32)}, {"tile": (16, 16), "compression": "lzw"}, {"compression": "zlib"}],
)
def test_any_number_type_tiled_or_in_strips_is_read(tmp_path, dtype, options):
    points = plane((19, 40), cell_vox=(3.0, 2.0))  # whole numbers below 128
    byteorder = {"byteorder": ">"} if dtype.startswith(">") else {}
    surface = open_surface(tifxyz_by_hand(tmp_path / "s", points, dtype=dtype, **byteorder, **options))
    np.testing.assert_array_equal(surface.points, points)
    assert surface.points.dtype == np.float32


def test_doubles_beyond_float32_are_no_place(tmp_path):
    points = plane((3, 4), dtype=np.float64)
    points[0, 0, 2] = 1e300
    assert open_surface(tifxyz_by_hand(tmp_path / "s", points, dtype=np.float64)).valid.sum() == 11


# mask.tif


def test_only_255_in_the_mask_keeps_a_vertex(tmp_path):
    mask = np.array([[255, 254, 0], [1, 255, 128]], np.uint8)
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "mask.tif", mask)
    surface = open_surface(folder)
    np.testing.assert_array_equal(surface.valid, mask == 255)
    assert (surface.points[mask < 255] == -1).all()


def test_a_finer_mask_keeps_a_vertex_only_if_all_its_pixels_do(tmp_path):
    mask = np.full((4, 9), 255, np.uint8)  # 2 x 3 pixels a vertex of a 2 x 3 grid
    mask[1, 5] = 254
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "mask.tif", mask)
    np.testing.assert_array_equal(open_surface(folder).valid, [[True, False, True], [True, True, True]])


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (1, 3), (5, 6), (4, 7)])
def test_a_mask_of_another_size_is_refused_not_ignored(tmp_path, size):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "mask.tif", np.full(size, 255, np.uint8))
    with pytest.raises(InputError, match=rf"mask\.tif: is {size[0]} x {size[1]} for a grid of 2 x 3"):
        open_surface(folder)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channel_0_of_a_mask_with_colours_decides(tmp_path, planar):
    mask = np.full((2, 3, 3), 255, np.uint8)
    mask[0, 1, 0], mask[1, 1, 1], mask[1, 2, 2] = 0, 0, 0
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    stored = mask if planar == "contig" else np.moveaxis(mask, -1, 0)
    tifffile.imwrite(folder / "mask.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(open_surface(folder).valid, mask[..., 0] == 255)


def test_a_mask_of_single_bits_keeps_where_it_is_set(tmp_path):
    mask = np.array([[1, 0, 1], [1, 1, 0]], bool)
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "mask.tif", mask)
    np.testing.assert_array_equal(open_surface(folder).valid, mask)


def test_a_mask_of_zeros_and_ones_which_would_keep_nothing_is_refused(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "mask.tif", np.ones((2, 3), np.uint8))
    with pytest.raises(InputError, match=r"mask\.tif: its highest value is 1, .* expected 255"):
        open_surface(folder)


# meta.json


@pytest.mark.parametrize(
    "scale",
    [
        None, [], [0.05], [0.05, 0.05, 0.05], 0.05, "0.05", ["0.05", "0.05"], [True, True], [float("nan"), 0.05],
        [0.05, float("inf")], [0, 0.05], [0.05, -0.05], [20, 20], [1.0001, 0.5], [1e-9, 0.05], [10**400, 0.05], {"x": 1},
    ],
)  # fmt: skip
def test_a_scale_that_is_none_is_refused_with_what_was_found(tmp_path, scale):
    meta = {key: value for key, value in META.items() if key != "scale"} | ({} if scale is None else {"scale": scale})
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)), meta)
    with pytest.raises(InputError, match=r"meta\.json: scale is .*expected \[sx, sy\] in cells per voxel") as error:
        open_surface(folder)
    assert "\n" not in str(error.value) and str(scale)[:20] in str(error.value)


def test_a_step_written_as_scale_is_refused_with_what_to_write(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)), META | {"scale": [20, 20]})
    with pytest.raises(InputError, match=r"if 20 is the step in voxels, write 0\.05"):
        open_surface(folder)


@pytest.mark.parametrize("scale", [[1, 1], [1.0, 0.5]])
def test_one_cell_a_voxel_is_allowed(tmp_path, scale):
    surface = open_surface(tifxyz_by_hand(tmp_path / "s", plane((2, 3)), META | {"scale": scale}))
    assert surface.cell_vox == (1 / scale[1], 1 / scale[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"scale": [0.05, 0.05]}',
        '{"format": "tifxy", "scale": [0.05, 0.05]}',
        "[]",
        "7",
        "null",
        "\x00",
        "[" * 99999,
    ],
)
def test_a_meta_json_that_is_broken_or_of_another_format_is_refused(tmp_path, text):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    (folder / "meta.json").write_text(text)
    with pytest.raises(InputError, match=r"meta\.json: ") as error:
        open_surface(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["x.tif", "y.tif", "z.tif", "meta.json"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    (folder / name).unlink()
    with pytest.raises(MissingInputError, match=rf"{name}: not there"):
        open_surface(folder)


def test_files_of_different_sizes_are_refused_with_their_sizes(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "z.tif", np.ones((3, 2), np.float32))
    with pytest.raises(InputError, match=r"x\.tif 2x3, y\.tif 2x3, z\.tif 3x2"):
        open_surface(folder)


def test_a_coordinate_in_colour_or_of_complex_numbers_is_refused(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)))
    tifffile.imwrite(folder / "z.tif", np.ones((2, 3), np.complex64))
    with pytest.raises(InputError, match=r"z\.tif: holds complex64"):
        open_surface(folder)


@pytest.mark.parametrize(
    "bbox", [[[0, 0, 0], [1, 1, 1]], [[30, 20, 10]], "none", [[30.0, 20.0, 12.5], [40.0, 24.0, 10.0]]]
)
def test_a_bbox_that_is_not_that_of_the_points_is_warned_about(tmp_path, bbox):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3)), META | {"bbox": bbox})
    with pytest.warns(UserWarning, match=r"bbox .* is not that of the points"):
        open_surface(folder)


def test_the_right_bbox_in_x_y_z_passes_in_silence_even_if_a_mask_takes_points_away(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((2, 3), (4.0, 5.0)), META | {"bbox": [[30, 20, 10], [40, 24, 10]]})
    tifffile.imwrite(folder / "mask.tif", np.array([[0, 0, 0], [0, 255, 0]], np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_surface(folder).valid.sum() == 1


# writing


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 2**32 - 1),
    st.tuples(st.floats(1, 200), st.floats(1, 200)), st.floats(0, 1),
)  # fmt: skip
def test_what_is_written_is_read_back_bit_for_bit(tmp_path_factory, shape, seed, cell, share):
    rng = np.random.default_rng(seed)
    points = (rng.random((*shape, 3)) * 10.0 ** rng.integers(-3, 6)).astype(np.float32)
    points[..., 0] = np.maximum(points[..., 0], 1e-6)
    surface = traced(points, cell, rng.random(shape) < share)
    path = tmp_path_factory.mktemp("s") / "sheet"
    write_tifxyz(surface, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not about the bbox either
        again = open_surface(path)
    same(again, surface)
    np.testing.assert_array_equal(again.normals, surface.normals)


def test_the_files_lie_as_volume_cartographer_expects(tmp_path):
    valid = np.ones((1100, 70), bool)
    valid[3, 4] = False
    write_tifxyz(
        traced(plane((1100, 70), (4.0, 5.0)), (4.0, 5.0), valid), tmp_path / "s", channels={"ink": valid.astype("u2")}
    )
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"x.tif", "y.tif", "z.tif", "ink.tif", "meta.json"}
    for name in ("x", "y", "z", "ink"):
        with tifffile.TiffFile(tmp_path / "s" / f"{name}.tif") as tiff:
            (page,) = tiff.pages
            assert page.compression.name == "LZW" and page.shape == (1100, 70)
            assert page.dtype == (np.uint16 if name == "ink" else np.float32)
            assert page.is_tiled and (page.tilelength, page.tilewidth) == (1024, 80)
        if name != "ink":
            assert tifffile.imread(tmp_path / "s" / f"{name}.tif")[3, 4] == -1
    meta = json.loads((tmp_path / "s/meta.json").read_text())
    assert meta["format"] == "tifxyz" and meta["type"] == "seg" and meta["uuid"] == "s" and meta["scale"] == [0.2, 0.25]
    assert meta["bbox"] == [[30.0, 20.0, 10.0], [30.0 + 69 * 5, 20.0 + 1099 * 4, 10.0]]
    assert meta["area_vx2"] == pytest.approx((1099 * 69 - 4) * 20.0)  # an invalid vertex takes its four quads


def test_the_area_is_that_of_the_sheet_not_of_its_grid(tmp_path):
    write_tifxyz(traced(cylinder((6, 30)) * 2, 4.0), tmp_path / "s")  # twice as large as its cells say
    area = json.loads((tmp_path / "s/meta.json").read_text())["area_vx2"]
    assert area == pytest.approx(5 * 29 * 8.0**2, rel=1e-4)


def test_a_surface_without_a_valid_point_has_no_bbox(tmp_path):
    surface = traced(plane((2, 3)), 4.0, np.zeros((2, 3)))
    write_tifxyz(surface, tmp_path / "s")
    assert "bbox" not in json.loads((tmp_path / "s/meta.json").read_text())
    same(open_surface(tmp_path / "s"), surface)


def test_points_that_the_format_takes_for_invalid_are_warned_about(tmp_path):
    points = plane((2, 3))
    points[0, 0, 0] = 0
    with pytest.warns(UserWarning, match=r"1 valid points have z <= 0"):
        write_tifxyz(traced(points, 4.0), tmp_path / "s")
    assert open_surface(tmp_path / "s").valid.sum() == 5


@pytest.mark.parametrize("cell", [(0.5, 4.0), (4.0, 20000.0), (float("nan"), 4.0)])
def test_cells_that_no_scale_can_tell_are_refused(tmp_path, cell):
    with pytest.raises(InputError, match=r"a cell is .* expected 1 to 10000"):
        write_tifxyz(traced(plane((2, 3)), cell), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("name", "shape"), [("z", (2, 3)), ("mask", (2, 3)), ("ink", (3, 2))])
def test_a_channel_that_would_break_the_format_is_refused(tmp_path, name, shape):
    with pytest.raises(InputError, match=rf"channel '{name}'"):
        write_tifxyz(traced(plane((2, 3)), 4.0), tmp_path / "s", channels={name: np.ones(shape)})


def test_an_old_surface_is_replaced_only_by_a_whole_new_one(tmp_path):
    good = traced(plane((2, 3)), 4.0)
    write_tifxyz(good, tmp_path / "s")
    broken = Surface(good.points[:1], good.normals, good.valid, (4.0, 4.0), good.path)  # cannot be cut
    broken = Surface(broken.points, broken.normals, np.ones((9, 9), bool), (4.0, 4.0), good.path)
    with pytest.raises(ValueError, match="shape"):
        write_tifxyz(broken, tmp_path / "s")
    same(open_surface(tmp_path / "s"), good)
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


# the real ones


def test_every_real_surface_is_read_and_written_back_bit_for_bit(tmp_path):
    for folder in real_surfaces():
        surface = open_surface(folder)
        write_tifxyz(surface, tmp_path / folder.name)
        same(open_surface(tmp_path / folder.name), surface)
        for name in ("x.tif", "y.tif", "z.tif"):
            theirs, ours = tifffile.imread(folder / name), tifffile.imread(tmp_path / folder.name / name)
            assert theirs.tobytes() == ours.tobytes() and ours.dtype == np.float32, folder.name


def test_the_bbox_of_every_real_surface_is_the_one_it_tells(tmp_path):
    for folder in real_surfaces():
        write_tifxyz(open_surface(folder), tmp_path / folder.name)
        ours, theirs = (
            json.loads((place / folder.name / "meta.json").read_text()) for place in (tmp_path, folder.parent)
        )
        assert ours["bbox"] == theirs["bbox"], folder.name
        low, high = measure(open_surface(folder)).bbox_zyx
        assert [low[::-1].tolist(), high[::-1].tolist()] == theirs["bbox"], folder.name


def test_the_spacing_of_real_surfaces_agrees_with_their_scale_but_for_a_collapsed_one_that_is_refused():
    for folder in real_surfaces():
        surface = open_surface(folder)
        assert surface.cell_vox == (64.0, 64.0)
        ratios = np.divide(measure(surface).spacing_vox, surface.cell_vox)
        if folder.name == COLLAPSED:
            assert 1.0 < ratios[0] < 1.2 and ratios[1] < 0.1
            with pytest.raises(InputError, match=r"columns are 6\.049 voxels apart .* cell says 64, a ratio of 0\.095"):
                check_surface(surface)
        else:
            assert (ratios > 0.6).all() and (ratios < 1.2).all(), (folder.name, ratios)
            check_surface(surface)
