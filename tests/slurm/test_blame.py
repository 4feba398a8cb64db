"""What SLURM does to a job is blamed on no scan that was in flight: twice the same scan, each time by a real SLURM."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from faults.test_poison import IN_A_LIBRARY, OUT_OF_MEMORY, PROGRAM, Job
from slurm.cluster import Cluster
from slurm.runs import until


def submitted(cluster: Cluster, job: Job) -> str:
    """The number of a job that works on the shard, in a step of its own, as the executor's jobs do."""
    script = job.folder / "program.py"
    script.write_text(PROGRAM)
    work = f"srun --ntasks=1 {shlex.quote(sys.executable)} {script} {job.folder}"
    options = [f"--output={job.folder}/slurm.log", "--partition=cpu", "--mem=500", "--requeue", "--time=10"]
    return cluster.run("sbatch", "--parsable", *options, f"--wrap={work}").strip()


def state(cluster: Cluster, number: str) -> str:
    return cluster.run("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", number).strip()


def gone(*pids: int) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def cancelled(cluster: Cluster, number: str) -> None:
    cluster.run("scancel", number)


def out_of_time(cluster: Cluster, number: str) -> None:
    cluster.run("scontrol", "update", "EndTime=now+1", f"jobid={number}")


def put_back(cluster: Cluster, number: str) -> None:
    cluster.run("scontrol", "requeue", number)


def node_lost(cluster: Cluster, number: str) -> None:
    node = cluster.run("squeue", "--noheader", "--format=%N", "--jobs", number).strip()
    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


@pytest.mark.soak
@pytest.mark.parametrize("strike", [cancelled, out_of_time, put_back, node_lost])
def test_no_scan_answers_for_what_slurm_does(
    cluster: Cluster, tmp_path: Path, strike: Callable[[Cluster, str], None]
) -> None:
    job = Job(tmp_path)
    for _ in range(2):
        job.deeds(s1=IN_A_LIBRARY)
        number = submitted(cluster, job)
        work, guard = job.working_on("ds_sub-1")
        strike(cluster, number)
        until(partial(gone, work, guard), "it is gone", seconds=120)
        if state(cluster, number) in ("PENDING", "RUNNING"):
            cluster.run("scancel", number)
        cluster.resume()
    job.deeds()
    number = submitted(cluster, job)
    until(lambda: state(cluster, number) == "COMPLETED", "the shard is done", seconds=120)
    assert job.failed == {} and job.begun[0] == "ds_sub-1"


@pytest.mark.soak
def test_a_scan_for_whose_memory_slurm_ends_the_job_is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    """It looks at memory itself here, and kills all of the job at once, its guard too."""
    job = Job(tmp_path)
    job.deeds(s1="x = b'x' * 900 * 2**20; time.sleep(60)")
    for expected in ("FAILED", "FAILED", "COMPLETED"):
        number = submitted(cluster, job)
        until(lambda number=number: state(cluster, number) in ("FAILED", "COMPLETED"), "it ends", seconds=120)  # type: ignore[misc]
        assert state(cluster, number) == expected
    assert list(job.failed) == ["ds_sub-1"]


@pytest.mark.soak
def test_a_scan_that_runs_out_of_memory_on_slurm_is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.deeds(s1=OUT_OF_MEMORY)
    for expected in ("FAILED", "COMPLETED"):
        number = submitted(cluster, job)
        until(lambda number=number: state(cluster, number) in ("FAILED", "COMPLETED"), "it ends", seconds=120)  # type: ignore[misc]
        assert state(cluster, number) == expected
    assert list(job.failed) == ["ds_sub-1"]
