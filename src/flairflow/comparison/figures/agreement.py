"""Agreement of volumes: difference against mean of every scan (Bland & Altman 1986), with bias and limits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flairflow.comparison.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    Drawing,
    counted,
    of_label,
    plain_logarithm,
    say,
    sheet,
    short,
    styled,
)
from flairflow.images.grid import Array

ACROSS = 3
# Reference volumes of which the 95th percentile is over so many times the 5th are drawn on a logarithmic scale.
DECADE = 10


@styled
def agreement(metrics: pd.DataFrame, table: pd.DataFrame, label: str, ensembles: Sequence[str]) -> Drawing:
    """A panel per ensemble: predicted minus reference volume against their mean; on a logarithmic scale their ratio
    against the geometric mean.

    metrics, table : tables/metrics.tsv, of which the dots are, and tables/agreement.tsv, of which the lines are.
    """
    own = of_label(metrics, label).dropna(subset=["reference_ml", "predicted_ml"])
    log = spans_decades(own["reference_ml"].to_numpy(float))
    rows = (
        of_label(table, label, view="pooled", scale="log" if log else "ml")
        .dropna(subset=["bias"])
        .set_index("ensemble")
    )
    shown = [name for name in ensembles if name in rows.index]
    across = min(ACROSS, max(len(shown), 1))
    down = max(-(-len(shown) // across), 1)
    figure, axes = sheet(0.35 + 1.5 * down, down, across, sharex=True, sharey=True)
    for number, (axis, name) in enumerate(zip(axes, shown, strict=False)):
        scans = own[own["ensemble"] == name]
        reference, predicted = scans["reference_ml"].to_numpy(float), scans["predicted_ml"].to_numpy(float)
        _draw(axis, reference, predicted, rows.to_dict("index")[name], log)
        axis.set_title(short(name, 34))
        axis.tick_params(axis="x", labelbottom=number + across >= len(shown))
    for axis in axes[max(len(shown), 1) :]:
        axis.set_axis_off()
    if not shown:
        say(axes[0])
    if log and shown:
        axes[0].set_xscale("log")
        axes[0].set_yscale("log")
        plain_logarithm(axes[0].xaxis)
        plain_logarithm(axes[0].yaxis)
    kind = "predicted / reference volume" if log else "predicted - reference volume (ml)"
    figure.supylabel(kind)
    figure.supxlabel(f"{'geometric mean' if log else 'mean'} of predicted and reference volume (ml)")
    return Drawing(
        figure,
        f"{label}: agreement of volumes",
        f"{label}: {kind} of every scan against {'the geometric' if log else 'the'} mean of "
        f"both{', where both are above 0' if log else ''}; n = {counted(rows.loc[shown, 'scans'])} scans in a panel. "
        "Black: no difference; orange band: 95 % interval of the bias, which is written below; dashed: 95 % limits "
        "of agreement. ICC: ICC(A,1), absolute agreement of single "
        f"measurements{', of the logarithms' if log else ''}.",
        ("agreement", "metrics"),
    )


def spans_decades(volumes: Array) -> bool:
    """Whether volumes (of those above 0) differ so much that their differences are to be read as ratios."""
    positive = volumes[volumes > 0]
    if not len(positive):
        return False
    low, high = np.quantile(positive, [0.05, 0.95])
    return bool(high > DECADE * low)


def _draw(axis: Axes, reference: Array, predicted: Array, row: Mapping[Hashable, Any], log: bool) -> None:
    bias, low, high, *limits = (
        float(row[name]) for name in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")
    )
    if log:
        both = (reference > 0) & (predicted > 0)
        mean, values = np.sqrt(reference[both] * predicted[both]), predicted[both] / reference[both]
        bias, low, high, *limits = np.exp([bias, low, high, *limits])
    else:
        mean, values = (reference + predicted) / 2, predicted - reference
    axis.scatter(mean, values, s=4, color=BLUE, alpha=0.35, linewidths=0)
    axis.axhline(1 if log else 0, color="black", linewidth=0.6)
    if np.isfinite([low, high]).all():
        axis.axhspan(low, high, color=ORANGE, alpha=0.45, linewidth=0)
    for limit in limits:
        if np.isfinite(limit):
            axis.axhline(limit, color=GREY, linewidth=0.9, linestyle="dashed")
    icc = f", ICC {row['icc']:.2f}" if np.isfinite(row["icc"]) else ""
    words = f"bias {'x ' if log else ''}{bias:.2f}{'' if log else ' ml'}{icc}"
    axis.text(0.98, 0.02, words, transform=axis.transAxes, ha="right", va="bottom")
