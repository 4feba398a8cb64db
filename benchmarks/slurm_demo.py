"""The whole demonstration through a real SLURM, and on this machine alone: are the volumes the same?

    python benchmarks/slurm_demo.py FOLDER [UPDATES]

Clones this repository's HEAD twice into FOLDER and runs the demonstration in both, by `--profile profiles/local` and by
`--profile slurm` on the throw-away cluster of tests/slurm (its packages: `make system`); what is there already is not
done again. A training has one thread in both, as the last digits of its sums depend on how many there are; jobs of the
cluster are looked at every second or so instead of every twenty. Nothing else differs from what a user types.
UPDATES cuts trainings short where the time for the demonstration's 400 is not there.
Ends with 1 where a volume differs by more than a millionth of itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from flairflow.paths import Results
from flairflow.tables import read_table

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))
TOLERANCE = 1e-6


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    from slurm.cluster import Cluster

    alike = ["--set-threads", "train_model=1"]
    if len(sys.argv) > 2:
        alike += ["--config", f"training={{updates: {sys.argv[2]}, validate_every: {sys.argv[2]}}}"]
    run(folder / "local", "--profile", "profiles/local", "--cores", "2", *alike, environment=dict(os.environ))
    with Cluster() as cluster:
        quick = ["--slurm-init-seconds-before-status-checks", "1"]
        run(folder / "slurm", "--profile", "slurm", *quick, *alike, environment=cluster.environment)
    local, slurm = (
        read_table(Results(folder / name / "results").table("volumes")).set_index(["scan", "label"]).sort_index()
        for name in ("local", "slurm")
    )
    assert list(local.index) == list(slurm.index)
    ours, theirs = slurm["volume_ml"].to_numpy(float), local["volume_ml"].to_numpy(float)
    scale = np.maximum(np.abs(theirs), 1e-12)
    largest = float(np.nanmax(np.abs(ours - theirs) / scale, initial=0))
    same = bool(np.array_equal(np.isnan(ours), np.isnan(theirs))) and largest <= TOLERANCE
    print(f"{len(local)} volumes of {local.index.get_level_values('scan').nunique()} scans; largest relative ", end="")
    print(f"difference {largest:.1e} ({'within' if same else 'NOT within'} {TOLERANCE:g})")
    sys.exit(0 if same else 1)


def run(clone: Path, *arguments: str, environment: dict[str, str]) -> None:
    """The demonstration in a clone, with this Python and its packages, but the clone's own sources."""
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    environment = environment | {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "PYTHONPATH": str(clone / "src"),
    }
    started = time.perf_counter()
    with (clone / "demo.log").open("ab") as log:
        subprocess.run(["snakemake", *arguments], cwd=clone, env=environment, stdout=log, stderr=log, check=True)
    jobs = (clone / "demo.log").read_text().count("Finished jobid")
    print(f"{clone.name}: {jobs} jobs in {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
