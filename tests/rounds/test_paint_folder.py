"""A folder to paint in opens as layers of one size; what a person does to it is read back, or refused in one line."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.rounds.paint_folder import read_back, read_sheet, write_paint_folder
from scroll.rounds.painting import HELD_OUT, INK, NO_INK, OFF, UNKNOWN, canvas
from scroll.rounds.ranking import Asked
from scroll.rounds.to_paint import ToPaint, pictures

SHAPE, DEPTH, LAYERS = (70, 90), 12, (3, 6, 9)


class Watched:
    """An array that says how much of it was read at once."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0
        self.layers = set()

    def __getitem__(self, key):
        found = self.array[key]
        self.most = max(self.most, found.size)
        if isinstance(key, tuple):
            self.layers |= set(range(*key[0].indices(self.shape[0])))
        return found


def sheet(**changes):
    rng = np.random.default_rng(3)
    papyrus, held_out, known = (np.zeros(SHAPE, bool) for _ in range(3))
    papyrus[6:64, 5:85], held_out[6:20, 60:80], known[10:30, 10:40] = True, True, True
    given = {
        "sheet": "a", "round": 2, "pixel_um": 8.0, "label": Label(known & (rng.random(SHAPE) < 0.4), ~known), "papyrus": papyrus,
        "held_out": held_out, "ct": Watched(rng.integers(20_000, 40_000, (DEPTH, *SHAPE), np.uint16)), "layers": LAYERS,
        "probability": rng.random(SHAPE, np.float32), "disagreement": rng.random(SHAPE, np.float32) * 0.1,
        "asked": [Asked("b", 0, 0, 32, 9.0), Asked("a", 32, 0, 32, 5.0), Asked("a", 32, 64, 32, 4.0)],
    }  # fmt: skip
    return ToPaint(**given | changes)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    one = sheet(proposed=Label(np.full(SHAPE, 0.9, np.float32), np.zeros(SHAPE, bool)))
    return write_paint_folder(tmp_path_factory.mktemp("paint"), one)


@pytest.fixture(scope="module")
def scratch(exported, tmp_path_factory):
    """One to try many pictures in."""
    return shutil.copytree(exported, tmp_path_factory.mktemp("scratch") / "a")


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "a")


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_all_pictures_have_the_sheets_size_and_are_named_in_the_record(exported):
    record = read_sheet(exported)
    assert sorted(path.name for path in exported.iterdir()) == record.files
    assert (record.sheet, record.round, record.pixel_um, record.layers) == ("a", 2, 8.0, list(LAYERS))
    names = ["ct_03", "ct_06", "ct_09", "probability", "disagreement", "proposed", "asked", "label"]
    assert record.pages == names
    assert all(
        read(exported / f"{name}.png").shape == SHAPE and read(exported / f"{name}.png").dtype == np.uint8
        for name in names
    )


def test_the_layered_file_holds_the_same_pictures_by_name(exported):
    with tifffile.TiffFile(exported / "layers.tif") as tiff:
        assert [page.tags["PageName"].value for page in tiff.pages] == read_sheet(exported).pages
        for page in tiff.pages:
            np.testing.assert_array_equal(page.asarray(), read(exported / f"{page.tags['PageName'].value}.png"))


def test_pictures_show_what_they_are_of(exported):
    one = sheet()
    label = read(exported / "label.png")
    np.testing.assert_array_equal(label, canvas(one.label, one.papyrus, one.held_out))
    np.testing.assert_array_equal(read(exported / "probability.png"), np.rint(255 * one.probability))
    disagreement = read(exported / "disagreement.png").astype(float)
    assert disagreement.max() == 255 and np.corrcoef(disagreement.ravel(), one.disagreement.ravel())[0, 1] > 0.99
    grey, ct = read(exported / "ct_06.png").astype(float), one.ct.array[6]
    assert np.corrcoef(grey.ravel(), ct.ravel())[0, 1] > 0.999 and grey.min() == 0 and grey.max() == 255
    proposed = read(exported / "proposed.png")
    assert (proposed[one.papyrus & ~one.held_out] == INK).all() and (proposed[~one.papyrus] == OFF).all()


def test_frames_lie_on_their_patch_with_its_number_in_the_round_and_are_clear_elsewhere(exported):
    with Image.open(exported / "asked.png") as picture:
        assert picture.info["transparency"] == 0
    asked = read(exported / "asked.png")
    box = np.ones(SHAPE, bool)
    for x in (0, 64):
        assert (asked[32, x : x + 26] == 255).all() and (asked[32:64, min(x + 31, 89)] == 255).all(), (
            "the cut one at the edge"
        )
        assert asked[34:48, x + 2 : x + 20].any(), "its number"
        box[32:64, x : x + 32] = False
    assert not asked[box].any(), "what is asked of another sheet is not drawn here"


