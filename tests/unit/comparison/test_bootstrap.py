"""Clustered draws: participants, not scans, are what a mean is unsure about."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy import stats

from flairflow.comparison.statistics import bootstrap
from flairflow.comparison.statistics.bootstrap import (
    interval,
    mean_draws,
    participant_means,
    participants_with,
    ratio_bounds,
    ratio_draws,
)
from flairflow.comparison.statistics.effect_sizes import RESAMPLES
from flairflow.comparison.statistics.sign_flip import flipped_sums, sign_flip_p
from flairflow.images.grid import Array


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
    assert draws[:, 2].min() >= values[25:, 2].min() and draws[:, 2].max() <= values[25:, 2].max()
    low, high = interval(draws)
    assert (low < high).all()
    assert np.isnan(interval(np.full((10, 1), np.nan))).all()


def test_a_ratio_is_of_sums() -> None:
    found, all_of_them = np.array([[9.0], [0.0], [1.0]]), np.array([[10.0], [1.0], [1.0]])
    draws = ratio_draws(found, all_of_them, np.array(["a", "a", "b"]))
    # Of two participants one has the share u of the weight, with u spread evenly: (9 u + 1 - u) / (11 u + 1 - u).
    u = np.random.default_rng(1).random(100_000)
    expected = np.quantile((8 * u + 1) / (10 * u + 1), [0.1, 0.5, 0.9])
    assert np.quantile(draws, [0.1, 0.5, 0.9]) == pytest.approx(expected, abs=0.005)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, people = np.random.default_rng(1).random((40, 3)), np.arange(40) // 2
    once = mean_draws(values, people)
    monkeypatch.setattr(bootstrap, "BLOCK", 700)
    assert np.allclose(mean_draws(values, people), once)


def test_memory_does_not_grow_with_draws_times_participants() -> None:
    values, people = np.ones((20_000, 2)), np.arange(20_000)
    tracemalloc.start()
    mean_draws(values, people)
    means_of(values, people)
    sign_flip_p(flipped_sums(values))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All draws of all participants would take 1600 MB.
    assert most < 60e6


def means_of(values: Array, people: Array, limits: tuple[float, float] = (0.0, 1.0), **more: Array) -> Array:
    """The intervals of means (2, K)."""
    known = ~np.isnan(values)
    both = np.repeat(np.array(limits)[:, None], values.shape[1], axis=1)
    return np.array(ratio_bounds(np.where(known, values, 0), known.astype(float), people, both, **more))


@pytest.mark.parametrize(("right", "count"), [(0, 6), (6, 6), (1, 6), (3, 20), (17, 50), (322, 323)])
def test_shares_have_the_interval_of_clopper_and_pearson(right: int, count: int) -> None:
    scores = np.repeat([1.0, 0.0], [right, count - right])[:, None]
    expected = stats.binomtest(right, count).proportion_ci()
    assert means_of(scores, np.arange(count))[:, 0] == pytest.approx([expected.low, expected.high])
    # Drawn it is the same but for chance.
    drawn = means_of(scores, np.arange(count), groups=np.zeros(count))[:, 0]
    assert drawn == pytest.approx([expected.low, expected.high], abs=0.02)


def test_nothing_of_six_is_not_nothing_for_sure() -> None:
    assert means_of(np.zeros((6, 1)), np.arange(6))[:, 0] == pytest.approx([0, 0.4593], abs=1e-4)
    assert means_of(np.ones((6, 1)), np.arange(6))[:, 0] == pytest.approx([0.5407, 1], abs=1e-4)
    # Nor is it twice as sure from two scans of each.
    low, high = means_of(np.zeros((12, 1)), np.repeat(np.arange(6), 2))[:, 0]
    assert (low, high) == pytest.approx((0, 0.4593), abs=0.02)


def test_the_bound_of_a_mean_by_hand() -> None:
    """Of two scores a < b in [0, 1], for the upper end: a U1 + b (U2 - U1) + 1 - U2, with U1 < U2 sorted uniforms."""
    first, second = np.sort(np.random.default_rng(2).random((2, 200_000)), axis=0)
    a, b = 0.2, 0.6
    high = np.quantile(a * first + b * (second - first) + 1 - second, 0.975)
    low = np.quantile(b * first + a * (second - first), 0.025)
    assert means_of(np.array([[a], [b]]), np.arange(2))[:, 0] == pytest.approx([low, high], abs=0.01)


@pytest.mark.parametrize("count", [6, 20, 50])
@pytest.mark.parametrize(("limits", "least"), [((0.0, np.inf), 0.87), ((0.0, 60.0), 0.95)])
def test_means_of_mostly_nothing_are_covered(count: int, limits: tuple[float, float], least: float) -> None:
    """False volumes of one scan in five, over orders of magnitude; the percentile bootstrap covers 30 to 75 %."""
    rng = np.random.default_rng(count)
    sizes = np.minimum(rng.lognormal(0, 1.5, (count, 200)), 60)
    values = sizes * (rng.random((count, 200)) < 0.2)
    mean = 0.2 * np.minimum(np.random.default_rng(1).lognormal(0, 1.5, 1_000_000), 60).mean()
    low, high = means_of(values, np.arange(count), limits)
    assert ((low <= mean) & (high >= mean)).mean() >= least
    plain = interval(mean_draws(values, np.arange(count)))
    assert ((plain[0] <= mean) & (plain[1] >= mean)).mean() < 0.85


def test_where_all_is_zero_nothing_bounds_a_volume() -> None:
    assert means_of(np.zeros((6, 1)), np.arange(6), (0.0, np.inf))[:, 0].tolist() == [0, np.inf]
    low, high = means_of(np.array([[0.0], [0.0], [2.0]]), np.arange(3), (-np.inf, np.inf))[:, 0]
    assert low < -2 and high > 2


def test_what_has_no_limits_has_the_plain_interval() -> None:
    values = np.random.default_rng(7).normal(3, 1, (25, 1))
    found = means_of(values, np.arange(25), (np.nan, np.nan))
    assert found[:, 0] == pytest.approx(np.array(interval(mean_draws(values, np.arange(25))))[:, 0], abs=0.05)
    assert np.isnan(means_of(np.full((3, 1), np.nan), np.arange(3))).all()


def test_what_participants_have() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]])
    people = np.array(["b", "b", "a"])
    assert participants_with(values, people).tolist() == [2, 1]
    assert np.array_equal(participant_means(values, people), np.array([[5.0, 7.0], [2.0, np.nan]]), equal_nan=True)


def test_flipped_signs_enumerated() -> None:
    differences = np.array([[0.9, 1.0], [0.3, 1.0], [-0.2, -1.0], [0.5, 0.0], [0.0, 0.0]])
    signs = np.array(list(product((1, -1), repeat=5)))
    sums = np.abs(signs @ differences)
    expected = (sums >= np.abs(differences.sum(axis=0)) - 1e-12).mean(axis=0)
    assert sign_flip_p(flipped_sums(differences)) == pytest.approx(expected)
    assert sign_flip_p(flipped_sums(np.zeros((4, 1)))).tolist() == [1]


def test_flipped_signs_of_many_are_those_of_scipy() -> None:
    differences = np.random.default_rng(8).normal(0.25, 1, 60)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    assert sign_flip_p(flipped_sums(differences[:, None]))[0] == pytest.approx(theirs.pvalue, abs=0.012)
    assert flipped_sums(np.ones((40, 1)))[0, 0] == 40
    assert sign_flip_p(flipped_sums(np.ones((40, 1))))[0] == 1 / (RESAMPLES + 1)
