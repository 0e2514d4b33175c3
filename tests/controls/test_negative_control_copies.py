"""Negative controls keep what papyrus looks like, hold no letters, and read the same in whatever windows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter, uniform_filter

from scroll.controls.planted import film_share, planted_film
from scroll.controls.rearranged import exchanged_axes, layer_order, shuffled_layers
from scroll.controls.scrambled import phase_scrambled, random_phases, scrambled_tile, with_phases, with_values_of
from scroll.data.augment.smooth_fields import smooth_noise
from scroll.errors import InputError
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.volumes import open_volume
from scroll.volumes.binning import block_mean
from scroll.volumes.changed import reversed_layers
from scroll.volumes.volume import Volume

SHAPE = (6, 70, 90)


def papyrus(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Volume:
    """Fibres along x that run through several layers, brighter by layer."""
    noise = smooth_noise(np.random.default_rng(seed), shape, (2.0, 2.0, 12.0))
    values = 20000 + 800 * np.arange(shape[0])[:, None, None] + 1500 * noise
    return Volume(values.astype(np.uint16), Path("papyrus"), 7.91)


def mask(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    inside = np.ones(shape[1:], bool)
    inside[:9] = False
    inside[30:36, 40:50] = False
    return inside


def box(data: st.DataObject, shape: tuple[int, int, int]) -> tuple[slice, ...]:
    parts = []
    for length in shape:
        start = data.draw(st.integers(0, length - 1))
        parts.append(slice(start, data.draw(st.integers(start + 1, length)), data.draw(st.integers(1, 3))))
    return tuple(parts)


@given(layers=st.integers(2, 70), seed=st.integers(0, 10**6))
def test_an_order_of_layers_holds_each_once_is_the_seeds_own_and_changes_something(layers: int, seed: int) -> None:
    order = layer_order(layers, seed)
    assert sorted(order) == list(range(layers))
    assert order == layer_order(layers, seed)
    assert order != tuple(range(layers))


def test_one_layer_cannot_be_shuffled() -> None:
    with pytest.raises(InputError, match="no other order"):
        layer_order(1, 0)


def test_shuffled_layers_are_the_same_layers_at_other_depths() -> None:
    volume = papyrus()
    shuffled = shuffled_layers(volume, seed=4)
    for z, origin in enumerate(layer_order(SHAPE[0], 4)):
        assert (shuffled[z] == volume[origin]).all()


def test_a_stack_reversed_twice_is_as_it_was() -> None:
    volume = papyrus()
    assert (reversed_layers(reversed_layers(volume))[...] == volume[...]).all()


@pytest.mark.parametrize("kind", ["shuffled", "scrambled", "planted"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_window_is_the_cut_of_the_whole(kind: str, data: st.DataObject) -> None:
    volume = papyrus()
    film = np.zeros(SHAPE[1:], np.float32)
    film[20:40, 20:60] = 3000
    copy = {
        "shuffled": lambda: shuffled_layers(volume, 3),
        "scrambled": lambda: phase_scrambled(volume, mask(), 32, 3),
        "planted": lambda: planted_film(volume, film, np.full(SHAPE[1:], 2.3, np.float32), 2.5, 1.0),
    }[kind]()
    window = box(data, SHAPE)
    assert copy.dtype == volume.dtype and copy.shape == volume.shape
    assert (copy[window] == copy[...][window]).all()


@given(edge=st.integers(8, 33), seed=st.integers(0, 1000))
def test_changed_phases_keep_every_layers_amplitudes_and_its_mean(edge: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tile = rng.normal(5, 1, (2, edge, edge)).astype(np.float32)
    turned = with_phases(tile, random_phases(edge, rng))
    before, after = np.abs(np.fft.fft2(tile)), np.abs(np.fft.fft2(turned))
    # a real tile of even edge has lone frequencies whose phase can only be 0 or half a turn: those of white noise are too
    assert after == pytest.approx(before, rel=1e-3, abs=1e-2)
    assert turned.mean() == pytest.approx(5, abs=0.5)


def test_layers_keep_their_relation_to_one_another() -> None:
    tile = np.asarray(papyrus((4, 64, 64))[...], np.float32)
    turned = with_phases(tile, random_phases(64, np.random.default_rng(1)))
    before = np.corrcoef(tile.reshape(4, -1))
    assert np.corrcoef(turned.reshape(4, -1)) == pytest.approx(before, abs=1e-3)


def test_a_scrambled_tile_has_nearly_its_grey_values_and_its_spectrum_again_but_elsewhere() -> None:
    tile, whole = np.asarray(papyrus((3, 64, 64))[...], np.float32), np.ones((64, 64), bool)
    level, changed = scrambled_tile(tile, whole, whole, np.random.default_rng(2))
    scrambled = changed + level
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    for z in range(3):
        assert np.quantile(scrambled[z], shares) == pytest.approx(
            np.quantile(tile[z], shares), abs=0.35 * float(tile[z].std())
        )
    power = [np.abs(np.fft.rfft2(one - one.mean(axis=(1, 2), keepdims=True))) ** 2 for one in (tile, scrambled)]
    bands = [one.reshape(3, 8, 8, -1).mean(axis=(2, 3)) for one in power]  # along y, eight bands
    holds = bands[0] > 0.1 * bands[0].max()  # elsewhere there is next to nothing, a hundredth
    assert bands[1][holds] == pytest.approx(bands[0][holds], rel=0.5)
    assert abs(np.corrcoef(tile[0].ravel(), scrambled[0].ravel())[0, 1]) < 0.3


def bare_phantom(folder: Path, seed: int) -> np.ndarray:
    """(16, 192, 192) layers about a sheet without ink, at half the resolution; whole tiles of 96."""
    make_fragments(
        folder, fragment_settings("zero", (24, 384, 384), letter_height_px=110), seed, train=1, test=0, jobs=1
    )
    layers = open_volume(next((folder / "train").iterdir()), 7.91)[2:18]
    return np.asarray(block_mean(layers, (1, 2, 2)), np.float32)


def scrambled_by_whole_tiles(volume: np.ndarray, edge: int, rng: np.random.Generator) -> np.ndarray:
    """The plain way: each tile's own spectrum, its edges as they are, its grey values dealt out again."""
    found = np.empty_like(volume)
    for y in range(0, volume.shape[1], edge):
        for x in range(0, volume.shape[2], edge):
            tile = volume[:, y : y + edge, x : x + edge]
            flat = tile - tile.mean(axis=(1, 2), keepdims=True)
            turned = with_phases(flat, random_phases(edge, rng)).reshape(len(tile), -1)
            found[:, y : y + edge, x : x + edge] = with_values_of(turned, tile.reshape(len(tile), -1)).reshape(
                tile.shape
            )
    return found


