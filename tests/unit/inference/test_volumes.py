"""tables/volumes.tsv, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flairflow.cohort.index import write_shards
from flairflow.cohort.scan import Scan, columns, to_row
from flairflow.config import load_config
from flairflow.inference.volumes import mixed_precisions, write_volumes
from flairflow.paths import Results
from flairflow.shards.ledger import Row, write_ledger
from flairflow.tables import read_table, write_table


def cohort(folder: Path, precisions: list[str], **changed: Any) -> tuple[Any, Results]:
    """An archive whose scans were segmented in these precisions."""
    values = {"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}, "old": {"root": "y"}}}
    config = load_config(values | {"results": str(folder), "strategies": ["multiclass"]})
    results = Results(folder)
    scans = [
        Scan(f"old_sub-{i}", "old", str(i), "", f"p{i}", {"FLAIR": "f"}, {}, split="archive", shard="old-archive-0001")
        for i in range(len(precisions))
    ]
    table = pd.DataFrame([to_row(scan) | changed for scan in scans], columns=list(columns([], ["FLAIR"])))
    for column in set(columns(["A"], ["FLAIR"])) - set(table.columns):
        table[column] = "missing" if column == "annotation_A" else ""
    write_table(results.cohort, table, columns(["A"], ["FLAIR"]))
    write_shards(results.shards, scans)
    rows = [
        Row(scan.scan, "ok", "f", values={"A_ml": 1.5, "brain_ml": 1000.0, "flag": None, "precision": precision})
        for scan, precision in zip(scans, precisions, strict=True)
    ]
    write_ledger(results.ledger("segment/multiclass", "old-archive-0001"), rows)
    return config, results


def test_a_cohort_of_two_precisions_is_not_mixed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_volumes(*cohort(tmp_path, ["bf16", "fp32", "bf16"]))
    table = read_table(tmp_path / "tables" / "volumes.tsv")
    assert list(table["precision"]) == ["bf16", "fp32", "bf16"]
    assert "more than one precision (2 scans in bf16, 1 scans in fp32)" in caplog.text
    assert mixed_precisions(table) in caplog.text


def test_one_precision_needs_no_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_volumes(*cohort(tmp_path, ["fp32", "fp32"]))
    assert not caplog.text and mixed_precisions(read_table(tmp_path / "tables" / "volumes.tsv")) == ""


def test_without_a_scan_that_could_be_used_there_is_a_table_and_no_link_to_nowhere(tmp_path: Path) -> None:
    config, results = cohort(tmp_path, [])
    write_volumes(config, results)
    assert len(read_table(results.table("volumes"))) == 0
    assert results.delivered.is_dir()
