"""Sensitivity against lesion size: the share of the lesions of each size that are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from flairflow.comparison.figures.style import (
    BLUE,
    Drawing,
    counted,
    name_rows,
    of_label,
    row_height,
    say,
    sheet,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE


@styled
def size_recall(table: pd.DataFrame, label: str, ensembles: Sequence[str]) -> Drawing:
    """Recall of lesions with its interval, a panel per size and a row per ensemble.

    table : tables/size_recall.tsv; a size without an upper end is open.
    """
    own = of_label(table, label, view="pooled")
    own = own[own["ensemble"].isin(ensembles)].fillna({"to_ml": np.inf})
    sizes = sorted(set(zip(own["from_ml"], own["to_ml"], strict=True))) or [(0.0, np.inf)]
    figure, axes = sheet(0.8 + row_height(ensembles) * max(len(ensembles), 2), 1, len(sizes), sharex=True)
    for number, (axis, (low, high)) in enumerate(zip(axes, sizes, strict=True)):
        rows = own[(own["from_ml"] == low) & (own["to_ml"] == high) & (own["lesions"] > 0)].set_index("ensemble")
        found = [(place, rows.loc[name]) for place, name in enumerate(ensembles) if name in rows.index]
        for place, row in found:
            axis.plot([row["low"], row["high"]], [place] * 2, color=BLUE)
            axis.plot(row["recall"], place, "o", color=BLUE, markersize=3)
        name_rows(axis, ensembles, shown=number == 0)
        axis.set_title(f"{size_in_words(low, high)}\nn = {counted(row['lesions'] for _, row in found)}")
        if not found:
            say(axis, "no such lesion")
    axes[0].set_xlim(-0.04, 1.04)
    axes[0].set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    figure.supxlabel("share of the lesions that are found, higher is better")
    return Drawing(
        figure,
        f"{label}: sensitivity against lesion size",
        f"{label}: of the reference lesions of a size (26-connected; n: how many) the share that is found, if only by "
        f"a voxel, over all test scans together, with 95 % intervals by participant. {TRAINED_ONCE}",
        ("size_recall",),
    )


def size_in_words(low: float, high: float) -> str:
    """A range of volumes in ml."""
    if not np.isfinite(high):
        return f"over {low:g} ml" if low > 0 else "all sizes"
    return f"under {high:g} ml" if low <= 0 else f"{low:g} to {high:g} ml"
