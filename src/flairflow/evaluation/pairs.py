"""Every two ensembles compared, on the scans both have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flairflow.evaluation.bootstrap import interval, mean_draws, participant_means
from flairflow.evaluation.metrics import METRICS
from flairflow.evaluation.scores import VIEW_COLUMNS, Scores, scores_by_label, views
from flairflow.evaluation.statistics import holm, rank_biserial, signed_rank_p, standardised_difference
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
    "p": column("Wilcoxon's signed-rank test, two-sided, of the participants' mean differences"),
    "p_holm": column("p adjusted by Holm's method over all pairs of the same label, metric, view and dataset"),
    "rank_biserial": column(
        "Matched-pairs rank-biserial correlation of the participants' mean differences: 1 where `ensemble` has the "
        "higher score in all, -1 where in none"
    ),
    "standardised_difference": column("Cohen's d_z: mean of the participants' mean differences by their sd (n - 1)"),
}


def compare_pairs(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, metric, view and two ensembles that have scores of it, from tables/metrics.tsv; columns as in
    COLUMNS.

    Scans of one participant are no independent evidence. So the test and both effect sizes are of one number per
    participant, the mean difference over that participant's scans, and the interval draws participants. Metrics that
    are best at 0 are compared by their absolute values; metrics that are neither good nor bad are left out.
    """
    directed = [name for name, metric in METRICS.items() if metric.better]
    rows: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, directed):
        own = [
            (part.label, metric, view, dataset, *row)
            for part in scores.populations()
            for view, dataset, seen in views(part)
            for metric in part.metrics
            for row in _pairs(seen, metric)
        ]
        rows += sorted(own, key=lambda row: scores.metrics.index(str(row[1])))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pairs(part: Scores, metric: str) -> list[tuple[object, ...]]:
    values = part.of_metric(metric)
    if METRICS[metric].better == "zero":
        values = np.abs(values)
    known = ~np.isnan(values)
    measured = np.flatnonzero(known.any(axis=0))
    if len(measured) < 2:
        return []
    first, second = (measured[place] for place in np.triu_indices(len(measured), 1))
    differences = values[:, first] - values[:, second]
    lows, highs = interval(mean_draws(differences, part.participants))
    by_participant = participant_means(differences, part.participants)
    independent = [column[~np.isnan(column)] for column in by_participant.T]
    several = [len(values) > 1 for values in independent]
    p_values = np.full(len(several), np.nan)
    p_values[several] = [signed_rank_p(values) for values in independent if len(values) > 1]
    adjusted = np.full(len(several), np.nan)
    adjusted[several] = holm(p_values[several].tolist())
    rows: list[tuple[object, ...]] = []
    for pair, (one, other) in enumerate(zip(first, second, strict=True)):
        both = known[:, one] & known[:, other]
        alone = (int((known[:, place] & ~both).sum()) for place in (one, other))
        bounds = (lows[pair], highs[pair]) if several[pair] else (np.nan, np.nan)
        rows.append(
            (
                part.ensembles[one],
                part.ensembles[other],
                int(both.sum()),
                len(independent[pair]),
                *alone,
                differences[both, pair].mean() if both.any() else np.nan,
                *bounds,
                p_values[pair],
                adjusted[pair],
                rank_biserial(independent[pair]),
                standardised_difference(independent[pair]),
            )
        )
    return rows
