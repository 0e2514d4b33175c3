"""How strong a component the teacher sees where there is no ink: on a scrambled copy of each sheet, out of fold as the sheet itself."""

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.components import components_of
from ensemble.controls.copies import SCRAMBLED, Scrambled, changed, tile_px
from ensemble.controls.panel import ink_and_rim
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import ENSEMBLE, JOINT, STAGE2
from ensemble.rounds.maps import AGAIN, Source, blended
from ensemble.rounds.place import LabelRound
from scroll.data.fragments import Fragment
from stage1_3d.predict import flatten_ct, predict_fragment
from stage2_2d.ink.stack import read_stack
from stage2_2d.predict import predict_parts, stage2_predictor

Map = NDArray[np.float32]


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
    """The whole teacher on a copy of a sheet, each row by the folds that are new to it, (Y, X) at working resolution."""
    teacher, folder = a_round.teacher, a_round.predictions / source.sheet.id / "blank"
    for name in teacher.stage1.members:
        predict_fragment(teacher, name, copy, folder / name, source.parts, f"blank, {name}, {source.sheet.id}")
    flatten_ct(teacher, copy, folder / "ct")
    stack = read_stack(teacher.stage1, copy, {name: folder / name for name in teacher.stage1.sources}, AGAIN)
    predictors = {STAGE2: stage2_predictor(teacher, copy, stack)}
    if teacher.joint is not None:
        from ensemble.end_to_end.network import joint_predictor

        predictors[JOINT] = joint_predictor(teacher, copy, stack)
    for name, predictor in predictors.items():
        predict_parts(teacher, predictor, folder / name, source.parts, f"blank, {name}, {source.sheet.id}")
    return blended(fit, {name: folder / name for name in source.folders}, source.sheet.mask)
