"""The thin plate's quadratic form is that of its stencils' differences, entry for entry; a plane goes on as a plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import sparse

from scroll.tracing.bridging import BENDING, HOLD, Stencil, _energy, bridged

ORDER: list[tuple[float, Stencil]] = [
    (BENDING, {(0, 0): 1.0, (1, 0): -2.0, (2, 0): 1.0}),
    (BENDING, {(0, 0): 1.0, (0, 1): -2.0, (0, 2): 1.0}),
    (2 * BENDING, {(0, 0): 1.0, (1, 0): -1.0, (0, 1): -1.0, (1, 1): 1.0}),
    (HOLD, {(0, 0): -1.0, (1, 0): 1.0}),
    (HOLD, {(0, 0): -1.0, (0, 1): 1.0}),
]


def by_differences(seen: NDArray[np.bool_], domain: NDArray[np.bool_]) -> sparse.csc_array:
    """A row of differences for each place where a stencil is inside, times itself."""
    cells = [tuple(cell) for cell in np.argwhere(domain)]
    number = {cell: n for n, cell in enumerate(cells)}
    energy = sparse.csr_array(np.diag(seen[domain].astype(float)))
    for weight, stencil in ORDER:
        placed = [{(y + dy, x + dx): value for (dy, dx), value in stencil.items()} for y, x in np.ndindex(domain.shape)]
        inside = [one for one in placed if one.keys() <= number.keys()]
        rows = np.zeros((len(inside), len(cells)))
        for row, one in zip(rows, inside, strict=True):
            row[[number[cell] for cell in one]] = list(one.values())
        energy = energy + weight * (sparse.csr_array(rows).T @ sparse.csr_array(rows))
    return energy.tocsc()


@given(st.data(), arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_the_form_is_that_of_the_differences_to_the_last_bit(data, domain):
    seen = data.draw(arrays(np.bool_, domain.shape)) & domain
    expected, found = by_differences(seen, domain), _energy(seen, domain)
    expected.sort_indices()
    expected.eliminate_zeros()
    for name in ("indptr", "indices", "data"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_a_plane_that_is_seen_in_part_goes_on_as_a_plane():
    rows, columns = np.mgrid[:12, :15]
    plane = (3 + 0.25 * rows - 0.5 * columns).astype(np.float32)
    seen = np.where((columns < 4) | (columns > 11), plane, np.nan)
    domain = rows < 11
    found = bridged(seen, domain)
    assert np.isnan(found[~domain]).all()
    assert found[domain] == pytest.approx(plane[domain], abs=0.01)
