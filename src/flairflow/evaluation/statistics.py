"""Statistics of scores that several methods got on the same participants: intervals, paired tests, Holm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from flairflow.images.grid import Array

RESAMPLES = 9999
LEVEL = 0.95


def bootstrap_interval(statistic: Callable[..., Array], *scores: Array, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic of paired scores, participants drawn with replacement (Efron 1979).

    scores    : one array (N,) per method, the same participants in the same order.
    statistic : of arrays (..., N), one per method, along their last axis; returns (...). Draws for which it is NaN
                are left out.
    Returns (NaN, NaN) for fewer than two participants. Raises ValueError for arrays that are not equally long.
    """
    if len({len(values) for values in scores}) != 1:
        raise ValueError(f"paired scores must be of the same participants, not {[len(values) for values in scores]}")
    if len(scores[0]) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(scores[0]), size=(RESAMPLES, len(scores[0])))
    found = statistic(*(np.asarray(values, float)[drawn] for values in scores))
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean(scores: Array) -> Array:
    """A statistic for `bootstrap_interval`: the mean over participants."""
    average: Array = scores.mean(axis=-1)
    return average


def mean_difference(scores: Array, baseline: Array) -> Array:
    """A statistic for `bootstrap_interval`: how much higher the scores are than the baseline's, on average."""
    return mean(scores) - mean(baseline)


def gap_share(scores: Array, baseline: Array, bound: Array) -> Array:
    """A statistic for `bootstrap_interval`: the share of the mean gap between a baseline and a bound that is closed, 0
    for the baseline and 1 for the bound; NaN without a gap. Says nothing where the gap may be none."""
    gap = np.asarray(mean_difference(bound, baseline))
    share: Array = np.full(gap.shape, np.nan)
    np.divide(mean_difference(scores, baseline), gap, out=share, where=gap != 0)
    return share


def signed_rank_p(differences: Array) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test (Wilcoxon 1945) that paired differences lie around 0.

    Differences of 0 are left out; where nothing is left the two are the same: 1. For differences of -1 and 1 alone it
    is McNemar's test. Exact for up to 50 differences without ties and for up to 13 with them, else by the normal
    approximation, without correction for continuity.
    """
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else 1.0


def rank_biserial(differences: Array) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): of the ranks of absolute differences, the share that is on
    the side above 0 minus the share below. Differences of 0 are left out, as in `signed_rank_p`; NaN for no pairs, 0
    where all differences are 0."""
    changed = differences[differences != 0]
    if not len(changed):
        return 0.0 if len(differences) else np.nan
    ranks = stats.rankdata(np.abs(changed))
    return float((np.sign(changed) * ranks).sum() / ranks.sum())


def standardised_difference(differences: Array) -> float:
    """Cohen's d_z of paired differences (Cohen 1988): their mean by their standard deviation (n - 1). NaN for fewer
    than two, and where all are the same."""
    if len(differences) < 2 or np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return np.nan
    return float(differences.mean() / differences.std(ddof=1))


def friedman_p(scores: Array) -> float:
    """P value of Friedman's test (Friedman 1937) that methods, the columns of scores (N, K), are alike.

    The chi-squared approximation, corrected for ties; 1 where all are tied everywhere. NaN for fewer than three methods
    (the signed-rank test is for two) or two rows.
    """
    if scores.shape[1] < 3 or len(scores) < 2:
        return np.nan
    if (scores == scores[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*scores.T).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of a family of tests, adjusted so that the chance of any false rejection stays below the level
    (Holm 1979): the i-th smallest of n (from 0) is multiplied by n - i, and none falls below a smaller one's."""
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return [float(value) for value in adjusted]
