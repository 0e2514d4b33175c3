"""Marks are read as the page saved them; whatever else is called marks.json is one line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.errors import InputError, MissingInputError
from scroll.rounds.marks import Mark, read_marks, seconds_each
from scroll.rounds.ranking import Asked

ASKED = [Asked("a", 0, 64, 64, 3.0), Asked("b", 128, 0, 64, 2.0), Asked("b", 64, 0, 64, 1.0)]
FIRST = {"sheet": "a", "y": 0, "x": 64, "edge_px": 64, "mark": "done", "seconds": 12.5}
SECOND = {"sheet": "b", "y": 128, "x": 0, "edge_px": 64, "mark": "skip", "seconds": 3}


def written(path, *marks, **changes):
    (path / "marks.json").write_text(json.dumps({"version": 1, "round": 2, "marks": list(marks), **changes}))
    return path / "marks.json"


def test_marks_are_read_as_they_were_saved(tmp_path):
    marks = read_marks(written(tmp_path, FIRST, SECOND), 2, ASKED)
    assert [mark.model_dump() for mark in marks] == [FIRST, SECOND]
    assert seconds_each(marks) == 12.5
    assert read_marks(written(tmp_path), 2, ASKED) == [] and seconds_each([]) is None


@given(st.lists(st.floats(0, 1e5), min_size=1))
def test_the_mean_lies_between_the_least_and_the_most_and_skipped_ones_do_not_count(seconds):
    done = [Mark(**FIRST | {"seconds": one}) for one in seconds]
    mean = seconds_each([*done, Mark(**SECOND)])
    assert min(seconds) * (1 - 1e-12) <= mean <= max(seconds) * (1 + 1e-12)
    assert math.isclose(mean * len(seconds), math.fsum(seconds), abs_tol=1e-300)


@pytest.mark.parametrize(
    ("marks", "changes", "message"),
    [
        ([FIRST], {"round": 1}, "is of round 1; expected round 2"),
        ([FIRST], {"round": "2"}, "'round' is '2'; expected a int"),
        ([FIRST], {"version": 9}, "'version' is 9"),
        ([FIRST], {"marks": {}}, "'marks' is {}"),
        ([FIRST | {"sheet": "c"}], {}, "sheet 'c' was not asked about; expected a, b"),
        ([FIRST | {"y": 64}], {}, "at y 64, x 64, 64 pixels wide, was not asked for"),
        ([FIRST | {"edge_px": 32}], {}, "32 pixels wide, was not asked for"),
        ([FIRST, FIRST | {"mark": "skip"}], {}, "is marked twice"),
        ([FIRST | {"seconds": -1}], {}, r"'marks\.0\.seconds' is -1"),
        ([FIRST, SECOND | {"seconds": float("nan")}], {}, r"'marks\.1\.seconds' is nan"),
        ([FIRST | {"seconds": "5"}], {}, r"'marks\.0\.seconds' is '5'"),
        ([FIRST | {"mark": "maybe"}], {}, r"'marks\.0\.mark' is 'maybe'; expected 'done' or 'skip'"),
        ([{"sheet": "a"}], {}, r"'marks\.0\.y' is missing"),
        ([FIRST | {"y": True}], {}, r"'marks\.0\.y' is True"),
        (["done"], {}, "'marks' is"),
    ],
)
def test_what_is_not_the_marks_of_this_round_is_one_line(tmp_path, marks, changes, message):
    path = written(tmp_path, *marks, **changes)
    with pytest.raises(InputError, match=message) as error:
        read_marks(path, 2, ASKED)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1, 2]", "holds a list"), ("<html>", "not readable as JSON"), ('{"a": 1}', "'round' is missing")],
)
def test_a_foreign_file_is_one_line(tmp_path, content, message):
    (tmp_path / "marks.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_marks(tmp_path / "marks.json", 2, ASKED)
    with pytest.raises(MissingInputError, match="save it with the button"):
        read_marks(tmp_path / "none.json", 2, ASKED)
