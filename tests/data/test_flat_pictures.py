"""Labels and masks mean what their file says, in a stated list of formats, and no picture is decoded that cannot fit."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from scroll.errors import InputError
from scroll.volumes.masks import read_mask_png

INK = np.zeros((10, 14), bool)
INK[2:6, 3:9] = True
GREY = (INK * 255).astype(np.uint8)
WHITE = np.full_like(GREY, 255)


def refusal(path, shape=None) -> str:
    with pytest.raises(InputError) as caught:
        read_mask_png(path, shape)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def saved(path, pixels, **how):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **how)
    return path


def indexed(*colours: int) -> Image.Image:
    image = Image.fromarray(INK.astype(np.uint8)).convert("P")
    image.putpalette([level for colour in colours for level in [colour] * 3])
    return image


@pytest.mark.parametrize(
    ("pixels", "how"),
    [
        (np.dstack([WHITE] * 3 + [GREY]), {}),
        (np.dstack([WHITE, GREY]), {}),
        (indexed(0, 255), {}),
        (indexed(255, 255), {"transparency": 0}),
        (Image.fromarray(WHITE // 255 * 7 + GREY // 255 * 248), {"transparency": 7}),
        (Image.fromarray(np.dstack([GREY // 255 * 246 + 9] * 3)), {"transparency": (9, 9, 9)}),
        (Image.fromarray(INK), {}),
        (indexed(0, 255), {"bits": 1}),
        ((INK * 65535).astype(np.uint16), {}),
    ],
)
def test_a_png_reads_as_it_is_seen_over_black(tmp_path, pixels, how):
    np.testing.assert_array_equal(read_mask_png(saved(tmp_path / "label.png", pixels, **how), INK.shape), INK)


def test_a_palette_turned_round_is_looked_up(tmp_path):
    np.testing.assert_array_equal(read_mask_png(saved(tmp_path / "label.png", indexed(255, 0))), ~INK)


def test_paint_that_is_half_transparent_is_no_label(tmp_path):
    assert "[0, 127]" in refusal(saved(tmp_path / "label.png", np.dstack([WHITE] * 3 + [GREY // 2])))


def test_a_picture_that_its_exif_turns_is_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = saved(tmp_path / "label.png", np.ascontiguousarray(np.rot90(GREY)), exif=exif)
    np.testing.assert_array_equal(read_mask_png(path, INK.shape), INK)


@pytest.mark.parametrize(
    ("pixels", "how"),
    [
        (GREY, {}),
        (255 - GREY, {"photometric": "miniswhite", "bigtiff": True}),
        (np.stack([GREY] * 3), {"photometric": "rgb", "planarconfig": "separate"}),
        (np.dstack([WHITE, GREY]), {"photometric": "minisblack", "extrasamples": [2], "planarconfig": "contig"}),
        (GREY, {"tile": (16, 16), "compression": "lzw", "byteorder": ">"}),
        (INK.astype(np.float32), {}),
        (INK.astype(np.int8), {}),
    ],
)
def test_a_tiff_reads_as_it_is_seen(tmp_path, pixels, how):
    tifffile.imwrite(tmp_path / "label.tif", pixels, **how)
    np.testing.assert_array_equal(read_mask_png(tmp_path / "label.tif", INK.shape), INK)


def test_single_bits_of_a_tiff_read_as_they_are_seen(tmp_path):
    np.testing.assert_array_equal(read_mask_png(saved(tmp_path / "label.tif", Image.fromarray(INK))), INK)


@pytest.mark.parametrize("values", [[0, np.nan], [0, 0.5], [-1, 0]])
def test_soft_and_signed_labels_are_refused_by_their_values(tmp_path, values):
    tifffile.imwrite(tmp_path / "label.tif", np.full((4, 2), values, np.float32))
    assert "expected only 0 and 255" in refusal(tmp_path / "label.tif")


def test_a_label_of_several_pages_is_refused_but_not_one_with_smaller_copies(tmp_path):
    tifffile.imwrite(tmp_path / "label.tif", np.stack([GREY, GREY]), photometric="minisblack")
    assert "holds 2 pages" in refusal(tmp_path / "label.tif")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as tiff:
        tiff.write(GREY, metadata=None)
        tiff.write(GREY[::2, ::2], subfiletype=1, metadata=None)
    assert read_mask_png(tmp_path / "pyramid.tif", INK.shape).sum() == INK.sum()


@pytest.mark.parametrize("ending", ["eps", "gif", "bmp", "jpg", "webp", "ppm"])
def test_no_format_but_png_and_tiff_is_opened_whatever_its_name(tmp_path, ending):
    saved(tmp_path / f"label.{ending}", GREY)
    (tmp_path / "mask.png").write_bytes((tmp_path / f"label.{ending}").read_bytes())
    assert "neither PNG nor TIFF" in refusal(tmp_path / "mask.png")


def bomb(path, height, width, bits=8, colour=0):
    """A PNG of a few bytes that says that it is that large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )
    return path


def test_a_picture_is_compared_by_its_header_before_it_is_decoded(tmp_path):
    assert "expected at most" in refusal(bomb(tmp_path / "mask.png", 100_000, 100_000))
    message = refusal(bomb(tmp_path / "mask.png", 40_000, 50_000), INK.shape)  # within the bound, but not this canvas
    assert "(40000, 50000)" in message and str(INK.shape) in message


def test_deep_colour_whose_low_bytes_would_be_lost_is_refused(tmp_path):
    assert "16 bits a sample" in refusal(bomb(tmp_path / "mask.png", 2, 2, bits=16, colour=2))
