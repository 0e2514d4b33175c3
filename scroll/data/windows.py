"""How much of the papyrus each network sees at once, in millimetres: the rules of the prizes discourage wide windows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scroll.config.schema import Settings
from scroll.data.kinds import kind_of
from scroll.data.members.others import of_others
from scroll.data.sheets import Sheet

if TYPE_CHECKING:
    from scroll.data.members.new_items import Item

WIDE_MM = 0.5
STAGE2, END_TO_END = "stage two", "end to end"


def windows_mm(settings: Settings, item: "Item") -> dict[str, tuple[float, ...]]:
    """By network, the edges of its window along z, y, x (of stage two y, x) on an item, in millimetres."""
    data, kind = settings.data, kind_of(settings.data)
    if isinstance(item, Sheet):
        depth_um, plane_um = (item.pixel_um if kind.is_flattened else item.seen_um), item.seen_um
        flat_um = item.pixel_um * data.bin_yx
    else:
        depth_um = plane_um = flat_um = data.voxel_um
    windows = {name: (member.patch_size, (depth_um, plane_um)) for name, member in settings.stage1.trained.items()}
    for name, other in of_others(settings).items():
        edges = (item.layer_um, item.pixel_um) if other.gives_map and isinstance(item, Sheet) else (depth_um, plane_um)
        if other.card.folds:
            windows[name] = other.card.window, (other.seen_um(edges[0]), other.seen_um(edges[1]))
    found: dict[str, tuple[float, ...]] = {
        name: (z * deep / 1e3, y * wide / 1e3, x * wide / 1e3) for name, ((z, y, x), (deep, wide)) in windows.items()
    }
    flat = {STAGE2: settings.stage2.patch_size}
    if settings.end_to_end is not None:
        flat[END_TO_END] = settings.end_to_end.patch_size_yx
    return found | {name: (y * flat_um / 1e3, x * flat_um / 1e3) for name, (y, x) in flat.items()}


def windows_in_words(windows: Mapping[str, tuple[float, ...]]) -> str:
    """One sentence for a report, with a second one where a window is wide in the plane of the sheet.

    >>> windows_in_words({"unet3d": (0.13, 0.4, 0.4)})
    'Seen at once, in mm along z, y, x: unet3d 0.13 x 0.40 x 0.40.'
    """
    sizes = ", ".join(f"{name} {' x '.join(f'{edge:.2f}' for edge in edges)}" for name, edges in windows.items())
    wide = [name for name, edges in windows.items() if max(edges[-2:]) > WIDE_MM]
    warning = (
        f" Wider than {WIDE_MM} mm: {', '.join(wide)}; the rules of the prizes discourage that, for a network that sees whole letters can "
        "draw letters that are not there."
    )
    return f"Seen at once, in mm along z, y, x: {sizes}.{warning if wide else ''}"
