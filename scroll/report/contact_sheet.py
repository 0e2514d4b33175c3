"""A contact sheet of training patches: one row a patch, one column a way of changing it, the label drawn over the CT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.data.sample import Sample, Space
from scroll.report.pictures import BRIGHTEST_PERCENT, DARKEST_PERCENT
from scroll.runtime.files import written_aside
from scroll.runtime.output_folder import DRAWN_BY

CELL_INCHES, DPI = 1.55, 110
LEAST_INCHES = 5.5  # as wide as a heading
INK, UNKNOWN = (
    "#e69f00",
    "#56b4e9",
)  # Okabe and Ito's orange and sky blue, apart for every common kind of colour blindness
INK_ALPHA = 0.25
SECTION_SHARE = 4  # the section is drawn about a quarter as high as the patch, where it has fewer layers


@dataclass(frozen=True)
class View:
    """What is drawn of a patch, all (H, W): the patch from above, and below a gap its section along z and x.

    Attributes:
        grey: float32, NaN in the gap.
        target: float32 from 0 to 1.
        ignore: bool.
    """

    grey: NDArray[np.float32]
    target: NDArray[np.float32]
    ignore: NDArray[np.bool_]


def view(sample: Sample, space: Space) -> View:
    """From above: the middle layer; of a stack the mean of its channels. The section goes through the middle row.

    A label per layer is shown, from above, of the middle layer in scroll space, and of all layers of a sheet. One label for
    the whole depth of a sheet is shown from above only: at which depth it is true, it does not say.
    """
    layers, height, width = sample.image.shape
    target: NDArray[np.float32] = sample.target.astype(np.float32)
    ignore = sample.ignore
    above = sample.image.mean(axis=0) if space is Space.STACK else sample.image[layers // 2]
    if target.ndim == 2:
        above_label = target, ignore
        section_label = np.zeros((layers, width), np.float32), np.zeros((layers, width), bool)
    else:
        above_label = np.asarray(target.max(axis=0)), np.asarray(ignore.all(axis=0))
        if space is Space.SCROLL:
            above_label = target[layers // 2], ignore[layers // 2]
        section_label = target[:, height // 2], ignore[:, height // 2]
    thick = max(1, round(height / SECTION_SHARE / layers))
    gap = np.full((max(2, height // 24), width), np.nan, np.float32)

    def joined(top: NDArray[Any], section: NDArray[Any], between: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([top, between.astype(top.dtype), np.repeat(section, thick, axis=0)])

    none = np.zeros_like(gap)
    return View(
        joined(above, sample.image[:, height // 2], gap),
        joined(above_label[0], section_label[0], none),
        joined(above_label[1], section_label[1], none),
    )


def contact_sheet(path: Path, heading: str, titles: Sequence[str], rows: Mapping[str, Sequence[View]]) -> Path:
    """Write a PNG with a row of views for each name in `rows`, one under each of `titles`.

    The first view of a row sets its scale of grey, so that brightness and contrast compare along the row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    first = next(iter(rows.values()))[0].grey
    size = (CELL_INCHES * len(titles) + 0.5, CELL_INCHES * len(rows) * first.shape[0] / first.shape[1] + 1.2)
    figure = Figure(figsize=(max(size[0], LEAST_INCHES), size[1]), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes_of_row, (name, views) in zip(grid, rows.items(), strict=True):
        seen = views[0].grey[np.isfinite(views[0].grey)]
        scale = np.percentile(seen, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
        for axes, one in zip(axes_of_row, views, strict=True):
            _draw(axes, one, (float(scale[0]), float(scale[1])))
        axes_of_row[0].set_ylabel(name, fontsize=8)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8)
    figure.suptitle(heading, fontsize=9)
    labels = [
        Patch(facecolor=(INK, INK_ALPHA), edgecolor=INK, label="labelled"),
        Patch(facecolor="white", edgecolor=UNKNOWN, hatch="////", label="ignored"),
    ]
    figure.legend(handles=labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", metadata=DRAWN_BY)
    return path


def _draw(axes: Any, one: View, scale: tuple[float, float]) -> None:
    """One cell, in matplotlib's axes."""
    axes.imshow(one.grey, cmap="gray", vmin=scale[0], vmax=max(scale[1], scale[0] + 1e-6), interpolation="nearest")
    ink = np.zeros((*one.target.shape, 4), np.float32)
    ink[..., :3] = tuple(int(INK[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ink[..., 3] = INK_ALPHA * np.where(one.ignore, 0, one.target)
    axes.imshow(ink, interpolation="nearest")
    outlined = (one.target >= 0.5) & ~one.ignore
    if outlined.any() and not outlined.all():
        axes.contour(outlined, levels=[0.5], colors=INK, linewidths=0.8)
    if one.ignore.any():
        hatched = axes.contourf(one.ignore, levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set_edgecolor(UNKNOWN)
        hatched.set_linewidth(0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
