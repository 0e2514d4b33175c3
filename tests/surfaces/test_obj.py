"""Meshes with UV: drawn onto the grid where they belong, whatever the file's numbering, winding or units of UV."""

import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_sheets import cylinder, on_a_quad, plane, traced, whole_quads
from surface_writers import write_obj

from scroll.errors import InputError
from scroll.surfaces import obj, open_surface

# a right triangle of 8 x 8 voxels in the plane z = 5, its corner (x 10, y 20) at the top left of the picture
CORNER = "v 10 20 5\nv 18 20 5\nv 10 28 5\nvt 0 1\nvt 1 1\nvt 0 0\n"


def opened(path, text, cell_vox=4.0):
    path.write_text(text)
    return obj.open(path, cell_vox)


def quiet(path, cell_vox=4.0):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return obj.open(path, cell_vox)


def test_a_triangle_covers_the_grid_points_in_it_and_on_its_edges(tmp_path):
    surface = opened(tmp_path / "s.obj", CORNER + "f 1/1 2/2 3/3\n")
    assert surface.shape == (3, 3) and surface.cell_vox == (4.0, 4.0)
    np.testing.assert_array_equal(surface.valid, [[1, 1, 1], [1, 1, 0], [1, 0, 0]])
    i, j = np.nonzero(surface.valid)
    np.testing.assert_allclose(surface.points[i, j], np.stack([i * 0 + 5, 20 + 4 * i, 10 + 4 * j], -1), atol=1e-5)
    assert (surface.points[~surface.valid] == -1).all()
    np.testing.assert_allclose(surface.normals[0, 0], (1, 0, 0), atol=1e-6)  # columns with x, rows with y: up z


@pytest.mark.parametrize(
    "face",
    [
        "f 1/1 2/2 3/3", "f 1/1/1 2/2/1 3/3/1", "f 1/1/ 2/2/ 3/3/", "f -3/-3 -2/-2 -1/-1", "f -3/1/-1 2/-2/1 3/3",
        "f 3/3 2/2 1/1", "f  1/1\t2/2   3/3  ", "f 1/1 \\\n 2/2 3/3", "usemtl ink\ns off\ng a b\nf 1/1 2/2 3/3 # end",
    ],
)  # fmt: skip
def test_a_face_may_be_written_in_many_ways(tmp_path, face):
    expected = opened(tmp_path / "s.obj", CORNER + "f 1/1 2/2 3/3\n")
    text = f"# comment\nmtllib s.mtl\no sheet\n{CORNER}vn 0 0 1\n{face.replace(' # end', '')}\n"
    surface = opened(tmp_path / "t.obj", text)
    np.testing.assert_array_equal(surface.valid, expected.valid)
    np.testing.assert_allclose(surface.points, expected.points, atol=1e-5)
    np.testing.assert_allclose(surface.normals, expected.normals, atol=1e-6)


def test_negative_indices_count_from_where_the_face_stands(tmp_path):
    first = CORNER + "f -3/-3 -2/-2 -1/-1\n"
    more = "v 18 28 5\nvt 1 0\nf -3/-3 -1/-1 -2/-2\n"
    surface = opened(tmp_path / "s.obj", first + more)
    assert surface.valid.all()
    np.testing.assert_allclose(surface.points[2, 2], (5, 28, 18), atol=1e-5)


def test_a_polygon_is_a_fan_of_triangles(tmp_path):
    text = CORNER + "v 18 28 5\nvt 1 0\nf 1/1 2/2 4/4 3/3\n"
    surface = opened(tmp_path / "s.obj", text)
    assert surface.valid.all()
    i, j = np.indices((3, 3))
    np.testing.assert_allclose(surface.points, np.stack([i * 0 + 5, 20 + 4 * i, 10 + 4 * j], -1), atol=1e-5)


def test_further_numbers_of_a_vertex_are_passed_over(tmp_path):
    text = "v 10 20 5 0.1 0.2 0.3\nv 18 20 5 1.0\nv 10 28 5\nvt 0 1 0\nvt 1 1\nvt 0 0\nf 1/1 2/2 3/3\n"
    assert opened(tmp_path / "s.obj", text).valid.sum() == 6


