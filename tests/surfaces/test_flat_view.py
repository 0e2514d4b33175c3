"""A sheet seen as a stack gives, piece by piece, what flattening the whole would."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.surfaces.flat_view import FlatView
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface, normals_of

CELL, LAYERS, FIRST = 4.0, 9, -4.0


def wavy() -> Surface:
    rows, columns = np.meshgrid(np.arange(0, 60, CELL), np.arange(0, 72, CELL), indexing="ij")
    y = 30 + 6 * np.sin(columns / 15)
    points = np.stack([rows + 5, y, columns + 8], axis=-1).astype(np.float32)
    valid = np.ones(rows.shape, bool)
    valid[4:6, 6:9] = False
    points[~valid] = -1
    return Surface(points, normals_of(points, valid), valid, (CELL, CELL), Path("wavy"))


VOLUME = np.random.default_rng(0).integers(0, 256, (70, 60, 90), dtype=np.uint8)


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_all_of_it_is_the_flattened_stack(step):
    view = FlatView(wavy(), Source(VOLUME), FIRST, LAYERS, step)
    whole = sample_along_normals(
        wavy().tile(slice(None), slice(None)), Offsets(FIRST, FIRST + LAYERS * step, step), [Source(VOLUME)]
    )[0]
    assert view.shape == whole.shape == (LAYERS, 60, 72)
    np.testing.assert_array_equal(view[:, :, :], np.nan_to_num(whole))
    assert (view[:, 20:24, 30:34] == 0).all() and view[:, :, :][4].any()


@settings(max_examples=30, deadline=None)
@given(cuts=st.tuples(*(st.slices(n) for n in (LAYERS, 60, 72))))
def test_any_piece_is_the_same_piece_of_the_whole(cuts):
    forward = tuple(cut if (cut.step or 1) > 0 else slice(None, None, -cut.step) for cut in cuts)
    view = FlatView(wavy(), Source(VOLUME), FIRST, LAYERS)
    np.testing.assert_allclose(view[forward], view[:, :, :][forward], atol=1e-3)


def test_a_stack_of_tiff_layers_or_a_tiff_cube_is_sampled_like_the_array_it_holds(tmp_path):
    import tifffile

    from scroll.volumes import open_volume

    tifffile.imwrite(tmp_path / "cube.tif", VOLUME, photometric="minisblack", compression="lzw")
    (tmp_path / "layers").mkdir()
    for z, layer in enumerate(VOLUME):
        tifffile.imwrite(tmp_path / "layers" / f"{z:02d}.tif", layer)
    tile = wavy().tile(slice(None), slice(None))
    held = sample_along_normals(tile, Offsets(-2, 3), [Source(VOLUME)])
    for name in ("cube.tif", "layers"):
        found = sample_along_normals(tile, Offsets(-2, 3), [Source(open_volume(tmp_path / name))])
        np.testing.assert_array_equal(found, held)
