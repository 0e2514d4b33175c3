"""Fragments on time: what members and stage two take is measured, and what does not fit into the hours is given up, as of cubes."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import STAGE2
from ensemble.time_budget.measured_cost import measured_cost
from ensemble.time_budget.plan import Deadline, MemberCost
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.members.others import of_others
from scroll.runtime.files import kept_json, write_sealed
from scroll.runtime.receipt import key_of
from stage1_3d.external.maps import prediction_of as prediction_of_map
from stage1_3d.external.member import all_folds
from stage1_3d.flatten import depth_window
from stage1_3d.predict import prediction_of as stage1_prediction
from stage2_2d.predict import prediction_of as stage2_prediction
from stage2_2d.predict import stage2_predictor
from stage2_2d.stack import Stack

NOTE = "views.json"
Views = dict[str, int]  # of each member that looks at a fragment


class FragmentClock:
    """Says for each fragment which members look at it, through how many views, so that all are done in `limit_s`.

    What was decided for a fragment is left in <output>/<fragment>/views.json: predicted again with the same weights it
    is decided alike, whatever time is left by then, and what is there already is not computed again.
    """

    def __init__(
        self, settings: Settings, fragments: Sequence[Fragment], output: Path, fit: InkFit, limit_s: float
    ) -> None:
        began = time.monotonic()
        self._settings, self._output, self._fit = settings, output, fit
        left = [fragment for fragment in fragments if self._noted(fragment) is None]
        self._pixels = {fragment.id: float(fragment.mask.sum()) for fragment in left}
        if not left:
            return
        costs = stage1_costs(settings, left, fit.weights)
        fixed_s = stage2_cost(settings, left).seconds * (1 if settings.end_to_end is None else 2)  # it looks no quicker
        self._deadline = Deadline(costs, fixed_s, limit_s - (time.monotonic() - began))
        print("\n".join(self._deadline.plan.lines(limit_s)), flush=True)

    def views(self, fragment: Fragment) -> Views:
        """Views by member for this fragment."""
        noted = self._noted(fragment)
        if noted is not None:
            return noted
        views = dict(self._deadline.plan.kept)
        write_sealed(self._output / fragment.id / NOTE, {"key": self._key(fragment), "views": views})
        return views

    def finished(self, fragment: Fragment) -> None:
        """To be called after each fragment: the rest is planned again, and what has to go is printed."""
        total = sum(self._pixels.values())
        if fragment.id not in self._pixels or not total:
            return
        before = self._deadline.plan.dropped
        for reason in self._deadline.finished(self._pixels[fragment.id] / total).dropped:
            if reason not in before:
                print(reason, flush=True)

    def _noted(self, fragment: Fragment) -> Views | None:
        path = self._output / fragment.id / NOTE
        note = kept_json(path, "planned", views={str: int})
        return dict(note["views"]) if note.get("key") == self._key(fragment) else None

    def _key(self, fragment: Fragment) -> str:
        return key_of([self._fit.made_from, fragment.key, self._settings.stage1.window.model_dump(mode="json")])


def stage1_costs(settings: Settings, fragments: Sequence[Fragment], weights: Mapping[str, float]) -> list[MemberCost]:
    """What every member takes for these fragments, measured on this machine; their working copies are made on the way."""
    return [_cost(settings, name, fragments, weights[name]) for name in settings.stage1.members]


def _cost(settings: Settings, name: str, fragments: Sequence[Fragment], weight: float) -> MemberCost:
    folds, other = all_folds(settings, name), of_others(settings).get(name)
    if other and other.card.ready:
        return MemberCost(name, 0.0, 1, weight)
    if other and other.gives_map:
        return measured_cost(name, [prediction_of_map(settings, name, f, folds) for f in fragments], weight)
    return measured_cost(name, [stage1_prediction(settings, name, f, (0, f.rows), folds) for f in fragments], weight)


def stage2_cost(settings: Settings, fragments: Sequence[Fragment]) -> MemberCost:
    """What stage two takes, measured on an empty stack of the same size: its time does not depend on what it sees."""
    channels = stack_channels(settings)
    folds = list(range(settings.folds.count))
    predictions = []
    for fragment in fragments:
        empty = np.broadcast_to(np.float32(0), (channels, *fragment.mask.shape))
        predictor = stage2_predictor(settings, fragment, Stack(empty, ""))
        predictions.append(stage2_prediction(settings, predictor, (0, fragment.rows), folds))
    return measured_cost(STAGE2, predictions, 1.0)


def stack_channels(settings: Settings) -> int:
    """Channels that stage two sees: one for each source, or one for each layer of it, as `stage1.flatten` says."""
    flatten = settings.stage1.flatten
    layers = depth_window(flatten, settings.data.depth)
    of_member, of_ct = ((layers.stop - layers.start) if how == "layers" else 1 for how in (flatten.reduce, flatten.ct))
    return sum(of_ct if name == "ct" else of_member for name in settings.stage1.sources)


def stand_ins(settings: Settings, views: Mapping[str, int]) -> dict[str, str]:
    """Whose prediction each source of stage two's stack is taken from: its own, or for a member that was left out the first kept."""
    first = next(name for name in settings.stage1.members if name in views)
    return {name: name if name in views or name == "ct" else first for name in settings.stage1.sources}
