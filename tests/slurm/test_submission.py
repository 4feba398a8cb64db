"""The end of a run that is interrupted, and jobs that are lost: on a real SLURM, with a workflow of small jobs.

The profile of the workflow is used as it is; only the first look at a job comes after a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm.cluster import Cluster
from slurm.runs import until

WORKFLOW = """
from flairflow import dag
onstart:
    dag.watch_executor(workflow)
rule all:
    input: [f"out/{{number}}" for number in range({jobs})]
    localrule: True
rule job:
    output: "out/{{number}}"
    resources: mem_mb=400, runtime=5, slurm_extra="{extra}"
    shell: "{shell}"
"""


class Runs:
    """Workflows of a folder."""

    def __init__(self, folder: Path, repository: Path, cluster: Cluster) -> None:
        self.folder, self.repository, self.cluster = folder, repository, cluster
        self.output = folder / "snakemake.out"

    def launch(
        self, *options: str, shell: str = "touch {output}", jobs: int = 1, extra: str = ""
    ) -> subprocess.Popen[bytes]:
        (self.folder / "Snakefile").write_text(WORKFLOW.format(jobs=jobs, shell=shell, extra=extra))
        command = ["snakemake", "--profile", str(self.repository / "profiles/slurm"), "--retries", "0"]
        command += ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "1", *options]
        path = f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.cluster.environment | {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def queue(self) -> list[str]:
        """The jobs of this folder that wait or run."""
        lines = self.cluster.run("squeue", "--noheader", "--format=%i|%T|%Z").splitlines()
        return [line.split("|")[0] for line in lines if line.endswith(f"|{self.folder}")]


@pytest.fixture
def runs(tmp_path: Path, repository: Path, cluster: Cluster) -> Iterator[Runs]:
    runs = Runs(tmp_path, repository, cluster)
    yield runs
    if left := runs.queue():
        cluster.run("scancel", *left)


def once(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)


def twice(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)


@pytest.mark.soak
@pytest.mark.parametrize("interrupt", [once, twice])
def test_interrupted_while_it_submits_it_leaves_nothing_in_the_queue(
    runs: Runs, interrupt: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    process = runs.launch(shell="sleep 600", jobs=30)
    try:
        until(lambda: len(runs.queue()) >= 2, "two jobs are submitted", process)
        began = time.monotonic()
        interrupt(process)
        assert process.wait(120) != 0
        # Of thirty, two in five seconds are submitted.
        assert time.monotonic() - began < 60
    finally:
        process.kill()
    until(lambda: not runs.queue(), "nothing is queued", seconds=30)


@pytest.mark.soak
def test_what_cannot_be_submitted_ends_the_run_in_words(runs: Runs) -> None:
    """An option that the executor forbids: it finds out in a thread, and would wait for ever."""
    process = runs.launch(extra="--mem=4G")
    try:
        assert process.wait(180) != 0
    finally:
        process.kill()
    assert "It cannot be submitted: " in runs.output.read_text()


@pytest.mark.soak
def test_a_job_that_goes_back_into_the_queue_is_waited_for(runs: Runs) -> None:
    process = runs.launch(shell="sleep 15; touch {output}")
    try:
        until(lambda: bool(runs.queue()), "a job is submitted", process)
        number = runs.queue()[0]
        until(lambda: "RUNNING" in runs.cluster.run("squeue", "-h", "-j", number, "-o", "%T"), "it runs", process)
        # As a node that fails, or a job of more importance.
        runs.cluster.run("scontrol", "requeue", number)
        until(
            lambda: "PENDING" in runs.cluster.run("squeue", "-h", "-j", number, "-o", "%T"), "it waits again", process
        )
        # In two minutes, if it were not for this.
        runs.cluster.run("scontrol", "update", f"jobid={number}", "StartTime=now")
        assert process.wait(300) == 0, runs.output.read_text()[-3000:]
    finally:
        process.kill()


@pytest.mark.soak
def test_a_job_that_slurm_forgets_between_two_looks_does_not_hang_the_run(tmp_path: Path, repository: Path) -> None:
    with Cluster(min_job_age=2) as cluster:
        runs = Runs(tmp_path, repository, cluster)
        process = runs.launch(shell="sleep 1; touch {output}")
        try:
            assert process.wait(500) != 0
        finally:
            process.kill()
        assert "is not in SLURM's queue" in runs.output.read_text()
