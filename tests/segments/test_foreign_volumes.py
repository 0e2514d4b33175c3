"""A sheet traced in a volume that another program wrote: found where that says it is, at any level and in any cut-out."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from scroll.config.schema import DataSettings
from scroll.data.segments import find_segments, is_segment, surface_path
from scroll.errors import InputError
from scroll.surfaces import open_surface
from scroll.surfaces.blocks import Blocks
from scroll.surfaces.lift import image_band, lift

CT = np.zeros((96, 96, 96), np.uint8)
CT[24:40] = 200  # a thick sheet; its middle is traced at z = 32


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/1: a plane at z = 32."""
    folder = tmp_path_factory.mktemp("foreign")
    segment = folder / "train/1"
    segment.mkdir(parents=True)
    i, j = np.mgrid[:11, :11].astype(np.float32)
    for name, values in {"x": 4 + 8 * j, "y": 4 + 8 * i, "z": 32 + 0 * i}.items():
        tifffile.imwrite(segment / f"{name}.tif", values)
    (segment / "meta.json").write_text('{"format": "tifxyz", "scale": [0.125, 0.125]}')
    return folder


def volume(path, levels, begin_um=(0.0, 0.0, 0.0), edges_um=(8.0, 8.0, 8.0)):
    """Every so many voxels of the CT, each level with its scale."""
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    datasets = []
    for number, (steps, _) in enumerate(levels):
        scale = [edge * step for edge, step in zip(edges_um, steps, strict=True)]
        moves = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": list(begin_um)}]
        datasets.append({"path": str(number), "coordinateTransformations": moves})
    attributes = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}
    group = zarr.create_group(path, zarr_format=2, attributes=attributes)
    for number, (steps, array) in enumerate(levels):
        group.create_array(
            str(number), data=array[tuple(slice(None, None, step) for step in steps)], chunks=(24, 24, 24)
        )
    return str(path)


def seen(root, source, tmp_path, **more):
    data = DataSettings(
        root=root, kind="segments", volume=source, cache_dir=tmp_path / "cache", **{"voxel_um": 8.0, **more}
    )
    return find_segments(root / "train", data)[0]


FINEST = ((1, 1, 1), CT)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_the_sheet_is_where_it_was_traced_at_a_level_of_any_step(root, tmp_path, step):
    source = volume(tmp_path / "ct.zarr", [FINEST, ((step,) * 3, CT)])
    found = seen(root, source, tmp_path, level=1)
    assert found.picture()[found.full_mask].min() == 200
    assert (found.pixel_um, found.volume.place.edge, found.stack.step_vox) == (8.0, step, step)
    assert (found.key == seen(root, source, tmp_path, level=1).key) and found.full_mask.mean() > 0.8


@pytest.mark.parametrize(
    ("levels", "level", "edges_um"),
    [([FINEST, ((1, 2, 2), CT)], 1, (8.0, 8.0, 8.0)), ([FINEST], 0, (16.0, 8.0, 8.0))],
)
def test_voxels_that_are_no_cubes_are_refused_by_name(root, tmp_path, levels, level, edges_um):
    source = volume(tmp_path / "ct.zarr", levels, edges_um=edges_um)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match=r"(1 x 2 x 2|2 x 1 x 1) .*expected cubes"):
            seen(root, source, tmp_path, level=level).picture()


@pytest.mark.parametrize("level", [0, 1])
def test_a_cut_out_that_says_where_it_begins_is_looked_at_there(root, tmp_path, level):
    source = volume(tmp_path / "cut.zarr", [((1, 1, 1), CT[20:]), ((2, 2, 2), CT[20:])], begin_um=(160.0, 0.0, 0.0))
    found = seen(root, source, tmp_path, level=level)
    assert found.picture()[found.full_mask].min() == 200
    whole = seen(root, volume(tmp_path / "ct.zarr", [FINEST, ((2, 2, 2), CT)]), tmp_path, level=level)
    np.testing.assert_array_equal(found.full_mask, whole.full_mask)


