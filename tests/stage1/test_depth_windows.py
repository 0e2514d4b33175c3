"""Shifted depth windows: what they say is averaged layer by layer, of layers that the stack holds, and of no other data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_arrays
from pydantic import ValidationError

from ensemble.commands.replay import replay
from ensemble.controls.copies import Planted, Shuffled, changed, reversed_copy
from ensemble.kaggle.run_files import portable
from ensemble.time_budget.measured_cost import measured_cost
from scroll.config.reader import load_settings, save_settings
from scroll.config.schema import Settings
from scroll.data.depth_windows import check_depth_offsets, with_room
from scroll.data.fragments import find_fragments
from scroll.errors import InputError
from scroll.inference.depth_mean import depth_mean, over_depth_windows
from scroll.inference.prediction_store import open_map
from scroll.inference.sliding_window import Prediction, Sweep, predict
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.receipt import key_of, read_receipt
from stage1_3d.fragments.doctor import checks_of_all
from stage1_3d.predict import predict_new, prediction_of
from stage1_3d.train import train_stage1
from stage1_3d.weights import weights_path

LAYERS, DEPTH = 20, (-4, 4)
CENTRE = LAYERS // 2
DISPLAYED = st.integers(-7, 7)
offsets_of_windows = st.lists(DISPLAYED.filter(bool), max_size=4, unique=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("depth_windows")
    make_fragments(root, fragment_settings("easy", (LAYERS, 64, 80), letter_height_px=30.0), 5, train=2, test=0, jobs=1)
    return root


def settings_of(data: Path, run: Path, offsets: tuple[int, ...] = (), **changes: object) -> Settings:
    member = {
        "network": "cnn3d", "options": {}, "patch_size": [8, 32, 32], "supervision": "band",
        "training": {"steps": 4, "train_batch_size": 1, "validation_patches": 1, "precision": "fp32"},
        "augment": {"depth_jitter": 1},
    }  # fmt: skip
    window = {"batch_size": 2, "average": "probabilities", "blend": "uniform"}
    return Settings.model_validate(
        {
            "run_dir": run, "data": {"root": data, "cache_dir": data / "cache", "depth": DEPTH},
            "stage1": {
                "members": {"net": member | changes}, "window": window | ({"depth_offsets": offsets} if offsets else {}),
            },
        }
    )  # fmt: skip


def one_fragment(settings: Settings):
    return find_fragments(settings.data.root / "train", settings.data)[0]


def message(settings: Settings, network, fragment=None) -> np.ndarray:
    """(Z, Y, X) what a network gives on a fragment as the settings look at it."""
    fragment = fragment or one_fragment(settings)
    prediction = prediction_of(settings, "net", fragment, (0, fragment.rows), [0])
    load = lambda: over_depth_windows(network, len(settings.stage1.window.depth_shifts))  # noqa: E731
    return replace(prediction, load=load).rows(0, fragment.rows)[0]


def seen(fragment, layer: int) -> np.ndarray:
    """(Y, X) a layer, counted from the sheet's centre, as the networks of ours see grey values."""
    (middle, spread), raw = fragment.grey_scale, np.asarray(fragment.volume[CENTRE + layer], np.float32)
    return (raw - np.float32(middle)) / np.float32(spread)


def one_layer(windows: torch.Tensor) -> torch.Tensor:
    """Says of every layer what it sees in the window's third."""
    return windows[:, :, 2:3].expand_as(windows)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values.astype(np.float64)))


# ---------------------------------------------------------------- the mean


@given(offsets_of_windows, st.booleans(), st.floats(0, 1, width=32))
def test_windows_that_say_one_thing_say_it_together(offsets, is_of_sheet, value):
    shifts = (0, *offsets)
    maps = np.full((len(shifts), 8, 2, 3), value, np.float32)
    found = depth_mean(maps, shifts, is_of_sheet)
    assert found.shape == (1, 8, 2, 3)
    np.testing.assert_allclose(found, value, rtol=1e-6)


