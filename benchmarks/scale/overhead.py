"""What Snakemake takes besides the jobs themselves: real shards of one tiny volume each, really registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from process import Run, flairflow, snakemake

from flairflow.paths import Results
from flairflow.tables import read_table

CORES = 2
CONFIG = """\
labels: [WMH]
index: {shard_size: 1}
strategies: [multiclass]
# As quick as a real registration gets: 8 mm, and no second try.
registration: {template_resolution: 8, minimum_quality: 0}
datasets:
  study: {root: study, labels: {WMH: {folder: derivatives/manual}}}
"""


@dataclass(frozen=True)
class Overhead:
    """Shards that ran at once on two cores: seconds in all, seconds of the jobs' commands, summed, and those alone of
    the scans in them."""

    shards: int
    run: Run
    commands: float
    scans: float

    @property
    def per_shard(self) -> float:
        """Seconds by which a shard lengthens the run besides its command."""
        return (self.run.seconds - self.commands / CORES) / self.shards


def measure_overhead(folder: Path, shards: int) -> Overhead:
    """Register `shards` scans of 16 x 16 x 16 voxels, each a shard of its own, through Snakemake."""
    _make_scans(folder, shards)
    results = Results(folder / "results")
    flairflow(folder, "index", "--threads", str(CORES))
    names = list(read_table(results.shards)["shard"])
    targets = [str(Results("results").ledger("register", name)) for name in names]
    run = snakemake(folder, "--quiet", "all", "--", *targets)
    commands = [read_table(results.benchmark("register", name))["s"].sum() for name in names]
    costs = pd.concat([read_table(results.scan_costs("register", name)) for name in names])
    return Overhead(shards, run, float(sum(commands)), float(costs["seconds"].sum()))


def _make_scans(folder: Path, count: int) -> None:
    """Bright balls of the size of a head, with a mask each."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    edge = np.linspace(-1, 1, 16)
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(edge, edge, edge, indexing="ij")))
    ball = (np.exp(-2 * distance**2) * 100).astype(np.float32)
    affine = np.diag([12.0, 12.0, 12.0, 1.0])
    affine[:3, 3] = -90
    for number in range(count):
        name = f"sub-{number:04d}"
        for path, data in (
            (folder / f"study/{name}/anat/{name}_FLAIR.nii.gz", ball),
            (folder / f"study/derivatives/manual/{name}/anat/{name}_mask.nii.gz", (ball > 90).astype(np.uint8)),
        ):
            path.parent.mkdir(parents=True)
            nib.save(nib.Nifti1Image(data, affine), path)