def test_ct_is_read_in_strips_of_the_layers_that_are_written(monkeypatch):
    one = sheet(probability=Watched(sheet().probability))
    monkeypatch.setattr("scroll.rounds.to_paint.STRIP_PX", 20 * SHAPE[1])
    assert len(list(pictures(one, canvas(one.label, one.papyrus, one.held_out)))) == len(LAYERS) + 4
    assert one.ct.most <= 20 * SHAPE[1] and one.probability.most <= 20 * SHAPE[1] and one.ct.layers == set(LAYERS)


def test_words_say_which_grey_is_what(exported):
    words = (exported / "README.txt").read_text()
    for meaning in (
        f"{INK} ink",
        f"{NO_INK} no ink",
        f"{UNKNOWN} not known",
        f"{OFF} no papyrus",
        f"{HELD_OUT} held out",
    ):
        assert meaning in words
    assert "hard brush" in words and "Never JPEG" in words and "8 micrometres" in words


def test_a_folder_that_nobody_touched_says_nothing_and_may_be_exported_again(folder):
    assert read_back(folder) is None
    Image.fromarray(read(folder / "label.png")).convert("RGBA").save(folder / "label.png")
    assert read_back(folder) is None, "saved in another way is no change"
    again = write_paint_folder(folder.parent, sheet(sheet="b", round=3))
    assert write_paint_folder(folder.parent, sheet(sheet="b", round=4)) == again and read_sheet(again).round == 4


@pytest.mark.parametrize(
    ("touch", "message"),
    [
        (
            lambda one: Image.fromarray(np.full(SHAPE, INK, np.uint8)).save(one / "label.png"),
            "label was saved since it was exported",
        ),
        (lambda one: (one / "label.png").rename(one / "label.tif"), "label was saved since it was exported"),
        (lambda one: (one / "mine.kra").write_text("x"), r"holds mine\.kra, which was not exported"),
        (lambda one: (one / "sheet.json").unlink(), r"sheet\.json: not there"),
    ],
)
def test_what_a_person_made_is_never_written_over(folder, touch, message):
    touch(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=message):
        write_paint_folder(folder.parent, sheet())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def painted_on(grey, boxes):
    """A hard brush in boxes (y, x, edge, colour), which does not reach what is fixed."""
    painted = grey.copy()
    for y, x, edge, colour in boxes:
        painted[y : y + edge, x : x + edge] = colour
    fixed = np.isin(grey, (OFF, HELD_OUT))
    painted[fixed] = grey[fixed]
    return painted


def the_only(folder, name):
    """A place for a label in a folder that holds no other."""
    for path in folder.glob("label.*"):
        path.unlink()
    return folder / name


def palette(grey):
    picture = Image.fromarray(grey).convert("P")
    picture.putpalette(bytes(level for level in range(256) for _ in range(3)))
    return picture


AS_SAVED = {
    "grey": lambda grey: Image.fromarray(grey),
    "RGB": lambda grey: Image.fromarray(grey).convert("RGB"),
    "RGBA": lambda grey: Image.fromarray(grey).convert("RGBA"),
    "LA": lambda grey: Image.fromarray(grey).convert("LA"),
    "palette": palette,
}
boxes = st.lists(
    st.tuples(st.integers(0, 69), st.integers(0, 89), st.integers(1, 30), st.sampled_from((INK, NO_INK, UNKNOWN))),
    max_size=5,
)


@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
@pytest.mark.parametrize("how", AS_SAVED)
@given(boxes=boxes)
def test_whatever_is_painted_and_however_a_program_saves_it_it_is_read_back(scratch, how, ending, boxes):
    grey = read(scratch / ".exported.png")
    painted = painted_on(grey, boxes)
    AS_SAVED[how](painted).save(the_only(scratch, f"label.{ending}"))
    message = read_back(scratch)
    if (painted == grey).all():
        assert message is None
    else:
        np.testing.assert_array_equal(message.target, painted == INK)
        np.testing.assert_array_equal(~message.ignore, np.isin(painted, (INK, NO_INK)))


@given(boxes=boxes, dy=st.integers(-3, 3), dx=st.integers(-3, 3), fill=st.sampled_from([None, 0]))
def test_a_moved_picture_is_refused_whatever_was_painted_on_it(scratch, boxes, dy, dx, fill):
    grey = read(scratch / ".exported.png")
    moved = np.roll(painted_on(grey, boxes), (dy, dx), (0, 1))
    if fill is not None:  # what a program leaves where it moved a layer
        moved[: max(dy, 0)], moved[SHAPE[0] + min(dy, 0) :] = fill, fill
        moved[:, : max(dx, 0)], moved[:, SHAPE[1] + min(dx, 0) :] = fill, fill
    Image.fromarray(moved).save(the_only(scratch, "label.png"))
    if dy or dx:
        with pytest.raises(InputError, match=f"is moved by {dy} pixels in y and {dx} in x"):
            read_back(scratch)
    else:
        read_back(scratch)


