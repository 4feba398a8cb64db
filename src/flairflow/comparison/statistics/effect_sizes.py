"""Tests and effect sizes of scores that several methods got on the same participants, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from flairflow.comparison.statistics.signed_rank import signed_ranks
from flairflow.images.grid import Array

RESAMPLES = 9999
LEVEL = 0.95


def rank_biserial(differences: Array) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): of the ranks of absolute differences, the share that is on
    the side above 0 minus the share below. Differences of 0 are left out, as in `signed_rank_p`; NaN for no pairs, 0
    where all differences are 0."""
    return ranks_biserial(signed_ranks(differences)) if len(differences) else np.nan


def ranks_biserial(ranks: Array) -> float:
    """The same from `signed_ranks` of some pairs."""
    return float(ranks.sum() / np.abs(ranks).sum()) if len(ranks) else 0.0


def standardised_difference(differences: Array) -> float:
    """Cohen's d_z of paired differences (Cohen 1988): their mean by their standard deviation (n - 1). NaN for fewer
    than two, and where all are the same."""
    if len(differences) < 2 or np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return np.nan
    return float(differences.mean() / differences.std(ddof=1))


def friedman_p(ranks: Array) -> float:
    """P value of Friedman's test (Friedman 1937) that methods are alike, from their ranks within each row (N, K), ties
    with their mean rank.

    The chi-squared approximation, corrected for ties; 1 where all are tied everywhere. NaN for fewer than three methods
    (the signed-rank test is for two) or two rows.
    """
    rows, methods = ranks.shape
    if methods < 3 or rows < 2:
        return np.nan
    about = ranks - (methods + 1) / 2
    spread = (about**2).sum()
    if not spread:
        return 1.0
    return float(special.chdtrc(methods - 1, (methods - 1) * (about.sum(axis=0) ** 2).sum() / spread))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of a family of tests, adjusted so that the chance of any false rejection stays below the level
    (Holm 1979): the i-th smallest of n (from 0) is multiplied by n - i, and none falls below a smaller one's."""
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return [float(value) for value in adjusted]
