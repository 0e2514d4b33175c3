"""Pictures of members beside each other: where they agree, how surely they say ink by depth, and their maps window by window."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.audit.windows import Windows
from ensemble.controls.asked import AGAIN, Asked
from ensemble.controls.pictures import draw_papyrus, extent_mm, plain_figure, save, sheet_figure
from ensemble.ink.predictors import flat_map
from scroll.audit.figures import MemberFigures
from scroll.data.fragments import Fragment
from scroll.report.charts import COLOURS

MOST_EDGE_PX = 300  # of a map in the sheet of windows


def votes_picture(path: Path, fragment: Fragment, votes: NDArray[np.int16], members: int) -> None:
    """How many members call each place ink; `votes` (Y, X) at working resolution, -1 off the papyrus."""
    from matplotlib.colors import BoundaryNorm

    figure, axes = sheet_figure(fragment)
    draw_papyrus(axes, fragment)
    norm = BoundaryNorm(np.arange(0.5, members + 1.5), max(2, members) if members < 256 else 256)
    drawn_votes = np.ma.masked_less(votes, 1)
    from matplotlib import colormaps

    colours = colormaps["viridis_r"].resampled(max(2, members))
    drawn = axes.imshow(drawn_votes, cmap=colours, norm=norm, interpolation="nearest", extent=extent_mm(fragment))
    bar = figure.colorbar(drawn, ax=axes, fraction=0.045, pad=0.02, ticks=range(1, members + 1))
    bar.set_label("members that call it ink")
    axes.set_title(f"{fragment.id}: where members agree")
    save(figure, path)


def depths_picture(path: Path, name: str, members: Sequence[MemberFigures]) -> None:
    """How sure each member is of ink over the offset of its window; a cross at offset 0 for all layers in opposite order."""
    figure, axes = plain_figure()
    for number, one in enumerate(members):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            [depth.offset for depth in one.depths],
            [depth.sureness for depth in one.depths],
            "o-",
            color=colour,
            label=one.name,
        )
        if one.direction:
            axes.plot(
                [0], [one.direction.reversed], "x", color=colour, markersize=9, label=f"{one.name}, opposite order"
            )
    axes.set_xlabel("window moved by, layers")
    axes.set_ylabel("sureness of ink, log-odds a pixel")
    axes.set_title(f"{name}: how sure each member is, by depth")
    axes.legend(frameon=False, fontsize=9)
    save(figure, path)


def windows_picture(path: Path, asked: Asked, fragment: Fragment, folder: Path, windows: Mapping[str, Windows]) -> None:
    """Each member's map, a row a member: in opposite order, then by offset; grey is its probability."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    offsets = sorted({0, *(offset for one in windows.values() for offset in one.depths)})
    columns = ["opposite order", *(f"{offset:+d} layers" if offset else "as it is" for offset in offsets)]
    height, width = fragment.mask.shape
    size = (1.8 * len(columns), max(1.2, 1.8 * height / width) * len(windows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(windows), len(columns), squeeze=False)
    step = max(1, max(height, width) // MOST_EDGE_PX)
    for (name, one), row in zip(windows.items(), grid, strict=True):
        places = [one.opposite, *(folder / name if offset == 0 else one.depths.get(offset) for offset in offsets)]
        for place, axes, title in zip(places, row, columns, strict=True):
            axes.set_axis_off()
            axes.set_title(f"{name}, {title}" if axes is row[0] else title, fontsize=8)
            if place is not None:
                prob = np.where(fragment.mask, flat_map(place, name, AGAIN), 0)[::step, ::step]
                axes.imshow(prob, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    save(figure, path)
