"""What is beside the data is read under every usual name, or it is said that it is not; links that lead nowhere are named."""

import json
import shutil
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from scroll.config.schema import DataSettings
from scroll.data.cubes import find_cubes, read_cube_label
from scroll.data.fragments import Fragment, find_fragments
from scroll.data.labels import labels_beside
from scroll.errors import InputError, MissingInputError
from scroll.surfaces import open_surface
from scroll.volumes import open_volume
from scroll.volumes.masks import files_beside, read_beside

PAPYRUS = np.zeros((12, 16), bool)
PAPYRUS[:6] = True
GREY = (PAPYRUS * 255).astype(np.uint8)


@pytest.fixture
def fragment(tmp_path):
    layers = tmp_path / "train/a/surface_volume"
    layers.mkdir(parents=True)
    for n in range(3):
        tifffile.imwrite(layers / f"{n:02d}.tif", np.full(PAPYRUS.shape, n, np.uint8))
    return find_fragments(tmp_path / "train", DataSettings(root=tmp_path))[0]


def papyrus_of(fragment: Fragment) -> np.ndarray:
    """As a new process would read it."""
    return Fragment(fragment.id, fragment.folder, fragment.data).full_mask


def dead(path):
    path.symlink_to("/not/mounted/here")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "mask.png",
        "Mask.png",
        "a_mask.png",
        "A_MASK.PNG",
        "mask.tif",
        "a_mask.tiff",
        "surface_volume/mask.png",
        "surface_volume/Mask.TIF",
    ],
)
def test_a_mask_is_read_under_every_usual_name(fragment, name):
    picture = Image.fromarray(GREY)
    picture.save(fragment.folder / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(papyrus_of(fragment), PAPYRUS)


@pytest.mark.parametrize(
    "name",
    [
        "inklabels.png",
        "a_inklabels.png",
        "InkLabels.tif",
        "surface_volume/inklabels.png",
        "surface_volume/a_inklabels.tif",
    ],
)
def test_a_label_is_read_under_every_usual_name(fragment, name):
    Image.fromarray(GREY).save(fragment.folder / name)
    np.testing.assert_array_equal(fragment.full_label.target, PAPYRUS)


def test_a_bare_cube_has_the_mask_that_bears_its_name(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((3, *PAPYRUS.shape), np.uint8), photometric="minisblack")
    Image.fromarray(255 - GREY).save(tmp_path / "mask.png")  # whose, nobody knows
    Image.fromarray(GREY).save(tmp_path / "b_mask.png")
    cube = Fragment("b", tmp_path / "b.tif", DataSettings(root=tmp_path))
    np.testing.assert_array_equal(cube.full_mask, PAPYRUS)


@pytest.mark.parametrize(
    "name",
    [
        "papyrus_mask.png",
        "a_mask_v2.png",
        "b_mask.png",
        "mask.jpg",
        "a_inklabels_2.png",
        "a_flat_mask.png",
        "mask.zarr",
    ],
)
def test_what_looks_like_a_mask_or_label_and_is_not_read_is_named(fragment, name):
    (fragment.folder / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=rf"{name}.* passed over; expected mask\.png, a_mask\.png"):
        assert papyrus_of(fragment).all()


def test_two_that_agree_are_one_and_two_that_differ_are_both_named(fragment):
    Image.fromarray(GREY).save(fragment.folder / "mask.png")
    tifffile.imwrite(fragment.folder / "a_mask.tif", GREY)
    np.testing.assert_array_equal(papyrus_of(fragment), PAPYRUS)
    tifffile.imwrite(fragment.folder / "a_mask.tif", 255 - GREY)
    with pytest.raises(InputError, match=r"a_mask\.tif and .*/mask\.png differ"):
        papyrus_of(fragment)


def test_a_label_that_is_missing_is_reported_with_what_looks_like_it(fragment):
    (fragment.folder / "a_inklabels_v3.jpg").write_bytes(b"")
    with pytest.raises(MissingInputError, match=r"inklabels\.png: not there \(there is a_inklabels_v3\.jpg"):
        labels_beside(fragment.folder, "a", PAPYRUS, DataSettings())


def test_a_canvas_one_pixel_larger_is_trimmed_and_said_where_canvases_are_rounded(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.pad(GREY, ((0, 1), (0, 1)), constant_values=255)).save(path)
    with pytest.warns(UserWarning, match=r"\(13, 17\).*\(12, 16\); trimmed at the far edge"):
        np.testing.assert_array_equal(read_beside([path], PAPYRUS.shape, slack=1), PAPYRUS)
    for shape, slack in ((PAPYRUS.shape, 0), ((15, 17), 1), ((13, 19), 1), ((11, 15), 1)):
        with pytest.raises(InputError, match=r"\(13, 17\)"):
            read_beside([path], shape, slack)


def test_a_supervision_mask_makes_the_rest_unknown_and_may_be_a_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "s_inklabels.tif", GREY)
    tifffile.imwrite(tmp_path / "s_supervision_mask.tif", 255 - GREY)
    label = labels_beside(tmp_path, "s", np.ones(PAPYRUS.shape, bool), DataSettings()).training
    np.testing.assert_array_equal(label.ignore, PAPYRUS)
    np.testing.assert_array_equal(label.target, PAPYRUS)


