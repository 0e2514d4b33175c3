"""What the controls of a sheet come to, in plain words: ink or not, and whether it would have been seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scroll.audit.figures import named
from scroll.metrics.bootstrap import Gain
from scroll.runtime.record import Record

FOUND = "ink found, and it stands out"
NOT_TOLD = "found, but not told from chance"
NO_INK = "nothing found, and it would have been"
BLIND = "nothing could have been found"
NOT_ASKED = "nothing found; nobody asked whether it would have been"

BLIND_CONTRAST = 2.0
"""Spreads of the papyrus' grey values. Planted ink this much brighter is plain to the eye; a run that misses half of it is blind here.
The phantoms' easy ink is about half as bright."""
LEAST_TEXTURE = 0.1
"""Of the training's power in the finest octave that the networks see: a third of the amplitude. Phantoms of other seeds than the training's
have 0.4 and more; a blur of 2 working pixels leaves a hundredth. Below it the scan is too soft to trust planted ink, which is sharp."""
BLIND_PLACES = 0.5  # share of places where even the strongest planted letter was missed, from which on that is said
LITTLE_CONTROL = 0.1  # the least chance that could be told has to be below what makes a component stand out


class Verdict(Record):
    """One of the kinds above, the reasons for it, and what to do next, each a sentence."""

    kind: str
    reasons: tuple[str, ...]
    next: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        unusable: why the sheet cannot be looked at as the networks were trained, or "".
        found, stands_out: components called ink, and those unlikely to be imagined.
        least_chance: the least chance of being imagined that so much papyrus without ink could tell.
        beyond: by what holds no ink, share called ink on the real sheet less that.
        was_planted: whether ink was planted; `half_contrast`: of which half was found, None: not even at the strongest.
        blind_places: share of places where even the strongest was missed.
        texture: power of the finest texture beside the training's, None: not known.
    """

    unusable: str = ""
    found: int = 0
    stands_out: int = 0
    least_chance: float = 1.0
    beyond: Mapping[str, Gain] = field(default_factory=dict)
    was_planted: bool = False
    half_contrast: float | None = None
    blind_places: float = 0.0
    texture: float | None = None

    @property
    def is_soft(self) -> bool:
        """Whether the scan lacks the fine texture that the training had."""
        return self.texture is not None and self.texture < LEAST_TEXTURE

    @property
    def is_blind(self) -> bool:
        """Whether ink would not have been seen."""
        too_faint = self.half_contrast is None or self.half_contrast > BLIND_CONTRAST
        return bool(self.unusable) or self.is_soft or (self.was_planted and too_faint)

    @property
    def is_beyond(self) -> bool:
        """Whether surely more is called ink than on all that holds none."""
        return self.found > 0 and all(one.low > 0 for one in self.beyond.values())


def verdict_of(evidence: Evidence) -> Verdict:
    """The verdict, from what was found to what could have been."""
    if evidence.unusable:
        kind = BLIND
    elif evidence.stands_out:
        kind = FOUND
    elif evidence.is_blind:
        kind = BLIND
    elif evidence.is_beyond:
        kind = NOT_TOLD
    else:
        kind = NO_INK if evidence.was_planted else NOT_TOLD if evidence.found else NOT_ASKED
    return Verdict(kind=kind, reasons=tuple(_reasons(evidence)), next=tuple(_next(kind, evidence)))


def beside_odd_members(verdict: Verdict, odd: Sequence[str], members: Sequence[str]) -> Verdict:
    """The same, saying first that those of the `members` which look odd may hide what the others see, where nothing was found that stands
    out; or, whatever was found, that all of them look odd."""
    if odd and len(odd) == len(members):
        advice = (
            "Ask other members: everyone here looks odd on papyrus like this, and what they say of it is worth little."
        )
    elif odd and verdict.kind != FOUND:
        advice = f"Leave out {', '.join(odd)}, and audit again: who looks odd may hide what the others see."
    else:
        return verdict
    return verdict.model_copy(update={"next": (advice, *verdict.next)})


def _reasons(evidence: Evidence) -> list[str]:
    if evidence.unusable:
        return [evidence.unusable]
    reasons = [
        f"{evidence.stands_out} of {evidence.found} components stand out; the least chance of being imagined that could be told here is "
        f"{evidence.least_chance:.2g}."
    ]
    reasons += [_beside(name, one) for name, one in evidence.beyond.items()]
    if evidence.was_planted:
        reasons.append(_planted(evidence))
    if evidence.texture is not None:
        reasons.append(
            f"Its finest texture has {evidence.texture:.2g} times the power of the training's"
            f"{': too soft a scan to see ink in.' if evidence.is_soft else '.'}"
        )
    return reasons


def _beside(name: str, more: Gain) -> str:
    difference = f"{100 * more.difference:+.1f} % of the papyrus ({100 * more.low:+.1f} to {100 * more.high:+.1f})"
    how = {"better": "surely more", "worse": "surely less", "inside noise": "no difference that could be told"}[
        more.verdict
    ]
    return f"Called ink beyond what is on {named(name)}: {difference}, {how}."


def _planted(evidence: Evidence) -> str:
    if evidence.half_contrast is None:
        return "Of planted letters less than half was found, even of the brightest."
    places = (
        f"; in {evidence.blind_places:.0%} of the places not even the brightest was"
        if evidence.blind_places >= BLIND_PLACES
        else ""
    )
    return f"Half of planted letters is found at a contrast of {evidence.half_contrast:.2g} spreads of the papyrus{places}."


def _next(kind: str, evidence: Evidence) -> Sequence[str]:
    few = (
        "Audit more papyrus of this scan together with it, give more that holds no ink (--blank), or ask more copies (--copies): this "
        "little could not tell more."
    )
    advice = {
        FOUND: [
            "Look at the components that stand out, strongest first, and at what each member looks like: one that paints spoils the blend.",
            "Have somebody who does not know the prediction read them; no figure here says what they read.",
        ],
        NOT_TOLD: [
            "Take no reading from it. Audit a second segment of the same sheet, and members that were trained apart."
        ],
        NO_INK: [
            "Papyrus like this shows no ink to these members. Ink fainter than the planted one, or of another kind, is not ruled out."
        ],
        BLIND: ["Say nothing about ink here. Trace or flatten again, or give a sharper scan; then audit again."],
        NOT_ASKED: ["Plant ink (leave --contrasts as it is): without it nobody knows what would have been missed."],
    }[kind]
    return [*advice, few] if kind == NOT_TOLD and evidence.least_chance > LITTLE_CONTROL else advice