def mesh_text(points, uv, faces, normals=()):
    """A mesh of grid points (H, W, 3) z, y, x with its own uv (H, W, 2)."""
    lines = [f"v {x!r} {y!r} {z!r}" for z, y, x in points.reshape(-1, 3).astype(float).tolist()]
    lines += [f"vt {u!r} {v!r}" for u, v in uv.reshape(-1, 2).astype(float).tolist()]
    lines += [f"vn {x!r} {y!r} {z!r}" for z, y, x in np.array(normals).tolist()]
    lines += [
        "f " + " ".join(f"{k + 1}/{k + 1}" + (f"/{k + 1}" if len(normals) else "") for k in face) for face in faces
    ]
    return "\n".join(lines) + "\n"


def quads(shape):
    k = np.arange(np.prod(shape)).reshape(shape)
    return np.stack([k[:-1, :-1], k[:-1, 1:], k[1:, 1:], k[1:, :-1]], axis=-1).reshape(-1, 4).tolist()


def picture_uv(shape):
    i, j = np.indices(shape)
    return np.stack([j / (shape[1] - 1), 1 - i / (shape[0] - 1)], axis=-1)


@pytest.mark.parametrize(
    "units",
    [
        lambda uv: uv,  # shares of a picture that is not square
        lambda uv: uv * (30 * 4, 10 * 4),  # pixels
        lambda uv: uv * (30 * 4, 10 * 4) + (-70, 1000),  # pixels from anywhere
        lambda uv: uv * (3000, 1000),  # any unit
    ],
    ids=["shares", "pixels", "moved", "other"],
)
def test_a_cell_is_measured_in_voxels_whatever_the_units_of_uv(tmp_path, units):
    shape = (11, 31)
    points = cylinder(shape)
    (tmp_path / "s.obj").write_text(mesh_text(points, units(picture_uv(shape)), quads(shape)))
    same = quiet(tmp_path / "s.obj", 4.0)
    assert same.shape == shape and same.cell_vox == pytest.approx((4, 4), rel=1e-4)
    np.testing.assert_allclose(same.points, points, atol=1e-4)
    finer = quiet(tmp_path / "s.obj", 1.0)
    assert finer.shape == (41, 121) and finer.cell_vox == pytest.approx((1, 1), rel=1e-4)
    np.testing.assert_allclose(finer.points[::4, ::4], points, atol=1e-4)
    np.testing.assert_allclose(finer.points[::4, 2::4], (points[:, :-1] + points[:, 1:]) / 2, atol=1e-4)


def test_a_picture_larger_than_its_sheet_keeps_its_edges(tmp_path):
    shape = (11, 31)
    (tmp_path / "s.obj").write_text(
        mesh_text(plane(shape), 0.5 * picture_uv(shape), quads(shape))
    )  # the lower left quarter
    surface = quiet(tmp_path / "s.obj")
    assert surface.shape == (21, 61)
    expected = np.zeros((21, 61), bool)
    expected[10:, :31] = True
    np.testing.assert_array_equal(surface.valid, expected)


@pytest.mark.parametrize("wind", [1, -1])
@pytest.mark.parametrize("mirrored", [False, True])
def test_normals_are_those_of_the_grid_whatever_the_winding(tmp_path, wind, mirrored):
    shape = (11, 31)
    points, uv = cylinder(shape), picture_uv(shape)
    if mirrored:
        uv[..., 0] = 1 - uv[..., 0]
    (tmp_path / "s.obj").write_text(mesh_text(points, uv, [face[::wind] for face in quads(shape)]))
    surface = quiet(tmp_path / "s.obj")
    outward = surface.points[..., 1:] - (200.0, 300.0)
    cosines = (surface.normals[..., 1:] * outward).sum(axis=-1) / np.linalg.norm(outward, axis=-1)
    assert (cosines > 0.99).all() if not mirrored else (cosines < -0.99).all()


def test_normals_in_the_file_that_point_the_other_way_are_reported_with_their_share(tmp_path):
    shape = (11, 31)
    points = cylinder(shape)
    outward = (points - (0, 200, 300)) * (0, 1, 1)
    for sign, uv in ((1, picture_uv(shape)), (-1, picture_uv(shape) * (-1, 1) + (1, 0))):
        text = mesh_text(points, uv, quads(shape), sign * outward.reshape(-1, 3))
        (tmp_path / "s.obj").write_text(text)
        quiet(tmp_path / "s.obj")
        (tmp_path / "s.obj").write_text(mesh_text(points, uv, quads(shape), -sign * outward.reshape(-1, 3)))
        with pytest.warns(UserWarning, match=r"normals point against dP/dcolumn x dP/drow on 100\.0% of its triangles"):
            open_surface(tmp_path / "s.obj")