@pytest.mark.parametrize("name", ["map_mask.png", "map_mask.tif", "MAP_Mask.PNG"])
def test_the_mask_of_a_per_pixel_map_is_read_under_every_usual_name(tmp_path, name):
    head = b"width: 16\nheight: 12\ndim: 6\nordered: true\ntype: double\nversion: 1\n<>\n"
    (tmp_path / "map.ppm").write_bytes(head + np.ones((*PAPYRUS.shape, 6), "<f8").tobytes())
    Image.fromarray(GREY).save(tmp_path / name)
    np.testing.assert_array_equal(open_surface(tmp_path / "map.ppm").valid[:, :], PAPYRUS)


def test_a_link_that_leads_nowhere_is_named_wherever_it_lies(fragment, tmp_path):
    readers = {
        fragment.folder / "mask.png": lambda: papyrus_of(fragment),
        fragment.folder / "a_inklabels.png": lambda: fragment.full_label,
        fragment.folder / "surface_volume/03.tif": lambda: open_volume(fragment.folder),
        tmp_path / "cube.tif": lambda: open_volume(tmp_path / "cube.tif"),
        tmp_path / "sheet.obj": lambda: open_surface(tmp_path / "sheet.obj"),
        fragment.folder / "layers": lambda: open_volume(fragment.folder),
        tmp_path / "elsewhere": lambda: find_fragments(tmp_path / "elsewhere/train", fragment.data),
        tmp_path / "train/b": lambda: find_fragments(tmp_path / "train", fragment.data),
    }
    for path, read in readers.items():
        dead(path)
        with pytest.raises(MissingInputError, match=rf"{path}: leads to /not/mounted/here, which is not there"):
            read()
        path.unlink()


@pytest.fixture
def cubes(tmp_path):
    for folder in ("train_images", "train_labels"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "1.tif", np.ones((3, 4, 5), np.uint8), photometric="minisblack")
    (tmp_path / "train.csv").write_text("id,scroll_id\n1,9\n2,9\n")
    return DataSettings(root=tmp_path, kind="cubes")


def test_a_cube_may_end_in_tiff_and_two_that_differ_are_named(cubes):
    images = cubes.root / "train_images"
    shutil.move(images / "1.tif", images / "1.TIFF")
    assert [cube.image.name for cube in find_cubes(cubes.root, cubes)] == ["1.TIFF"]
    tifffile.imwrite(images / "1.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"1\.tif and 1\.TIFF differ"):
        find_cubes(cubes.root, cubes)


def test_a_cube_that_is_a_dead_link_is_not_left_out_in_silence(cubes):
    dead(cubes.root / "train_images/2.tif")
    with pytest.raises(MissingInputError, match=r"2\.tif: leads to"):
        find_cubes(cubes.root, cubes)
    assert len(find_cubes(cubes.root, cubes, ["1"])) == 1  # the others need not have been fetched


def test_a_cube_label_of_other_values_is_refused_by_the_score_as_by_the_training(cubes):
    path = cubes.root / "train_labels/1.tif"
    assert read_cube_label(path.parent, "1").all()
    tifffile.imwrite(path, np.full((3, 4, 5), 255, np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"holds values \[255\], expected 0 background, 1 surface, 2 unlabelled"):
        read_cube_label(path.parent, "1")


def tifxyz(folder, x0):
    folder.mkdir()
    rows, columns = np.mgrid[:6, :9].astype(np.float32)
    for name, values in {"x": x0 + 4 * columns, "y": 50 + 0 * rows, "z": 20 + 4 * rows}.items():
        tifffile.imwrite(folder / f"{name}.tif", values)
    (folder / "meta.json").write_text(json.dumps({"format": "tifxyz", "scale": [0.25, 0.25]}))
    return folder


def test_a_surface_that_was_being_saved_is_read_as_it_was_before(tmp_path):
    surface, new = tifxyz(tmp_path / "seg", 50), tifxyz(tmp_path / "new", 950)
    journal = tifxyz(surface / ".vc-save-rollback", 50)
    shutil.copy(new / "x.tif", surface / "x.tif")
    assert open_surface(surface).points[0, 0, 2] == 950  # not ready: the save was complete
    (journal / ".ready").write_text("ready\n")
    with pytest.warns(UserWarning, match="interrupted while it saved"):
        assert open_surface(surface).points[0, 0, 2] == 50


def test_the_mask_of_a_grid_may_be_spelt_otherwise_and_is_no_mask_of_the_canvas(tmp_path):
    surface = tifxyz(tmp_path / "seg", 50)
    keep = np.full((6, 9), 255, np.uint8)
    keep[2] = 0
    tifffile.imwrite(surface / "Mask.TIFF", keep)
    np.testing.assert_array_equal(open_surface(surface).valid, keep > 0)
    assert files_beside([surface], "seg", "mask", reserved=("mask.tif", "mask.tiff")) == []
