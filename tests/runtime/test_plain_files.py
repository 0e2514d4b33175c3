"""Where a file is expected and a folder, a pipe, a device or a link to itself is, every reader says so, and none waits."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ensemble.ink.submission import read_submission
from ensemble.kaggle.stock import read_freeze
from scroll.config.reader import load_settings
from scroll.data.cubes import find_cubes
from scroll.errors import InputError
from scroll.runtime.content import content_of
from scroll.runtime.files import read_json, written_aside
from scroll.runtime.manifest import file_sum
from scroll.runtime.output_folder import SCORES, check_file, read_mark
from scroll.runtime.receipt import file_hash, read_receipt
from scroll.runtime.run_lock import FileLock
from scroll.surfaces import obj, open_surface, ppm
from scroll.volumes import open_volume
from scroll.volumes.flat_picture import read_image
from scroll.volumes.masks import read_mask_png
from scroll.volumes.ome_zarr import create_ome_zarr
from tests.cubes.drawn_cubes import cubes_of, striped, write_cubes

OTHERS: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
}
READERS: dict[str, Callable[[Path], object]] = {
    "receipt.json": lambda path: read_receipt(path.parent, ""),
    "score.json": lambda path: check_file(path, SCORES) or read_json(path),
    "a.yaml": load_settings,
    "submission.csv": lambda path: read_submission(path, {"a": (5, 6)}),
    "train.csv": lambda path: find_cubes(path.parent, None),  # type: ignore[arg-type]
    "mask.png": read_mask_png,
    "mask.tif": read_image,
    "cube.tif": open_volume,
    "a.npy": open_volume,
    "a.npz": open_volume,
    "a.ppm": ppm.open,
    "a.obj": obj.open,
    "mesh.obj": open_surface,
    "weights.safetensors": file_hash,
    "any": file_sum,
    "source": content_of,
    "stock.txt": read_freeze,
    "run.lock": lambda path: FileLock(path).take(),
}


@pytest.fixture(autouse=True)
def _no_waiting():
    """A reader that waits fails, instead of the whole of the tests."""

    def ring(*_: object) -> None:
        raise AssertionError("it waited")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_in_one_line_that_names_it(tmp_path, name, other):
    OTHERS[other](tmp_path / name)
    with pytest.raises(InputError) as message:
        READERS[name](tmp_path / name)
    assert name in str(message.value) and "\n" not in str(message.value)


@pytest.mark.parametrize("other", OTHERS)
def test_a_chunk_that_is_no_file_is_no_chunk_of_zeros(tmp_path, other):
    create_ome_zarr(tmp_path / "a.zarr", (4, 4, 4), "u1", (4, 4, 4), 7.91)[:] = 5
    (tmp_path / "a.zarr/0/0/0/0").unlink()
    OTHERS[other](tmp_path / "a.zarr/0/0/0/0")
    with pytest.raises(InputError, match="0/0/0/0"):
        open_volume(tmp_path / "a.zarr")[0:4, 0:4, 0:4]


@pytest.mark.parametrize("other", OTHERS)
def test_a_layer_that_is_no_file_is_named(tmp_path, other):
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number:02d}.tif", np.ones((8, 8), np.uint8))
    (tmp_path / "01.tif").unlink()
    OTHERS[other](tmp_path / "01.tif")
    with pytest.raises(InputError, match=r"01\.tif"):
        open_volume(tmp_path)


@pytest.mark.parametrize("other", OTHERS)
def test_a_mark_that_is_no_file_says_nothing(tmp_path, other):
    OTHERS[other](tmp_path / "mark")
    assert read_mark(tmp_path / "mark") == {}


@pytest.mark.parametrize("other", ["pipe", "loop"])
def test_a_copy_of_a_cube_that_is_no_file_is_made_again(tmp_path, other):
    write_cubes(tmp_path, {"a": striped((8, 8, 8))})
    (cube,) = cubes_of(tmp_path)
    whole = cube.patch((0, 0, 0), (8, 8, 8))
    cube.index.ct.unlink()
    OTHERS[other](cube.index.ct)
    (again,) = cubes_of(tmp_path)
    np.testing.assert_array_equal(again.patch((0, 0, 0), (8, 8, 8)), whole)


def test_a_folder_where_a_file_is_to_be_written_is_left_and_named(tmp_path):
    (tmp_path / "a.npy").mkdir()
    (tmp_path / "a.npy/mine.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.npy: is a folder"), written_aside(tmp_path / "a.npy") as aside:
        aside.write_bytes(b"x")
    assert (tmp_path / "a.npy/mine.txt").read_text() == "x"
