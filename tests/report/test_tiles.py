"""Tiles cover the sheet once, each level is half the one before, every layer is on the same place, and the budget is kept."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scroll.report import tiles
from scroll.report.pictures import FOUND, INVENTED, MISSED
from scroll.report.tiles import LABEL_COLOUR, PROB_COLOUR, TILE_PX, Flat, flat_view, picked_layers, shrunk


def opened(tile):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(tile))).convert("RGBA"))


def put_together(view, pyramid, level):
    """The whole picture of one level of a pyramid."""
    height, width = (-(-n // 2**level) for n in view["size_yx"])
    columns = -(-width // TILE_PX)
    pieces = [opened(tile) for tile in pyramid["levels"][level - pyramid["finest"]]]
    rows = [np.concatenate(pieces[i : i + columns], axis=1) for i in range(0, len(pieces), columns)]
    whole = np.concatenate(rows)
    assert whole.shape[:2] == (height, width)
    return whole


def sheet(shape=(600, 1100), depth=5):
    """A sheet whose left half is ink, of which the upper half is found; something is invented in a corner."""
    stack = np.zeros((depth, *shape), np.float32)
    stack[:, :, : shape[1] // 2] = 100
    truth = np.zeros(shape, bool)
    truth[:, : shape[1] // 2] = True
    mask = truth.copy()
    mask[shape[0] // 2 :] = False
    mask[-40:, -40:] = True
    prob = shrunk(truth, 4)
    return Flat(stack, depth // 2, 8.0, 8.0, {"ensemble": prob}, mask, truth, np.ones(shape, bool))


def pyramids(view):
    return {one["name"]: one for one in view["pyramids"]}


def test_every_level_of_every_layer_covers_the_sheet():
    view = flat_view(sheet(), 10_000_000)
    assert view["shrink"] == 1 and view["size_yx"] == [600, 1100] and len(view["pyramids"]) == 5 + 3
    for pyramid in view["pyramids"]:
        assert len(pyramid["levels"][-1]) == 1, "the coarsest is one tile"
        assert pyramid["finest"] + len(pyramid["levels"]) == tiles.level_count((600, 1100))
        for level in range(pyramid["finest"], pyramid["finest"] + len(pyramid["levels"])):
            put_together(view, pyramid, level)
    assert pyramids(view)["ensemble"]["finest"] == 2, "nothing finer than a quarter is known"


def test_ct_probability_and_errors_lie_on_the_same_place():
    view = flat_view(sheet(), 10_000_000)
    named = pyramids(view)
    ct = put_together(view, named["layer 2"], 0)[..., 0].astype(int)
    assert ct[300, 500] > 200 and ct[300, 600] < 50
    prob = put_together(view, named["ensemble"], 2)
    assert prob[75, 100, 3] > 240 and prob[75, 200, 3] < 15
    assert np.abs(prob[75, 100, :3].astype(int) - PROB_COLOUR).max() <= 8, "one colour; only the alpha differs"
    errors = put_together(view, named["errors"], 0)
    assert [tuple(errors[y, x]) for y, x in ((100, 100), (500, 100), (590, 1090), (100, 900))] == [
        (*FOUND, 255), (*MISSED, 255), (*INVENTED, 255), (0, 0, 0, 0),
    ]  # fmt: skip
    label = put_together(view, named["label"], 0)
    assert tuple(label[300, 549]) == (*LABEL_COLOUR, 255) and label[300, 300, 3] == 0, "an outline"


def test_a_small_budget_is_kept_by_showing_less_and_saying_so():
    rng = np.random.default_rng(0)
    flat = sheet()
    noisy = Flat(rng.random(flat.stack.shape), 2, 8.0, 8.0, flat.probs, flat.mask, flat.truth, flat.known)
    view = flat_view(noisy, 400_000)
    size = sum(len(tile) * 3 // 4 for one in view["pyramids"] for level in one["levels"] for tile in level)
    assert size <= 400_000 and view["shrink"] > 1
    assert view["pixel_um"] == 8.0 * view["shrink"] and view["full_size_yx"] == [600, 1100]
    assert view["size_yx"] == [-(-600 // view["shrink"]), -(-1100 // view["shrink"])]


def test_a_sheet_that_is_shown_much_smaller_lies_where_it_lay_though_not_every_pixel_is_read():
    flat = sheet((900, 1810))
    view = flat_view(flat, 1)  # as small as it goes: a single tile
    assert view["shrink"] == 4 and view["size_yx"] == [225, 453]
    named = pyramids(view)
    ct = put_together(view, named["layer 2"], 0)[..., 0].astype(int)
    label = put_together(view, named["label"], 0)[..., 3]
    edge_of_ct = int(np.argmax(ct[100] < 128))
    assert abs(edge_of_ct - 905 / 4) <= 1 and abs(int(np.flatnonzero(label[100])[-1]) - edge_of_ct) <= 1


@given(st.integers(1, 200), st.data())
def test_layers_are_few_evenly_apart_and_the_centre_is_one_of_them(depth, data):
    centre = data.draw(st.integers(0, depth - 1))
    layers = picked_layers(depth, centre)
    assert centre in layers and 1 <= len(layers) <= tiles.LAYERS
    assert 0 <= layers[0] < layers.step and depth - layers.step <= layers[-1] < depth


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_shrinking_takes_means_and_keeps_what_hangs_over(height, width, shrink):
    image = np.random.default_rng(height * width).random((height, width))
    small = shrunk(image, shrink)
    assert small.shape == (-(-height // shrink), -(-width // shrink))
    if height >= shrink and width >= shrink:
        assert small[0, 0] == pytest.approx(image[:shrink, :shrink].mean(), abs=1e-6)
    assert small.min() >= image.min() - 1e-6 and small.max() <= image.max() + 1e-6
