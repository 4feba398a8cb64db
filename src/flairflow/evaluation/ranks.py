"""Ensembles ranked within each participant, and how sure the order is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from flairflow.evaluation.bootstrap import interval, mean_draws, participant_means
from flairflow.evaluation.metrics import METRICS
from flairflow.evaluation.scores import VIEW_COLUMNS, Scores, comparable, scores_by_label, views
from flairflow.evaluation.statistics import friedman_p
from flairflow.images.grid import Array
from flairflow.tables import Column, column

RANK_COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "metric": column("A column of metrics.tsv, of those that have a better direction"),
    **VIEW_COLUMNS,
    "ensemble": column("What segmented"),
    "scans": column(
        "Scans of which every ensemble with this metric has a score: all else is of these. n/a: the ensemble has fewer "
        "than half of the first one's scans, so it is left out"
    ),
    "participants": column("Participants whose scans they are"),
    "left_out": column("Scans of which some have a score and others not; they count nowhere here"),
    "mean_rank": column("Mean over participants of the rank among the ensembles, by the mean of its scans; 1 is best"),
    "low": column("Lower end of its 95 % interval: percentile bootstrap over participants"),
    "high": column("Upper end of it; n/a: fewer than two participants"),
    "friedman_p": column("Friedman's test over participants that all ensembles rank alike; n/a: fewer than three"),
}
STABILITY_COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "metric": column("A column of metrics.tsv, of those that have a better direction"),
    **VIEW_COLUMNS,
    "ensemble": column("What segmented"),
    "rank": column("Place by mean rank, 1 is best"),
    "share": column(
        "Share of bootstrap draws of participants in which the ensemble takes this place; of those who tie each takes "
        "an equal part of their places. n/a: fewer than two participants"
    ),
}


def rank_ensembles(metrics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From tables/metrics.tsv the mean ranks (RANK_COLUMNS) and how often each place is taken (STABILITY_COLUMNS).

    Per label, metric and view the ensembles are ranked within each participant, by the mean over the participant's
    scans, ties getting their mean rank. Which is better says the metric's definition; of metrics best at 0 it is the
    absolute value. Only scans that all ensembles with the metric have are ranked. Ensembles that have hardly any of
    these scans are left out (`comparable`); they have a row without ranks.
    """
    directed = [name for name, metric in METRICS.items() if metric.better]
    ranks: list[tuple[object, ...]] = []
    stability: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, directed):
        seen = views(scores)
        for metric in scores.metrics:
            for view, dataset, part in seen:
                if not np.isnan(part.of_metric(metric)).all():
                    rows, shares = _rank(part, metric)
                    ranks += [(part.label, metric, view, dataset, *row) for row in rows]
                    stability += [(part.label, metric, view, dataset, *row) for row in shares]
    counts = dict.fromkeys(("scans", "participants", "left_out"), "Int64")
    return pd.DataFrame(ranks, columns=list(RANK_COLUMNS)).astype(counts), pd.DataFrame(
        stability, columns=list(STABILITY_COLUMNS)
    )


def _rank(scores: Scores, metric: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    cost = {"higher": np.negative, "lower": np.positive, "zero": np.abs}[METRICS[metric].better or "zero"]
    values = cost(scores.of_metric(metric))
    chosen = comparable(~np.isnan(values))
    measured = np.flatnonzero(chosen)
    names = [scores.ensembles[number] for number in measured]
    known = ~np.isnan(values[:, measured])
    complete = known.all(axis=1)
    left_out = int((known.any(axis=1) & ~complete).sum())
    own = participant_means(values[complete][:, measured], scores.participants[complete])
    mean = low = high = np.full(len(names), np.nan)
    shares = np.full((len(names), len(names)), np.nan)
    if len(own):
        ranks = stats.rankdata(own, axis=1)
        mean = ranks.mean(axis=0)
        if len(own) > 1:
            draws = mean_draws(ranks, np.arange(len(ranks)))
            low, high = interval(draws)
            shares = _shares(draws)
    p = friedman_p(own)
    about = int(complete.sum()), len(own), left_out
    rows: list[tuple[object, ...]] = [(name, *about, mean[i], low[i], high[i], p) for i, name in enumerate(names)]
    others = scores.by(~np.isnan(values).all(axis=0) & ~chosen).ensembles
    rows += [(name, *[pd.NA] * 3, *[np.nan] * 4) for name in others]
    stability: list[tuple[object, ...]] = [
        (name, place + 1, shares[i, place]) for i, name in enumerate(names) for place in range(len(names))
    ]
    return rows, stability


def _shares(draws: Array) -> Array:
    """Of draws of mean ranks (R, K), how often each of K takes each place: (K, K)."""
    first, last = (stats.rankdata(draws, axis=1, method=method) for method in ("min", "max"))
    places = np.arange(1, draws.shape[1] + 1)
    taken = [np.where((first <= place) & (place <= last), 1 / (last - first + 1), 0.0).mean(axis=0) for place in places]
    return np.stack(taken, axis=1)
