"""What a member looks like by what it says of real sheets, of copies without ink, of reversed stacks and of planted letters."""

from collections.abc import Mapping, Sequence

from scroll.audit.figures import BLANK, REAL, SCRAMBLED, MemberFigures
from scroll.runtime.record import Record

BACKWARDS, PAINTS, RANDOM, MEMORISED = (
    "trained on reversed stacks", "paints texture or fibres", "random", "memorised what it was trained on",
)  # fmt: skip
NOTHING_ODD = "nothing odd"

FAR_SURER = 2.0
"""Times as sure on the reversed stack as on the one as it is, and as on scrambled copies. A member of the right direction that sees ink
from both sides is about as sure of it on both; one that takes rough papyrus for ink finds the back, which is rougher, surer too."""
FAR_MORE_ALIKE = 0.3
"""By so much greater a correlation with the other members' maps. A small reversed network on a phantom went from 0.03 to 0.94, sound ones
from 0.74 to 0.60."""
AS_MUCH = 0.5
"""Of what is called ink on the real sheet: from this on on copies without ink, what is found on the real one is mostly imagined."""
MUCH = 0.01
"""Of the papyrus. Writing covers some 5 to 20 %; a member that calls less than this ink on a copy paints nothing."""
SAYS_NOTHING = 0.5
"""Standard deviation of log-odds. Networks that know ink tell it from papyrus by 4 and more; untrained ones move by 0.1 or so."""
AGREES = 0.1  # a correlation below which two maps have nothing to do with each other
FINDS, MISSES = 0.5, 0.25  # shares of the brightest planted letters
BLIND_ELSEWHERE = 0.2  # of its sureness where it was trained; and so much of that has to be no imagination


def said_of_looks(looks: Mapping[str, Sequence["Looks"]]) -> list[str]:
    """A sentence for each way in which somebody looks odd; none where nobody does."""
    by_kind: dict[str, list[str]] = {}
    whys: dict[str, str] = {}
    for name, found in looks.items():
        for one in found:
            if one.kind != NOTHING_ODD:
                by_kind.setdefault(one.kind, []).append(name)
                whys.setdefault(one.kind, one.why)
    said = {BACKWARDS: BACKWARDS, PAINTS: "a painter of texture or fibres", RANDOM: "random", MEMORISED: MEMORISED}
    return [f"{', '.join(names)}: {said[kind]}. {names[0]} {whys[kind]}." for kind, names in by_kind.items()]


class Looks(Record):
    """What a member looks like, and why."""

    kind: str
    why: str


def looks_of(sheets: Sequence[MemberFigures]) -> list[Looks]:
    """Of one member by its figures on some sheets; `NOTHING_ODD` where no rule speaks. A rule has to hold on more than half of them.

    What it paints or says of sheets that it was trained on tells little, so new ones are asked where there are any.
    """
    new = [one for one in sheets if not one.is_trained_on] or list(sheets)
    rules = ((_backwards, BACKWARDS), (_random, RANDOM), (_paints, PAINTS))
    found = []
    for rule, kind in rules:
        told = [why for one in new if (why := rule(one))]
        if 2 * len(told) > len(new):
            found.append(Looks(kind=kind, why=told[0]))
            break  # a reversed one may paint, a random one does; the first is the reason
    if why := _memorised(
        [one for one in sheets if one.is_trained_on], [one for one in sheets if one.is_trained_on is False]
    ):
        found.append(Looks(kind=MEMORISED, why=why))
    return found or [Looks(kind=NOTHING_ODD, why="")]


def _brightest(one: MemberFigures) -> float | None:
    return max(one.planted.values()) if one.planted else None


def _backwards(one: MemberFigures) -> str:
    if one.direction is None:
        return ""
    if (alike := one.direction.with_others) and alike[1] - alike[0] >= FAR_MORE_ALIKE:
        return f"goes with the other members at {alike[1]:.2f} with its layers in opposite order, and at {alike[0]:.2f} as they are"
    if one.direction.gain.low <= 0:
        return ""
    there, back = one.direction.forward, one.direction.reversed
    if back < FAR_SURER * max(there, one.imagined):
        return ""
    agreed = one.direction.with_others
    if agreed and agreed[1] < agreed[0]:
        return ""
    times = f"{back / there:.1f} times as" if there > 0 else "only there"
    return f"is {times} sure of ink with the layers in opposite order ({back:.3g} against {there:.3g} log-odds a pixel)"


def _random(one: MemberFigures) -> str:
    if (_brightest(one) or 0.0) >= FINDS:
        return ""
    if one.spread < SAYS_NOTHING:
        return f"says nearly the same everywhere: its log-odds vary by {one.spread:.2g}"
    agrees_with_nobody = one.with_others is not None and abs(one.with_others) < AGREES
    if (
        agrees_with_nobody
        and _copies_show(one) >= AS_MUCH
        and (_brightest(one) or 0.0) < MISSES
        and one.half_contrast is None
    ):
        return f"agrees with nobody (correlation {one.with_others:.2f}) and tells the sheet from no copy, nor a planted letter from papyrus"
    return ""


def _paints(one: MemberFigures) -> str:
    blank = {name: share.share for name, share in one.flagged.items() if name in BLANK}
    finds = (_brightest(one) or 0.0) >= FINDS
    for name, share in blank.items():
        if share >= MUCH and share >= AS_MUCH * one.flagged[REAL].share and (name == SCRAMBLED or not finds):
            return f"calls {share:.1%} of the {name} copies ink, and {one.flagged[REAL].share:.1%} of the real sheet"
    return ""


def _copies_show(one: MemberFigures) -> float:
    """The most that a blank copy shows, as a part of what the real sheet does."""
    blank = [share.share for name, share in one.flagged.items() if name in BLANK]
    return max(blank, default=0.0) / max(1e-9, one.flagged[REAL].share)


def _memorised(seen: Sequence[MemberFigures], new: Sequence[MemberFigures]) -> str:
    if not seen or not new:
        return ""
    known, other = max(seen, key=lambda one: one.sureness), max(new, key=lambda one: one.sureness)
    is_sure = known.flagged[REAL].share > 0 and _copies_show(known) < AS_MUCH
    is_blind = other.sureness < BLIND_ELSEWHERE * known.sureness and all(
        (_brightest(one) or 0.0) < MISSES for one in new
    )
    if not (is_sure and is_blind):
        return ""
    return (
        f"is {known.sureness:.3g} log-odds a pixel sure of ink where it was trained, and {other.sureness:.3g} elsewhere, where it "
        "misses planted letters too"
    )
