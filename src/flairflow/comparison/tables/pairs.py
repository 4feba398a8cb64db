"""Every two ensembles compared, on the scans both have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from flairflow.comparison.statistics.bootstrap import interval, mean_draws, participant_means, sums_by
from flairflow.comparison.statistics.effect_sizes import holm, ranks_biserial, standardised_difference
from flairflow.comparison.statistics.score_arrays import VIEW_COLUMNS, Scores, scores_by_label, views
from flairflow.comparison.statistics.sign_flip import flipped_sums, sign_flip_p
from flairflow.comparison.statistics.signed_rank import ranks_p, signed_ranks
from flairflow.images.grid import Array
from flairflow.metrics.registry import METRICS
from flairflow.tables import Column, column

COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "metric": column(
        "A column of metrics.tsv, of those that have a better direction; volume errors without their sign"
    ),
    **VIEW_COLUMNS,
    "ensemble": column("What segmented"),
    "other": column("What it is compared with"),
    "scans": column("Scans of which both have a score: all else is of these"),
    "participants": column("Participants whose scans they are"),
    "only_ensemble": column("Scans of which only `ensemble` has a score; they count nowhere here"),
    "only_other": column("Scans of which only `other` has a score; they count nowhere here"),
    "mean_difference": column("Mean over the scans of the score of `ensemble` minus that of `other`"),
    "low": column("Lower end of its 95 % interval: percentile bootstrap over participants, with all their scans"),
    "high": column("Upper end of it; n/a: fewer than two participants"),
    "p_mean": column(
        "Sign-flip test of mean_difference, two-sided: how often it is as far from 0 when each participant's "
        "differences change their sign by chance. All ways where there are at most 10,000 of them (13 participants), "
        "else 9,999 at random"
    ),
    "p_mean_holm": column("p_mean adjusted like p_holm"),
    "p": column(
        "Wilcoxon's signed-rank test, two-sided and exact, of the participants' mean differences; of more than 150 who "
        "differ, what is below 1e-12 is given as that"
    ),
    "p_holm": column("p adjusted by Holm's method over all pairs of the same label, metric, view and dataset"),
    "rank_biserial": column(
        "Matched-pairs rank-biserial correlation of the participants' mean differences: 1 where `ensemble` has the "
        "higher score in all, -1 where in none"
    ),
    "opposite": column(
        "Whether mean_difference and rank_biserial point in opposite directions, as a few large differences can "
        "outweigh many small ones: then p says nothing of the mean, and p_mean does"
    ),
    "standardised_difference": column("Cohen's d_z: mean of the participants' mean differences by their sd (n - 1)"),
}


def compare_pairs(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, metric, view and two ensembles that have scores of it, from tables/metrics.tsv; columns as in
    COLUMNS.

    Scans of one participant are no independent evidence. So the rank test and both effect sizes are of one number per
    participant, the mean difference over that participant's scans; the interval draws participants, and the test of the
    mean flips the signs of all differences of a participant together. Metrics that are best at 0 are compared by their
    absolute values; metrics that are neither good nor bad are left out.
    """
    directed = [name for name, metric in METRICS.items() if metric.better]
    rows: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, directed):
        own = [
            (part.label, metric, view, dataset, *row)
            for part in scores.populations()
            for view, dataset, seen in views(part)
            for metric, row in _pairs(seen)
        ]
        rows += sorted(own, key=lambda row: scores.metrics.index(str(row[1])))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"opposite": bool})


def _pairs(part: Scores) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The rows of every metric of scores that are defined on the same scans."""
    compared = [found for name in part.metrics if len((found := _Compared(part, name)).measured) > 1]
    if not compared:
        return
    # All of them in the same draws: making these is most of the work.
    columns = np.concatenate([found.columns for found in compared], axis=1)
    draws = mean_draws(columns, part.participants)
    _, owners = np.unique(part.participants, return_inverse=True)
    flipped = flipped_sums(sums_by(owners.ravel(), int(owners.max()) + 1, np.nan_to_num(columns)))
    start = 0
    for found in compared:
        own = slice(start, start := start + found.columns.shape[1])
        for row in found.rows(draws[:, own], flipped[:, own]):
            yield found.metric, row


class _Compared:
    """Every two ensembles in one metric: what is drawn of them, and the rows that come of it.

    columns : (N, C) the scores of every ensemble where all of them have the same scans, as differences of means are
              means of differences there; else the differences of every pair.
    """

    def __init__(self, part: Scores, metric: str) -> None:
        values = part.of_metric(metric)
        values = np.abs(values) if METRICS[metric].better == "zero" else values
        known = ~np.isnan(values)
        self.part, self.metric, self.known = part, metric, known
        self.measured = np.flatnonzero(known.any(axis=0))
        self.first, self.second = (self.measured[place] for place in np.triu_indices(len(self.measured), 1))
        self.differences = values[:, self.first] - values[:, self.second]
        self.shared = bool((known[:, self.measured] == known[:, self.measured[:1]]).all())
        self.columns = values[:, self.measured] if self.shared else self.differences

    def rows(self, draws: Array, flipped: Array) -> Iterator[tuple[object, ...]]:
        """draws, flipped : of `columns`, `mean_draws` and `flipped_sums`."""
        if self.shared:
            # With the draws of a column beside each other in memory, which is twice as fast.
            one, other = np.triu_indices(len(self.measured), 1)
            draws, flipped = (
                (rows[one] - rows[other]).T for rows in (np.ascontiguousarray(drawn.T) for drawn in (draws, flipped))
            )
        lows, highs = interval(draws)
        by_participant = participant_means(self.differences, self.part.participants)
        independent = [column[~np.isnan(column)] for column in by_participant.T]
        several = np.array([len(values) > 1 for values in independent])
        ranks = [signed_ranks(values) for values in independent]
        p = _with_holm([ranks_p(own) for own, enough in zip(ranks, several, strict=True) if enough], several)
        p_mean = _with_holm(sign_flip_p(flipped[:, several]).tolist(), several)
        scans, own = (~np.isnan(self.differences)).sum(axis=0), self.known.sum(axis=0)
        sums = np.nan_to_num(self.differences).sum(axis=0)
        means = np.divide(sums, scans, out=np.full(len(scans), np.nan), where=scans > 0)
        for pair, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            mean = float(means[pair])
            biserial = ranks_biserial(ranks[pair]) if len(independent[pair]) else np.nan
            yield (
                self.part.ensembles[first],
                self.part.ensembles[second],
                int(scans[pair]),
                len(independent[pair]),
                *(int(own[place] - scans[pair]) for place in (first, second)),
                mean,
                *((lows[pair], highs[pair]) if several[pair] else (np.nan, np.nan)),
                *p_mean[:, pair],
                *p[:, pair],
                biserial,
                bool(mean * biserial < 0),
                standardised_difference(independent[pair]),
            )


def _with_holm(p_values: Sequence[float], several: Array) -> Array:
    """P values and the same adjusted, (2, K), NaN for the pairs that have none."""
    found = np.full((2, len(several)), np.nan)
    found[:, several] = p_values, holm(p_values)
    return found
