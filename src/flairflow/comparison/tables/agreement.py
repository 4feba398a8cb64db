"""Whether predicted volumes agree with reference volumes: intraclass correlation and limits of agreement."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from flairflow.comparison.statistics.bootstrap import ratio_draws
from flairflow.comparison.statistics.effect_sizes import LEVEL
from flairflow.comparison.statistics.score_arrays import VIEW_COLUMNS, Scores, scores_by_label, views
from flairflow.images.grid import Array
from flairflow.tables import Column, column

COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    **VIEW_COLUMNS,
    "ensemble": column("What segmented"),
    "scans": column("Scans with a known mask of the label; log: of these where both volumes are above 0"),
    "missed": column("Scans with a lesion of which nothing is predicted; on log they are not among the scans"),
    "false": column("Scans without a lesion in which something is predicted; on log they are not among the scans"),
    "scale": column(
        "What is compared",
        levels={
            "ml": "volumes",
            "log": "natural logarithms of volumes: to read where errors grow with the lesions; exp(bias) is a ratio",
        },
    ),
    "icc": column("ICC(A,1) of predicted and reference volume: two-way, absolute agreement, single measurement"),
    "icc_low": column(
        "Lower end of its 95 % interval. ml: percentile bootstrap over participants, as volumes are skewed and their "
        "errors grow with them; log: by the F distribution, where scans are taken as independent"
    ),
    "icc_high": column("Upper end of it; n/a: fewer than three scans or two participants, or scans that hardly differ"),
    "bias": column("Mean of predicted minus reference"),
    "bias_low": column("Lower end of its 95 % interval (t)"),
    "bias_high": column("Upper end of it"),
    "limit_low": column("Lower limit of agreement: bias - 1.96 standard deviations of the differences"),
    "limit_low_from": column("Lower end of its 95 % interval"),
    "limit_low_to": column("Upper end of it"),
    "limit_high": column("Upper limit of agreement: bias + 1.96 standard deviations of the differences"),
    "limit_high_from": column("Lower end of its 95 % interval"),
    "limit_high_to": column("Upper end of it"),
}
# A mean square that is 0 but for rounding, relative to the others.
_NONE = 1e-14


def volume_agreement(metrics: pd.DataFrame) -> pd.DataFrame:
    """Two rows per label, view and ensemble whose volumes are known, from tables/metrics.tsv; columns as in COLUMNS.

    Both scales are always there, so nothing has to be said of what a label is: volumes over orders of magnitude are to
    be judged on the logarithm, volumes that are often 0 on ml.
    """
    rows: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, ("reference_ml", "predicted_ml")):
        if len(scores.metrics) == 2:
            for view, dataset, seen in views(scores):
                rows += [(scores.label, view, dataset, *row) for row in _agreement(seen)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def intraclass_correlation(ratings: Array) -> tuple[float, float, float]:
    """ICC(A,1) of ratings (targets, raters) with its 95 % interval (McGraw & Wong 1996, tables 4 and 7): the agreement
    of single ratings, where a rater who is always higher does not agree. NaN for fewer than three targets, or ratings
    that are all the same; no interval where targets do not differ or the approximation does not hold the estimate."""
    targets, raters = ratings.shape
    if targets < 3:
        return np.nan, np.nan, np.nan
    rows, columns = ratings.mean(axis=1, keepdims=True), ratings.mean(axis=0, keepdims=True)
    mean = ratings.mean()
    of_rows = raters * ((rows - mean) ** 2).sum() / (targets - 1)
    of_columns = targets * ((columns - mean) ** 2).sum() / (raters - 1)
    freedom = (targets - 1) * (raters - 1)
    error = ((ratings - rows - columns + mean) ** 2).sum() / freedom
    if not of_rows + of_columns + error:
        return np.nan, np.nan, np.nan
    icc = (of_rows - error) / (of_rows + (raters - 1) * error + raters * (of_columns - error) / targets)
    if of_columns + error <= _NONE * of_rows:
        return 1.0, 1.0, 1.0
    if of_rows <= _NONE * (of_columns + error):
        return float(icc), np.nan, np.nan
    a = raters * icc / (targets * (1 - icc))
    b = 1 + raters * icc * (targets - 1) / (targets * (1 - icc))
    v = (a * of_columns + b * error) ** 2 / ((a * of_columns) ** 2 / (raters - 1) + (b * error) ** 2 / freedom)
    below, above = stats.f.ppf((1 + LEVEL) / 2, [targets - 1, v], [v, targets - 1])
    spread = raters * of_columns + (raters * targets - raters - targets) * error
    low = targets * (of_rows / below - error) / (spread + targets * of_rows / below)
    high = targets * (above * of_rows - error) / (spread + targets * above * of_rows)
    # Its freedom is an approximation, which fails for clearly negative correlations of few targets.
    if not low <= icc <= high:
        return float(icc), np.nan, np.nan
    return float(icc), float(low), float(high)


def correlation_bounds(ratings: Array, participants: Array) -> tuple[float, float]:
    """The 95 % interval of ICC(A,1) of ratings (N, 2) by two raters in draws of participants (N,) with replacement,
    from the weighted moments of means and differences. NaN for fewer than three targets or two participants."""
    if len(ratings) < 3 or len(np.unique(participants)) < 2:
        return np.nan, np.nan
    # About the middle: squares of large numbers lose what they differ by.
    mean = ratings.mean(axis=1) - ratings.mean()
    difference = ratings[:, 1] - ratings[:, 0]
    moments = np.stack([mean, mean**2, difference, difference**2], axis=1)
    first, second, shift, square = ratio_draws(moments, np.ones(moments.shape), participants, resampled=True).T
    count = len(ratings)
    of_rows = 2 * (second - first**2) * count / (count - 1)
    error = (square - shift**2) / 2 * count / (count - 1)
    of_columns = count * shift**2 / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        icc = (of_rows - error) / (of_rows + error + 2 * (of_columns - error) / count)
    # A draw of one participant alone has none.
    known = icc[np.isfinite(icc)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def limits_of_agreement(differences: Array) -> tuple[float, ...]:
    """Bias and 95 % limits of agreement of differences (N,), each followed by its 95 % interval (Bland & Altman 1999,
    section 2.1): nine numbers, NaN for fewer than two differences (the bias alone of one)."""
    count = len(differences)
    bias = float(differences.mean()) if count else np.nan
    if count < 2:
        return (bias, *[np.nan] * 8)
    sd = differences.std(ddof=1)
    width = stats.norm.ppf((1 + LEVEL) / 2)
    t = stats.t.ppf((1 + LEVEL) / 2, count - 1)
    of_bias = t * sd / count**0.5
    of_limit = t * sd * (1 / count + width**2 / (2 * (count - 1))) ** 0.5
    middles = (bias, of_bias), (bias - width * sd, of_limit), (bias + width * sd, of_limit)
    return tuple(float(value) for middle, half in middles for value in (middle, middle - half, middle + half))


def _agreement(scores: Scores) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for number, ensemble in enumerate(scores.ensembles):
        known = ~np.isnan(scores.values[:, number]).any(axis=1)
        volumes, people = scores.values[known, number], scores.participants[known]
        if len(volumes):
            reference, predicted = (volumes > 0).T
            errors = int((reference & ~predicted).sum()), int((~reference & predicted).sum())
            for scale, pairs in (("ml", volumes), ("log", np.log(volumes[reference & predicted]))):
                icc, *bounds = intraclass_correlation(pairs)
                if scale == "ml":
                    bounds = [*correlation_bounds(pairs, people)]
                limits = limits_of_agreement(pairs[:, 1] - pairs[:, 0])
                rows.append((ensemble, len(pairs), *errors, scale, icc, *bounds, *limits))
    return rows
