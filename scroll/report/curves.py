"""Learning curves out of history.jsonl, drawn as SVG that is readable on a light and on a dark page."""

import json
from dataclasses import dataclass
from pathlib import Path

from scroll.errors import InputError
from scroll.report.charts import COLOURS, chart
from scroll.runtime.bounded import read_lines
from scroll.runtime.reading import reading

MAX_POINTS = 400
Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class History:
    """What one training wrote: its fold, and (step, value) of the training and of the validation loss."""

    fold: str
    loss: Curve
    validation_loss: Curve


def read_histories(run_dir: Path) -> dict[str, list[History]]:
    """All histories of a run folder by what was trained ("stage1/unet3d", "stage2", "joint"), folds in order of their names."""
    histories: dict[str, list[History]] = {}
    for path in [*sorted(run_dir.glob("stage*/**/history.jsonl")), *sorted(run_dir.glob("joint/*/history.jsonl"))]:
        trained = path.parent.parent.relative_to(run_dir).as_posix()
        histories.setdefault(trained, []).append(_read(path))
    return histories


def _read(path: Path) -> History:
    with reading(
        path, "a history of losses, a line a step", "delete the lines that are none and write the report again"
    ):
        return _parsed(path)


def _parsed(path: Path) -> History:
    curves: dict[str, Curve] = {"loss": [], "validation_loss": []}
    torn = 0  # the number of a line that is none; the last is, where a training was stopped in the middle of it
    for number, line in enumerate(read_lines(path), start=1):
        if torn:
            raise InputError(f"{path}: line {torn} is not JSON; delete the line and write the report again")
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            torn = number
            continue
        for key, curve in curves.items():
            if isinstance(entry.get(key), int | float):
                curve.append((float(entry["step"]), float(entry[key])))
    return History(path.parent.name, **curves)


def curve_svg(title: str, histories: list[History]) -> str:
    """Loss over step of the folds of one model as SVG for a page: training thin, validation bold with dots."""
    alt = f"Learning curves of {title}: training and validation loss over step, {len(histories)} fold(s)"
    with chart(alt, "step", "loss") as (axes, drawn):
        for i, history in enumerate(histories):
            colour = COLOURS[i % len(COLOURS)]
            for curve, kind, style in (
                (history.loss, "training", {"linewidth": 0.9, "alpha": 0.75}),
                (history.validation_loss, "validation", {"linewidth": 2.0, "marker": "o", "markersize": 3.5}),
            ):
                if curve:
                    steps, values = zip(*_thinned(curve), strict=True)
                    axes.plot(steps, values, color=colour, label=f"{history.fold}, {kind}", **style)
    return drawn[0]


def _thinned(curve: Curve) -> Curve:
    """At most MAX_POINTS points: the means of as many neighbours as that takes."""
    step = -(-len(curve) // MAX_POINTS)
    groups = [curve[i : i + step] for i in range(0, len(curve), step)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
