"""A prediction of another program in the space of its scroll, and our own cut-outs."""

import warnings

import numpy as np
import pytest
import tifffile
from foreign_images import halves, image, moves, one

from scroll.errors import InputError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.related import place_among

SCROLL = np.zeros((96, 96, 96), np.uint8)


@pytest.mark.parametrize(
    ("array", "transformations", "step", "begin"),
    [
        (halves(SCROLL, 4, 4, 4), moves([9.6] * 3), 4, 0),
        (halves(SCROLL, 4, 4, 4), [], 4, 0),
        (halves(SCROLL, 4, 4, 4), moves([9.6] * 3, [3.6] * 3), 4, 0),
        (SCROLL[:40, :40, :40], moves([2.4] * 3, [48.0] * 3), 1, 20),
        (SCROLL[:10, :10, :10], moves([9.6] * 3, [51.6] * 3), 4, 20),
        (SCROLL[:10, :10, :10], moves([9.6] * 3, [48.0] * 3), 4, 20),
        (SCROLL, [], 1, 0),
    ],
)  # fmt: skip
def test_a_prediction_is_laid_into_its_scroll_by_scale_and_translation_or_by_shape(
    tmp_path, array, transformations, step, begin
):
    scroll = one(tmp_path / "ct.zarr", [2.4] * 3, array=SCROLL)
    path = image(tmp_path / "p_9um.zarr", [array], [transformations])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = place_among(open_volume(path), path, open_volume(scroll), scroll)
    assert (place.step, place.begin) == ((step,) * 3, (pytest.approx(begin),) * 3)


@pytest.mark.parametrize(
    ("array", "transformations", "named"),
    [
        (SCROLL[:40], moves([2.4] * 3), "a cut-out that says where it begins"),
        (SCROLL[:40], [], "neither the same nor that of a coarser level"),
        (SCROLL, moves([9.6] * 3), "beyond which it reaches"),
        (halves(SCROLL, 4, 4, 4), moves([2.4] * 3), "a cut-out that says where it begins"),
    ],
)
def test_a_prediction_whose_place_is_open_is_refused(tmp_path, array, transformations, named):
    scroll = one(tmp_path / "ct.zarr", [2.4] * 3, array=SCROLL)
    path = image(tmp_path / "p_2.4um.zarr", [array], [transformations])
    with pytest.raises(InputError, match=named):
        place_among(open_volume(path), path, open_volume(scroll), scroll)


def test_a_prediction_given_as_a_level_lies_where_that_level_does(tmp_path):
    scroll = one(tmp_path / "ct.zarr", [2.4] * 3, array=SCROLL)
    levels = [SCROLL[:40, :40, :40], halves(SCROLL, 2, 2, 2)[:20, :20, :20]]
    path = image(tmp_path / "p.zarr", levels, [moves([2.4] * 3, [48.0] * 3), moves([4.8] * 3, [49.2] * 3)])
    for level, step in (("0", 1.0), ("1", 2.0)):
        place = place_among(open_volume(path / level), path / level, open_volume(scroll), scroll)
        assert (place.step, place.begin) == ((step,) * 3, (pytest.approx(20),) * 3)


def test_a_prediction_whose_header_says_another_size_than_its_shape_is_refused(tmp_path):
    scroll = one(tmp_path / "ct.zarr", [2.4] * 3, array=SCROLL)
    spacing = {"axes": "ZYX", "spacing": 9.6, "unit": "um"}
    for name, array in (("fine", halves(SCROLL, 4, 4, 4)), ("wrong", SCROLL)):
        tifffile.imwrite(tmp_path / f"{name}.tif", array, imagej=True, resolution=(1 / 9.6, 1 / 9.6), metadata=spacing)
    fine, wrong = (tmp_path / f"{name}.tif" for name in ("fine", "wrong"))
    assert place_among(open_volume(fine), fine, open_volume(scroll), scroll).step == (4.0, 4.0, 4.0)
    with pytest.raises(InputError, match=r"says voxels of 9\.6 um, but by its shape .* they are 2\.4 um"):
        place_among(open_volume(wrong), wrong, open_volume(scroll), scroll)


def test_our_own_cut_out_says_where_it_begins_at_every_level(tmp_path):
    path = tmp_path / "prob.zarr"
    ome_zarr.create_ome_zarr(path, (16, 16, 16), "u1", (8, 8, 8), 8.0, begin_um=(160.0, 0.0, 80.0))[:] = 1
    ome_zarr.write_pyramid(path, 2)
    assert [ome_zarr.open(path, level=level).place.begin for level in (0, 1)] == [(20, 0, 10)] * 2
