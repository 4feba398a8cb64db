"""Tests against scipy's, exact enumeration and cases worked by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flairflow.evaluation.statistics import (
    friedman_p,
    holm,
    rank_biserial,
    signed_rank_p,
    standardised_difference,
)


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


@given(st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=9))
def test_the_signed_rank_test_with_ties_is_exact(differences: list[int]) -> None:
    own = np.array(differences, float)
    ranks = stats.rankdata(np.abs(own))
    signs = np.array(list(product((-1, 1), repeat=len(own))))
    observed = np.sign(own) @ ranks
    below, above = np.mean(signs @ ranks <= observed), np.mean(signs @ ranks >= observed)
    assert signed_rank_p(own) == pytest.approx(min(1, 2 * min(below, above)))


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
