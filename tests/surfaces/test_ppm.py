"""The per-pixel map: read without reading it, its header's liberties and traps, damage in one clear line."""

import pickle
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_sheets import cylinder, plane, traced
from PIL import Image
from surface_writers import write_ppm

from scroll.errors import InputError
from scroll.surfaces import open_surface
from scroll.surfaces.geometry import measure
from scroll.surfaces.surface import Surface
from tests.peak_memory import peak_bytes_until_refused, with_peak_bytes

HEADER = "width: {w}\nheight: {h}\ndim: 6\nordered: true\ntype: double\nversion: 1\n<>\n"


def header(h, w):
    return HEADER.format(h=h, w=w).encode()


def by_hand(path, values, head=None):
    """A map straight from its description: values (H, W, 6) x, y, z and a normal."""
    path.write_bytes((header(*values.shape[:2]) if head is None else head) + values.astype("<f8").tobytes())
    return path


def values_of(points, normals):
    return np.concatenate([points[..., ::-1], normals[..., ::-1]], axis=-1).astype(np.float64)


def some(shape=(4, 5), seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(*shape, 3))
    return values_of(rng.random((*shape, 3)) * 1e4, normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def test_a_pixel_is_x_y_z_and_its_normal_row_by_row_a_voxel_apart(tmp_path):
    values = some()
    surface = open_surface(by_hand(tmp_path / "s.ppm", values))
    assert surface.shape == (4, 5) and surface.cell_vox == (1.0, 1.0) and surface.canvas_shape() == (4, 5)
    np.testing.assert_array_equal(surface.points[...], values[..., 2::-1])
    np.testing.assert_allclose(surface.normals[...], values[..., :2:-1], atol=1e-15)
    assert surface.points[2, 3].tolist() == values[2, 3, :3][::-1].tolist()
    assert np.asarray(surface.valid).all()


def test_parts_are_sliced_as_the_whole_would_be(tmp_path):
    values = some((9, 11))
    surface = open_surface(by_hand(tmp_path / "s.ppm", values))
    whole = np.asarray(surface.points)
    for key in (
        (2, 3), (slice(1, 7, 2), slice(None)), (slice(None), -1), (Ellipsis, 0), (slice(6, 2, -1), 4, slice(0, 2)), slice(3, 3),
    ):  # fmt: skip
        np.testing.assert_array_equal(surface.points[key], whole[key])
    with pytest.raises(IndexError):
        surface.valid[9, 0]


@pytest.mark.parametrize("empty", [0.0, -1.0])
def test_pixels_of_nothing_but_0_or_minus_1_are_not_mapped(tmp_path, empty):
    values = some()
    values[1, 2] = empty
    values[3, 0, :3] = empty  # a place of zeros with a normal is a place
    valid = np.asarray(open_surface(by_hand(tmp_path / "s.ppm", values)).valid)
    assert not valid[1, 2] and valid.sum() == 19


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("has_mask", [False, True])
def test_values_that_are_not_finite_are_not_mapped_whatever_a_mask_says(tmp_path, bad, has_mask):
    values = some()
    values[1, 2, 4] = bad
    if has_mask:
        Image.new("L", (5, 4), 255).save(tmp_path / "s_mask.png")
    surface = open_surface(by_hand(tmp_path / "s.ppm", values))
    assert not surface.valid[1, 2] and np.asarray(surface.valid).sum() == 19
    assert (surface.points[1, 2] == -1).all() and (surface.normals[1, 2] == 0).all()


def test_the_mask_beside_it_decides(tmp_path):
    values = some()
    values[0, 0] = 0
    mask = np.random.default_rng(1).random((4, 5)) < 0.5
    mask[0, 0] = True
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "s_mask.png")
    np.testing.assert_array_equal(np.asarray(open_surface(by_hand(tmp_path / "s.ppm", values)).valid), mask)


