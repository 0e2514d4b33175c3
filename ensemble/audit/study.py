"""The audit of everything that is given: every sheet, what the members look like over all of them, audit.json and audit.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.audit.page import write_audit_page
from ensemble.audit.quality import placed, reference_of
from ensemble.audit.record import NAME, Audit
from ensemble.audit.sheet import How, audited, by_member, strengths_on_copies
from ensemble.audit.traced import asked_of_traced, flattened_fragments
from ensemble.controls.asked import Asked
from ensemble.controls.blank_papyrus import FOLDER, blank_papyrus
from ensemble.controls.detectability import check_contrasts
from ensemble.controls.panel import Imagined, Strengths
from ensemble.request import input_sheets
from scroll.audit.figures import BLANK
from scroll.audit.looks import lines_on_looks, looks_of, odd_ones
from scroll.audit.verdict import beside_odd_members
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.kinds import kind_of
from scroll.errors import InputError
from scroll.runtime.file_record import code_and_packages
from scroll.runtime.record import write_record


def asked_about(
    asked: Asked, sources: Sequence[Path], output: Path, option: str = "--input"
) -> tuple[Asked, list[Fragment]]:
    """The fragments at several places, by unequal names, and who is asked about them; traced segments are flattened first.

    `option` names the places in errors.

    Raises:
        MissingInputError: a place holds none.
        InputError: cubes, or two have one name.
    """
    settings = asked.settings
    refuse_cubes(settings)
    found = [sheet for source in sources for sheet in input_sheets(settings, source)]
    ids = [sheet.id for sheet in found]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"{option}: two sheets are called '{twice}', and their predictions would lie in one folder; give one of them"
        )
    if kind_of(settings.data).is_flattened:
        return asked, found
    asked = asked_of_traced(asked, output)
    return asked, flattened_fragments(asked, found)


def refuse_cubes(settings: Settings) -> None:
    """Refuse what no ink is looked for in.

    Raises:
        InputError: cubes; says what to use instead.
    """
    if not kind_of(settings.data).has_sheets:
        raise InputError(
            f"data.kind is {settings.data.kind} ({settings.data.root}): their networks look for papyrus, not for ink, so there is no "
            "ink to doubt; how good their sheets are says scripts/score_cubes.py (docs/surface_competition.md)"
        )


def audit(
    asked: Asked, sources: Sequence[Path], output: Path, how: How, command: str, blank: Sequence[Path] = ()
) -> Audit:
    """Judge every fragment; what is current below `output` is not predicted again. Writes audit.json and audit.html there.

    `blank`: places of papyrus of the same scan that is known to hold no ink.

    Raises:
        MissingInputError: the run lacks weights or its fit, or there are no fragments.
        InputError: not of the kind fragments, settings of the audit that make no sense, or blank papyrus that cannot be looked at.
    """
    if how.copies < 1:
        raise InputError(f"--copies is {how.copies}; expected 1 or more of each seeded kind")
    if how.planting is not None:
        check_contrasts(how.planting.contrasts)
    without_ink = asked_about(asked, blank, output / FOLDER, "--blank")[1] if blank else []
    asked, fragments = asked_about(asked, sources, output)
    reference = reference_of(asked.settings)
    blank_shows = blank_papyrus(asked, _placed_blank(asked, without_ink, fragments, output), output)
    as_asked = {one.id: placed(asked.settings, one, reference, output) for one in fragments}
    on_copies = {name: strengths_on_copies(asked, one, output, how) for name, one in as_asked.items()}
    sheets = {
        name: audited(asked, one, output, how, Imagined(_elsewhere(on_copies, name), blank_shows))
        for name, one in as_asked.items()
    }
    members = by_member(sheets)
    looks = {name: tuple(looks_of(members[name])) for name in asked.names if name in members}
    made_by = code_and_packages()
    odd = odd_ones(looks)
    strange = [name for name in asked.members if name in odd]
    judged = [
        one.model_copy(update={"verdict": beside_odd_members(one.verdict, strange, asked.members)})
        for one in sheets.values()
    ]
    found = Audit(command=command, made_by=made_by, sheets=tuple(judged), looks=looks)
    write_record(output / NAME, found)
    write_audit_page(found, output)
    return found


def _placed_blank(asked: Asked, blank: Sequence[Fragment], audited: Sequence[Fragment], output: Path) -> list[Fragment]:
    """Blank sheets turned and shifted as they are to be asked about.

    Raises:
        InputError: one is audited too, or cannot be looked at as the networks were trained.
    """
    reference, found = reference_of(asked.settings), []
    places = {one.folder.resolve(): one.id for one in audited}
    for sheet in blank:
        if sheet.folder.resolve() in places:
            raise InputError(
                f"--blank: {sheet.folder} is audited too, and would excuse what it shows itself; give other papyrus"
            )
        placed_as = placed(asked.settings, sheet, reference, output / FOLDER)
        if placed_as.unusable:
            raise InputError(f"--blank: {sheet.folder}: {placed_as.unusable} Give papyrus that can be looked at")
        found.append(placed_as.fragment)
    return found


def _elsewhere(on_copies: Mapping[str, Strengths], name: str) -> Strengths:
    """By kind, how strong all is that copies of the other sheets show, (N,)."""
    others = [one for other, one in on_copies.items() if other != name]
    return {kind: np.concatenate([one[kind] for one in others if one] or [np.zeros(0)]) for kind in BLANK}


def lines_on(found: Audit) -> list[str]:
    """Lines for the terminal: a verdict a sheet with its reasons, and every member that looks odd."""
    lines = []
    for sheet in found.sheets:
        lines += ["", f"{sheet.id}: {sheet.verdict.kind}", *(f"  {reason}" for reason in sheet.verdict.reasons)]
        lines += [f"  next: {advice}" for advice in sheet.verdict.next]
    odd = lines_on_looks(found.looks)
    return [*lines, "", *(odd or ["No member looks odd."] if found.looks else [])]
