"""A painted label is read back as it was painted; every way in which it is not the exported picture is one line."""

import numpy as np
import pytest
from PIL import Image

from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.rounds.painting import HELD_OUT, INK, NO_INK, UNKNOWN, as_label, canvas, painted_grey, save_canvas

SHAPE = (40, 60)


def exported():
    rng = np.random.default_rng(0)
    papyrus, held_out = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    papyrus[4:36, 5:55], held_out[4:12, 40:50] = True, True
    known = np.zeros(SHAPE, bool)
    known[6:20, 8:30] = True
    return canvas(Label(known & (rng.random(SHAPE) < 0.3), ~known), papyrus, held_out)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_what_is_painted_is_read_back(tmp_path, ending):
    grey = exported()
    save_canvas(tmp_path / f"label{ending}", grey)
    before = as_label(painted_grey(tmp_path / f"label{ending}", grey))
    np.testing.assert_array_equal(before.target, grey == INK)
    np.testing.assert_array_equal(~before.ignore, np.isin(grey, (INK, NO_INK)))
    painted = grey.copy()
    painted[25:30, 10:20], painted[25:30, 20:26], painted[6:8, 8:12] = INK, NO_INK, UNKNOWN
    save_canvas(tmp_path / f"label{ending}", painted)
    after = as_label(painted_grey(tmp_path / f"label{ending}", grey))
    assert after.target[25:30, 10:20].all() and not after.ignore[25:30, 10:26].any() and after.ignore[6:8, 8:12].all()


def jpeg(path, grey):
    Image.fromarray(grey).save(path, format="JPEG")


def through_jpeg(path, grey):
    Image.fromarray(grey).save(path.with_suffix(".jpg"), quality=60)
    Image.open(path.with_suffix(".jpg")).save(path)


def with_alpha(path, grey):
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[20, 20] = 0
    Image.fromarray(np.stack([grey, alpha], axis=-1), mode="LA").save(path)


def colours(path, grey):
    rgb = np.stack([grey] * 3, axis=-1)
    rgb[20, 20] = (255, 0, 0)
    Image.fromarray(rgb).save(path)


def changed(change):
    def save(path, grey):
        painted = grey.copy()
        change(painted)
        save_canvas(path, painted)

    return save


def put(y, x, value):
    return changed(lambda grey: grey.__setitem__((y, x), value))


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (jpeg, r"neither PNG nor TIFF"),
        (through_jpeg, r"grey \d+ at y \d+, x \d+ \(.*JPEG in between\); expected ink 255"),
        (with_alpha, r"transparent at y 20, x 20"),
        (colours, r"expected one grey channel"),
        (lambda path, grey: save_canvas(path, grey[:-1]), r"is \(39, 60\) \(y, x\), \(40, 60\) was exported"),
        (lambda path, grey: save_canvas(path, np.repeat(np.repeat(grey, 2, 0), 2, 1)), r"is \(80, 120\)"),
        (lambda path, grey: save_canvas(path, np.roll(grey, (0, 1), (0, 1))), r"moved by 0 pixels in y and 1 in x"),
        (lambda path, grey: save_canvas(path, np.roll(grey, (-2, 1), (0, 1))), r"moved by -2 pixels in y and 1 in x"),
        (put(1, 1, INK), r"1 pixels are changed off the papyrus, such as y 1, x 1"),
        (put(5, 45, NO_INK), r"1 pixels are changed where the label is held out, such as y 5, x 45"),
        (put(30, 30, HELD_OUT), r"1 pixels are changed where the label is held out, such as y 30, x 30"),
        (put(30, 30, 128), r"grey 128 at y 30, x 30 .*soft brush"),
    ],
)
def test_a_picture_that_is_not_the_exported_one_is_one_line(tmp_path, save, message):
    save(tmp_path / "label.png", exported())
    with pytest.raises(InputError, match=message) as error:
        painted_grey(tmp_path / "label.png", exported())
    assert "\n" not in str(error.value)
