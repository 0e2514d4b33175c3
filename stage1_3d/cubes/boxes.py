"""Where stage one looks in cubes: boxes about voxels of the surface, or about any voxel that somebody labelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from scroll.config.schema import MemberSettings
from scroll.data.boxes import Size
from scroll.data.cube_index import BLOCK
from scroll.data.cubes import Cube
from scroll.data.folds import Fold
from scroll.data.labels import Label
from scroll.errors import InputError

KNOWN_SHARE = 0.25  # of a box; a third to a half of the competition's voxels are labelled
ATTEMPTS = 8


@dataclass(frozen=True)
class CubeBox:
    """A box of a cube: its corner (z, y, x), and its label, (Z, Y, X)."""

    cube: Cube
    corner: Size
    label: Label

    @cached_property
    def known_share(self) -> float:
        """Share of the voxels inside the cube that are labelled; a box may be larger than the cube."""
        inside = prod(min(n, s) for n, s in zip(self.cube.shape, self.label.ignore.shape, strict=True))
        return float(np.count_nonzero(~self.label.ignore) / inside)


class CubeBoxes:
    """Where boxes of CT are drawn: in the cubes that a fold trains on, or in those it holds out.

    A share of them (`member.foreground_share`) is about a voxel of the surface, and holds it; the rest about any labelled voxel. Of
    a few boxes the first is taken that is known to a quarter, else the best known: most of a cube may be unlabelled.

    Raises:
        InputError: no labelled voxel in these cubes.
    """

    def __init__(self, cubes: Sequence[Cube], fold: Fold, member: MemberSettings, is_training: bool) -> None:
        self.size, self.surface_share = member.patch_size, member.foreground_share
        self.cubes = [c for c in cubes if (c.id not in fold.closed if is_training else c.id in fold.held_out)]
        self._known_below = np.cumsum([c.index.known.sum(dtype=np.int64) for c in self.cubes])
        self._surface_below = np.cumsum([c.index.surface.sum(dtype=np.int64) for c in self.cubes])
        if not self.cubes or not self._known_below[-1]:
            which = "train on" if is_training else "validate on"
            raise InputError(
                f"fold {fold.number}: none of its {len(self.cubes)} cubes to {which} has a labelled voxel; check data.train, "
                "and that the labels are 0, 1 and only elsewhere 2"
            )

    def place(self, rng: np.random.Generator) -> CubeBox:
        """One box, from the caller's random numbers."""
        is_on_surface = bool(rng.random() < self.surface_share) and bool(self._surface_below[-1])
        boxes: list[CubeBox] = []
        while len(boxes) < ATTEMPTS and not (boxes and boxes[-1].known_share >= KNOWN_SHARE):
            cube, voxel = self._voxel(rng, is_on_surface)
            corner = cube.inside(self._around(rng, voxel), self.size)
            boxes.append(CubeBox(cube, corner, cube.label(corner, self.size)))
        return max(boxes, key=lambda box: box.known_share)

    def _voxel(self, rng: np.random.Generator, is_on_surface: bool) -> tuple[Cube, np.ndarray]:
        """A voxel of the surface, or a labelled one, each as likely as any other in all cubes; place z, y, x."""
        below = self._surface_below if is_on_surface else self._known_below
        cube = self.cubes[int(np.searchsorted(below, rng.integers(below[-1]), side="right"))]
        counts = cube.index.surface if is_on_surface else cube.index.known
        so_far = np.cumsum(counts, dtype=np.int64)
        block = int(np.searchsorted(so_far, rng.integers(so_far[-1]), side="right"))
        z, y, x = (int(n) * BLOCK for n in np.unravel_index(block, counts.shape))
        label = cube.label((z, y, x), (BLOCK,) * 3)
        places = np.argwhere(label.target if is_on_surface else ~label.ignore)
        return cube, np.array((z, y, x)) + places[rng.integers(len(places))]

    def _around(self, rng: np.random.Generator, voxel: np.ndarray) -> list[float]:
        """Corner of a box about a voxel, moved by up to a quarter of its size."""
        size = np.array(self.size)
        return [float(c) for c in voxel - size / 2 + rng.uniform(-0.25, 0.25, 3) * size]