def test_triangles_mirrored_or_over_one_another_in_uv_are_reported(tmp_path):
    shape = (5, 9)
    uv = picture_uv(shape)
    uv[:, 5:] = uv[:, 3::-1]  # folded back on itself along column 4
    (tmp_path / "s.obj").write_text(mesh_text(plane(shape), uv, quads(shape)))
    with pytest.warns(UserWarning) as caught:
        obj.open(tmp_path / "s.obj", 1.5)
    output_text = " ".join(str(warning.message) for warning in caught)
    assert "32 of 64 triangles are mirrored in UV" in output_text and "triangles overlap in UV" in output_text


def test_a_hole_in_the_mesh_is_a_hole_in_the_grid(tmp_path):
    shape = (6, 7)
    faces = [face for k, face in enumerate(quads(shape)) if k not in (8, 9)]
    (tmp_path / "s.obj").write_text(mesh_text(plane(shape), picture_uv(shape), faces))
    finer = quiet(tmp_path / "s.obj", 2.0)
    expected = np.ones((11, 13), bool)
    expected[3, 5:8] = False  # the quads at row 1, columns 2 and 3
    np.testing.assert_array_equal(finer.valid, expected)


# refusals


@pytest.mark.parametrize(
    ("text", "output_text"),
    [
        ("", r"holds no face"),
        (CORNER, r"holds no face"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", r"1 of 1 triangles have no UV \(vt\); .* flatten it first"),
        (CORNER + "f 1//1 2//1 3//1\n", r"have no UV"),
        (CORNER + "f 1/1 2/2 3\n", r"1 of 1 triangles have no UV"),
        (CORNER + "f 1/1 2/2\n", r"line 7, 'f 1/1 2/2': expected a face of three corners"),
        (CORNER + "f 1/1 2/2 4/3\n", r"names v 4 of 3"),
        (CORNER + "f 1/1 2/2 3/4\n", r"names vt 4 of 3"),
        (CORNER + "f 1/1/1 2/2/1 3/3/1\n", r"names vn 1 of 0"),
        (CORNER + "f 0/1 2/2 3/3\n", r"line 7, .*expected indices from 1"),
        (CORNER + "f -4/1 2/2 3/3\n", r"line 7, .*expected indices from 1"),
        (CORNER + "f 1/1/1/1 2/2 3/3\n", r"line 7, .*expected corners such as"),
        (CORNER + "f a/b 2/2 3/3\n", r"line 7, 'f a/b 2/2 3/3'"),
        (CORNER + f"f {'9' * 30}/1 2/2 3/3\n", r"line 7"),
        (CORNER + f"f {'9' * 9999}/1 2/2 3/3\n", r"line 7"),
        ("v 1 2\n" + CORNER, r"line 1, 'v 1 2': expected 3 numbers"),
        ("v 1 2 z\n" + CORNER, r"line 1, 'v 1 2 z'"),
        ("vt 1\n" + CORNER, r"line 1, 'vt 1': expected 2 numbers"),
        (CORNER.replace("18 20", "nan 20") + "f 1/1 2/2 3/3\n", r"v 2 is .*expected finite numbers"),
        (CORNER.replace("18 20", "1e30 20") + "f 1/1 2/2 3/3\n", r"v 2 is .*up to 1e\+09"),
        (CORNER.replace("vt 1 1", "vt inf 1") + "f 1/1 2/2 3/3\n", r"vt 2 is .*expected finite numbers"),
        (CORNER.replace("vt 1 1", "vt 0 1") + "f 1/1 2/2 3/3\n", r"no triangle has an area both in UV and in space"),
        (CORNER.replace("v 18 20 5", "v 10 20 5") + "f 1/1 2/2 3/3\n", r"no triangle has an area both in .* space"),
        (CORNER.replace("v 18 20 5", "v 90000000 20 5") + "f 1/1 2/2 3/3\n", r"grid of .*larger cell_vox"),
        (CORNER.replace("vt 1 1", "vt 1e-9 1") + "f 1/1 2/2 3/3\n", r"grid of 3 x 2e\+09; .*larger cell_vox"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_that_says_why(tmp_path, text, output_text):
    (tmp_path / "s.obj").write_text(text)
    try:
        surface = open_surface(tmp_path / "s.obj")
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        with pytest.raises(InputError, match=output_text):
            open_surface(tmp_path / "s.obj")
        return
    pytest.fail(f"opened as {surface.shape}")


@pytest.mark.parametrize("cell", [0, -1, float("nan"), float("inf")])
def test_a_cell_that_is_no_length_is_refused(tmp_path, cell):
    with pytest.raises(InputError, match="cell_vox"):
        opened(tmp_path / "s.obj", CORNER + "f 1/1 2/2 3/3\n", cell)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), st.integers(0, 1500))
def test_damage_is_one_line(tmp_path_factory, changes, cut):
    content = bytearray(mesh_text(plane((4, 5)), picture_uv((4, 5)), quads((4, 5)), np.ones((20, 3))).encode())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("o") / "s.obj"
    path.write_bytes(bytes(content[: max(0, len(content) - cut)]))
    assert is_in_the_box_of_its_vertices_or_says_why(path)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["v 1 2 3", "v 9 1e8 -4", "v 0 0 0", "vt 0 0", "vt 1 1", "vt 0.5 7e8", "vt -1 0.2", "vn 0 0 1", "f 1/1 2/2 3/3",
             "f 1/3 2/1 3/2 1/1", "f -1/-1 -2/-2 -3/-3", "f 1 2 3", "f", "v", "\\", "f 1/1/1 2/2/1 3/3/1", "#", "vt nan 0"]
        ),
        max_size=25,
    )
)  # fmt: skip
def test_lines_in_any_order_are_a_surface_or_one_line(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("o") / "s.obj"
    path.write_text("\n".join(lines))
    assert is_in_the_box_of_its_vertices_or_says_why(path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500))
