"""The competitions that runs are for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Competition:
    """Which competition a run is for.

    Attributes:
        slug: last part of its address, and the name of its folder below /kaggle/input.
        title: for the notebook's heading.
        submission: name of the file that is graded.
        overrides: settings that a submission wants and a run need not have.
    """

    slug: str
    title: str
    submission: str
    overrides: tuple[str, ...] = ()


INK = Competition(
    "vesuvius-challenge-ink-detection", "ink detection", "submission.csv", ("ensemble.when_empty=one_pixel",)
)
SURFACE = Competition("vesuvius-challenge-surface-detection", "surface detection", "submission.zip")
