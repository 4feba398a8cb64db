"""Intervals and tests against scipy's, exact enumeration and cases worked by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from flairflow.evaluation.statistics import (
    bootstrap_interval,
    friedman_p,
    gap_share,
    holm,
    mean,
    mean_difference,
    rank_biserial,
    signed_rank_p,
    standardised_difference,
)


def test_the_interval_of_a_mean_is_scipys() -> None:
    scores = np.random.default_rng(3).beta(2, 3, 60)
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert bootstrap_interval(mean, scores) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_pairs_are_drawn_together() -> None:
    rng = np.random.default_rng(4)
    baseline = rng.uniform(0, 1, 50)
    scores = baseline + 0.1  # participants differ widely, the methods by the same everywhere
    assert bootstrap_interval(mean_difference, scores, baseline) == pytest.approx((0.1, 0.1))
    low, high = bootstrap_interval(mean_difference, rng.permutation(scores), baseline)
    assert high - low > 0.1
    with pytest.raises(ValueError, match="same participants"):
        bootstrap_interval(mean_difference, scores, baseline[1:])


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = []
    for number in range(200):
        low, high = bootstrap_interval(mean, rng.normal(1, 2, 40), seed=number)
        covered.append(low <= 1 <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_one_participant_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(mean, np.array([0.5]))).all()


def test_the_share_of_the_gap() -> None:
    baseline, bound = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    assert gap_share(baseline, baseline, bound) == 0
    assert gap_share(bound, baseline, bound) == 1
    assert gap_share(baseline + 0.3, baseline, bound) == pytest.approx(0.75)
    low, high = bootstrap_interval(gap_share, baseline + 0.3, baseline, bound)
    assert (low, high) == pytest.approx((0.75, 0.75))
    # Draws without the third participant have no gap.
    baseline, bound = np.zeros(3), np.array([0.0, 0.0, 1.0])
    assert bootstrap_interval(gap_share, bound / 2, baseline, bound) == pytest.approx((0.5, 0.5))
    assert np.isnan(gap_share(bound, baseline, baseline))


def test_the_signed_rank_test_enumerated() -> None:
    differences = np.array([0.9, 0.3, -0.2, 0.5, 0.4, -0.1, 0.8])
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=7)]
    assert signed_rank_p(differences) == pytest.approx(2 * np.mean([total <= observed for total in sums]))
    assert signed_rank_p(np.append(differences, [0.0, 0.0])) == signed_rank_p(differences)
    assert signed_rank_p(np.zeros(5)) == 1
    # All ties: McNemar's test, exact for few.
    assert signed_rank_p(np.array([1.0] * 10 + [-1.0] * 3)) == pytest.approx(stats.binomtest(3, 13).pvalue)
    assert signed_rank_p(np.array([1.0] * 15 + [-1.0] * 5)) == pytest.approx(2 * stats.norm.sf(10 / 20**0.5))


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
    assert friedman_p(np.ones((5, 3))) == 1
    assert np.isnan(friedman_p(scores[:, :2])) and np.isnan(friedman_p(scores[:1]))
