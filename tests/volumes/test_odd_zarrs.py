"""Zarrs that are given or left in odd ways: a level by its own path, metadata of two states, links that lead nowhere."""

import json
import shutil

import numpy as np
import pytest
import zarr
from foreign_images import VOXELS, halves, image, moves, one

from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.viewing.layers import look_at
from scroll.volumes import open_volume
from scroll.volumes.chunk_files import MOST_JSON_BYTES


@pytest.fixture
def pyramid(tmp_path):
    """A cut-out that begins at 20, 40, 60, with voxels of 8 um."""
    begin, halved = [160.0, 320.0, 480.0], halves(VOXELS, 2, 2, 2)
    return image(tmp_path / "s.zarr", [VOXELS, halved], [moves([8.0] * 3, begin), moves([16.0] * 3, begin)])


@pytest.mark.parametrize(("level", "step"), [("0", 1.0), ("1", 2.0)])
def test_a_level_given_by_its_own_path_lies_where_its_pyramid_says(pyramid, level, step):
    volume = open_volume(pyramid / level)
    assert (volume.place.begin, volume.place.step) == ((20.0, 40.0, 60.0), (step,) * 3)
    assert (volume.voxel_um, volume.path) == (8.0 * step, pyramid / level)
    shown = look_at(pyramid / level)
    assert (shown.steps_um, shown.first_um) == ([(8.0 * step,) * 3], (160.0, 320.0, 480.0))


def test_voxels_that_are_no_cubes_are_shown_as_they_are(tmp_path):
    assert look_at(one(tmp_path / "s.zarr", [32.0, 8.0, 4.0])).steps_um == [(32.0, 8.0, 4.0)]


def test_an_array_beside_a_pyramid_that_does_not_name_it_is_an_array_of_its_own(pyramid):
    zarr.create_array(pyramid / "mask", data=VOXELS, zarr_format=2)
    assert open_volume(pyramid / "mask", 8.0).place.begin == (0.0, 0.0, 0.0)


def test_levels_of_differing_types_are_refused(tmp_path):
    path = image(
        tmp_path / "s.zarr", [VOXELS, halves(VOXELS, 2, 2, 2).astype(np.uint8)], [moves([8.0] * 3), moves([16.0] * 3)]
    )
    with pytest.raises(InputError, match="level 1 holds uint8, level 0 uint16"):
        look_at(path)


def test_a_copy_of_metadata_that_was_not_renewed_counts_for_nothing(tmp_path):
    group = zarr.create_group(tmp_path / "s_8.0um.zarr", zarr_format=3)
    group.create_array("0", data=VOXELS)
    zarr.consolidate_metadata(group.store)
    shutil.rmtree(tmp_path / "s_8.0um.zarr/0")
    zarr.create_array(tmp_path / "s_8.0um.zarr/0", data=VOXELS[:5])
    assert open_volume(tmp_path / "s_8.0um.zarr").shape == (5, *VOXELS.shape[1:])


@pytest.mark.parametrize("part", ["image", "array"])
def test_metadata_of_two_formats_that_contradict_each_other_are_both_named(tmp_path, part):
    one(tmp_path / "s.zarr", [8.0] * 3)
    new = zarr.create_group(tmp_path / "new.zarr", zarr_format=3)
    new.create_array("0", data=VOXELS if part == "image" else VOXELS[1:])
    entry = json.loads((tmp_path / "s.zarr/.zattrs").read_text())["multiscales"][0]
    if part == "image":
        entry["datasets"][0]["coordinateTransformations"] = moves([9.0] * 3)
    new.attrs["ome"] = {"version": "0.5", "multiscales": [{**entry, "version": "0.5"}]}
    shutil.copytree(tmp_path / "new.zarr", tmp_path / "s.zarr", dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"\.z(group|array) \(Zarr v2\) and .*zarr\.json \(v3\) say different volumes"):
        open_volume(tmp_path / "s.zarr")


@pytest.mark.parametrize("lost", ["c/0/0/0", "c/0", "c"])
def test_a_chunk_that_is_a_dead_link_is_no_emptiness(tmp_path, lost):
    zarr.create_array(tmp_path / "s.zarr", data=VOXELS, chunks=(4, 12, 16))
    place = tmp_path / "s.zarr" / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to("/not/fetched")
    with pytest.raises(InputError, match=rf"{place}: leads to /not/fetched, which is not there"):
        open_volume(tmp_path / "s.zarr", 8.0)[0]


def test_metadata_that_are_a_dead_link_or_of_hundreds_of_megabytes_are_named(tmp_path):
    path = one(tmp_path / "s.zarr", [8.0] * 3)
    with (path / ".zattrs").open("r+b") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    with pytest.raises(InputError, match=rf"\.zattrs: {MOST_JSON_BYTES + 1} bytes of metadata; expected at most"):
        open_volume(path)
    (path / ".zattrs").unlink()
    (path / ".zattrs").symlink_to("/not/fetched")
    with pytest.raises(InputError, match=r"\.zattrs: leads to /not/fetched"):
        open_volume(path)


@pytest.mark.parametrize(
    ("scale", "message"), [([3.24] * 3, "says voxels of 3.24 um"), ([32.0, 8.0, 8.0], "expected cubes")]
)
def test_a_fragment_in_a_zarr_has_the_voxels_that_its_own_scale_says(tmp_path, scale, message):
    path = one(tmp_path / "a.zarr", scale)
    with pytest.raises(InputError, match=message):
        _ = Fragment("a", path, DataSettings(root=tmp_path)).pixel_um
    if scale[0] == scale[1]:
        assert Fragment("a", path, DataSettings(root=tmp_path, voxel_um=3.24)).pixel_um == 3.24


def test_a_fragment_whose_name_says_another_size_is_refused_while_the_default_is_set(tmp_path):
    np.save(tmp_path / "a-3.24um.npy", VOXELS)
    with pytest.raises(InputError, match=r"name says voxels of 3\.24 um, data\.voxel_um is 7\.91, its default"):
        _ = Fragment("a", tmp_path / "a-3.24um.npy", DataSettings(root=tmp_path)).volume


def test_a_shape_of_more_voxels_than_can_be_counted_is_refused(tmp_path):
    path = one(tmp_path / "s.zarr", [8.0] * 3)
    about = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps({**about, "shape": [10**10] * 3}))
    with pytest.raises(InputError, match=r"says .* voxels; expected at most"):
        look_at(path)


@pytest.mark.parametrize("message", ["3.24 um", "0.00324 mm", [3.24, 3.24, 3.24]])
def test_a_size_written_as_text_with_a_unit_or_for_each_axis_is_read(tmp_path, message):
    zarr.create_array(tmp_path / "s.zarr", data=VOXELS)
    (tmp_path / "s.zarr/meta.json").write_text(json.dumps({"voxelsize": message}))
    assert open_volume(tmp_path / "s.zarr").voxel_um == 3.24