@given(offsets_of_windows, st.booleans(), st.data())
def test_each_layer_is_the_mean_of_the_windows_that_reach_it_or_of_the_nearest_layer(offsets, is_of_sheet, drawn):
    shifts = (0, *offsets)
    unit = st.floats(0, 1, width=32)
    maps = drawn.draw(of_arrays.arrays(np.float32, (len(shifts), 8, 1, 2), elements=unit))
    found = depth_mean(maps, shifts, is_of_sheet)
    for layer in range(8):
        averaged = []
        for own, shift in zip(maps, shifts, strict=True):
            place = layer - shift
            if is_of_sheet:
                averaged.append(own[min(max(place, 0), 7)])
            elif 0 <= place < 8:
                averaged.append(own[place])
        np.testing.assert_allclose(found[0, layer], np.mean(averaged, axis=0), atol=1e-6)


def test_one_window_that_is_not_shifted_stays_as_it_is_to_the_bit():
    maps = np.random.default_rng(0).random((1, 8, 3, 4), dtype=np.float32)
    for is_of_sheet in (False, True):
        assert depth_mean(maps, (0,), is_of_sheet) is maps
    network = torch.nn.Conv3d(1, 1, 3)
    assert over_depth_windows(network, 1) is network


def test_without_offsets_a_prediction_is_the_plain_sliding_window_to_the_bit(data, tmp_path):
    settings = settings_of(data, tmp_path / "run")
    fragment, network = one_fragment(settings), torch.nn.Conv3d(1, 1, 3, padding=1).eval()
    size, shape = (8, 32, 32), (8, *fragment.mask.shape)
    sweep = Sweep(
        shape, size, settings.stage1.window, (0, shape[1]),
        lambda corner: bool(fragment.mask[corner[1] : corner[1] + 32, corner[2] : corner[2] + 32].any()),
    )  # fmt: skip
    found = []
    predict(
        sweep,
        lambda corner: fragment.patch(*corner, size)[None],
        network,
        lambda row, rows: found.append(rows),
    )
    np.testing.assert_array_equal(message(settings, network), np.concatenate(found, axis=-2)[0])


# ---------------------------------------------------------------- on a fragment


@pytest.mark.parametrize("supervision", ["band", "depth_pool"])
@pytest.mark.parametrize("offsets", [(-2, 2), (3,), (-5, 1, 6)])
def test_a_constant_network_gives_a_constant_map(data, tmp_path, supervision, offsets):
    settings = settings_of(data, tmp_path / "run", offsets, supervision=supervision)
    found = message(settings, lambda windows: torch.full_like(windows, 0.4))
    np.testing.assert_allclose(found[found > 0], sigmoid(np.float32(0.4)), rtol=1e-6)
    assert (found > 0).mean() > 0.5


def test_a_network_that_sees_one_layer_gives_the_mean_of_the_layers_that_the_windows_put_there(data, tmp_path):
    settings = settings_of(data, tmp_path / "run", (-2, 3), supervision="depth_pool")
    fragment, found = (
        one_fragment(settings),
        message(settings_of(data, tmp_path, (-2, 3), supervision="depth_pool"), one_layer),
    )
    third = DEPTH[0] + 2  # of the window that is not shifted
    expected = np.mean([sigmoid(seen(fragment, third + shift)) for shift in (0, -2, 3)], axis=0)
    for layer in found:  # it says the same of all layers, and so do all windows together
        np.testing.assert_allclose(layer[fragment.mask], expected[fragment.mask], atol=1e-5)
    assert np.ptp(expected[fragment.mask]) > 0.1


def test_of_voxels_the_outer_layers_are_the_mean_of_the_windows_that_see_them(data, tmp_path):
    """By hand: offsets -2 and 3 of a window of eight; each window says what its own third layer is."""
    settings = settings_of(data, tmp_path / "run", (-2, 3))
    fragment, found = one_fragment(settings), message(settings, one_layer)
    of_window = {shift: sigmoid(seen(fragment, DEPTH[0] + 2 + shift)) for shift in (0, -2, 3)}
    reached_by = {0: (0, -2), 2: (0, -2), 3: (0, -2, 3), 5: (0, -2, 3), 6: (0, 3), 7: (0, 3)}
    for layer, shifts in reached_by.items():
        expected = np.mean([of_window[shift] for shift in shifts], axis=0)
        np.testing.assert_allclose(found[layer][fragment.mask], expected[fragment.mask], atol=1e-5)


