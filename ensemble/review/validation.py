"""Whether a submission will be graded: what scripts/validate.py and the notebook of a bundle ask before it is sent."""

from pathlib import Path

from scroll.errors import InputError, MissingInputError


def validate(submission: Path, test: Path) -> tuple[list[str], int]:
    """Every fault and warning of a submission, and how many masks were expected.

    `test` is the competition's data: test.csv and test_images/<id>.tif, or for ink test/<id>/ (or the folder test itself).

    Raises:
        MissingInputError: the submission, or the data that it is held against, is not there.
        InputError: it is neither a .zip nor a .csv, or the data cannot be read.
    """
    if not test.is_dir():
        raise MissingInputError(f"{test}: no such folder; expected the competition's data")
    ending = submission.suffix.lower()
    if ending == ".zip":
        from ensemble.surface.submission import check_submission_zip, shapes_of_test_cubes

        cubes = shapes_of_test_cubes(test)
        return check_submission_zip(submission, cubes), len(cubes)
    if ending == ".csv":
        from ensemble.ink.submission import submission_problems

        fragments = fragment_shapes(test / "test" if (test / "test").is_dir() else test)
        return submission_problems(submission, fragments), len(fragments)
    raise InputError(f"{submission}: expected submission.zip (surface) or submission.csv (ink)")


def fragment_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """(Y, X) of every fragment's canvas by id, from the headers of its layers."""
    from scroll.config.schema import DataSettings
    from scroll.data.fragments import find_fragments

    return {fragment.id: fragment.canvas_yx for fragment in find_fragments(folder, DataSettings(root=folder))}
