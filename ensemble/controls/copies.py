"""The negative controls of a fragment, copies of it: what each changes, what it can say, and what it cannot."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.audit.figures import PAPYRUS, REVERSED, SCRAMBLED, SHUFFLED
from scroll.controls.planted import planted_film
from scroll.controls.rearranged import exchanged_axes, shuffled_layers
from scroll.controls.scrambled import LEAST_EDGE_PX, phase_scrambled
from scroll.data.fragments import Fragment
from scroll.runtime.receipt import key_of
from scroll.volumes.volume import Volume

VERSION = 2  # of how layers are scrambled: predictions of other copies are not taken for these
TILE_UM = 4000.0
"""Edge of a scrambled tile: letters are 2 to 3 mm high, so that each is spread over more than its own place."""
SAYS = {
    PAPYRUS: (
        "papyrus of the same scan that is said to hold no ink, as it is: real fibres, cracks and noise of the face itself. What is called "
        "ink there is imagined, so chances rest on it alone. Ink that somebody missed there makes them too high."
    ),
    SCRAMBLED: (
        "texture of the same wavelengths, directions and grey values in every layer, as rough as the papyrus there, phases at random: no "
        "shape that was drawn is left. It is taken from where nothing was found, for ink's own wavelengths would come back as blobs; what "
        "ink was missed still does. Cracks, edges and single fibres are gone too, so a run that mistakes those for ink looks better here "
        "than it is."
    ),
    REVERSED: (
        "the same papyrus looked at from its back and turned by a quarter, so that fibres run as those of the face do: real fibres, cracks "
        "and noise. Its ink is as far behind the sheet's centre as it lay before it; where data.depth reaches that far the run may still "
        "see it, which makes chances too high, never too low. The back is rougher than the face, which may do either."
    ),
    SHUFFLED: (
        "the layers that the run sees, in a random order. Ink keeps its shape in the plane, so this is no copy without ink and no chance "
        "rests on it: what is still found was found without the order of depths, by brightness or texture of single layers."
    ),
}


class Change(Protocol):
    """What is done to the layers that a run sees."""

    def applied(self, ct: Volume, mask: NDArray[np.bool_], before: int) -> Volume:
        """The changed layers, (Z, Y, X) at working resolution, read as lazily as `ct`; `mask` (Y, X) is the papyrus.

        `before` of the layers lie before those that the change was made for, as they do for shifted depth windows.
        """

    def record(self) -> list[Any]:
        """What it is, for keys."""


@dataclass(frozen=True)
class Shuffled:
    """Layers in a random order."""

    seed: int

    def applied(self, ct: Volume, mask: NDArray[np.bool_], before: int) -> Volume:
        """See `Change`."""
        return shuffled_layers(ct, self.seed)

    def record(self) -> list[Any]:
        """See `Change`."""
        return [SHUFFLED, self.seed]


@dataclass(frozen=True, eq=False)
class Scrambled:
    """Random phases in tiles of `edge_px` working pixels, of the texture where `kept` (Y, X) is true."""

    seed: int
    edge_px: int
    kept: NDArray[np.bool_]

    def applied(self, ct: Volume, mask: NDArray[np.bool_], before: int) -> Volume:
        """See `Change`."""
        return phase_scrambled(ct, mask, self.edge_px, self.seed, self.kept)

    def record(self) -> list[Any]:
        """See `Change`."""
        return [
            SCRAMBLED,
            VERSION,
            self.seed,
            self.edge_px,
            hashlib.sha256(np.packbits(self.kept).tobytes()).hexdigest(),
        ]


@dataclass(frozen=True, eq=False)
class Planted:
    """Ink laid on the sheet: see `scroll.controls.planted.PlantedFilm`; `key` stands for the arrays."""

    film: NDArray[np.float32]
    face: NDArray[np.float32]
    film_vox: float
    blur_vox: float
    key: str

    def applied(self, ct: Volume, mask: NDArray[np.bool_], before: int) -> Volume:
        """See `Change`."""
        return planted_film(ct, self.film, self.face + np.float32(before), self.film_vox, self.blur_vox)

    def record(self) -> list[Any]:
        """See `Change`."""
        return ["planted", self.key]


@dataclass(frozen=True)
class ChangedFragment(Fragment):
    """A fragment whose layers are changed as they are read; its files, papyrus and pictures are the original's."""

    change: Change = Shuffled(0)  # a dataclass with defaults cannot end in a field without one

    @cached_property
    def original(self) -> Fragment:
        """The fragment as it is."""
        return Fragment(
            self.id, self.folder, self.data, self.margin, self.is_flipped, self.shift_layers, beyond=self.beyond
        )

    @cached_property
    def ct(self) -> Volume:
        """The depth window at working resolution, changed."""
        return self.change.applied(self.original.ct, self.mask, self.beyond[0])

    @property
    def key(self) -> str:
        """The original's and the change's."""
        return key_of([self.original.key, self.change.record()])


