"""Charts as SVG to stand in a page: their lines are told apart by colour and by style, their text is in the page's own colour."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from scroll.metrics.calibration import Reliability

INK = "#808890"  # stands for the page's own colour
# Okabe and Ito without black and yellow, which one of the two pages would swallow
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", ":", "-.")
SIZE_INCHES = (4.0, 3.0)
FONT_PT = 9


@contextmanager
def chart(alt: str, x_label: str, y_label: str) -> Iterator[tuple[Any, list[str]]]:
    """Matplotlib's axes to draw on, and a list that holds the SVG as text once the block is left; `alt` says what is seen."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": alt, "font.size": FONT_PT}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        drawn: list[str] = []
        yield axes, drawn
        axes.set_xlabel(x_label, color=INK)
        axes.set_ylabel(y_label, color=INK)
        dress(axes)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=2, labelcolor=INK, frameon=False)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        drawn.append(inline(written.getvalue(), alt))


def dress(axes: Any) -> None:
    """Ticks, grid and frame in the page's colour."""
    axes.tick_params(colors=INK, which="both")
    axes.grid(color=INK, alpha=0.25, linewidth=0.5)
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_color(INK)


def inline(svg: str, alt: str) -> str:
    """Matplotlib's SVG without what only a file of its own needs, as wide as its place, with a name for those who do not see it."""
    from html import escape

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body))
    body = body.replace("xlink:href", "href").replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS):
        body = body.replace(
            colour, f"var(--series-{number}, {colour})"
        )  # the page may choose a brighter one in the dark
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", body)
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)


def sweep_svg(
    name: str, sweep: Mapping[str, Sequence[float]], labels: Mapping[str, str], chosen: float, bold: str
) -> str:
    """Figures over the threshold, 0 to 1; `labels` names the curves, `bold` is the one that the threshold `chosen` was fitted for."""
    alt = f"{name}: {', '.join(labels.values())} over the threshold; {chosen:.3f} was chosen"
    with chart(alt, "threshold", "score") as (axes, drawn):
        for number, (key, label) in enumerate(labels.items()):
            width = 2.4 if key == bold else 1.3
            axes.plot(
                sweep["threshold"], sweep[key], STYLES[number % 4], color=COLOURS[number], label=label, linewidth=width
            )
        axes.axvline(chosen, color=INK, linewidth=1.2, label=f"chosen: {chosen:.3f}")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
    return drawn[0]


def reliability_svg(name: str, curve: Reliability, thing: str, counted: str) -> str:
    """Share that is really `thing` over what was predicted, and as bars how many (`counted` says what of) said so."""
    error = "" if curve.error is None else f"; mean distance from honest {curve.error:.3f}"
    alt = f"Reliability of {name}: share of {thing} over predicted probability{error}"
    with chart(alt, "predicted probability", f"share that is {thing}") as (axes, drawn):
        axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1, label="honest")
        axes.plot(
            curve.predicted,
            curve.observed,
            "o-",
            color=COLOURS[0],
            linewidth=2,
            markersize=4,
            label=f"{thing} there",
        )
        total = sum(curve.count)
        shares = [count / max(1, total) for count in curve.count]
        label = f"share of all {short(total)} {counted}"
        axes.bar(curve.predicted, shares, width=0.07, color=COLOURS[4], alpha=0.5, zorder=1, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
    return drawn[0]


def short(number: int) -> str:
    """A large number as one says it.

    >>> short(1_234_567), short(54_321), short(321)
    ('1.2 million', '54 thousand', '321')
    """
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.{1 if number < 10 * size else 0}f} {name}"
    return str(number)
