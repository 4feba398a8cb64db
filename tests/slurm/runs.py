"""A working folder whose workflow is run on a cluster, by the words a user would type."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from chain import Run
from flairflow.shards.ledger import read_ledger
from slurm.cluster import Cluster

# What is disturbed: shards of the archive to register; one to prepare; and a training.
SHARDS = [f"archive-archive-{number:04d}" for number in (1, 2)]
SHARD_SIZE, SCANS = 6, 10
PREPARED = "both-test-0001"
MODEL = ("multiclass", "all", 0)
RECORD = "results/models/multiclass/all/seed-0/record.json"


@dataclass(frozen=True)
class Job:
    """A job as SLURM knows it; `name` is what Snakemake says of it, such as `rule_register_wildcards_ds-train-0001`."""

    number: int
    state: str
    node: str
    name: str


class ClusterRun(Run):
    """A working folder, and `snakemake --profile slurm` for it."""

    def __init__(self, folder: Path, repository: Path, cluster: Cluster) -> None:
        super().__init__(folder, repository)
        self.cluster = cluster
        self.output = folder / "snakemake.out"

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the main process, from the repository as cwd, and return; what it says goes to `output`."""
        command = ["snakemake", "--profile", "slurm", *self._arguments, *arguments]
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.repository,
                env=self._environment,
                stdout=output,
                stderr=output,
                # As from a terminal: what a shell starts in the background is deaf to Ctrl-C, and so are its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def submit_launcher(self, *arguments: str) -> str:
        """Submit the main process as a job; returns its number."""
        command = ["sbatch", "--parsable", f"--output={self.output}", "slurm/launch.sh", *self._arguments, *arguments]
        return subprocess.run(
            command, cwd=self.repository, env=self._environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    @property
    def _arguments(self) -> list[str]:
        # The last is the only addition of ours: the first look at a job after a second, not after twenty.
        folder = ["--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")]
        return [*folder, "--slurm-init-seconds-before-status-checks", "1"]

    @property
    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"
        return self.cluster.environment | {"PATH": path}

    def slurm(self, *arguments: str) -> str:
        """Run to the end, which must be a good one; returns what was said."""
        return self.finish(self.launch(*arguments))

    def finish(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for a good end of a launched run; returns what was said."""
        try:
            code = process.wait(1800)  # longer is a hang
        finally:
            process.kill()
        text = self.output.read_text()
        assert code == 0, text[-6000:]
        return text

    def jobs(self, name: str) -> list[Job]:
        """This folder's jobs of one name, ended ones too, in the order in which they were submitted."""
        lines = self.cluster.run("squeue", "--noheader", "--states=all", "--format=%i|%T|%N|%Z|%k").splitlines()
        fields = [line.split("|") for line in lines]
        return sorted(
            (Job(int(one[0]), one[1], one[2], name) for one in fields if one[3:] == [str(self.folder), name]),
            key=lambda job: job.number,
        )

    def state(self, number: str) -> str:
        """The state of the job of this number."""
        return self.cluster.run("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", number).strip()

    def finished(self, stage: str, shard: str) -> list[str]:
        """The scans that stand in a shard's state, one for each time that it was done."""
        path = self.results.state(stage, shard)
        return [line for line in path.read_bytes().decode().split("\n")[:-1] if line] if path.exists() else []

    def job_log(self, job: Job) -> str:
        """What SLURM and Snakemake said in a job."""
        return next((self.folder / ".snakemake" / "slurm_logs").rglob(f"{job.number}.log")).read_text()


def ledger(stage: str, shard: str) -> str:
    """The target that is a shard's ledger."""
    return f"results/ledgers/{stage}/{shard}.tsv"


def until(
    condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None, seconds: float = 600
) -> None:
    """Return as soon as a condition holds; fail when it does not in time, or a process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not after {seconds} s: {what}"
        assert process is None or process.poll() is None, f"the main process ended before {what}"
        time.sleep(0.1)


def copied(run: ClusterRun, folder: Path) -> ClusterRun:
    """Another working folder with all of one's files."""
    shutil.copytree(run.folder, folder, symlinks=True)
    return ClusterRun(folder, run.repository, run.cluster)


def assert_as_undisturbed(run: Run, reference: Run, stage: str, shard: str) -> None:
    """Each scan was done once, every file of the ledger is whole, and all is as in a run that nothing disturbed."""
    rows, others = (read_ledger(one.results.ledger(stage, shard)) for one in (run, reference))
    assert rows == others and all(row.status == "ok" for row in rows.values())
    processed = run.processed()
    assert {scan: processed[f"{stage} {scan}"] for scan in rows} == dict.fromkeys(rows, 1)
    for path in (path for row in rows.values() for path in row.files.values()):
        assert not Path(path).name.startswith(".")
        if ".nii" in path:
            ours, theirs = (np.asarray(nib.load(one.results.root / path).dataobj) for one in (run, reference))  # type: ignore
            assert np.array_equal(ours, theirs), path
        else:
            assert (run.results.root / path).read_bytes() == (reference.results.root / path).read_bytes(), path
