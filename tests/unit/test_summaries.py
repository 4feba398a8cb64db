"""The summary of every metric, and the main table made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flairflow.evaluation.main_table import COLUMNS as MAIN_COLUMNS
from flairflow.evaluation.main_table import as_latex, as_markdown, main_table
from flairflow.evaluation.metrics import METRICS
from flairflow.evaluation.summary import COLUMNS, summarise
from metric_tables import metric_table, random_table


def test_the_three_views_by_hand() -> None:
    scores = {"m": {"dice": [0.1, 0.2, 0.3, 0.8], "false_ml": [np.nan] * 4}}
    metrics = metric_table(scores, participants=["p", "q", "q", "r"], datasets=["one", "one", "one", "two"])
    table = summarise(metrics)
    assert list(table.columns) == list(COLUMNS)
    rows: Any = table.set_index([table["view"], table["dataset"].fillna("")])
    assert set(rows.index) == {("pooled", ""), ("macro", ""), ("dataset", "one"), ("dataset", "two")}
    pooled, macro = rows.loc[("pooled", "")], rows.loc[("macro", "")]
    assert (pooled["scans"], pooled["participants"]) == (macro["scans"], macro["participants"]) == (4, 3)
    assert (pooled["mean"], pooled["median"]) == pytest.approx((0.35, 0.25))
    assert pooled["sd"] == pytest.approx(np.std([0.1, 0.2, 0.3, 0.8], ddof=1))
    assert (macro["mean"], macro["sd"]) == pytest.approx((0.5, 0.3 * 2**0.5))
    # The dataset of one participant is always drawn as it is: half of the others' spread remains.
    one, two = rows.loc[("dataset", "one")], rows.loc[("dataset", "two")]
    assert (one["low"], one["high"]) == pytest.approx((0.1, 0.25))
    assert np.isnan(two[["low", "high"]].astype(float)).all() and np.isnan(two["sd"])
    assert (macro["low"], macro["high"]) == pytest.approx(((0.1 + 0.8) / 2, (0.25 + 0.8) / 2))
    assert table.loc[table["primary"], "view"].tolist() == ["pooled"]


def test_datasets_are_drawn_independently() -> None:
    one = np.random.default_rng(6).normal(0, 1, 40).tolist()
    table = summarise(metric_table({"m": {"dice": one * 2}}, datasets=["one"] * 40 + ["two"] * 40))
    width = (table["high"] - table["low"]).groupby(table["view"]).mean()
    assert width["macro"] == pytest.approx(width["dataset"] / 2**0.5, rel=0.05)


def test_the_interval_is_that_of_the_plain_bootstrap_where_each_has_one_scan() -> None:
    scores = np.random.default_rng(5).uniform(0, 1, 60)
    row = summarise(metric_table({"m": {"dice": scores.tolist()}})).query("primary").iloc[0]
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.01)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.3, 1.0]))
def test_means_are_those_of_the_scans_that_have_the_metric(seed: int, missing: float) -> None:
    metrics = random_table(seed, scans=20, ensembles=2, people=8, missing=missing)
    table = summarise(metrics)
    names = [name for name in METRICS if name in metrics]
    groups = metrics.groupby(["label", "ensemble"])[names]
    expected = groups.mean().stack().dropna().sort_index()
    pooled: Any = table[table["primary"]].set_index(["label", "ensemble", "metric"]).sort_index()
    assert set(pooled.index) == set(expected.index)
    for key, value in expected.items():
        assert pooled.loc[key, "mean"] == pytest.approx(value)
    assert pooled["scans"].sum() == metrics[names].notna().to_numpy().sum()
    known = table.dropna(subset=["low"])
    assert (known["low"] <= known["mean"] + 1e-9).all() and (known["mean"] <= known["high"] + 1e-9).all()
    assert table["low"].isna().equals(table["high"].isna())
    assert (table.loc[table["participants"] < 2, "low"].isna()).all()


def test_a_scan_that_stands_twice_is_refused() -> None:
    metrics = metric_table({"m": {"dice": [0.1, 0.2]}})
    with pytest.raises(ValueError, match="A: m has two rows of the scan s01"):
        summarise(pd.concat([metrics, metrics[1:]]))


def test_scores_that_are_infinite_are_missing() -> None:
    row = summarise(metric_table({"m": {"asd": [1.0, np.inf, 2.0]}})).query("primary").iloc[0]
    assert (row["scans"], row["mean"]) == (2, 1.5)


def some_summary() -> pd.DataFrame:
    nothing = np.nan
    own = {"dice": [0.5, 0.7, nothing], "dice_or_empty": [0.5, 0.7, 0.0], "false_ml": [nothing, nothing, 12.0]}
    theirs = {"dsc": [0.25, 0.75, nothing], "lfp_empty": [nothing, nothing, 3.0], "n_gt": [1.0, 2.0, 0.0]}
    one = metric_table({"own_one": own, "a_published": theirs}, label="A")
    return summarise(pd.concat([one, metric_table({"own_one": {"dice": [0.125]}}, label="B")]))


def test_the_main_table_has_a_row_for_each_label_and_ensemble() -> None:
    table = main_table(some_summary())
    assert list(table.columns) == list(MAIN_COLUMNS)
    rows: Any = table.set_index(["label", "ensemble"])
    assert list(rows.index) == [("A", "own_one"), ("A", "a_published"), ("B", "own_one")]
    own, theirs = rows.loc[("A", "own_one")], rows.loc[("A", "a_published")]
    assert (own["lesion_scans"], own["lesion_free_scans"], own["participants"], own["dice_scans"]) == (2, 1, 3, 2)
    assert own["dice"] == pytest.approx(0.6) and own["dice_or_empty"] == pytest.approx(0.4)
    assert pd.isna(own["dsc"]) and pd.isna(theirs["dice"]) and theirs["dsc"] == 0.5
    assert rows.loc[("B", "own_one"), "dice"] == 0.125 and pd.isna(rows.loc[("B", "own_one"), "dice_low"])


def test_the_main_table_in_markdown() -> None:
    text = as_markdown(main_table(some_summary()))
    assert "A: n = 2 + 1 (participants: 3); B: n = 1 + 0 (participants: 1)." in text
    assert "| label | ensemble | n | dice ↑ | dice or empty ↑ | false ml ↓ |" in text
    assert "| A | own_one | 2 + 1 | 0.600 [0.500, 0.700] | 0.400 [0.000, 0.700] | 12.00 |" in text
    assert "| B | own_one | 1 + 0 | 0.125 | n/a | n/a |" in text
    first, second = text.split("## ")[1:]
    assert "a_published" not in first and "| A | a_published | 2 + 1 | 0.500 [0.250, 0.750] | n/a | 3.000 |" in second
    assert "own_one" not in second


def test_the_main_table_in_latex() -> None:
    text = as_latex(main_table(some_summary()))
    assert r"A & own\_one & 2 + 1 & 0.600 [0.500, 0.700] & 0.400 [0.000, 0.700] & 12.00 \\" in text
    assert r"95 \% bootstrap" in text and r"dice $\uparrow$" in text and text.isascii()
    for part in text.split(r"\begin{table*}")[1:]:
        columns = part.split(r"\begin{tabular}{")[1].split("}")[0]
        body = part.split(r"\toprule")[1].split(r"\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows and all(len(row.split(" & ")) == len(columns) for row in rows)
        assert r"\end{table*}" in part
    assert text.count(r"\midrule") == 3  # below two headings, and between the labels of the first


def test_without_scores_the_main_table_is_empty() -> None:
    table = main_table(summarise(metric_table({"m": {"dice": [np.nan]}})))
    assert table.empty and list(table.columns) == list(MAIN_COLUMNS)
    assert "##" not in as_markdown(table) and "tabular" not in as_latex(table)
