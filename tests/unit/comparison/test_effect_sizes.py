"""Effect sizes and tests against scipy's and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flairflow.comparison.statistics.effect_sizes import (
    friedman_p,
    holm,
    rank_biserial,
    standardised_difference,
)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_the_rank_biserial_correlation_by_hand() -> None:
    # Ranks of the absolute values 1 to 4; only the smallest is on the other side.
    assert rank_biserial(np.array([0.4, 0.2, -0.1, 0.3])) == pytest.approx((9 - 1) / 10)
    assert rank_biserial(np.array([0.4, 0.0])) == 1
    assert rank_biserial(np.array([-0.2, -0.2])) == -1
    assert rank_biserial(np.zeros(3)) == 0
    assert np.isnan(rank_biserial(np.array([])))


def test_the_standardised_difference_by_hand() -> None:
    assert standardised_difference(np.array([1.0, 2.0, 3.0])) == pytest.approx(2)
    assert np.isnan(standardised_difference(np.array([0.1 + 0.2, 0.3, 0.3])))  # equal but for rounding
    assert np.isnan(standardised_difference(np.array([1.0])))


def test_friedmans_test_by_hand() -> None:
    # Conover (1999): without ties 12 / (n k (k + 1)) sum R^2 - 3 n (k + 1).
    scores = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]])
    sums = np.array([5, 8, 11])
    statistic = 12 / (4 * 3 * 4) * (sums**2).sum() - 3 * 4 * 4
    assert friedman_p(scores) == pytest.approx(stats.chi2.sf(statistic, 2))
    tied = np.random.default_rng(1).integers(0, 4, (12, 4))
    expected = stats.friedmanchisquare(*tied.T).pvalue
    assert friedman_p(stats.rankdata(tied, axis=1)) == pytest.approx(expected)
    assert friedman_p(np.full((5, 3), 2.0)) == 1
    assert np.isnan(friedman_p(scores[:, :2])) and np.isnan(friedman_p(scores[:1]))
