"""Noise out of a bank: normal, of the strength that was drawn, and other numbers for every patch."""

import numpy as np
import torch
from scipy.stats import kstest

from scroll.data.augment.noise import LENGTH, Noise, draw_noise, normal_numbers
from scroll.data.augment.on_device import noise_of

SHAPE = (50, 40, 31)


def test_numbers_are_normal_and_know_nothing_of_their_neighbours():
    numbers = normal_numbers()
    assert kstest(numbers[:: LENGTH // 60000], "norm").pvalue > 1e-3
    assert abs(numbers.mean()) < 4 / LENGTH**0.5 and abs(numbers.var() - 1) < 4 * (2 / LENGTH) ** 0.5
    for apart in (1, 2, 64, 96, 128, 128 * 128):  # neighbours along the axes of patches
        assert abs(np.mean(numbers[apart:] * numbers[:-apart])) < 5 / (LENGTH - apart) ** 0.5


def test_every_patch_has_other_noise_and_all_numbers_come_in_turn():
    rng = np.random.default_rng(1)
    drawn = [draw_noise(rng, SHAPE, 1.0) for _ in range(400)]
    starts = np.array([noise.start for noise in drawn])
    last = LENGTH - 50 * 40 * 31
    assert len(set(starts)) == 400 and starts.min() >= 0 and starts.max() <= last
    assert kstest(starts / last, "uniform").pvalue > 1e-3
    one, other = drawn[0].values(SHAPE), drawn[1].values(SHAPE)
    assert abs(np.mean(one * other)) < 5 / one.size**0.5
    assert abs((Noise(5, 0.25).values(SHAPE)).std() - 0.25) < 0.005


def test_a_patch_larger_than_all_numbers_has_them_again_from_its_own_place():
    shape = (3, LENGTH // 2, 1)
    noise = draw_noise(np.random.default_rng(0), shape, 2.0)
    assert noise.start == 0
    for start in (0, 7):
        values = Noise(start, 2.0).values(shape).ravel()
        assert np.array_equal(values[: LENGTH // 2], 2 * normal_numbers()[start : start + LENGTH // 2])
        assert np.array_equal(values[LENGTH:], values[: LENGTH // 2])


def test_a_device_adds_the_same_numbers():
    for shape in (SHAPE, (3, LENGTH // 2, 1)):
        noises = [Noise(0, 0.3), Noise(12345, 1.7)]
        found = noise_of(noises, torch.zeros((2, *shape))).numpy()
        assert np.array_equal(found, np.stack([noise.values(shape) for noise in noises]))
