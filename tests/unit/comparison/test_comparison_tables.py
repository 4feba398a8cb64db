"""All tables of a comparison at once, from whatever tables/metrics.tsv may hold."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flairflow.comparison.tables.write import comparison_tables, write_comparison_tables
from flairflow.metrics.registry import COLUMNS, METRICS
from flairflow.paths import COMPARISON_TABLES, Results
from flairflow.tables import read_table, to_tsv, write_table
from metric_tables import metric_table, random_table


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """With all columns of tables/metrics.tsv, as written and read."""
    return table.reindex(columns=list(COLUMNS))


def written(metrics: pd.DataFrame, folder: Path) -> Results:
    results = Results(folder)
    write_table(results.table("metrics"), metrics, COLUMNS)
    write_comparison_tables(results)
    return results


def test_all_declared_files_are_written_with_their_dictionaries(tmp_path: Path) -> None:
    results = written(whole(random_table(1, scans=30, ensembles=3, people=12)), tmp_path)
    files = sorted(path for path in (tmp_path / "tables").iterdir() if path.stem != "metrics")
    assert files == sorted(results.comparison_tables)
    for name in COMPARISON_TABLES:
        path = results.table(name)
        table = read_table(path)
        assert len(table), name
        assert list(table.columns) == list(json.loads(path.with_suffix(".json").read_text())), name
    assert read_table(results.table("summary"))["primary"].dtype == bool


def test_the_same_metrics_give_the_same_files(tmp_path: Path) -> None:
    metrics = whole(random_table(2, scans=12, ensembles=2, people=6, missing=0.2))
    one, other = written(metrics, tmp_path / "one"), written(metrics, tmp_path / "other")
    for first, second in zip(one.comparison_tables, other.comparison_tables, strict=True):
        assert first.read_bytes() == second.read_bytes(), first


nothing = np.nan
FEW: dict[str, pd.DataFrame] = {
    "no scan": pd.DataFrame(),
    "one scan of one ensemble": random_table(3, scans=1, ensembles=1, people=1),
    "two scans of one participant": random_table(4, scans=2, ensembles=3, people=1),
    "nothing is defined": random_table(5, scans=6, ensembles=2, people=3).assign(**dict.fromkeys(METRICS, nothing)),
    "hardly anything is there": random_table(6, scans=6, ensembles=4, people=3, missing=0.8),
    "no lesion at all": metric_table(
        {
            name: {"dice": [nothing] * 3, "dice_or_empty": [1, 0, 1], "false_ml": [0, 2, 0], "reference_ml": [0, 0, 0]}
            for name in "ab"
        }
    ),
    "imported results of other scans": pd.concat(
        [
            random_table(7, scans=8, ensembles=2, people=8),
            metric_table({"published": {"dsc": [0.5, 0.4], "ldsc": [0.1, nothing], "n_gt": [3, 1]}}, label="A"),
        ]
    ),
    "an ensemble that has one label only": pd.concat(
        [
            metric_table({"one": {"dice": [0.5, 0.6]}, "both": {"dice": [0.4, 0.7]}}, label="A"),
            metric_table({"both": {"dice": [0.1, 0.2]}}, label="B"),
        ]
    ),
    "participants that are not known": random_table(8, scans=5, ensembles=2, people=5).assign(participant=nothing),
}


@pytest.mark.parametrize("what", FEW)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_where_there_is_little_there_are_tables_all_the_same(what: str, tmp_path: Path) -> None:
    results = written(whole(FEW[what]), tmp_path)
    for name in COMPARISON_TABLES:
        table = read_table(results.table(name))
        assert not np.isinf(table.select_dtypes("number").to_numpy(float)).any(), name
    summary = read_table(results.table("summary"))
    assert summary["scans"].gt(0).all()
    assert "##" not in results.main_table("md").read_text() or len(summary)


def test_what_one_scan_can_say() -> None:
    tables = comparison_tables(metric_table({"a": {"dice": [0.5]}, "b": {"dice": [0.75]}}))
    summary, pairs, ranks = (tables[name][0] for name in ("summary", "pairs", "ranks"))
    assert summary.loc[summary["primary"], "mean"].tolist() == [0.5, 0.75] and summary["low"].isna().all()
    assert pairs["mean_difference"].tolist() == [-0.25] and pairs[["low", "p", "p_holm"]].isna().all(axis=None)
    assert ranks["mean_rank"].tolist() == [2, 1] and ranks[["low", "friedman_p"]].isna().all(axis=None)


def test_other_scans_are_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = metric_table({"a": {"dice": [0.5, 0.1]}, "b": {"dice": [0.75, 0.2, 0.4]}})
    with caplog.at_level(logging.WARNING):
        results = written(whole(metrics), tmp_path)
    assert "A: b has 1 scans that not every ensemble has (s02); " in caplog.text
    assert read_table(results.table("pairs"))["only_other"].tolist() == [1]


def test_the_main_table_says_where_grids_may_differ(tmp_path: Path) -> None:
    metrics = whole(metric_table({"own": {"dice": [0.5, 0.1]}, "their_one": {"dice": [0.75, 0.2]}}))
    results = Results(tmp_path)
    write_table(results.table("metrics"), metrics, COLUMNS)
    note = "Own scores are on the native grid; imported ones (their_one) on the grid they were scored on"
    for own, said in ((["own"], True), (["own", "their_one"], False), ([], False)):
        write_comparison_tables(results, None, own, "native")
        assert (note in results.main_table("md").read_text()) is said
        assert (note.replace("_", r"\_") in results.main_table("tex").read_text()) is said


def test_tables_come_in_the_order_of_metrics_and_ensembles() -> None:
    metrics = random_table(9, scans=20, ensembles=3, people=20)
    names = [name for name in METRICS if name in metrics]
    for name, (table, columns) in comparison_tables(metrics).items():
        assert set(table.columns) <= set(columns), name
        assert table["label"].drop_duplicates().tolist() == ["A", "B"], name
        if "metric" in table:
            found = table["metric"].drop_duplicates().tolist()
            assert found == [metric for metric in names if metric in found], name
        if "ensemble" in table and name != "pairs":
            assert table["ensemble"].drop_duplicates().tolist() == ["e0", "e1", "e2"], name
        assert to_tsv(table)
