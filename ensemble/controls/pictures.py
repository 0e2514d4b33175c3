"""The panel's four pictures: what was found by its chance of being imagined, imagined against found, the curve, and the map."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.detectability import Detectability
from ensemble.controls.panel import STANDS_OUT, Panel
from scroll.audit.figures import SHUFFLED
from scroll.data.fragments import Fragment
from scroll.report.curves import COLOURS
from scroll.runtime.files import written_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RAMP = "viridis"  # rises evenly in lightness: read alike by every kind of colour vision, and in grey
LONG_EDGE_PX = 1200
SCALE_BARS_MM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
PALE = (0.72, 1.0)  # papyrus behind what is drawn on it, in grey


def found_picture(path: Path, fragment: Fragment, panel: Panel) -> None:
    """The found components on the papyrus, dark where they stand out, light where they may well be imagined."""
    from matplotlib.colors import LogNorm

    figure, axes = sheet_figure(fragment)
    draw_papyrus(axes, fragment)
    least = min(0.03, panel.least_chance)
    chance = np.concatenate([[np.nan], panel.chance])
    step = drawn_step(fragment)
    drawn_chance = np.ma.masked_invalid(chance[panel.real.pieces.labels[::step, ::step]])
    drawn = axes.imshow(
        drawn_chance, cmap=RAMP, norm=LogNorm(least, 1), interpolation="nearest", extent=extent_mm(fragment)
    )
    ticks = [tick for tick in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1) if tick >= least]
    bar = figure.colorbar(drawn, ax=axes, fraction=0.045, pad=0.02, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.ax.axhline(STANDS_OUT, color="white", linewidth=2)
    by = " or ".join(kind.name for kind in panel.blank)
    bar.set_label(f"chance of being imagined, by {by}\n(white line: {STANDS_OUT:g}; below it a component stands out)")
    axes.set_title(f"{fragment.id}: what was found, {len(panel.real.pieces)} components")
    save(figure, path)


def null_picture(path: Path, fragment: Fragment, panel: Panel) -> None:
    """How many components a square centimetre holds that are at least so strong: really found, and in each kind of copy."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = plain_figure()
    _survival(axes, panel.together, panel.papyrus_cm2, "found", ("black", 2.4, "-"))
    for number, kind in enumerate(panel.kinds):
        is_blank = kind.name != SHUFFLED
        name = f"{kind.name}, {kind.area_cm2:.2g} cm²" + ("" if is_blank else " (ink would keep its shape)")
        _survival(axes, kind.together, kind.area_cm2, name, (COLOURS[number], 1.8, "-" if is_blank else "--"))
    if any((strengths > 0).any() for strengths in (panel.together, *(kind.together for kind in panel.kinds))):
        axes.set_xscale("log")
        axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
    axes.set_xlabel("strength of a component with its surroundings (log-odds above the threshold x mm²)")
    axes.set_ylabel("components at least so strong, per cm²")
    axes.set_title(f"{fragment.id}: found against imagined")
    axes.legend(frameon=False, fontsize=9)
    save(figure, path)


def _survival(
    axes: "Axes", strengths: NDArray[np.float64], area_cm2: float, label: str, line: tuple[str, float, str]
) -> None:
    """Draw one curve; `line`: colour, width and style."""
    colour, width, style = line
    strengths = strengths[strengths > 0]
    if not len(strengths):
        axes.plot([], [], color=colour, linewidth=width, linestyle=style, label=f"{label}: none")
        return
    weakest_first = np.sort(strengths)
    rates = np.arange(len(strengths), 0, -1) / area_cm2
    axes.step(weakest_first, rates, where="pre", color=colour, linewidth=width, linestyle=style, label=label)
    axes.plot(weakest_first[-1:], [1 / area_cm2], "o", color=colour, markersize=5)