def test_a_moved_picture_without_an_edge_is_known_by_what_was_painted_before(tmp_path):
    everywhere, nowhere = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    folder = write_paint_folder(tmp_path, sheet(papyrus=everywhere, held_out=nowhere))
    grey = read(folder / "label.png")
    painted = grey.copy()
    painted[50:60, 50:60], painted[12:14, 12:20] = INK, UNKNOWN
    Image.fromarray(painted).save(folder / "label.png")
    assert read_back(folder).target[50:60, 50:60].all(), "corrections are not taken for a move"
    for step in ((0, 1), (-1, 0), (2, -3)):
        Image.fromarray(np.roll(painted, step, (0, 1))).save(folder / "label.png")
        with pytest.raises(InputError, match=f"is moved by {step[0]} pixels in y and {step[1]} in x"):
            read_back(folder)


def saved(change, name="label.png", **how):
    def save(folder):
        picture = change(read(folder / "label.png").copy())
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(folder / name, **how)

    return save


def with_alpha(value):
    def change(grey):
        alpha = np.full(SHAPE, 255, np.uint8)
        alpha[40, 40] = value
        return Image.fromarray(np.stack([grey] * 3 + [alpha], axis=-1))

    return change


def deep(folder):
    tifffile.imwrite(folder / "label.tif", read(folder / "label.png").astype(np.uint16) * 257)
    (folder / "label.png").unlink()


def renamed(old, new):
    return lambda folder: (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (saved(lambda grey: grey[:, 1:]), r"label\.png: is \(70, 89\) \(y, x\), \(70, 90\) was exported"),
        (saved(lambda grey: np.where(np.arange(90) == 50, 130, grey).astype(np.uint8)), r"grey 130 .* soft brush"),
        (saved(with_alpha(0)), r"transparent at y 40, x 40"),
        (saved(with_alpha(254)), r"transparent at y 40, x 40"),
        (saved(with_alpha(80)), r"transparent at y 40, x 40"),
        (saved(lambda grey: Image.fromarray(grey), transparency=UNKNOWN), r"transparent or cut away"),
        (saved(lambda grey: grey, format="JPEG"), r"begins with .*neither PNG nor TIFF"),
        (saved(lambda grey: grey, format="WEBP", lossless=True), r"begins with .*neither PNG nor TIFF"),
        (saved(lambda grey: grey[:, ::-1]), r"pixels are changed"),
        (lambda folder: shutil.copy(folder / "layers.tif", the_only(folder, "label.tif")), r"label\.tif: holds 8 pages"),
        (saved(lambda grey: grey.astype(np.uint16) * 257), r"label\.png: is uint16; expected 8 bits"),
        (saved(lambda grey: Image.fromarray(grey).convert("1")), r"label\.png: grey 0 at"),
        (deep, r"label\.tif: is uint16; expected 8 bits"),
        (saved(lambda grey: Image.fromarray(grey).convert("RGB").quantize(3)), r"grey \d+ at|one grey channel"),
        (saved(lambda grey: Image.merge("RGB", [Image.fromarray(g) for g in (grey, grey, 255 - grey)])), r"one grey channel"),
        (saved(lambda grey: grey, "label.tif"), r"holds label\.png and label\.tif; expected one label"),
        (lambda folder: (folder / "label.png").unlink(), r"label\.png: not there; expected the painted label"),
        (renamed("label.png", "label.jpg"), r"label\.png: not there \(label\.jpg is\)"),
        (lambda folder: (folder / "label.png").write_bytes(b""), r"label\.png: .*neither PNG nor TIFF"),
        (lambda folder: (folder / "label.png").write_bytes((folder / "label.png").read_bytes()[:99]), r"label\.png: not readable"),
        (renamed(".exported.png", "exported.png"), r"\.exported\.png: not there"),
        (saved(lambda grey: grey[::-1], ".exported.png"), r"\.exported\.png: was changed since it was exported"),
        (lambda folder: (folder / "sheet.json").unlink(), r"sheet\.json: not there; expected a folder that a round exported"),
        (lambda folder: (folder / "sheet.json").write_text("{"), r"sheet\.json: not readable as JSON"),
    ],
)  # fmt: skip
def test_every_bad_folder_is_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message) as error:
        read_back(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_a_record_of_another_kind_or_that_was_changed_is_one_line(folder):
    content = json.loads((folder / "sheet.json").read_text())
    (folder / "sheet.json").write_text(json.dumps(content | {"exported_sha256": "0" * 64}))
    with pytest.raises(InputError, match="was changed since it was written"):
        read_back(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sheet": "../a"}, "the sheet to paint"),
        ({"held_out": np.zeros((70, 91), bool)}, r"held out is \(70, 91\), papyrus \(70, 90\)"),
        ({"layers": (6, 3)}, "each once and rising"),
        ({"layers": (3, 12)}, "from 0 to 11"),
        ({"layers": ()}, "expected some"),
        ({"asked": [Asked("a", 70, 0, 32, 1.0)]}, r"begins beyond \(70, 90\)"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        sheet(**change)


def test_a_map_of_another_size_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(InputError, match=r"rows 0 to 70 of a map are \(35, 45\)"):
        write_paint_folder(tmp_path, sheet(probability=np.zeros((35, 45), np.float32)))
    assert not list(tmp_path.iterdir())
