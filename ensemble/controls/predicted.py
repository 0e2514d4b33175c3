"""The whole run on one fragment, real or changed: members, stage two, blend, mask, and the pieces found; what is current is kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.components import Components, components_of
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predict import blend_sheet, predict_candidates
from ensemble.ink.predictors import blended
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment


@dataclass(frozen=True)
class Predicted:
    """What a run says of a fragment at full resolution: `mask` (Y, X) as it would be submitted, and its pieces."""

    mask: NDArray[np.bool_]
    pieces: Components


def predicted(settings: Settings, fragment: Fragment, folder: Path, fit: InkFit) -> Predicted:
    """Predict a fragment into `folder` exactly as ensemble/predict.py does, and take the mask apart.

    Raises:
        MissingInputError: the run lacks weights.
    """
    predict_candidates(settings, fragment, folder)
    mask = blend_sheet(settings, fragment, folder, fit)
    prob = blended(settings, fragment, folder, fit.weights)
    return Predicted(mask, components_of(prob, mask, fit.thresholds["ensemble"], fragment.pixel_um))
