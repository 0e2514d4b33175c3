"""Cubes of the surface competition: one TIFF, one page a slice."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scroll.errors import InputError
from scroll.volumes import open_volume

CUBE = np.random.default_rng(0).integers(0, 256, (6, 20, 30), dtype=np.uint8)


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        open_volume(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("bigtiff", [True, False])
def test_a_cut_cube_is_refused_at_every_length(tmp_path, compression, contiguous, bigtiff):
    path = tmp_path / "cube.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tiff:
        for layer in CUBE:
            tiff.write(layer, compression=compression, contiguous=contiguous and compression is None)
    with tifffile.TiffFile(path) as tiff:
        page_ends = [page.dataoffsets[-1] + page.databytecounts[-1] for page in tiff.pages]
    whole = path.read_bytes()
    for kept in sorted({*range(0, len(whole) - 1, 97), *(end for end in page_ends if end < len(whole))}):
        path.write_bytes(whole[:kept])
        assert refusal(path).startswith(str(path))


def test_a_single_image_is_no_cube(tmp_path):
    tifffile.imwrite(tmp_path / "composite.tif", CUBE[0])
    assert "a single 20x30 image" in refusal(tmp_path / "composite.tif")


def test_pages_that_differ_are_no_cube(tmp_path):
    with tifffile.TiffWriter(tmp_path / "cube.tif") as tiff:
        tiff.write(CUBE[0])
        tiff.write(CUBE[0, :, :5])
    assert "20x30 uint8" in refusal(tmp_path / "cube.tif")


def test_a_file_that_only_calls_itself_tiff_is_refused(tmp_path):
    (tmp_path / "cube.tif").write_text("<html>404</html>")
    assert "unreadable as TIFF" in refusal(tmp_path / "cube.tif")


def test_a_cut_cube_is_reported_in_one_line_and_nothing_else(tmp_path):
    tifffile.imwrite(tmp_path / "cube.tif", CUBE, photometric="minisblack")
    (tmp_path / "cube.tif").write_bytes((tmp_path / "cube.tif").read_bytes()[:300])  # amid the tags
    code = (
        "from scroll.runtime.command_line import run_command; from scroll.volumes import open_volume; import sys;"
        "run_command(lambda: print(open_volume(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, tmp_path / "cube.tif"]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_single_slice_read_decodes_a_single_slice(tmp_path):
    tifffile.imwrite(tmp_path / "cube.tif", CUBE, compression="lzw", photometric="minisblack")
    volume = open_volume(tmp_path / "cube.tif")
    assert volume.array._pieces.spent == 0  # nothing decoded when opened
    np.testing.assert_array_equal(volume[2], CUBE[2])
    assert volume.array._pieces.spent == CUBE[2].nbytes
