"""Pooled stacks: equal to slow means from every level of a pyramid, whatever is asked for, and with a layer in the middle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.errors import InputError
from scroll.volumes.place import Place
from scroll.volumes.pooling import Pooled, coarsest, pooled, window_of
from scroll.volumes.volume import Volume


def in_memory(voxels: np.ndarray, step: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    return Volume(voxels, "memory", 2.4 * step[0], Place(step))


def slow_mean(voxels: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, int, int], first: int) -> np.ndarray:
    """Block by block: the mean of 32-bit floats, to the nearest whole number, halves to even; beyond the edge the last block again."""
    found = np.zeros(shape, voxels.dtype)
    fz, fy, fx = factors
    for z, y, x in np.ndindex(*shape):
        y_in, x_in = (
            min(at, math.ceil(n / f) - 1) for at, n, f in ((y, voxels.shape[1], fy), (x, voxels.shape[2], fx))
        )
        block = voxels[first + z * fz : first + (z + 1) * fz, y_in * fy : (y_in + 1) * fy, x_in * fx : (x_in + 1) * fx]
        mean = block.astype(np.float32).mean(dtype=np.float32)
        found[z, y, x] = mean if voxels.dtype.kind == "f" else np.rint(mean)
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("step", [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 2, 2), (4, 4, 4)])
def test_every_level_is_pooled_as_a_slow_reference_says(dtype, step):
    rng = np.random.default_rng(4)
    shape = tuple(-(-n // s) for n, s in zip((30, 41, 38), step, strict=True))
    voxels = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    factors = tuple(4 // s for s in step)
    found = pooled(in_memory(voxels, step), 4, in_memory(np.zeros((30, 41, 38), dtype)))
    assert found.shape == (7, 11, 10)
    assert found.voxel_um == pytest.approx(9.6)
    first = (shape[0] - 7 * factors[0]) // 2
    np.testing.assert_array_equal(found[...], slow_mean(voxels, factors, found.shape, first))


def test_109_layers_become_27_and_the_middle_21_are_the_84_about_the_middle():
    layers = np.broadcast_to(np.arange(109, dtype=np.uint8)[:, None, None], (109, 4, 4))
    stack = in_memory(np.ascontiguousarray(layers))
    found = pooled(stack, 4, stack)
    middle = found.shape[0] // 2
    np.testing.assert_array_equal(
        found[middle - 10 : middle + 11, 0, 0], [np.rint(np.mean(range(z, z + 4))) for z in range(12, 96, 4)]
    )


def test_halves_go_to_the_even_neighbour():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [254, 255]], np.uint8)
    voxels = np.repeat(np.repeat(pairs[:, None, :], 2, 1), 2, 0).reshape(8, 2, 2)
    array = Pooled(in_memory(voxels), (2, 2, 2), (4, 1, 1))
    assert array[:, 0:1, 0:1].ravel().tolist() == [0, 2, 2, 254]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_part_is_that_part_of_the_whole(data):
    shape = data.draw(st.tuples(*[st.integers(1, 13)] * 3))
    factors = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    voxels = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    first = data.draw(st.integers(0, shape[0] - 1))
    out = (
        max(1, (shape[0] - first) // factors[0]),
        *(-(-n // f) + data.draw(st.integers(0, 1)) for n, f in zip(shape[1:], factors[1:], strict=True)),
    )
    array = Pooled(in_memory(voxels), factors, out, first)
    whole = array[(slice(None),) * 3]
    assert whole.shape == out
    box = tuple(
        slice(data.draw(st.integers(0, n)), data.draw(st.integers(0, n)), data.draw(st.integers(1, 3))) for n in out
    )
    np.testing.assert_array_equal(array[box], whole[box])


def test_a_level_that_lacks_its_last_row_repeats_the_one_before():
    coarse = np.arange(2 * 5 * 5, dtype=np.uint8).reshape(2, 5, 5)  # of 41 x 41 pixels by floor(41 / 8), not 6
    found = pooled(in_memory(coarse, (8, 8, 8)), 8, in_memory(np.zeros((16, 41, 41), np.uint8)))
    assert found.shape == (1, 6, 6)
    np.testing.assert_array_equal(found[0], np.pad(coarse[0], (0, 1), "edge"))


def test_the_coarsest_level_that_goes_into_the_pool_is_taken():
    steps = [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]
    opened = [in_memory(np.zeros((9, 9, 9), np.uint8), step) for step in steps]
    assert coarsest(opened.__getitem__, 4).place.step == (1, 4, 4)
    assert coarsest(opened.__getitem__, 6).place.step == (1, 2, 2)
    assert coarsest(opened.__getitem__, 1).place.step == (1, 1, 1)


@pytest.mark.parametrize(
    ("volume", "pool", "message"),
    [
        (
            in_memory(np.zeros((8, 8, 8), np.uint8), (1, 4, 4)),
            2,
            r"1 x 4 x 4 \(z, y, x\) of level 0.*data.pool 2.*pool_from",
        ),
        (in_memory(np.zeros((3, 8, 8), np.uint8)), 4, r"3 layers do not make one of data.pool 4; lower it"),
    ],
)
def test_what_cannot_be_pooled_is_one_line(volume, pool, message):
    with pytest.raises(InputError, match=message) as error:
        pooled(volume, pool, in_memory(np.zeros((8, 8, 8), np.uint8)))
    assert "\n" not in str(error.value)


def test_a_window_of_layers_is_binned_as_a_working_copy_is(tmp_path):
    from scroll.volumes.working_copy import working_copy

    voxels = np.random.default_rng(2).integers(0, 255, (9, 23, 31), dtype=np.uint8)
    np.save(tmp_path / "stack.npy", voxels)
    volume = Volume(voxels, tmp_path / "stack.npy", 7.91)
    np.testing.assert_array_equal(
        window_of(volume, (2, 7), 3)[...], working_copy(volume, tmp_path / "copies", (2, 7), 3)[...]
    )