def blots(volume: np.ndarray) -> np.ndarray:
    """Of structure as wide as a stroke, (3, Z): its spread, its kurtosis, and how unevenly its variance lies over the sheet."""
    band = np.stack([gaussian_filter(one, 2) - gaussian_filter(one, 8) for one in volume])[:, 8:-8, 8:-8]
    local = np.stack([uniform_filter(one**2, 24)[12:-12:12, 12:-12:12] for one in band])
    centred = band - band.mean(axis=(1, 2), keepdims=True)
    kurtosis = (centred**4).mean(axis=(1, 2)) / band.var(axis=(1, 2)) ** 2
    return np.stack([band.std(axis=(1, 2)), kurtosis, local.std(axis=(1, 2)) / local.mean(axis=(1, 2))])


def test_copies_are_hardly_blotchier_than_papyrus_and_less_than_those_of_whole_tiles(tmp_path: Path) -> None:
    ours, plain = [], []
    for seed in range(1, 6):
        stack = bare_phantom(tmp_path / str(seed), seed)
        whole = np.ones(stack.shape[1:], bool)
        copy = phase_scrambled(Volume(stack, Path("bare")), whole, 96, seed)[...]
        ours.append(np.log(blots(copy) / blots(stack)))
        plain.append(np.log(blots(scrambled_by_whole_tiles(stack, 96, np.random.default_rng(seed))) / blots(stack)))
    (spread, kurtosis, uneven), other = np.mean(ours, axis=(0, 2)), np.mean(plain, axis=(0, 2))
    assert (
        -0.15 < spread < 0.02 and other[0] > 0.1
    )  # blobs are no stronger than papyrus's own; those of whole tiles are
    assert other[2] < uneven < 0.05  # the variance lies nearly where it lay
    assert other[1] < kurtosis < 0.05


