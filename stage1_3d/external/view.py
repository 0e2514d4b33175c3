"""How a member looks at an item: window by window as it is, or, where its voxels are of another size, resampled to them and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.intensity import AsStored, Intensity
from scroll.data.members.others import MemberOfOthers, of_others
from scroll.data.members.suits import layer_span
from scroll.data.sheets import Sheet
from scroll.geometry import Size
from scroll.inference.resampling import Line, Resampling
from scroll.inference.sliding_window import Forward
from stage1_3d.external.member import window_of

Patch = Callable[[Size, AsStored], NDArray[Any]]  # size, scaling -> what is there, filled up to that size
AS_IT_IS = AsStored(Intensity())


@dataclass(frozen=True)
class View:
    """What a member sees at once.

    Attributes:
        window: z, y, x voxels that its networks see.
        resampling: how they are made of an item's voxels; None: they are those.
    """

    window: Size
    resampling: Resampling | None = None

    @property
    def size(self) -> Size:
        """z, y, x voxels of an item that it sees at once."""
        return self.window if self.resampling is None else self.resampling.size

    def read(self, patch: Patch, how: Intensity) -> NDArray[Any]:
        """(*window), as it is stored, or float32 as the networks see it; what is resampled is so before it is scaled."""
        if self.resampling is None:
            return patch(self.size, AsStored(how))
        return how.scaled(self.resampling.window_of(patch(self.size, AS_IT_IS)))

    def forward(self, networks: Forward) -> Forward:
        """Networks that look at windows, as one function whose logits are of the item's voxels."""
        resampling = self.resampling
        if resampling is None:
            return networks
        return lambda windows: resampling.brought_back(networks(windows))


def view_of(settings: Settings, name: str, voxel_um: float) -> View:
    """How a member looks at voxels of that edge, in micrometres."""
    window, other = window_of(settings, name), of_others(settings).get(name)
    z, y, x = (Line.centred(n, other.step(voxel_um) if other else 1.0) for n in window)
    return _unless_alike(window, (z, y, x))


def map_view(other: MemberOfOthers, sheet: Sheet) -> View:
    """How a member that gives a map looks at the layers of a sheet, at full resolution.

    Layers lie about that of the sheet, which is one of the member's own; they come in the direction that it wants.
    """
    depth, *plane = other.card.window
    span, step = layer_span(other, sheet.layer_um), other.step(sheet.layer_um)
    first, size = span.own_first * step - span.first, span.end - span.first
    if other.card.direction == "outwards":  # the last layer that is read is its first
        first = size - 1 - first - (depth - 1) * step
    y, x = (Line.centred(n, other.step(sheet.pixel_um)) for n in plane)
    return _unless_alike(other.card.window, (Line(depth, size, first, step), y, x))


def _unless_alike(window: Size, lines: tuple[Line, Line, Line]) -> View:
    return View(window, None if all(line.step == 1 for line in lines) else Resampling(lines))