def test_any_bytes_are_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("o") / "s.obj"
    path.write_bytes(content)
    assert opened_or_says_why(path) is None


def is_in_the_box_of_its_vertices_or_says_why(path):
    surface = opened_or_says_why(path)
    if surface is None:
        return True
    points, vertices = surface.points[surface.valid], np.array(list(vertices_in(path.read_bytes())))
    near = 1e-4 * (1 + np.abs(vertices).max())
    low, high = vertices.min(axis=0) - near, vertices.max(axis=0) + near
    return bool(len(points) and ((points >= low) & (points <= high)).all())


def vertices_in(content):
    """Every (z, y, x) that a `v` line may say, with lines that end in a backslash joined to the next and not."""
    for text in (content, content.replace(b"\\\n", b" ")):
        for words in map(bytes.split, text.split(b"\n")):
            if words[:1] == [b"v"] and len(words) > 3:
                with suppress(ValueError):
                    yield [float(word) for word in words[3:0:-1]]


def opened_or_says_why(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            surface = obj.open(path, 1e5)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 600 and str(path) in str(error)
        return None
    assert np.isfinite(surface.points).all() and surface.valid.shape == surface.shape
    return surface


# writing


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 20), st.integers(2, 30)), st.integers(0, 2**32 - 1), st.floats(0.5, 1),
    st.tuples(st.floats(0.5, 99), st.floats(0.5, 99)), st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_any_grid_is_read_back_as_it_was_where_it_has_whole_quads(tmp_path_factory, shape, seed, share, cell, dtype):
    rng = np.random.default_rng(seed)
    valid = rng.random(shape) < share
    valid[:2, :2] = True
    surface = traced((rng.random((*shape, 3)) * 1000).astype(dtype), cell, valid)  # rough as no sheet is
    path = tmp_path_factory.mktemp("o") / "s.obj"
    write_obj(surface, path)
    again = open_surface(path)
    assert again.shape == shape and again.cell_vox == cell
    expected = on_a_quad(valid)
    np.testing.assert_array_equal(again.valid, expected)
    np.testing.assert_allclose(again.points[expected], surface.points[expected], rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 20), st.integers(2, 30)), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.5, 4.0, 20.0]),
    st.floats(0.5, 1), st.sampled_from([np.float32, np.float64]), st.sampled_from(["plane", "cylinder"]),
)  # fmt: skip
def test_an_even_grid_is_found_again_without_the_note(tmp_path_factory, shape, seed, cell, share, dtype, kind):
    valid = np.random.default_rng(seed).random(shape) < share
    if not whole_quads(valid).any():
        valid[:2, :2] = True
    points = (
        plane(shape, (cell, cell), slope=0.4, dtype=dtype)
        if kind == "plane"
        else cylinder(shape, cell, 60.0, dtype=dtype)
    )
    surface = traced(points, cell, valid)
    path = tmp_path_factory.mktemp("o") / "s.obj"
    write_obj(surface, path)
    again = quiet(path, cell)
    assert again.shape == shape and again.cell_vox == pytest.approx((cell, cell), rel=1e-3)
    expected = on_a_quad(valid)
    np.testing.assert_array_equal(again.valid, expected)
    np.testing.assert_allclose(again.points[expected], surface.points[expected], atol=1e-4)


