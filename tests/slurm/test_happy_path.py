"""An archive through the words that a user types."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml

from chain import CONFIG, Run
from flairflow.tables import read_table
from slurm.cluster import Cluster
from slurm.runs import ClusterRun


def test_happy_path(chain: Run, cluster: Cluster, repository: Path, tmp_path: Path) -> None:
    """Volumes by a given model equal those of a local run, which trained it, within 1e-6 of each."""
    run = ClusterRun(tmp_path, repository, cluster)
    shutil.copytree(chain.folder / "demo", run.folder / "demo")
    datasets = {"both": CONFIG["datasets"]["both"] | {"use": "test"}, "archive": CONFIG["datasets"]["archive"]}
    config = {name: CONFIG[name] for name in ("labels", "registration", "preprocessing")}
    config |= {"datasets": datasets, "models": {"given": [str(chain.results.model("pseudolabels", "all", 0))]}}
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "1 excluded" in run.slurm()
    ours, theirs = (
        read_table(one.results.table("volumes")).set_index(["scan", "label"]).sort_index() for one in (run, chain)
    )
    theirs = theirs[theirs["dataset"] != "islonly"]
    assert list(ours.index) == list(theirs.index)
    assert np.allclose(ours["volume_ml"], theirs["volume_ml"], rtol=1e-6, atol=0, equal_nan=True)
    assert set(read_table(run.results.table("metrics"))["dataset"]) == {"both"}
    done = run.processed()
    assert "Nothing to be done" in run.slurm()
    assert run.processed() == done
