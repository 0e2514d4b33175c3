"""Cubes as the surface competition lays them out: read voxel for voxel, and refused in one line where something is wrong."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_cubes import cubes_of, striped, write_cubes

import scroll.volumes.tiff.cube
from scroll.data.cube_index import BLOCK
from scroll.data.cubes import find_cubes, prepare, training_cubes
from scroll.errors import InputError, MissingInputError
from scroll.phantom.write import write_cube

SHAPE = (20, 36, 50)  # no axis a multiple of a block


def refusal(root, **changes) -> str:
    with pytest.raises(InputError) as caught:
        prepare(cubes_of(root, **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_phantom_cubes_are_read_voxel_for_voxel(data):
    cubes = training_cubes(data)
    assert [cube.id for cube in cubes] == [str(1_000_000 + n) for n in range(6)]
    assert {cube.volume_name for cube in cubes} == {"90000", "90001", "90002"}
    for cube in prepare(cubes):
        image, label = (tifffile.imread(path) for path in (cube.image, cube.label_path))
        middle, spread = cube.grey_scale
        whole = cube.patch((0, 0, 0), cube.shape)
        assert whole.shape == image.shape == cube.shape and whole.dtype == np.float32
        np.testing.assert_allclose(whole, np.clip((image - middle) / spread, -8, 8), rtol=1e-5, atol=1e-5)
        read = cube.label((0, 0, 0), cube.shape)
        assert (read.target == (label == 1)).all() and (read.ignore == (label == 2)).all()


def test_the_grey_scale_is_the_median_and_half_the_middle_of_the_values(data):
    for cube in training_cubes(data):
        low, middle, high = np.percentile(tifffile.imread(cube.image), (16, 50, 84))
        assert cube.grey_scale == pytest.approx((middle, (high - low) / 2), abs=2.5)  # a sample of the voxels


def test_labels_are_counted_block_by_block(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.choice(3, SHAPE, p=(0.5, 0.2, 0.3)).astype(np.uint8)
    write_cubes(tmp_path, {"a": label})
    index = cubes_of(tmp_path)[0].index
    assert index.known.shape == index.surface.shape == (2, 3, 4)
    for place in np.ndindex(index.known.shape):
        block = label[tuple(slice(n * BLOCK, (n + 1) * BLOCK) for n in place)]
        assert index.known[place] == (block != 2).sum() and index.surface[place] == (block == 1).sum()
    assert cubes_of(tmp_path)[0].index.known.dtype == np.uint16  # a full block is 4096


def test_what_hangs_over_repeats_the_edge_and_is_unknown(tmp_path):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    cube = cubes_of(tmp_path)[0]
    corner, size = (16, 30, 44), (16, 16, 16)
    patch, label = cube.patch(corner, size), cube.label(corner, size)
    z, y, x = (n - c for n, c in zip(SHAPE, corner, strict=True))  # what of the box is inside
    whole = cube.patch((0, 0, 0), SHAPE)
    np.testing.assert_array_equal(patch[:z, :y, :x], whole[16:, 30:, 44:])
    assert (patch[z:] == patch[z - 1]).all() and (patch[:, y:] == patch[:, y - 1 : y]).all()
    assert (patch[:, :, x:] == patch[:, :, x - 1 : x]).all()
    inside = np.zeros(size, bool)
    inside[:z, :y, :x] = True
    assert label.ignore[~inside].all() and not label.target[~inside].any()


def test_cubes_that_are_listed_but_not_there_are_left_out_and_counted(tmp_path, capsys):
    write_cubes(tmp_path, {name: striped(SHAPE) for name in "abcd"})
    (tmp_path / "train_images" / "b.tif").unlink()
    (tmp_path / "train_images" / "d.tif").unlink()
    assert [cube.id for cube in cubes_of(tmp_path)] == ["a", "c"]
    assert "2 of 4 cubes are not in train_images" in capsys.readouterr().out
    assert [cube.id for cube in cubes_of(tmp_path, train=["c"])] == ["c"]
    assert "b.tif: there is no such file" in refusal(tmp_path, train=["b"])
    assert "train.csv does not name it" in refusal(tmp_path, train=["z"])


def test_a_cube_without_a_label_is_named(tmp_path):
    write_cubes(tmp_path, {name: striped(SHAPE) for name in "abc"})
    (tmp_path / "train_labels" / "b.tif").unlink()
    assert "b.tif: not there (1 of 3 cubes have no label)" in refusal(tmp_path)
    assert [cube.id for cube in cubes_of(tmp_path, train=["a", "c"])] == ["a", "c"]


def test_a_label_of_another_shape_is_refused_with_both(tmp_path):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    write_cube(tmp_path / "train_labels" / "a.tif", striped((20, 36, 49)))
    message = refusal(tmp_path)
    assert "a.tif: is (20, 36, 49) (z, y, x)" in message and "is (20, 36, 50)" in message


@pytest.mark.parametrize("at", [(0, 0, 0), (19, 35, 49)])
def test_a_label_with_another_value_anywhere_is_refused(tmp_path, at):
    label = striped(SHAPE)
    label[at] = 255
    write_cubes(tmp_path, {"a": label})
    message = refusal(tmp_path)
    assert "train_labels/a.tif: holds values" in message and "2 unlabelled" in message
    assert refusal(tmp_path) == message  # the copy that was made on the way is not taken for a good one


@pytest.mark.parametrize("part", ["train_images", "train_labels"])
def test_a_truncated_file_is_refused(tmp_path, part):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    path = tmp_path / part / "a.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ") and "expected a whole TIFF" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,scroll\na,1\n", "row 2 has no id or no scroll_id"),
        ("id,scroll_id\na,1\na,2\n", "row 3 names cube 'a' again"),
        ("id,scroll_id\na,\n", "row 2 has no id or no scroll_id"),
        ("id,scroll_id\n", "names no cube"),
        ("", "names no cube"),
        (None, "train.csv: not there; expected train.csv (id, scroll_id)"),
        ("id,scroll_id\nq,1\n", "holds none of the 1 cubes"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, text, message):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    (tmp_path / "train.csv").unlink()
    if text is not None:
        (tmp_path / "train.csv").write_text(text)
    assert message in refusal(tmp_path)


def test_a_list_written_by_a_spreadsheet_is_read(tmp_path):
    write_cubes(tmp_path, {"7": striped(SHAPE)})
    (tmp_path / "train.csv").write_text("\ufeffscroll_id, id\r\n34117, 7\r\n", encoding="utf-8")
    cube = cubes_of(tmp_path)[0]
    assert (cube.id, cube.volume_name) == ("7", "34117")


def test_test_cubes_have_no_label_and_say_so(data):
    (cube,) = find_cubes(data.root, data, part="test")
    assert cube.patch((0, 0, 0), (8, 8, 8)).std() > 0 and cube.label_path is None
    with pytest.raises(MissingInputError, match="has no label"):
        cube.label((0, 0, 0), (8, 8, 8))


@pytest.mark.parametrize("part", ["train_images", "train_labels"])
def test_the_key_follows_either_file_and_a_changed_one_is_read_anew(tmp_path, part):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    (before,) = prepare(cubes_of(tmp_path))
    assert cubes_of(tmp_path)[0].key == before.key
    write_cube(tmp_path / part / "a.tif", striped(SHAPE, seed=3))
    (after,) = prepare(cubes_of(tmp_path))
    assert after.key != before.key
    if part == "train_labels":
        expected = striped(SHAPE, seed=3) == 1
        np.testing.assert_array_equal(after.label((0, 0, 0), SHAPE).target, expected)
        assert after.index.surface.sum() == expected.sum() != 0
    else:
        assert (after.patch((0, 0, 0), SHAPE) != before.patch((0, 0, 0), SHAPE)).any()


def test_a_cube_is_decoded_once_and_never_again(tmp_path, monkeypatch):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    prepare(cubes_of(tmp_path))
    monkeypatch.setattr(scroll.volumes.tiff.cube, "open", lambda path: pytest.fail(f"{path} was opened again"))
    (cube,) = prepare(cubes_of(tmp_path))
    assert cube.patch((0, 0, 0), SHAPE).shape == cube.label((0, 0, 0), SHAPE).target.shape == SHAPE


def test_a_working_copy_cut_off_by_something_else_is_made_anew(tmp_path):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    (cube,) = prepare(cubes_of(tmp_path))
    whole = cube.patch((0, 0, 0), SHAPE)
    os.truncate(cube.index.ct, 1000)
    with pytest.raises(MissingInputError, match="run the same command again"):
        cube.patch((0, 0, 0), SHAPE)
    (again,) = prepare(cubes_of(tmp_path))
    np.testing.assert_array_equal(again.patch((0, 0, 0), SHAPE), whole)


@pytest.mark.parametrize("part", ["ct", "label"])
def test_a_working_copy_that_was_changed_is_made_anew(tmp_path, part):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    first = prepare(cubes_of(tmp_path))[0].index
    copy = getattr(first, part)
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    again = prepare(cubes_of(tmp_path))[0].index
    assert getattr(again, part).read_bytes() == whole


@pytest.mark.slow
def test_many_cubes_are_looked_at_by_several_processes_alike(tmp_path, monkeypatch):
    write_cubes(tmp_path, {f"{n:02d}": striped((16, 16, 32), seed=n) for n in range(16)})
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    several = prepare(cubes_of(tmp_path))
    alone = prepare(cubes_of(tmp_path, cache_dir=tmp_path / "other"))
    assert [cube.id for cube in several] == sorted(cube.id for cube in several)
    for one, other in zip(several, alone, strict=True):
        assert "index" in one.__dict__  # it came back with what was found
        np.testing.assert_array_equal(one.index.surface, other.index.surface)
        assert one.grey_scale == other.grey_scale


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list open files")
def test_nothing_stays_open_however_many_cubes_are_read(tmp_path):
    write_cubes(tmp_path, {f"{n:02d}": striped((8, 8, 8)) for n in range(12)})
    cubes = prepare(cubes_of(tmp_path))
    before = len([*OPEN_FILES.iterdir()])
    patches = [cube.patch((0, 0, 0), (4, 4, 4)) + cube.label((0, 0, 0), (4, 4, 4)).target for cube in cubes]
    assert len(patches) == 12 and len([*OPEN_FILES.iterdir()]) == before


def test_a_cube_of_one_page_is_no_cube(tmp_path):
    write_cubes(tmp_path, {"a": striped(SHAPE)})
    tifffile.imwrite(tmp_path / "train_images" / "a.tif", np.zeros((8, 8), np.uint8))
    assert "a single 8x8 image" in refusal(tmp_path)
