"""Folders of layers: found under their three names, opened from the headers alone, and told apart when broken."""

import shutil

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_stores import write_layers

from scroll.errors import InputError
from scroll.volumes import open_volume
from scroll.volumes.tiff import stack as tiff_stack
from scroll.volumes.tiff.pages import OPEN_FILES
from tests.peak_memory import with_peak_bytes

VOXELS = np.random.default_rng(0).integers(0, 65536, (4, 12, 17), dtype=np.uint16)


def refusal(path) -> str:
    """The message with which a path is refused: one line."""
    with pytest.raises(InputError) as error:
        open_volume(path)
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["surface_volume", "layers", "subvolume"])
def test_a_fragment_opens_by_its_folder_and_by_its_stack(tmp_path, name):
    write_layers(tmp_path / "1" / name, VOXELS)
    tifffile.imwrite(tmp_path / "1" / "mask.tif", VOXELS[0])
    for path in (tmp_path / "1", tmp_path / "1" / name):
        np.testing.assert_array_equal(open_volume(path)[...], VOXELS)
        assert open_volume(path).path == tmp_path / "1" / name


def test_layers_are_ordered_by_number_not_by_name(tmp_path):
    folder = tmp_path / "layers"
    folder.mkdir()
    for number in range(12):
        tifffile.imwrite(folder / f"{number}.tif", np.full((2, 3), number, np.uint8))
    assert open_volume(folder)[:, 1, 2].tolist() == list(range(12))


def test_what_other_programs_leave_in_the_folder_is_no_layer(tmp_path):
    folder = write_layers(tmp_path / "layers", VOXELS)
    (folder / "._00.tif").write_bytes(b"\0" * 82)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "composite.jpg").write_bytes(b"x")
    assert open_volume(folder).shape == VOXELS.shape


def test_a_missing_layer_is_named(tmp_path):
    folder = write_layers(tmp_path / "layers", VOXELS)
    (folder / "02.tif").unlink()
    assert "02.tif missing" in refusal(folder)
    (folder / "00.tif").unlink()
    assert "00.tif, 02.tif missing" in refusal(tmp_path)


def test_a_layer_far_beyond_the_others_is_a_gap_reported_in_one_short_line(tmp_path):
    folder = write_layers(tmp_path / "layers", VOXELS)
    shutil.copy(folder / "00.tif", folder / "99.tif")
    assert "and 90 more missing" in refusal(folder)


def test_a_doubled_layer_is_named_with_its_twin(tmp_path):
    folder = write_layers(tmp_path / "layers", VOXELS)
    shutil.copy(folder / "00.tif", folder / "000.tif")
    message = refusal(folder)
    assert "00.tif" in message
    assert "000.tif" in message
    assert "layer 0" in message


def test_a_stranger_among_the_layers_is_named(tmp_path):
    folder = write_layers(tmp_path / "layers", VOXELS)
    shutil.copy(folder / "00.tif", folder / "00 copy.tif")
    assert "00 copy.tif: not a layer" in refusal(folder)


def test_two_stacks_in_one_fragment_are_not_guessed_between(tmp_path):
    write_layers(tmp_path / "layers", VOXELS)
    write_layers(tmp_path / "surface_volume", VOXELS)
    assert "surface_volume/, layers/" in refusal(tmp_path)


def test_an_empty_stack_is_reported_as_such(tmp_path):
    (tmp_path / "layers").mkdir()
    assert "no .tif layer" in refusal(tmp_path)


@pytest.mark.parametrize("odd", [VOXELS[0, :, :-1], VOXELS[0].astype(np.uint8)])
@pytest.mark.parametrize("place", [0, 2])
def test_the_layer_unlike_the_others_is_the_one_that_is_named(tmp_path, odd, place):
    folder = write_layers(tmp_path / "layers", VOXELS)
    tifffile.imwrite(folder / f"{place:02d}.tif", odd)
    message = refusal(folder)
    assert message.startswith(str(folder / f"{place:02d}.tif"))
    assert "expected 12x17 uint16" in message


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "lzw", "tile": (16, 16)}])
@settings(max_examples=30, deadline=None)
@given(kept=st.floats(0, 0.999))
def test_a_layer_cut_off_anywhere_is_refused_when_opened(tmp_path_factory, options, kept):
    folder = write_layers(tmp_path_factory.mktemp("cut") / "layers", VOXELS, **options)
    whole = (folder / "01.tif").read_bytes()
    (folder / "01.tif").write_bytes(whole[: int(len(whole) * kept)])
    assert refusal(folder).startswith(str(folder / "01.tif"))


@pytest.mark.parametrize(
    "page", [VOXELS[0].astype(np.float32), np.zeros((12, 17, 3), np.uint8), VOXELS[0].astype(np.int16)]
)
def test_colour_and_other_numbers_are_refused(tmp_path, page):
    (tmp_path / "layers").mkdir()
    tifffile.imwrite(tmp_path / "layers" / "00.tif", page)
    assert "expected grey" in refusal(tmp_path)


def test_a_file_of_many_pages_is_no_layer(tmp_path):
    (tmp_path / "layers").mkdir()
    tifffile.imwrite(tmp_path / "layers" / "00.tif", VOXELS, photometric="minisblack")
    assert "4 pages" in refusal(tmp_path)


def test_a_damaged_strip_is_reported_when_it_is_read(tmp_path):
    folder = write_layers(tmp_path / "layers", np.zeros((1, 64, 64), np.uint8), compression="zlib")
    with tifffile.TiffFile(folder / "00.tif") as tiff:
        at = tiff.pages[0].dataoffsets[0]
    spoilt = bytearray((folder / "00.tif").read_bytes())
    spoilt[at : at + 8] = b"\xff" * 8
    (folder / "00.tif").write_bytes(spoilt)
    with pytest.raises(InputError, match=r"00\.tif.*decoded"):
        open_volume(folder)[0]


def test_opening_a_fragment_far_larger_than_memory_reads_only_the_patch(tmp_path):
    folder = tmp_path / "surface_volume"
    folder.mkdir()
    for layer in range(65):  # 65 x 40,000 x 40,000 uint16 = 194 GiB, without a byte of disk for the holes
        pixels = tifffile.memmap(folder / f"{layer:02d}.tif", shape=(40_000, 40_000), dtype=np.uint16)
        pixels[30_000, 20_000] = layer + 1
        pixels.flush()
    patch, peak = with_peak_bytes(lambda: open_volume(tmp_path)[:, 29_990:30_010, 19_990:20_010])
    assert patch[:, 10, 10].tolist() == list(range(1, 66))
    assert np.count_nonzero(patch) == 65
    assert peak < 8 * 2**20


def test_a_patch_from_packed_layers_decodes_only_the_strips_it_touches(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 256, (3, 400, 50), dtype=np.uint8)
    volume = tiff_stack.open(write_layers(tmp_path / "layers", voxels, compression="lzw", rowsperstrip=8))
    np.testing.assert_array_equal(volume[0:2, 100:120, 3:5], voxels[0:2, 100:120, 3:5])
    assert volume.array._pieces.spent == 2 * 3 * 8 * 50  # rows 96 to 120 of two layers


def test_a_stack_of_more_files_than_may_be_open_still_reads(tmp_path):
    voxels = np.arange(OPEN_FILES + 40, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)
    volume = open_volume(write_layers(tmp_path / "layers", voxels, digits=4))
    for _ in range(2):
        np.testing.assert_array_equal(volume[:, 0, 1], voxels[:, 0, 1])
    assert len(volume.array._opened) == OPEN_FILES
