"""Where voxels lie and how large they are: what a file says is honoured, and what it leaves open or says twice is named."""

import itertools
import json
import pickle
import warnings

import numpy as np
import pytest
import tifffile
import zarr
from foreign_images import UM, VOXELS, halves, image, moves, one

from scroll.errors import InputError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.voxel_size import recorded_voxel_um, unit_um


def quiet_um(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ome_zarr.open(path, **options).voxel_um


@pytest.mark.parametrize(
    ("unit", "scale", "um"),
    [
        ("um", 7.91, 7.91), ("\u00b5m", 7.91, 7.91), ("\u03bcm", 7.91, 7.91), ("micrometre", 7.91, 7.91), ("Micron", 7.91, 7.91),
        ("nm", 2400, 2.4), ("nanometre", 2400, 2.4), ("angstrom", 24000, 2.4), ("mm", 0.00791, 7.91), ("millimetre", 0.008, 8.0),
        ("m", 7.91e-6, 7.91), ("nanometer", 1.0, None), ("angstrom", 1.0, None), ("millimeter", 1.0, None), ("pixel", 7.91, None),
        ("nanometer", 2.0, None), ("Mm", 7.91, None), ("millimeter", 7.91, None),
    ],
)  # fmt: skip
def test_a_scale_is_a_size_in_any_spelling_of_its_unit_and_a_placeholder_is_none(tmp_path, unit, scale, um):
    axes = [{"name": axis, "type": "space", "unit": unit} for axis in "zyx"]
    assert quiet_um(one(tmp_path / "s.zarr", [scale] * 3, axes=axes)) == um


def test_each_axis_is_read_in_its_own_unit(tmp_path):
    units = {"z": "millimeter", "y": "um", "x": "nanometer"}
    axes = [{"name": axis, "unit": unit} for axis, unit in units.items()]
    volume = open_volume(one(tmp_path / "s.zarr", (0.00791, 7.91, 7910.0), axes=axes))
    assert (volume.voxel_um, volume.place.aspect) == (7.91, (1.0, pytest.approx(1), pytest.approx(1)))
    one(tmp_path / "half.zarr", [7.91] * 3, axes=[*UM[:2], {"name": "x"}])
    assert quiet_um(tmp_path / "half.zarr") is None


def test_outer_and_inner_scales_and_translations_are_done_one_after_the_other(tmp_path):
    path = one(
        tmp_path / "s.zarr", [2.0] * 3, (8.0, 0.0, 0.0), coordinateTransformations=moves([4.0] * 3, (16.0, 0, 0))
    )
    volume = open_volume(path)
    assert (volume.voxel_um, volume.place.begin) == (8.0, (6.0, 0.0, 0.0))  # (8 * 4 + 16) / 8


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (moves([1.0, 2.0]), "scale of level 0"), (moves([8.0, 0.0, 8.0]), "above 0"), (moves([8.0, -8.0, 8.0]), "above 0"),
        (moves([8.0, float("nan"), 8.0]), "above 0"), (moves([8.0] * 3, [1.0, 2.0]), "translation of level 0"),
        ([{"type": "rotation", "rotation": [[1]]}], "rotation"), ([{"type": "affine", "affine": [[1]]}], "affine"),
        ([{"type": "scale", "path": "s"}], "scale of level 0"), (["scale"], "type None"),
    ],
)  # fmt: skip
def test_a_transformation_that_cannot_be_done_is_refused_in_a_line(tmp_path, wrong, named):
    image(tmp_path / "s.zarr", [VOXELS], [wrong])
    with pytest.raises(InputError, match=named) as error:
        open_volume(tmp_path / "s.zarr")
    assert "\n" not in str(error.value)


STEPS = ((2, 2, 2), (1, 2, 2), (4, 4, 4), (3, 3, 3), (1, 1, 2))


@pytest.mark.parametrize(("steps", "has_scale"), itertools.product(STEPS, (True, False)))
def test_the_step_of_each_axis_comes_from_scales_or_from_shapes(tmp_path, steps, has_scale):
    big = np.zeros((37, 41, 60), np.uint8)  # lengths that no step divides: coarser ones are rounded up here
    scales = [moves([8.0] * 3), moves([8.0 * step for step in steps])] if has_scale else [[], []]
    path = image(tmp_path / "s_8um.zarr", [big, halves(big, *steps)], scales)
    volume = ome_zarr.open(path, level=1)
    assert volume.place.step == steps
    assert volume.voxel_um == 8.0 * steps[0]
    assert pickle.loads(pickle.dumps(volume)).place == volume.place


def test_levels_whose_lengths_are_rounded_down_are_known_too(tmp_path):
    path = image(
        tmp_path / "s_8um.zarr", [np.zeros((37, 41, 60), np.uint8), np.zeros((18, 20, 30), np.uint8)], [[], []]
    )
    assert ome_zarr.open(path, level=1).place.step == (2, 2, 2)


def test_shapes_without_a_whole_step_and_without_a_scale_are_refused(tmp_path):
    path = image(tmp_path / "s_8um.zarr", [np.zeros((60,) * 3, np.uint8), np.zeros((40,) * 3, np.uint8)], [[], []])
    with pytest.raises(InputError, match="no whole step"):
        ome_zarr.open(path, level=1)


def test_a_scale_and_a_shape_that_differ_are_both_named(tmp_path):
    path = image(
        tmp_path / "s.zarr",
        [np.zeros((48,) * 3, np.uint8), np.zeros((12,) * 3, np.uint8)],
        [moves([8.0] * 3), moves([16.0] * 3)],
    )
    with pytest.warns(
        UserWarning, match="by its scale level 1 has 1 voxel for 2 x 2 x 2 .* its shape 12 x 12 x 12 for 48 x 48 x 48"
    ):
        ome_zarr.open(path, level=1)


