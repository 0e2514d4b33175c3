"""The competition's file: one row per fragment with the ink as runs of pixels; written, and read back strictly.

Runs are 1-based and row-major (left to right, then top to bottom), "start length" pairs; one goes on over the end of
a row where the ink does. Source: rules of the ink detection competition.
"""

import csv
import io
import itertools
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import read_text
from scroll.runtime.files import write_text
from scroll.runtime.reading import reading, shortened

SPACE = re.compile(r"\s")
WORDS_AT_ONCE = 2**20  # characters
SPARE_BYTES = 2**16  # for the ids and the header
MOST_TOLD = 1000
COLUMNS = ["Id", "Predicted"]
BoolImage = npt.NDArray[np.bool_]
Runs = npt.NDArray[np.int64]


def encode_runs(mask: BoolImage) -> str:
    """Runs of the true pixels of a (Y, X) bool mask as text; "" where there are none.

    >>> encode_runs(np.array([[0, 1, 1, 0], [1, 0, 0, 0]], dtype=bool))
    '2 2 5 1'
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"submission: the mask is {mask.dtype} {mask.shape}, expected bool (Y, X); threshold it")
    runs = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=False)).reshape(-1, 2)  # (begin, end) from 0
    runs[:, 1] -= runs[:, 0]
    runs[:, 0] += 1
    return ("%d %d " * len(runs) % tuple(runs.ravel().tolist()))[:-1]  # thrice as fast as join


def decode_runs(text: str, shape: tuple[int, int]) -> BoolImage:
    """The (Y, X) bool mask of `shape` that `encode_runs` wrote as `text`.

    Raises:
        InputError: the text is not runs, or a run breaks the rules for this shape; the first one that does is named.
    """
    problems = list(run_problems(text, shape))
    if problems:
        raise InputError(f"submission: {problems[0]}")
    runs = _numbers(text).reshape(-1, 2)
    # between two edges the mask is constant: repeat false, true, false, ... by the distances
    edges = np.stack([runs[:, 0] - 1, runs[:, 0] - 1 + runs[:, 1]], axis=1).ravel()
    lengths = np.diff(edges, prepend=0, append=math.prod(shape))
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(shape)


def run_problems(text: str, shape: tuple[int, int]) -> Iterator[str]:
    """One line for each run of `text` that cannot be in an image of `shape` (Y, X), with its number and content."""
    try:
        numbers = _numbers(text)
    except (ValueError, OverflowError):
        word = next(word for word in text.split() if not _is_number(word))
        yield f"'{word[:20]}' is not a whole number; expected pairs 'start length'"
        return
    if numbers.size % 2:
        yield f"{numbers.size} numbers, expected an even count of them: pairs 'start length'"
        return
    start, length = numbers.reshape(-1, 2).T
    size = math.prod(shape)
    end = np.minimum(start, size + 1) + np.minimum(length, size + 1)  # huge numbers must not wrap around
    before = np.maximum.accumulate(np.concatenate([[1], end]))[:-1]  # where the next run may begin
    is_bad = (start < 1) | (length < 1) | (end > size + 1) | (start < before)
    for i in np.flatnonzero(is_bad).tolist():
        run = f"run {i + 1} ({start[i]} {length[i]})"
        if start[i] < 1:
            yield f"{run} begins before pixel 1; starts are 1-based"
        elif length[i] < 1:
            yield f"{run} is not of positive length"
        elif end[i] > size + 1:
            last = int(start[i]) + int(length[i]) - 1
            yield f"{run} ends at pixel {last}, outside the image of {shape[0]} x {shape[1]} = {size}"
        else:
            is_sorted = start[i] >= start[i - 1]
            why = "overlaps a run before it" if is_sorted else "is out of order: it begins before the run before it"
            yield f"{run} {why}; runs are sorted and do not overlap"


def _numbers(text: str) -> Runs:
    """All numbers of a text, some of it at a time: as words they take ten times the memory."""
    parts, start = [np.zeros(0, np.int64)], 0
    while start < len(text):
        space = SPACE.search(text, start + WORDS_AT_ONCE)
        stop = len(text) if space is None else space.start()
        parts.append(np.array(text[start:stop].split(), dtype=np.int64))
        start = stop
    return np.concatenate(parts)


def _is_number(word: str) -> bool:
    try:
        np.array([word], dtype=np.int64)
    except (ValueError, OverflowError):
        return False
    return True


def write_submission(
    path: Path, masks: Mapping[str, BoolImage], when_empty: Literal["refuse", "one_pixel"] = "refuse"
) -> Path:
    """Write `path` with the columns Id, Predicted and one row for each (Y, X) bool mask, in the order given.

    A mask without ink would leave an empty field, which readers take for a missing value and graders reject. So it is
    refused; `when_empty="one_pixel"` claims the first pixel instead, with a warning, so that the file is at least
    graded.

    Raises:
        InputError: no mask at all, or a mask without ink and `when_empty` is "refuse".
    """
    if not masks:
        raise InputError(f"{path}: no fragment to submit; predict at least one")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, mask in masks.items():
        writer.writerow([name, encode_runs(mask) or _instead_of_nothing(path, name, when_empty)])
    write_text(path, table.getvalue())
    return path


def _instead_of_nothing(path: Path, name: str, when_empty: str) -> str:
    if when_empty != "one_pixel":
        raise InputError(
            f"{path}: no ink is predicted on '{name}', and graders reject an empty row; lower the threshold or "
            "ensemble.min_area_um2, or ask for one pixel: --set ensemble.when_empty=one_pixel"
        )
    warnings.warn(f"{path}: no ink is predicted on '{name}'; its first pixel is claimed instead", stacklevel=3)
    return "1 1"


def read_submission(path: Path, shapes: Mapping[str, tuple[int, int]]) -> dict[str, BoolImage]:
    """Read a submission back as (Y, X) bool masks by id, in the order of the file.

    `shapes` holds the id and the (Y, X) shape of every fragment that must be there.

    Raises:
        MissingInputError: no such file.
        InputError: it breaks the rules; the first of `submission_problems`, and how many more there are.
    """
    problems = submission_problems(path, shapes)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: {problems[0]}{more}")
    return {name: decode_runs(text, shapes[name]) for name, text in _rows(path, shapes)}


def submission_problems(path: Path, shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Everything that a grader would reject in a submission, one line each with its id and run; empty if it is good."""
    rows = list(_rows(path, shapes))
    ids = Counter(name for name, _ in rows)
    problems = [f"id '{name}' is missing; one row for each fragment" for name in shapes if name not in ids]
    problems += [
        f"id '{_printable(name)}' stands in {count} rows, expected one" for name, count in ids.items() if count > 1
    ]
    if rows and not any(text.strip() for _, text in rows):
        return [*problems, "no row predicts any ink; such a file scores 0 and graders reject it"]
    for name, text in rows:
        if name not in shapes:
            problems.append(f"id '{_printable(name)}' is none of the fragments {', '.join(shapes)}")
        elif not text.strip():
            problems.append(f"id '{name}' predicts no ink, and graders reject an empty row")
        else:
            found = run_problems(text, shapes[name])
            problems += [f"id '{name}': {problem}" for problem in itertools.islice(found, MOST_TOLD)]
            if next(found, None) is not None:
                problems.append(f"id '{name}': more than {MOST_TOLD} runs are wrong; write the file again")
    return problems


