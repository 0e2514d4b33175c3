"""Whether a surface can be what it says: spacing against its cells, place in the volume, winding, folds and tears.

Measured on whole rows spread over the surface, about 2 million points at most, so that a map of gigabytes takes seconds.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.surfaces.surface import Surface, normals_of

SAMPLED_POINTS = 2**21
STRIP_ROWS = 8
MOST_RATIO = 2.0  # between the spacing measured and the cell; villa's own preflight draws the line there
TORN_CELLS = 4.0
LEAST_VALID, MOST_TORN, MOST_FOLDED, MOST_OPPOSED, MOST_INWARD = 0.01, 0.01, 0.01, 0.05, 0.5
ADVICE = "check that the surface belongs to this volume, its scale and the order of its axes, or trace it again"

BEFORE, AFTER = slice(None, -1), slice(1, None)
Box = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What was measured on a surface; shares are 0 to 1, and NaN where there was nothing to measure them on.

    Attributes:
        cell_vox: what the surface says of its spacing, along rows and columns.
        spacing_vox: the median distance between valid neighbours, likewise.
        bbox_zyx: lowest and highest z, y, x of the valid points; None without any.
        valid: share of points that are valid.
        outside: of valid points, those outside the volume.
        torn: of pairs of valid neighbours, those more than 4 cells apart.
        folded: of pairs of neighbouring whole quads, those that face opposite sides.
        opposed: of valid points, those whose normal points against dP/dcolumn x dP/drow.
        inward: of valid points, those whose normal points towards the axis.
    """

    cell_vox: tuple[float, float]
    spacing_vox: tuple[float, float]
    bbox_zyx: Box | None
    valid: float
    outside: float
    torn: float
    folded: float
    opposed: float
    inward: float


Span = Sequence[float]


def measure(
    surface: Surface,
    volume_shape_zyx: Span | None = None,
    axis_yx: tuple[float, float] | None = None,
    begin_zyx: Span = (0, 0, 0),
) -> Geometry:
    """Measure a surface; `outside` needs the volume's shape in voxels of level 0, `inward` the place of the scroll's axis.

    Of a cut-out `begin_zyx` is where it begins; its shape then counts from there.
    """
    steps: tuple[list[Any], list[Any]] = ([], [])
    counts: dict[str, NDArray[np.int64]] = {}
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for strip in _strips(surface):
        for axis in (0, 1):
            steps[axis].append(strip.steps(axis))
        flags = strip.flags(surface.cell_vox) | strip.flags_in_space(volume_shape_zyx, axis_yx, begin_zyx)
        for name, found in flags.items():
            counts[name] = counts.get(name, 0) + np.array([found.sum(), found.size])
        if strip.valid.any():
            here = strip.points[strip.valid]
            low, high = np.minimum(low, here.min(axis=0)), np.maximum(high, here.max(axis=0))
    shares = {name: float(hits / total) if total else float("nan") for name, (hits, total) in counts.items()}
    rows, columns = (np.concatenate(found) for found in steps)
    return Geometry(
        surface.cell_vox, (_median(rows), _median(columns)), (low, high) if np.isfinite(low).all() else None, **shares
    )


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some rows in memory: points and normals (h, W, 3) float64 in z, y, x, and valid (h, W)."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    valid: NDArray[np.bool_]

    def steps(self, axis: int) -> NDArray[np.float64]:
        """(n,) voxels between valid neighbours."""
        before, after = _pairs(axis)
        both = self.valid[before] & self.valid[after]
        return np.linalg.norm(self.points[after][both] - self.points[before][both], axis=-1)

    def flags(self, cell_vox: tuple[float, float]) -> dict[str, NDArray[np.bool_]]:
        """What is true of each point, or of each pair of neighbours: bool arrays of whatever length."""
        torn = [self.steps(axis) > TORN_CELLS * cell_vox[axis] for axis in (0, 1)]
        drawn = (normals_of(self.points, self.valid) * self.normals).sum(axis=-1)[self.valid]
        return {
            "valid": self.valid,
            "torn": np.concatenate(torn),
            "folded": self._folds(),
            "opposed": drawn[drawn != 0] < 0,
        }

    def flags_in_space(
        self, volume_shape_zyx: Span | None, axis_yx: tuple[float, float] | None, begin_zyx: Span
    ) -> dict[str, NDArray[np.bool_]]:
        """The same of each valid point, with regard to the volume and its axis; none without these."""
        here = self.points[self.valid]
        outside = inward = np.zeros(0, bool)
        if volume_shape_zyx is not None:
            low = np.array(begin_zyx) - 0.5
            outside = np.any((here < low) | (here > low + np.array(volume_shape_zyx)), axis=-1)
        if axis_yx is not None:
            inward = ((here[:, 1:] - axis_yx) * self.normals[self.valid][:, 1:]).sum(axis=-1) < 0
        return {"outside": outside, "inward": inward}

    def _folds(self) -> NDArray[np.bool_]:
        a, b, c, d = (self.points[i, j] for i in (BEFORE, AFTER) for j in (BEFORE, AFTER))
        whole = np.logical_and.reduce([self.valid[i, j] for i in (BEFORE, AFTER) for j in (BEFORE, AFTER)])
        normals = np.cross(d - a, b - c)  # of the diagonals
        folds = []
        for axis in (0, 1):
            before, after = _pairs(axis)
            agreement = (normals[before] * normals[after]).sum(axis=-1)
            folds.append(agreement[whole[before] & whole[after]] < 0)
        return np.concatenate(folds)


