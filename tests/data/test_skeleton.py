"""The skeleton of a label: by hand, inside what is known, and of sheets in a volume."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, label

from scroll.data.sample import skeleton_tube

EIGHT = np.ones((3, 3))


def test_a_bar_of_five_rows_keeps_three():
    """Its middle line, thickened by one, but for the ends, where the line runs into a corner."""
    bar = np.zeros((9, 17), bool)
    bar[2:7, 1:16] = True
    middle = skeleton_tube(bar, np.zeros_like(bar))[:, 4:12]
    assert middle[3:6].all() and middle.sum() == 3 * 8


@given(arrays(bool, (12, 12)), arrays(bool, (12, 12)))
def test_the_tube_lies_in_the_known_label_and_leaves_no_piece_of_it_out(target, ignore):
    tube, known = skeleton_tube(target, ignore), target & ~ignore
    assert not (tube & ~known).any()
    pieces, count = label(known, EIGHT)
    assert len(np.unique(pieces[tube])) == count
    assert label(tube, EIGHT)[1] == count  # and none falls apart


@given(arrays(bool, (3, 8, 8)), arrays(bool, (3, 8, 8)))
def test_a_volume_is_the_union_of_its_slices(target, ignore):
    by_slice = np.stack([skeleton_tube(*pair) for pair in zip(target, ignore, strict=True)])
    assert (skeleton_tube(target, ignore) == by_slice).all()


def test_of_a_wavy_sheet_across_the_slices_the_middle_surface_is_left():
    z, _, x = np.indices((12, 40, 40))
    y = np.indices((12, 40, 40))[1]
    off_middle = np.abs(y - 20 - 5 * np.sin((x + z) / 8))
    sheet = off_middle < 5
    tube = skeleton_tube(sheet, np.zeros_like(sheet))
    inner = tube[:, :, 6:-6]  # the ends of a skeleton run into corners
    assert inner.any(axis=1).all(), "the surface has no hole"
    assert (off_middle[:, :, 6:-6][inner] < 3.5).all()
    assert 0.2 < tube.sum() / sheet.sum() < 0.5


def test_a_soft_label_is_cut_at_one_half():
    target = np.full((5, 9), 0.4, np.float32)
    target[1:4] = 0.6
    nothing = np.zeros(target.shape, bool)
    assert (skeleton_tube(target, nothing) == skeleton_tube(target > 0.5, nothing)).all()
    assert not skeleton_tube(np.minimum(target, 0.4), nothing).any()


def test_the_tube_is_thin_where_the_label_is_wide():
    """No voxel of it is nearer to the border than the middle is, but for the one-voxel coat and the ends."""
    disc = np.hypot(*(np.indices((31, 31)) - 15)) < 12
    depth = distance_transform_edt(disc)
    tube = skeleton_tube(disc, np.zeros_like(disc))
    assert tube.sum() < 0.1 * disc.sum()
    assert depth[tube].max() > 10