def _printable(name: str) -> str:
    return shortened(" ".join(name.split()))


def _rows(path: Path, shapes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Id and runs of each row, after the header and the size of the file have been checked."""
    if not path.exists():
        raise MissingInputError(f"{path}: not there; write it with python ensemble/predict.py")
    most = SPARE_BYTES + sum(_most_characters(math.prod(shape)) for shape in shapes.values())
    with (
        reading(path, "a submission.csv in UTF-8", "write it with python ensemble/predict.py"),
        _fields_of_any_length(),
    ):
        header, *rows = list(csv.reader(io.StringIO(read_text(path, most)))) or [[]]
    if header != COLUMNS:
        raise InputError(f"{path}: the first line is '{','.join(header)[:80]}', expected '{','.join(COLUMNS)}'")
    for number, row in enumerate(rows, start=2):
        if len(row) != 2:
            raise InputError(f"{path}: row {number} has {len(row)} fields, expected 2: {', '.join(COLUMNS)}")
        yield row[0], row[1]


def _most_characters(pixels: int) -> int:
    """Of the runs of an image: at most every second pixel begins one, and each is two numbers and two spaces."""
    return (pixels // 2 + 1) * 2 * (len(str(pixels)) + 1)


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """The csv module stops at 131,072 characters a field by default; a fragment's runs are millions."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
