"""Paired differences from a baseline with their intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from flairflow.comparison.figures.style import (
    BLUE,
    GREY,
    Drawing,
    counted,
    name_rows,
    of_label,
    plain,
    population,
    row_height,
    say,
    sheet,
    short,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE
from flairflow.metrics.registry import Metric

LEVEL = 0.05


@styled
def differences(
    pairs: pd.DataFrame, label: str, metrics: Sequence[Metric], baseline: str, ensembles: Sequence[str]
) -> Drawing:
    """Mean difference of every ensemble from a baseline on the scans both have, a panel per metric.

    pairs : tables/pairs.tsv.
    """
    others = [name for name in ensembles if name != baseline]
    figure, axes = sheet(0.95 + row_height(others) * max(len(others), 2), 1, len(metrics))
    for number, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        rows = from_baseline(of_label(pairs, label, metric=metric.name, view="pooled"), baseline)
        rows = rows[rows.index.isin(others)]
        found = [(place, rows.loc[name]) for place, name in enumerate(others) if name in rows.index]
        for place, row in found:
            axis.plot([row["low"], row["high"]], [place] * 2, color=BLUE)
            face = BLUE if row["p_mean_holm"] < LEVEL else "white"
            sign = "D" if row["opposite"] else "o"
            axis.plot(row["mean_difference"], place, sign, color=BLUE, markerfacecolor=face, markersize=4)
        axis.axvline(0, color="black", linewidth=0.7)
        name_rows(axis, others, shown=number == 0)
        axis.set_title(f"{plain(metric.name)}\n{population(metric)}, n = {counted(rows['scans'])}")
        axis.margins(x=0.08)
        axis.locator_params(axis="x", nbins=4)
        units = f"{metric.units}, " if metric.units else ""
        axis.set_xlabel(units + (_BETTER[metric.better] if metric.better else ""), color=GREY)
        if not found:
            say(axis, "no such scan" if others else "nothing to compare")
    figure.supxlabel(f"mean difference from {short(baseline)}")
    return Drawing(
        figure,
        f"{label}: differences from {plain(baseline)}",
        f"{label}: means of the paired differences from {plain(baseline)} (the line at 0) over the n scans of which "
        "both have the score, with 95 % bootstrap intervals by participant. Filled: the sign-flip test of the mean, "
        f"adjusted for all pairs of ensembles (Holm), gives p < {LEVEL}; open: it does not. Diamonds: most "
        "participants differ in the other direction than the mean, which a few large differences make. "
        f"The adjustment is within one metric: whoever reads all {len(metrics)} panels as one "
        f"question has to correct further. {TRAINED_ONCE} "
        + " ".join(f"{plain(metric.name)}: {metric.description}." for metric in metrics),
        ("pairs",),
    )


def from_baseline(pairs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The rows of a baseline by the other ensemble, all as differences from the baseline, whichever way round a pair
    stands in the table."""
    straight = pairs[pairs["other"] == baseline].set_index("ensemble")
    turned = pairs[pairs["ensemble"] == baseline].set_index("other")
    turned = turned.assign(mean_difference=-turned["mean_difference"], low=-turned["high"], high=-turned["low"])
    columns = ["scans", "mean_difference", "low", "high", "p_mean_holm", "opposite"]
    return pd.concat([straight, turned])[columns].dropna(subset=["mean_difference"])


# What is best at 0 is compared by its size, so that less is better.
_BETTER = {"higher": "right is better", "lower": "left is better", "zero": "without sign, left is better"}
