"""Every metric of every ensemble in one line: mean, spread, and how sure the mean is; by dataset, pooled and macro."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flairflow.comparison.statistics.bootstrap import participants_with, ratio_bounds
from flairflow.comparison.statistics.score_arrays import Scores, scores_by_label
from flairflow.images.grid import Array
from flairflow.metrics.registry import METRICS
from flairflow.tables import Column, column

PRIMARY = "pooled"
COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "metric": column("A column of metrics.tsv, whose dictionary says what it is"),
    "ensemble": column("What segmented: an ensemble of models, an intensity rule, or imported results"),
    "view": column(
        "What is summed up",
        levels={
            "pooled": "all scans, each counting the same",
            "macro": "the datasets' means, each dataset counting the same",
            "dataset": "the scans of one dataset",
        },
    ),
    "dataset": column("The dataset of the view `dataset`; n/a in the others"),
    "scans": column("Scans on which the metric is defined: n of this row"),
    "participants": column("Participants whose scans they are"),
    "mean": column("Mean over the scans; macro: mean of the datasets' means"),
    "sd": column("Standard deviation over the scans (n - 1); macro: of the datasets' means"),
    "median": column("Median over the scans; macro: of the datasets' means"),
    "low": column(
        "Lower end of the 95 % interval of the mean: Bayesian bootstrap over participants, with all their scans, and "
        "with one more whom nobody saw, who has the lowest score there can be (Gaffke); of scores of 0 and 1 Clopper "
        "and Pearson's. Distances and percentages: without that one"
    ),
    "high": column(
        "Upper end of it, with the highest score there can be; of volumes and counts, which have none, with one well "
        "above the largest seen (docs/outputs.md). n/a: fewer than two participants, or all of these have 0"
    ),
    "primary": column(
        "Whether this is the view to report first: pooled, the mean over scans that published tables give. Datasets of "
        "two scans would weigh as much as those of hundreds in macro"
    ),
}


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, metric, ensemble and view from tables/metrics.tsv, columns as in COLUMNS; no row where there is
    no score.

    Intervals are of 9,999 draws of the participants of the view, each with all of its scans (`ratio_bounds`). For
    `macro` a participant has the same weight in all datasets, and one more is put into each of these.
    """
    rows: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, METRICS):
        own: list[tuple[object, ...]] = []
        for part in scores.populations():
            views = [(view, of, list(table.itertuples(index=False, name=None))) for view, of, table in _views(part)]
            for place, metric in enumerate(part.metrics):
                for number, ensemble in enumerate(part.ensembles):
                    at = number * len(part.metrics) + place
                    for view, dataset, lines in views:
                        if lines[at][0]:
                            own.append((part.label, metric, ensemble, view, dataset, *lines[at], view == PRIMARY))
        rows += sorted(own, key=lambda row: scores.metrics.index(str(row[1])))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"scans": int, "participants": int, "primary": bool})


def over_scans(part: Scores) -> pd.DataFrame:
    """Of all scans the columns scans, participants, mean, sd, median, low and high; a row per ensemble, and metric
    within them."""
    flat, limits = _flat(part)
    values = pd.DataFrame(flat)
    participants = participants_with(flat, part.participants)
    low, high = _bounds(flat, part.participants, limits)
    return pd.DataFrame(
        {
            "scans": values.count(),
            "participants": participants,
            "mean": values.mean(),
            "sd": values.std(),
            "median": values.median(),
            "low": np.where(participants > 1, low, np.nan),
            "high": np.where(participants > 1, high, np.nan),
        }
    )


def _views(part: Scores) -> list[tuple[str, str | None, pd.DataFrame]]:
    """The views with a table each; its rows are ensembles, and metrics within them."""
    pooled = over_scans(part)
    names = [str(name) for name in np.unique(part.datasets)]
    if len(names) == 1:
        macro = pooled.assign(sd=np.nan, median=pooled["mean"])
        return [("pooled", None, pooled), ("macro", None, macro), ("dataset", names[0], pooled)]
    datasets = [("dataset", name, over_scans(part.of(part.datasets == name))) for name in names]
    flat, limits = _flat(part)
    low, high = _bounds(flat, part.participants, limits, part.datasets)
    broad = np.any([table["participants"] > 1 for *_, table in datasets], axis=0)
    means = pd.concat([table["mean"] for *_, table in datasets], axis=1)
    macro = pd.DataFrame(
        {
            "scans": pooled["scans"],
            "participants": pooled["participants"],
            "mean": means.mean(axis=1),
            "sd": means.std(axis=1),
            "median": means.median(axis=1),
            "low": np.where(broad, low, np.nan),
            "high": np.where(broad, high, np.nan),
        }
    )
    return [("pooled", None, pooled), ("macro", None, macro), *datasets]


def _flat(part: Scores) -> tuple[Array, Array]:
    """The scores (N, K) by ensemble, and metric within it, and their limits (2, K). Distances and percentages have none
    that would say anything: of them only what was seen counts."""
    seen = [METRICS[name].units in ("mm", "percent") for name in part.metrics]
    limits = np.where(seen, np.nan, np.array([METRICS[name].limits for name in part.metrics]).T)
    return part.values.reshape(len(part.scans), -1), np.tile(limits, len(part.ensembles))


def _bounds(values: Array, participants: Array, limits: Array, groups: Array | None = None) -> tuple[Array, Array]:
    known = ~np.isnan(values)
    found = ratio_bounds(np.where(known, values, 0.0), known.astype(float), participants, limits, groups)
    low, high = (np.where(np.isfinite(bound), bound, np.nan) for bound in found)
    return low, high
