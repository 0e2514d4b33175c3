"""A damaged tifxyz, whatever the damage, is one line that says what to do: never a crash, never a hang."""

import shutil
import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from known_sheets import cylinder, plane, tifxyz_by_hand, traced

from scroll.errors import InputError
from scroll.surfaces import open_surface
from scroll.surfaces.tifxyz import write_tifxyz
from tests.peak_memory import peak_bytes_until_refused


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    valid = np.random.default_rng(0).random((20, 30)) < 0.8
    write_tifxyz(traced(cylinder((20, 30)), 4.0, valid), folder)
    tifffile.imwrite(folder / "mask.tif", np.where(valid, 255, 0).astype(np.uint8), compression="zlib")
    tifxyz_by_hand(folder.with_name("raw"), plane((5, 7)))
    return folder


def opens_or_says_why(folder):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            surface = open_surface(folder)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000 and str(folder) in str(error)
        return None
    assert np.isfinite(surface.points).all() and np.isfinite(surface.normals).all()
    return surface


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["x.tif", "z.tif", "mask.tif", "meta.json"]), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_one_line(tmp_path_factory, whole, name, is_raw, share):
    folder = tmp_path_factory.mktemp("cut") / "s"
    shutil.copytree(whole.with_name("raw") if is_raw else whole, folder)
    file = folder / name
    assume(file.is_file())
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    if name == "meta.json":
        assert opens_or_says_why(folder) is None or share > 0.9  # without its last line break it is whole
    else:
        assert opens_or_says_why(folder) is None


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["x.tif", "z.tif", "mask.tif", "meta.json"]), st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)  # fmt: skip
def test_bytes_that_are_wrong_never_crash_a_reader(tmp_path_factory, whole, name, is_raw, changes):
    folder = tmp_path_factory.mktemp("bytes") / "s"
    shutil.copytree(whole.with_name("raw") if is_raw else whole, folder)
    file = folder / name
    assume(file.is_file())
    content = bytearray(file.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    before = open_surface(folder).shape
    file.write_bytes(bytes(content))
    surface = opens_or_says_why(folder)
    assert (
        surface is None or surface.shape == before
    )  # one file alone does not change the grid: the others hold another


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0"]))
def test_any_bytes_for_a_tiff_are_one_line(tmp_path_factory, whole, rubbish, start):
    folder = tmp_path_factory.mktemp("rubbish") / "s"
    shutil.copytree(whole, folder)
    (folder / "z.tif").write_bytes(start + rubbish)
    assert opens_or_says_why(folder) is None


def test_a_header_that_promises_gigabytes_is_refused_before_they_are_asked_for(tmp_path):
    folder = tifxyz_by_hand(tmp_path / "s", plane((5, 7)), compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(folder / "z.tif", mode="r+b") as tiff:
        for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            tiff.pages[0].tags[tag].overwrite(60_000)
    message = r"z\.tif: says \(60000, 60000\) in \d+ bytes; expected a whole TIFF"
    assert peak_bytes_until_refused(lambda: open_surface(folder), message) < 1e7


@pytest.mark.parametrize(
    "options",
    [{}, {"rowsperstrip": 2}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "lzw"}, {"compression": "zstd"}],
)
@pytest.mark.parametrize("lost", [1, 40])
def test_a_tiff_that_lost_its_end_is_reported_so_however_it_is_packed(tmp_path, options, lost):
    folder = tifxyz_by_hand(tmp_path / "s", cylinder((40, 50)), **options)
    content = (folder / "y.tif").read_bytes()
    (folder / "y.tif").write_bytes(content[:-lost])
    with pytest.raises(InputError, match=rf"y\.tif: cut off at {len(content) - lost} bytes"):
        open_surface(folder)
