"""A member asked again about other windows: all layers in opposite order, and the window moved in depth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.controls.asked import Asked
from ensemble.controls.copies import opposite
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.members.others import of_others
from scroll.data.members.suits import layers_in
from scroll.errors import InputError
from stage1_3d.predict import predict_new

DEPTHS = (-8, -4, 4, 8)  # layers; the phantoms' ink is within 5 of where it was learnt to


@dataclass(frozen=True)
class Windows:
    """Where a member's other predictions lie: of the stack in opposite order (None: it has no room for it), and by offset in layers."""

    opposite: Path | None
    depths: dict[int, Path]


def other_windows(asked: Asked, fragment: Fragment, folder: Path, name: str, depths: Sequence[int]) -> Windows:
    """Predict them into `folder`/opposite/<name> and `folder`/depth<offset>/<name>; what is current is kept.

    An offset whose layers the stack does not hold is passed over with a line.
    """
    settings, found = _in_one_window(asked.settings), {}
    backwards = _tried(settings, opposite(fragment), folder / "opposite" / name, name)
    for offset in sorted({*depths} - {0}):
        shifted = replace(fragment, shift_layers=fragment.shift_layers + offset)
        if place := _tried(settings, shifted, folder / f"depth{offset:+d}" / name, name):
            found[offset] = place
        else:
            print(f"audit: {fragment.id} has no layers for {name} at {offset:+d}")
    return Windows(backwards, found)


def _tried(settings: Settings, fragment: Fragment, folder: Path, name: str) -> Path | None:
    """`folder` with the member's map in it; None where the stack lacks the layers for it."""
    other = of_others(settings).get(name)
    try:
        _ = layers_in(other, fragment) if other and other.gives_map else fragment.layers
    except InputError:
        return None
    predict_new(settings, name, fragment, folder)
    return folder


def _in_one_window(settings: Settings) -> Settings:
    """The same, without the mean over depth windows: here each is asked by itself."""
    window = settings.stage1.window.model_copy(update={"depth_offsets": ()})
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})