def test_a_sheet_of_many_strips_is_read_back(tmp_path):
    valid = np.random.default_rng(1).random((600, 40)) < 0.9
    surface = traced(cylinder((600, 40), 4.0, 60.0), 4.0, valid)
    write_obj(surface, tmp_path / "s.obj")
    again = open_surface(tmp_path / "s.obj")
    expected = on_a_quad(valid)
    np.testing.assert_array_equal(again.valid, expected)
    np.testing.assert_allclose(again.points[expected], surface.points[expected], atol=1e-4)


def test_a_note_of_the_grid_that_is_none_is_passed_over(tmp_path):
    write_obj(traced(plane((3, 4)), 4.0), tmp_path / "s.obj")
    note, rest = (tmp_path / "s.obj").read_text().split("\n", 1)
    for wrong in ("1 rows", "0 rows", "x rows", "99999999999 rows", "-3 rows"):
        (tmp_path / "s.obj").write_text(note.replace("3 rows", wrong) + "\n" + rest)
        assert open_surface(tmp_path / "s.obj").shape == (3, 4)
    (tmp_path / "s.obj").write_text(note.replace("3 rows", "999999999 rows") + "\n" + rest)
    with pytest.raises(InputError, match="a grid of 1e\\+09 x 4"):
        open_surface(tmp_path / "s.obj")


def test_the_lines_are_those_of_volume_cartographer(tmp_path):
    valid = np.array([[1, 1, 1], [1, 1, 0]], bool)
    write_obj(traced(plane((2, 3)), 4.0, valid), tmp_path / "s.obj")
    lines = (tmp_path / "s.obj").read_text().splitlines()
    kinds = [line.split()[0] for line in lines]
    assert lines.pop(0) == "# scroll surface: 2 rows, 3 columns, cells of 4.0 x 4.0 voxels" and kinds.pop(0) == "#"
    assert kinds == ["v"] * 5 + ["vt"] * 5 + ["vn"] * 5 + ["f"] * 2
    assert lines[0] == "v 30 20 10" and lines[1] == "v 34 20 10"
    assert lines[5:10] == ["vt 0 1", "vt 0.5 1", "vt 1 1", "vt 0 0", "vt 0.5 0"]
    assert lines[15:] == ["f 1/1/1 2/2/2 4/4/4", "f 2/2/2 5/5/5 4/4/4"]


def test_faces_are_wound_to_look_along_the_normals(tmp_path):
    surface = traced(cylinder((4, 9)), 4.0)
    write_obj(surface, tmp_path / "s.obj")
    words = [line.split() for line in (tmp_path / "s.obj").read_text().splitlines()]
    vertices = np.array([list(map(float, w[1:])) for w in words if w[0] == "v"])
    for word in (w for w in words if w[0] == "f"):
        a, b, c = vertices[[int(corner.split("/")[0]) - 1 for corner in word[1:]]]
        outward = (a + b + c) / 3 - (300, 200, 0)
        assert np.cross(b - a, c - a) @ (outward * (1, 1, 0)) > 0


@pytest.mark.parametrize("valid", [np.zeros((3, 4)), np.eye(3, 4)])
def test_a_surface_without_a_whole_quad_is_no_mesh(tmp_path, valid):
    with pytest.raises(InputError, match="no four neighbouring points are valid"):
        write_obj(traced(plane((3, 4)), 4.0, valid), tmp_path / "s.obj")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_could_not_be_read_again_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.obj"):
        write_obj(traced(plane((2, 3)), 4.0), tmp_path / "s.mesh")
