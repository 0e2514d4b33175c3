"""What a member looks like by what it says of real sheets, of copies without ink, of reversed stacks and of planted letters."""

from collections.abc import Mapping, Sequence

from scroll.audit.figures import BLANK, REAL, MemberFigures
from scroll.runtime.record import Record

BACKWARDS, PAINTS, RANDOM, MEMORISED = (
    "trained on reversed stacks", "paints texture or fibres", "random", "memorised what it was trained on",
)  # fmt: skip
NOTHING_ODD = "nothing odd"

FAR_MORE_ALIKE = 0.5
"""By so much greater a correlation with the other members' maps. Small reversed networks on phantoms went from 0.03 to 0.98 and 0.94, sound
ones from 0.74 to 0.60, a painter of bright fibres from 0.22 to 0.45."""
FAR_SURER = 2.0
"""Times as sure on the reversed stack as on the one as it is, and as on scrambled copies, of one that nobody is beside. A member of the
right direction that sees ink from both sides is about as sure of it on both."""
AS_MUCH = 0.75
"""Of what is called ink on the real sheet: from this on on every copy without ink, it does not tell the sheet from them."""
MUCH = 0.01
"""Of the papyrus. Writing covers some 5 to 20 %; a member that calls less than this ink on a copy paints nothing."""
SAYS_NOTHING = 0.5
"""Standard deviation of log-odds. Networks that know ink tell it from papyrus by 4 and more; untrained ones move by 0.1 or so."""
AGREES = 0.1  # a correlation below which two maps have nothing to do with each other
MISSES = 0.25
"""Of the brightest letters' pixels, the share that is called ink because of them: see `MemberFigures.gained`."""
AS_OFTEN = 0.2
"""Of that share, what copies without ink may show of one that knows letters. Bright fibres are as bright as bright ink: one that paints
them finds planted letters too, and calls papyrus ink a third as often as letters; one that knows ink a tenth as often."""
BLIND_ELSEWHERE = 0.2  # of its sureness where it was trained; and so much of that has to be no imagination


def lines_on_looks(looks: Mapping[str, Sequence["Looks"]]) -> list[str]:
    """A sentence for each way in which somebody looks odd; none where nobody does."""
    by_kind: dict[str, list[str]] = {}
    whys: dict[str, str] = {}
    for name, found in looks.items():
        for one in found:
            if one.kind != NOTHING_ODD:
                by_kind.setdefault(one.kind, []).append(name)
                whys.setdefault(one.kind, one.why)
    words = {BACKWARDS: BACKWARDS, PAINTS: "a painter of texture or fibres", RANDOM: "random", MEMORISED: MEMORISED}
    return [f"{', '.join(names)}: {words[kind]}. {names[0]} {whys[kind]}." for kind, names in by_kind.items()]


def odd_ones(looks: Mapping[str, Sequence["Looks"]]) -> list[str]:
    """Who looks odd."""
    return [name for name, found in looks.items() if any(one.kind != NOTHING_ODD for one in found)]


class Looks(Record):
    """What a member looks like, and why."""

    kind: str
    why: str


def looks_of(sheets: Sequence[MemberFigures]) -> list[Looks]:
    """Of one member by its figures on some sheets; `NOTHING_ODD` where no rule speaks. A rule has to hold on more than half of them.

    What it paints or says of sheets that it was trained on tells little, so new ones are asked where there are any.
    """
    seen = [one for one in sheets if one.is_trained_on]
    if why := _memorised(seen, [one for one in sheets if one.is_trained_on is False]):
        return [Looks(kind=MEMORISED, why=why)]  # what it says of new sheets is no sign of anything else
    new = [one for one in sheets if not one.is_trained_on] or list(sheets)
    for rule, kind in ((_backwards, BACKWARDS), (_random, RANDOM), (_paints, PAINTS)):
        reasons = [why for one in new if (why := rule(one))]
        if 2 * len(reasons) > len(new):
            return [
                Looks(kind=kind, why=reasons[0])
            ]  # a reversed one may paint, a random one does; the first is the reason
    return [Looks(kind=NOTHING_ODD, why="")]


def _gained(one: MemberFigures) -> float:
    return one.gained or 0.0


def _backwards(one: MemberFigures) -> str:
    """By what the others see where there are any, for what one is sure of may be cracks of the back; else by how sure it is."""
    if one.direction is None:
        return ""
    if alike := one.direction.with_others:
        if alike[1] - alike[0] < FAR_MORE_ALIKE:
            return ""
        return f"goes with the other members at {alike[1]:.2f} with its layers in opposite order, and at {alike[0]:.2f} as they are"
    there, back = one.direction.forward, one.direction.reversed
    if one.direction.gain.low <= 0 or back < FAR_SURER * max(there, one.imagined):
        return ""
    times = f"{back / there:.1f} times as" if there > 0 else "only there"
    return f"is {times} sure of ink with the layers in opposite order ({back:.3g} against {there:.3g} log-odds a pixel)"


def _random(one: MemberFigures) -> str:
    if _knows_letters(one):
        return ""
    if one.spread < SAYS_NOTHING:
        return f"says nearly the same everywhere: its log-odds vary by {one.spread:.2g}"
    if one.with_others is None or one.with_others >= AGREES or _gained(one) >= MISSES or one.half_contrast is not None:
        return ""
    message = f"agrees with nobody (correlation {one.with_others:.2f})"
    if one.gained is not None:
        return f"{message} and finds no planted letter"
    return f"{message} and tells the sheet from no copy" if _is_blank_alike(one) else ""


def _paints(one: MemberFigures) -> str:
    if not _is_blank_alike(one) or min(_blank(one).values()) < MUCH or _knows_letters(one):
        return ""
    of_copies = " and ".join(f"{share:.1%} of the {name} copies" for name, share in _blank(one).items())
    letters = (
        ""
        if one.gained is None
        else f", and {one.gained:.0%} more of the brightest planted letters than of the papyrus before"
    )
    return f"calls {of_copies} ink, {one.flagged[REAL].share:.1%} of the real sheet{letters}"


def _knows_letters(one: MemberFigures) -> bool:
    """Whether it tells bright letters from papyrus: finds them, and calls little of the copies ink beside them."""
    return _gained(one) >= MISSES and max(_blank(one).values()) < AS_OFTEN * _gained(one)


def _blank(one: MemberFigures) -> dict[str, float]:
    """Share called ink on each kind of copy without ink."""
    return {name: share.share for name, share in one.flagged.items() if name in BLANK}


def _is_blank_alike(one: MemberFigures) -> bool:
    """Whether every kind of copy without ink shows nearly as much as the sheet."""
    return all(share >= AS_MUCH * one.flagged[REAL].share for share in _blank(one).values())


def _memorised(seen: Sequence[MemberFigures], new: Sequence[MemberFigures]) -> str:
    if not seen or not new:
        return ""
    known, other = max(seen, key=lambda one: one.sureness), max(new, key=lambda one: one.sureness)
    is_sure = known.flagged[REAL].share > 0 and not _is_blank_alike(known)
    is_blind = other.sureness < BLIND_ELSEWHERE * known.sureness and all(_gained(one) < MISSES for one in new)
    if not (is_sure and is_blind):
        return ""
    return (
        f"is {known.sureness:.3g} log-odds a pixel sure of ink where it was trained, and {other.sureness:.3g} elsewhere, where it "
        "misses planted letters too"
    )
