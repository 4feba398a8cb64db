"""The summary of every metric, and the main table made of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import get_data_path
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from scipy import stats

from flairflow.comparison.tables.main_table import BLOCKS, as_latex, as_markdown, main_table, primary_metrics
from flairflow.comparison.tables.main_table import COLUMNS as MAIN_COLUMNS
from flairflow.comparison.tables.summary import COLUMNS, summarise
from flairflow.metrics.registry import METRICS
from flairflow.tables import read_table, write_table
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
    # Two participants of 0.1 and 0.25 on average say little.
    one, two = rows.loc[("dataset", "one")], rows.loc[("dataset", "two")]
    assert 0 < one["low"] < 0.1 and 0.5 < one["high"] < 0.9
    assert np.isnan(two[["low", "high"]].astype(float)).all() and np.isnan(two["sd"])
    assert 0 < macro["low"] < 0.5 < macro["high"] < 1
    assert table.loc[table["primary"], "view"].tolist() == ["pooled"]


def test_datasets_are_drawn_independently() -> None:
    one = np.random.default_rng(6).normal(9, 1, 40).tolist()
    table = summarise(metric_table({"m": {"hd95_mm": one * 2}}, datasets=["one"] * 40 + ["two"] * 40))
    width = (table["high"] - table["low"]).groupby(table["view"]).mean()
    assert width["macro"] == pytest.approx(width["dataset"] / 2**0.5, rel=0.05)


def test_a_person_in_several_datasets_is_drawn_once_for_all() -> None:
    """Each of 40 people has the same score in two datasets: macro is no surer than one dataset is."""
    one = np.random.default_rng(6).normal(9, 1, 40).tolist()
    people = [f"p{number}" for number in range(40)]
    table = summarise(metric_table({"m": {"hd95_mm": one * 2}}, people * 2, ["one"] * 40 + ["two"] * 40))
    bounds: Any = table.groupby("view")[["low", "high"]].mean()
    assert bounds.loc["macro"].tolist() == pytest.approx(bounds.loc["dataset"].tolist(), abs=0.02)
    assert table["participants"].tolist() == [40] * 4


def test_one_dataset_is_as_sure_as_the_whole_that_it_is() -> None:
    table = summarise(metric_table({"m": {"dice": np.random.default_rng(1).uniform(0, 1, 9).tolist()}}))
    assert table["low"].nunique() == table["high"].nunique() == 1


def test_the_interval_is_that_of_the_plain_bootstrap_where_each_has_one_scan() -> None:
    scores = np.random.default_rng(5).uniform(5, 6, 60)
    row = summarise(metric_table({"m": {"hd95_mm": scores.tolist()}})).query("primary").iloc[0]
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_rates_and_false_volumes_of_few_scans_are_not_said_to_be_sure() -> None:
    """Six scans without a lesion, in all of which something is predicted by one and nothing by the other."""
    scores: dict[str, dict[str, list[float]]] = {
        "bold": {"scan_specificity": [0] * 6, "false_ml": [2, 1, 9, 3, 0.1, 1]}
    }
    scores |= {"shy": {"scan_specificity": [1] * 6, "false_ml": [0] * 6}}
    table = summarise(metric_table(scores))
    rows: Any = table[table["primary"]].set_index(["ensemble", "metric"])
    bounds = rows[["low", "high"]].astype(float)
    assert bounds.loc[("bold", "scan_specificity")].tolist() == pytest.approx([0, 0.459], abs=1e-3)
    assert bounds.loc[("shy", "scan_specificity")].tolist() == pytest.approx([0.541, 1], abs=1e-3)
    low, high = bounds.loc[("bold", "false_ml")]
    assert 0 < low < 16.1 / 6 and high > 9
    # Of what was never seen, nothing says how large it may be.
    assert bounds.loc[("shy", "false_ml"), "low"] == 0 and np.isnan(bounds.loc[("shy", "false_ml"), "high"])
    text = as_markdown(main_table(table, metric_table(scores)))
    assert "0.000 [0.000, 0.459]" in text and "0.00 [0.00, n/a]" in text


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
    assert (known["low"] <= known["mean"] + 1e-9).all() and (known["mean"] <= known["high"].fillna(np.inf) + 1e-9).all()
    nothing = (table["mean"] == 0) & table["low"].eq(0)
    assert table["low"].isna().equals(table["high"].isna() & ~nothing)
    assert (table.loc[table["participants"] < 2, "low"].isna()).all()


def test_a_scan_that_stands_twice_is_refused() -> None:
    metrics = metric_table({"m": {"dice": [0.1, 0.2]}})
    with pytest.raises(ValueError, match="A: m has two rows of the scan s01"):
        summarise(pd.concat([metrics, metrics[1:]]))


def test_scores_that_are_infinite_are_missing() -> None:
    row = summarise(metric_table({"m": {"asd": [1.0, np.inf, 2.0]}})).query("primary").iloc[0]
    assert (row["scans"], row["mean"]) == (2, 1.5)


SMALL = r"\fontsize{6}{7}\selectfont"


def main_of(metrics: pd.DataFrame) -> pd.DataFrame:
    return main_table(summarise(metrics), metrics)


def some_metrics() -> pd.DataFrame:
    nothing = np.nan
    own = {"dice": [0.5, 0.7, nothing], "dice_or_empty": [0.5, 0.7, 0.0], "false_ml": [nothing, nothing, 12.0]}
    theirs = {"dsc": [0.25, 0.75, nothing], "lfp_empty": [nothing, nothing, 3.0], "n_gt": [1.0, 2.0, 0.0]}
    one = metric_table({"own_one": own, "a_published": theirs}, label="A")
    return pd.concat([one, metric_table({"own_one": {"dice": [0.125]}}, label="B")])


def test_the_main_table_has_a_row_for_each_label_and_ensemble() -> None:
    table = main_of(some_metrics())
    assert list(table.columns) == list(MAIN_COLUMNS)
    rows: Any = table.set_index(["label", "ensemble"])
    assert list(rows.index) == [("A", "own_one"), ("A", "a_published"), ("B", "own_one")]
    own, theirs = rows.loc[("A", "own_one")], rows.loc[("A", "a_published")]
    assert (own["lesion_scans"], own["lesion_free_scans"], own["participants"], own["dice_scans"]) == (2, 1, 3, 2)
    assert own["dice"] == pytest.approx(0.6) and own["dice_or_empty"] == pytest.approx(0.4)
    assert pd.isna(own["dsc"]) and pd.isna(theirs["dice"]) and theirs["dsc"] == 0.5
    assert rows.loc[("B", "own_one"), "dice"] == 0.125 and pd.isna(rows.loc[("B", "own_one"), "dice_low"])


def test_the_main_table_in_markdown() -> None:
    text = as_markdown(main_of(some_metrics()))
    assert "A: n = 2 + 1 (participants: 3); B: n = 1 + 0 (participants: 1)." in text
    first, second, third = text.split("## ")[1:]
    share = r"\[0.\d{3}, 0.\d{3}\]"
    assert "| label | ensemble | n | dice ↑ |" in first
    assert re.search(rf"\| A \| own_one \| 2 \+ 1 \| 0.600 {share} \|\n", first)
    assert "| B | own_one | 1 + 0 | 0.125 |" in first
    assert "| label | ensemble | n | dice or empty ↑ | false ml ↓ |" in second
    assert re.search(rf"\| A \| own_one \| 2 \+ 1 \| 0.400 {share} \| 12.00 \|", second)
    assert "a_published" not in first + second and "own_one" not in third
    assert re.search(rf"\| A \| a_published \| 2 \+ 1 \| 0.500 {share} \| n/a \| 3.000 \|", third)
    assert "Primary metric: A dice or empty, B dice; the others are secondary." in text
    assert "Each ensemble was trained once, its seeds averaged" in text


def test_what_flatters_stands_beside_what_does_not() -> None:
    """A mask of the whole brain finds every lesion, an empty one is right wherever there is none."""
    together = [("lesion_f1", "lesion_f1_iou"), ("scan_sensitivity", "scan_specificity")]
    for pair in [*together, ("volume_error_ml", "absolute_volume_error_ml")]:
        assert any(set(pair) <= set(block) for block in BLOCKS.values()), pair


def test_the_primary_metric_depends_on_the_scans_not_on_the_results() -> None:
    whole, free = {"dice": [0.5], "dice_or_empty": [0.5]}, {"dice_or_empty": [1.0], "scan_specificity": [1.0]}
    assert primary_metrics(metric_table({"m": whole})) == {"A": "dice"}
    assert primary_metrics(pd.concat([metric_table({"m": whole}), metric_table({"n": free})])) == {"A": "dice_or_empty"}
    assert primary_metrics(metric_table({"m": {"dsc": [0.5]}})) == {"A": "dsc"}
    assert primary_metrics(metric_table({"m": {"dice": [np.nan]}})) == {}


def test_the_main_table_in_latex() -> None:
    text = as_latex(main_of(some_metrics()))
    first, _, below = text.partition("A & own\\_one & 2 + 1 & 0.400 & 12.00 \\\\\n &  &  & ")
    assert first and re.match(r"\\fontsize\{6\}\{7\}\\selectfont \[0.\d{3}, 0.\d{3}\] & ", below)
    assert r"95 \% intervals" in text and r"\shortstack{dice~$\uparrow$}" in text and text.isascii()
    for part in text.split(r"\begin{table*}")[1:]:
        columns = part.split(r"\begin{tabular}{")[1].split("}")[0]
        body = part.split(r"\toprule")[1].split(r"\bottomrule")[0]
        body = body.split(r"\midrule", 1)[1]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows and all(len(row.split(" & ")) == len(columns) for row in rows)
        assert r"\end{table*}" in part
    assert text.count(r"\midrule") == 4  # below three headings, and between the labels of the first


@pytest.mark.parametrize("title", BLOCKS)
def test_the_latex_table_fits_a_page(title: str) -> None:
    """Of the strategies with the longest names and of all metrics, in the letters of LaTeX; a page is 500 pt wide."""
    rng = np.random.default_rng(3)
    names = ["class_conditional", "masked_sigmoid", "marginal_exclusion"]
    shown = BLOCKS[title]
    metrics = metric_table({name: {metric: (150 + 9 * rng.random(9)).tolist() for metric in shown} for name in names})
    shares = [name for name in shown if METRICS[name].limits[1] == 1]
    metrics[shares] = rng.random((len(metrics), len(shares)))
    metrics.loc[0, shown[-1]] = np.nan
    text = as_latex(main_of(metrics.replace({"label": {"A": "WMH"}})))
    rows = text.split(r"\toprule")[-1].split(r"\bottomrule")[0].split(r"\midrule")
    font = FontProperties(fname=Path(get_data_path()) / "fonts" / "ttf" / "cmr10.ttf")

    def width(cell: str) -> float:
        """Of the widest line in pt."""
        size = 6 if SMALL in cell else 7
        words = re.sub(r"\$.*?\$", "M", cell.replace(SMALL, "").replace(r"\shortstack", ""))
        lines = [line.strip(" {}").replace(r"\_", "_").replace("~", " ") or "." for line in words.split(r" \\ ")]
        return max(float(TextPath((0, 0), line, size=size, prop=font).get_extents().width) for line in lines)

    lines = [line.removesuffix(r" \\").split(" & ") for part in rows for line in part.strip().splitlines()]
    widths = [[width(cell) for cell in line] for line in lines]
    columns = np.array(widths)
    assert columns.shape[1] == 3 + len(shown)
    assert columns.max(axis=0).sum() + 2 * 3 * columns.shape[1] < 500


def test_without_scores_the_main_table_is_empty() -> None:
    table = main_of(metric_table({"m": {"dice": [np.nan]}}))
    assert table.empty and list(table.columns) == list(MAIN_COLUMNS)
    assert "##" not in as_markdown(table) and "tabular" not in as_latex(table)


def test_a_mean_of_fewer_scans_says_of_how_many() -> None:
    """Who misses nine lesions of ten must not look best by the distance of the tenth."""
    nothing = np.nan
    scores = {
        "all": {"dice": [0.5] * 10, "hd95_mm": [5.0] * 10, "dice_or_empty": [0.5] * 10},
        "misses": {"dice": [0.0] * 9 + [0.5], "hd95_mm": [nothing] * 9 + [3.0], "dice_or_empty": [0.0] * 9 + [0.5]},
    }
    text = as_markdown(main_of(metric_table(scores)))
    assert re.search(r"\| 10 \+ 0 \| 0.050 \[0.\d{3}, 0.\d{3}\] \| 3.00 \(1\) \|", text)
    # Scores that are all the same are no proof that all others are too.
    assert re.search(r"\| 10 \+ 0 \| 0.500 \[0.[34]\d{2}, 0.[56]\d{2}\] \| 5.00 \[5.00, 5.00\] \|", text)
    assert "In round brackets" in text


def test_scans_without_a_lesion_are_counted_from_what_all_scans_have() -> None:
    lesion = {"dice": [0.5] * 10 + [np.nan] * 10, "dice_or_empty": [0.5] * 10 + [1.0] * 9 + [np.nan]}
    table = main_of(metric_table({"m": lesion}))
    assert table[["scans", "lesion_scans", "lesion_free_scans"]].to_numpy().tolist() == [[19, 10, 9]]
    assert "| m | 10 + 9 | 0.500 [" in as_markdown(table)


def test_a_table_of_one_metric_of_all_scans_is_shown(tmp_path: Path) -> None:
    """A leaderboard's scores do not say which scans have a lesion."""
    scores = metric_table({"m": {"dice_or_empty": [0.5, 1.0, 0.0]}})
    table = main_of(pd.concat([scores, metric_table({"m": {"dice": [0.5]}}, label="B")]))
    write_table(tmp_path / "main.tsv", table, MAIN_COLUMNS)
    for shown in (table, read_table(tmp_path / "main.tsv")):
        assert "| B | m | 1 + 0 | 0.500 |" in as_markdown(shown)
        own = shown[shown["label"] == "A"]
        text = as_markdown(own)
        assert "A: n = 3 (participants: 3)." in text and text.count("## ") == 1
        assert re.search(r"\| A \| m \| 3 \| 0.500 \[0.0\d{2}, 0.9\d{2}\] \|", text)


def test_rows_of_other_scans_are_marked() -> None:
    far = metric_table({"far": {"dice": [0.9, 0.8]}}).replace({"scan": {"s00": "elsewhere"}})
    text = as_markdown(main_of(pd.concat([metric_table({name: {"dice": [0.5, 0.7]} for name in "ab"}), far])))
    assert "| b | 2 + 0 |" in text and "| far | 2 + 0 * |" in text and "*: not the same scans" in text
    assert "*" not in as_markdown(main_of(metric_table({name: {"dice": [0.5, 0.7]} for name in "ab"})))
