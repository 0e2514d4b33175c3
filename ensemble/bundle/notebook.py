"""The notebook of a bundle: few cells, each after a line that says what it does; what is longer lies in `on_kaggle`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARKER = "bundle.json"  # how the notebook finds the bundle, wherever it is mounted
HOURS = 9.0


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

SETTINGS = """\
import importlib, subprocess, sys, time
from pathlib import Path

STARTED = time.monotonic()
HOURS = {hours}      # a submission may take this long
RESERVE = 0.5    # hours kept back for packing, and for surprises
OVERRIDES = {overrides}  # settings laid over the run's; "preflight.mode=warn" predicts what looks unlike the training data
INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")
SCRATCH = Path("/tmp/scroll-ensemble")  # larger than /kaggle/working, and not kept"""

FIND = """\
def found(what, places):
    for place in places:
        if place.is_dir():
            return place
    mounted = ", ".join(sorted(str(path) for path in INPUT.glob("*"))) or "nothing"
    raise FileNotFoundError(f"{{what}}: not below {{INPUT}}; add it under 'Add Input' (there: {{mounted}})")

BUNDLE = found("the bundle's data set", (path.parent for depth in range(1, 6) for path in INPUT.glob("*/" * depth + "{marker}")))
DATA = found("the competition's data", [INPUT / "{slug}", INPUT / "competitions" / "{slug}"])
print(BUNDLE, DATA, sep="\\n")"""

INSTALL = """\
PACKAGES = {packages}
subprocess.run(
    [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--find-links", BUNDLE / "wheels", *PACKAGES],
    check=True,
)
importlib.invalidate_caches()"""

LOOK = """\
from ensemble.bundle.on_kaggle import Job

job = Job(BUNDLE / "run", DATA, SCRATCH, WORKING / "{submission}", STARTED + 3600 * (HOURS - RESERVE), OVERRIDES)
job.look()"""

PREDICT = "job.predict()"
CHECK = """\
job.validate()
job.summary()"""


def notebook(competition: Competition, packages: Mapping[str, str], about: str) -> dict[str, Any]:
    """The notebook as nbformat 4 has it; `packages` (name -> version) are in the bundle's wheels, `about` says which run it is."""
    wished = [f"{name}=={version}" for name, version in packages.items()]
    submission = competition.submission
    head = (
        f"# Scroll Ensemble: {competition.title}\n\n{about}\n\nRun it with the competition's data and the bundle's data set as inputs, "
        "an accelerator (two T4s are both used), and the internet off."
    )
    cells = [
        (head, ""),
        ("What may be changed.", SETTINGS.format(hours=HOURS, overrides=list(competition.overrides))),
        ("Where the bundle and the data are mounted.", FIND.format(slug=competition.slug, marker=MARKER)),
        ("Install what a stock notebook lacks, from the bundle alone.", INSTALL.format(packages=_listed(wished))),
        ("What there is to predict, and with what.", LOOK.format(submission=submission)),
        ("Predict, on every GPU, against the clock.", PREDICT),
        (f"Look at {submission} as the grader will.", CHECK),
    ]
    return {
        "cells": [cell for text, code in cells for cell in _pair(text, code)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def _listed(items: list[str]) -> str:
    return "[\n" + "".join(f'    "{item}",\n' for item in items) + "]"


def _pair(text: str, code: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}]
    if code:
        source = code.splitlines(keepends=True)
        cells.append({"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source})
    return cells
