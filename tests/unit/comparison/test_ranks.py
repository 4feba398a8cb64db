"""Ranks within participants, and how often each place is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flairflow.comparison.tables.ranks import RANK_COLUMNS, STABILITY_COLUMNS, rank_ensembles
from metric_tables import metric_table, random_table


def test_ranks_by_hand() -> None:
    # Two participants of one scan, one of two, whose means are ranked.
    scores = {
        "a": {"dice": [0.9, 0.5, 0.0, 0.6], "hd95_mm": [1.0, 1.0, 1.0, 1.0]},
        "b": {"dice": [0.8, 0.5, 0.5, 0.2], "hd95_mm": [2.0, 2.0, 2.0, 2.0]},
        "c": {"dice": [0.1, 0.6, 0.1, 0.1], "hd95_mm": [3.0, 3.0, 3.0, 3.0]},
    }
    ranks, stability = rank_ensembles(metric_table(scores, participants=["p", "q", "r", "r"]))
    assert list(ranks.columns) == list(RANK_COLUMNS) and list(stability.columns) == list(STABILITY_COLUMNS)
    dice = ranks[ranks["metric"] == "dice"].set_index("ensemble")
    # p: 1 2 3; q: 2.5 2.5 1; r (0.3, 0.35, 0.1): 2 1 3
    assert dice["mean_rank"].to_dict() == pytest.approx({"a": 5.5 / 3, "b": 5.5 / 3, "c": 7 / 3})
    assert (dice["scans"] == 4).all() and (dice["participants"] == 3).all() and (dice["left_out"] == 0).all()
    means = [[0.9, 0.5, 0.3], [0.8, 0.5, 0.35], [0.1, 0.6, 0.1]]
    assert dice["friedman_p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*means).pvalue)
    # Lower is better, and always the same: no draw ranks them otherwise.
    distance = ranks[ranks["metric"] == "hd95_mm"]
    for column in ("mean_rank", "low", "high"):
        assert distance[column].tolist() == pytest.approx([1, 2, 3])
    shares = stability[stability["metric"] == "hd95_mm"].pivot(index="ensemble", columns="rank", values="share")
    assert np.array_equal(shares, np.eye(3))


def test_those_who_tie_share_their_places() -> None:
    scores = {name: {"dice_or_empty": [1.0, 0.0, 1.0, 0.5]} for name in "ab"} | {"c": {"dice_or_empty": [0.0] * 4}}
    ranks, stability = rank_ensembles(metric_table(scores))
    assert ranks["mean_rank"].tolist()[:2] == [1.625, 1.625]
    shares: Any = stability.pivot(index="ensemble", columns="rank", values="share")
    assert shares.loc["a"].tolist() == shares.loc["b"].tolist()
    assert shares.loc["a", 1] == pytest.approx(0.5, abs=0.01) and shares.loc["c", 3] > 0.99


def test_only_scans_that_all_have_are_ranked() -> None:
    nothing = np.nan
    scores = {
        "a": {"dice": [0.5, 0.6, nothing, 0.7], "volume_error_ml": [-9.0] * 4},
        "b": {"dice": [0.6, 0.7, 0.9, 0.1], "volume_error_ml": [-1.0] * 4},
        "c": {"dice": [nothing] * 4, "volume_error_ml": [2.0] * 4},
    }
    ranks, _ = rank_ensembles(metric_table(scores))
    dice = ranks[ranks["metric"] == "dice"]
    assert dice["ensemble"].tolist() == ["a", "b"] and dice["friedman_p"].isna().all()
    assert (dice["scans"] == 3).all() and (dice["left_out"] == 1).all()
    assert dice["mean_rank"].tolist() == pytest.approx([5 / 3, 4 / 3])
    # Errors with a sign: the one nearest to 0 is best.
    assert ranks[ranks["metric"] == "volume_error_ml"]["mean_rank"].tolist() == [3, 1, 2]


def test_one_alone_has_no_rank() -> None:
    ranks, stability = rank_ensembles(metric_table({"alone": {"dice": [0.5, 0.6, 0.7]}}))
    assert ranks["scans"].tolist() == [3] and ranks[["mean_rank", "low", "high", "friedman_p"]].isna().all(axis=None)
    assert stability.empty


def test_each_dataset_is_a_view_of_its_own() -> None:
    scores = {"a": {"dice": [0.1, 0.2, 0.9, 0.8]}, "b": {"dice": [0.2, 0.3, 0.5, 0.4]}}
    metrics = metric_table(scores, datasets=["x", "x", "y", "y"])
    ranks, stability = rank_ensembles(metrics)
    assert ranks["mean_rank"].tolist() == [1.5, 1.5, 2, 1, 1, 2]
    assert ranks["view"].tolist() == ["pooled"] * 2 + ["dataset"] * 4
    assert ranks["dataset"].fillna("").tolist() == ["", "", "x", "x", "y", "y"]
    alone = rank_ensembles(metrics[metrics["dataset"] == "y"])
    for table, own in zip((ranks, stability), alone, strict=True):
        assert own["view"].unique().tolist() == ["pooled"]  # of one dataset nothing is said twice
        expected = table[table["dataset"] == "y"].drop(columns=["view", "dataset"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(expected, own.drop(columns=["view", "dataset"]))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.5]))
def test_shares_of_places_sum_to_one(seed: int, missing: float) -> None:
    metrics = random_table(seed, scans=16, ensembles=4, people=7, missing=missing)
    ranks, stability = rank_ensembles(metrics)
    part = ["label", "metric", "view", "dataset"]
    for _, own in ranks.dropna(subset=["mean_rank"]).groupby(part, dropna=False):
        assert own["mean_rank"].sum() == pytest.approx(len(own) * (len(own) + 1) / 2)
    assert ranks.loc[ranks["participants"] < 2, "low"].isna().all()
    known = stability.dropna(subset=["share"])
    for key in ("ensemble", "rank"):
        assert known.groupby([*part, key], dropna=False)["share"].sum().to_numpy() == pytest.approx(1)
