"""F0.5 of each scroll: by hand, and only where it is known which scroll every sheet is of."""

import json
from pathlib import Path

import numpy as np
import pytest

from ensemble.ink.score import _Scored
from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.metrics.fbeta import level_counts
from scroll.report.score_record import InkRow, InkScores
from scroll.report.tables import score_table


def scored(tmp_path: Path, scrolls: dict[str, str]) -> _Scored:
    sheets = []
    for name, scroll in scrolls.items():
        (tmp_path / name).mkdir()
        if scroll:
            (tmp_path / name / "catalogue.json").write_text(json.dumps({"scroll": scroll}))
        sheets.append(Fragment(name, tmp_path / name, DataSettings()))
    return _Scored(None, sheets, tmp_path, {}, None, 1.0)


def counts(tp: int, fp: int, fn: int) -> np.ndarray:
    found, ink = np.array([1] * (tp + fp) + [0] * fn, np.float32), np.array([1] * tp + [0] * fp + [1] * fn, bool)
    return level_counts(found, ink, np.ones(len(ink), bool))


def test_the_sheets_of_a_scroll_count_together(tmp_path):
    decided = {"1": counts(4, 1, 3), "2": counts(2, 1, 1), "3": counts(1, 3, 0)}
    found = scored(tmp_path, {"1": "A", "2": "A", "3": "B"})._by_scroll(decided)
    assert found == pytest.approx({"A": 1.25 * 6 / (1.25 * 6 + 0.25 * 4 + 2), "B": 1.25 / (1.25 + 3)})


@pytest.mark.parametrize("scrolls", [{"1": "A", "2": ""}, {"1": "", "2": ""}, {"1": "A", "2": "A"}])
def test_one_scroll_or_one_that_is_not_known_is_no_table(tmp_path, scrolls):
    assert scored(tmp_path, scrolls)._by_scroll({"1": counts(1, 1, 1), "2": counts(1, 1, 1)}) == {}


def test_the_table_has_a_column_for_each_scroll():
    rows = (
        InkRow(name="a", f05=0.5, scrolls={"A": 0.25, "B": 0.75}),
        InkRow(name="b", f05=0.4, scrolls={"A": 0.1, "B": 0.2}),
    )
    scores = InkScores(rows=rows)
    assert list(scores.columns.values())[-2:] == ["F0.5, A", "F0.5, B"]
    assert [row["cells"][-2:] for row in score_table(scores)] == [["0.250", "0.750"], ["0.100", "0.200"]]
    plain = InkScores(rows=tuple(row.model_copy(update={"scrolls": {}}) for row in rows))
    assert "scrolls" not in plain.rows[0].model_dump() and list(plain.columns)[-1] == "weight"
