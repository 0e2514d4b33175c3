"""The audit of everything that is given: every sheet, what the members look like over all of them, audit.json and audit.html."""

from collections.abc import Sequence
from pathlib import Path

from ensemble.audit.page import write_audit_page
from ensemble.audit.quality import placed, reference_of
from ensemble.audit.record import NAME, Audit, SheetAudit
from ensemble.audit.sheet import How, audited, by_member
from ensemble.controls.asked import Asked
from ensemble.controls.detectability import check_contrasts
from ensemble.request import input_sheets
from scroll.audit.looks import looks_of, said_of_looks
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.kinds import need_flattened
from scroll.errors import InputError
from scroll.runtime.file_record import code_and_packages
from scroll.runtime.record import write_record


def fragments_at(settings: Settings, sources: Sequence[Path]) -> list[Fragment]:
    """The fragments at several places, by unequal names.

    Raises:
        MissingInputError: a place holds none.
        InputError: not of the kind fragments, or two have one name.
    """
    advice = "flatten the segment to layers first (python scripts/flatten.py, docs/real_data.md), and audit these with a run of fragments"
    need_flattened(settings.data, "an audit changes flattened layer stacks", advice)
    found = [fragment for source in sources for fragment in input_sheets(settings, source)]
    ids = [fragment.id for fragment in found]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"--input: two fragments are called '{twice}', and their predictions would lie in one folder; audit one at a time"
        )
    return found


def audit(asked: Asked, sources: Sequence[Path], output: Path, how: How, command: str) -> Audit:
    """Judge every fragment; what is current below `output` is not predicted again. Writes audit.json and audit.html there.

    Raises:
        MissingInputError: the run lacks weights or its fit, or there are no fragments.
        InputError: not of the kind fragments, or settings of the audit that make no sense.
    """
    if how.copies < 1:
        raise InputError(f"--copies is {how.copies}; expected 1 or more of each seeded kind")
    if how.planting is not None:
        check_contrasts(how.planting.contrasts)
    fragments, reference = fragments_at(asked.settings, sources), reference_of(asked.settings)
    sheets: dict[str, SheetAudit] = {}
    for fragment in fragments:
        as_asked = placed(asked.settings, fragment, reference, output)
        sheets[fragment.id] = audited(asked, as_asked, output, how)
    members = by_member(sheets)
    looks = {name: tuple(looks_of(members[name])) for name in asked.names if name in members}
    made_by = code_and_packages()
    found = Audit(command=command, made_by=made_by, sheets=tuple(sheets.values()), looks=looks)
    write_record(output / NAME, found)
    write_audit_page(found, output)
    return found


def said_of(found: Audit) -> list[str]:
    """Lines for the terminal: a verdict a sheet with its reasons, and every member that looks odd."""
    said = []
    for sheet in found.sheets:
        said += ["", f"{sheet.id}: {sheet.verdict.kind}", *(f"  {reason}" for reason in sheet.verdict.reasons)]
        said += [f"  next: {advice}" for advice in sheet.verdict.next]
    odd = said_of_looks(found.looks)
    return [*said, "", *(odd or ["No member looks odd."] if found.looks else [])]
