"""What prizes ask for, and what was trained on: windows in mm, depth, overlap with what is audited."""

from collections.abc import Sequence

from ensemble.audit.record import Facts
from ensemble.controls.asked import Asked
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.members.others import MemberOfOthers, of_others
from scroll.data.members.suits import layer_span
from scroll.data.sheets import Sheet, training_sheets
from scroll.errors import InputError
from stage1_3d.external.member import window_of

LETTER_MM = 2.0  # letters of these scrolls are 2 to 3 mm high


def facts_of(asked: Asked, fragment: Fragment) -> Facts:
    """Of one fragment."""
    settings, windows, depths = asked.settings, {}, {}
    others = of_others(settings)
    for name in asked.members:
        other = others.get(name)
        pixel_um = fragment.pixel_um if other and other.gives_map else fragment.seen_um
        pixel_um = other.seen_um(pixel_um) if other else pixel_um
        _, y, x = window_of(settings, name)
        windows[name] = (round(y * pixel_um / 1000, 3), round(x * pixel_um / 1000, 3))
        depths[name] = _layers(settings, other, fragment)
    trained_on = {name: trained_on_of(asked, name) for name in asked.members}
    return Facts(
        voxel_um=fragment.pixel_um,
        working_um=fragment.seen_um,
        window_mm=windows,
        depth_layers=depths,
        depth_um={name: round((end - first) * fragment.pixel_um, 1) for name, (first, end) in depths.items()},
        trained_on=trained_on,
        overlap=tuple(name for name in asked.members if is_trained_on(asked, name, fragment)),
    )


def _layers(settings: Settings, other: MemberOfOthers | None, fragment: Fragment) -> tuple[int, int]:
    if other is None or not other.gives_map:
        return settings.data.depth
    if other.step(fragment.layer_um) != 1:
        first, end, _ = layer_span(other, fragment.layer_um)
        return first, end
    depth = other.card.window[0]
    return other.card.layers or (-(depth // 2), depth - depth // 2)


def trained_on_of(asked: Asked, name: str) -> tuple[str, ...]:
    """Ids of what a member was trained on; none where that is not known."""
    other = of_others(asked.settings).get(name)
    if other:
        return tuple(sorted({item for fold in other.card.folds for item in fold.trained_on}))
    return tuple(one.id for one in _training_sheets(asked) or ())


def is_trained_on(asked: Asked, name: str, fragment: Fragment) -> bool | None:
    """Whether a member was trained on a fragment, or on the segment that it was flattened from; None: not known."""
    other = of_others(asked.settings).get(name)
    if other:
        card = other.card
        if not all(fold.trained_on for fold in card.folds):
            return None
        return len(card.unseen(fragment.id, fragment.volume_name)) < len(card.all_folds)
    sheets = _training_sheets(asked)
    if sheets is None:
        return None
    if asked.trained_as is not None:
        return fragment.id in {one.id for one in sheets}
    return fragment.folder.resolve() in {one.folder.resolve() for one in sheets}


def _training_sheets(asked: Asked) -> Sequence[Sheet] | None:
    """What the run was trained on; None of a run whose data is elsewhere."""
    try:
        return training_sheets((asked.trained_as or asked.settings).data)
    except InputError:
        return None


def lines_on_facts(facts: Facts) -> list[str]:
    """Sentences for the page."""
    lines = []
    for name, (y, x) in facts.window_mm.items():
        first, end = facts.depth_layers[name]
        wide = ", as much as a letter, which it could draw from memory" if max(y, x) >= LETTER_MM else ""
        layers = f"layers {first} to {end - 1} ({facts.depth_um[name]:g} um)"
        lines.append(f"{name} sees {y:g} x {x:g} mm at once{wide}, and {layers}.")
    for name, items in facts.trained_on.items():
        lines.append(
            f"{name} was trained on {', '.join(items)}." if items else f"What {name} was trained on is not known."
        )
    if facts.overlap:
        lines.append(
            f"Trained on this very sheet: {', '.join(facts.overlap)}; its figures here say nothing of new papyrus."
        )
    return lines
