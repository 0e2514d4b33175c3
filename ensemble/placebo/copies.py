"""The placebo copies of a fragment: what each changes, what it can say, and what it cannot."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.fragments import Fragment
from scroll.placebo.planted import planted_film
from scroll.placebo.scrambled import LEAST_EDGE_PX, phase_scrambled
from scroll.placebo.shuffled import shuffled_layers
from scroll.receipt import key_of
from scroll.volumes.volume import Volume

SCRAMBLED, REVERSED, SHUFFLED = "phase-scrambled", "reversed", "depth-shuffled"
BLANK = (SCRAMBLED, REVERSED)
"""The copies that hold no ink where the run looks for it; what they show counts as imagined."""
TILE_UM = 4000.0
"""Edge of a scrambled tile: letters are 2 to 3 mm high, so that each is spread over more than its own place."""
SAYS = {
    SCRAMBLED: (
        "texture of the same wavelengths, directions and grey values in every layer, phases at random: no shape that was drawn is left. "
        "Cracks, edges and single fibres are gone too, so a run that mistakes those for ink looks better here than it is; and what ink "
        "adds to the spectrum stays as blobs, so on a densely written fragment chances come out too high."
    ),
    REVERSED: (
        "the same papyrus looked at from its back: real fibres, cracks and noise, though the fibres of the back run across those of the "
        "face. Its ink lies as far behind the sheet's centre as it lay before it; where data.depth reaches that far the run may still "
        "see it. Both make chances too high, never too low."
    ),
    SHUFFLED: (
        "the layers that the run sees, in a random order. Ink keeps its shape in the plane, so this is no copy without ink and no chance "
        "rests on it: what is still found was found without the order of depths, by brightness or texture of single layers."
    ),
}


class Change(Protocol):
    """What is done to the layers that a run sees."""

    def applied(self, ct: Volume, mask: NDArray[np.bool_]) -> Volume:
        """The changed layers, (Z, Y, X) at working resolution, read as lazily as `ct`; `mask` (Y, X) is the papyrus."""

    def record(self) -> list[Any]:
        """What it is, for keys."""


@dataclass(frozen=True)
class Shuffled:
    """Layers in a random order."""

    seed: int

    def applied(self, ct: Volume, mask: NDArray[np.bool_]) -> Volume:
        """See `Change`."""
        return shuffled_layers(ct, self.seed)

    def record(self) -> list[Any]:
        """See `Change`."""
        return [SHUFFLED, self.seed]


@dataclass(frozen=True)
class Scrambled:
    """Random phases in tiles of `edge_px` working pixels."""

    seed: int
    edge_px: int

    def applied(self, ct: Volume, mask: NDArray[np.bool_]) -> Volume:
        """See `Change`."""
        return phase_scrambled(ct, mask, self.edge_px, self.seed)

    def record(self) -> list[Any]:
        """See `Change`."""
        return [SCRAMBLED, self.seed, self.edge_px]


@dataclass(frozen=True, eq=False)
class Planted:
    """Ink laid on the sheet: see `scroll.placebo.planted.PlantedFilm`; `key` stands for the arrays."""

    film: NDArray[np.float32]
    face: NDArray[np.float32]
    film_vox: float
    blur_vox: float
    key: str

    def applied(self, ct: Volume, mask: NDArray[np.bool_]) -> Volume:
        """See `Change`."""
        return planted_film(ct, self.film, self.face, self.film_vox, self.blur_vox)

    def record(self) -> list[Any]:
        """See `Change`."""
        return ["planted", self.key]


@dataclass(frozen=True)
class ChangedFragment(Fragment):
    """A fragment whose layers are changed as they are read; its files, papyrus and pictures are the original's."""

    change: Change = Shuffled(0)  # a dataclass with defaults cannot end in a field without one

    @cached_property
    def original(self) -> Fragment:
        """The fragment as it lies."""
        return Fragment(self.id, self.folder, self.data, self.margin, self.is_flipped, self.shift_layers)

    @cached_property
    def ct(self) -> Volume:
        """The depth window at working resolution, changed."""
        return self.change.applied(self.original.ct, self.mask)

    @property
    def key(self) -> str:
        """The original's and the change's."""
        return key_of([self.original.key, self.change.record()])


@dataclass(frozen=True)
class Copy:
    """A placebo copy: its kind, its number among its kind, and the fragment that the run is shown."""

    kind: str
    number: int
    fragment: Fragment

    @property
    def name(self) -> str:
        """As a folder is called.

        >>> Copy(SCRAMBLED, 1, None).name
        'phase-scrambled-1'
        """
        return f"{self.kind}-{self.number}"


def changed(fragment: Fragment, change: Change, name: str) -> ChangedFragment:
    """The fragment with its layers changed; `name` is told beside its own while it is predicted."""
    return ChangedFragment(
        f"{fragment.id} {name}", fragment.folder, fragment.data, fragment.margin,
        fragment.is_flipped, fragment.shift_layers, change,
    )  # fmt: skip


def reversed_copy(fragment: Fragment) -> Fragment:
    """The fragment seen from its back: the window mirrored about the sheet's centre layer, moved into the stack if it hangs over."""
    layers = fragment.volume.shape[0]
    centre = layers - 1 - (layers // 2 + fragment.shift_layers)
    first, end = fragment.data.depth
    centre = min(max(centre, fragment.margin - first), layers - end - fragment.margin)
    return replace(
        fragment, id=f"{fragment.id} {REVERSED}", is_flipped=not fragment.is_flipped, shift_layers=centre - layers // 2
    )


def tile_px(fragment: Fragment) -> int:
    """Edge of a scrambled tile in working pixels."""
    return max(LEAST_EDGE_PX, round(TILE_UM / (fragment.pixel_um * fragment.data.bin_yx)))


def placebo_copies(fragment: Fragment, count: int) -> list[Copy]:
    """`count` scrambled and shuffled copies, each by another seed, and the reversed one, of which there is but one."""
    edge_px = tile_px(fragment)
    copies = [Copy(SCRAMBLED, n, changed(fragment, Scrambled(n, edge_px), SCRAMBLED)) for n in range(1, count + 1)]
    copies.append(Copy(REVERSED, 1, reversed_copy(fragment)))
    shuffled = [Copy(SHUFFLED, n, changed(fragment, Shuffled(n), SHUFFLED)) for n in range(1, count + 1)]
    return copies + shuffled
