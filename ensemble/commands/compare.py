"""Train everything with several seeds and say what helps: members, stage two, blends, on held-out data, with intervals.

    python scripts/compare.py configs/compare.yaml --seeds 1 2 3 [--set a.b=c]

Writes <run_dir>/compare.md and compare.json, again after every seed. What is done is not done again. Where there is no data yet, two
phantom fragments to train on and one held out are drawn.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from scroll.runtime.command_line import whole

if TYPE_CHECKING:
    from ensemble.ink.fit_record import InkFit
    from ensemble.review.comparison import Scored, Training
    from scroll.config.schema import Settings
    from scroll.report.score_record import InkScores

SIZE_ZYX, DATA_SEED = (65, 1536, 1536), 2027
ON_BEST = "stage two on the best member"


def main() -> None:
    """Read the command line, train and score every seed, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/compare.yaml"), help="YAML of the run")
    parser.add_argument(
        "--seeds", type=whole(0, 2**32 - 1), nargs="+", default=[1, 2, 3], help="one training each; default 1 2 3"
    )
    parser.add_argument("--input", type=Path, help="held-out fragments; default <data.root>/test")
    parser.add_argument(
        "--truth", type=Path, help="their labels, <fragment>/inklabels.png; default <data.root>/heldout"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing

    settings = load_run_settings(arguments.config, arguments.set)
    check_comparable(settings)
    draw_where_missing(settings)
    root = settings.data.root
    held_out = HeldOut(arguments.input or root / "test", arguments.truth or root / "heldout")
    with writing(settings.run_dir, RUN):
        print(compare(settings, held_out, list(dict.fromkeys(arguments.seeds))))


@dataclass(frozen=True)
class HeldOut:
    """The data that everything is scored on: the fragments, and a folder with their labels."""

    source: Path
    truth: Path


def check_comparable(settings: "Settings") -> None:
    """Refuse what could be trained for hours and not be compared in the end.

    Raises:
        InputError: cubes, end-to-end training, or a tracker that is not installed.
    """
    from scroll.data.kinds import need_sheets
    from scroll.errors import InputError
    from scroll.training.loggers import check_trackers

    need_sheets(settings.data)
    check_trackers(settings)
    if settings.end_to_end is not None:
        raise InputError(
            "end_to_end: the comparison is of stage one, stage two and their blends; leave end_to_end out (--set end_to_end=null)"
        )


def draw_where_missing(settings: "Settings") -> None:
    """Two phantom fragments to train on and one held out, where `data.root` is not there.

    Raises:
        MissingInputError: it is not there, and the run takes no fragments.
    """
    from scroll.data.kinds import kind_of
    from scroll.errors import MissingInputError
    from scroll.phantom.dataset import make_fragments
    from scroll.phantom.settings import fragment_settings

    if settings.data.root.exists():
        return
    if not kind_of(settings.data).is_flattened:
        raise MissingInputError(
            f"{settings.data.root}: not there; draw it with scripts/make_phantom.py, or copy your data to it"
        )
    print(f"== {settings.data.root}: drawing a phantom", flush=True)
    make_fragments(settings.data.root, fragment_settings("default", SIZE_ZYX), DATA_SEED, train=2, test=1)


def compare(settings: "Settings", held_out: HeldOut, seeds: list[int]) -> str:
    """Train and score every seed; returns the table, which is also written into the run folder."""
    from ensemble.review.comparison import as_markdown, table_rows
    from scroll.report.score_record import NAME
    from scroll.runtime.files import write_json, write_text
    from scroll.runtime.record import needed

    trainings: list[Training] = []
    for number, seed in enumerate(seeds, start=1):
        print(f"\n== seed {seed} ({number} of {len(seeds)})", flush=True)
        own = settings.model_copy(update={"seed": seed, "run_dir": settings.run_dir / f"seed{seed}"})
        training, score = train_and_score(own, held_out)
        trainings.append(training)
        rows = table_rows(trainings)
        blocks = needed(_output(own) / NAME, "blocks", score.blocks)
        notes = [f"Blocks of {blocks.edge_um / 1000:.1f} mm.", *filter(None, [score.note])]
        table = as_markdown(f"{settings.run_dir.name}: {len(trainings)} of {len(seeds)} seeds", trainings, rows, notes)
        of_seeds = [{"seed": t.seed, "best_member": t.best_member, "steps": t.steps} for t in trainings]
        write_json(
            settings.run_dir / "compare.json",
            {"rows": [row.model_dump() for row in rows], "seeds": of_seeds, "blocks": blocks.model_dump()},
        )
        write_text(settings.run_dir / "compare.md", table)
    return table


def train_and_score(settings: "Settings", held_out: HeldOut) -> "tuple[Training, InkScores]":
    """One seed: both stages on all members, stage two on the best of them alone, all scored; and the score.json of the first run."""
    from ensemble.ink.fit import calibrate
    from ensemble.review.comparison import Training
    from scroll.config.reader import with_decided
    from scroll.runtime.record import needed
    from stage1_3d.train import train_stage1
    from stage2_2d.train import train_stage2

    clock, run_dir = Clock(settings.run_dir / "compare_steps.json"), settings.run_dir
    for name in settings.stage1.members:
        with clock.step(f"stage one, {name}", run_dir / "stage1" / name):
            train_stage1(settings, [name])
    settings = with_decided(settings)
    with clock.step("stage two", run_dir / "stage2"):
        train_stage2(settings)
    with clock.step("weights and thresholds", run_dir / "ensemble"):
        fit = calibrate(settings)
    best = needed(settings.folder.fit, "best_member", fit.best_member)
    score = _predicted_and_scored(settings, held_out, clock)
    second = on_one_member(settings, best)
    with clock.step(ON_BEST, second.run_dir / "stage2"):
        train_stage2(second)
        fit_of_second = calibrate(second)
    _reuse_predictions(settings, second)
    score_of_second = _predicted_and_scored(second, held_out, clock, f", {ON_BEST}")
    on_all = _predictors(settings, score, fit)
    members = {name: on_all[name] for name in settings.stage1.fitted}
    on_best = {ON_BEST: _predictors(second, score_of_second, fit_of_second)["stage2"]}
    return Training(settings.seed, best, {**members, **on_best, **on_all}, clock.steps), score


def _predicted_and_scored(settings: "Settings", held_out: HeldOut, clock: "Clock", what: str = "") -> "InkScores":
    """score.json of a run on the held-out data; left alone where it was made of these weights, settings and files."""
    from ensemble.ink.fit import calibration_key
    from ensemble.ink.predict import predict
    from ensemble.ink.score import score_run
    from scroll.report.score_record import InkScores, read_scores
    from scroll.runtime.receipt import fingerprint, is_current, key_of, write_receipt

    output = _output(settings)
    how = [settings.ensemble.for_key(), settings.preflight.model_dump(), calibration_key(settings)]
    key = key_of([how, [fingerprint(folder) for folder in (held_out.source, held_out.truth) if folder.exists()]])
    if is_current(output, key):
        before = read_scores(output)
        if isinstance(before, InkScores):
            return before
    with clock.step(f"prediction{what}", output):
        predict(settings, held_out.source, output)
    with clock.step(f"score{what}", output):
        score = score_run(settings, held_out.source, output, held_out.truth, sys.argv)
    write_receipt(output, key, of=settings.run_dir.name)
    return score


def _predictors(settings: "Settings", score: "InkScores", fit: "InkFit") -> "dict[str, Scored]":
    import numpy as np

    from ensemble.ink.score import BLOCKS
    from ensemble.review.comparison import Scored
    from scroll.runtime.bounded import plain_file
    from scroll.runtime.reading import reading

    path = _output(settings) / BLOCKS
    with (
        reading(path, "the blocks that score.json beside it speaks of", "delete both and run the same command again"),
        np.load(plain_file(path), allow_pickle=False) as blocks,
    ):
        return {row.name: Scored(blocks[row.name], row.f05, row.ap, fit.oof_f05[row.name]) for row in score.rows}


def on_one_member(settings: "Settings", name: str) -> "Settings":
    """The run's settings with one member alone, in a folder inside the run's whose stage one is the run's own."""
    stage1 = settings.stage1.model_copy(update={"members": {name: settings.stage1.members[name]}})
    run_dir = settings.run_dir / f"on_{name}"
    _link(run_dir / "stage1", settings.run_dir / "stage1")
    return settings.model_copy(update={"run_dir": run_dir, "stage1": stage1})


def _reuse_predictions(first: "Settings", second: "Settings") -> None:
    """What stage one predicted for the first run is there for the second; it is looked at whether it fits, as always."""
    made_anew = {"stage2", "ensemble", "pictures"}
    for path in sorted(_output(first).glob("*/*")):
        if path.is_dir() and path.name not in made_anew and path.parent.name != "patches":
            _link(_output(second) / path.relative_to(_output(first)), path)


def _output(settings: "Settings") -> Path:
    return settings.run_dir / "predict"


def _link(link: Path, there: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere
        link.symlink_to(os.path.relpath(there, link.parent), target_is_directory=True)


class StepTime(TypedDict):
    """How long a step took, and whether it came to its end."""

    wall_s: float
    cpu_s: float
    is_done: bool


STEP = {"wall_s": float, "cpu_s": float, "is_done": bool}


class Clock:
    """Wall and CPU seconds of each step of one seed, kept on disk: of the calls that wrote something, stopped ones included."""

    def __init__(self, path: Path) -> None:
        from scroll.runtime.files import read_mapping
        from scroll.runtime.json_fields import check_fields

        self.path = path
        self._steps: dict[str, StepTime] = read_mapping(path) if path.exists() else {}
        check_fields(path, self._steps, dict.fromkeys(self._steps, STEP))

    @property
    def steps(self) -> dict[str, dict[str, float]]:
        """Step -> {"wall_s", "cpu_s"}."""
        return {name: {"wall_s": step["wall_s"], "cpu_s": step["cpu_s"]} for name, step in self._steps.items()}

    @contextmanager
    def step(self, name: str, folder: Path) -> Iterator[None]:
        """Time a step that writes below `folder`; one that found all of it done already keeps the time it has."""
        from scroll.runtime.files import write_sealed

        print(f"== {name}", flush=True)
        nothing = StepTime(wall_s=0.0, cpu_s=0.0, is_done=False)
        before = self._steps.get(name, nothing)
        under_way = nothing if before["is_done"] else before
        began, wall, cpu, is_done = time.time_ns(), time.monotonic(), _cpu_s(), False
        try:
            yield
            is_done = True
        finally:
            if _is_written_since(folder, began):
                wall_s, cpu_s = under_way["wall_s"] + time.monotonic() - wall, under_way["cpu_s"] + _cpu_s() - cpu
                self._steps[name] = {"wall_s": wall_s, "cpu_s": cpu_s, "is_done": is_done}
                print(f"== {name}: {wall_s:.0f} s, {cpu_s:.0f} s of CPU", flush=True)
            if name in self._steps:  # else it was done before there was a clock, and nobody knows how long it took
                self._steps[name]["is_done"] = self._steps[name]["is_done"] or is_done
            write_sealed(self.path, self._steps)


def _is_written_since(folder: Path, when_ns: int) -> bool:
    return any(path.lstat().st_mtime_ns >= when_ns for path in folder.rglob("*") if path.is_file())


def _cpu_s() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(os.times()[:4])
