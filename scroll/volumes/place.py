"""Where a volume's voxels lie in the space of its scroll, whose unit is a voxel of level 0: steps and first places, axis by axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError

Numbers = tuple[float, float, float]
ONES, ZEROS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
SAME = 0.01  # lengths that differ by less are one length
NEARLY = 1e-3  # of a voxel: what a rounded number may be off


@dataclass(frozen=True)
class Place:
    """Voxel v (z, y, x) is centred on level-0 place (v + 0.5) * step - 0.5 + begin: it is the mean of `step` voxels.

    Attributes:
        step: voxels of level 0 to a voxel along z, y, x.
        begin: where the volume begins, in voxels of level 0; of a cut-out that is not 0.
        aspect: edges of a voxel of level 0 over its edge along z; 1, 1, 1 for cubes, and where nothing says so.
        contradiction: what in the metadata speaks against it, in a line; "" where nothing does.
    """

    step: Numbers = ONES
    begin: Numbers = ZEROS
    aspect: Numbers = ONES
    contradiction: str = field(default="", compare=False)

    @property
    def edge(self) -> float:
        """Voxels of level 0 to a voxel, where they are as many along z, y and x.

        Raises:
            InputError: they are not.
        """
        if len({*self.step}) > 1:
            raise InputError(
                f"{words(self.step)} voxels of level 0 to a voxel along z, y, x; expected as many along each"
            )
        return self.step[0]

    @property
    def first_centre(self) -> Numbers:
        """The level-0 place of voxel 0, 0, 0."""
        z, y, x = (at + (step - 1) / 2 for at, step in zip(self.begin, self.step, strict=True))
        return z, y, x

    def voxels(self, places: NDArray[Any]) -> NDArray[Any]:
        """Level-0 places (..., 3) as voxels of the volume.

        >>> Place((2.0, 2.0, 2.0)).voxels(np.array([0.5, 2.5, 4.5]))
        array([0., 1., 2.])
        """
        moved = places + 0.5 if self.begin == ZEROS else places + 0.5 - np.array(self.begin)
        return moved / (self.step[0] if len({*self.step}) == 1 else np.array(self.step)) - 0.5

    def cut(self, first: Sequence[int]) -> "Place":
        """Of the part of the volume that begins at voxel `first`."""
        z, y, x = (at + n * step for at, n, step in zip(self.begin, first, self.step, strict=True))
        return replace(self, begin=(z, y, x))

    def end(self, shape: Sequence[int]) -> Numbers:
        """Level-0 voxels (z, y, x) after the last that a volume of `shape` covers."""
        z, y, x = (at + n * step for at, n, step in zip(self.begin, shape, self.step, strict=True))
        return z, y, x

    @property
    def name(self) -> Any:
        """For keys and receipts: the number of the level in a pyramid that halves, else steps and beginning.

        >>> Place((4.0, 4.0, 4.0)).name, Place((1.0, 2.0, 2.0)).name
        (2, {'step_zyx': [1.0, 2.0, 2.0], 'begin_zyx': [0.0, 0.0, 0.0]})
        """
        level = math.log2(self.step[0])
        if level.is_integer() and level >= 0 and len({*self.step}) == 1 and self.begin == ZEROS:
            return int(level)
        return {"step_zyx": list(self.step), "begin_zyx": list(self.begin)}


def place_named(name: Any) -> Place:
    """The place that bears a `name`, as it stands in a receipt.

    >>> place_named(Place((3.0, 3.0, 3.0)).name).step, place_named(2).step
    ((3.0, 3.0, 3.0), (4.0, 4.0, 4.0))
    """
    if not isinstance(name, dict):
        return at_halving_level(int(name))
    (a, b, c), (z, y, x) = name["step_zyx"], name["begin_zyx"]
    return Place((a, b, c), (z, y, x))


def at_halving_level(level: int) -> Place:
    """Of level `level` of a pyramid that halves z, y and x from one level to the next, as ours do."""
    return Place((2.0**level,) * 3)


def place_of(level: "int | Place") -> Place:
    """A place as it is; a number is a level of a pyramid that halves."""
    return level if isinstance(level, Place) else at_halving_level(level)


NOWHERE_ELSE = Place()  # level 0 of a volume that begins where its scroll does


def check_cubes(where: Any, place: Place, is_level_even: bool = True) -> None:
    """Refuse voxels that are no cubes, along which no normal is sampled rightly; `is_level_even`: those of the level too.

    Raises:
        InputError: names their edges, or what contradicts the place.
    """
    if place.contradiction:
        raise InputError(place.contradiction)
    edges = [a * s for a, s in zip(place.aspect, place.step if is_level_even else ONES, strict=True)]
    if not all(math.isclose(edge, edges[0], rel_tol=SAME) for edge in edges):
        raise InputError(
            f"{where}: its scale says voxels of {words([edge / min(edges) for edge in edges])} (z, y, x, relative); expected cubes, as "
            "surfaces and networks know them: take another level, resample it, or mend its scale"
        )


def words(numbers: Sequence[float]) -> str:
    """As they stand in messages.

    >>> words((2.0, 2.5, 3.0))
    '2 x 2.5 x 3'
    """
    return " x ".join(f"{number:g}" for number in numbers)
