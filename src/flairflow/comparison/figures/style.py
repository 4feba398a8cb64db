"""What all figures share: print size, fonts, colours that differ in grey too, how names stand on an axis, files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from flairflow.files import atomic
from flairflow.metrics.registry import Metric

# Inches: the text of a journal page is 180 mm wide. Figures are drawn at the size they are printed at.
PAGE = 7.09
# Of Okabe and Ito's colours, which colour-blind readers tell apart, those that are dark enough for lines on white.
BLUE, ORANGE, SKY = "#0072b2", "#d55e00", "#9ecbe3"
GREY, PALE = "0.45", "0.88"
# With a line style and a marker each, so that lines can be told apart without colour.
SIGNS = (
    (BLUE, "solid", "o"),
    (ORANGE, "dashed", "s"),
    ("#009e73", "dashdot", "^"),
    ("#cc79a7", "dotted", "D"),
    ("#000000", (0, (6, 1, 1, 1, 1, 1)), "v"),
)
# In place of a comparison of ensembles that have scans, but none in common.
NOT_SHARED = "no scan that all ensembles have"
# The label of an axis that shows nothing.
_NOTHING = "nothing"
# Letters in a line beside an axis.
NAME_WIDTH = 21

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "figure.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    # A second run writes the same file, with letters as shapes: it looks the same where fonts are missing.
    "svg.hashsalt": "flairflow",
    "svg.fonttype": "path",
}
# A decorator: what is drawn within looks as above, whatever matplotlib was told before.
styled = matplotlib.rc_context(_SETTINGS)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Drawing:
    """A figure with what has to be said of it.

    tables : names of the tables it shows, the main one first.
    """

    figure: Figure
    title: str
    caption: str
    tables: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether all there is are words in place of what there is not (`say`)."""
        return not any(axis.has_data() and axis.get_label() != _NOTHING for axis in self.figure.axes)


@styled
def save(drawing: Drawing, *paths: Path) -> None:
    """Write a figure in the format of each path's suffix, .svg or .png, the same at every run. Title and caption are
    in the files too, as their metadata."""
    if engine := drawing.figure.get_layout_engine():
        # Once for all formats: laying out takes longer than drawing.
        engine.execute(drawing.figure)
        drawing.figure.set_layout_engine(None)
    for path in paths:
        metadata: dict[str, str | None] = {"Title": drawing.title, "Description": drawing.caption}
        if path.suffix == ".svg":
            metadata["Date"] = None
        with atomic(path) as partial:
            drawing.figure.savefig(partial, format=path.suffix[1:], dpi=220, metadata=metadata)


def sheet(height: float, rows: int = 1, columns: int = 1, **shared: object) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a page, some inches high, with its axes, row by row."""
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)  # type: ignore[call-overload]
    return figure, list(axes.flat)


def plain(name: str) -> str:
    """The name of an ensemble or a metric as it is written for people."""
    return name.replace("_", " ")


def short(name: str, most: int = 2 * NAME_WIDTH) -> str:
    """The same in at most so many letters, long ones without their middle."""
    words = plain(name)
    return words if len(words) <= most else f"{words[: most // 2]}…{words[-(most - 1) // 2 :]}"


def in_lines(name: str) -> str:
    """The same in up to three lines that fit beside an axis."""
    return "\n".join(textwrap.wrap(short(name), NAME_WIDTH)) or name


def row_height(names: Iterable[str], least: float = 0.17) -> float:
    """Inches per row for names beside an axis."""
    return max([least, *(0.13 * len(in_lines(name).splitlines()) + 0.03 for name in names)])


def name_rows(axis: Axes, names: Sequence[str], shown: bool = True) -> None:
    """A row per name, the first on top."""
    axis.set_yticks(range(len(names)), [in_lines(name) for name in names] if shown else None)
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0, labelleft=shown)
    axis.grid(axis="x")


def plain_logarithm(axis: Axis) -> None:
    """Numbers such as 0.01 instead of powers of ten along a logarithmic axis, and enough of them on a short one."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def beside_axis(metric: Metric) -> str:
    """The words beside the axis of a metric."""
    units = f" ({metric.units})" if metric.units and not metric.name.endswith(metric.units) else ""
    return f"{plain(metric.name)}{units}{_DIRECTION[metric.better]}"


def population(metric: Metric) -> str:
    """On which scans a metric is defined, in words."""
    return {"lesion": "scans with a lesion", "free": "scans without a lesion", "all": "all scans"}[metric.where]


def counted(numbers: Iterable[float]) -> str:
    """Numbers that may differ between ensembles: "575" or "575 to 594"."""
    values = sorted({int(number) for number in numbers})
    return " to ".join(f"{value:,}" for value in dict.fromkeys(values[:1] + values[-1:])) or "0"


def left_out(names: Iterable[str]) -> str:
    """A sentence for captions: who is not drawn for having other scans (`scores.comparable`)."""
    listed = ", ".join(map(plain, names))
    return f" Left out, with fewer than half of the first ensemble's scans: {listed}." if listed else ""


def of_label(table: pd.DataFrame, label: str, **where: str) -> pd.DataFrame:
    """The rows of a label for which these columns have these values."""
    chosen = table["label"] == label
    for column, value in where.items():
        chosen &= table[column] == value
    return table[chosen]


def say(axis: Axes, words: str = "no such scan") -> None:
    """Words in place of what there is not."""
    axis.set_label(_NOTHING)
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=GREY)


def apart(places: Sequence[float], gap: float, low: float = -np.inf, high: float = np.inf) -> list[float]:
    """Near the places wanted, places for texts that need `gap` between them: in the same order, from low to high (as
    far as there is room)."""
    order = np.argsort(places, kind="stable")
    # Isotonic regression: neighbours that would collide share the mean of what they want.
    blocks: list[tuple[float, int]] = []
    for value in np.asarray(places, float)[order] - gap * np.arange(len(places)):
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (last, count), (before, other) = blocks.pop(), blocks.pop()
            blocks.append(((last * count + before * other) / (count + other), count + other))
    found = np.empty(len(places))
    found[order] = np.repeat([mean for mean, _ in blocks], [n for _, n in blocks]) + gap * np.arange(len(places))
    if len(found):
        found -= max(found.max() - high, 0)
        found += max(low - found.min(), 0)
    return [float(place) for place in found]


_DIRECTION = {"higher": ", higher is better", "lower": ", lower is better", "zero": ", 0 is best", None: ""}
