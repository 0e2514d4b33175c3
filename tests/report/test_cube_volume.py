"""The bytes of a cube say what it holds, the pictures show it, the largest sheets have colours of their own, the budget is kept."""

import base64
import gzip
import io
from itertools import pairwise

import numpy as np
from PIL import Image

from scroll.report.cube_volume import Volume, neighbours, sheet_colours, volume_view
from scroll.report.pictures import SHEET_COLOURS


def cube(shape=(24, 30, 26)):
    """Three flat sheets of different size, one of them labelled; the last columns are unknown; the CT grows with z."""
    mask, label = np.zeros(shape, bool), np.zeros(shape, np.uint8)
    mask[:, 5], mask[:10, 15], mask[2, 25, 3] = True, True, True
    label[:, 5] = 1
    label[..., -4:] = 2
    ct = np.broadcast_to(np.linspace(0, 1000, shape[0])[:, None, None], shape)
    return Volume(ct, mask, label)


def codes_of(view):
    return np.frombuffer(gzip.decompress(base64.b64decode(view["codes"])), np.uint8).reshape(view["size_zyx"])


def test_sheets_and_label_come_back_out_of_the_bytes():
    volume = cube()
    view = volume_view(volume, 10_000_000)
    codes = codes_of(view)
    assert view["shrink"] == 1 and np.array_equal(codes & 15, sheet_colours(volume.mask))
    assert np.array_equal(codes >> 4, volume.label)


def test_the_ct_lies_in_slabs_one_slice_below_the_other():
    view = volume_view(cube(), 10_000_000)
    slices = np.concatenate([np.asarray(Image.open(io.BytesIO(base64.b64decode(slab)))) for slab in view["slabs"]])
    grey = slices[..., 0].reshape(view["size_zyx"]).astype(int)
    means = grey.mean(axis=(1, 2))
    assert means[0] < 10 and means[-1] > 245 and (np.diff(means[:-1]) > 5).all()


def test_neighbours_differ_and_the_largest_have_colours_of_their_own():
    mask = np.zeros((6, 80, 40), bool)
    lengths = [38, 37, 36, 35, 34, 33, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11]
    for n, length in enumerate(lengths):
        mask[:, 4 * n, :length] = True
    colours = sheet_colours(mask)
    found = [int(colours[1, 4 * n, 0]) for n in range(len(lengths))]
    count = len(SHEET_COLOURS)
    assert len(set(found[:count])) == count and set(found) <= set(range(1, count + 1))
    assert all(one != other for one, other in pairwise(found))
    assert not colours[~mask].any() and (colours[mask] > 0).all()


def test_sheets_on_one_line_are_neighbours_and_others_are_not():
    sheets = np.zeros((9, 30, 9), np.uint32)
    sheets[:, 3], sheets[:, 10], sheets[:, 20] = 1, 2, 3
    pairs, counts = neighbours(sheets)
    assert pairs.tolist() == [[1, 2], [2, 3]] and counts.tolist() == [9, 9], "every third of 9 x 9 lines"


def test_an_empty_mask_has_no_colours():
    assert not sheet_colours(np.zeros((4, 5, 6), bool)).any()


def test_a_small_budget_is_kept_and_no_thin_sheet_is_lost():
    rng = np.random.default_rng(0)
    volume = cube((64, 64, 64))
    noisy = Volume(rng.random(volume.mask.shape), volume.mask, volume.label)
    view = volume_view(noisy, 20_000)
    size = sum(map(len, [*view["slabs"], view["codes"]])) * 3 // 4
    assert view["shrink"] > 1 and (size <= 20_000 or max(view["size_zyx"]) <= 32)
    codes = codes_of(view)
    assert ((codes & 15)[:, 5 // view["shrink"]] > 0).all() and view["full_size_zyx"] == [64, 64, 64]
    assert ((codes >> 4)[:, 5 // view["shrink"], 0] == 1).all()