@pytest.mark.parametrize("size", [(4, 5), (5, 5)])
def test_a_mask_of_another_size_or_no_picture_is_refused_when_it_is_needed(tmp_path, size):
    Image.new("L", size, 255).save(tmp_path / "s_mask.png")
    surface = open_surface(by_hand(tmp_path / "s.ppm", some()))
    with pytest.raises(InputError, match=r"s_mask\.png"):
        surface.valid[0, 0]
    (tmp_path / "s_mask.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"s_mask\.png"):
        open_surface(tmp_path / "s.ppm").points[0, 0]


def test_normals_are_made_unit_vectors_and_0_stays_0(tmp_path):
    values = some()
    values[..., 3:] *= 1e200
    values[0, 0, 3:] = 0
    normals = np.asarray(open_surface(by_hand(tmp_path / "s.ppm", values)).normals)
    assert (normals[0, 0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1).ravel()[1:], 1, atol=1e-12)


def test_a_map_of_terabytes_opens_at_once_and_gives_a_tile_for_its_bytes(tmp_path):
    height, width = 100_000, 150_000  # 720 GB, almost all of it a hole in the file
    path = tmp_path / "s.ppm"
    start = len(header(height, width))
    with path.open("wb") as file:
        file.write(header(height, width))
        file.seek(start + 48 * (width * 70_000 + 80_000))
        file.write(np.array([1.0, 2, 3, 0, 0, 2]).tobytes())
        file.truncate(start + 48 * height * width)
    tile, most = with_peak_bytes(lambda: open_surface(path).tile(slice(69_990, 70_010), slice(79_990, 80_010)))
    assert most < 2e6
    assert (
        tile.valid.sum() == 1
        and tile.points[10, 10].tolist() == [3, 2, 1]
        and tile.normals[10, 10].tolist() == [1, 0, 0]
    )


def test_a_surface_travels_to_another_process_without_its_values(tmp_path):
    surface = open_surface(by_hand(tmp_path / "s.ppm", some((40, 50))))
    Image.new("L", (50, 40), 255).save(tmp_path / "s_mask.png")
    np.asarray(surface.valid)
    parcel = pickle.dumps(surface)
    assert len(parcel) < 2000
    np.testing.assert_array_equal(pickle.loads(parcel).points[...], surface.points[...])


def test_its_geometry_can_be_measured(tmp_path):
    points = plane((60, 30), (1.0, 1.0), dtype=np.float64)
    normals = np.broadcast_to([1.0, 0, 0], points.shape)
    surface = open_surface(by_hand(tmp_path / "s.ppm", values_of(points, normals)))
    geometry = measure(surface)
    assert geometry.spacing_vox == pytest.approx((1, 1)) and geometry.bbox_zyx[1][1] == 79 and geometry.opposed == 0


# the header


@pytest.mark.parametrize(
    "head",
    [
        b"# a comment\n" + header(4, 5),
        b"width: 5\n   # another\nheight: 4\ncolour: papyrus\ndim: 6\nordered: true\ntype: double\nversion: 1\n<>\n",
        header(4, 5).replace(b"\n", b"\r\n"),
        header(4, 5).replace(b"version: 1\n", b""),
        b"type : double\n\ndim:6\nordered: TRUE\nheight:  4\nwidth: 5 \nnote: a: b\nsize: 20\n<>\n",
        b"#" + b"x" * 60_000 + b"\n" + header(4, 5),
    ],
    ids=["comment", "unknown key", "windows", "no version", "spaces", "long"],
)
def test_headers_may_differ_in_what_does_not_matter(tmp_path, head):
    values = some()
    surface = open_surface(by_hand(tmp_path / "s.ppm", values, head))
    np.testing.assert_array_equal(surface.points[...], values[..., 2::-1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dim: 6", "dim: 3", r"dim is 3; expected 6"),
        ("dim: 6\n", "", r"dim is not given; expected 6"),
        ("type: double", "type: float", r"type is float; expected double"),
        ("ordered: true", "ordered: false", r"ordered is false; expected true"),
        ("version: 1", "version: 2", r"version is 2; expected 1"),
        ("width: 5", "width: 0", r"width is 0; expected a number of pixels above 0"),
        ("width: 5", "width: -5", r"width is -5"),
        ("width: 5", "width: 5.0", r"width is 5\.0"),
        ("width: 5", "width: " + "9" * 5000, r"width is 9999"),
        ("height: 4\n", "", r"height is not given"),
        ("height: 4", "height: 999999999", r"bytes; expected 239999999\d+ for 999999999 rows of 5"),
        ("<>", "<", r"no line '<>' in the first"),
    ],
)
def test_what_does_matter_is_refused_by_name(tmp_path, old, new, message):
    path = by_hand(tmp_path / "s.ppm", some(), header(4, 5).decode().replace(old, new).encode())
    with pytest.raises(InputError, match=message) as error:
        open_surface(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("change", [-1, -48, -400, 1, 48])
def test_a_file_of_another_length_is_refused_with_both_lengths(tmp_path, change):
    path = by_hand(tmp_path / "s.ppm", some())
    right = path.stat().st_size
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    with pytest.raises(InputError, match=rf"{right + change} bytes; expected {right} for 4 rows of 5 pixels"):
        open_surface(path)


def test_a_netpbm_picture_is_distinguished_from_a_map(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "s.ppm")
    with pytest.raises(InputError, match="a Netpbm picture; expected a per-pixel map"):
        open_surface(tmp_path / "s.ppm")


def test_a_header_without_end_is_not_searched_for_through_gigabytes(tmp_path):
    with (tmp_path / "s.ppm").open("wb") as file:
        file.write(b"width: 5\n")
        file.truncate(200 * 2**30)
    message = r"no line '<>' in the first 65536 bytes"
    assert peak_bytes_until_refused(lambda: open_surface(tmp_path / "s.ppm"), message) < 1e6


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=5), st.integers(-100, 20))
def test_damaged_headers_and_cut_files_are_one_line(tmp_path_factory, changes, length):
    content = bytearray(header(4, 5) + some().tobytes())
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.mktemp("p") / "s.ppm"
    path.write_bytes(bytes(content[: len(content) + length]) if length < 0 else bytes(content) + b"\n" * length)
    try:
        surface = open_surface(path)
        assert np.isfinite(np.asarray(surface.points)).all() and np.isfinite(np.asarray(surface.normals)).all()
        assert length == 0 or changes
    except InputError as error:
        assert "\n" not in str(error) and (length != 0 or changes)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("p") / "s.ppm"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        open_surface(path)
    assert "\n" not in str(error.value)