@dataclass(frozen=True)
class TurnedFragment(Fragment):
    """A fragment with rows and columns exchanged: what runs down it, as fibres of the back do, runs along it."""

    @cached_property
    def original(self) -> Fragment:
        """The fragment as it is."""
        return Fragment(
            self.id, self.folder, self.data, self.margin, self.is_flipped, self.shift_layers, beyond=self.beyond
        )

    @cached_property
    def volume(self) -> Volume:
        """The whole stack, (Z, X, Y)."""
        return exchanged_axes(self.original.volume)

    @cached_property
    def ct(self) -> Volume:
        """The depth window at working resolution, (layers, X, Y)."""
        return exchanged_axes(self.original.ct)

    @cached_property
    def full_mask(self) -> NDArray[np.bool_]:
        """Papyrus, (X, Y)."""
        return np.ascontiguousarray(self.original.full_mask.T)

    @property
    def key(self) -> str:
        """The original's, and that it is turned."""
        return key_of([self.original.key, "turned"])


@dataclass(frozen=True)
class Copy:
    """A negative control: its kind, its number among its kind, and the fragment that the run is shown."""

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

    def laid_on(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A (Y, X) map of the real fragment, turned as this copy is; and one of this copy, turned back."""
        return picture.T if isinstance(self.fragment, TurnedFragment) else picture


def changed(fragment: Fragment, change: Change, name: str) -> ChangedFragment:
    """The fragment with its layers changed; `name` is printed beside its own while it is predicted."""
    return ChangedFragment(
        f"{fragment.id} {name}", fragment.folder, fragment.data, fragment.margin,
        fragment.is_flipped, fragment.shift_layers, change,
    )  # fmt: skip


def reversed_copy(fragment: Fragment) -> TurnedFragment:
    """The fragment seen from its back, turned by a quarter, for the fibres there run across those of the face; see `opposite`."""
    return TurnedFragment(
        f"{fragment.id} {REVERSED}", fragment.folder, fragment.data, fragment.margin,
        not fragment.is_flipped, _mirrored_shift(fragment),
    )  # fmt: skip


def opposite(fragment: Fragment) -> Fragment:
    """The fragment as it would be fed were its layers stored in the opposite order.

    The window is mirrored about the sheet's centre layer, and moved into the stack if it hangs over.
    """
    return Fragment(
        f"{fragment.id} in opposite order", fragment.folder, fragment.data, fragment.margin,
        not fragment.is_flipped, _mirrored_shift(fragment), beyond=fragment.beyond,
    )  # fmt: skip


def _mirrored_shift(fragment: Fragment) -> int:
    layers = fragment.volume.shape[0]
    centre = layers - 1 - (layers // 2 + fragment.shift_layers)
    first, end = fragment.data.depth
    before, behind = fragment.kept
    return min(max(centre, before - first), layers - end - behind) - layers // 2


def tile_px(fragment: Fragment) -> int:
    """Edge of a scrambled tile in working pixels."""
    return max(LEAST_EDGE_PX, round(TILE_UM / (fragment.pixel_um * fragment.data.bin_yx)))


def negative_controls(fragment: Fragment, found: NDArray[np.bool_], count: int) -> list[Copy]:
    """`count` scrambled and shuffled copies, each by another seed, and the reversed one, of which there is but one.

    `found` (Y, X), at working resolution, is what the run took for ink; scrambled copies take no texture from there.
    """
    edge_px = tile_px(fragment)
    kept = fragment.mask & ~found
    copies = [
        Copy(SCRAMBLED, n, changed(fragment, Scrambled(n, edge_px, kept), SCRAMBLED)) for n in range(1, count + 1)
    ]
    copies.append(Copy(REVERSED, 1, reversed_copy(fragment)))
    shuffled = [Copy(SHUFFLED, n, changed(fragment, Shuffled(n), SHUFFLED)) for n in range(1, count + 1)]
    return copies + shuffled
