"""The audit's page: verdicts first, everything escaped, pictures inside, nothing from elsewhere; and its record reads back as written."""

import re
from pathlib import Path

import numpy as np

from ensemble.audit.page import write_audit_page
from ensemble.audit.record import NAME, Agreement, Audit, Facts, Picture, SheetAudit
from ensemble.audit.tables import members_table
from scroll.audit.figures import REAL, Depth, Direction, MemberFigures, Share
from scroll.audit.looks import looks_of
from scroll.audit.verdict import BLIND, NO_INK, Evidence, verdict_of
from scroll.metrics.bootstrap import gain_of
from scroll.report.pictures import grey_png
from scroll.runtime.files import read_sealed
from scroll.runtime.record import as_record, write_record

PAINTER = "<b>painter"


def member(name: str, on_copies: float) -> MemberFigures:
    by_kind = {REAL: 0.1, "phase-scrambled": on_copies, "reversed": on_copies, "depth-shuffled": 0.1}
    return MemberFigures(
        name=name, threshold=0.5, spread=2.0, sureness=0.3, with_others=0.4, adds=0.5,
        flagged={kind: Share(share=share, low=share / 2, high=share * 1.5) for kind, share in by_kind.items()},
        direction=Direction(forward=0.3, reversed=0.1, gain=gain_of(-0.2, -0.3, -0.1), with_others=(0.4, 0.1)),
        depths=(Depth(offset=-4, flagged=0.1, sureness=0.2), Depth(offset=0, flagged=0.1, sureness=0.3)),
        planted={"1": 0.5}, half_contrast=1.0, is_trained_on=False,
    )  # fmt: skip


def written(output: Path) -> Audit:
    grey_png(output / "a" / "placebo" / "pictures" / "1_found.png", np.arange(16).reshape(4, 4))
    members = (member("good", 0.002), member(PAINTER, 0.09))
    facts = Facts(
        voxel_um=8, working_um=16, window_mm={"good": (1.0, 1.0)}, depth_layers={"good": (-8, 8)}, depth_um={"good": 128.0},
        trained_on={"good": ("1",)}, overlap=(),
    )  # fmt: skip
    seen = SheetAudit(
        id="a", verdict=verdict_of(Evidence(was_planted=True, half_contrast=1.0)), members=members, facts=facts,
        agreement=Agreement(
            members=("good", PAINTER), correlation=((1.0, 0.2), (0.2, 1.0)), effective_number=1.9, shares_of_votes=(0.7, 0.3)
        ),
        tables=(members_table(members),), pictures=(Picture(path="a/placebo/pictures/1_found.png", alt="nothing found"),),
    )  # fmt: skip
    blind = SheetAudit(id="b", verdict=verdict_of(Evidence(unusable="The layers are not in it.")))
    looks = {one.name: tuple(looks_of([one])) for one in members}
    audit = Audit(command="python scripts/audit.py --input <x>", made_by={}, sheets=(seen, blind), looks=looks)
    write_record(output / NAME, audit)
    write_audit_page(audit, output)
    return audit


def test_verdicts_and_odd_members_come_before_anything_else(tmp_path: Path) -> None:
    written(tmp_path)
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    first = page[: page.index("<h2")]
    assert f"a: {NO_INK}" in first and f"b: {BLIND}" in first
    assert "a painter of texture or fibres" in first and "good:" not in first
    assert page.index("<h3>Why</h3>") < page.index("<h3>What to do next</h3>") < page.index("<table")


def test_nothing_on_it_is_taken_for_markup_and_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    written(tmp_path)
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert PAINTER not in page and "&lt;b&gt;painter" in page and "--input &lt;x&gt;" in page
    assert "default-src 'none'" in page and not re.search(r"<script|https?://", page)
    assert re.findall(r'src="([^"]{22})', page) == ["data:image/png;base64,"]


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    audit = written(tmp_path)
    assert as_record(tmp_path / NAME, read_sealed(tmp_path / NAME, "audit again"), Audit) == audit
