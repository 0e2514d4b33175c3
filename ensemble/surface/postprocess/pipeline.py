"""From a probability volume to the mask of sheets that is submitted: threshold, then steps that mend what costs score.

The score punishes every crumb, pinhole and cavity, sheets of another thickness than the labels', and sheets joined that
lie apart. No step joins two 26-connected components; the parameters are fitted on out-of-fold predictions in
`ensemble.surface.postprocess.fit`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ensemble.surface.postprocess.fill_holes import fill_holes
from ensemble.surface.postprocess.steps import (
    close_gaps,
    drop_small_components,
    drop_small_in_octants,
    even_out,
    fill_cavities,
    keep_strong,
)
from ensemble.surface.postprocess.thickness import even_thickness
from scroll.errors import InputError
from scroll.geometry import BoolVolume
from scroll.runtime.gaussian import gaussian

FloatVolume = npt.NDArray[np.float32]
FORMER = {  # names in files of before
    "dust": "small_components", "dust_vox": "small_components_vox",
    "plug": "fill_holes", "plug_radius_vox": "fill_holes_radius_vox",
    "octant_dust": "octant_small_components", "octant_dust_vox": "octant_small_components_vox",
}  # fmt: skip


@dataclass(frozen=True)
class PostProcessing:
    """What each step does, in the order of steps; a step whose value is 0 is off. All but the threshold are off at first."""

    threshold: float
    smooth_sigma_vox: float = 0.0  # Gaussian blur of the probability, before the threshold
    strong: float = 0.0  # hysteresis: a component needs one voxel of at least this
    small_components_vox: int = 0  # smaller 6-connected components go
    thickness_vox: float = 0.0  # of the sheets about the probability's ridges
    even_sigma_vox: float = 0.0  # blur of the mask ...
    even_level: float = 0.5  # ... and where it is cut again
    closing_radius_vox: int = 0
    fill_holes_radius_vox: int = 0  # of holes that are filled one by one, where that mends the topology
    cavity_vox: int = 0  # the largest cavity that is filled
    remains_vox: int = 0  # as small_components_vox, of what the steps have broken off
    octant_small_components_vox: int = 0  # as small_components_vox, in each octant of the score

    def as_record(self) -> dict[str, int | float]:
        """Its parameters by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "PostProcessing":
        """What such a record says.

        Raises:
            InputError: the record lacks the threshold, has names that no step has, or values that are no numbers >= 0.
        """
        record, names = by_new_names(record), {field.name for field in fields(cls)}
        bad = {name: value for name, value in record.items() if name not in names or not _is_amount(value)}
        if bad or "threshold" not in record:
            raise InputError(
                f"post-processing: the record has {bad or 'no threshold'}, expected numbers of 0 or more for "
                f"{', '.join(sorted(names))}; fit it again: make stage2"
            )
        return cls(**record)


def by_new_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of post-processing, or of a step of it, whose names may be those of files of before.

    >>> by_new_names({"step": "dust", "dust_vox": 100})
    {'step': 'small_components', 'small_components_vox': 100}
    """
    renamed = {FORMER.get(name, name): value for name, value in record.items()}
    return renamed | {"step": FORMER.get(str(renamed["step"]), renamed["step"])} if "step" in renamed else renamed


class State(NamedTuple):
    """Where post-processing stands: the mask so far and the probability, (Z, Y, X) each."""

    mask: BoolVolume
    prob: FloatVolume


Step = Callable[[PostProcessing, State], BoolVolume]
MASK_STEPS: dict[str, Step] = {
    "threshold": lambda how, state: np.asarray(state.prob >= np.float32(how.threshold)),
    "strong": lambda how, state: keep_strong(state.mask, state.prob, how.strong),
    "small_components": lambda how, state: drop_small_components(state.mask, how.small_components_vox),
    "thickness": lambda how, state: even_thickness(*state, how.threshold, how.thickness_vox),
    "even": lambda how, state: even_out(state.mask, how.even_sigma_vox, how.even_level),
    "closing": lambda how, state: close_gaps(state.mask, how.closing_radius_vox),
    "fill_holes": lambda how, state: fill_holes(state.mask, how.fill_holes_radius_vox),
    "cavities": lambda how, state: fill_cavities(state.mask, how.cavity_vox),
    "remains": lambda how, state: drop_small_components(state.mask, how.remains_vox),
    "octant_small_components": lambda how, state: drop_small_in_octants(state.mask, how.octant_small_components_vox),
}
SWITCHES = {  # the field of each step that switches it off with 0, in the order of steps
    "smoothing": "smooth_sigma_vox",
    "threshold": "threshold",
    "strong": "strong",
    "small_components": "small_components_vox",
    "thickness": "thickness_vox",
    "even": "even_sigma_vox",
    "closing": "closing_radius_vox",
    "fill_holes": "fill_holes_radius_vox",
    "cavities": "cavity_vox",
    "remains": "remains_vox",
    "octant_small_components": "octant_small_components_vox",
}


def run(how: PostProcessing, prob: npt.NDArray[np.floating]) -> BoolVolume:
    """The mask of sheets, (Z, Y, X) bool, of a probability (Z, Y, X) between 0 and 1.

    Raises:
        InputError: not a volume of probabilities.
    """
    return advance(how, start(prob)).mask


def start(prob: npt.NDArray[np.floating]) -> State:
    """The state before the first step.

    Raises:
        InputError: not a volume of probabilities.
    """
    if prob.ndim != 3 or prob.dtype.kind != "f":
        raise InputError(
            f"post-processing: the prediction is {prob.dtype} {prob.shape}, expected probabilities on (Z, Y, X)"
        )
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):  # false for NaN too
        raise InputError(
            "post-processing: values outside 0 to 1 or NaN in the prediction; give probabilities, not logits"
        )
    return State(np.zeros(prob.shape, bool), np.ascontiguousarray(prob, dtype=np.float32))


def advance(how: PostProcessing, state: State, steps: Iterable[str] = tuple(SWITCHES)) -> State:
    """The state after some steps, which must follow each other as in `SWITCHES`."""
    for name in steps:
        if name == "smoothing":
            state = State(state.mask, _smoothed(state.prob, how.smooth_sigma_vox))
        elif name == "threshold" or (getattr(how, SWITCHES[name]) and state.mask.any()):
            state = State(MASK_STEPS[name](how, state), state.prob)
    return state


def _smoothed(prob: FloatVolume, sigma_vox: float) -> FloatVolume:
    if not sigma_vox or not prob.size:
        return prob
    return gaussian(prob, sigma_vox, truncate=3.0)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
