"""What SLURM has of this run: the jobs in its queue, and what those that wait are waiting for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from flairflow.status.jobs import Job

TIMEOUT_S = 10
_FORMAT = "%i|%T|%N|%r|%Z|%k"


@dataclass(frozen=True)
class QueuedJob:
    """One job of the queue. `comment` says which of Snakemake's it is (see `comment`)."""

    number: str
    state: str
    node: str
    reason: str
    comment: str

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")


@dataclass(frozen=True)
class Queue:
    """The jobs of this run in the queue; `problem` says why they are not known."""

    jobs: tuple[QueuedJob, ...] = ()
    problem: str = ""


def queue(folders: Collection[Path]) -> Queue | None:
    """The own jobs that were submitted from one of these folders; None where there is no SLURM, or only its programs on
    a machine of no cluster, from which nothing was ever submitted."""
    program = shutil.which("squeue")
    if program is None:
        return None
    found = _ask(program, folders)
    submitted = any((folder / ".snakemake" / "slurm_logs").is_dir() for folder in folders)
    return None if found.problem and not submitted else found


def _ask(program: str, folders: Collection[Path]) -> Queue:
    command = [program, "--me", "--noheader", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return Queue(problem=f"squeue did not answer within {TIMEOUT_S} s")
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        return Queue(problem=f"squeue: {said[-1].removeprefix('squeue: ') if said else 'failed'}")
    except OSError as error:
        return Queue(problem=f"squeue: {error.strerror}")
    return Queue(parse(done.stdout, folders))


def parse(text: str, folders: Collection[Path]) -> tuple[QueuedJob, ...]:
    """The jobs among squeue's lines that Snakemake submitted from one of these folders; other lines are passed over."""
    own = {folder.resolve() for folder in folders}
    jobs = []
    for line in text.splitlines():
        cells = line.split("|", 5)
        if len(cells) == 6 and cells[5].startswith("rule_") and Path(cells[4]).resolve() in own:
            number, state, node, reason, _, which = cells
            jobs.append(QueuedJob(number, state, node, reason, which))
    return tuple(jobs)


def comment(job: Job) -> str:
    """The comment with which Snakemake's SLURM plugin submits a job."""
    wildcards = "_".join(job.wildcards).replace("/", "_")
    return f"rule_{job.rule}_wildcards_{wildcards}" if wildcards else f"rule_{job.rule}"
