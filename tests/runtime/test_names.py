"""A name never leads out of its folder, nor to what a run folder keeps there, wherever it comes from."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from ensemble.request import input_sheets
from scroll.config.reader import load_settings
from scroll.config.schema import DataSettings
from scroll.data.cubes import find_cubes
from scroll.data.fragments import find_fragments
from scroll.data.segments import find_segments
from scroll.errors import InputError
from scroll.report.patch_pictures import Patch, save_patches
from scroll.runtime.names import RESERVED, name_of_file, sound_name

BAD = [
    "../x",
    "/abs",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    ".hidden",
    "a b",
    "a\n",
    "ink\0",
    "ä",
    "x" * 101,
    "a.",
    "con",
    "Nul.txt",
    "patches",
    "Stage2",
]
GOOD = [
    "20230827161847",
    "PHerc0139",
    "w016_flattened",
    "1",
    "a",
    "1-wrap-05",
    "500P2a",
    "unet3d",
    "v1.2",
    "-",
    "console",
]


@pytest.mark.parametrize("name", GOOD)
def test_names_of_real_data_are_sound(name):
    assert sound_name(name) == name


@given(st.text())
def test_a_sound_name_is_one_part_of_a_path_below_its_folder(text):
    try:
        name = sound_name(text)
    except ValueError:
        return
    assert (Path("/run") / name).parent == Path("/run") and len(Path(name).parts) == 1 and name not in RESERVED


@pytest.mark.parametrize("name", BAD)
def test_settings_refuse_a_member_or_a_fragment_that_is_called_so(tmp_path, name):
    message = []
    for text in (
        f"stage1: {{members: {{{name!r}: {{network: unet3d}}}}}}\n",
        f"data: {{train: [{name!r}]}}\nstage1: {{members: {{a: {{network: unet3d}}}}}}\n",
    ):
        (tmp_path / "run.yaml").write_text("run_dir: r\n" + text)
        with pytest.raises(InputError) as caught:
            load_settings(tmp_path / "run.yaml")
        message.append(str(caught.value))
    assert not any("\n" in line for line in message)


@pytest.mark.parametrize("name", ["../elsewhere", "/abs", "masks", "a/b"])
def test_a_cube_of_the_list_that_is_called_so_is_refused_with_its_row(tmp_path, name):
    (tmp_path / "test_images").mkdir()
    tifffile.imwrite(tmp_path / "elsewhere.tif", np.zeros((4, 4, 4), np.uint8), photometric="minisblack")
    (tmp_path / "test.csv").write_text(f"id,scroll_id\n{name},5\n")
    with pytest.raises(InputError, match=r"test\.csv: row 2: cube id: .* rename it"):
        find_cubes(tmp_path, DataSettings(kind="cubes", root=tmp_path), part="test")


@pytest.mark.parametrize("find", [find_fragments, find_segments])
def test_a_folder_that_is_called_so_is_refused_where_it_is_asked_for(tmp_path, find):
    for name in ("a", "patches", "old stuff"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="'old stuff' is no name"):
        find(tmp_path, DataSettings(root=tmp_path))
    with pytest.raises(InputError, match="'patches' is a name that a run folder keeps"):
        find(tmp_path, DataSettings(root=tmp_path), ["patches"])
    assert [one.id for one in find(tmp_path, DataSettings(root=tmp_path), ["a"])] == ["a"]


def test_one_volume_given_by_its_path_may_be_called_anything(tmp_path):
    path = tmp_path / "PHerc 139, scan 2.tif"
    tifffile.imwrite(path, np.zeros((4, 4, 4), np.uint8), photometric="minisblack")
    (tmp_path / "run.yaml").write_text("run_dir: r\nstage1: {members: {a: {network: unet3d}}}\n")
    (sheet,) = input_sheets(load_settings(tmp_path / "run.yaml"), path)
    assert sheet.id == "PHerc_139__scan_2" and sheet.folder == path
    with pytest.raises(InputError):
        name_of_file("...")


def test_pictures_of_patches_replace_those_of_before_and_nothing_else(tmp_path):
    cuts = {axis: np.zeros((8, 8), np.uint8) for axis in "zyx"}
    patch = Patch("a", "worst", 0.5, (0, 0, 0), (0, 0, 0), (8, 8, 8), {"CT": cuts, "label": cuts})
    save_patches(tmp_path / "patches", [patch, patch])
    others = [tmp_path / "patches" / name for name in ("ensemble/ink_mask.png", "worst-1/notes.txt", "best-of/z_0.png")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("not a picture of a patch")
    save_patches(tmp_path / "patches", [patch])
    there = {p.relative_to(tmp_path / "patches").as_posix() for p in (tmp_path / "patches").rglob("*.*")}
    assert {"ensemble/ink_mask.png", "worst-1/notes.txt", "best-of/z_0.png", "worst-1/x_1.png"} <= there
    assert not any(name.startswith("worst-2") for name in there)


def test_pictures_that_a_link_leads_to_are_left_alone(tmp_path):
    cuts = {axis: np.zeros((8, 8), np.uint8) for axis in "zyx"}
    patch = Patch("a", "worst", 0.5, (0, 0, 0), (0, 0, 0), (8, 8, 8), {"CT": cuts, "label": cuts})
    save_patches(tmp_path / "first", [patch])
    (tmp_path / "second").mkdir()
    (tmp_path / "second/worst-1").symlink_to(tmp_path / "first/worst-1", target_is_directory=True)
    before = (tmp_path / "first/worst-1/z_0.png").stat().st_mtime_ns
    save_patches(tmp_path / "second", [patch])
    assert (tmp_path / "first/worst-1/z_0.png").stat().st_mtime_ns == before
    assert (tmp_path / "second/worst-1/z_0.png").is_file() and not (tmp_path / "second/worst-1").is_symlink()
