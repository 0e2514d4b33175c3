"""OME-Zarr of other versions and writers: axes, times and channels, images in folders, and chunks under other names."""

import json
import pickle

import numpy as np
import pytest
import zarr
from foreign_images import UM, VOXELS, moves, one

from scroll.errors import InputError
from scroll.volumes import open_volume


def named_axes(*names):
    return [{"name": name, "type": {"t": "time", "c": "channel"}.get(name, "space")} for name in names]


@pytest.mark.parametrize(("axes", "lead"), [("tczyx", (1, 1)), ("czyx", (1,)), ("tzyx", (1,))])
def test_one_time_and_one_channel_are_left_out(tmp_path, axes, lead):
    path = one(
        tmp_path / "s_8um.zarr", [1.0] * len(axes), axes=named_axes(*axes), array=VOXELS.reshape(*lead, *VOXELS.shape)
    )
    volume = open_volume(path)
    assert (volume.shape, volume.place.step) == (VOXELS.shape, (1, 1, 1))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(volume))[2:5, ::2, -3:], VOXELS[2:5, ::2, -3:])


def test_several_times_or_channels_are_refused_with_their_names(tmp_path):
    channels = one(tmp_path / "c.zarr", [1.0] * 4, axes=named_axes(*"czyx"), array=np.zeros((2, 4, 4, 4), np.uint8))
    zarr.open_group(channels, mode="r+").attrs["omero"] = {"channels": [{"label": "CT"}, {"label": "mask"}]}
    with pytest.raises(InputError, match=r"holds 2 channels \(CT, mask\); expected one"):
        open_volume(channels)
    one(tmp_path / "t.zarr", [1.0] * 4, axes=named_axes(*"tzyx"), array=np.zeros((3, 4, 4, 4), np.uint8))
    with pytest.raises(InputError, match="holds 3 times; expected one"):
        open_volume(tmp_path / "t.zarr")


def test_the_oldest_versions_name_no_axes_and_have_all_five(tmp_path):
    path = tmp_path / "s_8um.zarr"
    entry = {"version": "0.1", "datasets": [{"path": "0"}]}
    zarr.create_group(path, zarr_format=2, attributes={"multiscales": [entry]}).create_array(
        "0", data=VOXELS[None, None]
    )
    np.testing.assert_array_equal(open_volume(path)[:], VOXELS)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_that_an_array_gives_its_own_axes_are_heeded(tmp_path, zarr_format):
    for names, refused in (
        ("zyx", False),
        ("ZYX", False),
        ("xyz", True),
        ("zxy", True),
        (("dim_0", "dim_1", "dim_2"), False),
    ):
        path = tmp_path / f"{''.join(names)}_8um.zarr"
        options = {"dimension_names": [*names]} if zarr_format == 3 else {"attributes": {"_ARRAY_DIMENSIONS": [*names]}}
        zarr.create_array(path, data=VOXELS, zarr_format=zarr_format, **options)
        if refused:
            with pytest.raises(InputError, match=r"axes are .*; expected z, y, x"):
                open_volume(path)
        else:
            assert open_volume(path).shape == VOXELS.shape


def systems(path, transformations, outer=(), version="0.6"):
    """An OME-Zarr 0.6."""
    dataset = {"path": "0", "coordinateTransformations": transformations}
    entry = {
        "coordinateSystems": [{"name": "physical", "axes": UM}],
        "datasets": [dataset],
        "coordinateTransformations": [*outer],
    }
    group = zarr.create_group(path, zarr_format=3, attributes={"ome": {"version": version, "multiscales": [entry]}})
    group.create_array("0", data=VOXELS, dimension_names=[*"zyx"])
    return path


