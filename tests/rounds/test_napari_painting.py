"""What is painted in napari is the picture that is read back: numbers and greys say the same, and what is fixed stays.

napari need not be installed: a stand-in takes the calls of the command then, and napari itself is asked where it is.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ensemble.commands import napari_view
from scroll.data.labels import Label
from scroll.errors import InputError, MissingInputError
from scroll.rounds.napari_painting import COLOURS, MEANINGS, LabelOnDisk, as_grey, as_numbers, paint_layers
from scroll.rounds.paint_folder import read_back, write_paint_folder
from scroll.rounds.painting import FIXED, HELD_OUT, INK, NO_INK, OFF, UNKNOWN
from scroll.rounds.ranking import Asked
from scroll.rounds.to_paint import ToPaint

SHAPE, PIXEL_UM = (40, 50), 8.0
GREYS = st.sampled_from((OFF, NO_INK, UNKNOWN, HELD_OUT, INK))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    papyrus, held_out = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    papyrus[4:36, 4:46], held_out[4:12, 30:40] = True, True
    label = Label(rng.random(SHAPE) < 0.3, rng.random(SHAPE) < 0.5)
    one = ToPaint(
        sheet="a", round=1, pixel_um=PIXEL_UM, label=label, papyrus=papyrus, held_out=held_out, layers=(2, 5, 8),
        ct=rng.integers(0, 60_000, (10, *SHAPE), np.uint16), probability=rng.random(SHAPE, np.float32),
        disagreement=rng.random(SHAPE, np.float32), asked=[Asked("a", 16, 16, 16, 1.0)],
    )  # fmt: skip
    return write_paint_folder(tmp_path, one)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@given(arrays(np.uint8, (6, 7), elements=GREYS))
def test_a_picture_is_the_same_again_after_its_numbers(grey):
    np.testing.assert_array_equal(as_grey(as_numbers(grey), grey), grey)
    assert set(np.unique(as_numbers(grey))) <= set(MEANINGS) and set(MEANINGS) <= set(COLOURS)


@given(arrays(np.uint8, (6, 7), elements=GREYS), arrays(np.uint8, (6, 7), elements=st.integers(0, 9)))
def test_whatever_is_painted_what_is_fixed_is_put_back_and_only_ink_and_no_ink_are_known(exported, numbers):
    grey, fixed = as_grey(numbers, exported), np.isin(exported, FIXED)
    np.testing.assert_array_equal(np.isin(grey, FIXED), fixed)
    np.testing.assert_array_equal(grey[fixed], exported[fixed])
    np.testing.assert_array_equal(grey == INK, (numbers == 1) & ~fixed)
    np.testing.assert_array_equal(grey == NO_INK, (numbers == 2) & ~fixed)


@pytest.mark.parametrize("name", ["label.png", "label.tif"])
def test_what_is_saved_is_read_back_and_saving_nothing_changes_nothing(folder, name):
    Image.fromarray(read(folder / "label.png")).save(folder / "kept.tif")
    if name == "label.tif":
        (folder / "label.png").unlink()
        (folder / "kept.tif").rename(folder / name)
    label, before = LabelOnDisk(folder), (folder / name).read_bytes()
    numbers = label.numbers()
    assert label.save(numbers) == folder / name and (folder / name).read_bytes() == before and read_back(folder) is None
    numbers[20:30, 10:20], numbers[0:4, 0:4], numbers[25:27, 30:40] = 1, 1, 7
    label.save(numbers)
    painted = read_back(folder)
    assert (
        painted.target[20:30, 10:20].all() and not painted.target[:4, :4].any() and painted.ignore[25:27, 30:40].all()
    )
    numbers[20:30, 10:20] = 2
    label.save(numbers)
    assert not read_back(folder).target[20:30, 10:20].any(), "and once more"


def test_what_another_program_saved_meanwhile_is_not_written_over(folder):
    label = LabelOnDisk(folder)
    numbers = label.numbers()
    other = read(folder / "label.png").copy()
    other[20:30, 10:20] = NO_INK
    Image.fromarray(other).save(folder / "label.png")
    numbers[20:30, 10:20] = 1
    with pytest.raises(InputError, match=r"label\.png: was changed by another program .*label_napari\.png"):
        label.save(numbers)
    np.testing.assert_array_equal(read(folder / "label.png"), other)
    assert (read(folder / "label_napari.png")[20:30, 10:20] == INK).all()


def test_layers_are_the_exported_pictures_where_they_lie_in_micrometres(folder):
    numbers = LabelOnDisk(folder).numbers()
    layers = paint_layers(folder, numbers)
    by_name = {layer.options["name"]: layer.options for layer in layers}
    assert list(by_name) == ["CT", "probability", "disagreement", "asked", "label"]
    assert [layer.is_labels for layer in layers] == [False] * 4 + [True] and by_name["label"]["data"] is numbers
    ct = by_name["CT"]
    assert ct["data"].shape == (3, *SHAPE) and ct["scale"] == (24.0, 8.0, 8.0) and ct["translate"] == (20.0, 4.0, 4.0)
    for place, z in enumerate((2, 5, 8)):
        np.testing.assert_array_equal(ct["data"][place], read(folder / f"ct_{z}.png"))
    np.testing.assert_array_equal(np.asarray(ct["data"]).shape, (3, *SHAPE))
    for name in ("probability", "disagreement", "asked"):
        data = by_name[name]["data"]
        picture = read(folder / f"{name}.png")
        assert data.ndim == 2 and by_name[name]["scale"] == (8.0, 8.0) and by_name[name]["units"] == ("um", "um")
        np.testing.assert_array_equal(data[3:20, 5:-2], picture[3:20, 5:-2])
        np.testing.assert_array_equal(np.asarray(data), picture)
        np.testing.assert_array_equal(data[7], picture[7])


class Viewer:
    """A stand-in for napari's viewer: keeps what it is given."""

    def __init__(self, title):
        self.title, self.keys, self.layers = title, {}, Layers()
        self.scale_bar, self.cleared = SimpleNamespace(visible=False), []
        shortcut = SimpleNamespace(toString=lambda: "Ctrl+S")
        action = SimpleNamespace(shortcut=lambda: shortcut, setShortcut=self.cleared.append)
        self.window = SimpleNamespace(file_menu=SimpleNamespace(actions=lambda: [action]))

    def add_image(self, **options):
        self.layers[options["name"]] = SimpleNamespace(**options)

    add_labels = add_image

    def reset_view(self):
        pass

    def bind_key(self, key, call, overwrite):
        self.keys[key] = call


