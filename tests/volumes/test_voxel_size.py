"""How large a voxel is: believed where it is written, never made up."""

import json

import numpy as np
import pytest
import zarr
from volume_stores import write_layers

from scroll.errors import InputError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.voxel_size import recorded_voxel_um

NAMES = {
    "20230210143520-2.400um-0.2m-78keV-masked.zarr": 2.4,
    "54keV_7.91um_Scroll1A.zarr": 7.91,
    "7.91um": 7.91,
    "8um.tif": 8.0,
    "scroll-3.24um.npy": 3.24,
    "Scroll1A.zarr": None,
    "54keV_um": None,
    "0um_x": None,
    "7.91umbra": None,
    "scan7.91um": None,  # a number glued to a word is no size
    "from-7.91um-to-2.4um": None,  # two sizes: which?
    "20230210143520": None,
}


@pytest.mark.parametrize(("name", "voxel_um"), NAMES.items())
def test_a_size_in_the_name_is_found(name, voxel_um):
    assert recorded_voxel_um((), name) == voxel_um


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("meta.json", {"voxelsize": 3.24}),
        ("meta.json", {"voxelsize": "3.24"}),
        ("metadata.json", {"scan": {"voxelsize": 3.24}}),
    ],
)
def test_a_size_beside_the_data_counts_more_than_the_name(tmp_path, file, content):
    (tmp_path / file).write_text(json.dumps(content))
    assert recorded_voxel_um((tmp_path,), "54keV_7.91um") == 3.24


@pytest.mark.parametrize("content", [{}, {"voxelsize": None}, {"voxelsize": -1}, {"scan": 5}, []])
def test_json_without_a_size_leaves_the_name_to_tell(tmp_path, content):
    (tmp_path / "meta.json").write_text(json.dumps(content))
    (tmp_path / "metadata.json").write_text(json.dumps(content))
    assert recorded_voxel_um((tmp_path,), "54keV_7.91um") == 7.91


def test_json_that_is_none_is_refused(tmp_path):
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(InputError, match=r"meta\.json"):
        recorded_voxel_um((tmp_path,), "")


def test_a_fragment_lends_its_size_to_its_stack(tmp_path):
    write_layers(tmp_path / "frag" / "layers", np.zeros((2, 3, 4), np.uint8))
    (tmp_path / "frag" / "meta.json").write_text('{"voxelsize": 3.24}')
    assert open_volume(tmp_path / "frag").voxel_um == 3.24


def foreign_zarr(path, scale, unit="micrometer", levels=2):
    """An OME-Zarr 0.4 as many writers make it: level n has `scale` * 2**n."""
    axes = [{"name": name, "type": "space", **({"unit": unit} if unit else {})} for name in "zyx"]
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [s * 2**n for s in scale]}]}
        for n in range(levels)
    ]
    attributes = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}
    group = zarr.create_group(path, zarr_format=2, attributes=attributes)
    for n in range(levels):
        group.create_array(str(n), shape=[8 // 2**n] * 3, dtype="u1", chunks=(4, 4, 4))
    return path


def test_the_scales_1_2_4_are_no_voxel_size_and_one_is_warned(tmp_path):
    with pytest.warns(UserWarning, match=r"scroll\.zarr: nothing tells the voxel size"):
        volume = open_volume(foreign_zarr(tmp_path / "scroll.zarr", (1.0, 1.0, 1.0)))
    assert volume.voxel_um is None


@pytest.mark.parametrize(
    ("scale", "unit", "voxel_um"),
    [((7.91,) * 3, "micrometer", 7.91), ((2400.0,) * 3, "nanometer", 2.4), ((0.008,) * 3, "millimeter", 8.0)],
)
def test_a_scale_with_a_unit_is_a_voxel_size(tmp_path, recwarn, scale, unit, voxel_um):
    path = foreign_zarr(tmp_path / "scroll.zarr", scale, unit)
    assert open_volume(path).voxel_um == pytest.approx(voxel_um)
    assert ome_zarr.open(path, level=1).voxel_um == pytest.approx(2 * voxel_um)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("scale", "unit"), [((7.91,) * 3, None), ((7.91, 3.0, 3.0), "micrometer"), ((5.0,) * 3, "parsec")]
)
def test_a_scale_without_unit_or_uneven_is_not_believed(tmp_path, scale, unit):
    with pytest.warns(UserWarning, match="nothing tells"):
        assert open_volume(foreign_zarr(tmp_path / "s.zarr", scale, unit)).voxel_um is None


def test_the_name_of_a_zarr_counts_at_every_level(tmp_path, recwarn):
    path = foreign_zarr(tmp_path / "x-2.400um-0.2m.zarr", (1.0, 1.0, 1.0))
    assert [ome_zarr.open(path, level=level).voxel_um for level in (0, 1)] == [2.4, 4.8]
    assert not recwarn.list


def test_a_flattened_stack_that_halves_only_y_and_x_keeps_its_voxels_along_z(tmp_path):
    path = foreign_zarr(tmp_path / "scaled_8um.zarr", (1.0, 1.0, 1.0))
    entry = zarr.open_group(path, mode="r").attrs["multiscales"][0]
    entry["datasets"][1]["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    zarr.open_group(path, mode="r+").attrs["multiscales"] = [entry]
    bare = zarr.create_group(tmp_path / "bare_8um.zarr", zarr_format=2)
    bare.create_array("0", shape=(5, 8, 8), dtype="u1")
    bare.create_array("1", shape=(5, 4, 4), dtype="u1")
    for name in ("scaled_8um.zarr", "bare_8um.zarr"):
        assert ome_zarr.open(tmp_path / name, level=1).voxel_um == 8.0


def test_our_own_zarr_keeps_even_a_voxel_of_exactly_one(tmp_path, recwarn):
    ome_zarr.create_ome_zarr(tmp_path / "a.zarr", (2, 3, 4), "u1", (2, 2, 2), voxel_um=1.0)
    assert open_volume(tmp_path / "a.zarr").voxel_um == 1.0
    assert not recwarn.list


@pytest.mark.parametrize("voxel_um", [0.0, -7.91, float("nan"), float("inf")])
def test_a_given_size_that_is_no_length_is_refused(tmp_path, voxel_um):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InputError, match="voxel_um"):
        open_volume(tmp_path / "a.npy", voxel_um=voxel_um)
