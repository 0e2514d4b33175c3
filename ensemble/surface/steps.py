"""The ensemble's steps on cubes."""

from ensemble.kinds import Competition
from ensemble.others import lines_on_others
from ensemble.request import Request
from ensemble.surface.fit import calibrate_cubes, print_cube_fit, read_cube_fit
from ensemble.surface.predict import FLAT, CubeRun, predict_test_cubes, write_checked_zip
from ensemble.surface.score import print_cube_table, score_cubes
from scroll.config.reader import with_decided
from scroll.config.schema import Settings
from scroll.report.page import write_report

SURFACE = Competition("vesuvius-challenge-surface-detection", "surface detection", "submission.zip")


def calibrate(settings: Settings) -> None:
    """Fit weights, sheets' thickness and post-processing, and print them."""
    print_cube_fit(calibrate_cubes(settings))
    for line in lines_on_others(with_decided(settings), []):
        print(line)


def predict(settings: Settings, request: Request) -> None:
    """Predict the test cubes of the competition's folder, and pack and score them where that is asked for."""
    cubes = predict_test_cubes(settings, request)
    if request.submission:
        write_checked_zip(request.submission, request.output, cubes)
    if request.truth:
        print_cube_table(score_cubes(settings, request.source, request.output, request.truth, list(request.command)))
        print(f"report: {write_report(settings.run_dir, request.output)}")


def fitted_weights(settings: Settings) -> dict[str, float]:
    """Weights of the members.

    Raises:
        MissingInputError: the run was not fitted.
    """
    return dict(read_cube_fit(settings).weights.weights)


def asked(settings: Settings) -> tuple[list[str], bool]:
    """The members that count, and whether what is submitted goes by the sheets."""
    cube_run = CubeRun(settings, settings.run_dir)
    return cube_run.members, cube_run.fit.route in FLAT


def competition(settings: Settings) -> Competition:
    """The surface competition."""
    return SURFACE
