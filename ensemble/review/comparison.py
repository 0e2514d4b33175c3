"""One table out of several trainings: what each predictor scored, how sure that is, and what it gains over the best single member."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.predictors import ENSEMBLE, EQUAL, MEMBERS_MEAN
from scroll.metrics.bootstrap import LEAST_BLOCKS, Gain, resampled_seeds
from scroll.runtime.record import Record

BEST = "best member"  # of each training its own, chosen out of fold: the row that all others are held against


@dataclass(frozen=True)
class Scored:
    """A predictor on the held-out data: `blocks` (B, 3) tp, fp, fn at its out-of-fold threshold, and its figures."""

    blocks: NDArray[np.int64]
    f05: float
    ap: float | None
    oof_f05: float


@dataclass(frozen=True)
class Training:
    """One seed: which member was best out of fold, every predictor by name, and the steps: name -> {"wall_s", "cpu_s"}."""

    seed: int
    best_member: str
    predictors: dict[str, Scored]
    steps: dict[str, dict[str, float]]

    @property
    def with_best(self) -> dict[str, Scored]:
        """The best single member under the name `BEST`, and then every predictor."""
        return {BEST: self.predictors[self.best_member], **self.predictors}


class SeedsRow(Record):
    """A predictor: F0.5 by seed, mean, standard deviation (none of one seed), 95 % interval, AP, gain over `BEST`."""

    name: str
    f05: tuple[float, ...]
    mean: float
    sd: float | None
    low: float
    high: float
    ap: float | None
    oof_f05: float
    gain: Gain


def table_rows(trainings: Sequence[Training]) -> list[SeedsRow]:
    """A row for each predictor.

    Intervals are of the mean over seeds; seeds and blocks are drawn again (`scroll.metrics.bootstrap.resampled_seeds`).
    """
    names = list(trainings[0].with_best)
    every = [training.with_best for training in trainings]
    drawn = resampled_seeds(np.stack([np.stack([one[name].blocks for name in names]) for one in every]))
    rows = []
    for number, name in enumerate(names):
        f05 = [one[name].f05 for one in every]
        known_ap = [one[name].ap for one in every]
        ap = [value for value in known_ap if value is not None]
        low, high = drawn.interval(number)
        rows.append(
            SeedsRow(
                name=name,
                f05=f05,
                mean=float(np.mean(f05)),
                sd=float(np.std(f05, ddof=1)) if len(f05) > 1 else None,
                low=low,
                high=high,
                ap=float(np.mean(ap)) if len(ap) == len(known_ap) else None,
                oof_f05=float(np.mean([one[name].oof_f05 for one in every])),
                gain=drawn.gain(number, names.index(BEST)),
            )
        )
    return rows


def as_markdown(title: str, trainings: Sequence[Training], rows: Sequence[SeedsRow], notes: Sequence[str]) -> str:
    """The table of predictors, how it is to be read, and the time of every step."""
    seeds = [training.seed for training in trainings]
    heads = [
        "predictor", *(f"seed {seed}" for seed in seeds), "mean F0.5", "SD", "95 % interval", "AP", "out-of-fold F0.5",
        f"gain over the {BEST}", "verdict",
    ]  # fmt: skip
    cells = [_cells(row) for row in rows]
    chosen = ", ".join(f"seed {training.seed}: {training.best_member}" for training in trainings)
    blocks = len(next(iter(trainings[0].predictors.values())).blocks)
    remarks = [
        f"F0.5 on the held-out data; weights, thresholds and the {BEST} come from out-of-fold predictions ({chosen}).",
        f"{MEMBERS_MEAN}: stage one alone; {EQUAL}: of members and stage two; {ENSEMBLE}: the same with fitted weights.",
        f"Intervals: seeds and {blocks} blocks drawn again; inside noise: the interval of the difference holds 0.",
        *([f"Fewer than {LEAST_BLOCKS} blocks: the intervals are rough."] if blocks < LEAST_BLOCKS else []),
        *notes,
    ]
    steps = list(dict.fromkeys(name for training in trainings for name in training.steps))
    times = [[name, *(_time(training.steps.get(name)) for training in trainings)] for name in steps]
    parts = [f"# {title}", _grid(heads, cells), "\n".join(remarks)]
    parts += ["Wall and CPU seconds of each step:", _grid(["step", *(f"seed {seed}" for seed in seeds)], times)]
    return "\n\n".join(parts) + "\n"


def _cells(row: SeedsRow) -> list[str]:
    gain = row.gain
    compared = [f"{gain.difference:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})", gain.verdict]
    return [
        row.name, *(f"{value:.4f}" for value in row.f05), f"{row.mean:.4f}", _number(row.sd),
        f"{row.low:.4f} to {row.high:.4f}", _number(row.ap), f"{row.oof_f05:.4f}",
        *(["–", "–"] if row.name == BEST else compared),
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _time(step: dict[str, float] | None) -> str:
    return "–" if step is None else f"{step['wall_s']:.0f} / {step['cpu_s']:.0f}"


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
