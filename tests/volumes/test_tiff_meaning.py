"""TIFF pages mean what their header says: what a viewer shows is read, or the header is named in one line."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from scroll.errors import InputError
from scroll.surfaces import open_surface
from scroll.volumes import open_volume

SHOWN = np.random.default_rng(0).integers(0, 256, (3, 12, 16), dtype=np.uint8)
GREYS = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)
MEANT = {"axes": "ZYX"}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        open_volume(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def layers(folder, stored, **how):
    folder.mkdir()
    for n, layer in enumerate(stored):
        tifffile.imwrite(folder / f"{n:02d}.tif", layer, **how)
    return folder


@pytest.mark.parametrize("packed", [{}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_where_white_is_zero_the_shown_greys_are_read(tmp_path, packed, byteorder):
    shown = SHOWN.astype(np.uint16) * 257
    how = {"photometric": "miniswhite", "byteorder": byteorder, **packed}
    np.testing.assert_array_equal(open_volume(layers(tmp_path / "layers", 65535 - shown, **how))[...], shown)
    tifffile.imwrite(tmp_path / "cube.tif", 65535 - shown, bigtiff=True, **how)
    np.testing.assert_array_equal(open_volume(tmp_path / "cube.tif")[1:, 3:9, 2::3], shown[1:, 3:9, 2::3])


def test_a_palette_of_greys_is_looked_up_and_one_of_colours_refused(tmp_path):
    how = {"photometric": "palette", "compression": "zlib"}
    back = layers(tmp_path / "back", 255 - SHOWN, colormap=GREYS[:, ::-1], **how)
    np.testing.assert_array_equal(open_volume(back)[...], SHOWN)
    np.testing.assert_array_equal(open_volume(layers(tmp_path / "same", SHOWN, colormap=GREYS, **how))[...], SHOWN)
    fire = GREYS.copy()
    fire[2] = 0
    assert "a palette of colours" in refusal(layers(tmp_path / "fire", SHOWN, colormap=fire, **how) / "00.tif")


@pytest.mark.parametrize("orientation", [3, 4, 6])
def test_a_page_that_is_turned_or_mirrored_is_refused(tmp_path, orientation):
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "cube.tif", SHOWN, photometric="minisblack", extratags=[tag])
    assert f"orientation {orientation}" in refusal(tmp_path / "cube.tif")


def test_jpeg_is_refused_by_its_name_when_the_header_is_read(tmp_path):
    assert "compressed as JPEG" in refusal(layers(tmp_path / "layers", SHOWN, compression="jpeg") / "00.tif")


@pytest.mark.parametrize(
    ("shape", "how", "named"),
    [
        ((3, 2, 8, 8), {"imagej": True, "metadata": {"axes": "ZCYX"}}, "2 channels"),
        ((2, 3, 8, 8), {"imagej": True, "metadata": {"axes": "TZYX"}}, "2 times"),
        ((4, 8, 8), {"imagej": True, "metadata": {"axes": "CYX"}}, "4 channels"),
        ((2, 3, 8, 8), {"ome": True, "metadata": {"axes": "CZYX"}, "photometric": "minisblack"}, "2 channels"),
        ((2, 3, 8, 8), {"ome": True, "metadata": {"axes": "TZYX"}, "photometric": "minisblack"}, "2 times"),
        ((2, 3, 8, 8), {"metadata": {"axes": "TZYX"}, "photometric": "minisblack"}, "2 times"),
        ((2, 3, 8, 8), {"photometric": "minisblack"}, "2 x 3 x 8 x 8"),
    ],
)
def test_channels_and_times_are_not_taken_for_slices(tmp_path, shape, how, named):
    tifffile.imwrite(tmp_path / "cube.tif", np.zeros(shape, np.uint16), **how)
    assert named in refusal(tmp_path / "cube.tif")


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((3, 1, 8, 9), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
        ((1, 3, 8, 9), {"ome": True, "metadata": {"axes": "CZYX"}, "photometric": "minisblack"}),
        ((3, 8, 9), {"photometric": "minisblack"}),
        ((3, 8, 9), {"photometric": "minisblack", "metadata": None}),
    ],
)
def test_slices_beside_one_channel_of_one_time_are_read(tmp_path, shape, how):
    voxels = np.arange(216, dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "cube.tif", voxels, **how)
    np.testing.assert_array_equal(open_volume(tmp_path / "cube.tif")[...], voxels.reshape(3, 8, 9))


@pytest.mark.parametrize("how", [{"imagej": True, "metadata": MEANT}, {"metadata": MEANT, "byteorder": ">"}])
def test_all_slices_behind_a_single_header_are_read_or_found_cut_off(tmp_path, how):
    path = tmp_path / "big.tif"
    tifffile.imwrite(path, SHOWN.astype(np.uint16), truncate=True, photometric="minisblack", **how)
    np.testing.assert_array_equal(open_volume(path)[...], SHOWN)
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers/00.tif").write_bytes(path.read_bytes())
    assert "holds 3 pages" in refusal(tmp_path / "layers")
    path.write_bytes(path.read_bytes()[:-1])
    assert "one header for 3 slices, but the file ends after 2" in refusal(path)


def test_pages_that_were_split_off_a_stack_are_layers_whatever_is_said_of_the_whole(tmp_path):
    for packed in (None, "zlib"):
        folder = tmp_path / str(packed)
        folder.mkdir()
        message = "ImageJ=1.54\nimages=3\nslices=3\nhyperstack=true\n"
        for n, layer in enumerate(SHOWN):
            tifffile.imwrite(folder / f"{n:02d}.tif", layer, compression=packed, description=message, metadata=None)
        np.testing.assert_array_equal(open_volume(folder)[...], SHOWN)


def tifxyz(folder, mask, **how):
    folder.mkdir()
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    for name, values in {"x": 100 + 4 * columns, "y": 50 + 0 * rows, "z": 20 + 4 * rows}.items():
        tifffile.imwrite(folder / f"{name}.tif", values)
    (folder / "meta.json").write_text('{"format": "tifxyz", "scale": [0.25, 0.25]}')
    tifffile.imwrite(folder / "mask.tif", mask, **how)
    return folder


def test_the_mask_of_a_surface_means_what_its_header_says(tmp_path):
    keep = np.full((6, 9), 255, np.uint8)
    keep[0] = 0
    for name, stored, how in (
        ("white", 255 - keep, {"photometric": "miniswhite"}),
        ("palette", 255 - keep, {"photometric": "palette", "colormap": GREYS[:, ::-1]}),
        ("alpha", np.dstack([np.full_like(keep, 255)] * 3 + [keep]), {"photometric": "rgb", "extrasamples": [2]}),
    ):
        np.testing.assert_array_equal(open_surface(tifxyz(tmp_path / name, stored, **how)).valid, keep > 0)
    turned = tifxyz(tmp_path / "turned", keep, extratags=[(274, "H", 1, 4, True)])
    with pytest.raises(InputError, match=r"mask\.tif: its header turns or mirrors it"):
        open_surface(turned)


def test_a_cmyk_picture_is_refused_as_such(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "cube.tif")
    assert "CMYK" in refusal(tmp_path / "cube.tif")
