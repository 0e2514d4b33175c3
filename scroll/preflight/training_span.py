"""Before anything is predicted: does the stack lie as the networks were trained, or is it reversed, too deep, or of another scale?

A network trained on one direction of the layers is near blind on the other, and nothing shows it. So a stack is compared
with the training stacks (`scroll.preflight.depth_match`) from a few windows, and turned round or shifted where the evidence is
clear; where it is not, or where only resampling would help, it is refused with the figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.preflight.depth_match import REACH_LAYERS, Match, match, window_shifts
from scroll.preflight.depth_profile import PER_OCTAVE, DepthProfile, look, mean_profile
from scroll.runtime.reading import reading

NAME = "preflight.json"
ALIGNMENTS = 3  # rounds in which the training stacks are laid onto their mean
MOST_OFFSET_LAYERS = 1.0  # that counts as none
MOST_SCALE = 1.12  # or its inverse: counts as none
MOST_SCALE_STEPS = int(PER_OCTAVE * math.log2(MOST_SCALE))
RISE = 0.5  # added to costs before they are compared: of two near 0 neither is far better
LEAST_FLIP, LEAST_OFFSET, LEAST_SCALE = 0.12, 0.08, 0.01  # fitted on phantoms other than those of the tests ...
MOST_COST = 6.5  # ... as is this
LEAST_UNSCALED = 0.08  # phantoms that are 1.3 times as large have 0.09 and more, sound ones of poor texture less
HALF_PITCH_LAYERS = (
    10.0  # wraps are some 22 voxels of 7.91 um apart: beyond half of that the nearest sheet is another one
)
FAR_LAYERS, FAR_STEPS = 4, 2  # from where on another offset or scale is another answer


@dataclass(frozen=True)
class Finding:
    """How a stack is beside the training's.

    `offset_layers`: how much deeper than in training the sheet is, layers counted in the training's direction.
    `scale`: pixels per millimetre over the training's. `cost`: about 1 where it looks like the training data. The margins
    say by how much (relative to the cost) the best other direction, offset or scale is worse, `unscaled_margin` how much
    worse the scale of the training is.
    """

    is_flipped: bool
    offset_layers: float
    scale: float
    cost: float
    flip_margin: float
    offset_margin: float
    scale_margin: float
    unscaled_margin: float = math.inf

    @property
    def is_placed(self) -> bool:
        """Whether the evidence of direction and depth is clear."""
        return (
            self.cost <= MOST_COST
            and abs(self.offset_layers) <= HALF_PITCH_LAYERS
            and self.flip_margin >= LEAST_FLIP
            and self.offset_margin >= LEAST_OFFSET
        )

    @property
    def is_sound(self) -> bool:
        """Whether the evidence of all three is clear."""
        return self.is_placed and self.scale_margin >= LEAST_SCALE

    @property
    def is_scale_unknown(self) -> bool:
        """Whether another scale fits best, but that of the training nearly as well: the texture is too poor to tell."""
        is_clear = self.unscaled_margin >= LEAST_UNSCALED and self.scale_margin >= LEAST_SCALE
        return self.is_scaled and self.is_placed and not is_clear

    @property
    def shift_layers(self) -> int:
        """The offset in whole layers; 0 within one."""
        return 0 if abs(self.offset_layers) <= MOST_OFFSET_LAYERS else round(self.offset_layers)

    @property
    def is_scaled(self) -> bool:
        """Whether its pixels are of another size than in training."""
        return not 1 / MOST_SCALE <= self.scale <= MOST_SCALE

    def __str__(self) -> str:
        """In one line, with the evidence."""
        scale = (
            f"scale: cannot tell, the texture is too poor (x{self.scale:.2f} fits best)"
            if self.is_scale_unknown
            else f"scale x{self.scale:.2f}"
        )
        return (
            f"layers {'reversed' if self.is_flipped else 'in the direction of the training'}, sheet {self.offset_layers:+.1f} layers off, "
            f"{scale} (cost {self.cost:.2f}, margins: direction {self.flip_margin:.2f}, offset {self.offset_margin:.2f}, "
            f"scale {self.scale_margin:.3f})"
        )


def training_reference(stacks: Sequence[tuple[Any, NDArray[np.bool_], str]], windows: int = 24) -> dict[str, object]:
    """What the training stacks look like layer by layer, as JSON holds it; each is (layers (Z, Y, X), papyrus (Y, X), name).

    Stacks of unequal depth are cut to the thinnest about their centres. Those that cannot be looked at (too small, blank)
    are left out, and named.

    Raises:
        InputError: none can be looked at.
    """
    looked, left_out = [], []
    for stack, mask, where in stacks:
        try:
            looked.append(look(stack, mask, windows, where))
        except InputError as error:
            left_out.append(str(error))
    if not looked:
        raise InputError(f"nothing to compare stacks with: {'; '.join(left_out)}")
    depth = min(one.brightness.shape[1] for one in looked)
    cut = [_cut(one, depth) for one in looked]
    reference = mean_profile([one.mean() for one in cut], [0.0] * len(cut))
    for _ in range(ALIGNMENTS if len(cut) > 1 else 0):
        shifts = [window_shifts(one, reference) for one in cut]
        means = np.array([one.mean() for one in shifts])
        profiles = [one.mean(own - own.mean()) for one, own in zip(cut, shifts, strict=True)]
        reference = mean_profile(profiles, list(means - means.mean()))
    held = {name: np.asarray(value).round(6).tolist() for name, value in vars(reference).items()}
    return {"profile": held, "layers": depth, "stacks": len(looked), "left_out": left_out}


def _cut(windows: Any, depth: int) -> Any:
    """The middle `depth` layers: the centre of both is layer n // 2."""
    layers = windows.brightness.shape[1]
    first = layers // 2 - depth // 2
    part = slice(first, first + depth)
    return type(windows)(windows.brightness[:, part], windows.log_power[:, part], windows.noise)


