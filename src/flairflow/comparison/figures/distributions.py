"""How a metric is distributed over the scans: a panel for all datasets together and one for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flairflow.comparison.figures.style import (
    BLUE,
    ORANGE,
    Drawing,
    beside_axis,
    counted,
    name_rows,
    of_label,
    plain,
    population,
    row_height,
    say,
    sheet,
    styled,
)
from flairflow.images.grid import Array
from flairflow.metrics.registry import Metric

ACROSS = 4
# Up to so many scans each is a dot; more are summed up by quantiles.
FEW = 12


@styled
def distributions(metrics: pd.DataFrame, label: str, metric: Metric, ensembles: Sequence[str]) -> Drawing:
    """Quantiles and mean of a metric by ensemble, over all scans of a label and by dataset.

    metrics : tables/metrics.tsv.
    """
    own = of_label(metrics, label).dropna(subset=[metric.name])
    datasets = list(dict.fromkeys(own["dataset"]))
    panels = [("all datasets", own)] if len(datasets) != 1 else []
    panels += [(str(dataset), own[own["dataset"] == dataset]) for dataset in datasets]
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    height = 0.3 + down * (0.38 + row_height(ensembles, 0.15) * len(ensembles))
    figure, axes = sheet(height, down, across, sharex=True)
    for number, (axis, (title, scans)) in enumerate(zip(axes, panels, strict=False)):
        groups = [scans.loc[scans["ensemble"] == name, metric.name].to_numpy(float) for name in ensembles]
        for place, values in enumerate(groups):
            if len(values):
                _draw(axis, place, values)
        name_rows(axis, ensembles, shown=number % across == 0)
        axis.set_title(f"{title}, n = {counted(len(values) for values in groups if len(values))}")
        axis.tick_params(axis="x", labelbottom=number + across >= len(panels))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if own.empty:
        say(axes[0])
    elif own[metric.name].between(0, 1).all():
        axes[0].set_xlim(-0.03, 1.03)
    figure.supxlabel(beside_axis(metric))
    return Drawing(
        figure,
        f"{label}: {plain(metric.name)} by dataset",
        f"{label}, {population(metric)}. {plain(metric.name)}: {metric.description}. Thin line: 5 to 95 % of the "
        f"scans, thick line: the middle half, black bar: median, orange diamond: mean. Up to {FEW} scans are dots "
        "instead of lines. n: scans; each ensemble on those it was scored on.",
        ("metrics",),
    )


def _draw(axis: Axes, place: int, values: Array) -> None:
    if len(values) <= FEW:
        axis.scatter(values, np.full(len(values), place), s=7, color=BLUE, alpha=0.6, linewidths=0)
    else:
        low, lower, upper, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
        axis.plot([low, high], [place] * 2, color=BLUE, linewidth=0.7)
        axis.plot([lower, upper], [place] * 2, color=BLUE, linewidth=3.5, alpha=0.55, solid_capstyle="butt")
    axis.plot([np.median(values)] * 2, [place - 0.32, place + 0.32], color="black", linewidth=1)
    axis.plot(values.mean(), place, "D", color=ORANGE, markersize=3, markeredgecolor="white", markeredgewidth=0.4)
