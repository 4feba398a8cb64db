"""Ensembles ranked within each participant, and how sure the order is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from flairflow.comparison.statistics.bootstrap import interval, mean_draws, participant_means
from flairflow.comparison.statistics.effect_sizes import friedman_p
from flairflow.comparison.statistics.score_arrays import VIEW_COLUMNS, Scores, comparable, scores_by_label, views
from flairflow.images.grid import Array
from flairflow.metrics.registry import METRICS
from flairflow.tables import Column, column

# Mean ranks that differ by no more are the same.
_ROUNDING = 1e-9
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
        for view, dataset, part in views(scores):
            for metric, rows, shares in _rank(part):
                ranks += [(part.label, metric, view, dataset, *row) for row in rows]
                stability += [(part.label, metric, view, dataset, *row) for row in shares]
    # In the order of the labels, then of the metrics.
    labels = {label: place for place, label in enumerate(dict.fromkeys(metrics["label"]))}
    for table in (ranks, stability):
        table.sort(key=lambda row: (labels[row[0]], directed.index(str(row[1]))))
    counts = dict.fromkeys(("scans", "participants", "left_out"), "Int64")
    return pd.DataFrame(ranks, columns=list(RANK_COLUMNS)).astype(counts), pd.DataFrame(
        stability, columns=list(STABILITY_COLUMNS)
    )


Rows = list[tuple[object, ...]]


def _rank(scores: Scores) -> Iterator[tuple[str, Rows, Rows]]:
    """The rows of every metric of a view."""
    ranked = [_Ranked(scores, name) for name in scores.metrics if not np.isnan(scores.of_metric(name)).all()]
    # Metrics of the same participants in the same draws: making these is most of the work.
    together: dict[int, list[_Ranked]] = {}
    for found in ranked:
        together.setdefault(len(found.ranks), []).append(found)
    for people, several in together.items():
        draws = mean_draws(np.concatenate([found.ranks for found in several], axis=1), np.arange(people))
        parts = np.split(draws, np.cumsum([found.ranks.shape[1] for found in several])[:-1], axis=1)
        yield from ((found.metric, *found.rows(own)) for found, own in zip(several, parts, strict=True))


class _Ranked:
    """The ensembles ranked in one metric.

    ranks : (P, E) within each participant whose scans all of them have, 1 for the best.
    """

    def __init__(self, scores: Scores, metric: str) -> None:
        cost = {"higher": np.negative, "lower": np.positive, "zero": np.abs}[METRICS[metric].better or "zero"]
        values = cost(scores.of_metric(metric))
        measured = ~np.isnan(values).all(axis=0)
        chosen = comparable(~np.isnan(values))
        known = ~np.isnan(values[:, chosen])
        complete = known.all(axis=1)
        self.metric = metric
        self.names, self.others = (scores.by(part).ensembles for part in (chosen, measured & ~chosen))
        self.left_out, self.scans = int((known.any(axis=1) & ~complete).sum()), int(complete.sum())
        # What differs by rounding alone is a tie.
        own = participant_means(values[complete][:, chosen], scores.participants[complete])
        self.ranks = stats.rankdata(np.round(own, 12), axis=1)

    def rows(self, draws: Array) -> tuple[Rows, Rows]:
        """draws : (R, E) of the mean ranks, NaN where there is no participant."""
        people, count = self.ranks.shape
        mean = self.ranks.mean(axis=0) if people else np.full(count, np.nan)
        low = high = np.full(count, np.nan)
        shares = np.full((count, count), np.nan)
        # Of one alone there is no ranking.
        if count < 2:
            mean = np.full(count, np.nan)
        elif people > 1:
            (low, high), shares = interval(draws), _shares(draws)
        p = friedman_p(self.ranks)
        about = self.scans, people, self.left_out
        rows: Rows = [(name, *about, mean[i], low[i], high[i], p) for i, name in enumerate(self.names)]
        rows += [(name, *[pd.NA] * 3, *[np.nan] * 4) for name in self.others]
        places = range(len(self.names)) if count > 1 else ()
        return rows, [(name, place + 1, shares[i, place]) for i, name in enumerate(self.names) for place in places]


def _shares(draws: Array) -> Array:
    """Of draws of mean ranks (R, K), how often each of K takes each place: (K, K). Who ties has an equal part of all
    their places, `first` to `last`."""
    count = draws.shape[1]
    columns = np.ascontiguousarray(draws.T)
    below, above = columns - _ROUNDING, columns + _ROUNDING
    first, last = np.zeros((2, *columns.shape), np.int16)
    for other in columns:
        first += other < below
        last += other <= above
    size = count + 1
    at = (np.arange(count)[:, None] * size + first) * size + last
    times = np.bincount(at.ravel(), minlength=count * size**2).reshape(count, size, size)
    places = np.arange(count)
    begin, end = np.triu_indices(size, 1)
    taken = (begin[:, None] <= places) & (places < end[:, None])
    shares: Array = (times[:, begin, end] / (end - begin)) @ taken / len(draws)
    return shares
