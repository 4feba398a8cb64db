"""Which share of the lesions is found, by their size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flairflow.comparison.statistics.bootstrap import participants_with, ratio_bounds
from flairflow.comparison.statistics.score_arrays import VIEW_COLUMNS, Scores, scores_by_label, views
from flairflow.metrics.registry import SIZES
from flairflow.tables import Column, column

COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    **VIEW_COLUMNS,
    "ensemble": column("What segmented"),
    "from_ml": column("Volume of the smallest lesions counted here", "ml"),
    "to_ml": column("Volume of the largest, which are not counted any more; n/a: no limit", "ml"),
    "lesions": column("Reference lesions of this size in these scans (26-connected components)"),
    "found": column("How many of them have a predicted voxel"),
    "recall": column("Share of them that is found, over these scans; n/a: there are no such lesions"),
    "low": column(
        "Lower end of its 95 % interval, made like that of a share in tables/summary.tsv (tables/summary.json)"
    ),
    "high": column("Upper end of it; n/a: fewer than two participants"),
}


def recall_by_size(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, view, ensemble with such counts and size class (`metrics.SIZES`), from the counts per scan in
    tables/metrics.tsv; columns as in COLUMNS. Every lesion counts the same, so scans with many count more."""
    rows: list[tuple[object, ...]] = []
    counted = [f"{what}_{size}" for size, _, _ in SIZES for what in ("lesions", "found")]
    for scores in scores_by_label(metrics, counted):
        if len(scores.metrics) == len(counted):
            for view, dataset, seen in views(scores):
                rows += [(scores.label, view, dataset, *row) for row in _recall(seen)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _recall(scores: Scores) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for number, ensemble in enumerate(scores.ensembles):
        counts = scores.values[:, number]
        known = ~np.isnan(counts).any(axis=1)
        if not known.any():
            continue
        lesions, found = counts[known][:, ::2], counts[known][:, 1::2]
        people = scores.participants[known]
        several = participants_with(np.where(lesions > 0, 1.0, np.nan), people) > 1
        lows, highs = ratio_bounds(found, lesions, people, np.repeat([[0.0], [1.0]], len(SIZES), axis=1))
        for place, (_, low, high) in enumerate(SIZES):
            total, right = lesions[:, place].sum(), found[:, place].sum()
            bounds = (lows[place], highs[place]) if several[place] else (np.nan, np.nan)
            about = low, high if np.isfinite(high) else np.nan, int(total), int(right)
            rows.append((ensemble, *about, right / total if total else np.nan, *bounds))
    return rows