def test_version_06_is_known_by_its_coordinate_systems(tmp_path):
    ends = {"input": {"path": "0"}, "output": {"name": "physical"}}
    scale, shift = ({**move, **ends} for move in moves([7.91] * 3, [79.1, 0, 0]))
    volume = open_volume(
        systems(tmp_path / "a.zarr", [{"type": "sequence", "transformations": [scale, shift], **ends}])
    )
    assert (volume.voxel_um, volume.place.begin) == (7.91, (pytest.approx(10), 0, 0))
    for number, (transformations, outer) in enumerate(
        [([{"type": "affine", **ends}], ()), ([scale], [{"type": "rotation"}])]
    ):
        with pytest.raises(InputError, match=r"OME-Zarr 0\.6 with .*(affine|rotation)"):
            open_volume(systems(tmp_path / f"{number}.zarr", transformations, outer))
    with pytest.raises(InputError, match=r"version 0\.9; expected 0\.1 to 0\.6"):
        open_volume(systems(tmp_path / "b.zarr", [scale], version="0.9"))


def test_an_image_one_folder_down_is_found_and_several_are_named(tmp_path):
    top = zarr.create_group(tmp_path / "raw_8um.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    one(tmp_path / "raw_8um.zarr/0", [1.0] * 3)
    np.testing.assert_array_equal(open_volume(tmp_path / "raw_8um.zarr")[:], VOXELS)
    one(tmp_path / "raw_8um.zarr/1", [1.0] * 3)
    with pytest.raises(InputError, match=r"holds the images 0, 1; .*raw_8um\.zarr/0"):
        open_volume(tmp_path / "raw_8um.zarr")
    assert sorted(top.group_keys()) == ["0", "1"]


@pytest.mark.parametrize("renamed", ["{}.partial", "{}.part", "{}.crdownload"])
def test_a_chunk_of_which_half_a_download_lies_there_is_no_emptiness(tmp_path, renamed):
    path = tmp_path / "s_8um.zarr"
    zarr.create_array(
        path, data=VOXELS, chunks=(4, 4, 4), zarr_format=2, chunk_key_encoding={"name": "v2", "separator": "/"}
    )
    chunk = path / "1/2/3"
    chunk.rename(path / "1/2" / renamed.format("3"))
    volume = open_volume(path)
    np.testing.assert_array_equal(volume[:4], VOXELS[:4])
    with pytest.raises(InputError, match=r"3\.\w+ is; expected a whole chunk"):
        volume[:]


@pytest.mark.parametrize(("zarr_format", "separator"), [(2, "/"), (2, "."), (3, "/"), (3, ".")])
def test_chunks_under_another_separator_are_named(tmp_path, zarr_format, separator):
    path = tmp_path / "s_8um.zarr"
    name = "v2" if zarr_format == 2 else "default"
    zarr.create_array(
        path,
        data=VOXELS,
        chunks=(4, 4, 4),
        zarr_format=zarr_format,
        chunk_key_encoding={"name": name, "separator": separator},
    )
    about = path / (".zarray" if zarr_format == 2 else "zarr.json")
    content = json.loads(about.read_text())
    other = "/" if separator == "." else "."
    if zarr_format == 2:
        content["dimension_separator"] = other
    else:
        content["chunk_key_encoding"]["configuration"]["separator"] = other
    about.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no chunk as its metadata name them"):
        open_volume(path)


def test_an_empty_volume_and_one_with_strangers_beside_its_chunks_are_read(tmp_path):
    path = tmp_path / "s_8um.zarr"
    zarr.create_array(path, shape=(8, 8, 8), chunks=(4, 4, 4), dtype="u1", zarr_format=2)
    assert not open_volume(path)[:].any()
    zarr.open_array(path, mode="r+")[:4] = 7
    (path / "readme.txt").write_text("x")
    assert open_volume(path)[0, 0, 0] == 7


def test_channels_in_place_of_slices_are_refused_and_numbers_out_of_bounds_are_named(tmp_path):
    one(tmp_path / "c.zarr", [1.0] * 3, axes=named_axes(*"cyx"))
    with pytest.raises(InputError, match="holds 8 channels; expected one"):
        open_volume(tmp_path / "c.zarr")
    for number, moved in enumerate((moves([1e-320] * 3), moves([10**400, 1, 1]), moves([8.0] * 3, [1e308, 0, 0]))):
        one(tmp_path / f"{number}.zarr", coordinateTransformations=moved)
        with pytest.raises(InputError, match="expected 3 numbers"):
            open_volume(tmp_path / f"{number}.zarr")
