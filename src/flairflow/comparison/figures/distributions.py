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
        _draw(axis, groups)
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


def _draw(axis: Axes, groups: Sequence[Array]) -> None:
    """A row per group; all of one kind in one piece, as every piece costs the time of a file."""
    known = np.array([place for place, values in enumerate(groups) if len(values)], int)
    many = [place for place in known if len(groups[place]) > FEW]
    few = {place: groups[place] for place in known if place not in many}
    if few:
        places = np.repeat(list(few), [len(values) for values in few.values()])
        axis.scatter(np.concatenate(list(few.values())), places, s=7, color=BLUE, alpha=0.6, linewidths=0)
    if many:
        low, lower, upper, high = np.transpose([np.quantile(groups[place], [0.05, 0.25, 0.75, 0.95]) for place in many])
        axis.hlines(many, low, high, color=BLUE, linewidth=0.7)
        axis.hlines(many, lower, upper, color=BLUE, linewidth=3.5, alpha=0.55)
    if len(known):
        median, mean = np.transpose([(np.median(groups[place]), groups[place].mean()) for place in known])
        axis.vlines(median, known - 0.32, known + 0.32, color="black", linewidth=1)
        axis.plot(mean, known, "D", color=ORANGE, markersize=3, markeredgecolor="white", markeredgewidth=0.4)