def test_levels_from_coarse_to_fine_and_levels_without_the_finest_are_refused(tmp_path):
    image(tmp_path / "back.zarr", [halves(VOXELS, 2, 2, 2), VOXELS], [moves([16.0] * 3), moves([8.0] * 3)])
    with pytest.raises(InputError, match="from fine to coarse"):
        ome_zarr.open(tmp_path / "back.zarr", level=1)
    group = zarr.create_group(tmp_path / "part.zarr", zarr_format=2)
    for name in "12":
        group.create_array(name, data=VOXELS)
    with pytest.raises(InputError, match="levels are 1, 2; expected level 0"):
        open_volume(tmp_path / "part.zarr")


@pytest.mark.parametrize(("shift", "late"), [(0.0, 0.0), (4.0, 0.0), (3.0, -0.125), (6.0, 0.25)])
def test_a_coarse_level_begins_with_the_finest_or_as_much_later_as_it_says(tmp_path, shift, late):
    """Voxels of 8 um: the centre of the mean of two is 4 um further in, and many leave that out."""
    path = image(
        tmp_path / "s.zarr", [VOXELS, halves(VOXELS, 2, 2, 2)], [moves([8.0] * 3), moves([16.0] * 3, [shift] * 3)]
    )
    assert ome_zarr.open(path, level=1).place.begin == (late,) * 3


def test_levels_that_begin_in_different_places_are_refused(tmp_path):
    path = image(
        tmp_path / "s.zarr", [VOXELS, halves(VOXELS, 2, 2, 2)], [moves([8.0] * 3, [800.0] * 3), moves([16.0] * 3)]
    )
    with pytest.raises(InputError, match="level 0 begins at 800 x 800 x 800, level 1 at 0 x 0 x 0"):
        ome_zarr.open(path, level=1)


@pytest.mark.parametrize(("begin", "found"), [(20.0, 20.0), (20.5, 20.0), (20.375, 20.0), (-3.0, -3.0), (20.3, 20.3)])
def test_a_cut_out_begins_with_a_whole_voxel_whether_corners_or_centres_are_counted(tmp_path, begin, found):
    assert (
        open_volume(one(tmp_path / "s.zarr", [8.0] * 3, [8.0 * begin] * 3)).place.begin == (pytest.approx(found),) * 3
    )


def test_files_beside_the_data_that_contradict_its_scale_are_both_named_and_a_given_size_decides(tmp_path):
    path = one(tmp_path / "s.zarr", [2.4] * 3)
    (path / "meta.json").write_text('{"voxelsize": 7.91}')
    with pytest.raises(
        InputError, match=r"meta\.json \(voxelsize\) says voxels of 7\.91 um, its scale says voxels of 2\.4 um"
    ):
        open_volume(path)
    assert [ome_zarr.open(path, expected_um=um).voxel_um for um in (2.4, 7.91)] == [2.4, 7.91]
    assert open_volume(path, voxel_um=3.0).voxel_um == 3.0
    (path / "meta.json").write_text('{"voxelsize": 2.401}')
    assert open_volume(path).voxel_um == 2.401


def detector(pixel_mm):
    return {"scan": {"tomo": {"acquisition": {"detector": {"samplePixelSize": pixel_mm}}}}}


@pytest.mark.parametrize(
    ("name", "metadata", "um"),
    [
        ("net-recto-2um-ps256.zarr", {"source": {"metadata": detector(0.002403)}}, 2.403),
        ("2023.zarr", detector("0.00791"), 7.91),
        ("m7-L2-th0.2.zarr", {"source": {"metadata": detector(0.0024)}}, None),
    ],
)
def test_the_published_metadata_tell_the_size_and_the_name_gives_way(tmp_path, name, metadata, um):
    path = one(tmp_path / name)
    (path / "metadata.json").write_text(json.dumps(metadata))
    assert quiet_um(path) == um


def test_a_name_that_says_another_size_than_the_scale_is_named(tmp_path):
    path = one(tmp_path / "net-2um-x.zarr", [2.4] * 3)
    with pytest.warns(UserWarning, match=r"name says voxels of 2 um, its scale 2\.4 um"):
        assert open_volume(path).voxel_um == 2.4


@pytest.mark.parametrize("name", ["scroll1_7_91um", "7_91um.zarr", "s-7-91um", "s_7p91um"])
def test_a_number_that_may_have_lost_its_point_is_no_size(name):
    assert recorded_voxel_um((), name) is None


def test_the_units_of_length_and_nothing_else():
    assert [unit_um(u) for u in ("", "s", "pixel", "parsec", "nm.", " um ")] == [None, None, None, None, 1e-3, 1.0]


@pytest.mark.parametrize(
    ("unit", "spacing", "pixel", "um"),
    [("um", 7.91, 7.91, 7.91), ("micron", 7.91, 7.91, 7.91), ("nm", 2400, 2400, 2.4), ("pixel", 7.91, 1, None), (None, 7.91, 7.91, None),
     ("um", 8, 4, None), ("um", 1, 1, None)],
)  # fmt: skip
def test_imagejs_spacing_counts_where_its_unit_is_stated(tmp_path, unit, spacing, pixel, um):
    about = {"axes": "ZYX", "spacing": spacing, **({"unit": unit} if unit else {})}
    tifffile.imwrite(tmp_path / "s.tif", VOXELS, imagej=True, metadata=about, resolution=(1 / pixel, 1 / pixel))
    assert quiet_tiff_um(tmp_path / "s.tif") == um


def quiet_tiff_um(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_volume(path).voxel_um
