"""The tiny cohort through the words that a user types."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chain import Run
from flairflow.tables import read_table
from slurm.cluster import Cluster
from slurm.runs import ClusterRun


def test_happy_path(chain: Run, cluster: Cluster, repository: Path, tmp_path: Path) -> None:
    """Volumes equal those of a local run within 1e-6 of each."""
    run = ClusterRun(tmp_path, repository, cluster)
    run.configure()
    run.slurm("demo/simulated.json")
    damaged = "demo/archive/sub-002/ses-1/anat/sub-002_ses-1_FLAIR.nii.gz"
    (run.folder / damaged).write_bytes((chain.folder / damaged).read_bytes())
    assert "1 excluded" in run.slurm()
    ours, theirs = (
        read_table(one.results.table("volumes")).set_index(["scan", "label"]).sort_index() for one in (run, chain)
    )
    assert list(ours.index) == list(theirs.index)
    assert np.allclose(ours["volume_ml"], theirs["volume_ml"], rtol=1e-6, atol=0, equal_nan=True)
    done = run.processed()
    assert "Nothing to be done" in run.slurm()
    assert run.processed() == done