# writing


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 20)), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]),
    st.floats(0, 1),
)  # fmt: skip
def test_a_grid_of_one_voxel_is_read_back_bit_for_bit(tmp_path_factory, shape, seed, dtype, share):
    rng = np.random.default_rng(seed)
    surface = traced((rng.random((*shape, 3)) * 1e4).astype(dtype), 1.0, rng.random(shape) < share)
    path = tmp_path_factory.mktemp("p") / "s.ppm"
    write_ppm(surface, path)
    again = open_surface(path)
    np.testing.assert_array_equal(np.asarray(again.valid), surface.valid)
    np.testing.assert_array_equal(np.asarray(again.points), surface.points.astype(np.float64))
    np.testing.assert_allclose(np.asarray(again.normals), surface.normals, atol=1e-7)
    (path.parent / "s_mask.png").unlink()  # what is not mapped can be told without the mask
    np.testing.assert_array_equal(np.asarray(open_surface(path).valid), surface.valid)


def test_a_coarser_grid_is_written_as_its_canvas(tmp_path):
    valid = np.ones((20, 30), bool)
    valid[7, 9] = False
    surface = traced(cylinder((20, 30)), 4.0, valid)
    write_ppm(surface, tmp_path / "s.ppm")
    again, tile = open_surface(tmp_path / "s.ppm"), surface.tile(slice(None), slice(None))
    assert again.shape == (80, 120) and again.cell_vox == (1.0, 1.0)
    np.testing.assert_array_equal(np.asarray(again.valid), tile.valid)
    np.testing.assert_array_equal(np.asarray(again.points), tile.points)
    np.testing.assert_allclose(np.asarray(again.normals), tile.normals, atol=1e-6)
    same = again.tile(slice(3, 60), slice(7, 90))
    np.testing.assert_array_equal(same.points, tile.points[3:60, 7:90])


def test_the_file_lies_as_volume_cartographer_expects(tmp_path):
    valid = np.array([[1, 1, 1], [1, 0, 1]], bool)
    surface = traced(plane((2, 3), (1.0, 1.0)), 1.0, valid)
    write_ppm(surface, tmp_path / "s.ppm")
    content = (tmp_path / "s.ppm").read_bytes()
    assert re.match(rb"width: 3\nheight: 2\ndim: 6\nordered: true\ntype: double\nversion: 1\n<>\n", content)
    values = np.frombuffer(content[content.index(b"<>\n") + 3 :], "<f8").reshape(2, 3, 6)
    assert values[0, 2].tolist() == [32.0, 20.0, 10.0, 0.0, 0.0, 1.0] and (values[1, 1] == 0).all()
    mask = np.asarray(Image.open(tmp_path / "s_mask.png"))
    np.testing.assert_array_equal(mask, np.where(valid, 255, 0))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.ppm", "s_mask.png"]


def test_a_write_that_fails_leaves_the_old_map_and_its_mask(tmp_path):
    good = traced(plane((200, 3), (1.0, 1.0)), 1.0)
    write_ppm(good, tmp_path / "s.ppm")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    broken = Surface(good.points, good.normals[:100], good.valid, (1.0, 1.0), good.path)
    with pytest.raises(ValueError, match="dimension"):
        write_ppm(broken, tmp_path / "s.ppm")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_name_that_could_not_be_read_again_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.ppm"):
        write_ppm(traced(plane((2, 3)), 4.0), tmp_path / "s.map")


def test_reading_and_writing_say_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = some()
        values[0, 0], values[1, 1, 2] = np.nan, 1e300
        surface = open_surface(by_hand(tmp_path / "s.ppm", values))
        write_ppm(surface, tmp_path / "t.ppm")
        assert np.asarray(open_surface(tmp_path / "t.ppm").valid).sum() == 18
