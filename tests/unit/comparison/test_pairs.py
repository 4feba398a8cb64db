"""Every two ensembles on the scans both have: differences, tests, effect sizes."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flairflow.comparison.statistics.effect_sizes import holm
from flairflow.comparison.statistics.score_arrays import warn_of_other_scans
from flairflow.comparison.tables.pairs import COLUMNS, compare_pairs
from flairflow.metrics.registry import METRICS
from metric_tables import metric_table, random_table


def test_the_test_is_of_participants_not_of_scans() -> None:
    rng = np.random.default_rng(1)
    people = [f"p{number // 3:02d}" for number in range(36)]
    scores = {name: {"dice": rng.uniform(0, 1, 36).tolist()} for name in "ab"}
    row = compare_pairs(metric_table(scores, participants=people)).iloc[0]
    differences = np.array(scores["a"]["dice"]) - scores["b"]["dice"]
    means = differences.reshape(12, 3).mean(axis=1)
    assert (row["scans"], row["participants"]) == (36, 12)
    assert row["mean_difference"] == pytest.approx(differences.mean())
    assert row["p"] == pytest.approx(stats.wilcoxon(means).pvalue)
    assert row["standardised_difference"] == pytest.approx(means.mean() / means.std(ddof=1))
    ranks = stats.rankdata(np.abs(means))
    assert row["rank_biserial"] == pytest.approx((ranks[means > 0].sum() - ranks[means < 0].sum()) / ranks.sum())
    assert row["low"] < row["mean_difference"] < row["high"]
    # All signs of a participant's differences at once.
    sums = differences.reshape(12, 3).sum(axis=1)
    signs = np.array(list(product((1, -1), repeat=12)))
    assert row["p_mean"] == pytest.approx((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12).mean())


def test_where_mean_and_ranks_point_in_opposite_directions_it_is_said() -> None:
    """Many small losses and a few large gains."""
    ahead = [0.5, 0.45, 0.4] + [-0.01 - 0.0001 * number for number in range(27)]
    scores = {"bold": [0.5 + value for value in ahead], "shy": [0.5] * 30, "best": [1.0] * 30}
    table = compare_pairs(metric_table({name: {"dice": dice} for name, dice in scores.items()}))
    assert table["opposite"].tolist() == [True, False, False]
    row = table.iloc[0]
    assert row["mean_difference"] > 0 > row["rank_biserial"]
    assert row["p"] < 0.05 < row["p_mean"]


def test_scans_that_one_lacks_count_nowhere_and_are_reported() -> None:
    nothing = np.nan
    table = compare_pairs(metric_table({"a": {"dice": [0.5, 0.6, 0.9]}, "b": {"dice": [0.4, nothing, 0.5, 0.1, 0.2]}}))
    row = table.iloc[0]
    assert (row["scans"], row["only_ensemble"], row["only_other"]) == (2, 1, 2)
    assert row["mean_difference"] == pytest.approx(0.25)


def test_ensembles_that_share_no_scan_are_said_to(caplog: pytest.LogCaptureFixture) -> None:
    nothing = np.nan
    metrics = metric_table({"a": {"dice": [0.5, nothing]}, "b": {"dice": [nothing, 0.4]}, "c": {"dsc": [0.1, 0.2]}})
    row = compare_pairs(metrics).iloc[0]
    assert (row["scans"], row["only_ensemble"], row["only_other"]) == (0, 1, 1)
    assert row[["mean_difference", "low", "high", "p", "p_holm", "rank_biserial"]].isna().all()
    # `c` has another metric, so there is nothing to compare it with.
    assert len(compare_pairs(metrics)) == 1
    with caplog.at_level(logging.WARNING):
        warn_of_other_scans(metrics)
        assert not caplog.messages  # all have rows of the same scans
        more = metric_table({"d": {"dice": [0.1] * 9}})
        warn_of_other_scans(pd.concat([metrics, more]))
    assert caplog.messages == [
        "A: d has 7 scans that not every ensemble has (s02, s03, s04, s05, s06, ...); ensembles are compared on those "
        "they share"
    ]


def test_holm_is_over_the_pairs_of_a_label_and_metric() -> None:
    rng = np.random.default_rng(2)
    shifts = {"a": 0.0, "b": 0.1, "c": 0.25}
    scores = {
        name: {metric: (rng.uniform(0, 1, 20) + shift).tolist() for metric in ("dice", "lesion_f1")}
        for name, shift in shifts.items()
    }
    table = compare_pairs(metric_table(scores))
    assert len(table) == 6
    for _, family in table.groupby(["label", "metric"]):
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p"].tolist()))
        assert family["p_mean_holm"].tolist() == pytest.approx(holm(family["p_mean"].tolist()))
    assert (table["p_holm"] > table["p"]).any()


def test_each_dataset_is_a_view_and_a_family_of_its_own() -> None:
    rng = np.random.default_rng(3)
    scores = {name: {"dice": rng.uniform(0, 1, 24).tolist()} for name in "abc"}
    datasets = ["one"] * 10 + ["two"] * 14
    table = compare_pairs(metric_table(scores, datasets=datasets))
    assert table.groupby(["view", "dataset"], dropna=False).size().tolist() == [3, 3, 3]
    for name, part in (("one", slice(0, 10)), ("two", slice(10, 24))):
        alone = compare_pairs(metric_table({key: {"dice": of["dice"][part]} for key, of in scores.items()}))
        seen = table[table["dataset"] == name].reset_index(drop=True)
        assert alone["view"].unique().tolist() == ["pooled"]  # of one dataset nothing is said twice
        numbers = alone.columns[5:]
        pd.testing.assert_frame_equal(seen[numbers], alone[numbers])
        assert seen["p_holm"].tolist() == pytest.approx(holm(seen["p"].tolist()))


def test_errors_with_a_sign_are_compared_by_their_size() -> None:
    row = compare_pairs(
        metric_table({"a": {"volume_error_ml": [-3.0, 1.0]}, "b": {"volume_error_ml": [1.0, -1.0]}})
    ).iloc[0]
    assert row["mean_difference"] == pytest.approx(1.0)


def test_what_is_neither_good_nor_bad_is_not_compared() -> None:
    assert compare_pairs(metric_table({name: {"reference_ml": [1.0, 2.0]} for name in "ab"})).empty


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.4]))
def test_the_other_way_round_it_is_the_opposite(seed: int, missing: float) -> None:
    metrics = random_table(seed, scans=14, ensembles=3, people=6, missing=missing)
    table = compare_pairs(metrics)
    turned = compare_pairs(metrics.iloc[::-1]).rename(columns={"ensemble": "other", "other": "ensemble"})
    keys = ["label", "metric", "view", "dataset", "ensemble", "other"]
    assert list(table.columns) == list(COLUMNS)
    assert {METRICS[name].better for name in table["metric"].unique()} <= {"higher", "lower", "zero"}
    same = table.merge(turned, on=keys, suffixes=("", "_turned"))
    assert len(same) == len(table) > 0
    for name in ("mean_difference", "rank_biserial", "standardised_difference"):
        assert np.allclose(same[name], -same[f"{name}_turned"], equal_nan=True)
    assert np.allclose(same["p"], same["p_turned"], equal_nan=True)
    assert np.allclose(same["low"], -same["high_turned"], equal_nan=True, atol=1e-9)
    assert (same["only_ensemble"] == same["only_other_turned"]).all()
    known = table.dropna(subset=["p"])
    assert (known["p_holm"] >= known["p"]).all() and known["p_holm"].le(1).all()
    assert table["rank_biserial"].dropna().abs().le(1).all()
