"""What the executor for SLURM leaves open: the end of an interrupted run, and jobs that SLURM loses or forgets."""

from __future__ import annotations

import atexit
import getpass
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from flairflow.errors import ConfigError

# Looks at the queue after which a job that is gone from it is taken for lost.
PATIENCE = 3


def watch_submission(executor: Any) -> None:
    """Fix what release 2.6 of the executor leaves open, where it is the one of this run.

    - Interrupted while it still submits jobs, it cancels those that are there and then submits the rest.
    - What is wrong with one job's submission is known to its thread alone, and the run waits for ever.
    - A job that was preempted for good, or that SLURM forgot between two looks, is waited for, for ever; and so are all
      jobs where SLURM once does not answer.
    - Each job keeps a cache in its node's HOME, which not every node can write.
    """
    if not type(executor).__module__.startswith("snakemake_executor_plugin_slurm"):
        return
    if executor.array_jobs:
        raise ConfigError(
            "profile: slurm-array-jobs: job arrays lose jobs and delete outputs of others "
            "(issues 447 and 473 of the executor for SLURM); take this away"
        )
    # Jobs have the environment of this process. Not for the cache of this process, which is there already.
    os.environ.setdefault("XDG_CACHE_HOME", str(Path(".snakemake", "cache").absolute()))
    _cancel_what_is_still_submitted(executor)
    _report_failed_submissions(executor)
    _give_up_lost_jobs(executor)


def _cancel_what_is_still_submitted(executor: Any) -> None:
    cancel = executor.cancel

    def cancel_all() -> None:
        # The two that are being submitted are waited for, some seconds; no further one is begun.
        executor._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        cancel()
        scancel(executor.run_uuid)

    executor.cancel = cancel_all
    # Interrupted again meanwhile. After the end of a run as it should be there is nothing to cancel.
    atexit.register(scancel, executor.run_uuid)


def scancel(name: str) -> None:
    """Cancel all jobs of a run, by the name that they have in the queue."""
    command = ["scancel", f"--user={getpass.getuser()}", f"--name={name}"]
    try:
        subprocess.run(command, check=False, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        print(f"What is left of this run in the queue: scancel --me --name={name}", flush=True)


def _report_failed_submissions(executor: Any) -> None:
    from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

    run_job = executor.run_job

    def run_and_report(job: Any) -> None:
        try:
            run_job(job)
        except Exception as problem:
            executor._report_job_error_threadsafe(SubmittedJobInfo(job), f"It cannot be submitted: {problem}\n")

    executor.run_job = run_and_report


def _give_up_lost_jobs(executor: Any) -> None:
    check = executor.check_active_jobs
    looks: Counter[str] = Counter()
    reported: set[str | None] = set()

    def noting(report: Callable[..., None]) -> Callable[..., None]:
        def note(job: Any, *arguments: Any, **options: Any) -> None:
            reported.add(job.external_jobid)
            report(job, *arguments, **options)

        return note

    executor.report_job_success = noting(executor.report_job_success)
    executor.report_job_error = noting(executor.report_job_error)

    async def check_and_give_up(jobs: list[Any]) -> AsyncIterator[Any]:
        # Asked first: a job that ends meanwhile is still known to the look that follows.
        states = _states(executor.run_uuid) if jobs and not executor._submitted_job_clusters else None
        async for _ in check(jobs):
            pass
        # Not those that it hands on: where SLURM does not answer, it forgets them all.
        for job in (job for job in jobs if job.external_jobid not in reported):
            number = job.external_jobid
            state = (states or {}).get(number)
            lost = states is not None and state in (None, "PREEMPTED", "NODE_FAIL")
            looks[number] = looks[number] + 1 if lost else 0
            if looks[number] < PATIENCE:
                yield job
            else:
                what = f"ended as {state} and was not put back into the queue" if state else "is not in SLURM's queue"
                executor.report_job_error(job, msg=f"SLURM-job '{number}' {what}; it goes on where it stopped. ")

    executor.check_active_jobs = check_and_give_up


def _states(name: str) -> dict[str, str] | None:
    """The states of a run's jobs, as long as SLURM remembers them; None where it does not answer."""
    command = [
        "squeue",
        "--noheader",
        "--states=all",
        f"--user={getpass.getuser()}",
        f"--name={name}",
        "--format=%i|%T",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