class Layers(dict):
    selection = SimpleNamespace(active=None)


def stand_in(work):
    """napari and napari.utils as the command calls them; `work` is what a person does before the window is closed."""
    viewers, message = [], []

    def new(title):
        viewers.append(Viewer(title))
        return viewers[0]

    notifications = SimpleNamespace(show_info=message.append, show_error=message.append)
    napari = SimpleNamespace(Viewer=new, run=lambda: work(viewers[0], message), __spec__=None)
    return napari, SimpleNamespace(notifications=notifications)


def painting(monkeypatch, folder, work):
    for name, module in zip(("napari", "napari.utils"), stand_in(work), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["napari_view", "--paint", str(folder)])
    napari_view.main()


def test_ctrl_s_saves_what_is_painted_and_so_does_closing(monkeypatch, folder, capsys):
    def work(viewer, message):
        label = viewer.layers["label"]
        assert viewer.cleared == [""] and viewer.layers.selection.active is label and label.selected_label == 1
        label.data[20:24, 10:14] = 1
        viewer.keys["Control-S"](viewer)
        assert message == [f"saved: {folder / 'label.png'}"] and read_back(folder).target[20:24, 10:14].all()
        label.data[24:28, 10:14] = 1

    painting(monkeypatch, folder, work)
    assert read_back(folder).target[20:28, 10:14].all() and "saved: " in capsys.readouterr().out


def test_a_save_that_is_refused_is_said_in_the_window(monkeypatch, folder):
    def work(viewer, message):
        Image.fromarray(read(folder / "label.png")).save(folder / "label.png", compress_level=1)
        viewer.layers["label"].data[20:24, 10:14] = 1
        viewer.keys["Control-S"](viewer)
        assert "was changed by another program" in message[0]

    with pytest.raises(InputError, match="was changed by another program"):
        painting(monkeypatch, folder, work)


def test_what_cannot_be_painted_is_said_before_a_window_opens(monkeypatch, folder, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["napari_view", "--paint", str(tmp_path / "none")])
    with pytest.raises(MissingInputError, match=r"sheet\.json: not there; expected a folder that a round exported"):
        napari_view.main()
    monkeypatch.setattr(sys, "argv", ["napari_view", "v.zarr", "--paint", str(folder)])
    with pytest.raises(SystemExit):
        napari_view.main()
    assert "give no volumes" in capsys.readouterr().err
    (folder / "layers.tif").unlink()
    monkeypatch.setattr(sys, "argv", ["napari_view", "--paint", str(folder)])
    with pytest.raises(InputError, match=r"layers\.tif"):
        napari_view.main()


def test_napari_itself_takes_the_layers_and_paints_on_the_label(folder):
    components = pytest.importorskip("napari.components", reason="napari is not installed: pip install '.[view]'")
    label = LabelOnDisk(folder)
    viewer = components.ViewerModel()
    for layer in paint_layers(folder, label.numbers()):
        (viewer.add_labels if layer.is_labels else viewer.add_image)(**layer.options)
    shown = viewer.layers["label"]
    np.testing.assert_allclose(shown.extent.world[1] - shown.extent.world[0], [(edge - 1) * PIXEL_UM for edge in SHAPE])
    shown.brush_size = 5
    shown.paint((25, 15), 1)
    viewer.bind_key("Control-S", lambda _: label.save(shown.data), overwrite=True)
    label.save(shown.data)
    assert read_back(folder).target[25, 15]
