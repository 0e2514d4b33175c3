"""numpy files: mapped, never unpickled, and told apart when broken."""

import numpy as np
import pytest

from scroll.errors import InputError
from scroll.volumes import open_volume
from tests.peak_memory import with_peak_bytes


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        open_volume(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def test_a_file_far_larger_than_memory_opens_and_reads_only_the_patch(tmp_path):
    huge = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (2000, 10_000, 10_000))  # 186 GiB of holes
    huge[1500, 7000, 3] = 9
    huge.flush()
    patch, peak = with_peak_bytes(lambda: open_volume(tmp_path / "a.npy")[1490:1510, 6990:7010, :20])
    assert peak < 2**20
    assert np.argwhere(patch).tolist() == [[10, 10, 3]]


def test_a_volume_named_so_is_taken_from_among_others(tmp_path):
    cube = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", other=cube + 1, volume=cube)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.npz")[...], cube)


def test_two_cubes_without_a_name_are_not_guessed_between(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.ones((2, 2, 2)), two=np.ones((2, 2, 2)))
    assert "one (2, 2, 2), two (2, 2, 2)" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    assert "nothing" in refusal(tmp_path / "b.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("kept", [0, 3, 60, 200, 1100])
def test_a_cut_file_is_refused(tmp_path, name, kept):
    voxels = np.random.default_rng(0).integers(0, 255, (10, 10, 10), dtype=np.uint8)
    (np.save if name == "a.npy" else np.savez)(tmp_path / name, voxels)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:kept])
    assert "unreadable" in refusal(tmp_path / name)


def test_python_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[object()]]]), allow_pickle=True)
    assert "unreadable" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (1, 2, 3, 4), (0, 3, 4)])
def test_only_full_cubes_are_volumes(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    assert "(Z, Y, X)" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [bool, complex, "U3"])
def test_only_numbers_are_voxels(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2), dtype))
    assert "voxels; expected whole or floating" in refusal(tmp_path / "a.npy")
