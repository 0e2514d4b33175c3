"""Whoever is asked whether there is ink: a whole run, or members alone; its prediction of a fragment, real or changed."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from ensemble.controls.components import Components, components_of
from ensemble.ink.fit import read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predict import blend_sheet, predict_with_each
from ensemble.ink.predictors import END_TO_END, ENSEMBLE, STAGE2, blended, flat_map
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.members.others import of_others
from scroll.errors import InputError
from stage1_3d.predict import predict_new

AGAIN = "run the same command again"
PLAIN_THRESHOLD = 0.5  # of a member for which none was fitted
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Predicted:
    """What is said of a fragment at full resolution: `mask` (Y, X) as it would be submitted, and its pieces."""

    mask: NDArray[np.bool_]
    pieces: Components


@dataclass(frozen=True)
class Asked:
    """Settings, and weights and thresholds: those that the run fitted, or a plain mean of `is_alone` members without stage two.

    `trained_as`: how the run's own training data is looked at, where `settings` look at something else (segments that were flattened).
    `whole`: the run with the members whose predictions were made elsewhere, where it has such, which `settings` leave out.
    """

    settings: Settings
    fit: InkFit
    is_alone: bool = False
    trained_as: Settings | None = None
    whole: Settings | None = None

    @cached_property
    def members(self) -> list[str]:
        """Names of the members that can be asked of a copy."""
        return list(self.settings.stage1.members)

    @property
    def names(self) -> list[str]:
        """Of everyone: members, stage two and the end-to-end network if there are, and the blend."""
        late = [] if self.is_alone else [STAGE2, *([END_TO_END] if self.settings.end_to_end is not None else [])]
        return [*self.members, *late, ENSEMBLE]

    def threshold(self, name: str) -> float:
        """From which probability on somebody calls it ink."""
        return float(dict(self.fit.thresholds).get(name, PLAIN_THRESHOLD))

    def predicted(self, fragment: Fragment, folder: Path) -> Predicted:
        """Predict a fragment into `folder` exactly as ensemble/predict.py does, and take the mask apart; what is current is kept.

        Raises:
            MissingInputError: the run lacks weights.
        """
        if self.is_alone:
            for name in self.members:
                predict_new(self.settings, name, fragment, folder / name)
        else:
            predict_with_each(self.settings, fragment, folder)
        mask = blend_sheet(self.settings, fragment, folder, self.fit)
        prob = blended(self.settings, fragment, folder, self.fit.weights)
        return Predicted(mask, components_of(prob, mask, self.threshold(ENSEMBLE), fragment.pixel_um))

    def made_elsewhere(self, fragment: Fragment, folder: Path) -> dict[str, Map]:
        """(Y, X) probability at working resolution of a real fragment by each member that nobody can ask of a copy, where it has one."""
        found: dict[str, Map] = {}
        if self.whole is None:
            return found
        for name in [one for one in self.whole.stage1.members if one not in self.members]:
            try:
                predict_new(self.whole, name, fragment, folder / name)
            except InputError as error:
                print(f"audit: {name} has no part in what members agree on: {error}")
                continue
            found[name] = flat_map(folder / name, name, AGAIN)
        return found

    def map_of(self, folder: Path, name: str) -> Map:
        """(Y, X) probability at working resolution of one of `names`, as it was predicted into `folder`."""
        if name != ENSEMBLE:
            return flat_map(folder / name, name, AGAIN)
        maps = [flat_map(folder / one, one, AGAIN) for one in self.fit.weights]
        return np.asarray(blend(maps, list(self.fit.weights.values())), np.float32)


def asked_run(settings: Settings) -> Asked:
    """A trained and fitted run. Where stage two, or the blend, needs a member whose predictions were made elsewhere, which nobody can
    ask of a copy, the other members are asked alone, with their fitted thresholds.

    Raises:
        MissingInputError: it was not fitted.
        InputError: it was fitted for other weights, or nobody in it can be asked.
    """
    fit = read_fit(settings)
    ready = [name for name, other in of_others(settings).items() if other.card.ready]
    if not ready:
        return Asked(settings, fit)
    print(f"audit: {', '.join(ready)} cannot be asked of a copy; the other members are asked, without stage two")
    asked = alone(without(settings, ready), {name: float(one) for name, one in fit.thresholds.items()})
    return replace(asked, whole=settings)


def without(settings: Settings, names: list[str]) -> Settings:
    """The same without some members.

    Raises:
        InputError: none is left.
    """
    kept = {name: member for name, member in settings.stage1.members.items() if name not in names}
    if not kept:
        raise InputError(
            f"{settings.run_dir}: all its members are predictions that were made elsewhere, and no copy can be predicted by them; give a "
            "member with weights"
        )
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"members": kept})})


def alone(settings: Settings, thresholds: dict[str, float]) -> Asked:
    """Members without a run: their plain mean, `PLAIN_THRESHOLD` where no threshold is given."""
    names = list(settings.stage1.members)
    all_thresholds = thresholds | {name: thresholds.get(name, PLAIN_THRESHOLD) for name in [*names, ENSEMBLE]}
    return Asked(
        settings, InkFit(made_from="", weights=dict.fromkeys(names, 1.0), thresholds=all_thresholds), is_alone=True
    )