def read_reference(content: Mapping[str, Any]) -> DepthProfile:
    """The profile that `training_reference` wrote.

    Raises:
        InputError: it wrote something else.
    """
    with reading(
        f"the run's {NAME}",
        "what stage one noted of its layers",
        "delete it in the run's folder and run 'make stage1' again",
    ):
        profile = DepthProfile(**{name: np.asarray(value, np.float64) for name, value in content["profile"].items()})
        if not all(np.isfinite(value).all() for value in vars(profile).values()):
            raise ValueError("numbers that are not finite")
        return profile


def estimate(
    stack: Any,
    mask: NDArray[np.bool_],
    reference: DepthProfile,
    windows: int = 24,
    where: str = "stack",
    reach_layers: int = REACH_LAYERS,
) -> Finding:
    """How a stack (Z, Y, X) with papyrus (Y, X) is beside the training's; reads at most `windows` windows of 128 x 128.

    Offsets up to `reach_layers` are thought of: fewer where the sheet is known to be near, as it is on a traced surface.

    Raises:
        InputError: no window of papyrus, a voxel that is not finite, layers all alike, or too few of them.
    """
    found = match(look(stack, mask, windows, where), reference)
    if not np.isfinite(found.costs).any():
        raise InputError(
            f"{where}: too few layers ({stack.shape[0]}) to be compared with the training's; give more of the stack"
        )
    far = np.abs(found.offsets) > reach_layers
    return _finding(replace(found, costs=np.where(far[None, :, None], np.inf, found.costs)))


def _finding(found: Match) -> Finding:
    flip, offset, scale = found.best
    costs = found.costs
    least = float(costs[flip, offset, scale])
    by_offset, by_scale = costs[flip].min(axis=1), costs[flip].min(axis=0)
    far_offset = np.abs(np.arange(len(by_offset)) - offset) >= FAR_LAYERS
    like_training = np.abs(found.steps) <= MOST_SCALE_STEPS
    far_scale = np.abs(found.steps - found.steps[scale]) >= FAR_STEPS

    def margin(others: NDArray[Any]) -> float:
        finite = others[np.isfinite(others)]
        return float((finite.min() + RISE) / (least + RISE) - 1) if finite.size else 0.0

    return Finding(
        bool(flip), found.offset_layers, found.scale, least,
        margin(costs[1 - flip].ravel()), margin(by_offset[far_offset]), margin(by_scale[far_scale]),
        margin(costs[:, :, like_training].ravel()),
    )  # fmt: skip


@dataclass(frozen=True)
class Preflight:
    """What became of a stack: `verdict` is "as trained", "corrected", "doubtful" or "not looked at"; why, in one line."""

    verdict: str
    why: str
    is_flipped: bool = False
    shift_layers: int = 0
    finding: Finding | None = None

    def record(self) -> dict[str, object]:
        """For preflight.json."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Preflight":
        """What `record` gave, as JSON holds it."""
        own = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**own, "finding": own["finding"] and Finding(**own["finding"])})


def decide(finding: Finding, mode: str, where: str) -> Preflight:
    """Correct, refuse or warn.

    `mode` "correct" turns and shifts what is clearly turned or shifted; "refuse" refuses that; both refuse another scale.
    "warn" changes nothing. A scale that the texture is too poor to tell is not refused. Where the evidence is weak but the
    best guess is that all is well, the stack is taken as it is, and the record says so.

    Raises:
        InputError: refused; the line holds the evidence and what to do.
    """
    is_scaled = finding.is_scaled and not finding.is_scale_unknown
    as_is = not finding.is_flipped and finding.shift_layers == 0 and not is_scaled
    if as_is:
        is_clear = finding.is_sound and not finding.is_scale_unknown
        return Preflight("as trained" if is_clear else "doubtful", str(finding), finding=finding)
    if mode == "warn":
        return Preflight("doubtful", str(finding), finding=finding)
    advice = "look at its layers; --set preflight.mode=warn predicts it all the same"
    if not (finding.is_sound or finding.is_scale_unknown):
        raise InputError(
            f"{where}: looks unlike what the networks were trained on, and not clearly enough to be corrected: {finding}; {advice}"
        )
    if is_scaled:
        raise InputError(
            f"{where}: has {finding.scale:.2f} times the pixels per millimetre of training: {finding}; "
            f"resample by {1 / finding.scale:.2f} in y and x, or {advice}"
        )
    if mode == "refuse":
        raise InputError(f"{where}: does not lie as in training: {finding}; set preflight.mode to correct, or {advice}")
    return Preflight("corrected", str(finding), finding.is_flipped, finding.shift_layers, finding)
