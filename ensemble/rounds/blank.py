"""How strong a component the teacher sees where there is no ink: on a scrambled copy of each sheet, out of fold as the sheet itself."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.components import components_of
from ensemble.controls.copies import SCRAMBLED, Scrambled, changed, tile_px
from ensemble.controls.panel import ink_and_rim
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import END_TO_END, ENSEMBLE, STAGE2
from ensemble.rounds.maps import AGAIN, Source, blended
from ensemble.rounds.place import LabelRound
from scroll.config.schema import Settings
from scroll.data.folds import Parts
from scroll.data.fragments import Fragment
from scroll.data.members.others import of_others
from stage1_3d.predict import flatten_ct, predict_fragment
from stage2_2d.predict import Predictor, predict_parts, stage2_predictor
from stage2_2d.stack import read_stack

Map = NDArray[np.float32]
CT = "ct"


def strengths_of(source: Source, prob: Map, threshold: float) -> NDArray[np.float64]:
    """(Y, X) at working resolution: the strength of the component that a pixel is in, 0 outside; see `Components`."""
    sheet = source.sheet
    found = components_of(prob, (prob >= threshold) & sheet.mask, threshold, sheet.pixel_um * sheet.data.bin_yx)
    return np.concatenate([[0.0], found.strength])[found.labels]


def strongest_blank(a_round: LabelRound, source: Source, fit: InkFit) -> float:
    """The strongest component that the teacher finds on the scrambled copy of a fragment; 0 of none."""
    sheet, threshold = source.sheet, fit.thresholds[ENSEMBLE]
    if not isinstance(sheet, Fragment):
        return 0.0
    found = ink_and_rim(source.blend(fit) >= threshold, sheet)
    copy = changed(sheet, Scrambled(1, tile_px(sheet), sheet.mask & ~found), SCRAMBLED)
    prob = _blend_of_copy(a_round, source, copy, fit)
    return float(strengths_of(source, prob, threshold).max(initial=0))


def _blend_of_copy(a_round: LabelRound, source: Source, copy: Fragment, fit: InkFit) -> Map:
    """The whole teacher on a copy of a sheet, each row by the folds that are new to it, (Y, X) at working resolution.

    Without members whose predictions were made elsewhere, which nobody can ask, and then without what stands on them.
    """
    teacher, folder, called = a_round.teacher, a_round.predictions / source.sheet.id / "blank", source.sheet.id
    parts = {name: _new_to(source, teacher, name) for name in teacher.stage1.members if name in source.folders}
    asked = [name for name in parts if parts[name]]
    for name in asked:
        predict_fragment(teacher, name, copy, folder / name, parts[name], f"blank, {name}, {called}")
    late = {} if {*teacher.stage1.sources} - {CT, *asked} else _late(teacher, copy, folder)
    for name, predictor in late.items():
        predict_parts(teacher, predictor, folder / name, source.parts, f"blank, {name}, {called}")
    left_out = [name for name in source.folders if name not in (*asked, *late)]
    if left_out:
        print(f"{called}: {', '.join(left_out)} cannot be asked about a blank copy; the others are")
    return blended(fit, {name: folder / name for name in (*asked, *late)}, source.sheet.mask)


def _new_to(source: Source, teacher: Settings, name: str) -> Parts:
    """Which networks of a member are new to which rows; nobody's whose predictions were made elsewhere."""
    other = of_others(teacher).get(name)
    if other is None:
        return source.parts
    unseen = [] if other.card.ready else other.card.unseen(source.sheet.id, source.sheet.volume_name)
    return [((0, source.sheet.rows), unseen)] if unseen else []


def _late(teacher: Settings, copy: Fragment, folder: Path) -> dict[str, Predictor]:
    """Stage two, and the end-to-end network if there is one, on what stage one says of a copy."""
    flatten_ct(teacher, copy, folder / CT)
    stack = read_stack(teacher.stage1, copy, {name: folder / name for name in teacher.stage1.sources}, AGAIN)
    found = {STAGE2: stage2_predictor(teacher, copy, stack)}
    if teacher.end_to_end is not None:
        from ensemble.end_to_end.network import end_to_end_predictor

        found[END_TO_END] = end_to_end_predictor(teacher, copy, stack)
    return found
