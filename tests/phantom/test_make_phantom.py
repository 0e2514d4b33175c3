"""The command `make_phantom.py`: layouts on disk, repeatable, never mixed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import binary_erosion

from scroll.errors import InputError
from scroll.phantom.cube import draw_cube, draw_scroll
from scroll.phantom.dataset import make_cubes, make_fragments, make_surfaces
from scroll.phantom.settings import cube_settings, fragment_settings, mixed_scrolls
from tests.steps import step

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_phantom.py"
SETTINGS = fragment_settings("default", (9, 96, 80))


def contents(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def fragments(tmp_path_factory):
    out = tmp_path_factory.mktemp("fragments")
    make_fragments(out, SETTINGS, seed=1, train=2, test=1, jobs=1)
    return out


def test_fragments_lie_exactly_as_in_the_competition(fragments):
    layers = [f"surface_volume/{z:02d}.tif" for z in range(9)]
    expected = {f"train/{n}/{name}" for n in (1, 2) for name in [*layers, "mask.png", "inklabels.png"]}
    expected |= {f"test/a/{name}" for name in [*layers, "mask.png"]} | {"heldout/a/inklabels.png", "phantom.json"}
    assert set(contents(fragments)) == expected


def test_layers_are_uncompressed_16_bit_and_labels_0_or_255(fragments):
    with tifffile.TiffFile(fragments / "train/1/surface_volume/00.tif") as tiff:
        page = tiff.pages[0]
        assert len(tiff.pages) == 1 and page.shape == (96, 80) and page.dtype == np.uint16
        assert page.compression == 1
        assert sum(page.databytecounts) == 96 * 80 * 2
    for name in ("train/1/mask.png", "train/1/inklabels.png", "heldout/a/inklabels.png"):
        image = np.asarray(Image.open(fragments / name))
        assert image.shape == (96, 80) and image.dtype == np.uint8 and set(np.unique(image)) == {0, 255}


def test_the_card_says_what_was_drawn(fragments):
    card = json.loads((fragments / "phantom.json").read_text())
    assert card["voxel_um"] == 7.91 and card["seed"] == 1
    assert card["parameters"]["size_zyx"] == [9, 96, 80] and "says nothing about real scrolls" in card["note"]


def test_a_second_run_does_nothing_and_a_larger_one_adds(fragments, tmp_path):
    before = contents(fragments)
    make_fragments(fragments, SETTINGS, seed=1, train=2, test=1, jobs=1)
    assert contents(fragments) == before
    make_fragments(tmp_path / "alone", SETTINGS, seed=1, train=2, test=0, jobs=2)
    for z in range(9):
        name = f"train/2/surface_volume/{z:02d}.tif"
        assert (fragments / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_an_interrupted_run_is_completed(tmp_path):
    make_fragments(tmp_path / "p", SETTINGS, seed=1, train=1, test=0, jobs=1)
    before = contents(tmp_path / "p")
    make_fragments(tmp_path / "p", SETTINGS, seed=1, train=2, test=0, jobs=1)
    after = contents(tmp_path / "p")
    assert before.items() <= after.items() and "train/2/mask.png" in after


def test_another_phantom_or_real_data_is_never_overwritten(fragments, tmp_path):
    with pytest.raises(InputError, match="other parameters"):
        make_fragments(fragments, SETTINGS, seed=2, train=1, test=0)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="no phantom"):
        make_fragments(tmp_path, SETTINGS, seed=1, train=1, test=0)


def test_cubes_lie_as_in_the_surface_competition(tmp_path):
    make_cubes(tmp_path, cube_settings("default", 40), seed=1, train=2, test=1, jobs=1)
    rows = list(csv.DictReader((tmp_path / "train.csv").open()))
    assert [set(row) for row in rows] == [{"id", "scroll_id"}] * 2
    for row in rows:
        with Image.open(tmp_path / "train_labels" / f"{row['id']}.tif") as pages:
            assert pages.n_frames == 40
            assert pages.info["compression"] == "tiff_lzw"
            pages.seek(39)
            assert np.asarray(pages).shape == (40, 40)
        image = tifffile.imread(tmp_path / "train_images" / f"{row['id']}.tif")
        label = tifffile.imread(tmp_path / "train_labels" / f"{row['id']}.tif")
        assert image.shape == label.shape == (40, 40, 40) and image.dtype == label.dtype == np.uint8
        assert label.max() <= 2
    (test,) = csv.DictReader((tmp_path / "test.csv").open())
    assert (tmp_path / "test_images" / f"{test['id']}.tif").exists()
    assert (tmp_path / "heldout" / f"{test['id']}.tif").exists()


def table(path):
    return {row["id"]: row["scroll_id"] for row in csv.DictReader(path.open())}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    out = tmp_path_factory.mktemp("mixed") / "cubes"
    arguments = ["cubes", "--mixed", "--size", "40", "--train", "3", "--test", "2", "--seed", "7", "--jobs", "1"]
    assert step(SCRIPT, *arguments, "--out", out).returncode == 0
    return out


def test_scrolls_that_are_alike_share_out_the_cubes_and_their_one_card(tmp_path):
    settings = cube_settings("default", 40)
    make_cubes(tmp_path, settings, seed=7, train=3, test=1, jobs=1)
    assert table(tmp_path / "train.csv") == {"1000000": "90001", "1000001": "90002", "1000002": "90000"}
    assert table(tmp_path / "test.csv") == {"2000000": "90002"}
    assert json.loads((tmp_path / "phantom.json").read_text())["parameters"]["sheet"]["pitch_vox"] == 23.0
    drawn = draw_cube(settings, (7, 1_000_001))
    assert np.array_equal(tifffile.imread(tmp_path / "train_images" / "1000001.tif"), drawn.volume)


def test_the_third_of_three_scrolls_that_differ_is_held_out(mixed):
    assert table(mixed / "train.csv") == {"1000000": "90000", "1000001": "90001", "1000002": "90000"}
    assert table(mixed / "test.csv") == {"2000000": "90002", "2000001": "90002"}
    train = {f"train_{kind}/100000{n}.tif" for kind in ("images", "labels") for n in range(3)}
    test = {f"{folder}/200000{n}.tif" for folder in ("test_images", "heldout") for n in range(2)}
    assert set(contents(mixed)) == train | test | {"train.csv", "test.csv", "phantom.json", "command.txt"}


def test_each_cube_is_drawn_from_the_scroll_that_its_row_names(mixed):
    scrolls = mixed_scrolls(40)
    for group, truths, number, scroll in (
        ("train", "train_labels", 1_000_000, scrolls[0]),
        ("train", "train_labels", 1_000_001, scrolls[1]),
        ("test", "heldout", 2_000_000, scrolls[2]),
    ):
        drawn = draw_cube(scroll, (7, number))
        assert np.array_equal(tifffile.imread(mixed / f"{group}_images" / f"{number}.tif"), drawn.volume)
        assert np.array_equal(tifffile.imread(mixed / truths / f"{number}.tif"), drawn.label)


def test_the_card_of_scrolls_that_differ_tells_the_parameters_of_each(mixed):
    parameters = json.loads((mixed / "phantom.json").read_text())["parameters"]
    assert [card["sheet"]["pitch_vox"] for card in parameters.values()] == [19.0, 26.0, 22.0]
    assert list(parameters) == ["90000", "90001", "90002"]


def test_mixed_scrolls_never_join_scrolls_that_are_alike(mixed):
    with pytest.raises(InputError, match="other parameters"):
        make_cubes(mixed, cube_settings("default", 40), seed=7, train=3, test=2)
    with pytest.raises(InputError, match="at least 2"):
        make_cubes(mixed, mixed_scrolls(40)[:1], seed=7, train=3, test=2)


def test_the_scrolls_differ_in_spacing_noise_and_damage():
    pitch, frayed, parted, noise = [], [], [], []
    for settings in mixed_scrolls(64):
        wraps = [draw_scroll(settings, seed).wraps for seed in range(4)]
        pitch.append(np.concatenate([np.diff(w.face, axis=0).mean(axis=(1, 2)) for w in wraps]).mean())
        frayed.append(np.mean([(w.fray > 0).mean() for w in wraps]))
        parted.append(np.mean([(w.gap > 0.5).mean() for w in wraps]))
        cube = draw_cube(settings, 1)
        air = binary_erosion(cube.paper == 0, iterations=4)
        noise.append(np.diff(cube.volume.astype(float), axis=0)[air[1:] & air[:-1]].std())
    tight, loose, damaged = range(3)
    assert pitch[tight] + 2 < pitch[damaged] < pitch[loose] - 2
    assert frayed[damaged] > 1.2 * max(frayed[tight], frayed[loose])
    assert parted[damaged] > 1.2 * max(parted[tight], parted[loose])
    assert noise[loose] > 1.05 * noise[tight]


def test_surfaces_are_tifxyz_folders(tmp_path):
    make_surfaces(tmp_path, cube_settings("easy", 64), seed=1, step_vox=4)
    volume = tifffile.imread(tmp_path / "volume.tif")
    folders = sorted((tmp_path / "segments").iterdir())
    assert volume.shape == (64, 64, 64) and folders
    for folder in folders:
        x, y, z = (tifffile.imread(folder / f"{axis}.tif") for axis in "xyz")
        meta = json.loads((folder / "meta.json").read_text())
        assert x.shape == y.shape == z.shape and x.dtype == np.float32
        assert meta["format"] == "tifxyz" and meta["type"] == "seg" and meta["scale"] == [0.25, 0.25]
        valid = z > 0
        assert (x[~valid] == -1).all() and (z[~valid] == -1).all()
        np.testing.assert_allclose(meta["bbox"][0], [a[valid].min() for a in (x, y, z)], atol=1e-4)
        np.testing.assert_allclose(meta["bbox"][1], [a[valid].max() for a in (x, y, z)], atol=1e-4)
        assert np.asarray(Image.open(folder / "inklabels.png")).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["fragments", "--size", "4", "99", "99"], "too small"), (["cubes", "--size", "8"], "too small")],
)
def test_a_wrong_size_is_reported_in_one_line(tmp_path, arguments, message):
    done = step(SCRIPT, *arguments, "--out", tmp_path / "x", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
    assert not (tmp_path / "x").exists()


def test_mixed_and_crushed_exclude_each_other(tmp_path):
    done = step(SCRIPT, "cubes", "--mixed", "--crushed", "--out", tmp_path / "x")
    assert done.returncode == 2 and "not allowed with" in done.stderr and not (tmp_path / "x").exists()