def curve_picture(path: Path, fragment: Fragment, found: Detectability) -> None:
    """Share of the planted letters that was found, over contrast, with Wilson intervals and the contrast of which half is found."""
    figure, axes = plain_figure()
    rows, half = found.rows(), found.half
    contrast, share = found.contrasts, np.array([row["share"] for row in rows])
    ends = np.array([[row["share"] - row["low"] for row in rows], [row["high"] - row["share"] for row in rows]])
    axes.errorbar(
        contrast, share, np.maximum(ends, 0), fmt="o-", color=COLOURS[0], capsize=4, label="found, 95 % interval"
    )
    axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    if half.contrast is not None and not half.is_below:
        axes.axvline(
            half.contrast, color=COLOURS[1], linewidth=1.5, linestyle="--", label=f"half is found: {half.contrast:.2g}"
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(
        contrast,
        [
            f"{c:g}\n({g:,.3g})" if g < 1000 else f"{c:g}\n({g:,.0f})"
            for c, g in zip(contrast, found.grey_levels, strict=True)
        ],
    )
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("contrast of the planted ink, in spreads of the papyrus' grey values (in grey levels)")
    axes.set_ylabel("share of planted letters found")
    axes.set_title(f"{fragment.id}: {len(found.is_found)} letters of {found.letter_um / 1000:.2g} mm at each contrast")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    save(figure, path)


def map_picture(path: Path, fragment: Fragment, found: Detectability) -> None:
    """Where ink of which contrast would have been found: a square a place, and what was never found crossed out."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch, Rectangle

    figure, axes = sheet_figure(fragment)
    draw_papyrus(axes, fragment)
    count = len(found.contrasts)
    colours = [colormaps[RAMP](number / max(1, count - 1)) for number in range(count)]
    to_mm = fragment.pixel_um * fragment.data.bin_yx / 1000
    edge = found.cells.letter_px * to_mm
    for (y, x), least in zip(found.cells.corner_px, found.least, strict=True):
        corner = (x * to_mm, y * to_mm)
        if np.isfinite(least):
            colour = colours[int(np.searchsorted(found.contrasts, least))]
            axes.add_patch(Rectangle(corner, edge, edge, facecolor=colour, edgecolor="white", linewidth=1))
        else:
            axes.add_patch(Rectangle(corner, edge, edge, facecolor="white", edgecolor="black", linewidth=1, hatch="xx"))
    legend = [Patch(facecolor=c, label=f"{v:g}") for c, v in zip(colours, found.contrasts, strict=True)]
    legend.append(Patch(facecolor="white", edgecolor="black", hatch="xx", label="missed at all of them"))
    legend.append(Patch(facecolor="0.85", label="not tested: ink found here,\nor not enough papyrus"))
    axes.legend(
        handles=legend, title="least contrast found\n(spreads of grey values)", loc="upper left", bbox_to_anchor=(1.01, 1),
        frameon=False, fontsize=9,
    )  # fmt: skip
    axes.set_title(f"{fragment.id}: how faint ink may be and still be found")
    save(figure, path)


def sheet_figure(fragment: Fragment) -> "tuple[Figure, Axes]":
    """One picture in millimetres, as high as the fragment asks for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = fragment.shape_yx
    figure = Figure(figsize=(9.0, min(14.0, max(3.5, 7.0 * height / width))), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def plain_figure() -> "tuple[Figure, Axes]":
    """One chart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_papyrus(axes: "Axes", fragment: Fragment) -> None:
    """The CT of the sheet's centre, pale, white where there is no papyrus, with a scale bar instead of axes."""
    step = drawn_step(fragment)
    ct = np.asarray(fragment.picture()[::step, ::step], np.float32)
    inside = fragment.full_mask[::step, ::step]
    low, high = np.percentile(ct[inside] if inside.any() else ct, (1, 99))
    grey = PALE[0] + (PALE[1] - PALE[0]) * np.clip((ct - low) / max(1e-6, float(high - low)), 0, 1)
    axes.imshow(
        np.where(inside, grey, 1.0), cmap="gray", vmin=0, vmax=1, extent=extent_mm(fragment), interpolation="nearest"
    )
    _, right, bottom, _ = extent_mm(fragment)
    bar_mm = max((mm for mm in SCALE_BARS_MM if mm <= right / 4), default=SCALE_BARS_MM[0])
    axes.set_xlim(0, right)
    axes.set_ylim(bottom * 1.07, 0)  # room for the bar below
    axes.plot(
        [0.02 * right, 0.02 * right + bar_mm], [bottom * 1.035] * 2, color="black", linewidth=3, solid_capstyle="butt"
    )
    axes.text(0.03 * right + bar_mm, bottom * 1.035, f"{bar_mm:g} mm", va="center")
    axes.set_axis_off()


def drawn_step(fragment: Fragment) -> int:
    """Every how many-th pixel is drawn."""
    return max(1, max(fragment.shape_yx) // LONG_EDGE_PX)


def extent_mm(fragment: Fragment) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the fragment in millimetres, as `imshow` wants them."""
    height, width = (length * fragment.pixel_um / 1000 for length in fragment.shape_yx)
    return 0.0, width, height, 0.0


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with written_aside(path) as aside:
        aside.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(aside, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
