"""The compiled kernels of post-processing against slow and plain versions of the same: equal to the bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, generate_binary_structure, label

from ensemble.surface.postprocess.fill_holes import _is_simple, _shrink
from ensemble.surface.postprocess.thickness import STEP_VOX, _near_ridge, sheet_normals
from scroll.metrics.betti_matching.connected import component_sizes, connected_components
from scroll.tracing.directions import first_eigenvectors


def slowly_simple(around: np.ndarray) -> bool:
    """One 6-connected part of the 18 voxels around touches a face of the middle, and one 26-connected part is free."""
    off = np.abs(np.indices((3, 3, 3)) - 1).sum(0)
    taken, _ = label(around & (off > 0) & (off < 3), generate_binary_structure(3, 1))
    beside = set(np.unique(taken[off == 1])) - {0}
    free = label(~around & (off > 0), np.ones((3, 3, 3)))[1]
    return len(beside) == 1 and free == 1


def test_a_voxel_is_simple_as_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        for _ in range(300):
            around = rng.random((3, 3, 3)) < share
            expected = slowly_simple(around)
            assert _is_simple(np.ascontiguousarray(around.ravel()), 13, 3, 3) == expected
            seen[expected] += 1
    assert min(seen.values()) > 200


def slowly_shrunk(distances: np.ndarray, limit: int) -> np.ndarray:
    """The farthest first, each level from a queue in raster order that what is freed sends its neighbours to."""
    inside = distances <= limit
    for level in range(limit, 0, -1):
        queue = [tuple(int(k) for k in at) for at in np.argwhere(inside & (distances == level))]
        while queue:
            at = queue.pop(0)
            box = tuple(slice(k - 1, k + 2) for k in at)
            if not slowly_simple(inside[box]):
                continue
            inside[at] = False
            for step in product((-1, 0, 1), repeat=3):
                there = tuple(k + s for k, s in zip(at, step, strict=True))
                if inside[there] and distances[there] >= level and there not in queue:
                    queue.append(there)
    return inside


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 6]), st.sampled_from([0.02, 0.1, 0.3]))
def test_shrinking_takes_off_what_the_slow_version_takes_off(seed: int, limit: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.integers(1, limit + 2, (7, 8, 9)).astype(np.int16)
    distances[rng.random(distances.shape) < share] = 0
    for axis in range(3):
        np.moveaxis(distances, axis, 0)[[0, -1]] = limit + 1
    assert np.array_equal(_shrink(distances, limit), slowly_shrunk(distances, limit))


def value(prob: np.ndarray, place: list[float]) -> np.float64:
    """Trilinear, with the precision that each product and sum has in the product: shares are float32, what is left of 1 is float64."""
    place = [min(max(at, 0.0), n - 1.0) for at, n in zip(place, prob.shape, strict=True)]
    low = [int(at) for at in place]
    high = [min(at + 1, n - 1) for at, n in zip(low, prob.shape, strict=True)]
    c, b, a = (np.float32(at - k) for at, k in zip(place, low, strict=True))

    def mean(one: np.floating, other: np.floating, share: np.float32) -> np.float64:
        second = other * share if other.dtype == np.float32 else np.float64(other) * np.float64(share)
        return np.float64(one) * (1 - np.float64(share)) + np.float64(second)

    def row(k: int, j: int) -> np.float64:
        return mean(prob[k, j, low[2]], prob[k, j, high[2]], a)

    planes = [mean(row(k, low[1]), row(k, high[1]), b) for k in (low[0], high[0])]
    return mean(planes[0], planes[1], c)


def slowly_near(prob: np.ndarray, normals: np.ndarray, threshold: np.float32, half: np.float32) -> np.ndarray:
    """Every profile whole, and the nearest of its maxima."""
    band, reach = np.zeros(prob.shape, bool), int(half / STEP_VOX) + 2
    for at in np.argwhere(prob >= threshold / 4):
        normal = normals[tuple(at // 2)].astype(np.float64)
        if not normal.any():
            continue
        steps = (np.arange(2 * reach + 1) - reach) * STEP_VOX
        profile = np.array([value(prob, list(at + step * normal)) for step in steps], np.float32)
        here, before, after = profile[1:-1], profile[:-2], profile[2:]
        top = (here >= threshold) & (here >= before) & (here > after)
        bend = (before[top] - 2 * here[top] + after[top]).astype(np.float64)
        places = np.flatnonzero(top) + 1 - reach + 0.5 * (before[top] - after[top]) / bend
        band[tuple(at)] = bool((np.abs(places) * STEP_VOX <= half).any())
    return band


@pytest.mark.parametrize("thickness_vox", [2.0, 3.3])
def test_what_is_near_a_ridge_is_what_whole_profiles_say(thickness_vox: float) -> None:
    rng = np.random.default_rng(1)
    prob = gaussian_filter(rng.random((15, 16, 17), dtype=np.float32), 1.2) * 2 - 0.5
    prob = np.clip(prob, 0, 1).astype(np.float32)
    normals = sheet_normals(prob)
    normals[2, 2] = 0
    half = np.float32(thickness_vox / 2)
    found, expected = (
        _near_ridge(prob, normals, np.float32(0.5), half),
        slowly_near(prob, normals, np.float32(0.5), half),
    )
    assert np.array_equal(found, expected)
    assert 0.02 < found.mean() < 0.9


def test_a_row_of_eigenvectors_is_each_matrix_squared_alone() -> None:
    slopes = np.random.default_rng(2).standard_normal((2, 3, 40, 3)).astype(np.float32)
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    tensor = np.stack([slopes[..., i] * slopes[..., j] for i, j in pairs], axis=-1)
    tensor[..., [0, 3, 5]] += np.float32(0.1)
    tensor[1, 1, ::3] = 0
    expected = np.zeros((*tensor.shape[:3], 3), np.float32)
    for at in np.ndindex(*tensor.shape[:3]):
        a, b, c, d, e, f = tensor[at]
        trace = a + d + f
        if trace <= 0:
            continue
        for _ in range(6):
            a, b, c, d, e, f = (part / trace for part in (a, b, c, d, e, f))
            a, b, c, d, e, f = (
                a * a + b * b + c * c, a * b + b * d + c * e, a * c + b * e + c * f,
                b * b + d * d + e * e, b * c + d * e + e * f, c * c + e * e + f * f,
            )  # fmt: skip
            trace = a + d + f
        longest = [(a, b, c), (b, d, e), (c, e, f)][0 if a >= d and a >= f else (1 if d >= f else 2)]
        one, two, three = (np.float64(part) for part in longest)
        expected[at] = np.array([one, two, three]) / np.sqrt(one**2 + two**2 + three**2)
    assert np.array_equal(first_eigenvectors(tensor), expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(1, 1, 1), (3, 4, 5), (0, 2, 2)]), st.sampled_from([0.0, 0.3, 1.0]))
def test_sizes_of_components_are_counts_of_their_numbers(seed: int, shape: tuple[int, int, int], share: float) -> None:
    labels = connected_components(np.random.default_rng(seed).random(shape) < share, 6)
    assert component_sizes(labels).tolist() == np.bincount(labels.ravel(), minlength=1).tolist()
