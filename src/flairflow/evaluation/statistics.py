"""Tests and effect sizes of scores that several methods got on the same participants, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from flairflow.images.grid import Array

RESAMPLES = 9999
EXACT_WITH_TIES = 13
LEVEL = 0.95


def signed_rank_p(differences: Array) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test (Wilcoxon 1945) that paired differences lie around 0.

    Differences of 0 are left out; where nothing is left the two are the same: 1. For differences of -1 and 1 alone it
    is McNemar's test. Exact for up to 50 differences without ties and for up to `EXACT_WITH_TIES` with them, else by
    the normal approximation, without correction for continuity.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    ranks = stats.rankdata(np.abs(differences))
    if len(ranks) <= EXACT_WITH_TIES and len(np.unique(ranks)) < len(ranks):
        # What `wilcoxon` does for these one permutation at a time, all at once.
        signed = np.sign(differences) * ranks
        test = stats.permutation_test((signed,), np.sum, permutation_type="samples", n_resamples=np.inf)
        return float(test.pvalue)
    return float(stats.wilcoxon(differences).pvalue)


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
