"""The working copy: the same means as the slow way, made once, never half there, never of something else."""

import json
import os
import pickle
import time
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_stores import STORES, write_layers

from scroll.errors import InputError
from scroll.volumes import ome_zarr, open_volume, working_copy
from scroll.volumes.binning import block_mean
from scroll.volumes.volume import Volume
from scroll.volumes.working_copy import working_copy as copy_of
from tests.peak_memory import with_peak_bytes

RNG = np.random.default_rng(5)


def slow_mean(array: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Block by block, as one would on paper; halves are rounded upwards."""
    result = np.empty([ceil(n / f) for n, f in zip(array.shape, factors, strict=True)])
    for place in np.ndindex(result.shape):
        block = array[tuple(slice(p * f, p * f + f) for p, f in zip(place, factors, strict=True))]
        result[place] = block.mean(dtype=np.float64)
    return (np.floor(result + 0.5) if array.dtype.kind in "ui" else result).astype(array.dtype)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 11), st.integers(1, 11)),
    factors=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from(["u1", "u2", "u4", "i1", "i2", "f4"]),
    seed=st.integers(0, 99),
)
def test_block_means_are_what_they_are_on_paper(shape, factors, dtype, seed):
    values = np.random.default_rng(seed).integers(-(2**31), 2**31, shape)
    array = values.astype(dtype) if dtype != "f4" else (values / 2**31).astype(dtype)
    result = block_mean(array, factors)
    assert result.dtype == array.dtype
    np.testing.assert_allclose(result, slow_mean(array, factors), rtol=1e-6)


@given(value=st.integers(0, 65535), bin_yx=st.integers(1, 9))
def test_a_constant_stays_constant(value, bin_yx):
    flat = np.full((1, 13, 17), value, np.uint16)
    assert (block_mean(flat, (1, bin_yx, bin_yx)) == value).all()


# big enough that strips, chunks and blocks do not fall together
VOXELS = RNG.integers(0, 65536, (11, 45, 37), dtype=np.uint16)


def test_a_block_so_large_that_its_sum_needs_more_than_32_bits_is_still_exact():
    white = np.full((1, 300, 300), 65535, np.uint16)
    assert block_mean(white, (1, 300, 300)).tolist() == [[[65535]]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Store -> a volume that holds VOXELS."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        store: open_volume(write(folder / f"{n}_7.91um", VOXELS)) for n, (store, write) in enumerate(STORES.items())
    }


@pytest.mark.parametrize("store", STORES)
@settings(max_examples=6, deadline=None)
@given(
    layers=st.tuples(st.integers(0, 10), st.integers(1, 11)).filter(lambda pair: pair[0] < pair[1]),
    bin_yx=st.integers(1, 5),
)
def test_a_copy_of_any_store_holds_the_slow_mean(sources, tmp_path_factory, store, layers, bin_yx):
    volume = sources[store]
    before, working_copy.STRIP_BYTES = working_copy.STRIP_BYTES, 1000  # many strips out of a small array
    try:
        copied = copy_of(volume, tmp_path_factory.mktemp("copies"), layers, bin_yx)
    finally:
        working_copy.STRIP_BYTES = before
    expected = slow_mean(VOXELS[slice(*layers)], (1, bin_yx, bin_yx))
    assert copied.dtype == VOXELS.dtype
    assert copied.voxel_um == volume.voxel_um == 7.91
    np.testing.assert_array_equal(copied[...], expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(copied))[...], expected)


def stack(path: Path, shape=(3, 40, 50), **options) -> Volume:
    return open_volume(write_layers(path / "layers", RNG.integers(0, 256, shape, dtype=np.uint8), **options))


def test_asking_again_makes_nothing_new(tmp_path):
    volume = stack(tmp_path)
    first = copy_of(volume, tmp_path / "copies", (0, 3), 2)
    born = first.path.stat().st_mtime_ns
    again = copy_of(open_volume(tmp_path), tmp_path / "copies", (0, 3), 2)
    assert again.path == first.path
    assert again.path.stat().st_mtime_ns == born
    assert sorted(file.suffix for file in (tmp_path / "copies").iterdir()) == [".json", ".npy"]


def test_the_json_beside_a_copy_says_what_it_is(tmp_path):
    volume = stack(tmp_path)
    about = json.loads(copy_of(volume, tmp_path / "copies", (1, 3), 2).path.with_suffix(".json").read_text())
    assert about["source"] == str(volume.path)
    assert (about["layers"], about["bin_yx"], about["axes"], about["voxel_um"]) == ([1, 3], 2, "zyx", None)


def test_other_layers_bins_and_sources_have_copies_of_their_own(tmp_path):
    volume = stack(tmp_path / "a")
    other = stack(tmp_path / "b")
    asked = [(volume, (0, 3), 2), (volume, (0, 2), 2), (volume, (1, 3), 2), (volume, (0, 3), 3), (other, (0, 3), 2)]
    assert len({copy_of(source, tmp_path / "copies", layers, bin_yx).path for source, layers, bin_yx in asked}) == 5


def test_a_changed_source_is_copied_anew(tmp_path):
    volume = stack(tmp_path)
    first = copy_of(volume, tmp_path / "copies", (0, 3), 2)
    tifffile.imwrite(volume.path / "01.tif", np.full((40, 50), 200, np.uint8))
    os.utime(volume.path / "01.tif", ns=(1, time.time_ns() + 10**9))
    second = copy_of(open_volume(tmp_path), tmp_path / "copies", (0, 3), 2)
    assert second.path != first.path
    assert (second[1] == 200).all()


def test_a_source_replaced_at_the_same_size_and_time_is_copied_again(tmp_path):
    volume = stack(tmp_path)
    first, layer = copy_of(volume, tmp_path / "copies", (0, 3), 2), volume.path / "01.tif"
    stat = layer.stat()
    tifffile.imwrite(layer, np.full((40, 50), 200, np.uint8))
    os.utime(layer, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = copy_of(open_volume(tmp_path), tmp_path / "copies", (0, 3), 2)
    assert layer.stat().st_size == stat.st_size and second.path != first.path and (second[1] == 200).all()


def test_a_copy_with_a_flipped_bit_is_made_again(tmp_path):
    copy = copy_of(stack(tmp_path), tmp_path / "copies", (0, 3), 2)
    content = copy.path.read_bytes()
    copy.path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    again = copy_of(open_volume(tmp_path), tmp_path / "copies", (0, 3), 2)
    assert again.path == copy.path and again.path.read_bytes() == content


def test_a_copy_of_when_sources_were_known_by_their_times_is_taken_over(tmp_path):
    volume = stack(tmp_path)
    copy = copy_of(volume, tmp_path / "copies", (0, 3), 2)
    before = working_copy._request(volume, working_copy._Plan((0, 3), 2, copy.shape), is_before=True)
    copy.path.rename(copy.path.with_name(f"{volume.path.name}-{working_copy._digest(before)}.npy"))
    copy.path.with_suffix(".json").unlink()
    (born,) = (file.stat().st_mtime_ns for file in (tmp_path / "copies").glob("*.npy"))
    assert copy_of(open_volume(tmp_path), tmp_path / "copies", (0, 3), 2).path.stat().st_mtime_ns == born


@pytest.mark.parametrize("store", ["npy", "layers, raw", "npz"])
def test_two_cuts_of_one_source_never_share_a_copy(sources, tmp_path, store):
    volume = sources[store]
    for start in (0, 5):
        cut = copy_of(volume, tmp_path, (start, start + 4), 1)
        np.testing.assert_array_equal(
            copy_of(cut, tmp_path, (0, 4), 2)[...], slow_mean(VOXELS[start : start + 4], (1, 2, 2))
        )


@pytest.mark.parametrize("store", ["npy", "layers, raw", "layers, raw big-endian"])
def test_a_source_that_is_quick_already_is_not_copied(sources, tmp_path, store):
    volume = sources[store]
    assert copy_of(volume, tmp_path / "copies", (2, 7), 1).path == volume.path
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize("store", ["OME-Zarr 0.4", "layers, LZW strips", "cube, LZW", "npy, Fortran order"])
def test_a_slow_source_is_copied_even_at_bin_1(sources, tmp_path, store):
    volume = sources[store]
    assert isinstance(copy_of(volume, tmp_path, (2, 7), 1).array, np.memmap)


def test_a_copy_that_was_cut_off_is_made_again(tmp_path):
    volume = stack(tmp_path)
    first = copy_of(volume, tmp_path / "copies", (0, 3), 2)
    expected = first[...]
    os.truncate(first.path, 900)
    np.testing.assert_array_equal(copy_of(volume, tmp_path / "copies", (0, 3), 2)[...], expected)


def test_nothing_is_left_behind_when_the_source_turns_out_broken(tmp_path):
    volume = stack(tmp_path, compression="zlib")
    with tifffile.TiffFile(volume.path / "02.tif") as tiff:
        at = tiff.pages[0].dataoffsets[0]
    spoilt = bytearray((volume.path / "02.tif").read_bytes())
    spoilt[at : at + 8] = b"\xff" * 8
    (volume.path / "02.tif").write_bytes(spoilt)
    with pytest.raises(InputError, match=r"02\.tif"):
        copy_of(volume, tmp_path / "copies", (0, 3), 2)
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bin_yx", [1, 2])
def test_the_first_voxel_that_is_no_number_is_named(tmp_path, monkeypatch, bad, bin_yx):
    monkeypatch.setattr(working_copy, "STRIP_BYTES", 500)  # so that it does not lie in the first strip of its layer
    voxels = RNG.random((6, 30, 20)).astype(np.float32)
    voxels[3, 17, 11] = voxels[4, 0, 0] = bad
    np.save(tmp_path / "a.npy", voxels)
    volume = open_volume(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"voxel \(z 3, y 17, x 11\)") as error:
        copy_of(volume, tmp_path / "copies", (1, 6), bin_yx)
    assert "\n" not in str(error.value)
    copied = copy_of(volume, tmp_path / "copies", (0, 3), bin_yx)  # these layers are whole
    np.testing.assert_allclose(copied[...], slow_mean(voxels[:3], (1, bin_yx, bin_yx)), rtol=1e-6)


@pytest.mark.parametrize("layers", [(-1, 2), (0, 4), (2, 2), (2, 1), (3, 4)])
def test_layers_that_are_not_there_are_refused(tmp_path, layers):
    with pytest.raises(InputError, match="has layers 0 to 3"):
        copy_of(stack(tmp_path), tmp_path / "copies", layers, 2)


def test_a_bin_below_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="bin_yx is 0"):
        copy_of(stack(tmp_path), tmp_path / "copies", (0, 3), 0)


def test_a_copy_that_cannot_fit_is_refused_before_anything_is_written(tmp_path):
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (2**20, 2**20, 2**20), "u1", (256, 256, 256), 7.91)  # an exabyte
    with pytest.raises(InputError, match=r"GiB free; expected 1073741824\.0 GiB"):
        copy_of(open_volume(tmp_path / "s.zarr"), tmp_path / "copies", (0, 2**20), 1)
    assert list((tmp_path / "copies").iterdir()) == []


def test_copying_never_holds_the_volume_in_memory(tmp_path, monkeypatch):
    folder = tmp_path / "layers"
    folder.mkdir()
    for layer in range(6):
        tifffile.memmap(folder / f"{layer:02d}.tif", shape=(3000, 4000), dtype=np.uint16).flush()  # 137 MiB in all
    monkeypatch.setattr(working_copy, "STRIP_BYTES", 2**20)
    copies = iter((tmp_path / "copies", tmp_path / "again"))
    copied, peak = with_peak_bytes(lambda: copy_of(open_volume(tmp_path), next(copies), (0, 6), 2))
    assert copied.shape == (6, 1500, 2000)
    assert peak < 12 * 2**20
