"""Clustered draws: participants, not scans, are what a mean is unsure about."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flairflow.evaluation.bootstrap import (
    interval,
    mean_draws,
    participant_means,
    participants_with,
    ratio_draws,
)
from flairflow.evaluation.statistics import RESAMPLES


def test_with_one_scan_each_it_is_the_plain_bootstrap() -> None:
    scores = np.random.default_rng(1).beta(2, 3, 80)
    low, high = interval(mean_draws(scores[:, None], np.arange(80)))
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_a_scan_that_is_there_twice_makes_nothing_surer() -> None:
    scores = np.random.default_rng(2).normal(0, 1, 50)
    once = interval(mean_draws(scores[:, None], np.arange(50)))
    people = np.repeat([f"p{number:02d}" for number in range(50)], 2)
    assert np.allclose(interval(mean_draws(np.repeat(scores, 2)[:, None], people)), once)
    apart = interval(mean_draws(np.repeat(scores, 2)[:, None], np.arange(100)))
    assert (apart[1] - apart[0]) < 0.8 * (once[1] - once[0])


def test_intervals_of_repeated_scans_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(40), 3)
    values = rng.normal(1, 2, (40, 200))[people] + rng.normal(0, 0.5, (120, 200))
    low, high = interval(mean_draws(values, people))
    assert 0.88 <= ((low <= 1) & (high >= 1)).mean() <= 0.99
    low, high = interval(mean_draws(values, np.arange(120)))
    assert ((low <= 1) & (high >= 1)).mean() < 0.85


def test_missing_scores_do_not_count_and_columns_are_paired() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 5, (30, 3))
    values[:, 1] = values[:, 0] + 0.25
    values[:25, 2] = np.nan
    draws = mean_draws(values, np.arange(30))
    assert draws.shape == (RESAMPLES, 3)
    assert np.allclose(draws[:, 1] - draws[:, 0], 0.25)
    # A few draws have none of the five; the others are means of these.
    assert 0 < np.isnan(draws[:, 2]).mean() < 0.05
    assert np.nanmin(draws[:, 2]) >= values[25:, 2].min() and np.nanmax(draws[:, 2]) <= values[25:, 2].max()
    low, high = interval(draws)
    assert (low < high).all()
    assert np.isnan(interval(np.full((10, 1), np.nan))).all()


def test_a_ratio_is_of_sums() -> None:
    found, all_of_them = np.array([[9.0], [0.0], [1.0]]), np.array([[10.0], [1.0], [1.0]])
    draws = ratio_draws(found, all_of_them, np.array(["a", "a", "b"]))
    # Two participants: both of them, or one of them twice.
    assert set(np.round(np.unique(draws), 9)) == {round(9 / 11, 9), round(10 / 12, 9), 1.0}
    assert np.isclose(draws, 10 / 12).mean() == pytest.approx(0.5, abs=0.02)


def test_what_participants_have() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]])
    people = np.array(["b", "b", "a"])
    assert participants_with(values, people).tolist() == [2, 1]
    assert np.array_equal(participant_means(values, people), np.array([[5.0, 7.0], [2.0, np.nan]]), equal_nan=True)