def test_no_letter_is_left_where_it_lay() -> None:
    volume = papyrus((3, 192, 192))
    letters = np.zeros((192, 192), bool)
    for corner in (20, 110):
        letters[corner : corner + 50, corner : corner + 10] = True
        letters[corner : corner + 10, corner : corner + 50] = True
    inked = Volume((volume[...] + np.uint16(6000) * letters).astype(np.uint16), Path("inked"))
    whole = np.ones((192, 192), bool)
    missed, found = (
        phase_scrambled(inked, whole, 96, 8, kept)[...].astype(float)
        for kept in (whole, ~binary_dilation(letters, iterations=3))
    )

    def contrast(stack: np.ndarray) -> float:
        return float(stack[:, letters].mean() - stack[:, ~letters].mean())

    assert contrast(inked[...].astype(float)) > 5500
    assert abs(contrast(found)) < 1000  # what was found leaves nothing
    assert abs(contrast(missed)) < 2400  # what was missed a spot
    assert np.abs(np.diff(missed, axis=1))[:, letters[1:] != letters[:-1]].mean() < 1800  # of 6000: without edges


def test_blended_tiles_keep_mean_and_spread_of_every_layer() -> None:
    volume = papyrus((4, 150, 170))
    inside = np.ones((150, 170), bool)
    scrambled = phase_scrambled(volume, inside, 48, seed=1)[...].astype(float)
    whole = volume[...].astype(float)
    assert scrambled.mean(axis=(1, 2)) == pytest.approx(whole.mean(axis=(1, 2)), rel=0.005)
    assert scrambled.std(axis=(1, 2)) == pytest.approx(whole.std(axis=(1, 2)), rel=0.15)


def test_texture_is_taken_from_what_is_kept_alone() -> None:
    volume = papyrus((3, 96, 96))
    ink = np.zeros((96, 96), bool)
    ink[30:60, 20:70] = True
    inked = Volume((volume[...] + np.uint16(20000) * ink).astype(np.uint16), Path("inked"))
    scrambled = phase_scrambled(inked, np.ones((96, 96), bool), 48, 1, kept=~ink)[...]
    assert scrambled.max() < volume[...].max() + 3000 and scrambled.min() > volume[...].min() - 3000
    assert scrambled.std() == pytest.approx(volume[...].std(), rel=0.25)


def test_rows_and_columns_change_places() -> None:
    volume = papyrus()
    turned = exchanged_axes(volume)
    assert (turned[1:4, 5:30:2, 3:] == volume[1:4, 3:, 5:30:2].transpose(0, 2, 1)).all()
    assert (exchanged_axes(turned)[...] == volume[...]).all()


def test_what_is_no_papyrus_stays_and_seeds_differ() -> None:
    volume, inside = papyrus(), mask()
    one, other = (phase_scrambled(volume, inside, 32, seed)[...] for seed in (1, 2))
    assert (one[:, ~inside] == volume[...][:, ~inside]).all()
    assert (one[:, inside] != other[:, inside]).mean() > 0.9


def test_tiles_are_kept_two_rows_at_most() -> None:
    copy = phase_scrambled(papyrus((2, 400, 100)), np.ones((400, 100), bool), 16, seed=1)
    assert copy[...].shape == (2, 400, 100)
    kept = copy.array.tiles  # type: ignore[attr-defined]
    assert kept.spent <= kept.limit < 8 * copy.shape[0] * 16 * 4 * 100 * 2


@pytest.mark.parametrize(("edge", "shape"), [(4, SHAPE[1:]), (32, (3, 3))])
def test_tiles_too_small_and_masks_of_another_size_are_refused(edge: int, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="expected 8 pixels or more"):
        phase_scrambled(papyrus(), np.ones(shape, bool), edge, 0)


def test_a_film_adds_its_thickness_times_its_brightness() -> None:
    depths = np.arange(-20.0, 21.0)
    assert film_share(depths, film_vox=2.5, blur_vox=1.15).sum() == pytest.approx(2.5, abs=1e-3)
    assert depths[film_share(depths, 3.0, 1.15).argmax()] in (1.0, 2.0)  # behind the face, not before it


def test_planted_ink_follows_the_face_and_stays_within_the_type() -> None:
    volume = Volume(np.full((9, 4, 8), 65000, np.uint16), Path("flat"))
    film = np.full((4, 8), 500, np.float32)
    film[:, :2] = 0
    film[:, 2] = 5000
    face = np.tile(np.linspace(1, 6, 8, dtype=np.float32), (4, 1))
    planted = planted_film(volume, film, face, 1.5, 0.5)[...]
    assert (planted[:, :, :2] == 65000).all()
    assert planted.max() == 65535  # no wrapping round
    deepest = planted[:, 0, 3:].argmax(axis=0)
    assert (np.diff(deepest) >= 0).all() and deepest[-1] > deepest[0]


def test_a_film_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="a film of"):
        planted_film(papyrus(), np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32), 1, 1)