@pytest.mark.parametrize("turned", [{}, {"is_flipped": True}, {"shift_layers": -1}, {"margin": 3}])
def test_what_is_said_voxel_by_voxel_comes_back_to_its_own_layer(data, tmp_path, turned):
    plain, shifted = (settings_of(data, tmp_path / "run", offsets) for offsets in ((), (-4, -1, 3)))
    fragment = replace(one_fragment(plain), **turned)
    expected = message(plain, lambda windows: windows, fragment)
    np.testing.assert_allclose(message(shifted, lambda windows: windows, fragment), expected, atol=1e-5)
    assert expected[:, fragment.mask].std(axis=0).max() > 0.05


@pytest.mark.parametrize("margin", [0, 2, 5])
def test_room_for_shifted_windows_leaves_the_grey_scale_and_the_key_as_they_are(data, margin):
    fragment = replace(one_fragment(settings_of(data, Path("run"))), margin=margin)
    roomy = with_room(fragment, (-3, 4))
    assert roomy.kept == (max(3, margin), max(4, margin)) and roomy.grey_scale == fragment.grey_scale
    assert roomy.key == fragment.key and with_room(fragment, ()) is fragment
    size = (8, 20, 20)
    np.testing.assert_array_equal(roomy.patch(roomy.kept[0], 5, 6, size), fragment.patch(margin, 5, 6, size))


def test_ink_planted_in_a_copy_lies_in_the_same_layers_for_every_window(data):
    fragment = one_fragment(settings_of(data, Path("run")))
    shape = fragment.mask.shape
    face, film = np.full(shape, 3.0, np.float32), np.full(shape, 9000.0, np.float32)
    copy = changed(fragment, Planted(film, face, 2.0, 0.5, "film"), "planted")
    roomy = with_room(copy, (-3, 2))
    plain, wide = np.asarray(copy.ct[:, 10:30, 10:30]), np.asarray(roomy.ct[:, 10:30, 10:30])
    np.testing.assert_array_equal(wide[3:-2], plain)
    assert np.abs(plain.astype(float) - np.asarray(fragment.ct[:, 10:30, 10:30])).max() > 1000
    shuffled = with_room(changed(fragment, Shuffled(1), "shuffled"), (-3, 2))
    assert shuffled.ct.shape[0] == 8 + 3 + 2


def test_the_reversed_copy_leaves_room_for_shifted_windows(data):
    fragment = replace(one_fragment(settings_of(data, Path("run"))), shift_layers=5)
    with pytest.raises(InputError, match="depth_offsets"):
        with_room(reversed_copy(fragment), (-2,))
    fits = replace(fragment, shift_layers=4)
    assert with_room(reversed_copy(with_room(fits, (-2, 2))), (-2, 2)).layers


# ---------------------------------------------------------------- what is refused


def test_a_stack_without_the_layers_is_one_line_that_says_which_offset_before_anything_is_trained(data, tmp_path):
    settings = settings_of(data, tmp_path / "run", (-2, 7))
    line = r"20 layers do not hold \+7 of stage1\.window\.depth_offsets: layers 6 to 13 would be 13 to 20; give offsets from -6 to 6"
    for stopped in (
        lambda: train_stage1(settings),
        lambda: message(settings, one_layer),
        lambda: check_depth_offsets(settings, [one_fragment(settings)]),
        dict(checks_of_all(settings, [one_fragment(settings)]))["layers for stage1.window.depth_offsets"],
    ):
        with pytest.raises(InputError, match=line) as error:
            stopped()
        assert "\n" not in str(error.value)
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    without = checks_of_all(settings_of(data, tmp_path / "run"), [one_fragment(settings)])
    assert "layers for stage1.window.depth_offsets" not in dict(without)


@pytest.mark.parametrize(
    ("offsets", "line"),
    [([0], "other than 0, which is looked at anyway"), ([2, 2], "2"), ([65], "64"), ([1.5], "integer")],
)
def test_offsets_that_say_nothing_are_refused(data, offsets, line):
    with pytest.raises(ValidationError, match=line):
        settings_of(data, Path("run"), tuple(offsets))


