"""The ensemble's steps on fragments and segments."""

from ensemble.ink.fit import calibrate as fit_ink
from ensemble.ink.fit import print_fit, read_fit
from ensemble.ink.predict import predict as predict_ink
from ensemble.ink.predict import write_checked_submission
from ensemble.ink.score import print_table, score_run
from ensemble.kinds import Competition
from ensemble.others import lines_on_others
from ensemble.request import Request
from scroll.config.reader import with_decided
from scroll.config.schema import Settings
from scroll.data.kinds import need_flattened
from scroll.report.page import write_report
from scroll.runtime.run_folder import END_TO_END

INK = Competition(
    "vesuvius-challenge-ink-detection", "ink detection", "submission.csv", ("ensemble.when_empty=one_pixel",)
)


def calibrate(settings: Settings) -> None:
    """Fit weights and thresholds and print them, once all that takes part is trained."""
    if settings.end_to_end is not None and not settings.folder.of(END_TO_END).exists():  # it comes after stage two
        print("weights and thresholds are fitted after end-to-end training: run 'make end-to-end CONFIG=...'")
        return
    print_fit(fit_ink(settings))
    for line in lines_on_others(with_decided(settings), []):
        print(line)


def predict(settings: Settings, request: Request) -> None:
    """Predict, pack and score, as it is asked for."""
    masks = predict_ink(settings, request.source, request.output, request.part, request.hours)
    if request.submission:
        write_checked_submission(settings, request.submission, masks)
    if request.truth:
        print_table(score_run(settings, request.source, request.output, request.truth, list(request.command)))
        print(f"report: {write_report(settings.run_dir, request.output)}")


def fitted_weights(settings: Settings) -> dict[str, float]:
    """Weights of members, stage two and the end-to-end network.

    Raises:
        MissingInputError: the run was not fitted.
    """
    return dict(read_fit(settings).weights)


def asked(settings: Settings) -> tuple[list[str], bool]:
    """All members, and stage two."""
    return list(settings.stage1.members), True


def competition(settings: Settings) -> Competition:
    """The ink competition.

    Raises:
        InputError: a run in scroll space, for which there is none.
    """
    need_flattened(settings.data, "there is no competition on segments of a scroll", "give a run on fragments or cubes")
    return INK