def test_a_cut_out_that_the_sheet_does_not_reach_says_where_it_begins(root, tmp_path):
    source = volume(tmp_path / "cut.zarr", [((1, 1, 1), CT[40:])], begin_um=(320.0, 0.0, 0.0))
    with pytest.raises(InputError, match="wholly outside the volume of 56 96 96 that begins at 40 0 0"):
        _ = seen(root, source, tmp_path).surface


def test_a_setting_that_says_another_size_than_the_volume_is_named_with_it(root, tmp_path):
    source = volume(tmp_path / "ct.zarr", [FINEST])
    with pytest.warns(UserWarning, match=r"data\.voxel_um is 7\.91, but .* says 8 um, which is used"):
        assert seen(root, source, tmp_path, voxel_um=7.91).pixel_um == 8.0


@pytest.mark.parametrize("step", [1, 2])
def test_what_is_lifted_into_a_cut_out_is_that_part_of_the_whole(root, tmp_path, step):
    steps = (step,) * 3
    levels = [FINEST, (steps, CT)] if step > 1 else [FINEST]
    whole = seen(root, volume(tmp_path / "ct.zarr", levels), tmp_path, level=len(levels) - 1)
    cut_levels = [(found, array[20:]) for found, array in levels]
    source = volume(tmp_path / "cut.zarr", cut_levels, begin_um=(160.0, 0.0, 0.0))
    cut = seen(root, source, tmp_path, level=len(levels) - 1)
    lifted = []
    blocks = []
    for segment in (whole, cut):
        picture = np.full(segment.shape_yx, 1, np.uint8)
        painted = [image_band(segment.surface, picture, (0.0, 3.0 * step))]
        lifted.append(lift(painted, segment.volume.shape, level=segment.volume.place))
        blocks.append(Blocks(segment.volume.shape))
        blocks[-1].mark(segment.surface, (0, 88), (-2, 2), segment.volume.place)
    np.testing.assert_array_equal(lifted[1], lifted[0][20 // step :])
    assert lifted[1].any()
    assert blocks[1].touches((12 // step, 40 // step, 40 // step), (1, 1, 1))  # the sheet is at z = 32 - 20


@pytest.mark.parametrize("name", ["sheet.obj", "SHEET.OBJ"])
def test_a_mesh_is_found_in_letters_of_either_case_and_beside_what_macos_leaves(tmp_path, name):
    for file in (name, f"._{name}"):
        (tmp_path / file).touch()
    assert is_segment(tmp_path) and surface_path(tmp_path) == tmp_path / name


def test_a_surface_whose_files_an_interrupted_save_took_away_is_read_from_what_it_kept(root, tmp_path):
    kept = tmp_path / ".vc-save-rollback"
    shutil.copytree(root / "train/1", kept)
    assert not is_segment(tmp_path)
    (kept / ".ready").touch()
    with pytest.warns(UserWarning, match="interrupted while it saved"):
        assert open_surface(surface_path(tmp_path)).points[5, 5, 0] == 32


def test_a_mask_of_negative_numbers_which_would_keep_nothing_is_refused(root, tmp_path):
    shutil.copytree(root / "train/1", tmp_path / "1")
    tifffile.imwrite(tmp_path / "1/mask.tif", np.full((11, 11), -1, np.int8))
    with pytest.raises(InputError, match="nothing is kept"):
        open_surface(tmp_path / "1")


def test_a_level_given_by_its_own_path_is_sampled_in_its_place(root, tmp_path):
    source = volume(tmp_path / "s.zarr", [((1, 1, 1), CT), ((2, 2, 2), CT)]) + "/1"
    segment = find_segments(root / "train", DataSettings(root=root, kind="segments", volume=source, voxel_um=8.0))[0]
    assert segment.picture()[segment.full_mask].mean() > 150
    assert segment.pixel_um == 8.0
