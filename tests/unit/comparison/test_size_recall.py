"""Recall by lesion size: lesions are counted, participants are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from flairflow.comparison.tables.size_recall import COLUMNS, recall_by_size
from flairflow.metrics.registry import METRICS, SIZES
from metric_tables import metric_table


def counts(scans: int) -> dict[str, list[float]]:
    """No lesion of any size."""
    return {f"{what}_{size}": [0.0] * scans for size, _, _ in SIZES for what in ("lesions", "found")}


def test_every_lesion_counts_the_same() -> None:
    own = counts(3)
    own |= {"lesions_under_0.1ml": [10, 1, np.nan], "found_under_0.1ml": [9, 0, np.nan]}
    own |= {"lesions_over_10ml": [1, 0, np.nan], "found_over_10ml": [1, 0, np.nan]}
    assert set(own) < set(METRICS)
    table = recall_by_size(metric_table({"m": own}))
    assert list(table.columns) == list(COLUMNS)
    assert table[["from_ml", "to_ml"]].iloc[:3].to_numpy().tolist() == [[0, 0.1], [0.1, 1], [1, 10]]
    assert table["from_ml"].iloc[3] == 10 and np.isnan(table["to_ml"].iloc[3])
    small, none, _, large = table.to_dict("records")
    assert (small["lesions"], small["found"], small["recall"]) == (11, 9, pytest.approx(9 / 11))
    assert 0 < small["low"] < 0.1 and 0.9 < small["high"] < 1
    assert none["lesions"] == 0 and np.isnan([none["recall"], none["low"]]).all()
    assert large["recall"] == 1 and np.isnan(large["low"])  # of one participant there is no interval


def test_each_dataset_is_a_view_of_its_own() -> None:
    own = counts(3) | {"lesions_over_10ml": [1, 1, 2], "found_over_10ml": [1, 0, 2]}
    table = recall_by_size(metric_table({"m": own}, datasets=["x", "x", "y"]))
    large = table[table["from_ml"] == 10]
    assert large["view"].tolist() == ["pooled", "dataset", "dataset"]
    assert large["dataset"].fillna("").tolist() == ["", "x", "y"]
    assert large["recall"].tolist() == [0.75, 0.5, 1.0]


def test_who_has_no_counts_has_no_row() -> None:
    table = recall_by_size(metric_table({"m": counts(1), "published": {"dsc": [0.5, 0.6]}}))
    assert table["ensemble"].unique().tolist() == ["m"]
    assert recall_by_size(metric_table({"published": {"dsc": [0.5]}})).empty
