"""Whatever carries a volume, the voxels that come out are the voxels that went in."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_stores import STORES

from scroll.errors import InputError, MissingInputError
from scroll.volumes import READERS, open_volume

SHAPE = (5, 21, 37)
ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(3)
VOXELS = {
    "uint8": RNG.integers(0, 256, SHAPE, dtype=np.uint8),
    "uint16": RNG.integers(0, 65536, SHAPE, dtype=np.uint16),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """(store, type) -> an open volume of VOXELS[type]."""
    folder = tmp_path_factory.mktemp("stores")
    volumes = {}
    for number, (store, write) in enumerate(STORES.items()):
        for kind, voxels in VOXELS.items():
            volumes[store, kind] = open_volume(write(folder / f"{kind}_{number}_7.91um_x", voxels))
    return volumes


def part_of(length: int):
    bound = st.none() | st.integers(-length - 3, length + 3)
    step = st.none() | st.sampled_from([1, 2, 3, -1, -2, length + 2])
    return st.integers(-length, length - 1) | st.builds(slice, bound, bound, step)


INDEX = st.tuples(*map(part_of, SHAPE)) | st.lists(st.one_of(part_of(5), st.just(...)), max_size=1).map(tuple)


@pytest.mark.parametrize("store", STORES)
@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from([*VOXELS]), index=INDEX)
def test_every_reader_gives_back_what_was_written(opened, store, kind, index):
    volume, voxels = opened[store, kind], VOXELS[kind]
    got, expected = volume[index], voxels[index]
    assert volume.shape == SHAPE
    assert volume.dtype == got.dtype == expected.dtype
    assert np.shape(got) == expected.shape
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("store", STORES)
def test_what_is_read_is_ones_own_and_writing_to_it_harms_nothing(opened, store):
    volume = opened[store, "uint8"]
    for box in (np.s_[1:3], np.s_[1:3, 2:9, 3:11]):  # whole layers lie together in a file, a patch does not
        patch = volume[box]
        before = patch.copy()
        patch += 1
        assert patch.flags.c_contiguous
        np.testing.assert_array_equal(volume[box], before)


@pytest.mark.parametrize("store", STORES)
def test_another_process_sees_the_same_volume(opened, store):
    volume = opened[store, "uint16"]
    volume[0, 0, 0]
    twin = pickle.loads(pickle.dumps(volume))
    if store != "npz" and "Fortran" not in store:  # these travel as voxels; all others as names
        assert len(pickle.dumps(volume)) < VOXELS["uint16"].nbytes
    assert (twin.path, twin.voxel_um, twin.shape) == (volume.path, volume.voxel_um, volume.shape)
    np.testing.assert_array_equal(twin[:, 3:9, ::2], VOXELS["uint16"][:, 3:9, ::2])


@pytest.mark.parametrize("store", STORES)
def test_the_path_of_a_volume_opens_the_same_volume(opened, store):
    volume = opened[store, "uint16"]
    again = open_volume(volume.path)
    assert again.voxel_um == volume.voxel_um == 7.91
    np.testing.assert_array_equal(again[...], VOXELS["uint16"])


def test_a_given_voxel_size_overrules_the_recorded_one(opened):
    for volume in opened.values():
        assert open_volume(volume.path, voxel_um=3.24).voxel_um == 3.24


@pytest.mark.parametrize("index", [5, -6, (0, 21), (0, 0, 0, 0), (..., ...), True, "z", [0, 1], None, 1.0])
def test_an_index_that_is_not_there_or_not_basic_is_an_index_error(opened, index):
    with pytest.raises(IndexError):
        opened["npy", "uint8"][index]


def test_the_shared_micro_ct_cube_opens():
    path = ROOT.parent / "shared/data/microct_fibers/fibers_150x150x150.npz"
    if not path.is_file():
        pytest.skip(f"the shared sample {path.name} is not beside the repository")
    volume = open_volume(path)
    assert volume.shape == (150, 150, 150)
    assert volume.dtype == np.uint8
    assert volume[40:110, 40:110, 40:110].std() > 5  # real texture, not an empty corner


def test_nothing_at_the_path_is_reported_as_such(tmp_path):
    with pytest.raises(MissingInputError, match=r"scroll1.*not there"):
        open_volume(tmp_path / "scroll1")


def test_an_unknown_kind_names_all_that_is_understood(tmp_path):
    (tmp_path / "scan.nrrd").write_bytes(b"NRRD0004")
    with pytest.raises(InputError) as error:
        open_volume(tmp_path / "scan.nrrd")
    for reader in READERS.values():
        assert reader.UNDERSTANDS in str(error.value)
    assert "\n" not in str(error.value)


def test_importing_the_readers_loads_nothing_heavy():
    code = "import sys, scroll.volumes, scroll.volumes.working_copy as w; print([m for m in %r if m in sys.modules])"
    heavy = ["torch", "zarr", "tifffile", "imagecodecs", "numba", "rich"]
    found = subprocess.run([sys.executable, "-c", code % heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
