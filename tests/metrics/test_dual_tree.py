"""The tree of runs is the tree of single cubes, and what it closes are loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from scroll.metrics.betti_matching.betti import betti_numbers
from scroll.metrics.betti_matching.dual_faces import OPEN, face_kinds, sides
from scroll.metrics.betti_matching.dual_tree import TREE, spanning_tree
from scroll.metrics.betti_matching.tunnel_loops import tunnel_loops

masks = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8).flatmap(lambda shape: arrays(bool, shape))


def marked_one_by_one(mask: np.ndarray) -> np.ndarray:
    """Kruskal's way: every open face, from the last to the first, and whether it joins two clusters of cubes."""
    kinds, parents = face_kinds(mask), list(range(mask.size + 1))

    def root(cube: int) -> int:
        while parents[cube] != cube:
            cube = parents[cube]
        return cube

    for face in range(kinds.size - 1, -1, -1):
        if kinds[face] == OPEN:
            one, other = (root(cube) for cube in sides(face, mask.shape))
            if one != other:
                parents[one], kinds[face] = other, TREE
    return kinds


@settings(max_examples=150, deadline=None)
@given(masks)
def test_the_faces_of_the_tree_are_those_of_a_union_find_over_all_cubes(mask: np.ndarray) -> None:
    assert np.array_equal(spanning_tree(mask).kinds, marked_one_by_one(mask))


def check_loops(mask: np.ndarray) -> None:
    loops, kinds = tunnel_loops(mask), spanning_tree(mask).kinds
    assert len(loops.ends) == betti_numbers(mask)[1]
    for i, end in enumerate(loops.ends):
        faces = loops.faces[loops.starts[i] : loops.starts[i + 1]]
        assert faces[0] == end == faces.min()
        assert len(set(faces.tolist())) == len(faces)
        assert (kinds[faces[1:]] == TREE).all() and kinds[end] == OPEN
        cubes = np.array([sides(face, mask.shape) for face in faces])
        assert (np.unique(cubes, return_counts=True)[1] == 2).all()  # a path that comes back, through no cube twice


@settings(max_examples=100, deadline=None)
@given(masks)
def test_a_loop_comes_back_through_the_tree_and_has_no_face_before_its_end(mask: np.ndarray) -> None:
    check_loops(mask)


def test_sums_that_are_forgotten_and_made_again_change_nothing() -> None:
    rng = np.random.default_rng(3)
    check_loops(rng.random((30, 30, 30)) < 0.55)  # some thousand tunnels: far more sums than pairs are remembered
