"""The tiny cohort through the words that a user types."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from chain import CONFIG, Run
from flairflow.tables import read_table
from slurm.cluster import Cluster
from slurm.runs import ClusterRun


def test_happy_path(chain: Run, cluster: Cluster, repository: Path, tmp_path: Path) -> None:
    """Of two of its datasets with one network. Brains and scores equal those of the local run within 1e-6 of each."""
    run = ClusterRun(tmp_path, repository, cluster)
    shutil.copytree(chain.folder / "demo", run.folder / "demo")
    datasets = {name: CONFIG["datasets"][name] for name in ("both", "archive")}
    run.configure(datasets=datasets, strategies=["multiclass"])
    assert "1 excluded" in run.slurm()
    for table, columns in (("volumes", ["brain_ml"]), ("metrics", ["predicted_ml", "dice_or_empty", "false_ml"])):
        ours, theirs = (read_table(one.results.table(table)) for one in (run, chain))
        if table == "metrics":
            ours, theirs = (rows[rows["ensemble"] == "multiclass"] for rows in (ours, theirs))
        ours, theirs = (rows[rows["dataset"] != "islonly"].set_index(["scan", "label"]) for rows in (ours, theirs))
        ours, theirs = (rows[columns].sort_index() for rows in (ours, theirs))
        assert list(ours.index) == list(theirs.index) != []
        assert np.allclose(ours, theirs, rtol=1e-6, atol=0, equal_nan=True) and ours.notna().to_numpy().any()
    done = run.processed()
    assert "Nothing to be done" in run.slurm()
    assert run.processed() == done
