"""One wide picture of a finished run, readable without zooming: a row of panels for each thing that was predicted."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.report.pictures import BRIGHTEST_PERCENT, DARKEST_PERCENT, LEGEND
from scroll.runtime.file_record import Contents, described
from scroll.runtime.files import written_aside
from scroll.runtime.output_folder import DRAWN_BY

PANEL_INCHES, DPI = 4.4, 110
TITLE, TEXT, SMALL = 17, 13, 10  # points
POINTS_PER_INCH, WIDTH_OF_LETTER = 72, 0.55  # of a letter's height, in the mean
BAR_SHARE = 0.3  # of a panel's width, at most
MOST_PX = 900  # of a panel; a fragment has ten thousand
TALLEST = 1.6  # times its width
SCALE, PROBABILITY = (0.0, 1.0), (0.0, 255.0)  # of masks and probabilities, and of probabilities as bytes


@dataclass(frozen=True)
class Panel:
    """One picture: (Y, X) of any number type, drawn in grey from `scale[0]` to `scale[1]` (None: stretched), or (Y, X, 3) uint8."""

    title: str
    image: NDArray[Any]
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """What was predicted, as panels of the same size; `pixel_um` is the edge of their pixels."""

    name: str
    panels: Sequence[Panel]
    pixel_um: float


@dataclass(frozen=True)
class Montage:
    """All of it: the rows have panels of the same titles; `legend` are colours by what they mean; `record`: what it was made from."""

    heading: str
    rows: Sequence[Row]
    note: str = ""
    legend: dict[str, tuple[int, int, int]] = field(default_factory=lambda: dict(LEGEND))
    record: Contents = field(default_factory=dict)


def with_interval(what: str, score: float, low: float | None, high: float | None) -> str:
    """A score in words, with its 95 % interval where there is one."""
    known = "" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})"
    return f"{what} {score:.3f}{known}"


def save_montage(path: Path, montage: Montage) -> Path:
    """Write the picture as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    columns = max(len(row.panels) for row in montage.rows)
    heights = [min(TALLEST, row.panels[0].image.shape[0] / row.panels[0].image.shape[1]) for row in montage.rows]
    size = (PANEL_INCHES * columns, PANEL_INCHES * sum(heights) + 0.12 * len(heights) + 1.35)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.01, hspace=0.01)
    figure = Figure(figsize=size, dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(montage.rows), columns, squeeze=False, height_ratios=heights)
    for number, (axes_of_row, row) in enumerate(zip(grid, montage.rows, strict=True)):
        for axes, panel in zip(axes_of_row, row.panels, strict=True):
            _draw(axes, panel)
            if not number:
                axes.set_title(panel.title, fontsize=TEXT)
        axes_of_row[0].set_ylabel(row.name, fontsize=TEXT)
        _scale_bar(axes_of_row[0], row)
    figure.suptitle(montage.heading, fontsize=TITLE, fontweight="bold")
    handles = [Patch(facecolor=_hex(colour), edgecolor="grey", label=name) for name, colour in montage.legend.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=TEXT, frameon=False,
        title=wrapped(montage.note, size[0]) or None, title_fontsize=SMALL,
    )  # fmt: skip
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", metadata=DRAWN_BY | described(montage.record))
    return path


def wrapped(note: str, width_inches: float) -> str:
    """The note in lines that are no wider than the picture.

    >>> wrapped("a note of several words", 1.0)
    'a note of\\nseveral\\nwords'
    """
    return textwrap.fill(note, int(0.95 * width_inches * POINTS_PER_INCH / (SMALL * WIDTH_OF_LETTER)))


def _draw(axes: Any, panel: Panel) -> None:
    image = shrunk(panel.image, MOST_PX)
    kind = "nearest" if image.shape[0] < MOST_PX / 2 else "antialiased"
    extent = (
        0,
        panel.image.shape[1],
        panel.image.shape[0],
        0,
    )  # in pixels of the panel, so that the scale bar is right
    if image.ndim == 3:
        axes.imshow(image, interpolation=kind, extent=extent)
    else:
        low, high = panel.scale or tuple(np.percentile(image, (DARKEST_PERCENT, BRIGHTEST_PERCENT)))
        axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation=kind, extent=extent)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def shrunk(image: NDArray[Any], most_px: int) -> NDArray[Any]:
    """At most so many pixels along either axis, by block means; (Y, X) or (Y, X, 3). What is smaller stays as it is."""
    from scroll.volumes.binning import block_mean

    factor = -(-max(image.shape[:2]) // most_px)
    return image if factor == 1 else block_mean(image, (factor, factor, *(1,) * (image.ndim - 2)))


def _scale_bar(axes: Any, row: Row) -> None:
    """A bar of a round length in the lower left corner, white on a dark ground."""
    height, width = row.panels[0].image.shape[:2]
    length_um = round_length_um(BAR_SHARE * width * row.pixel_um)
    length, left, bottom = length_um / row.pixel_um, 0.045 * width, height - 0.045 * width
    ground = {"facecolor": "black", "alpha": 0.65, "pad": 4.0, "edgecolor": "none"}
    text = axes.text(
        left + length / 2, bottom - 0.025 * width, in_words(length_um), color="white", fontsize=TEXT, ha="center", va="bottom",
        bbox=ground,
    )  # fmt: skip
    text.set_zorder(4)
    axes.plot([left, left + length], [bottom, bottom], color="black", linewidth=7, solid_capstyle="butt", zorder=5)
    axes.plot([left, left + length], [bottom, bottom], color="white", linewidth=4, solid_capstyle="butt", zorder=6)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def round_length_um(most_um: float) -> float:
    """The longest of 1, 2, 5, 10, 20, ... micrometres that is no longer than this.

    >>> round_length_um(730.0), round_length_um(2000.0)
    (500.0, 2000.0)
    """
    ten = 10.0 ** math.floor(math.log10(most_um))
    return next(step * ten for step in (5.0, 2.0, 1.0) if step * ten <= most_um * (1 + 1e-9))


def in_words(length_um: float) -> str:
    """A length with its unit.

    >>> in_words(500.0), in_words(2000.0), in_words(20_000.0)
    ('500 µm', '2 mm', '2 cm')
    """
    for unit, size_um in (("cm", 1e4), ("mm", 1e3)):
        if length_um >= size_um:
            return f"{length_um / size_um:g} {unit}"
    return f"{length_um:g} µm"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
