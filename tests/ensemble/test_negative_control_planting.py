"""Letters are planted on bare papyrus, on its face, at the contrast told; copies of a fragment keep their own keys."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ensemble.audit.sheet import How
from ensemble.audit.study import asked_about, audit
from ensemble.controls.asked import alone
from ensemble.controls.copies import (
    Copy,
    Planted,
    Scrambled,
    Shuffled,
    changed,
    negative_controls,
    reversed_copy,
)
from ensemble.controls.detectability import because_of_ink, check_contrasts, found_share
from ensemble.controls.planting import (
    Cells,
    face_layer,
    film_of,
    free_cells,
    learnt_layer,
    letter_height_um,
    letters_at,
)
from scroll.audit.figures import REVERSED
from scroll.config.reader import load_settings
from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.errors import InputError


def fragment(root: Path, layers: np.ndarray, ink: np.ndarray | None = None, **changes: object) -> Fragment:
    """Layers (Z, Y, X) in the competition's layout, all papyrus."""
    folder = root / "train" / "a"
    (folder / "surface_volume").mkdir(parents=True)
    for number, layer in enumerate(layers):
        tifffile.imwrite(folder / "surface_volume" / f"{number:02d}.tif", layer)
    for name, pixels in (("mask.png", np.ones(layers.shape[1:], bool)), ("inklabels.png", ink)):
        if pixels is not None:
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / name)
    data = {"root": root, "cache_dir": root / "cache", "voxel_um": 8.0, "depth": (-4, 3)} | changes
    return Fragment("a", folder, DataSettings.model_validate(data))


def numbered(layers: int, shape_yx: tuple[int, int] = (40, 36)) -> np.ndarray:
    """Layers that each hold their own number, thousandfold."""
    return np.tile((1000 * np.arange(layers, dtype=np.uint16))[:, None, None], (1, *shape_yx))


