"""The submission: there and back for any mask, and every way in which a file can be wrong is told."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ensemble.ink.submission import (
    decode_runs,
    encode_runs,
    read_submission,
    run_problems,
    submission_problems,
    write_submission,
)
from scroll.errors import InputError, MissingInputError

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
SHAPES = {"a": (3, 4), "b": (2, 5)}


@settings(max_examples=200, deadline=None)
@given(masks)
def test_every_mask_comes_back(mask: np.ndarray) -> None:
    assert np.array_equal(decode_runs(encode_runs(mask), mask.shape), mask)


@settings(max_examples=100, deadline=None)
@given(masks)
def test_runs_are_those_found_pixel_by_pixel(mask: np.ndarray) -> None:
    runs: list[list[int]] = []
    for place, is_ink in enumerate(mask.ravel(), start=1):
        if is_ink and runs and sum(runs[-1]) == place:
            runs[-1][1] += 1
        elif is_ink:
            runs.append([place, 1])
    assert encode_runs(mask) == " ".join(f"{start} {length}" for start, length in runs)


def test_the_worked_example() -> None:
    assert encode_runs(np.array([[0, 1, 1, 0], [1, 0, 0, 0]], bool)) == "2 2 5 1"
    assert encode_runs(np.array([[0, 0, 1], [1, 0, 0]], bool)) == "3 2"  # goes on over the end of the row
    assert encode_runs(np.ones((3, 4), bool)) == "1 12"
    assert encode_runs(np.zeros((3, 4), bool)) == ""


def test_a_mask_that_is_a_view_is_read_in_its_own_order() -> None:
    mask = np.array([[0, 1], [0, 0], [1, 1]], bool)
    assert encode_runs(mask.T) == encode_runs(np.ascontiguousarray(mask.T)) == "3 2 6 1"


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = {"b": rng.random((400, 300)) < 0.5, "a": rng.random((200, 300)) < 0.5}
    path = write_submission(tmp_path / "deep" / "submission.csv", written)
    read = read_submission(path, {"a": (200, 300), "b": (400, 300)})
    assert list(read) == ["b", "a"]
    assert all(np.array_equal(read[name], written[name]) for name in written)
    lines = path.read_text().splitlines()
    assert lines[0] == "Id,Predicted" and lines[1] == f"b,{encode_runs(written['b'])}" and len(lines) == 3


def test_an_empty_prediction_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    with pytest.raises(InputError, match="no ink is predicted on 'b'") as caught:
        write_submission(path, {"a": np.ones((3, 4), bool), "b": np.zeros((2, 5), bool)})
    assert "\n" not in str(caught.value)
    assert not path.exists()
    with pytest.raises(InputError, match="no fragment"):
        write_submission(path, {})


def test_one_pixel_instead_of_nothing_is_said_aloud(tmp_path: Path) -> None:
    path, predicted = tmp_path / "submission.csv", {"a": np.ones((3, 4), bool), "b": np.zeros((2, 5), bool)}
    with pytest.warns(UserWarning, match="'b'"):
        write_submission(path, predicted, when_empty="one_pixel")
    assert read_submission(path, SHAPES)["b"].sum() == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_submission(path, {"a": predicted["a"]}, when_empty="one_pixel")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,1 2", "b,0 2"], "id 'b': run 1 (0 2) begins before pixel 1"),
        (["a,1 2 5 0", "b,1 1"], "id 'a': run 2 (5 0) is not of positive length"),
        (["a,1 2 5 -3", "b,1 1"], "id 'a': run 2 (5 -3) is not of positive length"),
        (["a,1 2 12 2", "b,1 1"], "id 'a': run 2 (12 2) ends at pixel 13, outside the image of 3 x 4 = 12"),
        (["a,1 3 3 1", "b,1 1"], "id 'a': run 2 (3 1) overlaps"),
        (["a,1 9 2 1 7 1", "b,1 1"], "id 'a': run 3 (7 1) overlaps"),
        (["a,5 1 2 1", "b,1 1"], "id 'a': run 2 (2 1) is out of order"),
        (["a,1 2 3", "b,1 1"], "id 'a': 3 numbers"),
        (["a,1 x", "b,1 1"], "id 'a': 'x' is not a whole number"),
        (["a,1 1.5", "b,1 1"], "id 'a': '1.5' is not a whole number"),
        (["a,1 99999999999999999999", "b,1 1"], "id 'a': '99999999999999999999' is not a whole number"),
        (["a,9223372036854775807 1", "b,1 1"], "id 'a': run 1 (9223372036854775807 1) ends"),
        (["a,1 1"], "id 'b' is missing"),
        (["a,1 1", "b,1 1", "c,1 1"], "id 'c' is none of the fragments a, b"),
        (["a,1 1", "b,1 1", "a,1 1"], "id 'a' stands in 2 rows"),
        (["a,1 1", "b,"], "id 'b' predicts no ink"),
        (["a,", "b,"], "no row predicts any ink"),
    ],
)
def test_every_violation_is_reported_in_one_line(rows: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("\n".join(["Id,Predicted", *rows]) + "\n")
    assert any(problem.startswith(message) for problem in submission_problems(path, SHAPES))
    with pytest.raises(InputError) as caught:
        read_submission(path, SHAPES)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_all_problems_are_listed_and_a_good_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("Id,Predicted\na,0 1 4 0 9 9\n")
    assert len(submission_problems(path, SHAPES)) == 4
    with pytest.raises(InputError, match="and 3 more"):
        read_submission(path, SHAPES)
    path.write_text('Id,Predicted\nb,1 1 2 1\n"a",12 1\n')
    assert submission_problems(path, SHAPES) == []


@given(st.text(alphabet="0123456789 -x.", max_size=30))
def test_whatever_is_in_the_field_it_is_decoded_or_named(text: str) -> None:
    if list(run_problems(text, (3, 4))):
        with pytest.raises(InputError):
            decode_runs(text, (3, 4))
    else:
        mask = decode_runs(text, (3, 4))
        assert mask.sum() == sum(map(int, text.split()[1::2]))


def test_what_is_no_submission_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    with pytest.raises(MissingInputError, match="not there"):
        read_submission(path, SHAPES)
    for content, message in [
        ("", "first line"),
        ("Id;Predicted\n", "first line"),
        ("Id,Predicted\na,1 1,2\n", "3 fields"),
    ]:
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_submission(path, SHAPES)
    with pytest.raises(InputError, match="uint8"):
        encode_runs(np.ones((2, 2), np.uint8))


def test_a_fault_is_one_short_line_whatever_an_id_holds(tmp_path):
    (tmp_path / "s.csv").write_text(f'Id,Predicted\n"a\nb",1 2\n{"9" * 5000},1 2\n')
    faults = submission_problems(tmp_path / "s.csv", {"a": (4, 4)})
    assert len(faults) == 3 and all("\n" not in fault and len(fault) < 400 for fault in faults)
