"""Betti numbers and Betti matching: against scikit-image and scipy, and against slow versions of the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import generate_binary_structure, label
from skimage.measure import euler_number as skimage_euler_number

from scroll.metrics.betti_matching.betti import betti_numbers, euler_number
from scroll.metrics.betti_matching.cavity_matching import matched_cavities
from scroll.metrics.betti_matching.component_matching import matched_components
from scroll.metrics.betti_matching.tunnel_loops import tunnel_loops
from scroll.metrics.betti_matching.tunnel_matching import matched_tunnels, unmatched_tunnels
from scroll.metrics.topology import octant_counts, octants, topo_score, topology_counts

masks = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9).flatmap(lambda shape: arrays(bool, shape))


def related_masks(seed: int, shape: tuple[int, ...], fill: float, change: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.random(shape) < fill
    return first, first ^ (rng.random(shape) < change)


related = st.builds(
    related_masks,
    st.integers(0, 2**32),
    st.tuples(*[st.integers(1, 6)] * 3),
    st.sampled_from([0.3, 0.5, 0.7, 0.85, 0.95]),
    st.sampled_from([0.02, 0.1, 0.3, 0.5]),
)


def independent_betti_numbers(mask: np.ndarray) -> tuple[int, int, int]:
    pieces = label(mask)[1]
    outside_too = np.pad(~mask, 1, constant_values=True)
    cavities = label(outside_too, generate_binary_structure(3, 3))[1] - 1
    return pieces, pieces + cavities - skimage_euler_number(mask, connectivity=1), cavities


@settings(max_examples=150, deadline=None)
@given(masks)
def test_betti_numbers_agree_with_scipy_and_scikit_image(mask: np.ndarray) -> None:
    assert betti_numbers(mask) == independent_betti_numbers(mask)
    assert euler_number(mask) == skimage_euler_number(mask, connectivity=1)


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1), (5, 1, 1)])
def test_single_rows_of_voxels_have_betti_numbers(shape: tuple[int, int, int]) -> None:
    row = np.array([True, False, True, True, False]).reshape(shape)
    assert betti_numbers(row) == (2, 0, 0)
    assert betti_numbers(~row) == (2, 0, 0)


def test_known_shapes_have_their_betti_numbers() -> None:
    block = np.ones((5, 5, 5), bool)
    assert betti_numbers(block) == (1, 0, 0)
    hollow = block.copy()
    hollow[2, 2, 2] = False
    assert betti_numbers(hollow) == (1, 0, 1)
    drilled = block.copy()
    drilled[:, 2, 2] = False
    assert betti_numbers(drilled) == (1, 1, 0)
    drilled[2, :, 2] = False
    assert betti_numbers(drilled) == (1, 3, 0)
    assert betti_numbers(~block) == (0, 0, 0)


def slow_matched_components(pred: np.ndarray, truth: np.ndarray) -> int:
    """The definition: one union-find over all voxels, merged edge by edge, with the roots of all three sides."""
    union = pred | truth
    shape, owner = union.shape, list(range(union.size))

    def find(node: int) -> int:
        while owner[node] != node:
            node = owner[node]
        return node

    def keys(mask: np.ndarray) -> list[tuple[int, int]]:
        return [(int(not inside), i) for i, inside in enumerate(mask.ravel())]

    roots = [keys(side) for side in (union, pred, truth)]
    edges = []
    for voxel in np.ndindex(shape):
        for axis in range(3):
            there = tuple(here + (i == axis) for i, here in enumerate(voxel))
            if there[axis] < shape[axis]:
                ends = [int(np.ravel_multi_index(end, shape)) for end in (voxel, there)]
                edges.append((int(not (union[voxel] and union[there])), *voxel, axis, *ends))
    matched = 0
    for value, *_, one, other in sorted(edges):
        a, b = find(one), find(other)
        if a == b:
            continue
        dying = [max(side[a], side[b]) for side in roots]
        matched += value == 1 and all(death[0] == 0 for death in dying)
        for side in roots:
            side[a] = min(side[a], side[b])
        owner[b] = a
    return matched


@settings(max_examples=150, deadline=None)
@given(related)
def test_components_are_matched_as_the_definition_says(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert matched_components(*pair) == slow_matched_components(*pair)


def test_which_components_match_depends_on_the_order_of_voxels() -> None:
    a, b, c = (np.arange(9).reshape(1, 1, 9) == place for place in (1, 4, 7))
    assert matched_components(a | c, b | c) == 1
    assert matched_components(a | c, a | b) == 0


def cells(mask: np.ndarray) -> tuple[dict, dict, dict]:
    """Edges, faces and cubes of the grid: (value, z, y, x, type) by the set of their voxels."""
    found: tuple[dict, dict, dict] = ({}, {}, {})
    for voxel in np.ndindex(mask.shape):
        for kind in range(3):
            for which, long in ((0, [kind]), (1, [axis for axis in range(3) if axis != kind]), (2, [0, 1, 2])):
                far = [here + (axis in long) for axis, here in enumerate(voxel)]
                if all(end < size for end, size in zip(far, mask.shape, strict=True)):
                    box = tuple(slice(here, end + 1) for here, end in zip(voxel, far, strict=True))
                    members = frozenset(np.ravel_multi_index(np.mgrid[box].reshape(3, -1), mask.shape).tolist())
                    found[which].setdefault(members, (int(not mask[box].all()), *voxel, kind))
    return found


def slow_pairs(rows_of: np.ndarray, union: np.ndarray, dimension: int) -> dict[frozenset, tuple]:
    """Column reduction: columns in the order of the union, rows in that of `rows_of`; column -> its paired row."""
    row_order, columns = cells(rows_of)[dimension - 1], cells(union)[dimension]
    pivots: dict[tuple, set] = {}
    pairs = {}
    for cell in sorted(columns, key=columns.__getitem__):
        column = {row_order[row] for row in row_order if row < cell}
        while column and max(column) in pivots:
            column ^= pivots[max(column)]
        if column:
            pivots[max(column)] = column
            pairs[cell] = max(column)
    return pairs


def slow_matched(pred: np.ndarray, truth: np.ndarray, dimension: int) -> int:
    """Betti matching in dimension 1 or 2 from the boundary matrices of union, prediction and label."""

    def bars(side: np.ndarray) -> dict[frozenset, tuple]:
        values = cells(side)[dimension]
        pairs = slow_pairs(side, side, dimension)
        return {cell: birth for cell, birth in pairs.items() if values[cell][0] == 1 and birth[0] == 0}

    union = pred | truth
    images = [(slow_pairs(side, union, dimension), set(bars(side).values())) for side in (pred, truth)]
    return sum(all(image[end] in births for image, births in images) for end in bars(union))


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        related_masks,
        st.integers(0, 2**32),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
        st.sampled_from([0.6, 0.75, 0.9]),
        st.sampled_from([0.1, 0.3]),
    )
)
def test_tunnels_are_matched_as_reducing_the_boundary_matrices_does(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert matched_tunnels(*pair) == slow_matched(*pair, dimension=1)


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        related_masks,
        st.integers(0, 2**32),
        st.tuples(st.integers(3, 4), st.integers(3, 4), st.integers(4, 6)),
        st.sampled_from([0.8, 0.9]),
        st.sampled_from([0.05, 0.15]),
    )
)
def test_cavities_are_matched_as_reducing_the_boundary_matrices_does(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert matched_cavities(*pair) == slow_matched(*pair, dimension=2)


@settings(max_examples=100, deadline=None)
@given(masks)
def test_every_tunnel_has_one_loop_of_background(mask: np.ndarray) -> None:
    loops = tunnel_loops(mask)
    assert len(loops.ends) == independent_betti_numbers(mask)[1]
    for i, end in enumerate(loops.ends):
        assert loops.faces[loops.starts[i] : loops.starts[i + 1]].min() == end


@settings(max_examples=100, deadline=None)
@given(related)
def test_no_more_is_matched_than_is_there_and_all_of_it_in_oneself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pieces, tunnels, cavities = betti_numbers(pair[0])
    assert matched_components(pair[0], pair[0]) == max(pieces - 1, 0)
    assert matched_tunnels(pair[0], pair[0]) == tunnels
    assert matched_cavities(pair[0], pair[0]) == cavities
    counts = octant_counts(*pair)
    assert (counts[:, 0] <= counts[:, 1:].min(axis=1)).all()
    wrong, missing = unmatched_tunnels(*pair)
    assert (len(wrong), len(missing)) == tuple(counts[1, 1:] - matched_tunnels(*pair))


def test_a_cavity_is_matched_where_both_leave_it_and_not_elsewhere() -> None:
    block = np.ones((7, 7, 12), bool)
    left, right, both = block.copy(), block.copy(), block.copy()
    left[3, 3, 3] = right[3, 3, 8] = False
    both[3, 3, 3] = both[3, 3, 8] = False
    assert matched_cavities(left, left) == 1
    assert matched_cavities(left, right) == 0
    assert matched_cavities(left, both) == matched_cavities(both, left) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("thickness_vox", [1, 3])
def test_a_wide_hole_is_matched_by_a_narrow_one_in_the_same_place_only(axis: int, thickness_vox: int) -> None:
    sheet = np.ones((thickness_vox, 20, 20), bool)
    wide, narrow, elsewhere = (np.moveaxis(sheet.copy(), 0, axis) for _ in range(3))
    np.moveaxis(wide, axis, 0)[:, 3:8, 3:8] = False
    np.moveaxis(narrow, axis, 0)[:, 5, 5] = False
    np.moveaxis(elsewhere, axis, 0)[:, 15, 15] = False
    assert matched_tunnels(wide, narrow) == 1
    assert matched_tunnels(wide, elsewhere) == 0


def ring_shaped_cavity() -> np.ndarray:
    """A block that is hollow in the shape of a ring: one tunnel, though nothing of it shows outside."""
    mask = np.ones((3, 5, 5), bool)
    mask[1, 1:4, 1:4] = False
    mask[1, 2, 2] = True
    return mask


@pytest.mark.parametrize("other", ["itself", "filled", "cut open", "ring broken"])
def test_a_ring_shaped_cavity_has_a_tunnel_that_is_matched_by_its_like(other: str) -> None:
    ring = ring_shaped_cavity()
    changed = {"itself": (), "filled": (1, slice(1, 4), slice(1, 4)), "cut open": (0, 1, 1), "ring broken": (1, 1, 2)}
    like = ring.copy()
    if other != "itself":
        like[changed[other]] = other != "cut open"
    assert matched_tunnels(ring, like) == slow_matched(ring, like, 1) == (other in ("itself", "cut open"))


def test_more_tunnels_than_fit_in_a_word_are_matched() -> None:
    sheet = np.ones((1, 30, 30), bool)
    sheet[:, 1:-1:2, 1:-1:2] = False
    fewer = sheet.copy()
    fewer[:, 1:11] = True
    assert matched_tunnels(sheet, sheet) == betti_numbers(sheet)[1] > 128
    assert matched_tunnels(sheet, fewer) == betti_numbers(fewer)[1]


def test_octants_cover_the_volume_once_and_the_earlier_has_the_odd_voxel() -> None:
    covered = np.zeros((5, 4, 1), int)
    for part in octants(covered.shape):
        covered[part] += 1
    assert (covered == 1).all()
    assert [side.stop for side in octants((5, 4, 1))[0]] == [3, 2, 1]


def test_a_bar_across_the_cut_counts_in_both_octants() -> None:
    pred = np.zeros((8, 8, 8), bool)
    pred[1, 1, 1], pred[3:5, 3, 3] = True, True
    counts = topology_counts(pred, np.zeros_like(pred))
    assert counts[0, 0].tolist() == [0, 1, 0] and counts[4, 0].tolist() == [0, 0, 0]


def test_hand_worked_topo_scores() -> None:
    def score(*triples: list[int]) -> float:
        return topo_score(np.array(triples))

    nothing = [0, 0, 0]
    assert score(nothing, nothing, nothing) == 1.0
    assert score([4, 4, 4], [0, 1, 0], nothing) == pytest.approx((0.34 + 0.33 / 3) / 0.67)
    assert score([1, 2, 2], nothing, [0, 0, 1]) == pytest.approx(0.34 * 0.5 / 0.67)