@pytest.mark.parametrize("layers", [17, 16])
@pytest.mark.parametrize("bin_yx", [1, 2])
def test_the_reversed_copy_is_the_mirror_image_about_the_sheets_centre(
    tmp_path: Path, layers: int, bin_yx: int
) -> None:
    real = fragment(tmp_path, numbered(layers), bin_yx=bin_yx)
    centre = layers // 2
    seen = reversed_copy(real).ct[:, 0, 0] // 1000
    assert (real.ct[:, 0, 0] // 1000).tolist() == list(range(centre - 4, centre + 3))
    assert seen.tolist() == list(
        range(centre + 4, centre - 3, -1)
    )  # the sheet's centre where it was: fifth of the window


def test_the_reversed_copy_is_turned_by_a_quarter_with_its_papyrus(tmp_path: Path) -> None:
    layers = numbered(17) + np.arange(40, dtype=np.uint16)[:, None]
    real = fragment(tmp_path, layers)
    Image.fromarray((np.arange(40)[:, None] * np.ones(36) < 20).astype(np.uint8) * 255).save(real.folder / "mask.png")
    copy = reversed_copy(real)
    assert copy.shape_yx == (36, 40) and copy.mask.shape == copy.ct.shape[1:] == (36, 40)
    assert (copy.mask == real.mask.T).all() and copy.mask[:, :20].all() and not copy.mask[:, 20:].any()
    assert (np.diff(copy.ct[0, 0].astype(int)) == 1).all()  # what grew down the rows grows along them
    assert Copy(REVERSED, 1, copy).laid_on(real.mask).shape == (36, 40)


def test_a_mirrored_window_that_hangs_over_is_moved_into_the_stack(tmp_path: Path) -> None:
    real = fragment(tmp_path, numbered(12), depth=(-6, 1))
    assert (reversed_copy(real).ct[:, 0, 0] // 1000).tolist() == list(range(11, 4, -1))


def test_every_copy_has_a_key_and_a_name_of_its_own_and_the_files_of_the_original(tmp_path: Path) -> None:
    real = fragment(tmp_path, numbered(17))
    kept = np.ones((40, 36), bool)
    copies = negative_controls(real, np.zeros((40, 36), bool), 2)
    assert len({copy.name for copy in copies}) == len({copy.fragment.key for copy in copies} | {real.key}) - 1 == 5
    assert all(copy.fragment.folder == real.folder for copy in copies)
    assert {one.fragment.key for one in negative_controls(real, np.zeros((40, 36), bool), 2)} == {
        copy.fragment.key for copy in copies
    }
    assert (
        len(
            {
                changed(real, how, "").key
                for how in (Scrambled(1, 16, kept), Scrambled(1, 32, kept), Scrambled(1, 16, ~kept))
            }
        )
        == 3
    )


def test_a_shuffled_fragment_holds_the_layers_of_its_window_and_the_same_grey_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real = fragment(tmp_path, rng.integers(0, 60000, (17, 40, 36), dtype=np.uint16))
    copy = changed(real, Shuffled(3), "shuffled")
    assert sorted(copy.ct[:, 5, 5]) == sorted(real.ct[:, 5, 5]) and (copy.ct[...] != real.ct[...]).any()
    assert copy.grey_scale == pytest.approx(real.grey_scale)
    assert copy.patch(0, 0, 0, (7, 40, 36)).mean() == pytest.approx(real.patch(0, 0, 0, (7, 40, 36)).mean(), abs=1e-5)


def test_a_planted_fragment_differs_only_where_ink_lies_and_by_the_grey_given(tmp_path: Path) -> None:
    real = fragment(tmp_path, np.full((17, 40, 36), 20000, np.uint16))
    film = np.zeros((40, 36), np.float32)
    film[10:20, 10:20] = 1000
    ink = Planted(film, np.full((40, 36), 2.0, np.float32), 3.0, 0.3, "x")
    added = changed(real, ink, "planted").ct[...].astype(int) - 20000
    assert added[3, 15, 15] == pytest.approx(1000, abs=5)
    assert (added[:, film == 0] == 0).all() and added.sum(axis=0)[15, 15] == pytest.approx(3000, abs=30)


def test_free_places_are_papyrus_bear_nothing_found_and_keep_apart() -> None:
    rng = np.random.default_rng(1)
    papyrus, found = np.ones((160, 200), bool), np.zeros((160, 200), bool)
    papyrus[:, :30] = False
    for y, x in rng.integers(0, 150, (12, 2)):
        found[y : y + 6, x : x + 6] = True
    cells = free_cells(papyrus, found, 16)
    assert len(cells.corner_px) >= 8
    for y, x in cells.corner_px:
        box = (slice(y, y + 16), slice(x, x + 16))
        assert papyrus[box].mean() >= 0.98 and not found[box].any() and found[box].shape == (16, 16)
    apart = np.abs(cells.corner_px[:, None] - cells.corner_px[None]).max(axis=2)
    assert apart[~np.eye(len(apart), dtype=bool)].min() >= cells.cell_px == 32


@pytest.mark.parametrize("edge", [10, 100])
def test_no_free_place_is_an_error_that_says_what_to_do(edge: int) -> None:
    with pytest.raises(InputError, match="plant smaller letters"):
        free_cells(np.ones((60, 60), bool), np.ones((60, 60), bool), edge)


def test_letters_fill_their_boxes_and_each_has_its_number() -> None:
    cells = Cells(np.array([[5, 5], [5, 60]]), letter_px=24, cell_px=48)
    cover, number = letters_at(cells, (40, 100), seed=1)
    assert {*np.unique(number)} == {0, 1, 2}
    for place, (y, x) in enumerate(cells.corner_px, start=1):
        rows, columns = np.nonzero(number == place)
        assert rows.min() >= y and rows.max() < y + 24 and columns.min() >= x and columns.max() < x + 24
        assert np.ptp(rows) >= 20  # as high as it was asked to be
        assert 0.1 < (number[y : y + 24, x : x + 24] == place).mean() < 0.7
    assert (cover[number == 0].max() <= 0.5) and cover.max() == 1


def test_the_film_is_as_bright_as_asked_for_at_each_place_and_absent_at_nought() -> None:
    cells = Cells(np.array([[5, 5], [5, 60]]), letter_px=30, cell_px=48)
    cover, number = letters_at(cells, (40, 100), seed=1)
    film = film_of(cover, number, np.array([1000.0, 0.0]), blur_px=0.3, seed=1)
    assert film[cover[:, :50].nonzero()].mean() == pytest.approx(1000, rel=0.25)
    assert film[:, 50:].max() < 1e-3
    doubled = film_of(cover, number, np.array([2000.0, 0.0]), blur_px=0.3, seed=1)
    assert doubled == pytest.approx(2 * film, rel=1e-4)


def test_the_face_is_where_air_turns_to_papyrus(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tilt = np.linspace(6.0, 11.0, 200)[None] + np.zeros((120, 1))
    layers = np.where(np.arange(21)[:, None, None] >= tilt, 30000, 15000) + rng.normal(0, 3000, (21, 120, 200))
    real = fragment(tmp_path, layers.astype(np.uint16), depth=(-8, 4), bin_yx=2)
    face = face_layer(real, learnt_layer(real, None))
    true = tilt[::2, ::2] - real.layers[0]  # the first layer behind the face
    assert np.abs(face - true).mean() < 0.6


def test_where_ink_was_learnt_to_lie(tmp_path: Path) -> None:
    real = fragment(tmp_path, numbered(17))
    assert learnt_layer(real, None) == 3  # the middle of the window's seven layers
    assert learnt_layer(real, (-3, 0)) == 2  # layers -3, -2, -1 are 1, 2, 3 of the window


def test_letters_are_as_high_as_most_ink_is_and_scraps_do_not_count(tmp_path: Path) -> None:
    ink = np.zeros((40, 36), bool)
    ink[4:24, 4:10] = True
    ink[4:24, 20:26] = True
    for y in range(28, 38, 3):
        ink[y, ::4] = True
    assert letter_height_um([fragment(tmp_path, numbered(9), ink)]) == 20 * 8


def test_no_letters_in_the_labels_give_a_common_height(tmp_path: Path) -> None:
    assert letter_height_um([fragment(tmp_path, numbered(9), np.zeros((40, 36), bool))]) == 1500


def test_share_of_a_letter_that_lies_in_a_mask() -> None:
    number = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], np.int32)
    mask_share = np.array([[1, 0.5, 1, 0], [0, 0.5, 1, 0]], np.float32)
    assert found_share(mask_share, number).tolist() == [0.5, 0]


@pytest.mark.parametrize("contrasts", [(1.0,), (0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_contrasts_that_make_no_curve_are_refused(contrasts: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="rising"):
        check_contrasts(contrasts)


def test_one_that_calls_everything_ink_finds_no_letter_and_gains_nothing_by_one() -> None:
    everything = because_of_ink(np.ones((5, 3)), np.ones(5))
    assert not everything[0].any() and everything[1].tolist() == [0, 0, 0]
    found, gained = because_of_ink(np.array([[0.0, 0.6], [0.3, 1.0]]), np.array([0.0, 0.2]))
    assert found.tolist() == [[False, True], [False, True]] and gained == pytest.approx([0.05, 0.7])


def test_a_run_on_cubes_and_no_copies_at_all_are_refused(tmp_path: Path) -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    with pytest.raises(InputError, match=r"not for ink.*score_cubes\.py"):
        asked_about(alone(load_settings(configs / "demo_surface.yaml", []), {}), [tmp_path], tmp_path)
    with pytest.raises(InputError, match="--copies is 0"):
        audit(alone(load_settings(configs / "demo_ink.yaml", []), {}), [tmp_path], tmp_path, How(copies=0), "")
