"""What is predicted where there is nothing: false lesions in scans known to have none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from flairflow.comparison.figures.style import (
    BLUE,
    ORANGE,
    SKY,
    Drawing,
    counted,
    name_rows,
    of_label,
    plain,
    plain_logarithm,
    row_height,
    say,
    sheet,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE
from flairflow.metrics.registry import Metric

SPECIFICITY = "scan_specificity"


@styled
def false_volume(
    metrics: pd.DataFrame, summary: pd.DataFrame, label: str, amount: Metric, ensembles: Sequence[str]
) -> Drawing:
    """Left the share of lesion-free scans with a false lesion, right how much is false in each of these.

    metrics, summary : tables/metrics.tsv, and tables/summary.tsv for the interval of the share.
    amount           : a metric that is defined on lesion-free scans, a volume or a number of lesions.
    """
    own = of_label(metrics, label).dropna(subset=[amount.name])
    rows = of_label(summary, label, metric=SPECIFICITY)
    bounds = rows[rows["primary"].astype(bool)].set_index("ensemble")[["low", "high"]]
    height = 0.7 + row_height(ensembles) * max(len(ensembles), 2)
    figure, (left, right) = sheet(height, 1, 2, width_ratios=(1, 1.5))
    totals = []
    for place, name in enumerate(ensembles):
        values = own.loc[own["ensemble"] == name, amount.name].to_numpy(float)
        if not len(values):
            continue
        totals.append(len(values))
        false = np.sort(values[values > 0])
        share, edge = 100 * len(false) / len(values), 0.0
        left.barh(place, share, height=0.62, color=SKY)
        if name in bounds.index:
            low, high = (100 - 100 * float(bounds.loc[name, end]) for end in ("high", "low"))  # type: ignore[arg-type]
            left.plot([low, high], [place] * 2, color="black", linewidth=0.8)
            edge = high if np.isfinite(high) else 0.0
        left.text(max(share, edge) + 1, place, f"{len(false)} ({share:.0f} %)", va="center")
        # Dots of like size beside each other, in an order that only depends on their number.
        heights = place + 0.5 * ((0.618034 * np.arange(len(false))) % 1 - 0.5)
        right.scatter(false, heights, s=6, color=BLUE, alpha=0.45, linewidths=0)
        if len(false):
            right.plot([np.median(false)] * 2, [place - 0.36, place + 0.36], color="black", linewidth=1)
            right.plot(values.mean(), place, "D", color=ORANGE, markeredgecolor="white", markeredgewidth=0.4)
    for axis in (left, right):
        name_rows(axis, ensembles, shown=axis is left)
    left.set_xlim(0, max(left.get_xlim()[1] * 1.3, 20))
    left.set_xticks([tick for tick in left.get_xticks() if tick <= 100])
    left.set_title(f"scans without a lesion, n = {counted(totals)}")
    left.set_xlabel("with a false lesion (%), lower is better")
    right.set_xlabel(f"false {amount.units or 'lesions'} in each of these, lower is better")
    if own.empty:
        say(left)
        say(right)
    elif not (own[amount.name] > 0).any():
        say(right, "nothing false")
    else:
        right.set_xscale("log")
        plain_logarithm(right.xaxis)
    return Drawing(
        figure,
        f"{label}: false lesions where there are none",
        f"{label}: {counted(totals)} scans known to have no lesion. Left: in how many one is predicted all the same, "
        f"with 95 % intervals by participant (black lines). {TRAINED_ONCE} Right, logarithmic: these scans "
        f"as dots. {plain(amount.name)}: {amount.description}. Black bars: median; orange diamonds: mean over all "
        "scans without a lesion, those without a false one as 0.",
        ("metrics", "summary"),
    )