def _pairs(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    keep: tuple[slice, ...] = (slice(None),) * axis
    return (*keep, BEFORE), (*keep, AFTER)


def _strips(surface: Surface) -> Iterator[_Strip]:
    """The whole surface if it is small, else strips of 8 rows spread evenly over it."""
    height, width = surface.shape
    rows = max(STRIP_ROWS, SAMPLED_POINTS // width)
    starts = np.linspace(0, height - STRIP_ROWS, rows // STRIP_ROWS).astype(int) if height > rows else [0]
    for start in starts:
        picked = slice(start, start + (STRIP_ROWS if height > rows else height))
        points, normals = (np.asarray(part[picked], np.float64) for part in (surface.points, surface.normals))
        yield _Strip(points, normals, np.asarray(surface.valid[picked]))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else float("nan")


def check_surface(
    surface: Surface,
    volume_shape_zyx: Span | None = None,
    axis_yx: tuple[float, float] | None = None,
    begin_zyx: Span = (0, 0, 0),
) -> Geometry:
    """Refuse a surface that contradicts itself or the volume of that shape (voxels of level 0); gives what was measured.

    A cut-out begins at `begin_zyx`.

    Raises:
        InputError: no valid point, none inside the volume, or a spacing more than twice or less than half the cell.

    Warns:
        UserWarning: part of it is outside, is torn or folded, or normals point the wrong way.
    """
    geometry = measure(surface, volume_shape_zyx, axis_yx, begin_zyx)
    wrong = contradictions(geometry, volume_shape_zyx, begin_zyx)
    if wrong:
        raise InputError(f"{surface.path}: {'; '.join(wrong)}: {ADVICE}")
    for doubt in doubts(geometry):
        warnings.warn(f"{surface.path}: {doubt}: {ADVICE}", stacklevel=2)
    return geometry


def contradictions(geometry: Geometry, volume_shape_zyx: Span | None = None, begin_zyx: Span = (0, 0, 0)) -> list[str]:
    """What cannot be: in words, with the numbers."""
    if geometry.bbox_zyx is None:
        return ["no valid point; expected a sheet"]
    wrong = []
    for name, found, cell in zip(("rows", "columns"), geometry.spacing_vox, geometry.cell_vox, strict=True):
        ratio = found / cell
        if ratio > MOST_RATIO or ratio < 1 / MOST_RATIO:
            wrong.append(
                f"{name} are {found:.4g} voxels apart (median of valid neighbours) but its cell says {cell:.4g}, a ratio of "
                f"{ratio:.2g}; expected {1 / MOST_RATIO:g} to {MOST_RATIO:g}"
            )
    if geometry.outside == 1 and volume_shape_zyx is not None:
        low, high = (" ".join(f"{value:.0f}" for value in corner) for corner in geometry.bbox_zyx)
        size = " ".join(f"{length:g}" for length in volume_shape_zyx)
        begin = f" that begins at {' '.join(f'{at:g}' for at in begin_zyx)}" if any(begin_zyx) else ""
        wrong.append(f"it spans {low} to {high} (z y x), wholly outside the volume of {size}{begin}")
    return wrong


def doubts(geometry: Geometry) -> list[str]:
    """What is odd but may be: in words, with the numbers."""
    found = {
        f"only {geometry.valid:.2%} of its points are valid": 0 < geometry.valid < LEAST_VALID,
        f"{geometry.outside:.1%} of its valid points lie outside the volume": 0 < geometry.outside < 1,
        f"{geometry.torn:.1%} of neighbours are more than {TORN_CELLS:g} cells apart, so it is torn": geometry.torn
        > MOST_TORN,
        f"{geometry.folded:.1%} of neighbouring quads face opposite sides, so it is folded": geometry.folded
        > MOST_FOLDED,
        f"{geometry.opposed:.1%} of normals point against dP/dcolumn x dP/drow": geometry.opposed > MOST_OPPOSED,
        f"{geometry.inward:.1%} of normals point towards the scroll's axis, so its winding is reversed": (
            geometry.inward > MOST_INWARD
        ),
    }
    return [words for words, is_true in found.items() if is_true]