@pytest.mark.parametrize("kind", ["segments", "cubes"])
def test_data_without_an_axis_of_depth_knows_no_offsets(kind, tmp_path):
    by = "scroll" if kind == "cubes" else "fragment"
    content = {
        "run_dir": str(tmp_path / "run"), "data": {"kind": kind, "root": str(tmp_path)}, "folds": {"by": by},
        "stage1": {"members": {"net": {"network": "unet3d", "supervision": "band"}}, "window": {"depth_offsets": [2]}},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=f"stage1.window.depth_offsets is set, which {kind} do not know") as error:
        load_settings(tmp_path / "run.yaml")
    assert "\n" not in str(error.value)


def test_settings_without_offsets_are_hashed_as_before_and_those_with_travel_in_a_bundle(data, tmp_path):
    plain, shifted = (settings_of(data, tmp_path / "run", offsets) for offsets in ((), (-2, 2)))
    assert "depth_offsets" not in plain.stage1.window.model_dump(mode="json")
    assert key_of([plain.stage1.window.model_dump()]) != key_of([shifted.stage1.window.model_dump()])
    with pytest.raises(ValidationError, match="depth_offsets"):
        Settings.model_validate(plain.model_dump() | {"stage2": {"window": {"depth_offsets": [1]}}})
    save_settings(portable(shifted), tmp_path / "settings.yaml")
    assert load_settings(tmp_path / "settings.yaml").stage1.window.depth_offsets == (-2, 2)


# ---------------------------------------------------------------- a run, and its time


@pytest.mark.parametrize("count", [1, 3])
def test_a_window_more_is_a_look_more_in_the_measured_cost(count):
    """A look moves the clock by five seconds, a reading by one: 9 windows in batches of 2 and 1, each seen `count` times."""
    log: list[float] = []

    def look(windows: torch.Tensor) -> torch.Tensor:
        log.append(5.0)
        return windows

    def read(corner: tuple[int, ...]) -> np.ndarray:
        log.append(1.0)
        return np.zeros((count, 8, 32, 32), np.float32)

    window = settings_of(Path("data"), Path("run")).stage1.window
    sweep = Sweep((8, 64, 64), (8, 32, 32), window, (0, 64))
    prediction = Prediction(sweep, read, lambda: over_depth_windows(look, count), (8, 64, 64))
    cost = measured_cost("net", [prediction], 1.0, lambda: sum(log))
    assert cost.seconds_per_view == pytest.approx(3 * 2 * 5.0 * count)


@pytest.mark.parametrize("supervision", ["band", "depth_pool"])
def test_a_trained_run_predicts_each_map_as_the_mean_over_its_windows_and_flattens_that(data, tmp_path, supervision):
    settings = settings_of(data, tmp_path / "run", (-2, 3), supervision=supervision)
    train_stage1(settings)
    fragment = one_fragment(settings)
    singles = []
    for shift in (0, -2, 3):
        roomy = with_room(fragment, (-2, 3))

        class Moved(type(roomy)):
            """The same grey scale, a window that begins elsewhere."""

            moved_by = shift

            def patch(self, z, y, x, size, how=None):
                return super().patch(z + self.moved_by, y, x, size, how)

        moved = Moved(roomy.id, roomy.folder, roomy.data, roomy.margin, beyond=roomy.beyond)
        plain = settings_of(data, tmp_path / "run", supervision=supervision)
        prediction = prediction_of(plain, "net", moved, (0, fragment.rows), [0, 1])
        singles.append(prediction.rows(0, fragment.rows))
    expected = depth_mean(np.concatenate(singles), (0, -2, 3), supervision == "depth_pool")[0]
    predict_new(settings, "net", fragment, tmp_path / "out")
    prob, flat = (
        np.asarray(open_map(tmp_path / "out" / name, "")[...], np.float32) for name in ("prob.zarr", "flat.zarr")
    )
    np.testing.assert_allclose(prob, expected, atol=1e-3)  # stored as float16
    np.testing.assert_allclose(flat[0], prob.max(0), atol=1e-3)
    assert read_receipt(tmp_path / "out", "")["window"]["depth_offsets"] == [-2, 3]
    assert replay(tmp_path / "out", 16, 8).largest_difference == 0
    oof = settings.folder.oof("net", fragment.id)
    assert weights_path(settings, "net", 0).exists() and (oof / "prob.zarr").exists()
