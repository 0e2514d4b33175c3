"""Files that are odd on purpose or by accident: endless ones, large headers, other formats and other orders than are read."""

import io
import os
import re
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from ensemble.commands import score
from scroll.config.schema import DataSettings
from scroll.data.cubes import Cube, tiff_named
from scroll.errors import InputError
from scroll.volumes import open_volume
from scroll.volumes.masks import read_mask_png
from stage1_3d.cubes.doctor import check as check_cube
from tests.peak_memory import peak_bytes_until_refused

STACK = np.random.default_rng(0).integers(0, 256, (4, 12, 16), dtype=np.uint8)
INK = np.indices((12, 16)).sum(axis=0) % 2 == 0


def leading_back(content: bytes) -> bytes:
    """A TIFF whose last page header leads to the first."""
    at = first = struct.unpack("<I", content[4:8])[0]
    while True:
        end = at + 2 + 12 * struct.unpack("<H", content[at : at + 2])[0]
        after = struct.unpack("<I", content[end : end + 4])[0]
        if not after:
            return content[:end] + struct.pack("<I", first) + content[end + 4 :]
        at = after


def test_page_headers_that_lead_in_a_circle_are_not_followed(tmp_path):
    written = io.BytesIO()
    Image.fromarray(INK).save(written, "TIFF")
    (tmp_path / "mask.tif").write_bytes(leading_back(written.getvalue()))
    tifffile.imwrite(tmp_path / "cube.tif", STACK, photometric="minisblack")
    (tmp_path / "cube.tif").write_bytes(leading_back((tmp_path / "cube.tif").read_bytes()))
    for name, read in (("mask.tif", read_mask_png), ("cube.tif", open_volume)):
        with pytest.raises(InputError, match=rf"{name}: its page headers lead in a circle"):
            read(tmp_path / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_is_no_picture(tmp_path, make):
    make(tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png: is a (pipe|folder); expected a plain file"):
        read_mask_png(tmp_path / "mask.png")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_of_a_numpy_header_no_more_is_read_than_headers_have(tmp_path, ending):
    path, begin, size = tmp_path / f"v{ending}", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**28), 2**28
    if ending == ".npy":
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(size)
    else:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("volume.npy", "w") as entry,
        ):
            entry.write(begin)
            for _ in range(8):
                entry.write(bytes(2**24))
    assert peak_bytes_until_refused(lambda: open_volume(path), "reading array header") < 2**24


def test_two_arrays_of_one_name_in_a_npz_are_refused(tmp_path):
    written = io.BytesIO()
    np.save(written, STACK)
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("volume.npy", written.getvalue())
    with pytest.raises(InputError, match="two arrays of one name"):
        open_volume(tmp_path / "v.npz")


def test_two_volumes_of_one_name_to_score_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("one/a.tif", b"")
        archive.writestr("two/a.tif", b"")
    (tmp_path / "a.tif").touch()
    (tmp_path / "a.tiff").touch()
    for path in (tmp_path / "s.zip", tmp_path):
        with pytest.raises(InputError, match="holds a twice"):
            score.tiffs(path)


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "png"])
@pytest.mark.parametrize("folder", ["layers", "a"])
@pytest.mark.parametrize("tiffs", [0, 2])
def test_layers_of_another_format_are_named_and_never_left_out(tmp_path, ending, folder, tiffs):
    (tmp_path / folder).mkdir()
    for n in range(4):
        if n < tiffs:
            tifffile.imwrite(tmp_path / folder / f"{n:02d}.tif", STACK[n])
        else:
            (tmp_path / folder / f"{n:02d}.{ending}").touch()
    with pytest.raises(InputError, match=rf"{4 - tiffs} layers are \.{ending} pictures.*expected TIFF"):
        open_volume(tmp_path / folder)


def ome(path, blocks="", sizes=""):
    """An OME-TIFF with other lines in its header."""
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    header = tifffile.tiffcomment(path)
    header = re.sub(r"<TiffData[^>]*/>", blocks, header) if blocks else header.replace("<Pixels ", f"<Pixels {sizes} ")
    tifffile.tiffcomment(path, header.encode())
    return path


def block(page, layer, more="/>"):
    return f'<TiffData IFD="{page}" FirstZ="{layer}" PlaneCount="1"{more}'


def test_pages_of_an_ome_tiff_are_slices_in_their_order_and_all_in_one_file(tmp_path):
    in_order = "".join(block(n, n) for n in range(4))
    np.testing.assert_array_equal(open_volume(ome(tmp_path / "a.tif", in_order))[...], STACK)
    with pytest.raises(InputError, match="says that page 0 is slice 3"):
        open_volume(ome(tmp_path / "b.tif", "".join(block(n, 3 - n) for n in range(4))))
    elsewhere = "".join(block(0, n, f'><UUID FileName="z{n}.tif">urn:uuid:{n}</UUID></TiffData>') for n in range(4))
    with pytest.raises(InputError, match=r"lays slices into 4 files, such as z3\.tif"):
        open_volume(ome(tmp_path / "c.tif", elsewhere))


def test_sizes_in_an_ome_header_are_read_in_any_spelling_of_xml(tmp_path):
    sizes = " ".join(f"PhysicalSize{axis} = '7910' PhysicalSize{axis}Unit=\"n&#109;\"" for axis in "XYZ")
    assert open_volume(ome(tmp_path / "a.tif", sizes=sizes)).voxel_um == 7.91


def test_a_cube_whose_header_says_another_size_than_is_set_is_named_by_the_doctor(tmp_path):
    spacing = {"axes": "ZYX", "spacing": 3.24, "unit": "um"}
    tifffile.imwrite(tmp_path / "7.tif", STACK, imagej=True, resolution=(1 / 3.24, 1 / 3.24), metadata=spacing)
    check_cube(Cube("7", "1", tmp_path / "7.tif", None, DataSettings(kind="cubes", root=tmp_path, voxel_um=3.24)))
    with pytest.raises(InputError, match=r"header says voxels of 3\.24 um, data\.voxel_um is 7\.91"):
        check_cube(Cube("7", "1", tmp_path / "7.tif", None, DataSettings(kind="cubes", root=tmp_path, voxel_um=7.91)))


def test_a_cube_is_found_under_every_spelling_of_its_ending(tmp_path):
    (tmp_path / "7.Tif").touch()
    assert tiff_named(tmp_path, "7").is_file()
